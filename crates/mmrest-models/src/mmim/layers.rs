//! MMIM's layers: LSTM encoders, the score, the estimators of mutual information and the predictors.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::{relu, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mmrest_encoders::init::WeightInit;
use mmrest_encoders::{Lstm, LstmConfig};

use super::config::Likelihood;
use crate::counts::{linear, lstm, sum};
use crate::sequences::SequenceBatch;

/// A linear layer whose weight starts Xavier-normal.
fn xavier(input: usize, output: usize, device: &Device) -> Linear {
    WeightInit::XavierNormal.linear(input, output, device)
}

/// Encodes frames: the last hidden states of an LSTM, in one direction or both, and a linear layer.
#[derive(Module, Debug)]
pub struct RecurrentEncoder {
    /// From the first frame to the last.
    pub rnn: Lstm,
    /// From the last frame to the first.
    pub backward: Option<Lstm>,
    /// `[hidden]`, or `[2 hidden]`, `-> [out]`.
    pub linear: Linear,
}

impl RecurrentEncoder {
    pub(super) fn init([features, hidden, out]: [usize; 3], both: bool, device: &Device) -> Self {
        let lstm = || LstmConfig::new(features.max(1), hidden).init(device);
        let states = if both { 2 * hidden } else { hidden };
        Self {
            rnn: lstm(),
            backward: both.then(lstm),
            linear: xavier(states, out, device),
        }
    }

    pub(super) fn parameter_count([features, hidden, out]: [usize; 3], both: bool) -> u128 {
        let directions = if both { 2 } else { 1 };
        sum([
            lstm(features.max(1), hidden).saturating_mul(directions as u128),
            linear(hidden.saturating_mul(directions), out),
        ])
    }

    /// `[batch, out]`.
    pub(super) fn forward(&self, frames: SequenceBatch) -> Tensor<2> {
        let SequenceBatch { values, lengths } = frames;
        let states = self.rnn.last_hidden(values.clone(), &lengths);
        let states = match &self.backward {
            Some(backward) => {
                let back = backward.last_hidden(reversed(values, &lengths), &lengths);
                Tensor::cat(vec![states, back], 1)
            }
            None => states,
        };
        self.linear.forward(states)
    }
}

/// Each sequence from its own last frame to its first; padding stays behind.
fn reversed(values: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let [batch, time, width] = values.dims();
    let row = |(at, &length): (usize, &usize)| {
        let place = move |t: usize| if t < length { length - 1 - t } else { t };
        (0..time).map(move |t| (at * time + place(t)) as i64)
    };
    let places: Vec<i64> = lengths.iter().enumerate().flat_map(row).collect();
    let places = Tensor::<1, Int>::from_data(TensorData::from(places.as_slice()), &values.device());
    values
        .reshape([batch * time, width])
        .select(0, places)
        .reshape([batch, time, width])
}

/// Dropout, two linear layers with tanh, and one to the score.
#[derive(Module, Debug)]
pub struct ScoreHead {
    /// Before the first layer, in training.
    pub dropout: Dropout,
    /// `[inputs] -> [width]`.
    pub linear_1: Linear,
    /// `[width] -> [width]`.
    pub linear_2: Linear,
    /// `[width] -> [1]`.
    pub linear_3: Linear,
}

impl ScoreHead {
    pub(crate) fn init(inputs: usize, width: usize, dropout: f64, device: &Device) -> Self {
        Self {
            dropout: DropoutConfig::new(dropout).init(),
            linear_1: xavier(inputs, width, device),
            linear_2: xavier(width, width, device),
            linear_3: xavier(width, 1, device),
        }
    }

    pub(crate) fn parameter_count(inputs: usize, width: usize) -> u128 {
        sum([
            linear(inputs, width),
            linear(width, width),
            linear(width, 1),
        ])
    }

    /// z `[batch, width]` and the score `[batch, 1]`.
    pub(crate) fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let hidden = tanh(self.linear_1.forward(self.dropout.forward(x)));
        let z = tanh(self.linear_2.forward(hidden));
        (z.clone(), self.linear_3.forward(z))
    }
}

/// Estimates the mutual information of two representations x and y: a Gaussian of y given x (Barber & Agakov, 2003).
#[derive(Module, Debug)]
pub struct MutualInformation {
    /// First layer of the mean.
    pub mu_1: Linear,
    /// Second layer of the mean.
    pub mu_2: Linear,
    /// First layer of the logarithm of the variance.
    pub logvar_1: Linear,
    /// Second layer of the logarithm of the variance.
    pub logvar_2: Linear,
    /// Projects y for its entropy, `[y] -> [y / 4]`.
    pub entropy: Linear,
}

impl MutualInformation {
    pub(super) fn init(x: usize, y: usize, device: &Device) -> Self {
        Self {
            mu_1: xavier(x, y, device),
            mu_2: xavier(y, y, device),
            logvar_1: xavier(x, y, device),
            logvar_2: xavier(y, y, device),
            entropy: xavier(y, y / 4, device),
        }
    }

    pub(super) fn parameter_count(x: usize, y: usize) -> u128 {
        let twice = sum([linear(x, y), linear(y, y)]).saturating_mul(2);
        sum([twice, linear(y, y / 4)])
    }

    /// The mean log-likelihood of y given x, `[1]`.
    pub(super) fn likelihood(&self, x: Tensor<2>, y: Tensor<2>, form: Likelihood) -> Tensor<1> {
        let mu = self.mu_2.forward(relu(self.mu_1.forward(x.clone())));
        let logvar = self.logvar_2.forward(relu(self.logvar_1.forward(x)));
        let terms = (mu - y).square() / (logvar.clone().exp() * 2.0);
        let terms = match form {
            Likelihood::Published => terms,
            Likelihood::Gaussian => terms + logvar / 2.0,
        };
        -terms.sum_dim(1).mean()
    }

    /// e: y as its entropy is measured, `[batch, y / 4]`.
    pub(super) fn entropy_rows(&self, y: Tensor<2>) -> Tensor<2> {
        tanh(self.entropy.forward(y))
    }
}

/// Predicts a representation from the fusion: contrastive predictive coding.
#[derive(Module, Debug)]
pub struct Predictor {
    /// The only layer.
    pub net: Option<Linear>,
    /// Several layers; tanh follows the first.
    pub stack: Vec<Linear>,
}

impl Predictor {
    pub(super) fn init(z: usize, width: usize, layers: usize, device: &Device) -> Self {
        let first = xavier(z, width, device);
        if layers < 2 {
            return Self {
                net: Some(first),
                stack: Vec::new(),
            };
        }
        let rest = (1..layers).map(|_| xavier(width, width, device));
        Self {
            net: None,
            stack: [first].into_iter().chain(rest).collect(),
        }
    }

    pub(super) fn parameter_count(z: usize, width: usize, layers: usize) -> u128 {
        let rest = linear(width, width).saturating_mul(layers.saturating_sub(1) as u128);
        sum([linear(z, width), rest])
    }

    /// `-mean_i (x_i . p_i - log sum_j exp(x_i . p_j))` of the normalised rows of x and its prediction p, `[1]`.
    pub(super) fn contrast(&self, x: Tensor<2>, z: Tensor<2>) -> Tensor<1> {
        let predicted = match &self.net {
            Some(net) => net.forward(z),
            None => {
                let layers = self.stack.iter().enumerate();
                layers.fold(z, |x, (at, layer)| match at {
                    0 => tanh(layer.forward(x)),
                    _ => layer.forward(x),
                })
            }
        };
        let (x, predicted) = (unit(x), unit(predicted));
        let along = (x.clone() * predicted.clone()).sum_dim(1);
        // Products of unit rows lie within ±1: no exponential overflows.
        let all = x.matmul(predicted.transpose()).exp().sum_dim(1).log();
        (all - along).mean()
    }
}

/// Rows of length 1; zeros stay zeros.
pub(crate) fn unit(x: Tensor<2>) -> Tensor<2> {
    let norm = (x.clone().square().sum_dim(1) + 1e-16).sqrt();
    x / norm
}
