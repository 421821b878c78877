//! Gradient norms and clipping, by groups of parameters.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use mmrest_models::GradientGroup;

use super::non_finite::NonFinite;
use super::schedule::parameter_group;
use crate::error::{LearnerError, to_host};

/// Groups of parameters whose gradients are measured and clipped together.
#[derive(Clone, Debug)]
pub(crate) struct GradientGroups {
    groups: Vec<GradientGroup>,
    /// Of each group but the first, which holds what no other takes.
    patterns: Vec<ParamGroup>,
}

impl GradientGroups {
    /// The groups of a recipe.
    ///
    /// # Errors
    ///
    /// A pattern is no regular expression.
    pub(crate) fn new(groups: &[GradientGroup]) -> Result<Self, LearnerError> {
        let patterns = groups.iter().skip(1);
        let patterns = patterns.map(|group| parameter_group(group.pattern));
        Ok(Self {
            groups: groups.to_vec(),
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// The sum of squares of every gradient, on the device.
    pub(crate) fn squares<M: Module>(&self, model: &M, gradients: &GradientsParams) -> Squares {
        let mut visitor = SquaredSums {
            groups: self,
            gradients,
            path: Vec::new(),
            sums: vec![Vec::new(); self.groups.len()],
        };
        model.visit(&mut visitor);
        Squares(visitor.sums)
    }

    /// Clips the gradients of each group to its largest global norm, as `torch.nn.utils.clip_grad_norm_` does:
    /// g * min(1, max / (norm + 1e-6)). `norms` are the groups'.
    pub(crate) fn clip<M: Module>(
        &self,
        model: &M,
        mut gradients: GradientsParams,
        norms: &[f64],
    ) -> GradientsParams {
        let scales: Vec<Option<f64>> = self
            .groups
            .iter()
            .zip(norms)
            .map(|(group, norm)| {
                let scale = group.max_norm / (norm + 1e-6);
                (group.max_norm > 0.0 && scale < 1.0).then_some(scale)
            })
            .collect();
        if scales.iter().any(Option::is_some) {
            model.visit(&mut Scale {
                groups: self,
                gradients: &mut gradients,
                path: Vec::new(),
                scales,
            });
        }
        gradients
    }

    /// A norm that is infinite though no gradient alone is.
    pub(crate) fn too_large(&self, norms: &[f64]) -> NonFinite {
        let mut found = self.groups.iter().zip(norms);
        let found = found.find(|(_, norm)| !norm.is_finite());
        let (name, value) = found.map_or(("", f64::NAN), |(group, norm)| (group.name, *norm));
        let of = if name.is_empty() { "model" } else { name };
        NonFinite {
            part: "gradient",
            tensor: format!("norm of the gradients of the {of}"),
            value: value as f32,
            row: None,
        }
    }

    /// The group of a parameter.
    fn of<const D: usize>(&self, param: &Param<Tensor<D>>, path: &[String]) -> usize {
        let path = path.join(".");
        let mut patterns = self.patterns.iter();
        let found = patterns.rposition(|group| group.matches(&param.id, Some(&path)));
        found.map_or(0, |place| place + 1)
    }
}

/// The sums of squares of gradients, on the device, by group.
pub(crate) struct Squares(Vec<Vec<Tensor<1>>>);

impl Squares {
    /// All sums, group after group.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor<1>> {
        self.0.iter().flatten().cloned()
    }

    /// The norm of each group, from the values of [`Squares::tensors`].
    pub(crate) fn norms(&self, values: &[f32]) -> Vec<f64> {
        let mut rest = values;
        let norm = |sums: &Vec<Tensor<1>>| {
            let (own, others) = rest.split_at(sums.len().min(rest.len()));
            rest = others;
            own.iter().map(|&v| f64::from(v)).sum::<f64>().sqrt()
        };
        self.0.iter().map(norm).collect()
    }

    /// The norms, by a read of their own.
    pub(crate) fn read(&self) -> Result<Vec<f64>, LearnerError> {
        let tensors: Vec<_> = self.tensors().collect();
        let values = if tensors.is_empty() {
            Vec::new()
        } else {
            to_host(Tensor::cat(tensors, 0))?
        };
        Ok(self.norms(&values))
    }
}

struct SquaredSums<'a> {
    groups: &'a GradientGroups,
    gradients: &'a GradientsParams,
    path: Vec<String>,
    sums: Vec<Vec<Tensor<1>>>,
}

impl ModuleVisitor for SquaredSums<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let group = self.groups.of(param, &self.path);
            self.sums[group].push(gradient.square().sum());
        }
    }
}

struct Scale<'a> {
    groups: &'a GradientGroups,
    gradients: &'a mut GradientsParams,
    path: Vec<String>,
    scales: Vec<Option<f64>>,
}

impl ModuleVisitor for Scale<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let group = self.groups.of(param, &self.path);
        if let Some(scale) = self.scales[group]
            && let Some(gradient) = self.gradients.remove::<D>(param.id)
        {
            let scaled = gradient.mul_scalar(scale);
            self.gradients.register(param.id, scaled);
        }
    }
}
