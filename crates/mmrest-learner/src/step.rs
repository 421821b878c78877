//! A training step and an evaluation step, as burn-train asks for them.

use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, ExecutionError, Tensor};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use crate::batch::Batch;
use crate::clip::Squares;
use crate::error::LearnerError;
use crate::model::MmRest;
use crate::objective::{Objective, to_host};
use crate::state::GradientNorms;

/// The losses of a step. L_MMC's three parts are unweighted; all are 0 where L_MMC is not in use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// L = task + eta mmc.
    pub total: f64,
    /// Mean absolute error.
    pub task: f64,
    /// L_MMC.
    pub mmc: f64,
    /// Intra-cluster part over N.
    pub intra: f64,
    /// Inter-cluster part over N.
    pub inter: f64,
    /// Squared Frobenius norm of M0 over N.
    pub frobenius: f64,
}

impl Losses {
    /// The parts by name, for a sentence.
    fn named(&self) -> String {
        format!(
            "task {}, mmc {}: intra {}, inter {}, frobenius {}",
            self.task, self.mmc, self.intra, self.inter, self.frobenius
        )
    }
}

/// What a step leaves for the epoch's record: everything on the host.
#[derive(Clone, Debug, Default)]
pub struct StepRecord {
    /// The step's losses, or a part's.
    pub losses: Losses,
    /// Which part of the step this is, where several devices take it together.
    pub part: usize,
}

impl ItemLazy for StepRecord {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl TrainStep for MmRest {
    type Input = Batch;
    type Output = StepRecord;

    fn step(&self, batch: Batch) -> TrainOutput<StepRecord> {
        let geometry = self.context.training_geometry();
        let objective = self
            .forward(&batch, geometry.as_ref())
            .and_then(|forward| self.objective(&batch, &forward));
        let part = batch.part.as_ref().map(|part| part.index());
        match objective.and_then(|objective| self.differentiate(objective, part)) {
            Ok(output) if output.item.losses.total.is_finite() => output,
            Ok(output) => self.refuse(
                format!("the loss is not finite ({})", output.item.losses.named()),
                output.item,
            ),
            Err(error) => self.refuse(error.to_string(), StepRecord::default()),
        }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        if self.context.state().failure.is_some() {
            return self;
        }
        let measured = self.context.state().measured.take();
        let norms = match measured.map_or_else(|| self.squares(&gradients).read(), Ok) {
            Ok(norms) => norms,
            Err(error) => {
                self.context.state().failure = Some(error.to_string());
                return self;
            }
        };
        self.context.state().norms = norms;
        if !(norms.model.is_finite() && norms.metrics.is_finite()) {
            self.context.state().failure = Some(format!(
                "a gradient is not finite (norm {} of the model, {} of the metrics)",
                norms.model, norms.metrics
            ));
            return self;
        }
        let gradients = self.clip(gradients, &norms);
        let mut model = optimizer.step(learning_rate, self, gradients);
        if model.context.settings().learned
            && let Some(metric) = model.metric.take()
        {
            model.metric = Some(match metric.clone().try_project_psd() {
                Ok(projected) => projected,
                Err(error) => {
                    model.context.state().failure = Some(error.to_string());
                    metric
                }
            });
        }
        model
    }
}

impl InferenceStep for MmRest {
    type Input = Batch;
    type Output = ();

    /// burn-train asks for this; the epoch loop validates by [`MmRest::predict`].
    fn step(&self, batch: Batch) {
        let _ = self.forward(&batch, self.context.evaluation_geometry().as_ref());
    }
}

impl MmRest {
    /// Gradients and, in one read from the device, the losses with the gradients' norms. The norms of a part say nothing:
    /// they are measured where the parts' gradients have been added up.
    fn differentiate(
        &self,
        objective: Objective,
        part: Option<usize>,
    ) -> Result<TrainOutput<StepRecord>, LearnerError> {
        let mut wanted = losses(&objective);
        let count = wanted.len();
        let grads = GradientsParams::from_grads(objective.total.backward(), self);
        let squares = part.is_none().then(|| self.squares(&grads));
        wanted.extend(squares.iter().flat_map(Squares::tensors));
        let values = to_host(Tensor::cat(wanted, 0))?;
        let (losses, rest) = values.split_at(count.min(values.len()));
        let norms: Option<GradientNorms> = squares.map(|squares| squares.norms(rest));
        self.context.state().measured = norms;
        let at = |index: usize| losses.get(index).copied().map_or(0.0, f64::from);
        let item = StepRecord {
            losses: Losses {
                total: at(0),
                task: at(1),
                mmc: at(2),
                intra: at(3),
                inter: at(4),
                frobenius: at(5),
            },
            part: part.unwrap_or(0),
        };
        Ok(TrainOutput { grads, item })
    }

    /// Notes why a step cannot be taken; the model stays as it is. Of several parts' reasons the first is kept.
    fn refuse(&self, reason: String, record: StepRecord) -> TrainOutput<StepRecord> {
        self.context.state().failure.get_or_insert(reason);
        TrainOutput {
            grads: GradientsParams::new(),
            item: record,
        }
    }
}

/// The losses in the order of [`Losses`], on the device.
fn losses(objective: &Objective) -> Vec<Tensor<1>> {
    let mut parts = vec![&objective.total, &objective.task];
    if let Some(mmc) = &objective.mmc {
        parts.extend([&mmc.total, &mmc.intra, &mmc.inter, &mmc.frobenius]);
    }
    parts.into_iter().map(|part| part.clone().inner()).collect()
}

/// Seeds dropout for one epoch, so that a resumed run draws the same masks; every device draws its own.
pub(crate) fn seed_dropout(devices: &[Device], seed: u64, epoch: usize) {
    for (index, device) in devices.iter().enumerate().rev() {
        let mut path = vec![crate::seed::DROPOUT, epoch as u64];
        path.extend((index > 0).then_some(index as u64));
        device.seed(crate::seed::mix(seed, &path));
    }
}
