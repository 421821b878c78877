//! Gradient norms and clipping, by groups of parameters.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use mmrest_kernels::gpu;
use mmrest_kernels::gradient::{clamp, scale, sum_of_squares};
use mmrest_kernels::operation::takes;
use mmrest_models::{Clip, GradientGroup};

use super::non_finite::NonFinite;
use super::schedule::parameter_group;
use crate::error::{LearnerError, to_host};

/// Parameters in groups: a later group takes a parameter from an earlier one, the first holds what no other takes.
#[derive(Clone, Debug)]
pub(crate) struct ParameterGroups(Vec<ParamGroup>);

impl ParameterGroups {
    /// The groups of these patterns, in their order.
    ///
    /// # Errors
    ///
    /// A pattern is no regular expression.
    pub(crate) fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Self, LearnerError> {
        let others = patterns.skip(1).map(parameter_group);
        Ok(Self(others.collect::<Result<_, _>>()?))
    }

    /// The place of a parameter's group.
    pub(crate) fn of<const D: usize>(&self, param: &Param<Tensor<D>>, path: &[String]) -> usize {
        let path = path.join(".");
        let mut patterns = self.0.iter();
        let found = patterns.rposition(|group| group.matches(&param.id, Some(&path)));
        found.map_or(0, |place| place + 1)
    }
}

/// Groups of parameters whose gradients are measured and clipped together.
#[derive(Clone, Debug)]
pub(crate) struct GradientGroups {
    groups: Vec<GradientGroup>,
    parameters: ParameterGroups,
}

impl GradientGroups {
    /// The groups of a recipe.
    ///
    /// # Errors
    ///
    /// A pattern is no regular expression.
    pub(crate) fn new(groups: &[GradientGroup]) -> Result<Self, LearnerError> {
        Ok(Self {
            groups: groups.to_vec(),
            parameters: ParameterGroups::new(groups.iter().map(|group| group.pattern))?,
        })
    }

    /// The sum of squares of every gradient, on the device.
    pub(crate) fn squares<M: Module>(&self, model: &M, gradients: &GradientsParams) -> Squares {
        let mut visitor = SquaredSums {
            groups: self,
            gradients,
            path: Vec::new(),
            sums: vec![Vec::new(); self.groups.len()],
            on_gpu: vec![Vec::new(); self.groups.len()],
        };
        model.visit(&mut visitor);
        let mut sums = visitor.sums;
        for (sums, flat) in sums.iter_mut().zip(visitor.on_gpu) {
            sums.extend(gpu::many::squares(flat));
        }
        Squares(sums)
    }

    /// Clips the gradients of the groups that are clipped by norm, as `torch.nn.utils.clip_grad_norm_` does:
    /// `g * min(1, max / (norm + 1e-6))`. `norms` are the groups'.
    pub(crate) fn clip_norms<M: Module>(
        &self,
        model: &M,
        gradients: GradientsParams,
        norms: &[f64],
    ) -> GradientsParams {
        let change = |(group, norm): (&GradientGroup, &f64)| match group.clip {
            Clip::Norm(max) => {
                let scale = max / (norm + 1e-6);
                (scale < 1.0).then_some(Change::Scale(scale))
            }
            Clip::Off | Clip::Value(_) => None,
        };
        let changes = self.groups.iter().zip(norms).map(change).collect();
        self.parameters.change(model, gradients, changes)
    }

    /// Clips the gradients of the groups that are clipped by value, as `torch.nn.utils.clip_grad_value_` does.
    pub(crate) fn clip_values<M: Module>(
        &self,
        model: &M,
        gradients: GradientsParams,
    ) -> GradientsParams {
        let change = |group: &GradientGroup| match group.clip {
            Clip::Value(max) => Some(Change::Clamp(max)),
            Clip::Off | Clip::Norm(_) => None,
        };
        let changes = self.groups.iter().map(change).collect();
        self.parameters.change(model, gradients, changes)
    }

    /// Whether any group is clipped by value.
    pub(crate) fn by_value(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| matches!(group.clip, Clip::Value(_)))
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
}

/// Sums of squares of gradients, one or several of each, on the device, by group.
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
            let count: usize = sums.iter().map(|sums| sums.dims()[0]).sum();
            let (own, others) = rest.split_at(count.min(rest.len()));
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
    /// Gradients that a GPU's kernel squares, flat.
    on_gpu: Vec<Vec<Tensor<1>>>,
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
            let group = self.groups.parameters.of(param, &self.path);
            if gpu::takes(&gradient) {
                self.on_gpu[group].push(flat(gradient));
            } else {
                self.sums[group].push(squares(gradient));
            }
        }
    }
}

/// The sum of a gradient's squares.
fn squares<const D: usize>(gradient: Tensor<D>) -> Tensor<1> {
    if takes(&gradient) {
        return sum_of_squares(gradient);
    }
    gradient.square().sum()
}

/// All values of a tensor, in order.
pub(super) fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

/// What happens to the gradients of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// They are multiplied.
    Scale(f64),
    /// Every entry is held in `[-max, max]`.
    Clamp(f64),
    /// They are dropped.
    Drop,
}

impl ParameterGroups {
    /// Changes gradients by group; those of a group without a change stay as they are.
    pub(crate) fn change<M: Module>(
        &self,
        model: &M,
        mut gradients: GradientsParams,
        changes: Vec<Option<Change>>,
    ) -> GradientsParams {
        if !changes.iter().any(Option::is_some) {
            return gradients;
        }
        let mut visitor = Changes {
            groups: self,
            gradients: &mut gradients,
            path: Vec::new(),
            on_gpu: vec![Vec::new(); changes.len()],
            changes,
        };
        model.visit(&mut visitor);
        let Changes {
            on_gpu, changes, ..
        } = visitor;
        let mut changed = HashMap::new();
        for (together, change) in on_gpu.into_iter().zip(changes) {
            let (ids, own): (Vec<_>, Vec<_>) = together.into_iter().unzip();
            let own = match change {
                Some(Change::Scale(scale)) => gpu::many::scale(own, scale as f32),
                Some(Change::Clamp(max)) => gpu::many::clamp(own, max as f32),
                Some(Change::Drop) | None => continue,
            };
            changed.extend(ids.into_iter().zip(own));
        }
        if !changed.is_empty() {
            model.visit(&mut Put {
                gradients: &mut gradients,
                changed,
            });
        }
        gradients
    }
}

struct Changes<'a> {
    groups: &'a ParameterGroups,
    gradients: &'a mut GradientsParams,
    path: Vec<String>,
    changes: Vec<Option<Change>>,
    /// Gradients that a GPU's kernel changes, flat, by group.
    on_gpu: Vec<Vec<(ParamId, Tensor<1>)>>,
}

/// Registers gradients that are known flat.
struct Put<'a> {
    gradients: &'a mut GradientsParams,
    changed: HashMap<ParamId, Tensor<1>>,
}

impl ModuleVisitor for Put<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(changed) = self.changed.remove(&param.id) {
            let gradient = changed.reshape(param.dims());
            self.gradients.register(param.id, gradient);
        }
    }
}

impl ModuleVisitor for Changes<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let group = self.groups.of(param, &self.path);
        if let Some(change) = self.changes[group]
            && let Some(gradient) = self.gradients.remove::<D>(param.id)
        {
            let changed = match change {
                Change::Drop => return,
                _ if gpu::takes(&gradient) => {
                    self.on_gpu[group].push((param.id, flat(gradient)));
                    return;
                }
                Change::Scale(by) if takes(&gradient) => scale(gradient, by as f32),
                Change::Scale(by) => gradient.mul_scalar(by),
                Change::Clamp(max) if takes(&gradient) => clamp(gradient, max as f32),
                Change::Clamp(max) => gradient.clamp(-max, max),
            };
            self.gradients.register(param.id, changed);
        }
    }
}
