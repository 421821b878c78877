//! MMRest: clusters of the modalities' representations, one global and one local Mahalanobis metric per cluster, and a
//! geometric projection bias added to an attention-free fusion score (docs/src/method.md).

mod config;
mod fusion;
mod gamma;
mod graph;
mod loss;
mod space;

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::{Bert, BertConfig, SequenceEncoder, SequenceEncoderConfig};
use mmrest_kernels::host;
use mmrest_kernels::init::xavier_linear_init;
use mmrest_metric::{
    Clusters, KMeansConfig, KernelRegression, KernelRegressionConfig, MultiMetric,
    MultiMetricConfig, ReceptiveField, SentimentBins,
};
use mmrest_onnx::Graph;
use mmrest_pdlf::{Fusion, Projection};

pub use self::config::{
    Assign, ClusterConfig, ClusterScope, FusionKind, KernelConfig, KernelLossConfig, LossConfig,
    MetricKind, MmRestConfig, OrdinalConfig, ProjectionConfig, ReceptiveFieldKind, SupportFrom,
    Target,
};
pub use self::fusion::GatedScores;
use self::fusion::{further, fusion_config};
pub use self::space::{ClusterState, ReadyKernel, StepRows};
use self::space::{Space, near_clusters, place_rows, unit_length};
use crate::all_gather::PartRows;
use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, lstm, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::geometry::{Geometry, Representations};
use crate::graph::{GraphInputs, GraphOutputs};
use crate::model::{Loss, Mode, ModelOutput, PredictWith, Prediction, SentimentModel, StepAt};
use crate::needs::Needs;
use crate::recipe::{Clip, GradientGroup, Optimizer, ParameterGroup, Rates, Recipe};
use crate::sequences::SequenceBatch;
use crate::task::Task;

/// What an epoch begins with.
const CLUSTERING: &str = "clustering the training set";

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
    /// The scores that further modalities add (`fusion = "gated"`).
    pub gated: Option<GatedScores>,
    /// Global and local metrics, when L_MMC or the bias is in use.
    pub metric: Option<MultiMetric>,
    /// Kernel regression, where loss or bias are made of it.
    pub kernel: Option<KernelRegression>,
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
    /// The whole batch's rows of C, once the loss is computed, where the bias of an evaluation is made of them.
    kept: Option<Arc<PartRows>>,
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

impl SentimentModel for MmRest {
    type Config = MmRestConfig;
    type State = ClusterState;
    type Output = Forward;

    const LOSSES: &'static [&'static str] = &["task", "intra", "inter", "frobenius", "mmc"];
    const TEXT_PATH: &'static str = "text.bert";
    const HAS_GRAPH: bool = true;

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
        let text_hidden = text.as_ref().map_or(0, |(_, bert)| bert.text_width());
        if task.uses(Modality::Text) && text_hidden == 0 {
            return Err(ModelError::Internal(
                "text in use without an encoder".into(),
            ));
        }
        let widths = task.widths;
        let fusion = fusion_config(config, task, text_hidden);
        let modalities = modalities(task, text_hidden);
        Ok(Self {
            text: text.map(|(bert, _)| TextEncoder {
                bert,
                projection: xavier_linear_init(text_hidden, size, device),
            }),
            vision: sequence(widths.vision),
            audio: sequence(widths.audio),
            fusion: fusion.init(device),
            gated: GatedScores::init(config, further(config, modalities), device),
            metric: config.needs_clusters().then(|| metric_of(config, device)),
            kernel: config.needs_kernel().then(|| {
                let KernelConfig {
                    temperature, gate, ..
                } = config.kernel;
                KernelRegressionConfig { temperature, gate }.init(modalities, device)
            }),
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
            sum([bert_parameters(bert), linear(bert.text_width(), size)])
        });
        let metrics = if config.needs_clusters() {
            product([config.clusters.clusters.saturating_add(1), size, size])
        } else {
            0
        };
        let sequences = sum([sequence(task.widths.vision), sequence(task.widths.audio)]);
        let hidden = text.map_or(0, |bert| bert.text_width());
        let modalities = modalities(task, hidden);
        let precisions = if config.needs_kernel() { modalities } else { 0 };
        sum([
            of_text,
            sequences,
            fusion_config(config, task, hidden).parameters(),
            GatedScores::parameters(config, further(config, modalities)),
            metrics,
            precisions as u128,
        ])
    }

    fn init_state(_: &MmRestConfig, _: &Task, labels: &[f32]) -> ClusterState {
        ClusterState {
            steps: StepRows::new(labels.len()),
            ..ClusterState::default()
        }
    }

    fn check_state(&self, state: &ClusterState) -> Result<(), ModelError> {
        let config = &self.settings.config;
        let wide = |what: &str, dim: usize| match dim == config.representation {
            true => Ok(()),
            false => Err(ModelError::Config(ConfigError(format!(
                "holds {what} of {dim} numbers, but model.mmrest.representation is {}",
                config.representation
            )))),
        };
        if let (Some(support), Some(kernel), Some(metric)) =
            (&state.support, &self.kernel, &self.metric)
        {
            wide("segments", support.dim)?;
            support.check(kernel.modalities(), metric.len())?;
        }
        if let Some(gamma) = state.gamma {
            ConfigError::at_least_zero("gamma", gamma)?;
        }
        let Some(clusters) = &state.clusters else {
            return Ok(());
        };
        wide("centres", clusters.dim)?;
        if self.predicts_by_support() && state.support.is_none() {
            return Err(ModelError::Config(ConfigError(
                "holds no segments (support), of which the kernel's bias is made".to_owned(),
            )));
        }
        Ok(clusters.check(self.settings.classes.len(), config.clusters.clusters)?)
    }

    /// A memory of the loss alone is nothing to a prediction.
    fn prediction_state(&self, state: &ClusterState) -> ClusterState {
        let mut state = state.clone();
        state.support.take_if(|_| !self.predicts_by_support());
        state
    }

    /// Makes the segments of a kernel's bias ready for many batches.
    fn ready(&self, mut state: ClusterState) -> Result<ClusterState, ModelError> {
        let support = state
            .support
            .as_ref()
            .filter(|_| self.predicts_by_support());
        if let (Some(support), Some(kernel), Some(metric)) = (support, &self.kernel, &self.metric) {
            state.ready = ReadyKernel::new(kernel.ready(support, metric)?);
        }
        Ok(state)
    }

    fn recipe(config: &MmRestConfig, rates: &Rates) -> Recipe {
        const METRIC: &str = r"^metric\.";
        const KERNEL: &str = r"^kernel\.";
        let decay = rates.weight_decay;
        let gradients = |name, pattern, clip| GradientGroup {
            name,
            pattern,
            clip,
        };
        let mut groups = vec![
            ParameterGroup::new("", "", rates.learning_rate, decay),
            ParameterGroup::new("text", r"^text\.bert\.", rates.text_learning_rate, decay),
            ParameterGroup {
                optimizer: Optimizer::PsdAdam,
                ..ParameterGroup::new("metric", METRIC, config.metric_learning_rate, decay)
            },
        ];
        if config.needs_kernel() {
            let rate = config.kernel.learning_rate;
            groups.push(ParameterGroup::new("kernel", KERNEL, rate, 0.0));
        }
        Recipe::new(
            groups,
            vec![
                gradients("", "", rates.clip()),
                gradients("metric", METRIC, Clip::norm(config.max_metric_grad_norm)),
            ],
        )
    }

    fn needs(config: &MmRestConfig) -> Needs {
        Needs {
            plain_steps: config
                .keeps_steps()
                .then_some("model.mmrest.projection.support = \"steps\""),
            ..Needs::default()
        }
    }

    fn epoch_stage(&self, epoch: usize) -> Option<&'static str> {
        let clusters = &self.settings.config.clusters;
        let due = epoch.saturating_sub(1).is_multiple_of(clusters.refit_every);
        (self.fits_clusters() && self.steps_use_clusters() && due).then_some(CLUSTERING)
    }

    fn begin_epoch(
        &self,
        state: &mut ClusterState,
        epoch: usize,
        train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        // Where the segments of a kernel were encoded at the end of the epoch before, nothing has moved since.
        let encoded = self.epoch_end_stage().is_some() && state.support.is_some();
        match self.epoch_stage(epoch).filter(|_| !encoded) {
            Some(_) => self.fit_clusters(state, epoch, train),
            None => Ok(()),
        }
    }

    fn epoch_end_stage(&self) -> Option<&'static str> {
        (self.predicts_by_support() || self.settings.config.remembers())
            .then_some("encoding the training set")
    }

    fn end_epoch(
        &self,
        state: &mut ClusterState,
        train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        match self.epoch_end_stage() {
            Some(_) => self.fit_support(state, train),
            None => Ok(()),
        }
    }

    /// Encodes the segments that the steps kept with the weights that were selected.
    fn end_run(
        &self,
        state: &mut ClusterState,
        train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<bool, ModelError> {
        let kept = self.settings.config.keeps_steps();
        if kept {
            state.steps = StepRows::default();
            self.fit_support(state, train)?;
        }
        Ok(kept)
    }

    fn choose(
        &self,
        state: &mut ClusterState,
        predict: &mut PredictWith<'_, ClusterState>,
    ) -> Result<bool, ModelError> {
        self.choose_gamma(state, predict)
    }

    fn refit_stage(&self) -> Option<&'static str> {
        (self.fits_clusters() && self.epoch_end_stage().is_none()).then_some(CLUSTERING)
    }

    fn refit(
        &self,
        state: &mut ClusterState,
        train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        match self.refit_stage() {
            Some(_) => self.fit_clusters(state, 1, train),
            None => Ok(()),
        }
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
        self.loss_of(batch, output, state, mode)
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
        _: StepAt,
    ) -> Result<(), ModelError> {
        if output.next.is_some() {
            state.clusters.clone_from(&output.next);
        }
        state.steps.keep(output.kept.as_ref());
        Ok(())
    }

    /// Projects the metrics to positive semidefinite matrices.
    fn after_step(mut self) -> Result<Self, ModelError> {
        if self.settings.config.metric != MetricKind::Single
            && let Some(metric) = self.metric.take()
        {
            self.metric = Some(metric.project_psd()?);
        }
        Ok(self)
    }

    /// The encoders know nothing of the metrics, so they run first.
    fn forward_after_step(
        self,
        batch: &Batch,
        state: &ClusterState,
        mode: Mode,
    ) -> Result<(Self, Forward), ModelError> {
        let representations = self.encode(batch);
        let model = self.after_step()?;
        let output = model.decide(representations, state, mode)?;
        Ok((model, output))
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

    fn graph(
        &self,
        state: &ClusterState,
        inputs: &GraphInputs,
        graph: &mut Graph,
    ) -> Result<GraphOutputs, ModelError> {
        self.write_graph(state, inputs, graph)
    }
}

/// How many modalities are in use.
fn modalities(task: &Task, text_hidden: usize) -> usize {
    let widths = [text_hidden, task.widths.vision, task.widths.audio];
    widths.into_iter().filter(|&width| width > 0).count()
}

/// Metrics at the identity; fixed there for the paper's "single metric".
fn metric_of(config: &MmRestConfig, device: &Device) -> MultiMetric {
    let mut metric = MultiMetricConfig {
        dim: config.representation,
        clusters: config.clusters.clusters,
        ridge: config.ridge,
    }
    .init(device);
    match config.metric {
        MetricKind::Learned => metric,
        MetricKind::Global => {
            metric.local = metric.local.no_grad();
            metric
        }
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
            gated: None,
            metric,
            kernel: None,
            settings: Arc::new(Settings::new(config, task)?),
        })
    }

    /// The shared space of a batch.
    pub fn encode(&self, batch: &Batch) -> Representations {
        let first_token = match (&self.text, &batch.text) {
            (Some(text), Some(input)) => Some(input.pooled(&text.bert, self.settings.lower_layers)),
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
        let placed = |rows: Option<Tensor<2>>| match self.settings.config.unit_length {
            true => rows.map(unit_length),
            false => rows,
        };
        Representations {
            first_token,
            text: placed(text),
            vision: placed(sequence(&self.vision, &batch.vision)),
            audio: placed(sequence(&self.audio, &batch.audio)),
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
        // A training step without the bias has no use for distances; evaluation reports the nearest clusters. A kernel's
        // bias is not for training segments, which are part of what it is made of.
        let (looks, adds_bias) = match mode {
            Mode::Train(_) => {
                let biased = config.bias && !config.biased_by_kernel();
                (biased, biased)
            }
            Mode::Evaluate => (true, config.bias && config.bias_at_evaluation),
        };
        let clusters = state.clusters.as_ref().filter(|_| looks);
        let score = fusion::score(&self.fusion, self.gated.as_ref(), &representations);
        let (mut bias, mut projection, mut rows_on_host) = (None, None, None);
        if let (Some(metric), Some(clusters)) = (&self.metric, clusters) {
            let (placed, rows) = place_rows(representations.rows(), clusters, metric)?;
            if adds_bias {
                let clusters = (clusters, &placed);
                let unweighted = self.bias(&representations, &score, clusters, state, metric)?;
                bias = unweighted.map(|bias| bias.mul_scalar(self.gamma(state)));
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
            kept: None,
        })
    }
}
