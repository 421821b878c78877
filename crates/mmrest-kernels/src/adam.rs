//! Fused Adam: the optimiser's step in one pass over each parameter, on the CPU.
//!
//! burn's Adam is a dozen tensor operations for each parameter, each a pass of one thread over memory with new memory for
//! its result. Here every value is read and written once, on all threads ([`step_in_one_pass`]). [`FusedAdam`] does so
//! with burn's operations in burn's order: its numbers are burn's to the bit, and so is its state, which goes through the
//! same records. On a GPU a launch takes the steps of many parameters ([`map_together`]), and rounds as the GPU does. An
//! optimiser of the same kind with another formula implements [`MomentStep`].

mod together;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{Adam, AdamConfig, AdamState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use faer::traits::pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use self::together::Step;
pub use self::together::{Moments, map_together};
use crate::gpu;
use crate::operation::{flex, takes, tensor};
use crate::vector::BLOCK;

/// A step of an optimiser that keeps two moments of the gradients, value by value.
pub trait MomentStep: Copy + Send + Sync {
    /// The parameter's new value, given the old one and its gradient; the moments move on.
    ///
    /// To be computed on vectors it has to be `#[inline(always)]`.
    fn step(&self, parameter: f32, gradient: f32, moments: [&mut f32; 2]) -> f32;
}

/// Whether [`step_in_one_pass`] can take these: all are on the CPU, hold `f32` and have one shape.
#[must_use]
pub fn steps_in_one_pass<const D: usize>(
    parameter: &Tensor<D>,
    gradient: &Tensor<D>,
    moments: [&Tensor<D>; 2],
) -> bool {
    let shape = parameter.dims();
    let all = [parameter, gradient, moments[0], moments[1]];
    let alike = |one: &Tensor<D>| takes(one) && one.dims() == shape && !one.device().is_autodiff();
    all.into_iter().all(alike)
}

/// One step: the parameter's new values, and the moments'. Gradient and moments give their memory to the result where
/// nobody else holds them.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_kernels::adam::{MomentStep, step_in_one_pass};
///
/// /// Stochastic gradient descent whose momentum is the first moment; it has no use for the second.
/// #[derive(Clone, Copy)]
/// struct Momentum;
///
/// impl MomentStep for Momentum {
///     #[inline(always)]
///     fn step(&self, parameter: f32, gradient: f32, [momentum, _]: [&mut f32; 2]) -> f32 {
///         *momentum = 0.5 * *momentum + gradient;
///         parameter - 0.1 * *momentum
///     }
/// }
///
/// let tensor = |values: [f32; 2]| Tensor::<1>::from_data(values, &Device::flex());
/// let moments = [tensor([2.0, 0.0]), tensor([0.0, 0.0])];
/// let (parameter, [momentum, _]) =
///     step_in_one_pass(&Momentum, tensor([1.0, 1.0]), tensor([1.0, 0.0]), moments);
/// assert_eq!(momentum.into_data().try_to_vec::<f32>().unwrap(), [2.0, 0.0]);
/// assert_eq!(parameter.into_data().try_to_vec::<f32>().unwrap(), [0.8, 1.0]);
/// ```
///
/// # Panics
///
/// On tensors that [`steps_in_one_pass`] refuses.
#[must_use]
pub fn step_in_one_pass<const D: usize>(
    step: &impl MomentStep,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let fits = steps_in_one_pass(&parameter, &gradient, moments.each_ref());
    assert!(
        fits,
        "tensors of the CPU, of single precision, of one shape and without autodiff"
    );
    let parameter = flex(parameter);
    let mut out = flex(gradient);
    let [mut first, mut second] = moments.map(flex);
    let moments = [first.storage_mut(), second.storage_mut()];
    apply(step, parameter.storage(), out.storage_mut(), moments);
    (tensor(out), [first, second].map(tensor))
}

/// `out` holds the gradients and gets the parameters' new values.
fn apply<S: MomentStep>(step: &S, parameters: &[f32], out: &mut [f32], moments: [&mut [f32]; 2]) {
    let widest = Arch::new();
    let [first, second] = moments;
    if out.len() <= BLOCK {
        return widest.dispatch(Block(step, parameters, out, [first, second]));
    }
    out.par_chunks_mut(BLOCK)
        .zip(parameters.par_chunks(BLOCK))
        .zip(first.par_chunks_mut(BLOCK))
        .zip(second.par_chunks_mut(BLOCK))
        .for_each(|(((out, parameters), first), second)| {
            widest.dispatch(Block(step, parameters, out, [first, second]));
        });
}

/// The step of some values, compiled for the widest vectors of the processor: parameters, gradients, moments.
struct Block<'a, S>(&'a S, &'a [f32], &'a mut [f32], [&'a mut [f32]; 2]);

impl<S: MomentStep> NullaryFnOnce for Block<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(step, parameters, out, [first, second]) = self;
        let step = *step;
        let moments = first.iter_mut().zip(second);
        for ((out, &parameter), (first, second)) in out.iter_mut().zip(parameters).zip(moments) {
            *out = step.step(parameter, *out, [first, second]);
        }
    }
}

/// Parameters of [`FusedAdam`].
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::optim::{GradientsParams, ModuleOptimizer};
/// use burn::prelude::*;
/// use mmrest_kernels::adam::FusedAdamConfig;
///
/// let device = Device::flex().autodiff();
/// let linear = LinearConfig::new(4, 3).init(&device);
/// let config = FusedAdamConfig { weight_decay: 1e-4, ..Default::default() };
/// let mut optimizer = ModuleOptimizer::from(config.build());
/// let loss = linear.forward(Tensor::<2>::ones([2, 4], &device)).sum();
/// let gradients = GradientsParams::from_grads(loss.backward(), &linear);
/// let linear = optimizer.step(1e-3, linear, gradients);
/// # let _ = linear;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FusedAdamConfig {
    /// Decay of the mean of the gradients.
    pub beta_1: f32,
    /// Decay of the mean of their squares.
    pub beta_2: f32,
    /// What is added to the corrected root of that mean.
    pub epsilon: f32,
    /// Weight decay, coupled or decoupled.
    pub weight_decay: f32,
    /// Whether the decay is AdamW's: the parameter is multiplied with `1 - lr * weight_decay` before the step. Otherwise it
    /// is an L2 penalty, part of the gradient.
    pub decoupled: bool,
}

impl Default for FusedAdamConfig {
    /// PyTorch's defaults, without weight decay.
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

/// burn's [`Adam`], taken in one pass where the tensors hold `f32` and are on the CPU or a GPU whose kernels are built in.
#[derive(Clone)]
pub struct FusedAdam {
    config: FusedAdamConfig,
    burn: Adam,
}

impl FusedAdamConfig {
    /// The bare optimiser, for one parameter group of a [`ModuleOptimizer`](burn::optim::ModuleOptimizer).
    #[must_use]
    pub fn build(self) -> FusedAdam {
        let decay = if self.decoupled {
            0.0
        } else {
            self.weight_decay
        };
        let burn = AdamConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(self.epsilon)
            .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay)));
        FusedAdam {
            config: self,
            burn: burn.build(),
        }
    }
}

impl Optimizer for FusedAdam {
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Moments<D>>,
    ) -> (Tensor<D>, Option<Moments<D>>) {
        match state.and_then(Moments::state) {
            Some(state) if fits(&tensor, &grad, &state) => {
                let momentum = state.momentum;
                let moments = [momentum.moment_1, momentum.moment_2];
                let time = momentum.time + 1;
                let factors = Factors::at(&self.config, time, lr);
                let (tensor, moments) = step_in_one_pass(&factors, tensor, grad, moments);
                (tensor, Some(state_of(time, moments).into()))
            }
            state if fits_gpu(&tensor, &grad, state.as_ref()) => {
                let (tensor, moments) = self.step_on_gpu(lr, tensor, grad, state);
                (tensor, Some(moments))
            }
            state => {
                let tensor = match self.config.shrink(lr) {
                    1.0 => tensor,
                    shrink => tensor.mul_scalar(shrink),
                };
                let (tensor, state) = self.burn.step(lr, tensor, grad, state);
                (tensor, state.map(Moments::from))
            }
        }
    }

    fn to_device<const D: usize>(moments: Moments<D>, device: &Device) -> Moments<D> {
        match moments.state() {
            Some(state) => Adam::to_device(state, device).into(),
            None => Moments::later(),
        }
    }
}

impl FusedAdamConfig {
    /// What decoupled decay multiplies a parameter with.
    fn shrink(&self, lr: LearningRate) -> f32 {
        if self.decoupled {
            (1.0 - lr * f64::from(self.weight_decay)) as f32
        } else {
            1.0
        }
    }
}

impl FusedAdam {
    /// One step on a GPU, at once or with others; the parameter keeps its values until then.
    fn step_on_gpu<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Moments<D>) {
        let dims = tensor.dims();
        let (time, [first, second]) = match state {
            Some(AdamState { momentum }) => {
                (momentum.time + 1, [momentum.moment_1, momentum.moment_2])
            }
            None => (1, [tensor.zeros_like(), tensor.zeros_like()]),
        };
        let moments = Moments::later();
        let later = moments.clone();
        let keep = move |moments: [Tensor<1>; 2]| {
            later.set(state_of(time, moments.map(|moment| moment.reshape(dims))));
        };
        let count = tensor.shape().num_elements();
        let parts = [tensor.clone(), grad, first, second];
        let step = Step {
            parts: parts.map(|part| part.reshape([count])),
            factors: Factors::at(&self.config, time, lr).all(),
            keep: Box::new(keep),
        };
        let values = step.now_or_later();
        (
            values.map_or(tensor, |values| values.reshape(dims)),
            moments,
        )
    }
}

/// burn's state after so many steps.
fn state_of<const D: usize>(time: usize, [first, second]: [Tensor<D>; 2]) -> AdamState<D> {
    AdamState::new(AdaptiveMomentumState::new(time, first, second))
}

/// What the values of a parameter are multiplied with in one step, as burn's Adam rounds it.
#[derive(Clone, Copy)]
struct Factors {
    weight_decay: f32,
    shrink: f32,
    mean: [f32; 2],
    square: [f32; 2],
    corrected: f32,
    epsilon: f32,
    lr: f32,
}

impl Factors {
    fn at(parameters: &FusedAdamConfig, time: usize, lr: LearningRate) -> Self {
        let FusedAdamConfig {
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            decoupled,
        } = *parameters;
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        let root = (1.0 - beta_2.powi(time)).sqrt();
        Self {
            weight_decay: if decoupled { 0.0 } else { weight_decay },
            shrink: parameters.shrink(lr),
            mean: [beta_1, 1.0 - beta_1],
            square: [beta_2, 1.0 - beta_2],
            corrected: root / (1.0 - beta_1.powi(time)),
            epsilon: epsilon * root,
            lr: lr as f32,
        }
    }

    /// In the order of a GPU's kernel.
    fn all(&self) -> gpu::adam::Factors {
        let ([keep_1, add_1], [keep_2, add_2]) = (self.mean, self.square);
        [
            self.weight_decay,
            self.shrink,
            keep_1,
            add_1,
            keep_2,
            add_2,
            self.corrected,
            self.epsilon,
            self.lr,
        ]
    }
}

impl MomentStep for Factors {
    #[inline(always)]
    fn step(&self, parameter: f32, gradient: f32, [mean, square]: [&mut f32; 2]) -> f32 {
        let gradient = parameter * self.weight_decay + gradient;
        let parameter = parameter * self.shrink;
        *mean = *mean * self.mean[0] + gradient * self.mean[1];
        *square = *square * self.square[0] + gradient * gradient * self.square[1];
        let step = *mean * self.corrected / (square.sqrt() + self.epsilon);
        parameter - step * self.lr
    }
}

/// Whether [`step_in_one_pass`] can take these.
fn fits<const D: usize>(tensor: &Tensor<D>, grad: &Tensor<D>, state: &AdamState<D>) -> bool {
    let momentum = &state.momentum;
    let moments = [&momentum.moment_1, &momentum.moment_2];
    momentum.max_moment_2.is_none() && steps_in_one_pass(tensor, grad, moments)
}

/// Whether a GPU's kernel can take these.
fn fits_gpu<const D: usize>(
    tensor: &Tensor<D>,
    grad: &Tensor<D>,
    state: Option<&AdamState<D>>,
) -> bool {
    let fits = |one: &Tensor<D>| gpu::takes(one) && !one.device().is_autodiff();
    let moments = state.is_none_or(|state| {
        let AdaptiveMomentumState {
            moment_1,
            moment_2,
            max_moment_2,
            ..
        } = &state.momentum;
        max_moment_2.is_none() && fits(moment_1) && fits(moment_2)
    });
    moments && fits(tensor) && fits(grad)
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::{GradientsParams, ModuleOptimizer};
    use burn::tensor::TensorData;

    use super::*;

    const PARAMETERS: FusedAdamConfig = FusedAdamConfig {
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 1e-4,
        decoupled: false,
    };

    fn bits<const D: usize>(tensor: &Tensor<D>) -> Vec<u32> {
        let values: Vec<f32> = tensor.to_data().try_to_vec().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    /// Parameters and moments after some steps, of gradients that are the same whichever optimiser asks.
    fn steps<O: Optimizer>(
        optimizer: &O,
        shape: [usize; 2],
        state_of: impl Fn(O::State<2>) -> AdamState<2>,
    ) -> Vec<Vec<u32>> {
        let device = Device::flex();
        let values = |seed: usize| {
            let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
            let values: Vec<f32> = (0..shape[0] * shape[1]).map(value).collect();
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let (mut parameter, mut state) = (values(0), None);
        let kept = parameter.clone();
        for step in 1..=6 {
            // Some gradients are views, and some are held by others too.
            let grad = match step % 3 {
                0 => values(step).transpose().transpose(),
                1 => Tensor::cat(vec![values(step), values(7)], 0).narrow(0, shape[0], shape[0]),
                _ => values(step),
            };
            let held = (step % 2 == 0).then(|| (grad.clone(), bits(&grad)));
            (parameter, state) = optimizer.step(1e-3 * step as f64, parameter, grad, state);
            if let Some((grad, before)) = held {
                assert_eq!(
                    bits(&grad),
                    before,
                    "a gradient that is held by another stays"
                );
            }
        }
        assert_eq!(bits(&kept), bits(&values(0)), "so does a parameter");
        let momentum = state_of(state.unwrap()).momentum;
        assert_eq!(momentum.time, 6);
        vec![
            bits(&parameter),
            bits(&momentum.moment_1),
            bits(&momentum.moment_2),
        ]
    }

    #[test]
    fn every_bit_is_that_of_burn() {
        for weight_decay in [0.0, 1e-4, 0.02] {
            let one_pass = FusedAdamConfig {
                weight_decay,
                ..PARAMETERS
            }
            .build();
            for shape in [[1, 1], [3, 5], [200, 173]] {
                let burn = steps(&one_pass.burn, shape, |state| state);
                let own = steps(&one_pass, shape, |moments| moments.state().unwrap());
                assert_eq!(own, burn, "{shape:?}");
            }
        }
    }

    #[test]
    fn decoupled_decay_shrinks_the_parameter_before_the_step_alone() {
        let device = Device::flex();
        let values = |values: [f32; 3]| Tensor::<1>::from_data(values, &device);
        let (decay, lr) = (0.1, 0.05);
        let with = |weight_decay, decoupled| FusedAdamConfig {
            weight_decay,
            decoupled,
            ..FusedAdamConfig::default()
        };
        let (decayed, plain) = (with(decay, true).build(), with(0.0, false).build());
        let (mut a, mut b) = (values([1.0, -2.0, 0.5]), values([1.0, -2.0, 0.5]));
        let (mut a_state, mut b_state) = (None, None);
        for step in 0..4 {
            let grad = values([0.3, -0.1 * step as f32, 1e-3]);
            (a, a_state) = decayed.step(lr, a, grad.clone(), a_state);
            b = b.mul_scalar(1.0 - lr * f64::from(decay));
            (b, b_state) = plain.step(lr, b, grad, b_state);
            let host = |tensor: &Tensor<1>| tensor.to_data().try_to_vec::<f32>().unwrap();
            for (a, b) in host(&a).into_iter().zip(host(&b)) {
                assert!((a - b).abs() <= 1e-7 * b.abs().max(1.0), "{a} and {b}");
            }
        }
        let moments = |moments: Moments<1>| bits(&moments.state().unwrap().momentum.moment_2);
        assert_eq!(moments(a_state.unwrap()), moments(b_state.unwrap()));
    }

    #[test]
    fn a_state_goes_through_a_record() {
        let device = Device::flex().autodiff();
        let linear = LinearConfig::new(4, 3).init(&device);
        let step = |optimizer: &mut ModuleOptimizer, linear: Linear, seed: i32| {
            let x = Tensor::<2>::full([2, 4], seed, &device);
            let gradients = linear.forward(x).powi_scalar(2).sum().backward();
            let gradients = GradientsParams::from_grads(gradients, &linear);
            optimizer.step(0.01, linear, gradients)
        };
        let new = || ModuleOptimizer::from(PARAMETERS.build());
        let mut first = new();
        let linear = step(&mut first, linear, 1);
        let linear = step(&mut first, linear, 2);
        let mut second = new().from_bytes(first.into_bytes().unwrap()).unwrap();
        let one = step(&mut first, linear.clone(), 3);
        let other = step(&mut second, linear, 3);
        assert_eq!(
            bits(&one.weight.val().inner()),
            bits(&other.weight.val().inner())
        );
    }
}
