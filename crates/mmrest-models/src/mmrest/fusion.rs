//! The gated score: that of the first modality, to which each further one adds its own through a gate that starts closed.
//!
//! ```text
//! y' = fusion(first) + sum_m gate_m head_m(c_m)          gate_m = 0 at first
//! ```
//!
//! At first the network is that of the first modality alone, and a further one has a part only as far as it lowers the loss.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use mmrest_kernels::init::xavier_linear_init;
use mmrest_pdlf::{Fusion, FusionConfig};

use super::{FusionKind, MmRestConfig};
use crate::counts::linear;
use crate::geometry::Representations;
use crate::task::Task;

/// The scores of further modalities.
#[derive(Module, Debug)]
pub struct GatedScores {
    /// What each further modality's score is multiplied with: `[further]`.
    pub gates: Param<Tensor<1>>,
    /// `representation -> 1`, one of each further modality.
    pub heads: Vec<Linear>,
    /// Drops values of a further modality's representation in training.
    pub dropout: Dropout,
}

impl GatedScores {
    /// Scores of so many further modalities; none without any.
    pub(super) fn init(config: &MmRestConfig, further: usize, device: &Device) -> Option<Self> {
        (further > 0).then(|| Self {
            gates: Param::from_tensor(Tensor::zeros([further], device)),
            heads: (0..further)
                .map(|_| xavier_linear_init(config.representation, 1, device))
                .collect(),
            dropout: DropoutConfig::new(config.dropout).init(),
        })
    }

    pub(super) fn parameters(config: &MmRestConfig, further: usize) -> u128 {
        (further as u128).saturating_mul(linear(config.representation, 1).saturating_add(1))
    }

    /// What the further modalities add to the score: `[batch]`.
    fn forward(&self, further: impl Iterator<Item = Tensor<2>>) -> Option<Tensor<1>> {
        let gates = self.gates.val();
        let scores = self.heads.iter().zip(further).enumerate();
        let gated = scores.map(|(at, (head, rows))| {
            let score = head.forward(self.dropout.forward(rows)).squeeze_dim::<1>(1);
            score * gates.clone().narrow(0, at, 1)
        });
        gated.reduce(|sum, score| sum + score)
    }
}

/// Sizes of the fusion.
pub(super) fn fusion_config(
    config: &MmRestConfig,
    task: &Task,
    text_hidden: usize,
) -> FusionConfig {
    let width = |width: usize| {
        if width > 0 { config.representation } else { 0 }
    };
    let mut widths = [
        text_hidden,
        width(task.widths.vision),
        width(task.widths.audio),
    ];
    if config.fusion == FusionKind::Gated {
        let first = widths.iter().position(|&width| width > 0).unwrap_or(0);
        widths[first + 1..].fill(0);
    }
    FusionConfig {
        text: widths[0],
        vision: widths[1],
        audio: widths[2],
        channels: config.channels,
        joint: config.joint,
        hidden: config.hidden,
        dropout: config.dropout,
    }
}

/// How many modalities add to the score of the first; 0 where all are joined.
pub(super) fn further(config: &MmRestConfig, modalities: usize) -> usize {
    match config.fusion {
        FusionKind::Joint => 0,
        FusionKind::Gated => modalities.saturating_sub(1),
    }
}

/// y', `[batch]`.
pub(super) fn score(
    fusion: &Fusion,
    gated: Option<&GatedScores>,
    space: &Representations,
) -> Tensor<1> {
    let of = |layer: &Option<Linear>, rows: &Option<Tensor<2>>| {
        layer.as_ref().and_then(|_| rows.clone())
    };
    let Some(gated) = gated else {
        return fusion.forward(
            space.first_token.clone(),
            space.vision.clone(),
            space.audio.clone(),
        );
    };
    let score = fusion.forward(
        of(&fusion.text, &space.first_token),
        of(&fusion.vision, &space.vision),
        of(&fusion.audio, &space.audio),
    );
    let further = space.by_modality().into_iter().skip(1);
    match gated.forward(further.map(|(_, rows)| rows)) {
        Some(further) => score + further,
        None => score,
    }
}
