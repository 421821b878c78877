//! A training step and an evaluation step, as burn-train asks for them.

use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, ExecutionError, Tensor};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use mmrest_metric::MetricError;

use crate::batch::Batch;
use crate::clip::Squares;
use crate::error::LearnerError;
use crate::model::MmRest;
use crate::objective::{Objective, to_host};
use crate::origin;
use crate::refusal::Refusal;
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
    /// The first part that is not finite, with its value: the parts before their sums.
    pub(crate) fn non_finite(&self) -> Option<(&'static str, f64)> {
        let parts = [
            ("task", self.task),
            ("intra", self.intra),
            ("inter", self.inter),
            ("frobenius", self.frobenius),
            ("mmc", self.mmc),
            ("total", self.total),
        ];
        parts.into_iter().find(|(_, value)| !value.is_finite())
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
        let part = batch.part.as_ref().map(|part| part.index());
        let forward = || self.forward(&batch, geometry.as_ref());
        let forward = match batch.part.as_ref() {
            Some(part) => part.draw(forward),
            None => forward(),
        };
        let forward = match forward {
            Ok(forward) => forward,
            Err(error) => return self.refuse(part, reason(error), StepRecord::default()),
        };
        let objective = self.objective(&batch, &forward);
        let outcome = objective.and_then(|objective| self.differentiate(objective, part));
        let (error, record) = match outcome {
            Ok(output) if output.item.losses.non_finite().is_none() => return output,
            Ok(output) => (None, output.item),
            Err(error) => (Some(error), StepRecord::default()),
        };
        let losses = error.is_none().then_some(&record.losses);
        let refusal = match (origin::in_step(&batch, &forward, losses), error) {
            (Ok(Some(found)), _) => Refusal::NonFinite(found),
            (_, Some(error)) | (Err(error), None) => reason(error),
            (Ok(None), None) => Refusal::Failed("the loss is not finite".into()),
        };
        self.refuse(part, refusal, record)
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        if self.context.state().refusal().is_some() {
            return self;
        }
        let measured = self.context.state().measured.take();
        let norms = match measured.map_or_else(|| self.squares(&gradients).read(), Ok) {
            Ok(norms) => norms,
            Err(error) => {
                self.context.state().refuse(0, reason(error));
                return self;
            }
        };
        self.context.state().norms = norms;
        if !(norms.model.is_finite() && norms.metrics.is_finite()) {
            let refusal = match origin::in_gradients(&self, &gradients) {
                Ok(Some(found)) => Refusal::NonFinite(found),
                Ok(None) => Refusal::NonFinite(norms.too_large()),
                Err(error) => reason(error),
            };
            self.context.state().refuse(0, refusal);
            return self;
        }
        let gradients = self.clip(gradients, &norms);
        let mut model = optimizer.step(learning_rate, self, gradients);
        if model.context.settings().learned
            && let Some(metric) = model.metric.take()
        {
            model.metric = Some(match metric.clone().project_psd() {
                Ok(projected) => projected,
                Err(error) => {
                    model.context.state().refuse(0, reason(error.into()));
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

    /// Notes why a step, or a part of one, cannot be taken.
    fn refuse(
        &self,
        part: Option<usize>,
        refusal: Refusal,
        record: StepRecord,
    ) -> TrainOutput<StepRecord> {
        let part = part.unwrap_or(0);
        self.context.state().refuse(part, refusal);
        TrainOutput {
            grads: GradientsParams::new(),
            item: StepRecord { part, ..record },
        }
    }
}

/// What an error means for the step.
fn reason(error: LearnerError) -> Refusal {
    match error {
        LearnerError::Elsewhere(message) => Refusal::Elsewhere(message),
        // Rows of the whole batch, which any part may be the one to look at: the part they come from says more of them.
        LearnerError::Metric(error @ MetricError::NonFiniteRow { .. }) => {
            Refusal::Elsewhere(error.to_string())
        }
        error => Refusal::Failed(error.to_string()),
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
