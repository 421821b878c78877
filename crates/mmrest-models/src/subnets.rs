//! What TFN and LMF make of a modality: time-averaged frames behind a batch normalisation, and an LSTM over the text's
//! tokens.
//!
//! ```text
//! audio, vision:  h = ReLU L3 ReLU L2 ReLU L1 dropout BatchNorm(mean of the frames)
//! text:           h = L1 (last state of an LSTM over the tokens' states)
//! BatchNorm:      training (x - m) / sqrt(v + 1e-5) g + b with mean m and biased variance v of the batch;
//!                 evaluation with the running ones, which each step moves a tenth of the way to m and n/(n-1) v
//! ```

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::Modality;
use mmrest_encoders::init::{WeightInit, pytorch_linear_init};
use mmrest_encoders::{Lstm, LstmConfig, drop_out};
use mmrest_kernels::host;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::counts::{linear, lstm, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{fit, needs};
use crate::model::ModelOutput;
use crate::needs::{Longest, Needs};
use crate::published::PublishedTensor;
use crate::sequences::{PackedStates, SequenceBatch};

/// Over what frames are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeanOver {
    /// A segment's own frames.
    #[default]
    Frames,
    /// The release's fixed number of frames, zero ones included, as the published code does: the mean then tells the
    /// duration.
    Padded,
}

/// Where the text's LSTM is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextLstm {
    /// At the text's own last token.
    #[default]
    OwnLength,
    /// Behind the padding, through which it runs on zeros, as the published code does.
    Padded,
}

/// Batch normalisation over `[batch, width]` as `torch.nn.BatchNorm1d` has it.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// g, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// b, `[width]`.
    pub bias: Param<Tensor<1>>,
}

/// Mean and variance of what a [`BatchNorm`] has seen, `[width]` each: part of a model's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningStatistics {
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running unbiased variance.
    pub variance: Vec<f32>,
}

const EPSILON: f64 = 1e-5;
/// What a batch counts in the running statistics.
const MOMENTUM: f32 = 0.1;

impl BatchNorm {
    fn init(width: usize, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([width], device)),
            bias: Param::from_tensor(Tensor::zeros([width], device)),
        }
    }

    /// In training by the batch, whose mean and unbiased variance, `[2, width]`, come back; in evaluation, and for a
    /// single segment, which has no variance, by the running statistics.
    fn forward(
        &self,
        x: Tensor<2>,
        running: &RunningStatistics,
        training: bool,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        let [rows, width] = x.dims();
        let (centred, variance, statistics) = if training && rows > 1 {
            let mean = x.clone().mean_dim(0);
            let centred = x - mean.clone();
            let variance = (centred.clone() * centred.clone()).mean_dim(0);
            let unbiased = variance.clone() * (rows as f64 / (rows - 1) as f64);
            let statistics = Tensor::cat(vec![mean, unbiased], 0).detach();
            (centred, variance, Some(statistics))
        } else {
            let row = |values: &[f32]| {
                let values = TensorData::new(values.to_vec(), [1, width]);
                Tensor::<2>::from_data(values, &x.device())
            };
            let variance = row(&running.variance);
            let mean = row(&running.mean);
            (x - mean, variance, None)
        };
        let normal = centred / (variance + EPSILON).sqrt();
        let out = normal * self.weight.val().unsqueeze() + self.bias.val().unsqueeze();
        (out, statistics)
    }
}

impl RunningStatistics {
    /// Before the first batch: mean 0, variance 1.
    pub fn new(width: usize) -> Self {
        Self {
            mean: vec![0.0; width],
            variance: vec![1.0; width],
        }
    }

    /// Moves towards a batch's mean and variance, `[2, width]`.
    fn update(&mut self, statistics: &[f32]) {
        let (mean, variance) = statistics.split_at(self.mean.len());
        let moved = |running: &mut Vec<f32>, batch: &[f32]| {
            for (running, batch) in running.iter_mut().zip(batch) {
                *running = (1.0 - MOMENTUM) * *running + MOMENTUM * batch;
            }
        };
        moved(&mut self.mean, mean);
        moved(&mut self.variance, variance);
    }

    fn check(&self, name: &str, width: usize) -> Result<(), ModelError> {
        let found = (self.mean.len(), self.variance.len());
        if found != (width, width) {
            return Err(ModelError::Config(ConfigError(format!(
                "holds running statistics of {name} for {} and {} features, expected {width}",
                found.0, found.1
            ))));
        }
        let finite = self
            .mean
            .iter()
            .chain(&self.variance)
            .all(|v| v.is_finite());
        if finite && self.variance.iter().all(|&v| v >= 0.0) {
            return Ok(());
        }
        Err(ModelError::NonFinite(format!(
            "holds running statistics of {name} that are not finite, or a negative variance"
        )))
    }
}

/// The running statistics of audio and vision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetState {
    /// Of audio.
    pub audio: RunningStatistics,
    /// Of vision.
    pub vision: RunningStatistics,
}

/// A batch's mean and variance of audio and vision, `[2, width]` each; none in evaluation.
pub(crate) type Statistics = [Option<Tensor<2>>; 2];

impl SubnetState {
    pub(crate) fn new(audio: usize, vision: usize) -> Self {
        Self {
            audio: RunningStatistics::new(audio.max(1)),
            vision: RunningStatistics::new(vision.max(1)),
        }
    }

    pub(crate) fn check(&self, audio: &SubNet, vision: &SubNet) -> Result<(), ModelError> {
        self.audio.check("audio", audio.inputs())?;
        self.vision.check("vision", vision.inputs())
    }

    /// Moves on, with one read of the device.
    pub(crate) fn update(&mut self, statistics: &Statistics) -> Result<(), ModelError> {
        let [Some(audio), Some(vision)] = statistics else {
            return Ok(());
        };
        let of_audio = audio.dims()[1];
        let all = Tensor::cat(vec![audio.clone(), vision.clone()], 1);
        let all = host::read("batch statistics", all.inner())?;
        // [mean of audio, mean of vision, variance of audio, variance of vision]
        let (means, variances) = all.split_at(all.len() / 2);
        let part = |from: usize, to: usize| [&means[from..to], &variances[from..to]].concat();
        self.audio.update(&part(0, of_audio));
        self.vision.update(&part(of_audio, means.len()));
        Ok(())
    }

    /// Takes the statistics of a published state dict.
    ///
    /// # Errors
    ///
    /// One of them is missing, or is of another width.
    pub(crate) fn load_published(
        &mut self,
        find: &dyn Fn(&str) -> Option<PublishedTensor>,
    ) -> Result<(), ModelError> {
        let parts = [("audio", &mut self.audio), ("video", &mut self.vision)];
        for (part, running) in parts {
            let own = [
                ("running_mean", &mut running.mean),
                ("running_var", &mut running.variance),
            ];
            for (name, values) in own {
                let name = format!("{part}_subnet.norm.{name}");
                let refused = match find(&name) {
                    Some((shape, found)) if shape == [values.len()] => {
                        *values = found;
                        continue;
                    }
                    Some((shape, _)) => format!("is {shape:?}, not [{}]", values.len()),
                    None => "is missing".to_owned(),
                };
                return Err(ModelError::Config(ConfigError(format!(
                    "the running statistics do not fit the model: {name} {refused}"
                ))));
            }
        }
        Ok(())
    }
}

/// To how many tokens and frames sequences are padded; none where each segment's own count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padding {
    pub(crate) text: Option<usize>,
    pub(crate) audio: Option<usize>,
    pub(crate) vision: Option<usize>,
}

impl Padding {
    /// `lengths` are the published data's, of text, audio and vision; `published` has all of them.
    pub(crate) fn new(
        published: bool,
        text_lstm: TextLstm,
        mean_over: MeanOver,
        [text, audio, vision]: [usize; 3],
    ) -> Self {
        let frames = published || mean_over == MeanOver::Padded;
        Self {
            text: (published || text_lstm == TextLstm::Padded).then_some(text),
            audio: frames.then_some(audio),
            vision: frames.then_some(vision),
        }
    }

    /// What a model with this padding asks of data and batches.
    pub(crate) fn needs(self) -> Needs {
        Needs {
            longest: Longest {
                text: self.text,
                vision: self.vision,
                audio: self.audio,
            },
            ..needs(2)
        }
    }
}

/// The subnetworks of a model.
pub(crate) struct SubNets<'a> {
    pub(crate) text: &'a TextSubNet,
    pub(crate) audio: &'a SubNet,
    pub(crate) vision: &'a SubNet,
}

impl SubNets<'_> {
    /// ht, ha and hv of a batch whose text has passed its encoder, and the batch's statistics.
    pub(crate) fn forward(
        &self,
        batch: &Batch,
        text: &PackedStates,
        padding: Padding,
        state: &SubnetState,
        training: bool,
    ) -> ([Tensor<2>; 3], Statistics) {
        let device = self.text.linear_1.weight.device();
        let frames = |modality| batch.frames(modality, &device);
        let (audio, of_audio) = self.audio.forward(
            frames(Modality::Audio),
            padding.audio,
            &state.audio,
            training,
        );
        let (vision, of_vision) = self.vision.forward(
            frames(Modality::Vision),
            padding.vision,
            &state.vision,
            training,
        );
        let text = self.text.forward(text, padding.text);
        ([text, audio, vision], [of_audio, of_vision])
    }
}

/// What the forward pass of TFN or LMF gives.
#[derive(Clone, Debug)]
pub struct SubnetOutput {
    /// ht, `[batch, O]`.
    pub text: Tensor<2>,
    /// ha, `[batch, A]`.
    pub audio: Tensor<2>,
    /// hv, `[batch, V]`.
    pub vision: Tensor<2>,
    /// TFN: z, `[batch, (A+1)(V+1)(O+1)]`. LMF: u, `[batch, R]`.
    pub fusion: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
    pub(crate) statistics: Statistics,
}

impl ModelOutput for SubnetOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        vec![
            ("audio representation", self.audio.clone()),
            ("vision representation", self.vision.clone()),
            ("text representation", self.text.clone()),
            ("fusion", self.fusion.clone()),
            ("prediction", self.prediction.clone()),
        ]
    }
}

/// Batch normalisation, dropout and three linear layers.
#[derive(Module, Debug)]
pub struct SubNet {
    /// Of the averaged frames.
    pub norm: BatchNorm,
    /// Behind the normalisation, in training.
    pub dropout: Dropout,
    /// `[features] -> [hidden]`.
    pub linear_1: Linear,
    /// `[hidden] -> [hidden]`.
    pub linear_2: Linear,
    /// `[hidden] -> [hidden]`.
    pub linear_3: Linear,
}

impl SubNet {
    pub(crate) fn init(features: usize, hidden: usize, dropout: f64, device: &Device) -> Self {
        let features = features.max(1);
        Self {
            norm: BatchNorm::init(features, device),
            dropout: DropoutConfig::new(dropout).init(),
            linear_1: pytorch_linear_init(features, hidden, device),
            linear_2: pytorch_linear_init(hidden, hidden, device),
            linear_3: pytorch_linear_init(hidden, hidden, device),
        }
    }

    pub(crate) fn parameters(features: usize, hidden: usize) -> u128 {
        let features = features.max(1);
        sum([
            product([2, features]),
            linear(features, hidden),
            linear(hidden, hidden),
            linear(hidden, hidden),
        ])
    }

    fn inputs(&self) -> usize {
        self.norm.weight.dims()[0]
    }

    /// h, `[batch, hidden]`, and the batch's statistics. `padded`: the number of frames to average over, where it is not
    /// each segment's own; what lies beyond is cut off.
    pub(crate) fn forward(
        &self,
        frames: SequenceBatch,
        padded: Option<usize>,
        running: &RunningStatistics,
        training: bool,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        let device = self.norm.weight.device();
        let batch = frames.len();
        let frames = match padded {
            Some(most) => fit(frames, most, false),
            None => frames,
        };
        let own = frames.lengths.iter().map(|&length| length.max(1));
        let counts: Vec<f32> = own.map(|own| padded.unwrap_or(own) as f32).collect();
        let counts = Tensor::<2>::from_data(TensorData::new(counts, [batch, 1]), &device);
        let mean = frames.values.sum_dim(1).squeeze_dim::<2>(1) / counts;
        let (normal, statistics) = self.norm.forward(mean, running, training);
        let x = drop_out(&self.dropout, normal);
        let x = relu(self.linear_1.forward(x));
        let x = relu(self.linear_2.forward(x));
        (relu(self.linear_3.forward(x)), statistics)
    }
}

/// An LSTM over the tokens and a linear layer.
#[derive(Module, Debug)]
pub struct TextSubNet {
    /// `[states] -> [hidden]`.
    pub rnn: Lstm,
    /// `[hidden] -> [out]`.
    pub linear_1: Linear,
}

impl TextSubNet {
    pub(crate) fn init(states: usize, hidden: usize, out: usize, device: &Device) -> Self {
        let config = LstmConfig::new(states, hidden);
        Self {
            rnn: config.init_with(WeightInit::PyTorch, device),
            linear_1: pytorch_linear_init(hidden, out, device),
        }
    }

    pub(crate) fn parameters(states: usize, hidden: usize, out: usize) -> u128 {
        sum([lstm(states, hidden), linear(hidden, out)])
    }

    /// h, `[batch, out]`. `padded`: the number of tokens to run over, where it is not each text's own.
    pub(crate) fn forward(&self, text: &PackedStates, padded: Option<usize>) -> Tensor<2> {
        let SequenceBatch { values, lengths } = text.padded(padded);
        let lengths = padded.map_or(lengths, |time| vec![time; text.len()]);
        self.linear_1
            .forward(self.rnn.last_hidden(values, &lengths))
    }
}

/// `[1, h]`, `[batch, width + 1]`.
pub(crate) fn with_one(h: Tensor<2>) -> Tensor<2> {
    let ones = Tensor::ones([h.dims()[0], 1], &h.device());
    Tensor::cat(vec![ones, h], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisation_is_by_the_batch_then_by_what_was_seen() {
        let device = Device::flex();
        let norm = BatchNorm::init(1, &device);
        let mut running = RunningStatistics::new(1);
        let x = Tensor::<2>::from_data([[1.0f32], [2.0], [6.0]], &device);
        let (y, statistics) = norm.forward(x.clone(), &running, true);
        let host = |t: Tensor<2>| -> Vec<f32> { t.into_data().try_to_vec().unwrap() };
        let deviation = (14.0f32 / 3.0 + 1e-5).sqrt();
        assert!((host(y)[2] - 3.0 / deviation).abs() < 1e-6);
        running.update(&host(statistics.unwrap()));
        assert!((running.mean[0] - 0.3).abs() < 1e-6);
        assert!((running.variance[0] - (0.9 + 0.1 * 7.0)).abs() < 1e-6);
        for (training, rows) in [(false, 3), (true, 1)] {
            let (y, none) = norm.forward(x.clone().narrow(0, 0, rows), &running, training);
            let expected = (1.0 - 0.3) / (1.6f32 + 1e-5).sqrt();
            assert!((host(y)[0] - expected).abs() < 1e-6);
            assert!(none.is_none());
        }
        running.check("audio", 1).unwrap();
        assert!(running.check("audio", 2).is_err());
        running.variance[0] = -1.0;
        assert!(running.check("audio", 1).is_err());
    }
}
