//! Configuration: plain data, defaulted here, read from TOML, unknown keys refused, written back whole.
//!
//! Four layers make a [`Config`], each overriding the one before: the defaults, the preset named by `preset` (one of the
//! model's), the TOML file, and `key.path=value` overrides.

mod layers;
mod renamed;
mod sections;
mod wording;

pub use layers::{check_brackets, parse_override};
pub use mmrest_models::{BinsConfig, ConfigError, ModelConfig};
pub use sections::{
    ReportConfig, ScheduleKind, Selection, SequenceConfig, TextConfig, TrainConfig,
};
pub use wording::closest;

use std::path::Path;

use mmrest_data::{DataConfig, FramesOf, Kind, Modality, TextFrom, Widths};
use mmrest_models::{FrameNeed, Task};
use serde::{Deserialize, Serialize};

use crate::error::LearnerError;
use crate::figures::FigureSet;

/// Everything that decides a run. `Config::default()` is MMRest's `paper` preset without data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// One of the model's presets: which defaults the keys have.
    pub preset: String,
    /// Seed of initialisation, dropout, batch order, k-means and pair sampling.
    pub seed: u64,
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
    /// The model and its own table.
    pub model: ModelConfig,
    /// Optimiser, schedule, stopping, selection.
    pub train: TrainConfig,
    /// What is kept for reports.
    pub report: ReportConfig,
}

impl Default for Config {
    fn default() -> Self {
        let model = ModelConfig::default();
        Self {
            preset: layers::plain_preset(&model).into(),
            seed: 1,
            figures: FigureSet::Mosi,
            data: DataConfig::default(),
            bins: BinsConfig::default(),
            text: TextConfig::default(),
            sequence: SequenceConfig::default(),
            model,
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
        Self::read(&text, path, overrides)
    }

    /// As [`Config::load`], from the text of a file that errors call `shown`.
    ///
    /// # Errors
    ///
    /// As [`Config::load`], but for the reading.
    pub fn read(
        text: &str,
        shown: &Path,
        overrides: &[(String, toml::Value)],
    ) -> Result<Self, LearnerError> {
        Self::parse(text, overrides).map_err(|error| match at_fault(text, overrides, &error) {
            Some(key) => LearnerError::Override {
                key: key.to_owned(),
                message: error.to_string(),
            },
            None => LearnerError::config(shown, error),
        })
    }

    /// Reads the configuration that a run or a saved model keeps, also one that version 0.1.0 has written.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_stored(path: &Path) -> Result<Self, LearnerError> {
        let text = std::fs::read_to_string(path).map_err(|e| LearnerError::io("read", path, e))?;
        Self::parse_stored(&text).map_err(|error| LearnerError::config(path, error))
    }

    /// Reads the configuration of a run that is to be resumed, and applies `overrides`.
    ///
    /// # Errors
    ///
    /// As [`Config::load`]; or version 0.1.0 has written the run.
    pub fn load_to_resume(
        path: &Path,
        overrides: &[(String, toml::Value)],
    ) -> Result<Self, LearnerError> {
        let text = std::fs::read_to_string(path).map_err(|e| LearnerError::io("read", path, e))?;
        if renamed::is_old(&text) {
            let message = "is that of a run of mmrest 0.1.0, which can be evaluated, reported and predicted with, but not \
                           resumed: start a new run";
            return Err(LearnerError::config(path, ConfigError(message.into())));
        }
        Self::read(&text, path, overrides)
    }

    /// As [`Config::load_stored`], from the text of the file.
    ///
    /// # Errors
    ///
    /// As [`Config::parse`].
    pub fn parse_stored(text: &str) -> Result<Self, ConfigError> {
        check_brackets(text)?;
        let config: Self = layers::resolve(vec![renamed::upgrade(layers::parse(text)?)])?;
        config.check()?;
        Ok(config)
    }

    /// As [`Config::load`], from the text of a TOML file; the error is the bare sentence.
    ///
    /// ```
    /// use mmrest_learner::Config;
    ///
    /// let config = Config::parse("seed = 7\n[train]\nepochs = 2", &[])?;
    /// assert_eq!((config.seed, config.train.epochs), (7, 2));
    /// assert!(Config::parse("sed = 7", &[]).is_err()); // unknown keys are refused
    /// # Ok::<(), mmrest_learner::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::load`], but for the reading.
    pub fn parse(text: &str, overrides: &[(String, toml::Value)]) -> Result<Self, ConfigError> {
        check_brackets(text)?;
        let (file, mut set) = (layers::parse(text)?, toml::Table::new());
        for (key, value) in overrides {
            layers::set(&mut set, key, value.clone())?;
        }
        let layers = vec![file, set];
        layers.iter().try_for_each(renamed::refuse)?;
        let config: Self = layers::resolve(layers)?;
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

    /// What the model is built for. `text_layers`: how many layers the text encoder has; 0 without text.
    pub fn task(&self, widths: Widths, text_layers: usize) -> Task {
        Task {
            modalities: self.data.modalities.clone(),
            widths,
            label_range: self.data.label_range,
            bins: self.bins.clone(),
            lower_layers: self.lower_layers(text_layers),
            seed: self.seed,
        }
    }

    /// How many of the encoder's layers are not trained, counted from below.
    pub(crate) fn lower_layers(&self, text_layers: usize) -> usize {
        match (self.text.freeze, self.text.train_layers) {
            (true, _) => text_layers,
            (false, Some(trained)) => text_layers.saturating_sub(trained),
            (false, None) => 0,
        }
    }

    /// What the preset in force says of training: its `[train]`, empty where it has none.
    pub fn recipe(&self) -> toml::Table {
        let mut presets = self.model.presets().iter();
        let layer = presets.find(|(name, _)| *name == self.preset);
        // It was parsed when the configuration was made.
        let layer = layer.and_then(|(_, layer)| layers::parse(layer).ok());
        match layer.and_then(|mut layer| layer.remove("train")) {
            Some(toml::Value::Table(train)) => train,
            _ => toml::Table::new(),
        }
    }

    /// Refuses paths with control characters: they come of backslashes, which TOML takes for the beginning of an escape.
    fn check_paths(&self) -> Result<(), ConfigError> {
        let data = &self.data;
        let names = [
            ("data.file", &data.file),
            ("data.words", &data.words),
            ("data.table", &data.table),
            ("data.vision", &data.vision),
            ("data.audio", &data.audio),
        ];
        let names = names
            .into_iter()
            .filter_map(|(key, name)| Some((key, Path::new(name.as_ref()?))));
        let paths = [
            ("data.dir", data.dir.as_path()),
            ("data.labels", Path::new(&data.labels)),
            ("data.folds", &data.folds),
            ("data.cache", &data.cache),
            ("text.bert", &self.text.bert),
            ("text.cache", &self.text.cache),
        ];
        for (key, path) in paths.into_iter().chain(names) {
            if path.to_string_lossy().chars().any(char::is_control) {
                return Err(ConfigError(format!(
                    "{key} is {:?}, which holds a tab or a line break: {}",
                    path.to_string_lossy(),
                    wording::BACKSLASHES
                )));
            }
        }
        Ok(())
    }

    /// Checks that frames per word can be had where they are asked for, and are asked for where the model needs them.
    fn check_frames(&self) -> Result<(), ConfigError> {
        let data = &self.data;
        let refuse = |message: String| Err(ConfigError(message));
        let in_use = self.uses(Modality::Vision) || self.uses(Modality::Audio);
        if in_use && self.model.needs().frames == FrameNeed::PerToken {
            let name = self.model.name();
            if !self.uses(Modality::Text) {
                return refuse(format!(
                    "{name} reads frames token by token: add \"text\" to data.modalities"
                ));
            }
            if data.frames == FramesOf::Own {
                return refuse(format!(
                    "{name} reads frames token by token: set data.frames = \"word\", found \"own\""
                ));
            }
        }
        let by_words = data.text_from == TextFrom::Words && data.words.is_some();
        match data.kind {
            _ if data.frames == FramesOf::Own || !in_use => Ok(()),
            Kind::Mmsa => Ok(()),
            Kind::Sdk if by_words => Ok(()),
            _ => refuse(
                "data.frames = \"word\" takes words with times (data.kind = \"sdk\" with data.words and \
                 data.text_from = \"words\") or an aligned release (data.kind = \"mmsa\")"
                    .into(),
            ),
        }
    }

    /// Checks that there are as many sentences about a segment as the model reads.
    fn check_sentences(&self) -> Result<(), ConfigError> {
        let (columns, needed) = (&self.data.sentence_columns, self.model.needs().sentences);
        if self.data.sentences.is_none() || needed == 0 || columns.len() == needed {
            return Ok(());
        }
        Err(ConfigError(format!(
            "{} reads {needed} sentences about each segment: name {needed} columns of data.sentences in \
             data.sentence_columns, found {}",
            self.model.name(),
            columns.len()
        )))
    }

    /// Checks ranges and combinations.
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |message: &str| Err(ConfigError(message.into()));
        if self.modality_count() == 0 {
            return refuse("data.modalities is empty; name at least one of text, vision, audio");
        }
        if self.data.modalities.len() != self.modality_count() {
            return refuse("data.modalities names a modality twice");
        }
        self.check_paths()?;
        if let Some(fold) = &self.data.fold {
            fold.check()
                .map_err(|error| ConfigError(error.to_string()))?;
        }
        self.bins.check(self.data.label_range)?;
        ConfigError::positive(
            "text.max_tokens - 2",
            self.text.max_tokens.saturating_sub(2),
        )?;
        self.model.check(&self.task(Widths::default(), 0))?;
        let train = &self.train;
        for (key, value) in [
            ("train.learning_rate", train.learning_rate),
            ("train.text_learning_rate", train.text_learning_rate),
            ("train.weight_decay", train.weight_decay),
            ("train.max_grad_norm", train.max_grad_norm),
            ("train.max_grad_value", train.max_grad_value),
            ("train.plateau_factor", train.plateau_factor),
        ] {
            ConfigError::at_least_zero(key, value)?;
        }
        if train.max_grad_norm > 0.0 && train.max_grad_value > 0.0 {
            return Err(ConfigError(format!(
                "train.max_grad_norm and train.max_grad_value are both on, found {} and {}: set one of them to 0",
                train.max_grad_norm, train.max_grad_value
            )));
        }
        if !(train.layer_decay > 0.0 && train.layer_decay <= 1.0) {
            return Err(ConfigError(format!(
                "train.layer_decay must be in (0, 1], found {}",
                train.layer_decay
            )));
        }
        ConfigError::fraction("train.ema", train.ema)?;
        ConfigError::fraction("train.warmup", train.warmup)?;
        let schedule_epochs = train.schedule_epochs.unwrap_or(1);
        ConfigError::positive("train.schedule_epochs", schedule_epochs)?;
        self.check_frames()?;
        self.check_sentences()?;
        ConfigError::positive("train.epochs", train.epochs)?;
        ConfigError::positive("train.batch_size", train.batch_size)?;
        ConfigError::positive("train.patience", train.patience)?;
        ConfigError::positive("train.non_finite_steps", train.non_finite_steps)?;
        ConfigError::fraction("train.modality_dropout", train.modality_dropout)?;
        ConfigError::fraction("text.dropout", self.text.dropout.unwrap_or(0.0))?;
        self.check_steps()
    }

    /// Checks that the training steps are what evaluation goes by, where a model does.
    fn check_steps(&self) -> Result<(), ConfigError> {
        let Some(setting) = self.model.needs().plain_steps else {
            return Ok(());
        };
        let train = &self.train;
        for (key, what, value) in [
            (
                "train.ema",
                "with the weights that are evaluated",
                train.ema,
            ),
            (
                "train.modality_dropout",
                "with all modalities",
                train.modality_dropout,
            ),
        ] {
            if value > 0.0 {
                return Err(ConfigError(format!(
                    "{setting} keeps segments as the training steps encode them, which has to be {what}: set {key} = 0, \
                     found {value}"
                )));
            }
        }
        Ok(())
    }
}

/// The key of the override that makes a configuration wrong; none where the file is.
fn at_fault<'a>(
    text: &str,
    overrides: &'a [(String, toml::Value)],
    error: &ConfigError,
) -> Option<&'a str> {
    let (last, _) = overrides.last()?;
    if Config::parse(text, &[]).is_err_and(|alone| alone == *error) {
        return None;
    }
    let first = (1..=overrides.len())
        .find(|&count| Config::parse(text, &overrides[..count]).is_err_and(|e| e == *error));
    Some(first.map_or(last, |count| &overrides[count - 1].0))
}

#[cfg(test)]
mod tests {
    use mmrest_metric::SentimentBins;
    use mmrest_models::{
        Assign, ClusterScope, LossConfig, MmRestConfig, ProjectionConfig, SupportFrom,
    };

    use super::*;

    fn mmrest(config: &Config) -> &MmRestConfig {
        match &config.model {
            ModelConfig::MmRest { config } => config,
            other => panic!("{} is not mmrest", other.name()),
        }
    }

    fn refused(text: &str) -> String {
        Config::parse(text, &[]).unwrap_err().to_string()
    }

    #[test]
    fn the_whole_config_survives_its_own_toml() {
        for name in ModelConfig::NAMES {
            let presets = ModelConfig::default_of(name).unwrap().presets();
            for (preset, _) in presets {
                let text = format!(
                    "preset = \"{preset}\"\n[model]\nname = \"{name}\"\n[train]\nepochs = 3\n[data]\nwords = \"w.csd\"\n"
                );
                let config = Config::parse(&text, &[]).unwrap();
                let again = Config::parse(&config.to_toml().unwrap(), &[]).unwrap();
                assert_eq!(config, again);
            }
        }
        let plain = Config::parse("preset = \"paper\"", &[]).unwrap();
        assert_eq!(plain, Config::default());
        assert_eq!(Config::parse("", &[]).unwrap().preset, "kernel");
    }

    #[test]
    fn a_preset_sets_defaults_and_the_file_wins_over_it() {
        let official = Config::parse("preset = \"official\"", &[]).unwrap();
        assert_eq!(mmrest(&official).clusters.scope, ClusterScope::Batch);
        assert!(!mmrest(&official).bias_at_evaluation);
        let text = "preset = \"official\"\n[model.mmrest]\nbias_at_evaluation = true";
        let mixed = Config::parse(text, &[]).unwrap();
        assert!(mmrest(&mixed).bias_at_evaluation);
        assert_eq!(mmrest(&mixed).clusters.scope, ClusterScope::Batch);
        let unknown = refused("preset = \"oficial\"");
        assert!(
            unknown.contains("kernel, paper, official, ordinal"),
            "{unknown}"
        );
    }

    #[test]
    fn another_kind_replaces_the_fields_of_the_kind_before() {
        let file = "preset = \"paper\"\n[model.mmrest.loss]\nkind = \"hinge\"\nmargin = 2.0";
        let set = [
            parse_override("model.mmrest.loss.kind=ordinal").unwrap(),
            parse_override("model.mmrest.clusters.assign=sentiment").unwrap(),
        ];
        let config = Config::parse(file, &set).unwrap();
        assert!(matches!(mmrest(&config).loss, LossConfig::Ordinal(_)));
        let mixed = refused("preset = \"ordinal\"\n[model.mmrest.loss]\nmargin = 2.0");
        assert!(
            mixed.contains("model.mmrest.loss") && mixed.contains("margin"),
            "{mixed}"
        );
    }

    #[test]
    fn the_ordinal_form_asks_for_one_cluster_a_bin() {
        let ordinal = Config::parse("preset = \"ordinal\"", &[]).unwrap();
        let model = mmrest(&ordinal);
        assert_eq!(model.clusters.assign, Assign::Sentiment);
        assert!(matches!(model.loss, LossConfig::Ordinal(_)));
        assert_eq!(model.projection, ProjectionConfig::Expectation {});
        let count = refused("preset = \"ordinal\"\n[model.mmrest.clusters]\nclusters = 5");
        assert!(count.contains("clusters.clusters = 7"), "{count}");
        let kmeans = refused("preset = \"paper\"\n[model.mmrest.loss]\nkind = \"ordinal\"");
        assert!(kmeans.contains("clusters.assign"), "{kmeans}");
        let cold = refused("[model.mmrest.clusters]\ntemperature = 0.0");
        assert!(cold.contains("clusters.temperature"), "{cold}");
        let fewer = "preset = \"ordinal\"\n[data]\nlabel_range = [-1.0, 1.0]\n[bins]\n\
                     edges = [-0.7, -0.1, 0.1, 0.7]\nlabels = [-2, -1, 0, 1, 2]\n[model.mmrest.clusters]\nclusters = 5";
        let fewer = Config::parse(fewer, &[]).unwrap();
        let sentiments = fewer.bins.sentiments(fewer.data.label_range);
        assert_eq!(sentiments, [-1.0, -0.4, 0.0, 0.4, 1.0]);
    }

    #[test]
    fn segments_kept_from_the_steps_take_plain_steps() {
        let kept = "[model.mmrest.projection]\nsupport = \"steps\"\n";
        let config = Config::parse(kept, &[]).unwrap();
        let ProjectionConfig::Kernel { support, .. } = mmrest(&config).projection else {
            panic!("{:?}", mmrest(&config).projection);
        };
        assert_eq!(support, SupportFrom::Steps);
        for (key, value) in [("ema", 0.9), ("modality_dropout", 0.2)] {
            let refused = refused(&format!("{kept}[train]\n{key} = {value}"));
            assert!(refused.contains("projection.support"), "{refused}");
            let change = format!("set train.{key} = 0, found {value}");
            assert!(refused.contains(&change), "{refused}");
            // Without a bias nothing is made of the segments.
            let unbiased = format!("{kept}[train]\n{key} = {value}\n[model.mmrest]\nbias = false");
            Config::parse(&unbiased, &[]).unwrap();
        }
    }

    #[test]
    fn an_override_wins_over_file_and_may_choose_the_preset() {
        let overrides = [
            parse_override("preset=official").unwrap(),
            parse_override("train.epochs=7").unwrap(),
            parse_override("data.modalities=[\"text\"]").unwrap(),
        ];
        let config = Config::parse("[train]\nepochs = 3", &overrides).unwrap();
        assert_eq!(config.preset, "official");
        assert_eq!(mmrest(&config).clusters.scope, ClusterScope::Batch);
        assert_eq!(config.train.epochs, 7);
        assert_eq!(config.data.modalities, vec![Modality::Text]);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_by_name() {
        let unknown = refused("[train]\nepoch = 3");
        assert!(unknown.contains("epoch"), "{unknown}");
        let set = [parse_override("model.mmrest.eta=1").unwrap()];
        let through = Config::parse("", &set).unwrap_err().to_string();
        assert!(
            through.contains("model.mmrest") && through.contains("eta"),
            "{through}"
        );
        let range = refused("[model.mmrest]\ndropout = 1.5");
        assert!(range.contains("model.mmrest.dropout"), "{range}");
        let text = refused("[text]\ndropout = 1.0");
        assert_eq!(text, "text.dropout must be in [0, 1), found 1");
        let none = refused("[data]\nmodalities = []");
        assert!(none.contains("data.modalities"), "{none}");
        let model = refused("[model]\nname = \"mmrst\"");
        assert!(
            model.contains("model.name") && model.contains("mmrest"),
            "{model}"
        );
        let table = refused("[model.mmrst]\ndropout = 0.5");
        assert!(table.contains("model.mmrst"), "{table}");
    }

    fn refused_bins(bins: &str) -> String {
        refused(&format!("[bins]\n{bins}"))
    }

    #[test]
    fn the_default_is_the_seven_bins_of_the_method() {
        let config = BinsConfig::default();
        assert_eq!(config.bins().unwrap(), SentimentBins::seven());
        assert_eq!(config.check([-3.0, 3.0]), Ok(()));
    }

    #[test]
    fn bins_are_read_with_the_rule_of_their_edges() {
        let text = "[data]\nlabel_range = [-1.0, 1.0]\n[bins]\nedges = [-0.1, 0.1]\nlabels = [-1, 0, 1]\nside = \"below\"";
        let config = Config::parse(text, &[]).unwrap();
        let bins = config.bins.bins().unwrap();
        assert_eq!(
            [-0.1, 0.0, 0.1, 0.2].map(|label| bins.bin(label)),
            [0, 1, 1, 2]
        );
        assert_eq!(Config::parse(&config.to_toml().unwrap(), &[]), Ok(config));
    }

    #[test]
    fn whole_numbers_are_edges_too_also_from_the_command_line() {
        let set = [("edges", "[-1, 1]"), ("labels", "[-1, 0, 1]")];
        let set = set.map(|(key, value)| format!("bins.{key}={value}"));
        let set = set.map(|text| parse_override(&text).unwrap());
        let config = Config::parse("", &set).unwrap();
        assert_eq!(config.bins.edges, [-1.0, 1.0]);
        assert_eq!(config.bins.bins().unwrap().bin(-1.0), 0);
    }

    #[test]
    fn what_is_wrong_with_bins_is_said_by_key() {
        for (bins, says) in [
            ("edges = []\nlabels = [0]", "bins.edges is empty"),
            (
                "edges = [0.5, 0.5]\nlabels = [0, 1, 2]",
                "bins.edges: bin edge 1 (0.5)",
            ),
            (
                "edges = [nan]\nlabels = [0, 1]",
                "bins.edges: bin edge 0 (NaN)",
            ),
            (
                "edges = [0.1, 0.1000000001]\nlabels = [0, 1, 2]",
                "bins.edges: bin edge 1",
            ),
            (
                "edges = [0.0, 3.5]\nlabels = [0, 1, 2]",
                "bins.edges has 3.5, which is not in data.label_range, [-3, 3]",
            ),
            (
                "edges = [0.0]",
                "bins.labels must name the 2 bins that bins.edges makes, found 7",
            ),
            (
                "edges = [0.0]\nlabels = [1, 1]",
                "bins.labels must ascend, found 1 before 1",
            ),
            ("side = \"left\"", "bins.side"),
            ("closed = true", "closed"),
        ] {
            let error = refused_bins(bins);
            assert!(error.contains(says), "{bins}: {error}");
        }
        let narrow = refused("[data]\nlabel_range = [-1.0, 1.0]");
        assert!(narrow.contains("bins.edges has -2.5"), "{narrow}");
    }
}
