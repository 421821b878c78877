//! Decision-level fusion without attention: a score from the modalities, each alone and all together.
//!
//! ```text
//! text  [B, H]  -> Linear -> relu -> [B, 50] \
//! vision[B, 64] -> Linear -> relu -> [B, 50]  \  side by side      dropout -> Linear 128 -> tanh
//! audio [B, 64] -> Linear -> relu -> [B, 50]  /  -> Linear 512 ->          -> Linear 128 -> tanh -> Linear 1 = y'
//! [text, audio, vision]   -> relu -> [B, 50] /
//! ```
//!
//! The published code writes the first two layers as `Conv1d` of kernel size 1 over one position: a linear layer each.
//!
//! On the CPU all of it is one operation ([`cpu`]); elsewhere it is burn's operations, layer by layer.

mod cpu;

use burn::module::{Initializer, Module};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::PdlfError;

/// How wide a [`Fusion`] is.
///
/// ```
/// use mmrest_pdlf::FusionConfig;
///
/// let all = FusionConfig::default();
/// assert_eq!(all.parameters(), 275_017);
/// let no_vision = FusionConfig { vision: 0, ..all };
/// assert!(no_vision.check().is_ok() && no_vision.parameters() < all.parameters());
/// assert!(FusionConfig { text: 0, vision: 0, audio: 0, ..all }.check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionConfig {
    /// Width of the text representation; 0: no text.
    pub text: usize,
    /// Width of the vision representation; 0: no vision.
    pub vision: usize,
    /// Width of the audio representation; 0: no audio.
    pub audio: usize,
    /// Channels that each modality, and all of them together, are brought to.
    pub channels: usize,
    /// Width after all channels are joined.
    pub joint: usize,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Probability of dropping a joint value in training.
    pub dropout: f64,
}

impl Default for FusionConfig {
    fn default() -> Self {
        Self {
            text: 768,
            vision: 64,
            audio: 64,
            channels: 50,
            joint: 512,
            hidden: 128,
            dropout: 0.1,
        }
    }
}

impl FusionConfig {
    /// Makes the layers: Xavier-normal weights, biases uniform in `+-1 / sqrt(inputs)`.
    ///
    /// Modalities of width 0 take no parameters. All values are drawn here and now, in the order of the fields, so they
    /// depend on the device's seed alone.
    ///
    /// # Panics
    ///
    /// When `dropout` is no probability below 1: [`check`](Self::check) says so before.
    #[must_use]
    pub fn init(&self, device: &Device) -> Fusion {
        let block = |width: usize| (width > 0).then(|| linear(width, self.channels, device));
        Fusion {
            text: block(self.text),
            vision: block(self.vision),
            audio: block(self.audio),
            together: linear(self.text + self.vision + self.audio, self.channels, device),
            joint: linear(self.channels * (self.modalities() + 1), self.joint, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            first: linear(self.joint, self.hidden, device),
            second: linear(self.hidden, self.hidden, device),
            score: linear(self.hidden, 1, device),
        }
    }

    /// Whether a fusion of these widths can be made.
    ///
    /// # Errors
    ///
    /// [`PdlfError::NoModality`], [`PdlfError::EmptyLayer`], [`PdlfError::Dropout`].
    pub fn check(&self) -> Result<(), PdlfError> {
        if self.modalities() == 0 {
            return Err(PdlfError::NoModality);
        }
        let layers = [
            ("channels", self.channels),
            ("joint", self.joint),
            ("hidden", self.hidden),
        ];
        if let Some((name, _)) = layers.into_iter().find(|&(_, width)| width == 0) {
            return Err(PdlfError::EmptyLayer { name });
        }
        match (0.0..1.0).contains(&self.dropout) {
            true => Ok(()),
            false => Err(PdlfError::Dropout(self.dropout)),
        }
    }

    /// How many modalities are present.
    #[must_use]
    pub fn modalities(&self) -> usize {
        [self.text, self.vision, self.audio]
            .into_iter()
            .filter(|&width| width > 0)
            .count()
    }

    /// How many parameters the fusion has.
    ///
    /// With `W` the widths' sum and `m` modalities: `W c + m c` alone, `W c + c` together, then
    /// `(m + 1) c j + j`, `j h + h`, `h h + h` and `h + 1`.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let linear = |inputs: usize, outputs: usize| (inputs + 1) * outputs;
        let alone: usize = [self.text, self.vision, self.audio]
            .into_iter()
            .filter(|&width| width > 0)
            .map(|width| linear(width, self.channels))
            .sum();
        alone
            + linear(self.text + self.vision + self.audio, self.channels)
            + linear(self.channels * (self.modalities() + 1), self.joint)
            + linear(self.joint, self.hidden)
            + linear(self.hidden, self.hidden)
            + linear(self.hidden, 1)
    }
}

/// The score `y'` of the modalities present (docs/src/method.md, "Forward").
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use mmrest_pdlf::FusionConfig;
///
/// let device = Device::flex();
/// let fusion = FusionConfig { text: 384, vision: 0, audio: 64, ..Default::default() }.init(&device);
/// let random = |width| Tensor::<2>::random([8, width], Distribution::Default, &device);
/// let score = fusion.forward(Some(random(384)), None, Some(random(64)));
/// assert_eq!(score.dims(), [8]);
/// ```
#[derive(Module, Debug)]
pub struct Fusion {
    /// Text alone: `text -> channels`, when text is present.
    pub text: Option<Linear>,
    /// Vision alone: `vision -> channels`, when vision is present.
    pub vision: Option<Linear>,
    /// Audio alone: `audio -> channels`, when audio is present.
    pub audio: Option<Linear>,
    /// Those present side by side, in the order text, audio, vision: `text + audio + vision -> channels`.
    pub together: Linear,
    /// All channels, in the order text, vision, audio, together: `channels * (modalities + 1) -> joint`.
    pub joint: Linear,
    /// Drops joint values in training.
    pub dropout: Dropout,
    /// `joint -> hidden`.
    pub first: Linear,
    /// `hidden -> hidden`.
    pub second: Linear,
    /// `hidden -> 1`.
    pub score: Linear,
}

impl Fusion {
    /// The score `y'`, `[batch]`, in the labels' units.
    ///
    /// - `text`, `vision`, `audio`: `[batch, width]`, each of the width it was configured with.
    ///
    /// # Panics
    ///
    /// When the modalities given are not those configured, or have other widths.
    #[must_use]
    pub fn forward(
        &self,
        text: Option<Tensor<2>>,
        vision: Option<Tensor<2>>,
        audio: Option<Tensor<2>>,
    ) -> Tensor<1> {
        let alone = self.alone(text, vision, audio);
        match cpu::fits(self, &alone) {
            true => cpu::score(self, &alone),
            false => self.by_layers(&alone),
        }
    }

    /// The modalities present, each with its layer.
    fn alone(
        &self,
        text: Option<Tensor<2>>,
        vision: Option<Tensor<2>>,
        audio: Option<Tensor<2>>,
    ) -> Vec<Alone<'_>> {
        let given = [
            Alone::new("text", 0, &self.text, text),
            Alone::new("vision", 2, &self.vision, vision),
            Alone::new("audio", 1, &self.audio, audio),
        ];
        let alone: Vec<Alone<'_>> = given.into_iter().flatten().collect();
        assert!(!alone.is_empty(), "the fusion was made without a modality");
        alone
    }

    /// [`forward`](Self::forward) by burn's operations, for any device.
    fn by_layers(&self, alone: &[Alone<'_>]) -> Tensor<1> {
        let mut beside: Vec<&Alone<'_>> = alone.iter().collect();
        beside.sort_by_key(|alone| alone.place);
        let beside = beside.into_iter().map(|alone| alone.input.clone());
        let together = self.together.forward(Tensor::cat(beside.collect(), 1));
        let each = alone
            .iter()
            .map(|alone| alone.layer.forward(alone.input.clone()));
        let channels = each.chain([together]).map(activation::relu);

        let joint = self.joint.forward(Tensor::cat(channels.collect(), 1));
        let joint = self.dropout.forward(joint);
        let hidden = activation::tanh(self.first.forward(joint));
        let hidden = activation::tanh(self.second.forward(hidden));
        self.score.forward(hidden).squeeze_dim(1)
    }
}

/// One modality and the layer that has it alone.
struct Alone<'a> {
    layer: &'a Linear,
    /// `[batch, width]`.
    input: Tensor<2>,
    /// Its place among all side by side.
    place: usize,
}

impl<'a> Alone<'a> {
    /// Nothing for an absent modality.
    fn new(
        name: &str,
        place: usize,
        layer: &'a Option<Linear>,
        input: Option<Tensor<2>>,
    ) -> Option<Self> {
        let (layer, input) = match (layer, input) {
            (None, None) => return None,
            (Some(layer), Some(input)) => (layer, input),
            (Some(_), None) => panic!("the fusion was made with {name}, and none is given"),
            (None, Some(_)) => panic!("the fusion was made without {name}, and some is given"),
        };
        let (found, expected) = (input.dims()[1], layer.weight.shape()[0]);
        assert!(
            found == expected,
            "the fusion was made with {name} {expected} wide, and what is given is {found} wide"
        );
        Some(Self {
            layer,
            input,
            place,
        })
    }
}

/// A linear layer with a Xavier-normal weight (`std = sqrt(2 / (inputs + outputs))`) and PyTorch's default bias, both
/// drawn now.
fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let xavier = Initializer::XavierNormal { gain: 1.0 };
    let weight = xavier.init_with([inputs, outputs], Some(inputs), Some(outputs), device);
    let bound = 1.0 / (inputs.max(1) as f64).sqrt();
    let bias = Initializer::Uniform {
        min: -bound,
        max: bound,
    }
    .init([outputs], device);
    // A parameter is drawn when its value is first asked for.
    let _ = (weight.val(), bias.val());
    Linear {
        weight,
        bias: Some(bias),
    }
}

#[cfg(test)]
mod tests;
