//! The tables of a configuration. Published values are the defaults; docs/src/configuration.md lists every key.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[text]`: the text encoder, any BERT directory in Hugging Face's layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextConfig {
    /// Directory with `config.json`, `vocab.txt` and weights; looked for from the working directory, then from the project's
    /// root.
    pub bert: PathBuf,
    /// Whether to start from random weights, as a directory without weights must.
    pub from_scratch: bool,
    /// Most tokens of an input, `[CLS]` and `[SEP]` included.
    pub max_tokens: usize,
    /// Whether the encoder stays as it is; its output is then computed once and cached.
    pub freeze: bool,
    /// How many of the top layers are trained (all when absent); what the lower ones give is computed once and cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_layers: Option<usize>,
    /// Where the output of untrained layers is cached, from the project's root.
    pub cache: PathBuf,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            bert: PathBuf::from("data/bert/bert-base-uncased"),
            from_scratch: false,
            max_tokens: 50,
            freeze: false,
            train_layers: None,
            cache: PathBuf::from("runs/cache"),
        }
    }
}

/// `[sequence]`: how frames become the LSTMs' input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SequenceConfig {
    /// Drop every frame whose features sum to 0, anywhere in the sequence, as the published code does.
    pub drop_zero_frames: bool,
}

/// `[model]`: sizes of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
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
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            representation: 64,
            channels: 50,
            joint: 512,
            hidden: 128,
            dropout: 0.1,
        }
    }
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

/// Which rows k-means sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterScope {
    /// The whole training set at each epoch's start, warm-started, so that clusters keep their identity.
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

/// What makes a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterBy {
    /// Nearness: k-means.
    #[default]
    Kmeans,
    /// The label: one cluster a sentiment bin, its centre the mean of the bin's rows.
    Sentiment,
}

/// `[clusters]`: k-means and receptive fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// What makes a cluster.
    pub by: ClusterBy,
    /// Clusters asked for, K.
    pub count: usize,
    /// Which rows k-means sees.
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
    /// Squared distance over which a cluster's share of a segment falls to 1/e (`loss.form = "ordinal"`,
    /// `projection.kind = "expectation"`).
    pub temperature: f64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            by: ClusterBy::Kmeans,
            count: 7,
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

/// What L_MMC is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossForm {
    /// Hinges over pairs and over clusters, as published.
    #[default]
    Hinge,
    /// Cross-entropy of a segment's shares of the clusters against the label's place between their sentiments.
    Ordinal,
}

/// What the L1 loss compares with the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskOn {
    /// y, bias included, as published.
    #[default]
    Prediction,
    /// y' alone; the bias learns from L_MMC only.
    Score,
}

/// `[loss]`: the terms of L = L1 + eta L_MMC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// What L_MMC is made of.
    pub form: LossForm,
    /// What the L1 loss compares with the label.
    pub task: TaskOn,
    /// Form `hinge`: pairs and parts count by their means, not their sums.
    pub means: bool,
    /// Form `ordinal`: standard deviation of the label's place, in label units; 0: between its two neighbours.
    pub smoothing: f64,
    /// Weight eta of L_MMC.
    pub mmc_weight: f64,
    /// Weight v1 of the inter-cluster term.
    pub inter_weight: f64,
    /// Weight v2 of the squared Frobenius norm of M0; in form `ordinal`, of the metrics' distance from the identity.
    pub frobenius_weight: f64,
    /// Margin xi of the intra-cluster hinge.
    pub margin: f64,
    /// Factor alpha of the inter-cluster margin.
    pub margin_scale: f64,
    /// beta: added to the diagonal of every M_i.
    pub ridge: f64,
    /// Most pairs a side of a receptive field.
    pub max_pairs: usize,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            form: LossForm::Hinge,
            task: TaskOn::Prediction,
            means: false,
            smoothing: 0.0,
            mmc_weight: 0.01,
            inter_weight: 0.8,
            frobenius_weight: 1.0,
            margin: 3.0,
            margin_scale: 1.0,
            ridge: 0.01,
            max_pairs: 4000,
        }
    }
}

/// What the bias is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectionKind {
    /// How far a row lies from its nearest centre along the way to the second-nearest, as published.
    #[default]
    Length,
    /// How far the score is from the sentiment expected of the clusters around, by their shares of the segment.
    Expectation,
}

/// `[projection]`: the geometric projection bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectionConfig {
    /// What the bias is.
    pub kind: ProjectionKind,
    /// Weight gamma of the bias in the score.
    pub gamma: f64,
    /// Whether the bias is added at evaluation and prediction too.
    pub at_evaluation: bool,
    /// Kind `length`: give the bias the sign of (sentiment of the second-nearest cluster) - (sentiment of the nearest).
    pub signed: bool,
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self {
            kind: ProjectionKind::Length,
            gamma: 0.05,
            at_evaluation: true,
            signed: false,
        }
    }
}

/// What decides which epoch's model is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Lowest mean absolute error on the validation split.
    #[default]
    ValidMae,
    /// Lowest test error among the epochs that improve validation, as the published code does: not an honest test figure.
    TestAmongImproving,
}

/// `[train]`: optimiser, schedule, stopping, selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Most epochs.
    pub epochs: usize,
    /// Segments of a batch.
    pub batch_size: usize,
    /// Adam's learning rate of everything but the text encoder and the metrics.
    pub learning_rate: f64,
    /// Learning rate of the text encoder.
    pub text_learning_rate: f64,
    /// Learning rate of the metrics.
    pub metric_learning_rate: f64,
    /// Coupled (L2) weight decay of every parameter.
    pub weight_decay: f64,
    /// Largest global gradient norm of the model; 0 turns clipping off.
    pub clip: f64,
    /// Largest global gradient norm of the metrics; 0 turns clipping off.
    pub metric_clip: f64,
    /// Factor of the learning rates when validation does not improve.
    pub plateau_factor: f64,
    /// Epochs without improvement before that.
    pub plateau_patience: usize,
    /// Epochs without improvement before training stops.
    pub patience: usize,
    /// Steps in a row with a loss or gradient that is not finite, none of them taken, after which training stops.
    pub non_finite_steps: usize,
    /// Probability with which each modality of a training segment is taken for missing; never all of a segment.
    pub modality_dropout: f64,
    /// What decides which epoch's model is kept.
    pub selection: Selection,
    /// Whether the test split's figures are recorded after every epoch; nothing goes by them.
    pub record_test: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 200,
            batch_size: 64,
            learning_rate: 1e-4,
            text_learning_rate: 5e-5,
            metric_learning_rate: 1e-4,
            weight_decay: 1e-4,
            clip: 1.0,
            metric_clip: 1.0,
            plateau_factor: 0.5,
            plateau_patience: 20,
            patience: 10,
            non_finite_steps: 3,
            modality_dropout: 0.0,
            selection: Selection::ValidMae,
            record_test: false,
        }
    }
}

/// `[report]`: what a run leaves for `mmrest report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Whether the shared space before and after training, and the metrics' eigenvalues, are kept in `geometry/`.
    pub geometry: bool,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { geometry: true }
    }
}
