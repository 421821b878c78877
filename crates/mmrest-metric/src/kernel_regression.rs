//! Kernel regression under learned metrics: the sentiment of a segment from those of segments with known labels, weighed
//! by how near they are.
//!
//! With c_m the segment's row of modality m, s_jm those of segment j of the support and k(j) the cluster of j,
//!
//! ```text
//! D_j = sum_m precision_m (c_m - s_jm)^T M_k(j) (c_m - s_jm)
//! y   = sum_j softmax_j(-D_j) label_j
//! ```
//!
//! Every modality has a precision of its own, the inverse of a temperature, which is learned: one that says little about
//! sentiment has little part in the distance. Weinberger and Tesauro, "Metric Learning for Kernel Regression" (2007),
//! train one metric on the error of each segment when it is left out of the support ([`KernelRegression::leave_one_out`]).
//!
//! N segments against a support of S cost about `2 m N S D + 2 m K N D^2` operations.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::{MetricError, MultiMetric};

/// What is taken from the logarithm of a weight that must be 0.
const FAR: f32 = 1e9;

/// How kernel regression starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelRegressionConfig {
    /// The squared distance of the first modality over which a weight falls to 1/e, before anything is learned.
    pub temperature: f64,
    /// The precision of each further modality as a multiple of the first one's, before anything is learned.
    pub gate: f64,
}

impl Default for KernelRegressionConfig {
    fn default() -> Self {
        Self {
            temperature: 0.5,
            gate: 0.01,
        }
    }
}

impl KernelRegressionConfig {
    /// Kernel regression of so many modalities.
    #[must_use]
    pub fn init(&self, modalities: usize, device: &Device) -> KernelRegression {
        let first = -self.temperature.ln();
        let further = first + self.gate.ln();
        let logs = (0..modalities).map(|m| if m == 0 { first } else { further } as f32);
        let logs: Vec<f32> = logs.collect();
        KernelRegression {
            log_precisions: Param::from_data(TensorData::new(logs, [modalities]), device),
        }
    }
}

/// Kernel regression under learned metrics.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::{KernelRegressionConfig, MultiMetricConfig, Support};
///
/// let device = Device::flex();
/// let metric = MultiMetricConfig { dim: 1, clusters: 2, ridge: 0.0 }.init(&device);
/// let kernel = KernelRegressionConfig::default().init(1, &device);
/// let support = Support {
///     dim: 1,
///     rows: vec![-1.0, 1.0],
///     labels: vec![-3.0, 3.0],
///     metric: vec![0, 1],
/// };
/// let rows = Tensor::<2>::from_data([[0.0], [1.0]], &device);
/// let y = kernel.predict(rows, &support, &metric)?;
/// let y: Vec<f32> = y.into_data().try_to_vec()?;
/// assert!(y[0].abs() < 1e-6); // as far from both
/// assert!(y[1] > 2.9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct KernelRegression {
    /// The logarithm of each modality's precision: `[modalities]`.
    pub log_precisions: Param<Tensor<1>>,
}

/// Segments with known labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// Width of a row.
    pub dim: usize,
    /// All rows of one modality, then all of the next, segments in one order: `[modalities * segments, dim]`.
    pub rows: Vec<f32>,
    /// The label of each segment.
    pub labels: Vec<f32>,
    /// Which local metric each segment is measured by.
    pub metric: Vec<usize>,
}

impl Support {
    /// How many segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no segment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Whether the parts fit together and the values can be used: for a support read from a file.
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`], [`MetricError::Index`] for a metric that is not below `metrics`,
    /// [`MetricError::NonFiniteRow`] for a row, or a label, that is not finite.
    pub fn check(&self, modalities: usize, metrics: usize) -> Result<(), MetricError> {
        let values = modalities
            .saturating_mul(self.len())
            .saturating_mul(self.dim);
        MetricError::check_length("values of the support", self.rows.len(), values)?;
        MetricError::check_length(
            "local metrics of the support",
            self.metric.len(),
            self.len(),
        )?;
        MetricError::check_indices("local metric", self.metric.iter().copied(), metrics)?;
        let mut values = self.rows.iter().chain(&self.labels);
        match values.position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => Err(MetricError::NonFiniteRow {
                row: at / self.dim.max(1),
                column: at % self.dim.max(1),
                value: *self.rows.get(at).unwrap_or(&f32::NAN),
            }),
        }
    }
}

impl KernelRegression {
    /// How many modalities there are.
    #[must_use]
    pub fn modalities(&self) -> usize {
        self.log_precisions.val().dims()[0]
    }

    /// The sentiment of each segment by the support: `[batch]`. Gradients flow to rows, metrics and precisions.
    ///
    /// `rows` is `[modalities * batch, dim]`: all rows of one modality, then all of the next.
    ///
    /// # Errors
    ///
    /// [`MetricError::Empty`] without support, else those of [`Support::check`]; [`MetricError::Length`] for rows of another
    /// number or width.
    pub fn predict(
        &self,
        rows: Tensor<2>,
        support: &Support,
        metric: &MultiMetric,
    ) -> Result<Tensor<1>, MetricError> {
        let device = rows.device();
        support.check(self.modalities(), metric.len())?;
        let shape = [self.modalities() * support.len(), support.dim];
        let others = TensorData::new(support.rows.clone(), shape);
        let others = Tensor::<2>::from_data(others, &device);
        self.check(&rows, support.dim, support.len(), metric)?;
        let grouped = Grouped::new(&support.metric);
        let far = self.distances(rows, others, &grouped, metric);
        Ok(weighed(far, &grouped.of(&support.labels)))
    }

    /// The sentiment of each segment of a batch by the others: `[batch]`. Gradients flow to rows, metrics and precisions.
    ///
    /// `rows` is `[modalities * batch, dim]`; `which` is the local metric of each segment.
    ///
    /// # Errors
    ///
    /// [`MetricError::Empty`] with fewer than two segments; [`MetricError::Length`] and [`MetricError::Index`] when lists,
    /// rows and metrics do not fit together.
    pub fn leave_one_out(
        &self,
        rows: Tensor<2>,
        labels: &[f32],
        which: &[usize],
        metric: &MultiMetric,
    ) -> Result<Tensor<1>, MetricError> {
        let [_, dim] = rows.dims();
        let batch = labels.len();
        MetricError::check_length("local metrics of the segments", which.len(), batch)?;
        MetricError::check_indices("local metric", which.iter().copied(), metric.len())?;
        self.check(&rows, dim, batch.saturating_sub(1), metric)?;
        MetricError::check_length(
            "rows of the segments",
            rows.dims()[0],
            self.modalities() * batch,
        )?;
        let device = rows.device();
        let grouped = Grouped::new(which);
        let far = self.distances(rows.clone(), rows, &grouped, metric);
        let own: Vec<bool> = (0..batch)
            .flat_map(|row| grouped.order.iter().map(move |&other| row == other))
            .collect();
        let own = Tensor::<2, Bool>::from_data(TensorData::new(own, [batch, batch]), &device);
        Ok(weighed(far.mask_fill(own, FAR), &grouped.of(labels)))
    }

    /// `D` of every segment and every segment of a support, whose columns are grouped by local metric: `[batch, support]`.
    fn distances(
        &self,
        rows: Tensor<2>,
        others: Tensor<2>,
        grouped: &Grouped,
        metric: &MultiMetric,
    ) -> Tensor<2> {
        let modalities = self.modalities();
        let (batch, size) = (rows.dims()[0] / modalities, others.dims()[0] / modalities);
        let precisions = self.log_precisions.val().exp();
        let metrics = metric.metrics(&grouped.which);
        let metrics = (metrics.clone() + metrics.swap_dims(1, 2)).mul_scalar(0.5);
        let of_modality = |m: usize| {
            let rows = rows.clone().narrow(0, m * batch, batch);
            let others = others.clone().narrow(0, m * size, size);
            let others = others.select(0, indices(&grouped.order, &rows.device()));
            let columns = measured(rows, others, grouped, &metrics);
            columns * precisions.clone().narrow(0, m, 1).unsqueeze_dim::<2>(0)
        };
        (1..modalities).fold(of_modality(0), |sum, m| sum + of_modality(m))
    }

    fn check(
        &self,
        rows: &Tensor<2>,
        dim: usize,
        support: usize,
        metric: &MultiMetric,
    ) -> Result<(), MetricError> {
        let [count, width] = rows.dims();
        if support == 0 {
            return Err(MetricError::Empty {
                what: "segments to compare with",
            });
        }
        MetricError::check_length("columns of the rows", width, dim)?;
        MetricError::check_length("size of the metrics", metric.dim(), dim)?;
        let whole = count / self.modalities() * self.modalities();
        MetricError::check_length("rows of the segments", count, whole)
    }
}

/// Segments in groups of one local metric each.
struct Grouped {
    /// The segments, group after group.
    order: Vec<usize>,
    /// The local metric of each group.
    which: Vec<usize>,
    /// Segments of each group.
    sizes: Vec<usize>,
}

impl Grouped {
    fn new(metric: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..metric.len()).collect();
        order.sort_by_key(|&segment| metric[segment]);
        let groups = order.chunk_by(|&a, &b| metric[a] == metric[b]);
        let (which, sizes) = groups.map(|group| (metric[group[0]], group.len())).unzip();
        Self {
            order,
            which,
            sizes,
        }
    }

    /// Values of the segments in this order.
    fn of(&self, values: &[f32]) -> Vec<f32> {
        self.order.iter().map(|&segment| values[segment]).collect()
    }
}

/// `(c - s)^T M (c - s)` of every row and every one of `others`, which come group after group, each group under its own of
/// the symmetric `metrics` `[groups, dim, dim]`: `[rows, others]`.
///
/// It is `c M c - 2 c M s + s M s`, both measured from the mean of `others`, so that no digits are lost to where they lie.
fn measured(
    rows: Tensor<2>,
    others: Tensor<2>,
    grouped: &Grouped,
    metrics: &Tensor<3>,
) -> Tensor<2> {
    let middle = others.clone().detach().mean_dim(0);
    let (rows, others) = (rows - middle.clone(), others - middle);
    let mut start = 0;
    let columns = grouped.sizes.iter().enumerate().map(|(group, &size)| {
        let metric = metrics.clone().narrow(0, group, 1).squeeze_dim::<2>(0);
        let others = others.clone().narrow(0, start, size);
        start += size;
        let of_rows = (rows.clone().matmul(metric.clone()) * rows.clone()).sum_dim(1);
        let weighed = others.clone().matmul(metric);
        let of_others = (weighed.clone() * others).sum_dim(1).transpose();
        of_rows + of_others - rows.clone().matmul(weighed.transpose()).mul_scalar(2.0)
    });
    Tensor::cat(columns.collect(), 1)
}

/// The labels weighed by `softmax(-distances)`: `[batch]`.
fn weighed(distances: Tensor<2>, labels: &[f32]) -> Tensor<1> {
    let labels = TensorData::new(labels.to_vec(), [labels.len(), 1]);
    let labels = Tensor::<2>::from_data(labels, &distances.device());
    softmax(distances.neg(), 1).matmul(labels).squeeze_dim(1)
}

fn indices(of: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = of.iter().map(|&index| index as i64).collect();
    Tensor::from_data(TensorData::new(values, [of.len()]), device)
}
