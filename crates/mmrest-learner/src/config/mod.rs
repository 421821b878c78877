//! Configuration: plain data, defaulted here, read from TOML, unknown keys refused, written back whole.
//!
//! Four layers make a [`Config`], each overriding the one before: the defaults (the `paper` preset), the preset named by
//! `preset`, the TOML file, and `key.path=value` overrides.

mod bins;
mod layers;
mod sections;

pub use bins::BinsConfig;
pub use layers::{check_brackets, parse_override};
pub use sections::{
    ClusterBy, ClusterConfig, ClusterScope, LossConfig, LossForm, MetricKind, ModelConfig,
    ProjectionConfig, ProjectionKind, ReceptiveFieldKind, ReportConfig, Selection, SequenceConfig,
    TaskOn, TextConfig, TrainConfig,
};

use std::path::Path;

use mmrest_data::{DataConfig, Modality};
use serde::{Deserialize, Serialize};

use crate::error::LearnerError;
use crate::figures::FigureSet;

/// Which reading of the method the defaults follow (docs/src/method.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The paper's method, with clusters that keep their identity and the bias at evaluation too.
    #[default]
    Paper,
    /// What the published code computes.
    Official,
    /// The form of the method in which clusters and metrics measurably help: clusters by sentiment, ordinal L_MMC, and
    /// a bias towards the sentiment expected of the clusters around.
    Ordinal,
}

/// Everything that decides a run. `Config::default()` is the `paper` preset without data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which defaults the method's keys have.
    pub preset: Preset,
    /// Seed of initialisation, dropout, batch order, k-means and pair sampling.
    pub seed: u64,
    /// Whether L_MMC is part of the loss.
    pub mmc: bool,
    /// Whether the geometric projection bias is added to the score.
    pub bias: bool,
    /// Learned metrics, or the identity in their place (the paper's "single metric").
    pub metric: MetricKind,
    /// Which figures are computed: a data set's published convention.
    pub figures: FigureSet,
    /// The data set and its modalities.
    pub data: DataConfig,
    /// The sentiment classes.
    pub bins: BinsConfig,
    /// The text encoder.
    pub text: TextConfig,
    /// How frames become sequences.
    pub sequence: SequenceConfig,
    /// Sizes of the network.
    pub model: ModelConfig,
    /// k-means and receptive fields.
    pub clusters: ClusterConfig,
    /// The terms of the loss.
    pub loss: LossConfig,
    /// The geometric projection bias.
    pub projection: ProjectionConfig,
    /// Optimiser, schedule, stopping, selection.
    pub train: TrainConfig,
    /// What is kept for reports.
    pub report: ReportConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            preset: Preset::Paper,
            seed: 1,
            mmc: true,
            bias: true,
            metric: MetricKind::Learned,
            figures: FigureSet::Mosi,
            data: DataConfig::default(),
            bins: BinsConfig::default(),
            text: TextConfig::default(),
            sequence: SequenceConfig::default(),
            model: ModelConfig::default(),
            clusters: ClusterConfig::default(),
            loss: LossConfig::default(),
            projection: ProjectionConfig::default(),
            train: TrainConfig::default(),
            report: ReportConfig::default(),
        }
    }
}

impl Config {
    /// Reads a TOML file and applies `overrides`, each `(dotted key, value)` (see [`parse_override`]).
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not TOML, has an unknown key or a value of another type or out of range.
    pub fn load(path: &Path, overrides: &[(String, toml::Value)]) -> Result<Self, LearnerError> {
        let text = std::fs::read_to_string(path).map_err(|e| LearnerError::io("read", path, e))?;
        Self::parse(&text, overrides).map_err(|message| LearnerError::Config {
            path: path.to_path_buf(),
            message,
        })
    }

    /// As [`Config::load`], from the text of a TOML file; the error is the bare sentence.
    ///
    /// ```
    /// use mmrest_learner::Config;
    ///
    /// let config = Config::parse("seed = 7\n[loss]\nmargin = 2.0", &[])?;
    /// assert_eq!((config.seed, config.loss.margin), (7, 2.0));
    /// assert!(Config::parse("sed = 7", &[]).unwrap_err().contains("sed")); // unknown keys are refused
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::load`], but for the reading.
    pub fn parse(text: &str, overrides: &[(String, toml::Value)]) -> Result<Self, String> {
        let config: Self = layers::resolve(text, overrides)?;
        config.check()?;
        Ok(config)
    }

    /// The whole configuration as TOML.
    ///
    /// # Errors
    ///
    /// A value TOML cannot hold (none of this type's can be).
    pub fn to_toml(&self) -> Result<String, LearnerError> {
        toml::to_string_pretty(self).map_err(|e| LearnerError::Internal(e.to_string()))
    }

    /// Whether a modality is in use.
    pub fn uses(&self, modality: Modality) -> bool {
        self.data.modalities.contains(&modality)
    }

    /// How many modalities are in use.
    pub fn modality_count(&self) -> usize {
        Modality::ALL.iter().filter(|&&m| self.uses(m)).count()
    }

    /// Whether clusters and metrics have any part in this run.
    pub fn needs_clusters(&self) -> bool {
        self.mmc || self.bias
    }

    /// Checks what clusters by sentiment, the ordinal loss and the expected sentiment ask of each other.
    fn check_ordinal(&self) -> Result<(), String> {
        let bins = self.bins.labels.len();
        let by_sentiment = self.clusters.by == ClusterBy::Sentiment;
        if by_sentiment && self.clusters.count != bins {
            return Err(format!(
                "clusters.by = \"sentiment\" makes one cluster of each of the {bins} bins: set clusters.count = {bins}, found {}",
                self.clusters.count
            ));
        }
        if self.loss.form == LossForm::Ordinal && !by_sentiment {
            return Err(
                "loss.form = \"ordinal\" compares clusters whose sentiments ascend: set clusters.by = \"sentiment\", found \"kmeans\"".into(),
            );
        }
        match self.clusters.temperature {
            above if above.is_finite() && above > 0.0 => Ok(()),
            found => Err(format!(
                "clusters.temperature must be a number > 0, found {found}"
            )),
        }
    }

    /// Checks ranges and combinations.
    fn check(&self) -> Result<(), String> {
        let positive = |key: &str, value: usize| match value {
            0 => Err(format!("{key} must be at least 1, found 0")),
            _ => Ok(()),
        };
        let at_least_zero = |key: &str, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => Err(format!("{key} must be a number >= 0, found {value}")),
        };
        let fraction = |key: &str, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(format!("{key} must be in [0, 1), found {value}")),
        };
        if self.modality_count() == 0 {
            return Err(
                "data.modalities is empty; name at least one of text, vision, audio".into(),
            );
        }
        if self.data.modalities.len() != self.modality_count() {
            return Err("data.modalities names a modality twice".into());
        }
        self.bins.check(self.data.label_range)?;
        positive(
            "text.max_tokens - 2",
            self.text.max_tokens.saturating_sub(2),
        )?;
        positive("model.representation", self.model.representation)?;
        positive("model.channels", self.model.channels)?;
        positive("model.joint", self.model.joint)?;
        positive("model.hidden", self.model.hidden)?;
        fraction("model.dropout", self.model.dropout)?;
        positive("clusters.count", self.clusters.count)?;
        positive("clusters.restarts", self.clusters.restarts)?;
        positive("clusters.max_iterations", self.clusters.max_iterations)?;
        positive("clusters.nearest", self.clusters.nearest)?;
        fraction("clusters.momentum", self.clusters.momentum)?;
        positive("loss.max_pairs", self.loss.max_pairs)?;
        for (key, value) in [
            ("loss.mmc_weight", self.loss.mmc_weight),
            ("loss.inter_weight", self.loss.inter_weight),
            ("loss.frobenius_weight", self.loss.frobenius_weight),
            ("loss.margin", self.loss.margin),
            ("loss.margin_scale", self.loss.margin_scale),
            ("loss.ridge", self.loss.ridge),
            ("loss.smoothing", self.loss.smoothing),
            ("projection.gamma", self.projection.gamma),
            ("train.learning_rate", self.train.learning_rate),
            ("train.text_learning_rate", self.train.text_learning_rate),
            (
                "train.metric_learning_rate",
                self.train.metric_learning_rate,
            ),
            ("train.weight_decay", self.train.weight_decay),
            ("train.clip", self.train.clip),
            ("train.metric_clip", self.train.metric_clip),
            ("train.plateau_factor", self.train.plateau_factor),
        ] {
            at_least_zero(key, value)?;
        }
        self.check_ordinal()?;
        positive("train.epochs", self.train.epochs)?;
        positive("train.batch_size", self.train.batch_size)?;
        positive("train.patience", self.train.patience)?;
        positive("train.non_finite_steps", self.train.non_finite_steps)?;
        fraction("train.modality_dropout", self.train.modality_dropout)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_config_survives_its_own_toml() {
        let config = Config::parse("preset = \"official\"\n[train]\nepochs = 3\n", &[]).unwrap();
        let again = Config::parse(&config.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(config, again);
    }

    #[test]
    fn a_preset_sets_defaults_and_the_file_wins_over_it() {
        let official = Config::parse("preset = \"official\"", &[]).unwrap();
        assert_eq!(official.clusters.scope, ClusterScope::Batch);
        assert!(!official.projection.at_evaluation);
        let mixed = Config::parse(
            "preset = \"official\"\n[projection]\nat_evaluation = true",
            &[],
        )
        .unwrap();
        assert!(mixed.projection.at_evaluation);
        assert_eq!(mixed.clusters.scope, ClusterScope::Batch);
    }

    #[test]
    fn the_ordinal_form_asks_for_one_cluster_a_bin() {
        let ordinal = Config::parse("preset = \"ordinal\"", &[]).unwrap();
        assert_eq!(ordinal.clusters.by, ClusterBy::Sentiment);
        assert_eq!(ordinal.loss.form, LossForm::Ordinal);
        assert_eq!(ordinal.projection.kind, ProjectionKind::Expectation);
        let refused = |text: &str| Config::parse(text, &[]).unwrap_err();
        let count = refused("preset = \"ordinal\"\n[clusters]\ncount = 5");
        assert!(count.contains("clusters.count = 7"), "{count}");
        let kmeans = refused("[loss]\nform = \"ordinal\"");
        assert!(kmeans.contains("clusters.by"), "{kmeans}");
        let cold = refused("[clusters]\ntemperature = 0.0");
        assert!(cold.contains("clusters.temperature"), "{cold}");
        let fewer = "preset = \"ordinal\"\n[data]\nlabel_range = [-1.0, 1.0]\n[bins]\n\
                     edges = [-0.7, -0.1, 0.1, 0.7]\nlabels = [-2, -1, 0, 1, 2]\n[clusters]\ncount = 5";
        let fewer = Config::parse(fewer, &[]).unwrap();
        let sentiments = fewer.bins.sentiments(fewer.data.label_range);
        assert_eq!(sentiments, [-1.0, -0.4, 0.0, 0.4, 1.0]);
    }

    #[test]
    fn an_override_wins_over_file_and_may_choose_the_preset() {
        let overrides = [
            parse_override("preset=official").unwrap(),
            parse_override("train.epochs=7").unwrap(),
            parse_override("data.modalities=[\"text\"]").unwrap(),
        ];
        let config = Config::parse("[train]\nepochs = 3", &overrides).unwrap();
        assert_eq!(config.preset, Preset::Official);
        assert_eq!(config.clusters.scope, ClusterScope::Batch);
        assert_eq!(config.train.epochs, 7);
        assert_eq!(config.data.modalities, vec![Modality::Text]);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_by_name() {
        let unknown = Config::parse("[train]\nepoch = 3", &[]).unwrap_err();
        assert!(unknown.contains("epoch"), "{unknown}");
        let through = Config::parse("", &[parse_override("loss.eta=1").unwrap()]).unwrap_err();
        assert!(through.contains("eta"), "{through}");
        let range = Config::parse("[model]\ndropout = 1.5", &[]).unwrap_err();
        assert!(range.contains("model.dropout"), "{range}");
        let none = Config::parse("[data]\nmodalities = []", &[]).unwrap_err();
        assert!(none.contains("data.modalities"), "{none}");
    }
}
