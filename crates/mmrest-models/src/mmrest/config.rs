//! `[model.mmrest]`: the configuration of MMRest, with its presets.

use mmrest_metric::{KernelRegressionConfig, MmcLossConfig};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

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
    /// Whether each row of the shared space is divided by its length.
    pub unit_length: bool,
    /// How the modalities make the score.
    pub fusion: FusionKind,
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
    /// What the validation split may choose in place of `gamma` when a run ends; empty: `gamma` stays.
    pub gamma_choices: Vec<f64>,
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
    /// How kernel regression starts and learns (`loss.kind = "kernel"`, `projection.kind = "kernel"`).
    pub kernel: KernelConfig,
}

impl Default for MmRestConfig {
    fn default() -> Self {
        Self {
            representation: 64,
            channels: 50,
            joint: 512,
            hidden: 128,
            dropout: 0.1,
            unit_length: false,
            fusion: FusionKind::Joint,
            mmc: true,
            mmc_weight: 0.01,
            target: Target::Prediction,
            bias: true,
            gamma: 0.05,
            gamma_choices: Vec::new(),
            bias_at_evaluation: true,
            metric: MetricKind::Learned,
            ridge: 0.01,
            metric_learning_rate: 1e-4,
            max_metric_grad_norm: 1.0,
            clusters: ClusterConfig::default(),
            loss: LossConfig::default(),
            projection: ProjectionConfig::default(),
            kernel: KernelConfig::default(),
        }
    }
}

/// How the modalities make the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusionKind {
    /// Each alone and all side by side, as published.
    #[default]
    Joint,
    /// The first modality alone; each further one adds its own score through a gate that starts closed.
    Gated,
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
    /// The global metric is learned, the local ones are fixed at the identity.
    Global,
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
    /// Epochs from one clustering of the training set to the next (scope `train`); between them the centres follow the
    /// batches.
    pub refit_every: usize,
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
            refit_every: 1,
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
    /// The training set, every few epochs, from the centres in force, so that every cluster keeps its identity.
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
    /// Error of the sentiment that the batch's other segments give by kernel regression, and the ordinal cross-entropy.
    Kernel(KernelLossConfig),
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

/// The terms of the kernel L_MMC beside the error of kernel regression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KernelLossConfig {
    /// Whether a batch is compared with all other training segments, as they were encoded at the end of the epoch before,
    /// and not with itself alone.
    pub memory: bool,
    /// Weight of the cross-entropy of a segment's shares of the clusters, as `ordinal` has it.
    pub ordinal_weight: f64,
    /// Standard deviation of the label's place among the clusters, in label units; 0: between its two neighbours.
    pub smoothing: f64,
    /// Weight of the metrics' distance from the identity.
    pub anchor_weight: f64,
}

impl KernelLossConfig {
    /// Whether the loss has a part that goes by clusters.
    pub(super) fn by_clusters(&self) -> bool {
        self.ordinal_weight > 0.0 || self.anchor_weight > 0.0
    }
}

/// `[model.mmrest.kernel]`: how kernel regression starts and learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KernelConfig {
    /// Squared distance of the first modality over which a weight falls to 1/e, at first.
    pub temperature: f64,
    /// The precision of each further modality as a multiple of the first one's, at first.
    pub gate: f64,
    /// Learning rate of the precisions' logarithms.
    pub learning_rate: f64,
}

impl Default for KernelConfig {
    fn default() -> Self {
        let KernelRegressionConfig { temperature, gate } = KernelRegressionConfig::default();
        Self {
            temperature,
            gate,
            learning_rate: 1e-2,
        }
    }
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
    /// How far the score is from the sentiment that the training segments around give by kernel regression under the
    /// learned metrics.
    Kernel {
        /// The share of the sentiment expected of the clusters in it, 0 to 1.
        #[serde(default)]
        centers: f64,
        /// When these segments are encoded.
        #[serde(default)]
        support: SupportFrom,
    },
}

/// When the training segments that a kernel's bias is made of are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SupportFrom {
    /// Once more at the end of an epoch, with the weights that it ends with and without dropout.
    #[default]
    Encoded,
    /// In the epoch's steps, each with the weights and the dropout of its own step; for the selected model once more at the
    /// end of the run.
    Steps,
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

    /// Whether kernel regression has any part in a run.
    pub(super) fn needs_kernel(&self) -> bool {
        (self.mmc && matches!(self.loss, LossConfig::Kernel(_))) || self.biased_by_kernel()
    }

    /// Whether the loss compares a batch with training segments beside it.
    pub(super) fn remembers(&self) -> bool {
        self.mmc && matches!(&self.loss, LossConfig::Kernel(loss) if loss.memory)
    }

    /// Whether the training segments that the bias is made of are kept as the steps encode them.
    pub(super) fn keeps_steps(&self) -> bool {
        let steps = matches!(
            self.projection,
            ProjectionConfig::Kernel {
                support: SupportFrom::Steps,
                ..
            }
        );
        steps && self.bias && self.bias_at_evaluation
    }

    /// Whether the bias comes from kernel regression over the training segments.
    pub(super) fn biased_by_kernel(&self) -> bool {
        self.bias && matches!(self.projection, ProjectionConfig::Kernel { .. })
    }
}

impl Presets for MmRestConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        // Kernel regression over the training segments under the learned metrics (docs/src/method.md, "the kernel form").
        (
            "kernel",
            r#"
[train]
learning_rate = 1e-3
[model.mmrest]
unit_length = true
fusion = "gated"
mmc_weight = 1.0
target = "score"
gamma = 0.75
metric_learning_rate = 1e-3
max_metric_grad_norm = 0.0
[model.mmrest.clusters]
assign = "sentiment"
temperature = 0.5
[model.mmrest.loss]
kind = "kernel"
[model.mmrest.projection]
kind = "kernel"
"#,
        ),
        // The paper's method, with clusters that keep their identity and the bias at evaluation too.
        ("paper", ""),
        // What the published code computes (docs/src/method.md, "presets").
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
        "gamma_choices",
        "bias_at_evaluation",
        "ridge",
        "metric_learning_rate",
        "max_metric_grad_norm",
        "clusters.refit_every",
        "clusters.momentum",
        "clusters.restarts",
        "clusters.max_iterations",
        "clusters.receptive_field",
        "clusters.nearest",
        "clusters.temperature",
        // The keys of every kind, not the kinds: a loss of another kind has other parameters, and a bias another state.
        "loss.inter_weight",
        "loss.frobenius_weight",
        "loss.margin",
        "loss.margin_scale",
        "loss.max_pairs",
        "loss.balanced",
        "loss.means",
        "loss.smoothing",
        "loss.anchor_weight",
        "loss.ordinal_weight",
        "loss.memory",
        "projection.signed",
        "projection.centers",
        "projection.support",
        "kernel.*",
    ];

    fn check(&self, key: &str, task: &Task) -> Result<(), ConfigError> {
        let clusters = &self.clusters;
        for (name, value) in [
            ("representation", self.representation),
            ("channels", self.channels),
            ("joint", self.joint),
            ("hidden", self.hidden),
            ("clusters.clusters", clusters.clusters),
            ("clusters.refit_every", clusters.refit_every),
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
            LossConfig::Kernel(loss) => weights.extend([
                ("loss.ordinal_weight", loss.ordinal_weight),
                ("loss.smoothing", loss.smoothing),
                ("loss.anchor_weight", loss.anchor_weight),
            ]),
        }
        if let ProjectionConfig::Kernel { centers, .. } = self.projection {
            weights.push(("projection.centers", centers));
            if centers > 1.0 {
                return Err(ConfigError(format!(
                    "{key}.projection.centers must be in [0, 1], found {centers}"
                )));
            }
        }
        weights.push(("kernel.learning_rate", self.kernel.learning_rate));
        for (name, value) in [
            ("clusters.temperature", clusters.temperature),
            ("kernel.temperature", self.kernel.temperature),
            ("kernel.gate", self.kernel.gate),
        ] {
            ConfigError::above_zero(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in weights {
            ConfigError::at_least_zero(&format!("{key}.{name}"), value)?;
        }
        for &choice in &self.gamma_choices {
            ConfigError::at_least_zero(&format!("{key}.gamma_choices"), choice)?;
        }
        if !self.gamma_choices.is_empty() && self.gamma == 0.0 {
            return Err(ConfigError(format!(
                "{key}.gamma = 0 leaves no bias to weigh by {key}.gamma_choices: set {key}.gamma above 0"
            )));
        }
        self.check_ordinal(key, task.bins.labels.len())
    }
}

impl MmRestConfig {
    /// Checks what clusters by sentiment, the ordinal loss and the expected sentiment require of each other.
    fn check_ordinal(&self, key: &str, bins: usize) -> Result<(), ConfigError> {
        let by_sentiment = self.clusters.assign == Assign::Sentiment;
        let refuse = |message: String| Err(ConfigError(message));
        if by_sentiment && self.clusters.clusters < bins {
            return refuse(format!(
                "{key}.clusters.assign = \"sentiment\" makes one cluster of each of the {bins} bins: set \
                 {key}.clusters.clusters = {bins}, found {}",
                self.clusters.clusters
            ));
        }
        let by_label = match (&self.loss, &self.projection) {
            (LossConfig::Ordinal(_), _) => Some("loss.kind = \"ordinal\""),
            (LossConfig::Kernel(_), _) => Some("loss.kind = \"kernel\""),
            (_, ProjectionConfig::Kernel { .. }) => Some("projection.kind = \"kernel\""),
            _ => None,
        };
        if let Some(form) = by_label
            && !by_sentiment
        {
            return refuse(format!(
                "{key}.{form} measures by clusters whose sentiments ascend: set {key}.clusters.assign = \"sentiment\", \
                 found \"kmeans\""
            ));
        }
        if matches!(self.projection, ProjectionConfig::Kernel { .. })
            && self.target == Target::Prediction
        {
            return refuse(format!(
                "{key}.projection.kind = \"kernel\" is a bias towards segments with known labels, which a segment in \
                 training is one of: set {key}.target = \"score\", found \"prediction\""
            ));
        }
        Ok(())
    }
}
