//! An exponential moving average of the weights (`train.ema`): what is evaluated and saved in their place.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use mmrest_kernels::gpu;

use super::gradients::flat;
use crate::error::LearnerError;
use crate::error::to_host;
use crate::tensor_file::TensorFile;

/// The name of the number of steps in the file.
const STEPS: &str = "steps";

/// The average of every parameter that has gradients; others stand as they are.
///
/// After step t, counted from 1: `average = d average + (1 - d) weights`, with `d = min(decay, (1 + t) / (10 + t))`, so that
/// the first weights do not outlive a short run.
#[derive(Clone, Debug)]
pub(crate) struct Ema {
    decay: f64,
    steps: u32,
    averages: HashMap<ParamId, Average>,
}

#[derive(Clone, Debug)]
struct Average {
    path: String,
    /// All values, in order.
    values: Tensor<1>,
}

impl Ema {
    /// The average before the first step: the weights of `model`, which is on an autodiff device.
    pub(crate) fn new<M: Module>(decay: f64, model: &M) -> Self {
        let mut ema = Self {
            decay,
            steps: 0,
            averages: HashMap::new(),
        };
        visit(model, |id, path, values| {
            let path = path.join(".");
            ema.averages.insert(id, Average { path, values });
        });
        ema
    }

    /// Takes the weights of a step.
    pub(crate) fn take<M: Module>(&mut self, model: &M) {
        self.steps += 1;
        let steps = f64::from(self.steps);
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        let averages = &mut self.averages;
        let (mut names, mut own, mut others) = (Vec::new(), Vec::new(), Vec::new());
        visit(model, |id, _, values| {
            let Some(Average {
                path,
                values: before,
            }) = averages.remove(&id)
            else {
                return;
            };
            if gpu::takes(&values) {
                names.push((id, path));
                own.push(before);
                others.push(values);
            } else {
                let values = before.mul_scalar(decay) + values.mul_scalar(1.0 - decay);
                averages.insert(id, Average { path, values });
            }
        });
        // A GPU's kernel writes over averages that nobody else holds.
        let shares = [decay, 1.0 - decay].map(|share| share as f32);
        let blended = gpu::many::blend(own, others, shares);
        for ((id, path), values) in names.into_iter().zip(blended) {
            averages.insert(id, Average { path, values });
        }
    }

    /// `model`, which is without autodiff, with the averages as its weights.
    pub(crate) fn put_into<M: Module>(&self, model: M) -> M {
        model.map(&mut Put(&self.averages))
    }

    /// The averages as a file's tensors.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub(crate) fn file(&self) -> Result<TensorFile, LearnerError> {
        let mut file = TensorFile::default();
        for average in self.averages.values() {
            let values = to_host(average.values.clone())?;
            file.add_floats(&average.path, &[values.len()], values);
        }
        // Exact as a float: a run has fewer than 2^24 steps, or its average no longer depends on their number.
        file.add_floats(STEPS, &[1], [self.steps.min(1 << 24) as f32]);
        Ok(file)
    }

    /// Goes on from the averages of a file.
    ///
    /// # Errors
    ///
    /// A tensor is missing or of another size.
    pub(crate) fn restore(&mut self, file: &TensorFile) -> Result<(), String> {
        let floats = |name: &str, count: usize| match file.floats(name) {
            Some((_, values)) if values.len() == count => Ok(values),
            Some((_, values)) => Err(format!(
                "has {} numbers of `{name}`, expected {count}",
                values.len()
            )),
            None => Err(format!("has no tensor `{name}`")),
        };
        self.steps = floats(STEPS, 1)?.first().copied().unwrap_or(0.0) as u32;
        for average in self.averages.values_mut() {
            let [count] = average.values.dims();
            let values = floats(&average.path, count)?;
            let device = average.values.device();
            average.values = Tensor::from_data(&values[..], &device);
        }
        Ok(())
    }
}

/// Calls `f` with every parameter that has gradients: its number, its path, its values without autodiff.
fn visit<M: Module>(model: &M, f: impl FnMut(ParamId, &[String], Tensor<1>)) {
    model.visit(&mut Weights {
        path: Vec::new(),
        f,
    });
}

struct Weights<F> {
    path: Vec<String>,
    f: F,
}

impl<F: FnMut(ParamId, &[String], Tensor<1>)> ModuleVisitor for Weights<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            (self.f)(param.id, &self.path, flat(param.val().inner()));
        }
    }
}

struct Put<'a>(&'a HashMap<ParamId, Average>);

impl ModuleMapper for Put<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = match self.0.get(&id) {
            Some(average) => average.values.clone().reshape(tensor.dims()),
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}
