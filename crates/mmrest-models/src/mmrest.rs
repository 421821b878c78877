//! MMRest: clusters of the modalities' representations, one global and one local Mahalanobis metric per cluster, and a
//! geometric projection bias added to an attention-free fusion score (docs/src/method.md).

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::Modality;
use mmrest_encoders::{Bert, BertConfig, SequenceEncoder, SequenceEncoderConfig};
use mmrest_kernels::host;
use mmrest_kernels::init::xavier_linear_init;
use mmrest_metric::{
    Clusters, KMeansConfig, MmcLoss, MmcLossConfig, MultiMetric, MultiMetricConfig,
    OrdinalLossConfig, ReceptiveField, Rows, SentimentBins, assign, expected_sentiment,
    receptive_fields,
};
use mmrest_pdlf::{
    Fusion, FusionConfig, Projection, cluster_distances, mean_over_modalities,
    projection_from_distances,
};
use serde::{Deserialize, Serialize};

use crate::all_gather::{PartRows, concatenate};
use crate::batch::{Batch, SequenceBatch};
use crate::counts::{bert_parameters, linear, lstm, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::geometry::{BiasInfo, Geometry, HostMetrics, PlacedRow, Placement, Representations};
use crate::model::{
    GradientGroup, Loss, Mode, ModelOutput, NearCluster, Optimizer, ParameterGroup, Prediction,
    Presets, Rates, Recipe, SentimentModel,
};
use crate::seed;
use crate::task::Task;

// Configuration.

/// `[model.mmrest]`. The defaults are the paper's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MmRestConfig {
    /// Size d1 of the shared space, and of the LSTMs.
    pub representation: usize,
    /// Channels of each fusion block.
    pub channels: usize,
    /// Channels the blocks are joined to.
    pub joint: usize,
    /// Width of the MLP's hidden layers.
    pub hidden: usize,
    /// Dropout after the LSTMs and before the MLP.
    pub dropout: f64,
    /// Whether L_MMC is part of the loss.
    pub mmc: bool,
    /// Weight eta of L_MMC.
    pub mmc_weight: f64,
    /// What the L1 loss compares with the label.
    pub target: Target,
    /// Whether the geometric projection bias is added to the score.
    pub bias: bool,
    /// Weight gamma of the bias in the score.
    pub gamma: f64,
    /// Whether the bias is added at evaluation and prediction too.
    pub bias_at_evaluation: bool,
    /// Learned metrics, or the identity in their place (the paper's "single metric").
    pub metric: MetricKind,
    /// beta: added to the diagonal of every M_i.
    pub ridge: f64,
    /// Learning rate of the metrics.
    pub metric_learning_rate: f64,
    /// Largest global gradient norm of the metrics; 0 turns clipping off.
    pub max_metric_grad_norm: f64,
    /// Clusters and receptive fields.
    pub clusters: ClusterConfig,
    /// The form of L_MMC and its terms.
    pub loss: LossConfig,
    /// The form of the bias.
    pub projection: ProjectionConfig,
}

impl Default for MmRestConfig {
    fn default() -> Self {
        Self {
            representation: 64,
            channels: 50,
            joint: 512,
            hidden: 128,
            dropout: 0.1,
            mmc: true,
            mmc_weight: 0.01,
            target: Target::Prediction,
            bias: true,
            gamma: 0.05,
            bias_at_evaluation: true,
            metric: MetricKind::Learned,
            ridge: 0.01,
            metric_learning_rate: 1e-4,
            max_metric_grad_norm: 1.0,
            clusters: ClusterConfig::default(),
            loss: LossConfig::default(),
            projection: ProjectionConfig::default(),
        }
    }
}

/// What the L1 loss compares with the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// y, bias included, as published.
    #[default]
    Prediction,
    /// y' alone; the bias learns from L_MMC only.
    Score,
}

/// Learned metrics, or the identity in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// One global and one local metric per cluster, learned.
    #[default]
    Learned,
    /// M0 and dM_i fixed at the identity.
    Single,
}

/// `[model.mmrest.clusters]`: k-means and receptive fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// How rows are assigned to clusters.
    pub assign: Assign,
    /// Clusters asked for, K.
    pub clusters: usize,
    /// Which rows are clustered.
    pub scope: ClusterScope,
    /// How far a centre moves towards the mean of its rows of a batch (scope `train`).
    pub momentum: f64,
    /// Independent k-means++ starts.
    pub restarts: usize,
    /// Most Lloyd iterations of a start.
    pub max_iterations: usize,
    /// Which rows belong to a receptive field.
    pub receptive_field: ReceptiveFieldKind,
    /// Rows of a receptive field `nearest`, M.
    pub nearest: usize,
    /// Squared distance over which a cluster's share of a segment falls to 1/e (`loss.kind = "ordinal"`,
    /// `projection.kind = "expectation"`).
    pub temperature: f64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            assign: Assign::Kmeans,
            clusters: 7,
            scope: ClusterScope::Train,
            momentum: 0.05,
            restarts: 10,
            max_iterations: 100,
            receptive_field: ReceptiveFieldKind::Nearest,
            nearest: 32,
            temperature: 64.0,
        }
    }
}

/// How rows are assigned to clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assign {
    /// To the nearest centre of k-means.
    #[default]
    Kmeans,
    /// By the label: one cluster per sentiment bin, its centre the mean of the bin's rows.
    Sentiment,
}

/// Which rows are clustered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterScope {
    /// The training set, once per epoch, from the centres in force, so that every cluster keeps its identity.
    #[default]
    Train,
    /// Each batch anew, as the published code does.
    Batch,
}

/// Which rows belong to a cluster's receptive field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceptiveFieldKind {
    /// The `nearest` rows nearest to the centre.
    #[default]
    Nearest,
    /// Every row of the cluster's Voronoi cell.
    Cell,
}

/// `[model.mmrest.loss]`: the form of L_MMC and its terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LossConfig {
    /// Hinges over pairs and over clusters, as published.
    Hinge(MmcLossConfig),
    /// Cross-entropy of a segment's shares of the clusters against the label's place between their sentiments.
    Ordinal(OrdinalConfig),
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::Hinge(MmcLossConfig::default())
    }
}

/// The terms of the ordinal L_MMC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrdinalConfig {
    /// Standard deviation of the label's place, in label units; 0: between its two neighbours.
    pub smoothing: f64,
    /// Weight of the metrics' distance from the identity.
    pub anchor_weight: f64,
}

/// `[model.mmrest.projection]`: the form of the bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ProjectionConfig {
    /// How far a row lies from its nearest centre along the way to the second-nearest, as published.
    Length {
        /// Give the bias the sign of (sentiment of the second-nearest cluster) - (sentiment of the nearest).
        #[serde(default)]
        signed: bool,
    },
    /// How far the score is from the sentiment expected of the clusters around, by their shares of the segment.
    Expectation {},
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self::Length { signed: false }
    }
}

impl MmRestConfig {
    /// Whether clusters and metrics have any part in a run.
    pub fn needs_clusters(&self) -> bool {
        self.mmc || self.bias
    }
}

impl Presets for MmRestConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        // The paper's method, with clusters that keep their identity and the bias at evaluation too.
        ("paper", ""),
        // What the published code computes (docs/src/method.md, "two presets").
        (
            "official",
            r#"
[sequence]
drop_zero_frames = true
[model.mmrest]
bias_at_evaluation = false
[model.mmrest.clusters]
scope = "batch"
receptive_field = "cell"
[train]
selection = "test_among_improving"
"#,
        ),
        // Clusters by sentiment, an ordinal L_MMC, and a bias towards the sentiment expected of the clusters around.
        (
            "ordinal",
            r#"
[model.mmrest]
mmc_weight = 1.0
target = "score"
gamma = 0.5
metric_learning_rate = 1e-3
max_metric_grad_norm = 0.0
[model.mmrest.clusters]
assign = "sentiment"
[model.mmrest.loss]
kind = "ordinal"
[model.mmrest.projection]
kind = "expectation"
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "dropout",
        "mmc_weight",
        "target",
        "gamma",
        "bias_at_evaluation",
        "ridge",
        "metric_learning_rate",
        "max_metric_grad_norm",
        "clusters.momentum",
        "clusters.restarts",
        "clusters.max_iterations",
        "clusters.receptive_field",
        "clusters.nearest",
        "clusters.temperature",
        "loss.*",
        "projection.*",
    ];

    fn check(&self, key: &str, task: &Task) -> Result<(), ConfigError> {
        let clusters = &self.clusters;
        for (name, value) in [
            ("representation", self.representation),
            ("channels", self.channels),
            ("joint", self.joint),
            ("hidden", self.hidden),
            ("clusters.clusters", clusters.clusters),
            ("clusters.restarts", clusters.restarts),
            ("clusters.max_iterations", clusters.max_iterations),
            ("clusters.nearest", clusters.nearest),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        ConfigError::fraction(&format!("{key}.dropout"), self.dropout)?;
        ConfigError::fraction(&format!("{key}.clusters.momentum"), clusters.momentum)?;
        let mut weights = vec![
            ("mmc_weight", self.mmc_weight),
            ("gamma", self.gamma),
            ("ridge", self.ridge),
            ("metric_learning_rate", self.metric_learning_rate),
            ("max_metric_grad_norm", self.max_metric_grad_norm),
        ];
        match &self.loss {
            LossConfig::Hinge(loss) => {
                ConfigError::positive(&format!("{key}.loss.max_pairs"), loss.max_pairs)?;
                weights.extend([
                    ("loss.inter_weight", loss.inter_weight),
                    ("loss.frobenius_weight", loss.frobenius_weight),
                    ("loss.margin", loss.margin),
                    ("loss.margin_scale", loss.margin_scale),
                ]);
            }
            LossConfig::Ordinal(loss) => weights.extend([
                ("loss.smoothing", loss.smoothing),
                ("loss.anchor_weight", loss.anchor_weight),
            ]),
        }
        for (name, value) in weights {
            ConfigError::at_least_zero(&format!("{key}.{name}"), value)?;
        }
        self.check_ordinal(key, task.bins.labels.len())
    }
}

impl MmRestConfig {
    /// Checks what clusters by sentiment, the ordinal loss and the expected sentiment require of each other.
    fn check_ordinal(&self, key: &str, bins: usize) -> Result<(), ConfigError> {
        let by_sentiment = self.clusters.assign == Assign::Sentiment;
        let refuse = |message: String| Err(ConfigError(message));
        if by_sentiment && self.clusters.clusters != bins {
            return refuse(format!(
                "{key}.clusters.assign = \"sentiment\" makes one cluster of each of the {bins} bins: set \
                 {key}.clusters.clusters = {bins}, found {}",
                self.clusters.clusters
            ));
        }
        if matches!(self.loss, LossConfig::Ordinal(_)) && !by_sentiment {
            return refuse(format!(
                "{key}.loss.kind = \"ordinal\" compares clusters whose sentiments ascend: set {key}.clusters.assign = \
                 \"sentiment\", found \"kmeans\""
            ));
        }
        let temperature = self.clusters.temperature;
        if temperature.is_finite() && temperature > 0.0 {
            return Ok(());
        }
        refuse(format!(
            "{key}.clusters.temperature must be a number > 0, found {temperature}"
        ))
    }
}

// The model.

/// BERT and the linear map into the shared space.
#[derive(Module, Debug)]
pub struct TextEncoder {
    /// The text encoder itself.
    pub bert: Bert,
    /// `hidden -> representation`.
    pub projection: Linear,
}

/// The MMRest network.
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
    #[module(skip)]
    settings: Arc<Settings>,
}

/// Configuration and task, resolved.
#[derive(Clone, Debug)]
struct Settings {
    config: MmRestConfig,
    kmeans: KMeansConfig,
    field: ReceptiveField,
    bins: SentimentBins,
    /// The sentiment each bin stands for, in label units.
    sentiments: Vec<f32>,
    /// The sentiment class of each bin.
    classes: Vec<i32>,
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
    seed: u64,
}

impl Settings {
    fn new(config: &MmRestConfig, task: &Task) -> Result<Self, ModelError> {
        let clusters = &config.clusters;
        Ok(Self {
            kmeans: KMeansConfig {
                clusters: clusters.clusters,
                restarts: clusters.restarts,
                max_iterations: clusters.max_iterations,
                ..KMeansConfig::default()
            },
            field: match clusters.receptive_field {
                ReceptiveFieldKind::Nearest => ReceptiveField::Nearest(clusters.nearest),
                ReceptiveFieldKind::Cell => ReceptiveField::Cell,
            },
            bins: task.bins.bins()?,
            sentiments: task.bins.sentiments(task.label_range),
            classes: task.bins.labels.clone(),
            lower_layers: task.lower_layers,
            seed: task.seed,
            config: config.clone(),
        })
    }

    /// The sentiment of each cluster, in label units.
    fn sentiments_of(&self, clusters: &Clusters) -> Vec<f32> {
        let bins = clusters.bins.iter();
        let sentiment = |&bin: &usize| self.sentiments.get(bin).copied().unwrap_or_default();
        bins.map(sentiment).collect()
    }
}

/// The clusters in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterState {
    /// None before the first epoch, and where neither L_MMC nor the bias is in use.
    pub clusters: Option<Clusters>,
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
    /// y = y' + gamma bias, `[batch]`.
    pub prediction: Tensor<1>,
    /// The rows of C on the host, where there are clusters: they were read with the distances.
    rows_on_host: Option<Vec<f32>>,
    /// The clusters after this batch, once the loss is computed.
    next: Option<Clusters>,
}

impl ModelOutput for Forward {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone()
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let space = &self.representations;
        let column = |values: &Tensor<1>| values.clone().unsqueeze_dim::<2>(1);
        let stages = [
            ("text encoder's output", space.first_token.clone()),
            ("text representation", space.text.clone()),
            ("vision representation", space.vision.clone()),
            ("audio representation", space.audio.clone()),
            ("score", Some(column(&self.score))),
            ("bias", self.bias.as_ref().map(column)),
            ("prediction", Some(column(&self.prediction))),
        ];
        let stages = stages.into_iter();
        stages
            .filter_map(|(name, tensor)| Some((name, tensor?)))
            .collect()
    }
}

/// Clusters as a batch's rows see them.
struct BatchClusters {
    clusters: Clusters,
    assignment: Vec<usize>,
    fields: Vec<Vec<usize>>,
    /// The sentiment bin of each row.
    bins: Vec<usize>,
    /// The label of each segment.
    labels: Vec<f32>,
    /// Seed of the pair sampling.
    seed: u64,
    /// The clusters after this batch.
    next: Clusters,
}

/// The rows of a whole batch that several devices computed, and its clusters.
struct Gathered {
    values: Vec<f32>,
    on: BatchClusters,
}

impl SentimentModel for MmRest {
    type Config = MmRestConfig;
    type State = ClusterState;
    type Output = Forward;

    const LOSSES: &'static [&'static str] = &["task", "intra", "inter", "frobenius", "mmc"];

    fn init(
        config: &MmRestConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let size = config.representation;
        let sequence = |width: usize| {
            (width > 0).then(|| {
                SequenceEncoderConfig {
                    input: width,
                    hidden: size,
                    output: size,
                    dropout: config.dropout,
                }
                .init(device)
            })
        };
        let text_hidden = text.as_ref().map_or(0, |(_, bert)| bert.hidden_size);
        if task.uses(Modality::Text) && text_hidden == 0 {
            return Err(ModelError::Internal(
                "text in use without an encoder".into(),
            ));
        }
        let widths = task.widths;
        let fusion = fusion_config(config, task, text_hidden);
        Ok(Self {
            text: text.map(|(bert, _)| TextEncoder {
                bert,
                projection: xavier_linear_init(text_hidden, size, device),
            }),
            vision: sequence(widths.vision),
            audio: sequence(widths.audio),
            fusion: fusion.init(device),
            metric: config.needs_clusters().then(|| metric_of(config, device)),
            settings: Arc::new(Settings::new(config, task)?),
        })
    }

    fn parameter_count(config: &MmRestConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let size = config.representation;
        let sequence = |width: usize| match width {
            0 => 0,
            _ => sum([lstm(width, size), linear(size, size)]),
        };
        let of_text = text.map_or(0, |bert| {
            sum([bert_parameters(bert), linear(bert.hidden_size, size)])
        });
        let metrics = if config.needs_clusters() {
            product([config.clusters.clusters.saturating_add(1), size, size])
        } else {
            0
        };
        let sequences = sum([sequence(task.widths.vision), sequence(task.widths.audio)]);
        let hidden = text.map_or(0, |bert| bert.hidden_size);
        sum([
            of_text,
            sequences,
            fusion_parameters(config, task, hidden),
            metrics,
        ])
    }

    fn init_state(_: &MmRestConfig, _: &Task, _: &[f32]) -> ClusterState {
        ClusterState::default()
    }

    fn check_state(&self, state: &ClusterState) -> Result<(), ModelError> {
        let Some(clusters) = &state.clusters else {
            return Ok(());
        };
        let config = &self.settings.config;
        if clusters.dim != config.representation {
            return Err(ModelError::Config(ConfigError(format!(
                "holds centres of {} numbers, but model.mmrest.representation is {}",
                clusters.dim, config.representation
            ))));
        }
        Ok(clusters.check(self.settings.classes.len(), config.clusters.clusters)?)
    }

    fn recipe(config: &MmRestConfig, rates: &Rates) -> Recipe {
        let group = |name, pattern, optimizer, learning_rate| ParameterGroup {
            name,
            pattern,
            optimizer,
            learning_rate,
            weight_decay: rates.weight_decay,
        };
        let gradients = |name, pattern, max_norm| GradientGroup {
            name,
            pattern,
            max_norm,
        };
        const METRIC: &str = r"^metric\.";
        Recipe {
            groups: vec![
                group("", "", Optimizer::Adam, rates.learning_rate),
                group(
                    "text",
                    r"^text\.bert\.",
                    Optimizer::Adam,
                    rates.text_learning_rate,
                ),
                group(
                    "metric",
                    METRIC,
                    Optimizer::PsdAdam,
                    config.metric_learning_rate,
                ),
            ],
            gradients: vec![
                gradients("", "", rates.max_grad_norm),
                gradients("metric", METRIC, config.max_metric_grad_norm),
            ],
            accumulate: 1,
        }
    }

    fn epoch_stage(&self) -> Option<&'static str> {
        let clusters = &self.settings.config.clusters;
        (self.metric.is_some() && clusters.scope == ClusterScope::Train)
            .then_some("clustering the training set")
    }

    /// Clusters the training set, from the centres in force (docs/src/method.md, "a stable set").
    fn begin_epoch(
        &self,
        state: &mut ClusterState,
        epoch: usize,
        train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        if self.epoch_stage().is_none() {
            return Ok(());
        }
        let settings = &self.settings;
        let (mut values, mut bins) = (Vec::new(), Vec::new());
        for batch in train {
            let batch = batch?;
            let representations = self.encode(&batch);
            let rows = host::read("representations", representations.rows())?;
            if !rows.iter().all(|value| value.is_finite()) {
                return Err(ModelError::NonFinite(
                    "the training set cannot be clustered, for it has a representation that is not finite".into(),
                ));
            }
            values.extend(rows);
            let labels = batch.labels.iter();
            let batch_bins: Vec<usize> = labels.map(|&l| settings.bins.bin(l)).collect();
            bins.extend(batch_bins.repeat(representations.modalities()));
        }
        let rows = Rows::new(&values, settings.config.representation)?;
        let (kmeans, field) = (&settings.kmeans, settings.field);
        let clusters = match &state.clusters {
            _ if settings.config.clusters.assign == Assign::Sentiment => {
                Clusters::by_bin(rows, &bins, settings.bins.len())
            }
            Some(before) => before.fit_from(rows, &bins, &settings.bins, kmeans, field)?,
            None => {
                let seed = seed::mix(settings.seed, &[seed::KMEANS, epoch as u64]);
                Clusters::fit(rows, &bins, &settings.bins, kmeans, field, seed)?
            }
        };
        state.clusters = Some(clusters);
        Ok(())
    }

    fn forward(
        &self,
        batch: &Batch,
        state: &ClusterState,
        mode: Mode,
    ) -> Result<Forward, ModelError> {
        self.decide(self.encode(batch), state, mode)
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut Forward,
        state: &ClusterState,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        let device = output.prediction.device();
        let labels = TensorData::new(batch.labels.clone(), [batch.len()]);
        let labels = Tensor::from_data(labels, &device);
        let compared = match self.settings.config.target {
            Target::Prediction => output.prediction.clone(),
            Target::Score => output.score.clone(),
        };
        let task = (compared - labels).abs().mean();
        let task = match &batch.part {
            Some(part) => task.mul_scalar(batch.len() as f64 / part.segments() as f64),
            None => task,
        };
        let mmc = match &self.metric {
            Some(metric) => self.mmc(batch, output, state, metric, mode)?,
            None => None,
        };
        let total = match &mmc {
            Some(mmc) => {
                let weight = self.settings.config.mmc_weight;
                task.clone() + mmc.total.clone().mul_scalar(weight)
            }
            None => task.clone(),
        };
        let parts = match mmc {
            Some(mmc) => [task, mmc.intra, mmc.inter, mmc.frobenius, mmc.total]
                .map(Some)
                .to_vec(),
            None => vec![Some(task), None, None, None, None],
        };
        Ok(Loss { total, parts })
    }

    /// Each part has its share of the task's loss, and all of L_MMC.
    fn combine_losses(&self, parts: &[Vec<f64>]) -> Vec<f64> {
        let Some(mut whole) = parts.first().cloned() else {
            return Vec::new();
        };
        if let [total, task, .., mmc] = &mut whole[..] {
            *task = parts.iter().filter_map(|part| part.get(1)).sum();
            *total = *task + self.settings.config.mmc_weight * *mmc;
        }
        whole
    }

    fn observe(
        &self,
        _: &Batch,
        output: &Forward,
        state: &mut ClusterState,
        _: usize,
    ) -> Result<(), ModelError> {
        if output.next.is_some() {
            state.clusters.clone_from(&output.next);
        }
        Ok(())
    }

    /// Projects the metrics to positive semidefinite matrices.
    fn after_step(mut self) -> Result<Self, ModelError> {
        if self.settings.config.metric == MetricKind::Learned
            && let Some(metric) = self.metric.take()
        {
            self.metric = Some(metric.project_psd()?);
        }
        Ok(self)
    }

    fn epoch_columns(&self, state: &ClusterState) -> Vec<(&'static str, f64)> {
        let clusters = state.clusters.as_ref().map_or(0, Clusters::len);
        vec![("clusters", clusters as f64)]
    }

    fn predictions(
        &self,
        output: &Forward,
        state: &ClusterState,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, ModelError> {
        let near = near_clusters(
            output,
            state.clusters.as_ref(),
            &self.settings.classes,
            rows.len(),
        );
        let columns = [
            Some(output.score.clone()),
            Some(output.prediction.clone()),
            output.bias.clone(),
        ];
        let columns = columns.into_iter().flatten().collect();
        let values = host::read("predictions", Tensor::cat(columns, 0))?;
        let at = |column: usize, row: usize| values[column * rows.len() + row];
        Ok((0..rows.len())
            .zip(near)
            .map(|(i, near)| Prediction {
                row: rows[i],
                prediction: at(1, i),
                score: at(0, i),
                bias: if output.bias.is_some() { at(2, i) } else { 0.0 },
                near,
            })
            .collect())
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.text.as_ref().map(|text| &text.bert)
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let metrics = self.metric.as_ref().map_or(0, Module::num_params);
        vec![("metrics", metrics)]
    }

    fn geometry<'a>(&'a self, state: &'a ClusterState) -> Option<Box<dyn Geometry + 'a>> {
        Some(Box::new(Space { model: self, state }))
    }
}

/// Sizes of the fusion.
fn fusion_config(config: &MmRestConfig, task: &Task, text_hidden: usize) -> FusionConfig {
    let width = |width: usize| {
        if width > 0 { config.representation } else { 0 }
    };
    FusionConfig {
        text: text_hidden,
        vision: width(task.widths.vision),
        audio: width(task.widths.audio),
        channels: config.channels,
        joint: config.joint,
        hidden: config.hidden,
        dropout: config.dropout,
    }
}

/// Parameters of the fusion.
fn fusion_parameters(config: &MmRestConfig, task: &Task, text_hidden: usize) -> u128 {
    let fusion = fusion_config(config, task, text_hidden);
    let present = [fusion.text, fusion.vision, fusion.audio];
    let alone = present.map(|width| match width {
        0 => 0,
        _ => linear(width, fusion.channels),
    });
    let together = present.into_iter().fold(0, usize::saturating_add);
    let modalities = present.iter().filter(|&&width| width > 0).count();
    let joined = fusion.channels.saturating_mul(modalities + 1);
    sum([
        sum(alone),
        linear(together, fusion.channels),
        linear(joined, fusion.joint),
        linear(fusion.joint, fusion.hidden),
        linear(fusion.hidden, fusion.hidden),
        linear(fusion.hidden, 1),
    ])
}

/// Metrics at the identity; fixed there for the paper's "single metric".
fn metric_of(config: &MmRestConfig, device: &Device) -> MultiMetric {
    let metric = MultiMetricConfig {
        dim: config.representation,
        clusters: config.clusters.clusters,
        ridge: config.ridge,
    }
    .init(device);
    match config.metric {
        MetricKind::Learned => metric,
        MetricKind::Single => metric.no_grad(),
    }
}

impl MmRest {
    /// A model of given layers.
    ///
    /// # Errors
    ///
    /// The task's bins do not ascend.
    pub fn from_layers(
        config: &MmRestConfig,
        task: &Task,
        vision: Option<SequenceEncoder>,
        audio: Option<SequenceEncoder>,
        fusion: Fusion,
        metric: Option<MultiMetric>,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            text: None,
            vision,
            audio,
            fusion,
            metric,
            settings: Arc::new(Settings::new(config, task)?),
        })
    }

    /// The shared space of a batch.
    pub fn encode(&self, batch: &Batch) -> Representations {
        let first_token = match (&self.text, &batch.text) {
            (Some(text), Some(input)) => {
                Some(input.first_token(&text.bert, self.settings.lower_layers))
            }
            _ => None,
        };
        let text = match (&self.text, &first_token) {
            (Some(text), Some(first)) => Some(text.projection.forward(first.clone())),
            _ => None,
        };
        let sequence = |encoder: &Option<SequenceEncoder>, input: &Option<SequenceBatch>| match (
            encoder, input,
        ) {
            (Some(encoder), Some(input)) => {
                Some(encoder.forward(input.values.clone(), &input.lengths))
            }
            _ => None,
        };
        Representations {
            first_token,
            text,
            vision: sequence(&self.vision, &batch.vision),
            audio: sequence(&self.audio, &batch.audio),
        }
    }

    /// Score and bias from the shared space (docs/src/method.md, "PDLF").
    ///
    /// # Errors
    ///
    /// Clusters that do not fit the model, or a device that cannot be read.
    pub fn decide(
        &self,
        representations: Representations,
        state: &ClusterState,
        mode: Mode,
    ) -> Result<Forward, ModelError> {
        let config = &self.settings.config;
        // A training step without the bias has no use for distances; evaluation reports the nearest clusters.
        let (looks, adds_bias) = match mode {
            Mode::Train { .. } => (config.bias, config.bias),
            Mode::Evaluate => (true, config.bias && config.bias_at_evaluation),
        };
        let clusters = state.clusters.as_ref().filter(|_| looks);
        let score = self.fusion.forward(
            representations.first_token.clone(),
            representations.vision.clone(),
            representations.audio.clone(),
        );
        let (mut bias, mut projection, mut rows_on_host) = (None, None, None);
        if let (Some(metric), Some(clusters)) = (&self.metric, clusters) {
            let (placed, rows) = place_rows(representations.rows(), clusters, metric)?;
            if adds_bias {
                let unweighted = self.bias(&representations, &score, &placed, clusters, metric);
                bias = Some(unweighted.mul_scalar(config.gamma));
            }
            (projection, rows_on_host) = (Some(placed), Some(rows));
        }
        let prediction = match &bias {
            Some(bias) => score.clone() + bias.clone(),
            None => score.clone(),
        };
        Ok(Forward {
            representations,
            score,
            bias,
            projection,
            prediction,
            rows_on_host,
            next: None,
        })
    }

    /// The bias of a batch before it is weighed: `[batch]`.
    fn bias(
        &self,
        representations: &Representations,
        score: &Tensor<1>,
        projection: &Projection,
        clusters: &Clusters,
        metric: &MultiMetric,
    ) -> Tensor<1> {
        let settings = &self.settings;
        let modalities = representations.modalities();
        match settings.config.projection {
            ProjectionConfig::Expectation {} => {
                let shares = metric.log_memberships(
                    representations.rows(),
                    modalities,
                    clusters,
                    settings.config.clusters.temperature,
                );
                let expected = expected_sentiment(shares, &settings.sentiments_of(clusters));
                expected - score.clone()
            }
            ProjectionConfig::Length { signed: true } => {
                mean_over_modalities(projection.signed(&clusters.bins), modalities)
            }
            ProjectionConfig::Length { signed: false } => {
                mean_over_modalities(projection.value.clone(), modalities)
            }
        }
    }

    /// L_MMC, where it is in use; the clusters move on in any case.
    fn mmc(
        &self,
        batch: &Batch,
        output: &mut Forward,
        state: &ClusterState,
        metric: &MultiMetric,
        mode: Mode,
    ) -> Result<Option<MmcLoss>, ModelError> {
        let rows = output.representations.rows();
        let modalities = output.representations.modalities();
        let own = PartRows {
            values: match &output.rows_on_host {
                Some(values) => values.clone(),
                None => host::read("representations", rows.clone().inner())?,
            },
            labels: batch.labels.repeat(modalities),
        };
        let Some(part) = &batch.part else {
            let on = self.cluster_batch(&own, state, modalities, mode)?;
            let loss = self.mmc_loss(rows, &on, metric)?;
            output.next = Some(on.next);
            return Ok(loss);
        };
        let [_, dim] = rows.dims();
        let gathered = part.all_gather(own, |parts| {
            let all = concatenate(parts, modalities, dim);
            let on = self.cluster_batch(&all, state, modalities, mode)?;
            let values = all.values;
            Ok(Gathered { values, on })
        })?;
        output.next = Some(gathered.on.next.clone());
        let all = part.among(rows, &gathered.values, modalities);
        match part.index() {
            0 => self.mmc_loss(all, &gathered.on, metric),
            // The metrics' own gradient is the whole batch's on every device: it is taken once.
            _ => self.mmc_loss(all, &gathered.on, &metric.clone().no_grad()),
        }
    }

    /// The clusters that L_MMC of this batch is about, and those that the next step's bias is about: the batch's own
    /// (scope `batch`), or those in force moved towards its rows (scope `train`).
    fn cluster_batch(
        &self,
        all: &PartRows,
        state: &ClusterState,
        modalities: usize,
        mode: Mode,
    ) -> Result<BatchClusters, ModelError> {
        let settings = &self.settings;
        let config = &settings.config.clusters;
        let (epoch, step) = match mode {
            Mode::Train { epoch, step } => (epoch as u64, step as u64),
            Mode::Evaluate => (0, 0),
        };
        let labels = &all.labels;
        let bins: Vec<usize> = labels.iter().map(|&l| settings.bins.bin(l)).collect();
        let dim = all.values.len() / labels.len().max(1);
        let rows = Rows::new(&all.values, dim)?;
        let clusters = match (config.scope, config.assign, &state.clusters) {
            (ClusterScope::Train, _, Some(clusters)) => clusters.clone(),
            (_, Assign::Sentiment, _) => Clusters::by_bin(rows, &bins, settings.bins.len()),
            _ => {
                let seed = seed::mix(settings.seed, &[seed::KMEANS, epoch, step]);
                let (kmeans, field) = (&settings.kmeans, settings.field);
                Clusters::fit(rows, &bins, &settings.bins, kmeans, field, seed)?
            }
        };
        let assignment = match config.assign {
            Assign::Kmeans => assign(rows, &clusters.centers),
            Assign::Sentiment => clusters.assign_by_bin(rows, &bins),
        };
        let fields = receptive_fields(rows, &clusters.centers, &assignment, settings.field);
        let mut next = clusters.clone();
        if config.scope == ClusterScope::Train {
            next.ema_update(rows, &assignment, config.momentum);
        }
        Ok(BatchClusters {
            clusters,
            assignment,
            fields,
            bins,
            labels: labels[..labels.len() / modalities.max(1)].to_vec(),
            seed: seed::mix(settings.seed, &[seed::PAIRS, epoch, step]),
            next,
        })
    }

    fn mmc_loss(
        &self,
        rows: Tensor<2>,
        on: &BatchClusters,
        metric: &MultiMetric,
    ) -> Result<Option<MmcLoss>, ModelError> {
        let settings = &self.settings;
        if !settings.config.mmc {
            return Ok(None);
        }
        let loss = match &settings.config.loss {
            LossConfig::Hinge(loss) => loss.forward(
                rows,
                &on.bins,
                &on.assignment,
                &on.fields,
                &on.clusters,
                metric,
                on.seed,
            ),
            LossConfig::Ordinal(OrdinalConfig {
                smoothing,
                anchor_weight,
            }) => {
                let loss = OrdinalLossConfig {
                    temperature: settings.config.clusters.temperature,
                    smoothing: *smoothing,
                    anchor_weight: *anchor_weight,
                };
                let sentiments = settings.sentiments_of(&on.clusters);
                loss.forward(rows, &on.labels, &sentiments, &on.clusters, metric)
            }
        }?;
        Ok(Some(loss))
    }
}

/// Places `rows`, `[rows, dim]`, among clusters; gives the rows on the host too, for one read has both.
fn place_rows(
    rows: Tensor<2>,
    clusters: &Clusters,
    metric: &MultiMetric,
) -> Result<(Projection, Vec<f32>), ModelError> {
    let [count, dim] = rows.dims();
    let measured = cluster_distances(rows.clone(), clusters, metric)?;
    let both = Tensor::cat(vec![rows.clone().inner(), measured.inner()], 1);
    let both = host::read("representations", both)?;
    let mut values = Vec::with_capacity(count * dim);
    let mut distances = Vec::with_capacity(count * clusters.len());
    for row in both.chunks_exact(dim + clusters.len()) {
        let (row, measured) = row.split_at(dim);
        values.extend_from_slice(row);
        distances.extend_from_slice(measured);
    }
    let projection = projection_from_distances(rows, clusters, metric, distances)?;
    Ok((projection, values))
}

/// The two nearest clusters of each segment, by the mean distance of its modalities. `classes`: the class of each bin.
fn near_clusters(
    output: &Forward,
    clusters: Option<&Clusters>,
    classes: &[i32],
    batch: usize,
) -> Vec<Vec<NearCluster>> {
    let Some((projection, clusters)) = output.projection.as_ref().zip(clusters) else {
        return vec![Vec::new(); batch];
    };
    let (count, modalities) = (clusters.len(), output.representations.modalities());
    let sentiment = |cluster: usize| classes.get(*clusters.bins.get(cluster)?).copied();
    let distance = |segment: usize, cluster: usize| {
        let rows = (0..modalities).map(|m| m * batch + segment);
        rows.map(|row| projection.distances[row * count + cluster])
            .sum::<f32>()
            / modalities as f32
    };
    (0..batch)
        .map(|segment| {
            let mut near: Vec<NearCluster> = (0..count)
                .map(|cluster| NearCluster {
                    cluster,
                    sentiment: sentiment(cluster).unwrap_or_default(),
                    distance: distance(segment, cluster),
                })
                .collect();
            near.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            near.truncate(2);
            near
        })
        .collect()
}

// The shared space, as reports and explanations see it.

/// A model with its clusters.
struct Space<'a> {
    model: &'a MmRest,
    state: &'a ClusterState,
}

impl Space<'_> {
    fn host_metrics(&self, which: Option<&[usize]>) -> Result<Option<HostMetrics>, ModelError> {
        let Some(metric) = &self.model.metric else {
            return Ok(None);
        };
        let all: Vec<usize> = (0..metric.len()).collect();
        let widened =
            |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
        let dim = metric.dim();
        let mut global = widened(host::read("global metric", metric.global.val())?);
        for place in 0..dim {
            global[place * (dim + 1)] += metric.ridge();
        }
        let own = metric.metrics(which.unwrap_or(&all));
        Ok(Some(HostMetrics {
            dim,
            global,
            own: widened(host::read("metrics", own)?),
        }))
    }

    /// What each row adds to its segment's bias, where the bias is a mean over rows: gamma r / modalities, `[rows]`.
    fn shares(&self, output: &Forward) -> Result<Option<Vec<f32>>, ModelError> {
        let config = &self.model.settings.config;
        let (Some(_), Some(projection), Some(clusters)) =
            (&output.bias, &output.projection, &self.state.clusters)
        else {
            return Ok(None);
        };
        let value = match config.projection {
            ProjectionConfig::Expectation {} => return Ok(None),
            ProjectionConfig::Length { signed: true } => projection.signed(&clusters.bins),
            ProjectionConfig::Length { signed: false } => projection.value.clone(),
        };
        let weight = config.gamma / output.representations.modalities() as f64;
        let shares = host::read("shares of the bias", value.mul_scalar(weight))?;
        Ok(Some(shares))
    }
}

impl Geometry for Space<'_> {
    fn dim(&self) -> usize {
        self.model.settings.config.representation
    }

    fn clusters(&self) -> Option<&Clusters> {
        self.state.clusters.as_ref()
    }

    fn bias(&self) -> BiasInfo {
        let config = &self.model.settings.config;
        BiasInfo {
            on: config.bias && config.bias_at_evaluation && self.clusters().is_some(),
            kind: match config.projection {
                ProjectionConfig::Length { .. } => "length",
                ProjectionConfig::Expectation {} => "expectation",
            },
            gamma: config.gamma,
        }
    }

    fn classes(&self) -> &[i32] {
        &self.model.settings.classes
    }

    fn bin(&self, label: f32) -> usize {
        self.model.settings.bins.bin(label)
    }

    fn metrics(&self) -> Result<Option<HostMetrics>, ModelError> {
        self.host_metrics(self.clusters().map(|clusters| &clusters.metric[..]))
    }

    fn all_metrics(&self) -> Result<Option<HostMetrics>, ModelError> {
        self.host_metrics(None)
    }

    fn encode(&self, batch: &Batch) -> Representations {
        self.model.encode(batch)
    }

    fn decide(
        &self,
        representations: Representations,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, ModelError> {
        let output = self
            .model
            .decide(representations, self.state, Mode::Evaluate)?;
        self.model.predictions(&output, self.state, rows)
    }

    fn place(&self, batch: &Batch) -> Result<Vec<Placement>, ModelError> {
        let output = self.model.forward(batch, self.state, Mode::Evaluate)?;
        let shares = self.shares(&output)?;
        let rows = placed_rows(&output, shares.as_deref(), batch.len());
        let predictions = self.model.predictions(&output, self.state, &batch.rows)?;
        let placements = predictions.into_iter().zip(rows);
        Ok(placements
            .map(|(prediction, rows)| Placement { prediction, rows })
            .collect())
    }
}

/// The rows of each segment of a batch.
fn placed_rows(output: &Forward, shares: Option<&[f32]>, batch: usize) -> Vec<Vec<PlacedRow>> {
    let (Some(projection), Some(values)) = (&output.projection, &output.rows_on_host) else {
        return vec![Vec::new(); batch];
    };
    let used = output.representations.by_modality();
    let count = projection.near.len().max(1);
    let (dim, clusters) = (values.len() / count, projection.distances.len() / count);
    let placed = |place: usize, modality: Modality, segment: usize| {
        let row = place * batch + segment;
        PlacedRow {
            modality,
            values: values[row * dim..(row + 1) * dim].to_vec(),
            distances: projection.distances[row * clusters..(row + 1) * clusters].to_vec(),
            near: projection.near[row],
            second: projection.second[row],
            bias: shares.map(|shares| shares[row]),
        }
    };
    let rows_of = |segment: usize| {
        let rows = used.iter().enumerate();
        rows.map(|(place, (modality, _))| placed(place, *modality, segment))
            .collect()
    };
    (0..batch).map(rows_of).collect()
}
