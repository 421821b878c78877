//! A training step on one device, or on several by burn-train's workers.

use burn::data::dataloader::{DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use burn::train::train::MultiDevicesTrainStep;
use burn::train::{Learner, TrainOutput};

use crate::batch::Batch;
use crate::error::LearnerError;
use crate::model::MmRest;
use crate::step::{Losses, StepRecord};

/// Who computes a step's gradients: the caller on one device, a thread for each of several devices.
///
/// With several, burn-train copies the model to each device, runs each part of the batch there, and hands back the
/// gradients, which add up to the batch's: each part's losses are shares of the batch's.
pub(super) struct Workers {
    devices: Vec<Device>,
    together: Option<MultiDevicesTrainStep<MmRest>>,
}

impl Workers {
    /// Workers for at least one device, the first of which holds the model.
    pub(super) fn new(devices: &[Device]) -> Self {
        Self {
            devices: devices.to_vec(),
            together: (devices.len() > 1).then(|| MultiDevicesTrainStep::new(devices)),
        }
    }

    /// The gradients and losses of a batch that came in parts.
    ///
    /// # Errors
    ///
    /// A worker panicked.
    pub(super) fn step(
        &self,
        learner: &Learner<MmRest>,
        mut parts: Vec<Batch>,
    ) -> Result<TrainOutput<StepRecord>, LearnerError> {
        let Some((together, main)) = self
            .together
            .as_ref()
            .zip(self.devices.first())
            .filter(|_| parts.len() > 1)
        else {
            let whole = parts.pop().ok_or_else(|| {
                LearnerError::Internal("a training step without a segment".into())
            })?;
            return Ok(learner.train_step(whole));
        };
        let model = learner.model();
        let weight = model.context.settings().mmc_weight;
        let mut waiting = self.one_each(parts);
        let (outputs, _) = together
            .step(&mut waiting, &model)
            .map_err(|error| LearnerError::Training(error.to_string()))?;
        let mut outputs: Vec<_> = outputs.into_iter().map(|output| output.output).collect();
        // Workers answer in any order; sums are to be the same every time.
        outputs.sort_by_key(|output| output.item.part);
        let records: Vec<Losses> = outputs.iter().map(|output| output.item.losses).collect();
        let mut sum = GradientsAccumulator::new();
        for output in outputs {
            sum.accumulate(&model, output.grads.to_device(main, &model));
        }
        Ok(TrainOutput {
            grads: sum.grads(),
            item: StepRecord {
                losses: whole(&records, weight),
                part: 0,
            },
        })
    }

    /// A loader for each worker, with its part or nothing.
    fn one_each<'a>(&self, parts: Vec<Batch>) -> Vec<Box<dyn DataLoaderIterator<Batch> + 'a>> {
        let parts = parts
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat_with(|| None));
        parts
            .take(self.devices.len())
            .map(|part| Box::new(Once(part)) as Box<dyn DataLoaderIterator<Batch> + 'a>)
            .collect()
    }
}

/// The losses of a batch from those of its parts: each has its share of the task's, and all of L_MMC.
fn whole(parts: &[Losses], mmc_weight: f64) -> Losses {
    let mut whole = parts.first().copied().unwrap_or_default();
    whole.task = parts.iter().map(|part| part.task).sum();
    whole.total = whole.task + mmc_weight * whole.mmc;
    whole
}

/// A loader of one batch.
struct Once(Option<Batch>);

impl Iterator for Once {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl DataLoaderIterator<Batch> for Once {
    fn progress(&self) -> Progress {
        Progress::new(1, 1, None)
    }
}

#[cfg(test)]
mod tests;
