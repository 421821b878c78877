//! `model_step.safetensors`: one training step of the model from the text encoder's output on.

use std::path::PathBuf;

use burn::nn::Linear;
use burn::tensor::{Device, Gradients, Tensor};
use mmrest_data::Widths;
use mmrest_metric::MmcLossConfig;
use mmrest_models::{
    Batch, ClusterConfig, ClusterScope, ClusterState, Forward, Loss, LossConfig, MmRest,
    MmRestConfig, Mode, ReceptiveFieldKind, Representations, SentimentModel, StepAt,
};
use mmrest_pdlf::mean_over_modalities;
use serde::Deserialize;

use super::Folders;
use super::learned_metrics::{LossParameters, clusters, metric};
use super::tensors::{Inputs, Results};
use super::weights::{GradientWriter, Weights};
use crate::config::Config;
use crate::error::LearnerError;

/// The file's step is the first of training.
const MODE: Mode = Mode::Train(StepAt::new(0, 0));
/// The file's name.
pub(super) const FILE: &str = "model_step.safetensors";

#[derive(Deserialize)]
struct Parameters {
    /// Weight of the bias.
    gamma: f64,
    /// Weight of L_MMC.
    eta: f64,
    #[serde(flatten)]
    loss: LossParameters,
}

/// Writes representations, predictions, losses, and the gradients of every parameter and of the first tokens.
pub(super) fn run(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, FILE)?;
    let parameters: Parameters = folders.parameters("model_step")?;
    let step = Step::new(&inputs, &parameters, &device.clone().autodiff())?;
    let mut forward = step.forward()?;
    let loss = step
        .model
        .loss(&step.batch, &mut forward, &step.state, MODE)?;

    let mut results = Results::default();
    outputs(&mut results, &forward)?;
    losses(&mut results, &loss)?;
    step.gradients(&inputs, &loss.total.backward(), &mut results)?;
    results.write(folders, FILE)
}

fn outputs(results: &mut Results, forward: &Forward) -> Result<(), LearnerError> {
    let representations = &forward.representations;
    let places = [
        ("clus_text", &representations.text),
        ("clus_visual", &representations.vision),
        ("clus_acoustic", &representations.audio),
    ];
    for (name, place) in places {
        let place = place.clone().ok_or_else(|| absent(name))?;
        results.tensor(name, place)?;
    }
    let projection = forward.projection.as_ref();
    let lengths = projection.ok_or_else(|| absent("bias_mean"))?.value.clone();
    let bias = mean_over_modalities(lengths, representations.modalities());
    let columns = [
        ("preds_with_bias", forward.prediction.clone()),
        ("preds_without_bias", forward.score.clone()),
        ("bias_mean", bias),
    ];
    for (name, values) in columns {
        results.tensor(name, values.unsqueeze_dim::<2>(1))?;
    }
    Ok(())
}

fn losses(results: &mut Results, loss: &Loss) -> Result<(), LearnerError> {
    let part = |name: &'static str| {
        let mut names = MmRest::LOSSES.iter();
        let place = names.position(|known| *known == name);
        let part = place.and_then(|place| loss.parts.get(place)?.clone());
        part.ok_or_else(|| absent(name))
    };
    results.scalar("loss_task", part("task")?)?;
    results.scalar("loss_mmc", part("mmc")?)?;
    results.scalar("loss", loss.total.clone())
}

fn absent(name: &str) -> LearnerError {
    LearnerError::Internal(format!("the model left out '{name}'"))
}

/// The model with the file's weights, and what it is fed.
struct Step {
    model: MmRest,
    /// What would follow the text encoder inside the model.
    projection: Linear,
    first_token: Tensor<2>,
    batch: Batch,
    state: ClusterState,
}

impl Step {
    fn new(
        inputs: &Inputs,
        parameters: &Parameters,
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let dims @ [count, hidden] = inputs.dims("text_first_token")?;
        let weights = Weights { inputs, device };
        let [size, _] = inputs.dims("param.clus_text.weight")?;
        let config = config(parameters);
        let run = Config::default();
        let clusters = clusters(inputs, size, run.bins.labels.len())?;
        let metric = metric(inputs, &clusters, config.ridge, device)?;

        let (vision, frames) = weights.sequence("visual", "visual_enc", count, size)?;
        let (audio, voice) = weights.sequence("acoustic", "acoustic_enc", count, size)?;
        Ok(Self {
            model: MmRest::from_layers(
                &config,
                &run.task(Widths::default(), 0),
                Some(vision),
                Some(audio),
                weights.fusion(hidden, size)?,
                Some(metric),
            )?,
            state: ClusterState {
                clusters: Some(clusters),
                ..ClusterState::default()
            },
            projection: weights.linear("clus_text", hidden, Some(size))?,
            first_token: inputs
                .tensor("text_first_token", dims, device)?
                .require_grad(),
            batch: Batch {
                text: None,
                vision: Some(frames),
                audio: Some(voice),
                sentences: Vec::new(),
                labels: inputs.floats("labels", [count])?,
                rows: (0..count).collect(),
                part: None,
            },
        })
    }

    fn forward(&self) -> Result<Forward, LearnerError> {
        let text = self.projection.forward(self.first_token.clone());
        let representations = Representations {
            first_token: Some(self.first_token.clone()),
            text: Some(text),
            ..self.model.encode(&self.batch)
        };
        Ok(self.model.decide(representations, &self.state, MODE)?)
    }

    /// Adds every gradient.
    fn gradients(
        &self,
        inputs: &Inputs,
        gradients: &Gradients,
        results: &mut Results,
    ) -> Result<(), LearnerError> {
        results.gradient("grad_text_first_token", &self.first_token, gradients)?;
        if let Some(metric) = &self.model.metric {
            results.gradient("grad_m0", &metric.global.val(), gradients)?;
            results.gradient("grad_delta_m", &metric.local.val(), gradients)?;
        }
        let mut writer = GradientWriter {
            inputs,
            gradients,
            results,
        };
        for (name, layer) in self.layers() {
            writer.linear(name, layer)?;
        }
        let encoders = [
            ("visual_enc", &self.model.vision),
            ("acoustic_enc", &self.model.audio),
        ];
        for (name, encoder) in encoders {
            if let Some(encoder) = encoder {
                writer.sequence(name, encoder)?;
            }
        }
        Ok(())
    }

    /// Every linear layer outside the sequence encoders, by its published name.
    fn layers(&self) -> impl Iterator<Item = (&'static str, &Linear)> {
        let fusion = &self.model.fusion;
        [
            ("clus_text", Some(&self.projection)),
            ("getresNet.0.0", fusion.text.as_ref()),
            ("getresNet2.0.0", fusion.vision.as_ref()),
            ("getresNet3.0.0", fusion.audio.as_ref()),
            ("getresNet4.0.0", Some(&fusion.together)),
            ("conv_res", Some(&fusion.joint)),
            ("fusion_prj.linear_1", Some(&fusion.first)),
            ("fusion_prj.linear_2", Some(&fusion.second)),
            ("fusion_prj.linear_3", Some(&fusion.score)),
        ]
        .into_iter()
        .filter_map(|(name, layer)| Some((name, layer?)))
    }
}

/// The published step: given clusters, Voronoi cells as receptive fields.
fn config(parameters: &Parameters) -> MmRestConfig {
    let loss = &parameters.loss;
    MmRestConfig {
        gamma: parameters.gamma,
        mmc_weight: parameters.eta,
        ridge: loss.beta,
        clusters: ClusterConfig {
            scope: ClusterScope::Train,
            receptive_field: ReceptiveFieldKind::Cell,
            ..ClusterConfig::default()
        },
        loss: LossConfig::Hinge(MmcLossConfig {
            inter_weight: loss.v1,
            frobenius_weight: loss.v2,
            margin: loss.xi,
            margin_scale: loss.alpha,
            ..MmcLossConfig::default()
        }),
        ..MmRestConfig::default()
    }
}
