//! What a training step needs beside parameters and batch: settings, the clusters in force, and what the step found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mmrest_metric::{
    Clusters, KMeansConfig, MmcLossConfig, OrdinalLossConfig, ReceptiveField, SentimentBins,
};

use crate::config::{
    ClusterBy, ClusterScope, Config, LossForm, MetricKind, ProjectionKind, ReceptiveFieldKind,
    TaskOn,
};
use crate::error::LearnerError;
use crate::figures::FigureSet;
use crate::refusal::{NonFinite, Refusal, Refusals};

/// The parts of the configuration that a step and its evaluation read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether L_MMC is part of the loss.
    pub mmc: bool,
    /// Whether the bias is added to the score.
    pub bias: bool,
    /// Whether the bias is added at evaluation too.
    pub bias_at_evaluation: bool,
    /// What the bias is.
    pub projection: ProjectionKind,
    /// Weight gamma of the bias.
    pub gamma: f64,
    /// Whether the bias has the sign of the two clusters' sentiments.
    pub signed: bool,
    /// Whether metrics are learned.
    pub learned: bool,
    /// What makes a cluster.
    pub by: ClusterBy,
    /// Which rows k-means sees.
    pub scope: ClusterScope,
    /// Parameters of k-means.
    pub kmeans: KMeansConfig,
    /// Which rows belong to a receptive field.
    pub field: ReceptiveField,
    /// How far centres follow a batch.
    pub momentum: f64,
    /// Weight eta of L_MMC.
    pub mmc_weight: f64,
    /// What L_MMC is made of.
    pub form: LossForm,
    /// The terms of L_MMC in form `hinge`.
    pub loss: MmcLossConfig,
    /// The terms of L_MMC in form `ordinal`.
    pub ordinal: OrdinalLossConfig,
    /// What the L1 loss compares with the label.
    pub task: TaskOn,
    /// Sentiment bins.
    pub bins: SentimentBins,
    /// The sentiment each bin stands for, in label units.
    pub sentiments: Vec<f32>,
    /// The sentiment class of each bin.
    pub labels: Vec<i32>,
    /// Which figures judge predictions.
    pub figures: FigureSet,
    /// Largest gradient norm of the model; 0: any.
    pub clip: f64,
    /// Largest gradient norm of the metrics; 0: any.
    pub metric_clip: f64,
    /// How many of the text encoder's lower layers are not trained.
    pub lower_layers: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Size of the shared space.
    pub representation: usize,
}

impl Settings {
    fn new(config: &Config, text_layers: usize) -> Result<Self, LearnerError> {
        Ok(Self {
            mmc: config.mmc,
            bias: config.bias,
            bias_at_evaluation: config.projection.at_evaluation,
            projection: config.projection.kind,
            gamma: config.projection.gamma,
            signed: config.projection.signed,
            learned: config.metric == MetricKind::Learned,
            by: config.clusters.by,
            scope: config.clusters.scope,
            kmeans: KMeansConfig {
                clusters: config.clusters.count,
                restarts: config.clusters.restarts,
                max_iterations: config.clusters.max_iterations,
                ..KMeansConfig::default()
            },
            field: match config.clusters.receptive_field {
                ReceptiveFieldKind::Nearest => ReceptiveField::Nearest(config.clusters.nearest),
                ReceptiveFieldKind::Cell => ReceptiveField::Cell,
            },
            momentum: config.clusters.momentum,
            mmc_weight: config.loss.mmc_weight,
            form: config.loss.form,
            ordinal: OrdinalLossConfig {
                temperature: config.clusters.temperature,
                smoothing: config.loss.smoothing,
                anchor_weight: config.loss.frobenius_weight,
            },
            task: config.loss.task,
            loss: MmcLossConfig {
                inter_weight: config.loss.inter_weight,
                frobenius_weight: config.loss.frobenius_weight,
                margin: config.loss.margin,
                margin_scale: config.loss.margin_scale,
                max_pairs: config.loss.max_pairs,
                means: config.loss.means,
            },
            bins: config.bins.bins()?,
            sentiments: config.bins.sentiments(config.data.label_range),
            labels: config.bins.labels.clone(),
            figures: config.figures,
            clip: config.train.clip,
            metric_clip: config.train.metric_clip,
            lower_layers: lower_layers(config, text_layers),
            seed: config.seed,
            representation: config.model.representation,
        })
    }
}

impl Settings {
    /// The sentiment of each cluster, in label units.
    pub fn sentiments_of(&self, clusters: &Clusters) -> Vec<f32> {
        let bins = clusters.bins.iter();
        let sentiment = |&bin: &usize| self.sentiments.get(bin).copied().unwrap_or_default();
        bins.map(sentiment).collect()
    }
}

/// How many of the encoder's layers are not trained, counted from below.
pub(crate) fn lower_layers(config: &Config, text_layers: usize) -> usize {
    match (config.text.freeze, config.text.train_layers) {
        (true, _) => text_layers,
        (false, Some(trained)) => text_layers.saturating_sub(trained),
        (false, None) => 0,
    }
}

/// Global gradient norms of a step, before clipping.
#[derive(Clone, Copy, Debug, Default)]
pub struct GradientNorms {
    /// Of everything but the metrics.
    pub model: f64,
    /// Of the metrics.
    pub metrics: f64,
}

impl GradientNorms {
    /// A norm that is infinite though no gradient alone is.
    pub(crate) fn too_large(&self) -> NonFinite {
        let (which, value) = match self.model.is_finite() {
            true => ("metrics", self.metrics),
            false => ("model", self.model),
        };
        NonFinite {
            part: "gradient",
            tensor: format!("norm of the gradients of the {which}"),
            value: value as f32,
            row: None,
        }
    }
}

/// What changes from step to step.
#[derive(Debug, Default)]
pub struct StepState {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Step of the epoch, from 1.
    pub step: usize,
    /// The clusters in force.
    pub clusters: Option<Clusters>,
    /// Gradient norms of the last step.
    pub norms: GradientNorms,
    /// The norms of gradients that are yet to be clipped, where they were read with the losses.
    pub(crate) measured: Option<GradientNorms>,
    /// Why the last step could not be taken.
    refusals: Refusals,
}

impl StepState {
    /// Why the last step was not taken; none where it was.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusals.get()
    }

    /// Notes why a part of a step cannot be taken.
    pub(crate) fn refuse(&mut self, part: usize, refusal: Refusal) {
        self.refusals.note(part, refusal);
    }

    /// Why the last step was not taken. Nothing of that step is left for the next.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        let refusal = std::mem::take(&mut self.refusals).get().cloned();
        if refusal.is_some() {
            self.measured = None;
        }
        refusal
    }
}

/// Settings and state, shared by every clone of a model.
#[derive(Clone, Debug)]
pub struct StepContext {
    settings: Arc<Settings>,
    state: Arc<Mutex<StepState>>,
}

impl StepContext {
    /// The context of a run that has not begun. `text_layers`: how many layers the text encoder has.
    ///
    /// # Errors
    ///
    /// The edges of the bins do not ascend: a [`Config`] that was not read by [`Config::parse`].
    pub fn new(config: &Config, text_layers: usize) -> Result<Self, LearnerError> {
        Ok(Self {
            settings: Arc::new(Settings::new(config, text_layers)?),
            state: Arc::default(),
        })
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The state, locked. A panic elsewhere leaves it readable.
    pub fn state(&self) -> MutexGuard<'_, StepState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clusters in force.
    pub fn clusters(&self) -> Option<Clusters> {
        self.state().clusters.clone()
    }

    /// Where a training step's rows are placed: nowhere when the bias is off.
    pub fn training_geometry(&self) -> Option<Geometry> {
        let clusters = self.settings().bias.then(|| self.clusters()).flatten();
        clusters.map(|clusters| Geometry {
            clusters,
            bias: true,
        })
    }

    /// Where rows are placed at evaluation: among the clusters, also when the bias is off there.
    pub fn evaluation_geometry(&self) -> Option<Geometry> {
        let settings = self.settings();
        self.clusters().map(|clusters| Geometry {
            clusters,
            bias: settings.bias && settings.bias_at_evaluation,
        })
    }
}

/// The clusters that rows are placed among.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Centres, sentiments, metrics.
    pub clusters: Clusters,
    /// Whether the projection is added to the score, or only looked at.
    pub bias: bool,
}
