//! The model's layers from and to PyTorch's names and layout, in which weights are outputs by inputs.

use burn::module::Param;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Gradients, Tensor};
use mmrest_encoders::{Lstm, SequenceEncoder};
use mmrest_models::SequenceBatch;
use mmrest_pdlf::Fusion;

use super::tensors::{Inputs, Results, gradient};
use crate::error::{LearnerError, to_host};

/// Layers from a file's `param.*`.
pub(super) struct Weights<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) device: &'a Device,
}

impl Weights<'_> {
    /// A layer of so many inputs, and outputs if these are known.
    pub(super) fn linear(
        &self,
        name: &str,
        inputs: usize,
        outputs: Option<usize>,
    ) -> Result<Linear, LearnerError> {
        let weight = format!("param.{name}.weight");
        let [found, _] = self.inputs.dims(&weight)?;
        let outputs = outputs.unwrap_or(found);
        Ok(Linear {
            weight: self.matrix(&weight, [outputs, inputs])?,
            bias: Some(self.vector(&format!("param.{name}.bias"), outputs)?),
        })
    }

    fn matrix(&self, name: &str, dims: [usize; 2]) -> Result<Param<Tensor<2>>, LearnerError> {
        let published = self.inputs.tensor(name, dims, self.device)?;
        Ok(Param::from_tensor(published.transpose()))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Param<Tensor<1>>, LearnerError> {
        let values = self.inputs.tensor(name, [len], self.device)?;
        Ok(Param::from_tensor(values))
    }

    /// The encoder `name` and the batch it reads: `modality` is time-major in the file.
    pub(super) fn sequence(
        &self,
        modality: &str,
        name: &str,
        count: usize,
        size: usize,
    ) -> Result<(SequenceEncoder, SequenceBatch), LearnerError> {
        let [time, _, width] = self.inputs.dims(modality)?;
        let frames = self
            .inputs
            .tensor(modality, [time, count, width], self.device)?;
        let lengths = format!("{modality}_lengths");
        let batch = SequenceBatch {
            values: frames.swap_dims(0, 1),
            lengths: self.inputs.indices(&lengths, count, time + 1)?,
        };
        let rnn = |part: &str| format!("param.{name}.rnn.{part}_l0");
        let [gates, hidden] = self.inputs.dims(&rnn("weight_hh"))?;
        if gates != 4 * hidden {
            let message = format!("has shape [{gates}, {hidden}], expected four gates");
            return Err(self.inputs.wrong_tensor(&rnn("weight_hh"), &message));
        }
        let encoder = SequenceEncoder {
            lstm: Lstm {
                weight_ih: self.matrix(&rnn("weight_ih"), [gates, width])?,
                weight_hh: self.matrix(&rnn("weight_hh"), [gates, hidden])?,
                bias_ih: self.vector(&rnn("bias_ih"), gates)?,
                bias_hh: self.vector(&rnn("bias_hh"), gates)?,
            },
            dropout: no_dropout(),
            projection: self.linear(&format!("{name}.linear_1"), hidden, Some(size))?,
        };
        Ok((encoder, batch))
    }

    /// The fusion of text of `text` numbers and two modalities of `size`.
    pub(super) fn fusion(&self, text: usize, size: usize) -> Result<Fusion, LearnerError> {
        let outputs = |layer: &Linear| layer.weight.shape()[1];
        let alone = [
            self.linear("getresNet.0.0", text, None)?,
            self.linear("getresNet2.0.0", size, None)?,
            self.linear("getresNet3.0.0", size, None)?,
        ];
        let together = self.linear("getresNet4.0.0", text + 2 * size, None)?;
        let channels = alone.iter().map(outputs).sum::<usize>() + outputs(&together);
        let joint = self.linear("conv_res", channels, None)?;
        let first = self.linear("fusion_prj.linear_1", outputs(&joint), None)?;
        let second = self.linear("fusion_prj.linear_2", outputs(&first), None)?;
        let score = self.linear("fusion_prj.linear_3", outputs(&second), Some(1))?;
        let [text, vision, audio] = alone.map(Some);
        Ok(Fusion {
            text,
            vision,
            audio,
            together,
            joint,
            dropout: no_dropout(),
            first,
            second,
            score,
        })
    }
}

fn no_dropout() -> Dropout {
    DropoutConfig::new(0.0).init()
}

/// Adds gradients as `grad.*`, in the layout of `param.*`.
pub(super) struct GradientWriter<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) gradients: &'a Gradients,
    pub(super) results: &'a mut Results,
}

impl GradientWriter<'_> {
    /// Weight and bias of a layer.
    pub(super) fn linear(&mut self, name: &str, layer: &Linear) -> Result<(), LearnerError> {
        self.matrix(&format!("{name}.weight"), &layer.weight)?;
        match &layer.bias {
            Some(bias) => self.vector(&format!("{name}.bias"), bias),
            None => Ok(()),
        }
    }

    /// Every parameter of a sequence encoder.
    pub(super) fn sequence(
        &mut self,
        name: &str,
        encoder: &SequenceEncoder,
    ) -> Result<(), LearnerError> {
        let rnn = |part: &str| format!("{name}.rnn.{part}_l0");
        self.matrix(&rnn("weight_ih"), &encoder.lstm.weight_ih)?;
        self.matrix(&rnn("weight_hh"), &encoder.lstm.weight_hh)?;
        self.vector(&rnn("bias_ih"), &encoder.lstm.bias_ih)?;
        self.vector(&rnn("bias_hh"), &encoder.lstm.bias_hh)?;
        self.linear(&format!("{name}.linear_1"), &encoder.projection)
    }

    fn matrix(&mut self, name: &str, param: &Param<Tensor<2>>) -> Result<(), LearnerError> {
        let published = gradient(&param.val(), self.gradients).transpose();
        let shape = self.inputs.shape(&format!("param.{name}"))?;
        let values = to_host(published)?;
        self.results.floats(&format!("grad.{name}"), shape, &values);
        Ok(())
    }

    fn vector(&mut self, name: &str, param: &Param<Tensor<1>>) -> Result<(), LearnerError> {
        self.results
            .gradient(&format!("grad.{name}"), &param.val(), self.gradients)
    }
}
