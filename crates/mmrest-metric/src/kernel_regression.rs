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

    /// The segments but those at the given places.
    #[must_use]
    pub fn without(&self, places: &[usize]) -> Self {
        let mut kept = vec![true; self.len()];
        for &place in places {
            if let Some(kept) = kept.get_mut(place) {
                *kept = false;
            }
        }
        let of_rows = self.rows.chunks_exact(self.dim.max(1));
        let of_rows = of_rows.zip(kept.iter().cycle());
        let segments = (0..self.len()).filter(|&segment| kept[segment]);
        Self {
            dim: self.dim,
            rows: of_rows
                .filter(|&(_, &kept)| kept)
                .flat_map(|(row, _)| row)
                .copied()
                .collect(),
            labels: segments
                .clone()
                .map(|segment| self.labels[segment])
                .collect(),
            metric: segments.map(|segment| self.metric[segment]).collect(),
        }
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
        self.ready(support, metric)?.predict(rows)
    }

    /// A support made ready for many batches; [`ReadySupport::predict`] then gives what [`predict`](Self::predict) does.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn ready(
        &self,
        support: &Support,
        metric: &MultiMetric,
    ) -> Result<ReadySupport, MetricError> {
        let modalities = self.modalities();
        support.check(modalities, metric.len())?;
        not_empty(support.len())?;
        MetricError::check_length("size of the metrics", metric.dim(), support.dim)?;
        let precisions = self.log_precisions.val().exp();
        let device = precisions.device();
        let (size, dim) = (support.len(), support.dim);
        let others = TensorData::new(support.rows.clone(), [modalities * size, dim]);
        let others = Tensor::<2>::from_data(others, &device);
        let grouped = Grouped::new(&support.metric);
        let metrics = symmetric(metric, &grouped);
        let of_modality = |m: usize| {
            let others = others.clone().narrow(0, m * size, size);
            let others = others.select(0, indices(&grouped.order, &device));
            let middle = others.clone().detach().mean_dim(0);
            let others = others - middle.clone();
            let groups = grouped.spans().zip(0..).map(|((start, size), group)| {
                let metric = metrics.clone().narrow(0, group, 1).squeeze_dim::<2>(0);
                Group::new(others.clone().narrow(0, start, size), metric)
            });
            ReadyModality {
                groups: groups.collect(),
                middle,
                precision: precisions.clone().narrow(0, m, 1).unsqueeze_dim::<2>(0),
            }
        };
        Ok(ReadySupport {
            dim,
            labels: column(&grouped.of(&support.labels), &device),
            modalities: (0..modalities).map(of_modality).collect(),
        })
    }

    /// The sentiment of each segment of a batch by the others and by `memory`, further segments as they were encoded before:
    /// `[batch]`. Gradients flow to the batch's rows, metrics and precisions.
    ///
    /// `rows` is `[modalities * batch, dim]`; `which` is the local metric of each segment. The memory must not hold the
    /// batch's own segments.
    ///
    /// # Errors
    ///
    /// [`MetricError::Empty`] with fewer than two segments in all; [`MetricError::Length`] and [`MetricError::Index`] when
    /// lists, rows and metrics do not fit together; those of [`Support::check`].
    pub fn leave_one_out(
        &self,
        rows: Tensor<2>,
        labels: &[f32],
        which: &[usize],
        memory: Option<&Support>,
        metric: &MultiMetric,
    ) -> Result<Tensor<1>, MetricError> {
        let [_, dim] = rows.dims();
        let batch = labels.len();
        MetricError::check_length("local metrics of the segments", which.len(), batch)?;
        MetricError::check_indices("local metric", which.iter().copied(), metric.len())?;
        let remembered = memory.map_or(0, Support::len);
        not_empty((batch + remembered).saturating_sub(1))?;
        MetricError::check_length("size of the metrics", metric.dim(), dim)?;
        check_rows(&rows, self.modalities(), dim)?;
        MetricError::check_length(
            "rows of the segments",
            rows.dims()[0],
            self.modalities() * batch,
        )?;
        let device = rows.device();
        let (mut labels, mut which) = (labels.to_vec(), which.to_vec());
        let others = match memory {
            Some(memory) => {
                memory.check(self.modalities(), metric.len())?;
                MetricError::check_length("width of the memory", memory.dim, dim)?;
                labels.extend(&memory.labels);
                which.extend(&memory.metric);
                self.beside(&rows, memory)
            }
            None => rows.clone(),
        };
        let grouped = Grouped::new(&which);
        let far = self.distances(rows, others, &grouped, metric);
        let own: Vec<bool> = (0..batch)
            .flat_map(|row| grouped.order.iter().map(move |&other| row == other))
            .collect();
        let own = TensorData::new(own, [batch, batch + remembered]);
        let own = Tensor::<2, Bool>::from_data(own, &device);
        let labels = column(&grouped.of(&labels), &device);
        Ok(weighed(far.mask_fill(own, FAR), labels))
    }

    /// The rows of a batch and, behind those of each modality, the memory's.
    fn beside(&self, rows: &Tensor<2>, memory: &Support) -> Tensor<2> {
        let modalities = self.modalities();
        let [count, dim] = rows.dims();
        let (batch, size) = (count / modalities.max(1), memory.len());
        let values = TensorData::new(memory.rows.clone(), [modalities * size, dim]);
        let remembered = Tensor::<2>::from_data(values, &rows.device());
        let parts = (0..modalities).flat_map(|m| {
            [
                rows.clone().narrow(0, m * batch, batch),
                remembered.clone().narrow(0, m * size, size),
            ]
        });
        Tensor::cat(parts.collect(), 0)
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
        let metrics = symmetric(metric, grouped);
        let of_modality = |m: usize| {
            let rows = rows.clone().narrow(0, m * batch, batch);
            let others = others.clone().narrow(0, m * size, size);
            let others = others.select(0, indices(&grouped.order, &rows.device()));
            let columns = measured(rows, others, grouped, &metrics);
            columns * precisions.clone().narrow(0, m, 1).unsqueeze_dim::<2>(0)
        };
        (1..modalities).fold(of_modality(0), |sum, m| sum + of_modality(m))
    }
}

/// A support made ready for many batches: what of `D` is the same whatever segments are compared with it. It holds for the
/// metrics and the precisions that it was made with.
#[derive(Clone, Debug)]
pub struct ReadySupport {
    dim: usize,
    modalities: Vec<ReadyModality>,
    /// The label of each segment, group after group: `[support, 1]`.
    labels: Tensor<2>,
}

#[derive(Clone, Debug)]
struct ReadyModality {
    groups: Vec<Group>,
    /// The mean of the segments' rows: `[1, dim]`.
    middle: Tensor<2>,
    /// `[1, 1]`
    precision: Tensor<2>,
}

impl ReadySupport {
    /// The sentiment of each segment, as [`KernelRegression::predict`] gives it.
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] for rows of another number or width.
    pub fn predict(&self, rows: Tensor<2>) -> Result<Tensor<1>, MetricError> {
        let modalities = self.modalities.len();
        check_rows(&rows, modalities, self.dim)?;
        let batch = rows.dims()[0] / modalities.max(1);
        let parts = self.modalities.iter().zip(0..).map(|(of, m)| {
            let rows = rows.clone().narrow(0, m * batch, batch) - of.middle.clone();
            let columns = of.groups.iter().map(|group| {
                let of_rows = lengths(&rows, group.metric.clone());
                group.distances(&rows, of_rows)
            });
            Tensor::cat(columns.collect(), 1) * of.precision.clone()
        });
        let far = parts.reduce(|sum, part| sum + part);
        let far = far.ok_or(MetricError::Empty { what: "modalities" })?;
        Ok(weighed(far, self.labels.clone()))
    }
}

fn not_empty(support: usize) -> Result<(), MetricError> {
    match support {
        0 => Err(MetricError::Empty {
            what: "segments to compare with",
        }),
        _ => Ok(()),
    }
}

fn check_rows(rows: &Tensor<2>, modalities: usize, dim: usize) -> Result<(), MetricError> {
    let [count, width] = rows.dims();
    MetricError::check_length("columns of the rows", width, dim)?;
    let whole = count / modalities.max(1) * modalities;
    MetricError::check_length("rows of the segments", count, whole)
}

/// The metrics of the groups, symmetric: `[groups, dim, dim]`.
fn symmetric(metric: &MultiMetric, grouped: &Grouped) -> Tensor<3> {
    let metrics = metric.metrics(&grouped.which);
    (metrics.clone() + metrics.swap_dims(1, 2)).mul_scalar(0.5)
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

    /// Where each group begins, and how many segments it has.
    fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        self.sizes.iter().scan(0, |next, &size| {
            let start = *next;
            *next += size;
            Some((start, size))
        })
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
    let columns = grouped.spans().zip(0..).map(|((start, size), group)| {
        let metric = metrics.clone().narrow(0, group, 1).squeeze_dim::<2>(0);
        let others = others.clone().narrow(0, start, size);
        let of_rows = lengths(&rows, metric.clone());
        Group::new(others, metric).distances(&rows, of_rows)
    });
    Tensor::cat(columns.collect(), 1)
}

/// `c M c` of each row: `[rows, 1]`.
fn lengths(rows: &Tensor<2>, metric: Tensor<2>) -> Tensor<2> {
    (rows.clone().matmul(metric) * rows.clone()).sum_dim(1)
}

/// The segments of a support that one metric measures.
#[derive(Clone, Debug)]
struct Group {
    metric: Tensor<2>,
    /// `M s`: `[segments, dim]`.
    weighed: Tensor<2>,
    /// `s M s`: `[1, segments]`.
    of_others: Tensor<2>,
}

impl Group {
    fn new(others: Tensor<2>, metric: Tensor<2>) -> Self {
        let weighed = others.clone().matmul(metric.clone());
        Self {
            of_others: (weighed.clone() * others).sum_dim(1).transpose(),
            weighed,
            metric,
        }
    }

    /// `(c - s)^T M (c - s)` of every row, whose [`lengths`] are known, and every segment: `[rows, segments]`.
    fn distances(&self, rows: &Tensor<2>, of_rows: Tensor<2>) -> Tensor<2> {
        let across = self.weighed.clone().transpose();
        of_rows + self.of_others.clone() - rows.clone().matmul(across).mul_scalar(2.0)
    }
}

/// The labels, `[support, 1]`, weighed by `softmax(-distances)`: `[batch]`.
fn weighed(distances: Tensor<2>, labels: Tensor<2>) -> Tensor<1> {
    softmax(distances.neg(), 1).matmul(labels).squeeze_dim(1)
}

/// Values one below the other: `[values, 1]`.
fn column(values: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len(), 1]), device)
}

fn indices(of: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = of.iter().map(|&index| index as i64).collect();
    Tensor::from_data(TensorData::new(values, [of.len()]), device)
}
