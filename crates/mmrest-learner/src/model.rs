//! The model assembled: encoders, shared space, clusters and metrics, bias and fusion score.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use mmrest_data::{Modality, Widths};
use mmrest_encoders::{
    Bert, BertConfig, SequenceEncoder, SequenceEncoderConfig, init::xavier_linear_init,
};
use mmrest_metric::{Clusters, MultiMetric, MultiMetricConfig, expected_sentiment};
use mmrest_pdlf::{Fusion, FusionConfig, Projection, mean_over_modalities};

use crate::batch::{Batch, TextBatch};
use crate::config::{Config, MetricKind, ProjectionKind};
use crate::error::LearnerError;
use crate::placing::Placed;
use crate::state::{Geometry, StepContext};

/// BERT and the linear map into the shared space.
#[derive(Module, Debug)]
pub struct TextEncoder {
    /// The text encoder itself.
    pub bert: Bert,
    /// `hidden -> representation`.
    pub projection: Linear,
}

/// The whole of MMRest (docs/src/method.md, "Forward").
#[derive(Module, Debug)]
pub struct MmRest {
    /// Text encoder, when text is in use.
    pub text: Option<TextEncoder>,
    /// Vision encoder, when vision is in use.
    pub vision: Option<SequenceEncoder>,
    /// Audio encoder, when audio is in use.
    pub audio: Option<SequenceEncoder>,
    /// The attention-free score y'.
    pub fusion: Fusion,
    /// Global and local metrics, when L_MMC or the bias is in use.
    pub metric: Option<MultiMetric>,
    /// What a training step needs beside parameters and batch; shared by every clone.
    #[module(skip)]
    pub context: StepContext,
}

/// One modality's place in the shared space.
#[derive(Clone, Debug)]
pub struct Representations {
    /// First token's last hidden state, `[batch, hidden]`, when text is in use.
    pub first_token: Option<Tensor<2>>,
    /// Text in the shared space, `[batch, representation]`.
    pub text: Option<Tensor<2>>,
    /// Vision in the shared space.
    pub vision: Option<Tensor<2>>,
    /// Audio in the shared space.
    pub audio: Option<Tensor<2>>,
}

impl Representations {
    /// The rows of C: all text rows, then vision, then audio: `[modalities * batch, representation]`.
    pub fn rows(&self) -> Tensor<2> {
        let present: Vec<Tensor<2>> = [&self.text, &self.vision, &self.audio]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        Tensor::cat(present, 0)
    }

    /// The modalities in use, in the order of the rows of C.
    pub(crate) fn named(&self) -> Vec<(Modality, Tensor<2>)> {
        let all = [
            (Modality::Text, &self.text),
            (Modality::Vision, &self.vision),
            (Modality::Audio, &self.audio),
        ];
        all.into_iter()
            .filter_map(|(modality, rows)| Some((modality, rows.clone()?)))
            .collect()
    }

    /// How many modalities are present.
    pub fn modalities(&self) -> usize {
        [&self.text, &self.vision, &self.audio]
            .into_iter()
            .flatten()
            .count()
    }
}

/// What the forward pass gives.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The shared space.
    pub representations: Representations,
    /// y', `[batch]`.
    pub score: Tensor<1>,
    /// gamma times the bias, `[batch]`, where it is on.
    pub bias: Option<Tensor<1>>,
    /// Distances and nearest clusters of every row, where there are clusters.
    pub projection: Option<Projection>,
    /// The rows of C on the host, where there are clusters: they were read with the distances.
    pub rows_on_host: Option<Vec<f32>>,
    /// y = y' + gamma bias, `[batch]`.
    pub prediction: Tensor<1>,
}

impl MmRest {
    /// A model with fresh weights. `bert` is the loaded text encoder, when text is in use.
    ///
    /// # Errors
    ///
    /// Text is in use and `bert` is absent; or as [`StepContext::new`].
    pub fn new(
        config: &Config,
        widths: Widths,
        bert: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let size = config.model.representation;
        let sequence = |width: usize| {
            (width > 0).then(|| {
                SequenceEncoderConfig {
                    input: width,
                    hidden: size,
                    output: size,
                    dropout: config.model.dropout,
                }
                .init(device)
            })
        };
        let text_layers = bert.as_ref().map_or(0, |(_, bert)| bert.num_hidden_layers);
        let text_hidden = bert.as_ref().map_or(0, |(_, bert)| bert.hidden_size);
        if config.uses(Modality::Text) && text_hidden == 0 {
            return Err(LearnerError::Internal(
                "text in use without an encoder".into(),
            ));
        }
        let width = |width: usize| if width > 0 { size } else { 0 };
        Ok(Self {
            text: bert.map(|(bert, _)| TextEncoder {
                bert,
                projection: xavier_linear_init(text_hidden, size, device),
            }),
            vision: sequence(widths.vision),
            audio: sequence(widths.audio),
            fusion: FusionConfig {
                text: text_hidden,
                vision: width(widths.vision),
                audio: width(widths.audio),
                channels: config.model.channels,
                joint: config.model.joint,
                hidden: config.model.hidden,
                dropout: config.model.dropout,
            }
            .init(device),
            metric: config.needs_clusters().then(|| new_metric(config, device)),
            context: StepContext::new(config, text_layers)?,
        })
    }

    /// The shared space of a batch.
    pub fn encode(&self, batch: &Batch) -> Representations {
        let first_token = match (&self.text, &batch.text) {
            (Some(text), Some(input)) => Some(first_token(
                &text.bert,
                input,
                self.context.settings().lower_layers,
            )),
            _ => None,
        };
        let text = match (&self.text, &first_token) {
            (Some(text), Some(first)) => Some(text.projection.forward(first.clone())),
            _ => None,
        };
        let sequence = |encoder: &Option<SequenceEncoder>,
                        input: &Option<mmrest_models::SequenceBatch>| {
            match (encoder, input) {
                (Some(encoder), Some(input)) => {
                    Some(encoder.forward(input.values.clone(), &input.lengths))
                }
                _ => None,
            }
        };
        Representations {
            first_token,
            text,
            vision: sequence(&self.vision, &batch.vision),
            audio: sequence(&self.audio, &batch.audio),
        }
    }

    /// Score and bias of a batch. Without `geometry` there is no bias.
    ///
    /// # Errors
    ///
    /// As [`MmRest::decide`].
    pub fn forward(
        &self,
        batch: &Batch,
        geometry: Option<&Geometry>,
    ) -> Result<Forward, LearnerError> {
        let representations = self.encode(batch);
        self.decide(representations, geometry)
    }

    /// Score and bias from the shared space (docs/src/method.md, "PDLF").
    ///
    /// # Errors
    ///
    /// Clusters that do not fit the model, or a device that cannot be read.
    pub fn decide(
        &self,
        representations: Representations,
        geometry: Option<&Geometry>,
    ) -> Result<Forward, LearnerError> {
        let score = self.fusion.forward(
            representations.first_token.clone(),
            representations.vision.clone(),
            representations.audio.clone(),
        );
        let placed = match (&self.metric, geometry) {
            (Some(metric), Some(geometry)) => Some(Placed::new(
                representations.rows(),
                &geometry.clusters,
                metric,
            )?),
            _ => None,
        };
        let bias = placed
            .as_ref()
            .zip(geometry.filter(|geometry| geometry.bias))
            .map(|(placed, geometry)| {
                let projection = &placed.projection;
                let bias = self.bias(&representations, &score, projection, &geometry.clusters);
                bias.mul_scalar(self.context.settings().gamma)
            });
        let (projection, rows_on_host) = placed
            .map(|placed| (placed.projection, placed.rows))
            .unzip();
        let prediction = match &bias {
            Some(bias) => score.clone() + bias.clone(),
            None => score.clone(),
        };
        Ok(Forward {
            representations,
            score,
            bias,
            projection,
            rows_on_host,
            prediction,
        })
    }
}

impl MmRest {
    /// The bias of a batch before it is weighed: `[batch]`.
    fn bias(
        &self,
        representations: &Representations,
        score: &Tensor<1>,
        projection: &Projection,
        clusters: &Clusters,
    ) -> Tensor<1> {
        let settings = self.context.settings();
        let modalities = representations.modalities();
        match (settings.projection, &self.metric) {
            (ProjectionKind::Expectation, Some(metric)) => {
                let shares = metric.log_memberships(
                    representations.rows(),
                    modalities,
                    clusters,
                    settings.ordinal.temperature,
                );
                let expected = expected_sentiment(shares, &settings.sentiments_of(clusters));
                expected - score.clone()
            }
            _ if settings.signed => {
                mean_over_modalities(projection.signed(&clusters.bins), modalities)
            }
            _ => mean_over_modalities(projection.value.clone(), modalities),
        }
    }
}

/// Metrics at the identity; fixed there for the paper's "single metric".
fn new_metric(config: &Config, device: &Device) -> MultiMetric {
    let metric = MultiMetricConfig {
        dim: config.model.representation,
        clusters: config.clusters.count,
        ridge: config.loss.ridge,
    }
    .init(device);
    match config.metric {
        MetricKind::Learned => metric,
        MetricKind::Single => metric.no_grad(),
    }
}

/// Last hidden state of the first tokens, `[batch, hidden]`, from whatever the batch carries.
fn first_token(bert: &Bert, input: &TextBatch, lower_layers: usize) -> Tensor<2> {
    match input {
        TextBatch::Tokens(tokens) => bert.forward_first(tokens),
        TextBatch::Hidden(states, offsets) => {
            bert.layers_first(states.clone(), offsets, lower_layers..bert.depth())
        }
        TextBatch::First(state) => state.clone(),
    }
}
