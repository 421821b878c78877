//! One Mahalanobis metric: distances between any rows, its factor, the embedding that it is.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mmrest_kernels::host;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::mining::{Triplet, TripletRanks};
use crate::psd::tensors;
use crate::{MetricError, PsdAdamConfig, Rows, factor_psd_f64};

/// Differences of rows that are held at a time, in numbers.
const BLOCK: usize = 1 << 22;

/// A Mahalanobis metric `M`: `d(p, q)^2 = (p - q)^T M (p - q)`, with `M` symmetric positive semidefinite.
///
/// `M` is a parameter: as a burn module it is trained with any loss on the distances, each step followed by
/// [`project_psd`](Self::project_psd). [`MahalanobisConfig::fit`] learns one from a table;
/// [`MultiMetric::mahalanobis`](crate::MultiMetric::mahalanobis) takes out that of a cluster.
///
/// Only the symmetric part of `M` is in the distances, squared or not. As everywhere in burn, shapes that do not fit
/// panic.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::Mahalanobis;
///
/// let device = Device::flex();
/// let metric = Mahalanobis::new(Tensor::from_data([[4.0, 0.0], [0.0, 9.0]], &device))?;
/// assert!(metric.is_psd(0.0)?);
///
/// let rows = Tensor::<2>::from_data([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]], &device);
/// let matrix = metric.distances(rows.clone(), rows.clone()); // [3, 3]
/// let origin: Vec<f32> = matrix.slice([0..1]).into_data().try_to_vec()?;
/// assert_eq!(origin, [0.0, 2.0, 40.0_f32.sqrt()]);
///
/// // The same distances, Euclidean ones after the transformation.
/// let embedded = metric.transform(rows)?;
/// let squared = embedded.square().sum_dim(1);
/// let squared: Vec<f32> = squared.into_data().try_to_vec()?;
/// assert!((squared[2] - 40.0).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct Mahalanobis {
    /// `M`: `[dim, dim]`.
    pub matrix: Param<Tensor<2>>,
}

impl Mahalanobis {
    /// The metric of a matrix `[dim, dim]`, as it is.
    ///
    /// # Errors
    ///
    /// [`MetricError::RaggedMatrices`] when it is not square, or has no entries.
    pub fn new(matrix: Tensor<2>) -> Result<Self, MetricError> {
        let [rows, dim] = matrix.dims();
        if rows != dim || dim == 0 {
            let values = rows * dim;
            return Err(MetricError::RaggedMatrices { values, dim });
        }
        let matrix = Param::from_tensor(matrix.detach());
        Ok(Self { matrix })
    }

    /// The Euclidean metric of rows `dim` wide.
    #[must_use]
    pub fn identity(dim: usize, device: &Device) -> Self {
        let matrix = Param::from_tensor(Tensor::eye(dim, device));
        Self { matrix }
    }

    /// Width of the rows that are measured.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.matrix.val().dims()[0]
    }

    /// Squared distances from each of `rows` to each of `others`: `[rows, others]` of `[rows, dim]` and `[others, dim]`.
    ///
    /// Those of rows to themselves are symmetric, and exactly 0 on the diagonal. The differences of rows are formed, not
    /// their squares, so rows far from the origin lose no digits. Without autodiff the memory is that of the result and
    /// of one block of differences, some tens of megabytes; with it `rows * others * dim` numbers are kept for the way back, and
    /// [`squared_pair_distances`](Self::squared_pair_distances) of chosen pairs is the better choice for many rows.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use mmrest_metric::Mahalanobis;
    ///
    /// let device = Device::flex();
    /// let rows = Tensor::<2>::from_data([[0.0, 0.0], [3.0, 4.0]], &device);
    /// let others = Tensor::<2>::from_data([[0.0, 1.0]], &device);
    /// let squared = Mahalanobis::identity(2, &device).squared_distances(rows, others);
    /// assert_eq!(squared.into_data().try_to_vec::<f32>()?, [1.0, 18.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn squared_distances(&self, rows: Tensor<2>, others: Tensor<2>) -> Tensor<2> {
        let ([count, dim], [other_count, _]) = (rows.dims(), others.dims());
        if count == 0 || other_count == 0 {
            return Tensor::zeros([count, other_count], &rows.device());
        }
        // Differences do not see a shift; f32 does.
        let shift = others.clone().detach().mean_dim(0);
        let rows = Sloped::new(rows - shift.clone(), self.doubled());
        let others = Sloped::new(others - shift, self.doubled());
        let height = (BLOCK / (other_count * dim).max(1)).clamp(1, count);
        let blocks = (0..count).step_by(height).map(|start| {
            let height = height.min(count - start);
            rows.narrow(start, height).squared_distances(&others)
        });
        Tensor::cat(blocks.collect(), 0)
    }

    /// Distances from each of `rows` to each of `others`: the roots of
    /// [`squared_distances`](Self::squared_distances), `[rows, others]`.
    ///
    /// Where the squared distance is not positive, the distance is 0 and its gradient too.
    #[must_use]
    pub fn distances(&self, rows: Tensor<2>, others: Tensor<2>) -> Tensor<2> {
        root(self.squared_distances(rows, others))
    }

    /// Squared distances of pairs, row `n` of `left` to row `n` of `right`: `[pairs]` of two `[pairs, dim]`.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use mmrest_metric::Mahalanobis;
    ///
    /// let device = Device::flex();
    /// let left = Tensor::<2>::from_data([[0.0, 0.0], [3.0, 4.0]], &device);
    /// let right = Tensor::<2>::from_data([[0.0, 1.0], [3.0, 4.0]], &device);
    /// let squared = Mahalanobis::identity(2, &device).squared_pair_distances(left, right);
    /// assert_eq!(squared.into_data().try_to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn squared_pair_distances(&self, left: Tensor<2>, right: Tensor<2>) -> Tensor<1> {
        let difference = left - right;
        let slope = difference.clone().matmul(self.matrix.val());
        (slope * difference).sum_dim(1).squeeze_dim(1)
    }

    /// Distances of pairs: the roots of [`squared_pair_distances`](Self::squared_pair_distances), `[pairs]`.
    ///
    /// Where the squared distance is not positive, the distance is 0 and its gradient too.
    #[must_use]
    pub fn pair_distances(&self, left: Tensor<2>, right: Tensor<2>) -> Tensor<1> {
        root(self.squared_pair_distances(left, right))
    }

    /// Whether `M` has no eigenvalue below `-tolerance`.
    ///
    /// # Errors
    ///
    /// [`MetricError::Read`] when the device does not hand out the values, [`MetricError::NonFiniteMetric`] and
    /// [`MetricError::Eigen`] when there are no eigenvalues.
    pub fn is_psd(&self, tolerance: f64) -> Result<bool, MetricError> {
        tensors::are_psd("metric", self.matrix.val(), tolerance)
    }

    /// The nearest (Frobenius) symmetric positive semidefinite matrix to `M`: what follows each optimiser step.
    ///
    /// Parameter id and gradient requirement stay.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use mmrest_metric::Mahalanobis;
    ///
    /// let indefinite = Tensor::from_data([[2.0, 0.0], [0.0, -1.0]], &Device::flex());
    /// let metric = Mahalanobis::new(indefinite)?.project_psd()?;
    /// assert_eq!(metric.matrix.val().into_data().try_to_vec::<f32>()?, [2.0, 0.0, 0.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`is_psd`](Self::is_psd).
    pub fn project_psd(self) -> Result<Self, MetricError> {
        let projected = tensors::projected("metric", self.matrix.val())?;
        Ok(Self {
            matrix: tensors::replace(self.matrix, projected),
        })
    }

    /// `L` with `L^T L = M`: `[dim, dim]`, a constant. Negative eigenvalues of `M` count as 0.
    ///
    /// # Errors
    ///
    /// As [`is_psd`](Self::is_psd).
    pub fn factor(&self) -> Result<Tensor<2>, MetricError> {
        let matrix = self.matrix.val();
        let factor = factor_psd_f64(&tensors::read("metric", matrix.clone())?, self.dim())?;
        Ok(tensors::like(&matrix, &factor))
    }

    /// The rows in the space where this metric is the Euclidean one: `rows L^T`, `[rows, dim]`, for any search or
    /// clustering that knows Euclidean distances only. Gradients flow to the rows, not to `M`.
    ///
    /// # Errors
    ///
    /// As [`factor`](Self::factor).
    pub fn transform(&self, rows: Tensor<2>) -> Result<Tensor<2>, MetricError> {
        Ok(rows.matmul(self.factor()?.transpose()))
    }

    /// `M + M^T`.
    fn doubled(&self) -> Tensor<2> {
        let matrix = self.matrix.val();
        matrix.clone() + matrix.transpose()
    }
}

/// Rows with `p (M + M^T)` of each.
struct Sloped {
    rows: Tensor<2>,
    slopes: Tensor<2>,
}

impl Sloped {
    fn new(rows: Tensor<2>, doubled: Tensor<2>) -> Self {
        let slopes = rows.clone().matmul(doubled);
        Self { rows, slopes }
    }

    fn narrow(&self, start: usize, height: usize) -> Self {
        let [rows, slopes] = [&self.rows, &self.slopes];
        Self {
            rows: rows.clone().narrow(0, start, height),
            slopes: slopes.clone().narrow(0, start, height),
        }
    }

    /// `(p - q) (M + M^T) (p - q) / 2` of every two.
    fn squared_distances(&self, others: &Self) -> Tensor<2> {
        let differences = |of: &Tensor<2>, others: &Tensor<2>| -> Tensor<3> {
            of.clone().unsqueeze_dim::<3>(1) - others.clone().unsqueeze_dim::<3>(0)
        };
        let rows = differences(&self.rows, &others.rows);
        let slopes = differences(&self.slopes, &others.slopes);
        (rows * slopes)
            .sum_dim(2)
            .squeeze_dim::<2>(2)
            .mul_scalar(0.5)
    }
}

/// The root, 0 with a gradient of 0 where there is none.
fn root<const D: usize>(squared: Tensor<D>) -> Tensor<D> {
    let positive = squared.clone().greater_elem(0.0);
    let none = positive.bool_not();
    squared
        .mask_fill(none.clone(), 1.0)
        .sqrt()
        .mask_fill(none, 0.0)
}

/// How a metric is learned from rows with labels.
///
/// ```text
/// loss = mean of max(0, margin + d(anchor, positive)^2 - d(anchor, negative)^2)
/// ```
///
/// over triplets drawn anew for each step: rows of one label near, others farther by a margin (Weinberger & Saul 2009).
/// Each step of [`PsdAdam`](crate::PsdAdam) is followed by the projection to PSD matrices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MahalanobisConfig {
    /// How many steps are taken.
    pub steps: usize,
    /// Of the optimiser.
    pub learning_rate: f64,
    /// In squared distance, where the mean squared distance of two rows is 1 before the first step.
    pub margin: f64,
    /// At most so many triplets a step.
    pub max_triplets: usize,
}

impl Default for MahalanobisConfig {
    fn default() -> Self {
        Self {
            steps: 200,
            learning_rate: 0.02,
            margin: 1.0,
            max_triplets: 1000,
        }
    }
}

impl MahalanobisConfig {
    /// Learns a metric in which rows of one label are nearer to each other than to those of others.
    ///
    /// Columns may be of any scale: learning goes on standardised ones, and the result is for the rows as they are. A
    /// constant column has no part in it. The same rows, labels and seed give the same metric.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use mmrest_metric::{MahalanobisConfig, Rows};
    ///
    /// // Column 0 tells the labels apart; column 1 is a hundred times as large, and noise.
    /// let noise = |row: usize| 100.0 * ((row * row) as f32).sin();
    /// let labels: Vec<usize> = (0..60).map(|row| row % 2).collect();
    /// let table: Vec<f32> = (0..60).flat_map(|row| [labels[row] as f32, noise(row)]).collect();
    ///
    /// let metric = MahalanobisConfig::default().fit(Rows::new(&table, 2)?, &labels, 1, &Device::flex())?;
    /// let learned: Vec<f32> = metric.matrix.val().into_data().try_to_vec()?;
    /// assert!(learned[0] > 1e5 * learned[3], "{learned:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when there is not one label a row; [`MetricError::Empty`] without two rows of one label and
    /// one of another; [`MetricError::NonFiniteMetric`] when a step led nowhere, as with too large a learning rate, or when a
    /// column varies by less than about 1e-19, for which f32 has no weight; and [`MetricError::Read`].
    pub fn fit(
        &self,
        rows: Rows<'_>,
        labels: &[usize],
        seed: u64,
        device: &Device,
    ) -> Result<Mahalanobis, MetricError> {
        MetricError::check_length("labels of the rows", labels.len(), rows.len())?;
        let ranks = TripletRanks::new(labels);
        if ranks.count() == 0 || self.max_triplets == 0 {
            let what = "triplets of two rows of one label and one of another";
            return Err(MetricError::Empty { what });
        }
        let scales = scales(rows);
        let table = scaled(rows, &scales, &device.clone().autodiff());
        let mut metric = Mahalanobis::identity(rows.dim(), &table.device());
        let mut optimizer = PsdAdamConfig::default().init();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..self.steps {
            let drawn = ranks.thinned(self.max_triplets, &mut rng);
            let loss = self.loss(&metric, &table, &drawn);
            let gradients = GradientsParams::from_grads(loss.backward(), &metric);
            metric = optimizer
                .step(self.learning_rate, metric, gradients)
                .project_psd()?;
        }
        unscaled(&metric, &scales, device)
    }

    fn loss(&self, metric: &Mahalanobis, table: &Tensor<2>, triplets: &[Triplet]) -> Tensor<1> {
        let select = |row: fn(&Triplet) -> usize| {
            let indices: Vec<i64> = triplets.iter().map(|of| row(of) as i64).collect();
            let data = TensorData::new(indices, [triplets.len()]);
            let indices = Tensor::<1, Int>::from_data(data, &table.device());
            table.clone().select(0, indices)
        };
        let anchors = select(|of| of.anchor);
        let near = metric.squared_pair_distances(anchors.clone(), select(|of| of.positive));
        let far = metric.squared_pair_distances(anchors, select(|of| of.negative));
        relu((near - far).add_scalar(self.margin)).mean()
    }
}

/// What each column is multiplied by for a mean squared distance of 1, every column having the same part in it; 0 for
/// a constant one.
fn scales(rows: Rows<'_>) -> Vec<f64> {
    let (count, dim) = (rows.len() as f64, rows.dim());
    let column = |at: usize| rows.iter().map(move |row| f64::from(row[at]));
    let variances: Vec<f64> = (0..dim)
        .map(|at| {
            let mean = column(at).sum::<f64>() / count;
            column(at).map(|value| (value - mean).powi(2)).sum::<f64>() / count
        })
        .collect();
    let varying = variances.iter().filter(|&&variance| variance > 0.0).count();
    let scale = |&variance: &f64| {
        if variance > 0.0 {
            (2.0 * variance * varying as f64).sqrt().recip()
        } else {
            0.0
        }
    };
    variances.iter().map(scale).collect()
}

fn scaled(rows: Rows<'_>, scales: &[f64], device: &Device) -> Tensor<2> {
    let scaled = |row: &[f32]| -> Vec<f32> {
        let columns = row.iter().zip(scales);
        columns
            .map(|(&value, scale)| (f64::from(value) * scale) as f32)
            .collect()
    };
    let values: Vec<f32> = rows.iter().flat_map(scaled).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows.dim()]), device)
}

/// The metric of the rows as they were.
fn unscaled(
    metric: &Mahalanobis,
    scales: &[f64],
    device: &Device,
) -> Result<Mahalanobis, MetricError> {
    let dim = scales.len();
    let values = host::read("metric", metric.matrix.val().detach())?;
    let values: Vec<f32> = values
        .iter()
        .enumerate()
        .map(|(at, &value)| (f64::from(value) * scales[at / dim] * scales[at % dim]) as f32)
        .collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(MetricError::NonFiniteMetric { index: 0 });
    }
    Mahalanobis::new(Tensor::from_data(
        TensorData::new(values, [dim, dim]),
        device,
    ))
}

#[cfg(test)]
mod tests;
