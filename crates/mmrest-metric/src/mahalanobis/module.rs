//! A Mahalanobis metric as a module of burn.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::psd::tensors;
use crate::{MahalanobisMatrix, MetricError, factor_psd_f64};

/// Differences of rows that are held at a time, in numbers.
const BLOCK: usize = 1 << 22;

/// A Mahalanobis metric `M`: `d(p, q)^2 = (p - q)^T M (p - q)`, with `M` symmetric positive semidefinite.
///
/// `M` is a parameter: as a burn module it is trained with any loss on the distances, each step followed by
/// [`project_psd`](Self::project_psd). [`MultiMetric::mahalanobis`](crate::MultiMetric::mahalanobis) takes out that of a
/// cluster. [`MahalanobisMatrix`] is the same on slices, without burn: it is learned from a table, saved and loaded.
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

    /// A metric of slices as a parameter on a device.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use mmrest_metric::{Mahalanobis, MahalanobisMatrix};
    ///
    /// let learned = MahalanobisMatrix::new(vec![4.0, 0.0, 0.0, 9.0], 2)?;
    /// let metric = Mahalanobis::from_matrix(&learned, &Device::flex())?;
    /// assert_eq!(metric.to_matrix()?, learned);
    /// # Ok::<(), mmrest_metric::MetricError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MetricError::NonFiniteMetric`] where f32 has no place for a number of it.
    pub fn from_matrix(matrix: &MahalanobisMatrix, device: &Device) -> Result<Self, MetricError> {
        let values: Vec<f32> = matrix.values().iter().map(|&value| value as f32).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(MetricError::NonFiniteMetric { index: 0 });
        }
        let dim = matrix.dim();
        Self::new(Tensor::from_data(
            TensorData::new(values, [dim, dim]),
            device,
        ))
    }

    /// The metric on slices; of an `M` that is not positive semidefinite the nearest one that is.
    ///
    /// # Errors
    ///
    /// As [`is_psd`](Self::is_psd).
    pub fn to_matrix(&self) -> Result<MahalanobisMatrix, MetricError> {
        MahalanobisMatrix::new(tensors::read("metric", self.matrix.val())?, self.dim())
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
    /// of one block of differences, some tens of megabytes; with it `rows * others * dim` numbers are kept for the way
    /// back, and [`squared_pair_distances`](Self::squared_pair_distances) of chosen pairs is the better choice for many
    /// rows.
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

#[cfg(test)]
mod tests;
