//! Adam in one pass over each parameter, on the CPU.
//!
//! burn's Adam is a dozen tensor operations a parameter, each a pass of one thread over memory. Here every value is read
//! and written once, on all threads, with the same operations in the same order: the numbers are burn's to the bit, and so
//! is the state, which goes through the same records.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{Adam, AdamConfig, AdamState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use mmrest_metric::{MomentStep, step_in_one_pass, steps_in_one_pass};

/// Parameters of [`OnePassAdam`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamParameters {
    /// Decay of the mean of the gradients.
    pub(crate) beta_1: f32,
    /// Decay of the mean of their squares.
    pub(crate) beta_2: f32,
    /// What is added to the corrected root of that mean.
    pub(crate) epsilon: f32,
    /// Coupled L2 penalty: it is part of the gradient.
    pub(crate) weight_decay: f32,
}

/// burn's [`Adam`], taken in one pass where the tensors are on the CPU and hold `f32`.
#[derive(Clone)]
pub(crate) struct OnePassAdam {
    parameters: AdamParameters,
    burn: Adam,
}

impl OnePassAdam {
    pub(crate) fn new(parameters: AdamParameters) -> Self {
        let decay = parameters.weight_decay;
        let burn = AdamConfig::new()
            .with_beta_1(parameters.beta_1)
            .with_beta_2(parameters.beta_2)
            .with_epsilon(parameters.epsilon)
            .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay)));
        Self {
            parameters,
            burn: burn.build(),
        }
    }
}

impl Optimizer for OnePassAdam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        match state {
            Some(state) if self.parameters.weight_decay > 0.0 && fits(&tensor, &grad, &state) => {
                let (tensor, state) = self.one_pass(lr, tensor, grad, state);
                (tensor, Some(state))
            }
            state => self.burn.step(lr, tensor, grad, state),
        }
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        Adam::to_device(state, device)
    }
}

impl OnePassAdam {
    fn one_pass<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: AdamState<D>,
    ) -> (Tensor<D>, AdamState<D>) {
        let AdaptiveMomentumState {
            time,
            moment_1,
            moment_2,
            ..
        } = state.momentum;
        let factors = Factors::at(&self.parameters, time + 1, lr);
        let (tensor, [moment_1, moment_2]) =
            step_in_one_pass(&factors, tensor, grad, [moment_1, moment_2]);
        let state = AdaptiveMomentumState::new(time + 1, moment_1, moment_2);
        (tensor, AdamState::new(state))
    }
}

/// What the values of a parameter are multiplied with in one step, as burn's Adam rounds it.
#[derive(Clone, Copy)]
struct Factors {
    weight_decay: f32,
    mean: [f32; 2],
    square: [f32; 2],
    corrected: f32,
    epsilon: f32,
    lr: f32,
}

impl Factors {
    fn at(parameters: &AdamParameters, time: usize, lr: LearningRate) -> Self {
        let AdamParameters {
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
        } = *parameters;
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        let root = (1.0 - beta_2.powi(time)).sqrt();
        Self {
            weight_decay,
            mean: [beta_1, 1.0 - beta_1],
            square: [beta_2, 1.0 - beta_2],
            corrected: root / (1.0 - beta_1.powi(time)),
            epsilon: epsilon * root,
            lr: lr as f32,
        }
    }
}

impl MomentStep for Factors {
    #[inline(always)]
    fn step(&self, parameter: f32, gradient: f32, [mean, square]: [&mut f32; 2]) -> f32 {
        let gradient = parameter * self.weight_decay + gradient;
        *mean = *mean * self.mean[0] + gradient * self.mean[1];
        *square = *square * self.square[0] + gradient * gradient * self.square[1];
        let step = *mean * self.corrected / (square.sqrt() + self.epsilon);
        parameter - step * self.lr
    }
}

/// Whether [`OnePassAdam::one_pass`] can take these.
fn fits<const D: usize>(tensor: &Tensor<D>, grad: &Tensor<D>, state: &AdamState<D>) -> bool {
    let momentum = &state.momentum;
    let moments = [&momentum.moment_1, &momentum.moment_2];
    momentum.max_moment_2.is_none() && steps_in_one_pass(tensor, grad, moments)
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::{GradientsParams, ModuleOptimizer};
    use burn::tensor::TensorData;

    use super::*;

    const PARAMETERS: AdamParameters = AdamParameters {
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 1e-4,
    };

    fn bits<const D: usize>(tensor: &Tensor<D>) -> Vec<u32> {
        let values: Vec<f32> = tensor.to_data().try_to_vec().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    /// Parameters and moments after some steps, of gradients that are the same whichever optimiser asks.
    fn steps<O: Optimizer<State<2> = AdamState<2>>>(
        optimizer: &O,
        shape: [usize; 2],
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
        let momentum = state.unwrap().momentum;
        assert_eq!(momentum.time, 6);
        vec![
            bits(&parameter),
            bits(&momentum.moment_1),
            bits(&momentum.moment_2),
        ]
    }

    #[test]
    fn every_bit_is_that_of_burn() {
        for weight_decay in [1e-4, 0.02] {
            let one_pass = OnePassAdam::new(AdamParameters {
                weight_decay,
                ..PARAMETERS
            });
            for shape in [[1, 1], [3, 5], [200, 173]] {
                let burn = steps(&one_pass.burn, shape);
                assert_eq!(steps(&one_pass, shape), burn, "{shape:?}");
            }
        }
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
        let new = || ModuleOptimizer::from(OnePassAdam::new(PARAMETERS));
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
