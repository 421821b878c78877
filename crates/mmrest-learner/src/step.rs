//! A training step and an evaluation step, as burn-train asks for them.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, ExecutionError, Tensor};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use crate::batch::Batch;
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
    /// The step's losses.
    pub losses: Losses,
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
        let forward = self.forward(&batch, geometry.as_ref());
        let outcome = self.objective(&batch, &forward).and_then(|objective| {
            let record = record(&objective)?;
            Ok((objective, record))
        });
        match outcome {
            Ok((objective, record)) if record.losses.total.is_finite() => {
                TrainOutput::new(self, objective.total.backward(), record)
            }
            Ok((_, record)) => self.refuse(
                format!("the loss is not finite ({})", record.losses.named()),
                record,
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
        let (gradients, norms) = self.clip(gradients);
        self.context.state().norms = norms;
        if !(norms.model.is_finite() && norms.metrics.is_finite()) {
            self.context.state().failure = Some(format!(
                "a gradient is not finite (norm {} of the model, {} of the metrics)",
                norms.model, norms.metrics
            ));
            return self;
        }
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
    /// Notes why a step cannot be taken; the model stays as it is.
    fn refuse(&self, reason: String, record: StepRecord) -> TrainOutput<StepRecord> {
        self.context.state().failure = Some(reason);
        TrainOutput {
            grads: GradientsParams::new(),
            item: record,
        }
    }

    /// Clips the gradients of the model and, apart, of the metrics to their largest global norms, as
    /// `torch.nn.utils.clip_grad_norm_` does: g * min(1, max / (norm + 1e-6)).
    fn clip(&self, mut gradients: GradientsParams) -> (GradientsParams, GradientNorms) {
        let settings = self.context.settings();
        let metric_ids = match &self.metric {
            Some(metric) => vec![metric.global.id, metric.local.id],
            None => Vec::new(),
        };
        let norm = |metrics: bool, gradients: &GradientsParams| {
            let mut visitor = SquaredSums {
                gradients,
                metrics,
                metric_ids: &metric_ids,
                sums: Vec::new(),
            };
            self.visit(&mut visitor);
            global_norm(visitor.sums)
        };
        let norms = GradientNorms {
            model: norm(false, &gradients),
            metrics: norm(true, &gradients),
        };
        for (metrics, norm, max) in [
            (false, norms.model, settings.clip),
            (true, norms.metrics, settings.metric_clip),
        ] {
            let scale = max / (norm + 1e-6);
            if max > 0.0 && scale < 1.0 {
                self.visit(&mut Scale {
                    gradients: &mut gradients,
                    metrics,
                    metric_ids: &metric_ids,
                    scale,
                });
            }
        }
        (gradients, norms)
    }
}

/// Reads a step's losses to the host in one go.
fn record(objective: &Objective) -> Result<StepRecord, LearnerError> {
    let mut parts = vec![objective.total.clone(), objective.task.clone()];
    if let Some(mmc) = &objective.mmc {
        parts.extend([
            mmc.total.clone(),
            mmc.intra.clone(),
            mmc.inter.clone(),
            mmc.frobenius.clone(),
        ]);
    }
    let values = to_host(Tensor::cat(parts, 0).detach())?;
    let part = |index: usize| values.get(index).copied().map_or(0.0, f64::from);
    Ok(StepRecord {
        losses: Losses {
            total: part(0),
            task: part(1),
            mmc: part(2),
            intra: part(3),
            inter: part(4),
            frobenius: part(5),
        },
    })
}

/// Square root of the sum of sums: one read from the device.
fn global_norm(sums: Vec<Tensor<1>>) -> f64 {
    if sums.is_empty() {
        return 0.0;
    }
    match to_host(Tensor::cat(sums, 0)) {
        Ok(sums) => sums.iter().map(|&s| f64::from(s)).sum::<f64>().sqrt(),
        Err(_) => f64::NAN,
    }
}

struct SquaredSums<'a> {
    gradients: &'a GradientsParams,
    metrics: bool,
    metric_ids: &'a [burn::module::ParamId],
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for SquaredSums<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.metric_ids.contains(&param.id) == self.metrics
            && let Some(gradient) = self.gradients.get::<D>(param.id)
        {
            self.sums.push(gradient.square().sum());
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    metrics: bool,
    metric_ids: &'a [burn::module::ParamId],
    scale: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.metric_ids.contains(&param.id) == self.metrics
            && let Some(gradient) = self.gradients.remove::<D>(param.id)
        {
            self.gradients
                .register(param.id, gradient.mul_scalar(self.scale));
        }
    }
}

/// Seeds dropout for one epoch, so that a resumed run draws the same masks.
pub(crate) fn seed_dropout(device: &Device, seed: u64, epoch: usize) {
    device.seed(crate::seed::mix(
        seed,
        &[crate::seed::DROPOUT, epoch as u64],
    ));
}
