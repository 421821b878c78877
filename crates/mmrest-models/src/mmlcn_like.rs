//! Traditional multi-metric learning, for comparison: metrics on features that are not learned. Named after MMLCN, the
//! variant with a metric per centre of Zhao and Yang, "Distance metric learning based on the class center and nearest
//! neighbor relationship" (Neural Networks 164, 2023), of which only the abstract was at hand: what is common to both is
//! listed here, the formulas are those of MMRest's L_MMC ([`mmrest_metric::MmcLossConfig`]).
//!
//! ```text
//! f          = [text representation, mean of the vision frames, mean of the audio frames], of an encoder that is not trained
//! x          = the first principal components of f, standardised over the training split         [components]
//! centres    = k-means of the training segments of each sentiment bin: `clusters_per_bin` each
//! d_i        = (x - c_i)^T (M_i + ridge I) (x - c_i)
//! loss       = intra + inter_weight inter + frobenius_weight |M|^2 / N
//! intra      : segments of a bin near to each other within a centre's receptive field, others far
//! inter      : segments nearer to the centre of their own bin than to any other
//! prediction = the sentiment of the nearest centre's bin (`decision = "nearest"`), or the mean over the centres, weighed by
//!              a softmax of -d_i / temperature (`"expected"`)
//! ```
//!
//! `metrics = "per_centre"` is MMLCN's form, `"single"` DMLCN's, with one metric for all centres. Metrics stay positive
//! semidefinite. From the abstract are the classes split into clusters, one metric or one per centre, and the two
//! relations that the loss asks for; margins, weights and the decision are not the published ones, which were not to be
//! had.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::Modality;
use mmrest_encoders::{Bert, BertConfig};
use mmrest_kernels::host;
use mmrest_metric::{
    Clusters, KMeansConfig, MmcLossConfig, MultiMetric, MultiMetricConfig, Pca, ReceptiveField,
    Rows, SentimentBins, assign, distances, receptive_fields,
};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::counts::{bert_parameters, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{l1, recipe, whole};
use crate::model::{Loss, Mode, ModelOutput, Presets, SentimentModel};
use crate::needs::{AbsentNeed, Needs};
use crate::recipe::{Optimizer, ParameterGroup, Rates, Recipe};
use crate::seed;
use crate::task::Task;

/// How many metrics there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CentreMetrics {
    /// One per centre, as in MMLCN.
    #[default]
    PerCentre,
    /// One for all, as in DMLCN.
    Single,
}

/// How distances become a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The nearest centre's sentiment.
    #[default]
    Nearest,
    /// The mean of all centres' sentiments, weighed by nearness.
    Expected,
}

/// `[model.mmlcn-like]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MmlcnLikeConfig {
    /// Principal components that are kept of the features.
    pub components: usize,
    /// Centres of each sentiment bin.
    pub clusters_per_bin: usize,
    /// How many metrics there are.
    pub metrics: CentreMetrics,
    /// What is added to each metric's diagonal.
    pub ridge: f64,
    /// Weight of the inter part.
    pub inter_weight: f64,
    /// Weight of the metrics' size.
    pub frobenius_weight: f64,
    /// Margin of the intra part, in squared distance.
    pub margin: f64,
    /// Margin of the inter part, a multiple of the centres' squared Euclidean distance.
    pub margin_scale: f64,
    /// Most pairs of a kind that count in a receptive field.
    pub max_pairs: usize,
    /// How distances become a score.
    pub decision: Decision,
    /// Squared distance that makes a centre e times less likely, where the score is a mean.
    pub temperature: f64,
}

impl Default for MmlcnLikeConfig {
    fn default() -> Self {
        Self {
            components: 64,
            clusters_per_bin: 2,
            metrics: CentreMetrics::PerCentre,
            ridge: 0.01,
            inter_weight: 0.8,
            frobenius_weight: 1.0,
            margin: 3.0,
            margin_scale: 1.0,
            max_pairs: 4000,
            decision: Decision::Nearest,
            temperature: 1.0,
        }
    }
}

impl Presets for MmlcnLikeConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "per-centre",
            r#"
[text]
freeze = true
[train]
batch_size = 256
learning_rate = 1e-3
weight_decay = 0.0
max_grad_norm = 0.0
"#,
        ),
        (
            "single",
            r#"
[model.mmlcn-like]
metrics = "single"
[text]
freeze = true
[train]
batch_size = 256
learning_rate = 1e-3
weight_decay = 0.0
max_grad_norm = 0.0
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "inter_weight",
        "frobenius_weight",
        "margin",
        "margin_scale",
        "max_pairs",
        "decision",
        "temperature",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("components", self.components),
            ("clusters_per_bin", self.clusters_per_bin),
            ("max_pairs", self.max_pairs),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("ridge", self.ridge),
            ("inter_weight", self.inter_weight),
            ("frobenius_weight", self.frobenius_weight),
            ("margin", self.margin),
            ("margin_scale", self.margin_scale),
            ("temperature", self.temperature),
        ] {
            ConfigError::at_least_zero(&format!("{key}.{name}"), value)?;
        }
        if self.temperature > 0.0 {
            return Ok(());
        }
        Err(ConfigError(format!(
            "{key}.temperature must be greater than 0"
        )))
    }
}

impl MmlcnLikeConfig {
    /// Features of a segment.
    fn features(task: &Task, text: Option<&BertConfig>) -> usize {
        let widths = [task.widths.vision, task.widths.audio];
        let frames = widths.map(|width| width.max(1)).iter().sum::<usize>();
        frames.saturating_add(text.map_or(1, |bert| bert.text_width()))
    }

    fn metric(&self, task: &Task, text: Option<&BertConfig>) -> MultiMetricConfig {
        MultiMetricConfig {
            dim: self.components.min(Self::features(task, text)),
            clusters: task.bins.labels.len().saturating_mul(self.clusters_per_bin),
            ridge: self.ridge,
        }
    }
}

/// What the first epoch finds in the training split: the features' components, and the centres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpace {
    /// Mean of each feature, `[features]`.
    pub mean: Vec<f32>,
    /// What a feature's distance from its mean is multiplied with in each component, `[features, components]`.
    pub projection: Vec<f32>,
    /// The centres, in components.
    pub clusters: Clusters,
}

/// The feature space; none before the first epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureState {
    /// As the first epoch found it.
    pub space: Option<FeatureSpace>,
}

/// The metrics, beside a text encoder that they leave as it is.
#[derive(Module, Debug)]
pub struct MmlcnLike {
    /// Text encoder, when text is in use. It has no gradients.
    pub bert: Option<Bert>,
    /// A metric per centre, or one for all; what is not in use is 0.
    pub metric: MultiMetric,
    #[module(skip)]
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    config: MmlcnLikeConfig,
    bins: SentimentBins,
    /// The sentiment of each bin.
    sentiments: Vec<f32>,
    features: usize,
    lower_layers: usize,
    seed: u64,
}

/// What the forward pass gives.
#[derive(Clone, Debug)]
pub struct MmlcnLikeOutput {
    /// x, `[batch, components]`.
    pub components: Tensor<2>,
    /// d, `[batch, centres]`.
    pub distances: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for MmlcnLikeOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        vec![
            ("features", self.components.clone()),
            ("distances to the centres", self.distances.clone()),
            ("prediction", self.prediction.clone()),
        ]
    }
}

impl SentimentModel for MmlcnLike {
    type Config = MmlcnLikeConfig;
    type State = FeatureState;
    type Output = MmlcnLikeOutput;

    /// Its loss is about the pairs of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task", "intra", "inter", "frobenius", "mmc"];

    fn init(
        config: &MmlcnLikeConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let of_text = text.as_ref().map(|(_, bert)| *bert);
        let mut metric = config.metric(task, of_text).init(device);
        let zero = |tensor: Tensor<2>| Param::from_tensor(tensor.zeros_like());
        match config.metrics {
            CentreMetrics::PerCentre => metric.global = zero(metric.global.val()),
            CentreMetrics::Single => {
                metric.local = Param::from_tensor(metric.local.val().zeros_like());
            }
        }
        Ok(Self {
            metric,
            settings: Arc::new(Settings {
                config: config.clone(),
                bins: task.bins.bins()?,
                sentiments: task.bins.sentiments(task.label_range),
                features: MmlcnLikeConfig::features(task, of_text),
                lower_layers: task.lower_layers,
                seed: task.seed,
            }),
            bert: text.map(|(bert, _)| bert.no_grad()),
        })
    }

    fn parameter_count(config: &MmlcnLikeConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let MultiMetricConfig { dim, clusters, .. } = config.metric(task, text);
        sum([
            text.map_or(0, bert_parameters),
            product([clusters.saturating_add(1), dim, dim]),
        ])
    }

    fn init_state(_: &MmlcnLikeConfig, _: &Task, _: &[f32]) -> FeatureState {
        FeatureState::default()
    }

    fn check_state(&self, state: &FeatureState) -> Result<(), ModelError> {
        let Some(space) = &state.space else {
            return Ok(());
        };
        let (features, dim) = (self.settings.features, self.metric.dim());
        let found = (space.mean.len(), space.projection.len(), space.clusters.dim);
        if found != (features, features * dim, dim) {
            return Err(ModelError::Config(ConfigError(format!(
                "holds {} features, {} numbers of their components and centres of {}; expected {features}, {} and {dim}",
                found.0,
                found.1,
                found.2,
                features * dim
            ))));
        }
        let mut values = space.mean.iter().chain(&space.projection);
        if !values.all(|value| value.is_finite()) {
            return Err(ModelError::NonFinite(
                "holds a component that is not finite".into(),
            ));
        }
        Ok(space
            .clusters
            .check(self.settings.bins.len(), self.metric.len())?)
    }

    fn needs(_: &MmlcnLikeConfig) -> Needs {
        Needs {
            absent: AbsentNeed::ZeroFrame,
            ..Needs::default()
        }
    }

    fn recipe(config: &MmlcnLikeConfig, rates: &Rates) -> Recipe {
        let mut recipe = recipe(rates, 1, true);
        let metric = |name, pattern, trained| ParameterGroup {
            optimizer: Optimizer::PsdAdam,
            trained,
            ..ParameterGroup::new(name, pattern, rates.learning_rate, rates.weight_decay)
        };
        let single = config.metrics == CentreMetrics::Single;
        recipe.groups.extend([
            metric("global_metric", r"^metric\.global$", single),
            metric("local_metrics", r"^metric\.local$", !single),
        ]);
        recipe
    }

    /// The first epoch finds components and centres; the features do not change after that.
    fn epoch_stage(&self, epoch: usize) -> Option<&'static str> {
        (epoch == 1).then_some("components and centres of the training set")
    }

    fn begin_epoch(
        &self,
        state: &mut FeatureState,
        _: usize,
        train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        if state.space.is_some() {
            return Ok(());
        }
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for batch in train {
            let batch = batch?;
            values.extend(host::read("features", self.features(&batch))?);
            labels.extend(batch.labels);
        }
        state.space = Some(self.fit(&values, &labels)?);
        Ok(())
    }

    fn forward(
        &self,
        batch: &Batch,
        state: &FeatureState,
        _: Mode,
    ) -> Result<MmlcnLikeOutput, ModelError> {
        let Some(space) = &state.space else {
            return Err(ModelError::Config(ConfigError(
                "mmlcn-like has no centres to score by before its first epoch has found them: train it first".into(),
            )));
        };
        let (config, device) = (&self.settings.config, self.metric.global.device());
        let [count, dim] = [self.settings.features, self.metric.dim()];
        let table = |values: &[f32], shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        let centred = self.features(batch) - table(&space.mean, [1, count]);
        let components = centred.matmul(table(&space.projection, [count, dim]));
        let clusters = &space.clusters;
        let centers = table(&clusters.centers, [clusters.len(), dim]);
        let metrics = self.metric.metrics(&clusters.metric);
        let distances = distances(components.clone(), centers, metrics);
        let sentiments = clusters
            .bins
            .iter()
            .map(|&bin| self.settings.sentiments[bin]);
        let sentiments: Vec<f32> = sentiments.collect();
        let sentiments = table(&sentiments, [clusters.len(), 1]);
        let prediction = match config.decision {
            Decision::Nearest => {
                let nearest = distances.clone().detach().argmin(1).squeeze_dim::<1>(1);
                sentiments.select(0, nearest)
            }
            Decision::Expected => {
                let shares = softmax(distances.clone() / -config.temperature, 1);
                shares.matmul(sentiments)
            }
        };
        Ok(MmlcnLikeOutput {
            components,
            distances,
            prediction,
        })
    }

    /// In training the metrics' loss; the task's part is there to see. In evaluation the task's part alone.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut MmlcnLikeOutput,
        state: &FeatureState,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "mmlcn-like")?;
        let task = l1(batch, output.prediction());
        let (Mode::Train(at), Some(space)) = (mode, &state.space) else {
            return Ok(Loss {
                total: task.clone(),
                parts: vec![Some(task), None, None, None, None],
            });
        };
        let settings = &self.settings;
        let values = host::read("features", output.components.clone().inner())?;
        let rows = Rows::new(&values, self.metric.dim())?;
        let bins: Vec<usize> = batch.labels.iter().map(|&l| settings.bins.bin(l)).collect();
        let clusters = &space.clusters;
        let own = own_centres(rows, &bins, clusters);
        // A receptive field holds whoever is near its centre, of whichever bin.
        let near = assign(rows, &clusters.centers);
        let fields = receptive_fields(rows, &clusters.centers, &near, ReceptiveField::Cell);
        let config = &settings.config;
        let hinge = MmcLossConfig {
            inter_weight: config.inter_weight,
            frobenius_weight: 0.0,
            margin: config.margin,
            margin_scale: config.margin_scale,
            max_pairs: config.max_pairs,
            balanced: false,
            means: false,
        };
        let path = [seed::PAIRS, at.epoch as u64, at.step as u64];
        let seed = seed::mix(settings.seed, &path);
        let components = output.components.clone();
        let mmc = hinge.forward(
            components,
            &bins,
            &own,
            &fields,
            clusters,
            &self.metric,
            seed,
        )?;
        let square = |sum: Tensor<1>| sum / batch.len() as f64;
        let (global, local) = (self.metric.global.val(), self.metric.local.val());
        let frobenius = square((global.clone() * global).sum() + (local.clone() * local).sum());
        let total = mmc.total + frobenius.clone() * config.frobenius_weight;
        let parts = [
            task.detach(),
            mmc.intra,
            mmc.inter,
            frobenius,
            total.clone(),
        ];
        Ok(Loss {
            total,
            parts: parts.map(Some).to_vec(),
        })
    }

    /// Projects the metrics to positive semidefinite matrices.
    fn after_step(self) -> Result<Self, ModelError> {
        Ok(Self {
            metric: self.metric.project_psd()?,
            ..self
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        vec![("metrics", self.metric.num_params())]
    }
}

impl MmlcnLike {
    /// f, `[batch, features]`, without gradients.
    fn features(&self, batch: &Batch) -> Tensor<2> {
        let device = self.metric.global.device();
        let text = batch.pooled_text(self.bert.as_ref(), self.settings.lower_layers, &device);
        let means = [Modality::Vision, Modality::Audio];
        let means = means.map(|modality| batch.frames(modality, &device).mean());
        let [vision, audio] = means;
        Tensor::cat(vec![text, vision, audio], 1).detach()
    }

    /// Components and centres of the training split.
    fn fit(&self, values: &[f32], labels: &[f32]) -> Result<FeatureSpace, ModelError> {
        let settings = &self.settings;
        let (count, dim) = (settings.features, self.metric.dim());
        let rows = values.chunks_exact(count);
        let segments = labels.len().max(1) as f64;
        let mut mean = vec![0.0f64; count];
        let mut scale = vec![0.0f64; count];
        for row in rows.clone() {
            for (mean, &x) in mean.iter_mut().zip(row) {
                *mean += f64::from(x) / segments;
            }
        }
        for row in rows.clone() {
            for ((scale, mean), &x) in scale.iter_mut().zip(&mean).zip(row) {
                *scale += (f64::from(x) - mean).powi(2) / segments;
            }
        }
        for scale in &mut scale {
            // A feature that is always the same says nothing.
            *scale = if *scale > 1e-12 {
                scale.sqrt().recip()
            } else {
                0.0
            };
        }
        let standard = rows.clone().flat_map(|row| {
            let columns = row.iter().zip(&mean).zip(&scale);
            columns.map(|((&x, mean), scale)| (f64::from(x) - mean) * scale)
        });
        let standard: Vec<f64> = standard.collect();
        let pca = Pca::fit(&standard, count)?;
        let axes: Vec<Vec<f64>> = (0..dim).map(|axis| pca.component(axis)).collect();
        let projection = (0..count).flat_map(|feature| {
            let scale = scale[feature];
            axes.iter().map(move |axis| (axis[feature] * scale) as f32)
        });
        let projection: Vec<f32> = projection.collect();
        let points = standard.chunks_exact(count).flat_map(|row| {
            axes.iter()
                .map(|axis| row.iter().zip(axis).map(|(x, a)| x * a).sum::<f64>() as f32)
        });
        let points: Vec<f32> = points.collect();
        let clusters = self.centres(&points, labels)?;
        Ok(FeatureSpace {
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            projection,
            clusters,
        })
    }

    /// k-means in every sentiment bin that has segments.
    fn centres(&self, points: &[f32], labels: &[f32]) -> Result<Clusters, ModelError> {
        let (settings, dim) = (&self.settings, self.metric.dim());
        let wanted = settings.config.clusters_per_bin;
        let mut clusters = Clusters {
            dim,
            ..Clusters::default()
        };
        for bin in 0..settings.bins.len() {
            let of_bin = points.chunks_exact(dim).zip(labels);
            let of_bin = of_bin.filter(|(_, label)| settings.bins.bin(**label) == bin);
            let of_bin: Vec<f32> = of_bin.flat_map(|(point, _)| point).copied().collect();
            if of_bin.is_empty() {
                continue;
            }
            let kmeans = KMeansConfig {
                clusters: wanted.min(of_bin.len() / dim),
                ..KMeansConfig::default()
            };
            let seed = seed::mix(settings.seed, &[seed::KMEANS, bin as u64]);
            let fit = kmeans.fit(Rows::new(&of_bin, dim)?, seed)?;
            for (at, centre) in fit.centers.chunks_exact(dim).enumerate() {
                clusters.centers.extend(centre);
                clusters.bins.push(bin);
                clusters.metric.push(bin * wanted + at);
            }
        }
        Ok(clusters)
    }
}

/// The nearest centre of each row's own bin; of all where its bin has none.
fn own_centres(rows: Rows<'_>, bins: &[usize], clusters: &Clusters) -> Vec<usize> {
    let square = |row: &[f32], centre: usize| -> f64 {
        let pairs = row.iter().zip(clusters.center(centre));
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    let nearest = |row: &[f32], own: &dyn Fn(usize) -> bool| {
        let centres = (0..clusters.len()).filter(|&centre| own(centre));
        centres.min_by(|&a, &b| square(row, a).total_cmp(&square(row, b)))
    };
    let own = |(row, &bin): (&[f32], &usize)| {
        let own = nearest(row, &|centre| clusters.bins[centre] == bin);
        own.or_else(|| nearest(row, &|_| true)).unwrap_or(0)
    };
    rows.iter().zip(bins).map(own).collect()
}
