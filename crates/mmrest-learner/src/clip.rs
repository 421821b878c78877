//! Gradient norms and clipping: of the model and, apart, of the metrics.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::error::LearnerError;
use crate::model::MmRest;
use crate::objective::to_host;
use crate::state::GradientNorms;

/// The sum of squares of every gradient, on the device.
pub(crate) struct Squares {
    model: Vec<Tensor<1>>,
    metrics: Vec<Tensor<1>>,
}

impl Squares {
    /// All sums, the metrics' last.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor<1>> {
        self.model.iter().chain(&self.metrics).cloned()
    }

    /// The norms, from what [`Squares::tensors`] held.
    pub(crate) fn norms(&self, values: &[f32]) -> GradientNorms {
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>().sqrt();
        let (model, metrics) = values.split_at(self.model.len().min(values.len()));
        GradientNorms {
            model: norm(model),
            metrics: norm(metrics),
        }
    }

    /// The norms, by a read of their own.
    pub(crate) fn read(&self) -> Result<GradientNorms, LearnerError> {
        let tensors: Vec<_> = self.tensors().collect();
        let values = match tensors.is_empty() {
            true => Vec::new(),
            false => to_host(Tensor::cat(tensors, 0))?,
        };
        Ok(self.norms(&values))
    }
}

impl MmRest {
    /// The squares of a step's gradients.
    pub(crate) fn squares(&self, gradients: &GradientsParams) -> Squares {
        let of = |metrics: bool| {
            let mut visitor = SquaredSums {
                gradients,
                chosen: self.chosen(metrics),
                sums: Vec::new(),
            };
            self.visit(&mut visitor);
            visitor.sums
        };
        Squares {
            model: of(false),
            metrics: of(true),
        }
    }

    /// Clips the gradients of the model and, apart, of the metrics to their largest global norms, as
    /// `torch.nn.utils.clip_grad_norm_` does: g * min(1, max / (norm + 1e-6)).
    pub(crate) fn clip(
        &self,
        mut gradients: GradientsParams,
        norms: &GradientNorms,
    ) -> GradientsParams {
        let settings = self.context.settings();
        for (metrics, norm, max) in [
            (false, norms.model, settings.clip),
            (true, norms.metrics, settings.metric_clip),
        ] {
            let scale = max / (norm + 1e-6);
            if max > 0.0 && scale < 1.0 {
                self.visit(&mut Scale {
                    gradients: &mut gradients,
                    chosen: self.chosen(metrics),
                    scale,
                });
            }
        }
        gradients
    }

    /// The parameters of the metrics, or all others.
    fn chosen(&self, metrics: bool) -> Chosen {
        let ids = match &self.metric {
            Some(metric) => vec![metric.global.id, metric.local.id],
            None => Vec::new(),
        };
        Chosen { ids, metrics }
    }
}

/// The parameters of the metrics, or all others.
struct Chosen {
    ids: Vec<ParamId>,
    metrics: bool,
}

impl Chosen {
    fn has(&self, id: ParamId) -> bool {
        self.ids.contains(&id) == self.metrics
    }
}

struct SquaredSums<'a> {
    gradients: &'a GradientsParams,
    chosen: Chosen,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for SquaredSums<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.chosen.has(param.id)
            && let Some(gradient) = self.gradients.get::<D>(param.id)
        {
            self.sums.push(gradient.square().sum());
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    chosen: Chosen,
    scale: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.chosen.has(param.id)
            && let Some(gradient) = self.gradients.remove::<D>(param.id)
        {
            self.gradients
                .register(param.id, gradient.mul_scalar(self.scale));
        }
    }
}
