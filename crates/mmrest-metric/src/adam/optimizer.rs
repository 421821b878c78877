//! `PsdAdam`, Adam of the metrics as an optimiser of burn.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_kernels::adam::{MomentStep, step_in_one_pass, steps_in_one_pass};

use super::PsdAdamConfig;

/// Adam whose `epsilon` is added to the *uncorrected* `sqrt(v)` and whose weight decay is part of the gradient.
/// After each step [`MultiMetric::project_psd`](crate::MultiMetric::project_psd) is called.
/// [`PsdAdamConfig`] has the formulas.
///
/// Its state is two tensors and the step count, and goes through burn's optimiser records.
///
/// ```
/// use burn::optim::GradientsParams;
/// use burn::tensor::Device;
/// use mmrest_metric::{MultiMetricConfig, PsdAdamConfig};
///
/// let metric = MultiMetricConfig { dim: 2, clusters: 1, ridge: 0.0 }.init(&Device::flex().autodiff());
/// let mut optimizer = PsdAdamConfig::default().init();
/// let loss = metric.global.val().sum();
/// let gradients = GradientsParams::from_grads(loss.backward(), &metric);
/// let metric = optimizer.step(0.1, metric, gradients).project_psd()?;
/// assert!(metric.is_psd(1e-6)?);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PsdAdam {
    pub(super) config: PsdAdamConfig,
}

/// What [`PsdAdam`] remembers of a parameter.
#[derive(Clone, Debug)]
pub struct PsdAdamState<const D: usize> {
    /// Steps taken.
    pub time: u64,
    /// Mean of the gradients (`m`).
    pub moment_1: Tensor<D>,
    /// Mean of their squares (`v`).
    pub moment_2: Tensor<D>,
}

impl Optimizer for PsdAdam {
    type State<const D: usize> = PsdAdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<PsdAdamState<D>>,
    ) -> (Tensor<D>, Option<PsdAdamState<D>>) {
        match state {
            Some(state)
                if steps_in_one_pass(&tensor, &grad, [&state.moment_1, &state.moment_2]) =>
            {
                let time = state.time + 1;
                let moments = [state.moment_1, state.moment_2];
                let factors = Factors::at(&self.config, time, lr);
                let (tensor, [moment_1, moment_2]) =
                    step_in_one_pass(&factors, tensor, grad, moments);
                let state = PsdAdamState {
                    time,
                    moment_1,
                    moment_2,
                };
                (tensor, Some(state))
            }
            state => self.by_operations(lr, tensor, grad, state),
        }
    }

    fn to_device<const D: usize>(state: PsdAdamState<D>, device: &Device) -> PsdAdamState<D> {
        PsdAdamState {
            time: state.time,
            moment_1: state.moment_1.to_device(device),
            moment_2: state.moment_2.to_device(device),
        }
    }
}

impl PsdAdam {
    /// The step by burn's operations, for any device and the first one.
    fn by_operations<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<PsdAdamState<D>>,
    ) -> (Tensor<D>, Option<PsdAdamState<D>>) {
        let PsdAdamConfig {
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
        } = self.config;
        let grad = grad + tensor.clone().mul_scalar(weight_decay);
        let fresh_1 = grad.clone().mul_scalar(1.0 - beta_1);
        let fresh_2 = grad.square().mul_scalar(1.0 - beta_2);
        let state = match state {
            None => PsdAdamState {
                time: 1,
                moment_1: fresh_1,
                moment_2: fresh_2,
            },
            Some(old) => PsdAdamState {
                time: old.time + 1,
                moment_1: old.moment_1.mul_scalar(beta_1) + fresh_1,
                moment_2: old.moment_2.mul_scalar(beta_2) + fresh_2,
            },
        };
        let size = self.config.step_size(state.time, lr);
        let scale = state.moment_2.clone().sqrt().add_scalar(epsilon);
        let delta = (state.moment_1.clone() / scale).mul_scalar(size);
        (tensor - delta, Some(state))
    }
}

/// What the values of a parameter are multiplied with in one step, rounded as burn's operations round it.
#[derive(Clone, Copy)]
struct Factors {
    weight_decay: f32,
    mean: [f32; 2],
    square: [f32; 2],
    epsilon: f32,
    size: f32,
}

impl Factors {
    fn at(config: &PsdAdamConfig, time: u64, lr: LearningRate) -> Self {
        let decay = |beta: f64| [beta as f32, (1.0 - beta) as f32];
        Self {
            weight_decay: config.weight_decay as f32,
            mean: decay(config.beta_1),
            square: decay(config.beta_2),
            epsilon: config.epsilon as f32,
            size: config.step_size(time, lr) as f32,
        }
    }
}

impl MomentStep for Factors {
    #[inline(always)]
    fn step(&self, parameter: f32, gradient: f32, [mean, square]: [&mut f32; 2]) -> f32 {
        let gradient = gradient + parameter * self.weight_decay;
        *mean = *mean * self.mean[0] + gradient * self.mean[1];
        *square = *square * self.square[0] + gradient * gradient * self.square[1];
        parameter - *mean / (square.sqrt() + self.epsilon) * self.size
    }
}

impl<const D: usize> RecordState for PsdAdamState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, "time", self.time.into());
        out.push_tensor(prefix, "moment_1", self.moment_1.to_data());
        out.push_tensor(prefix, "moment_2", self.moment_2.to_data());
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let moment = |data| Tensor::from_data(in_memory(data), device);
        Some(Self {
            time: src.take_scalar(prefix, "time")?.try_into().ok()?,
            moment_1: moment(src.take_tensor(prefix, "moment_1")?),
            moment_2: moment(src.take_tensor(prefix, "moment_2")?),
        })
    }
}

/// The same values, copied: those of a record that was opened from a file are read only when they are needed,
/// and by then the file may have been overwritten by the next checkpoint.
fn in_memory(data: TensorData) -> TensorData {
    match data.try_to_vec::<f32>() {
        Ok(values) => TensorData::new(values, data.shape().clone()),
        Err(_) => data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_gives_the_bits_of_the_operations() {
        let device = Device::flex();
        for shape in [[1, 2, 2], [7, 64, 64]] {
            let values = |seed: usize| {
                let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
                let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
                Tensor::<3>::from_data(TensorData::new(values, shape), &device)
            };
            let bits = |tensor: Tensor<3>| -> Vec<u32> {
                let values: Vec<f32> = tensor.into_data().try_to_vec().unwrap();
                values.into_iter().map(f32::to_bits).collect()
            };
            let optimizer = PsdAdamConfig::default().build();
            let run = |one_pass: bool| {
                let (mut parameter, mut state) = (values(0), None);
                for step in 1..6 {
                    let lr = 1e-3 * step as f64;
                    (parameter, state) = if one_pass {
                        optimizer.step(lr, parameter, values(step), state)
                    } else {
                        optimizer.by_operations(lr, parameter, values(step), state)
                    };
                }
                let PsdAdamState {
                    time,
                    moment_1,
                    moment_2,
                } = state.unwrap();
                (time, [parameter, moment_1, moment_2].map(bits))
            };
            assert_eq!(run(true), run(false), "{shape:?}");
        }
    }

    #[test]
    fn slices_step_as_tensors_do() {
        let (device, config) = (Device::flex(), PsdAdamConfig::default());
        let values = |step: usize| [0.3, -0.2, 1.0].map(|x: f32| (x * (step + 1) as f32).sin());
        let mut tensor = Tensor::<1>::from_data(values(0), &device);
        let mut slice = values(0).map(f64::from);
        let (mut state, mut moments) = (None, crate::adam::Moments::new(3));
        for step in 1..6 {
            let gradient = Tensor::from_data(values(step), &device);
            (tensor, state) = config.build().step(0.05, tensor, gradient, state);
            moments.step(&config, 0.05, &mut slice, &values(step).map(f64::from));
        }
        let tensor: Vec<f32> = tensor.into_data().try_to_vec().unwrap();
        for (a, b) in tensor.iter().zip(slice) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{a} {b}");
        }
    }
}
