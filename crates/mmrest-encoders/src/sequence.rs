//! Encodes vision and audio frames: an LSTM, dropout and a linear layer.

use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::prelude::*;
use mmrest_kernels::host::ReadError;
use mmrest_onnx::{Graph, Value};

use crate::init::WeightInit;
use crate::{EncoderError, Lstm, LstmConfig};

/// Sizes of a [`SequenceEncoder`].
#[derive(Config, Debug)]
pub struct SequenceEncoderConfig {
    /// Features of a frame.
    pub input: usize,
    /// Size of the LSTM's hidden state.
    #[config(default = 64)]
    pub hidden: usize,
    /// Size of the representation.
    #[config(default = 64)]
    pub output: usize,
    /// Dropout between LSTM and projection, in training.
    #[config(default = 0.0)]
    pub dropout: f64,
}

/// Encodes a sequence of frames as one representation: the LSTM's hidden state at the sequence's own last frame, then
/// dropout and a linear layer.
///
/// ```
/// use burn::prelude::*;
/// use mmrest_encoders::SequenceEncoderConfig;
///
/// let device = Device::flex();
/// let encoder = SequenceEncoderConfig::new(20).with_dropout(0.1).init(&device);
/// let frames = Tensor::<3>::zeros([3, 50, 20], &device); // [batch, time, feature], right-padded
/// assert_eq!(encoder.forward(frames, &[50, 12, 1]).dims(), [3, 64]);
/// ```
#[derive(Module, Debug)]
pub struct SequenceEncoder {
    /// The recurrent part.
    pub lstm: Lstm,
    /// Between the two, in training.
    pub dropout: Dropout,
    /// `[hidden] -> [output]`.
    pub projection: Linear,
}

impl SequenceEncoderConfig {
    /// Checks sizes and dropout.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Config`] naming the key that is wrong.
    pub fn check(&self) -> Result<(), EncoderError> {
        let refuse = |key, found: String, expected: &str| {
            let origin = "sequence encoder".to_owned();
            Err(EncoderError::Config {
                origin,
                key,
                found,
                expected: expected.to_owned(),
            })
        };
        let sizes = [
            ("input", self.input),
            ("hidden", self.hidden),
            ("output", self.output),
        ];
        if let Some((key, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return refuse(key, "0".into(), "at least 1");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(
                "dropout",
                self.dropout.to_string(),
                "a probability in [0, 1)",
            );
        }
        Ok(())
    }

    /// An encoder with Xavier-normal weights and PyTorch's default biases.
    ///
    /// # Panics
    ///
    /// When dropout is not in `[0, 1)`: [`check`](Self::check) refuses it.
    pub fn init(&self, device: &Device) -> SequenceEncoder {
        self.init_with(WeightInit::XavierNormal, device)
    }

    /// [`init`](Self::init) with weights that start in another way.
    ///
    /// # Panics
    ///
    /// As [`init`](Self::init).
    pub fn init_with(&self, weights: WeightInit, device: &Device) -> SequenceEncoder {
        SequenceEncoder {
            lstm: LstmConfig::new(self.input, self.hidden).init_with(weights, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            projection: weights.linear(self.hidden, self.output, device),
        }
    }
}

impl SequenceEncoder {
    /// Representations `[batch, output]` of right-padded sequences `x: [batch, time, feature]`; see
    /// [`Lstm::last_hidden`] about lengths.
    pub fn forward(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        self.projection
            .forward(self.dropout.forward(self.lstm.last_hidden(x, lengths)))
    }

    /// Adds the encoder to a graph: representations `[batch, output]`; see [`Lstm::graph`].
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn graph(
        &self,
        graph: &mut Graph,
        frames: &Value,
        lengths: &Value,
    ) -> Result<Value, ReadError> {
        let last = self.lstm.graph(graph, frames, lengths)?;
        graph.linear(&self.projection, &last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        let message = SequenceEncoderConfig::new(0)
            .check()
            .unwrap_err()
            .to_string();
        assert!(message.contains("`input`"), "{message}");
        let message = SequenceEncoderConfig::new(5)
            .with_dropout(1.0)
            .check()
            .unwrap_err()
            .to_string();
        assert!(message.contains("`dropout`"), "{message}");
        assert!(SequenceEncoderConfig::new(5).check().is_ok());
    }
}
