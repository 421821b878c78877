//! The learned metrics: one shared by all clusters, and one of its own for each.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::{Mahalanobis, MetricError, host, min_eigenvalues_f64, project_psd_f64};

/// How many metrics of which size to start with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiMetricConfig {
    /// Width of the rows that are measured (`d1`).
    pub dim: usize,
    /// How many local metrics there are (`K`).
    pub clusters: usize,
    /// What is added to every metric's diagonal (`beta`).
    pub ridge: f64,
}

impl Default for MultiMetricConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            clusters: 7,
            ridge: 0.01,
        }
    }
}

impl MultiMetricConfig {
    /// Makes the metrics, each the identity.
    #[must_use]
    pub fn init(&self, device: &Device) -> MultiMetric {
        let identity = Tensor::<2>::eye(self.dim, device);
        let local = identity.clone().unsqueeze_dim::<3>(0);
        MultiMetric {
            global: Param::from_tensor(identity),
            local: Param::from_tensor(local.repeat_dim(0, self.clusters)),
            ridge: self.ridge,
        }
    }
}

/// A Mahalanobis metric for each cluster: `M_i = M_0 + dM_i + ridge I`.
///
/// ```
/// use burn::tensor::Device;
/// use mmrest_metric::MultiMetricConfig;
///
/// let config = MultiMetricConfig { dim: 4, clusters: 3, ridge: 0.01 };
/// let metric = config.init(&Device::flex());
/// // Clusters 0 and 1, the second of them under local metric 2.
/// assert_eq!(metric.metrics(&[0, 2]).dims(), [2, 4, 4]);
/// assert!(metric.is_psd(0.0)?);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Module, Debug)]
pub struct MultiMetric {
    /// `M_0`, shared by all clusters: `[dim, dim]`.
    pub global: Param<Tensor<2>>,
    /// `dM_i`, one for each cluster: `[clusters, dim, dim]`.
    pub local: Param<Tensor<3>>,
    ridge: f64,
}

impl MultiMetric {
    /// Width of the rows that are measured.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.global.val().dims()[0]
    }

    /// How many local metrics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.local.val().dims()[0]
    }

    /// Whether there is no local metric.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is added to every metric's diagonal.
    #[must_use]
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// The metrics of clusters that use the local metrics `which`: `M_i = M_0 + dM_which[i] + ridge I`,
    /// `[which.len(), dim, dim]`.
    ///
    /// Every index must be below [`len`](Self::len).
    #[must_use]
    pub fn metrics(&self, which: &[usize]) -> Tensor<3> {
        let global = self.global.val();
        let device = global.device();
        let ridge = Tensor::<2>::eye(self.dim(), &device).mul_scalar(self.ridge);
        let shared = (global + ridge).unsqueeze_dim::<3>(0);
        shared + self.locals(which)
    }

    /// The metric of the clusters that use the local metric `which`, as one of its own: `M_0 + dM_which + ridge I`, with
    /// all that a single metric offers. It shares nothing with this one.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use mmrest_metric::MultiMetricConfig;
    ///
    /// let device = Device::flex();
    /// let metric = MultiMetricConfig { dim: 2, clusters: 3, ridge: 0.0 }.init(&device);
    /// let rows = Tensor::<2>::from_data([[0.0, 0.0], [1.0, 1.0]], &device);
    /// let distances = metric.mahalanobis(2)?.distances(rows.clone(), rows); // M_0 and dM_2 are the identity
    /// assert_eq!(distances.into_data().try_to_vec::<f32>()?, [0.0, 2.0, 2.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MetricError::Index`] when `which` is not below [`len`](Self::len).
    pub fn mahalanobis(&self, which: usize) -> Result<Mahalanobis, MetricError> {
        MetricError::check_indices("local metric", [which], self.len())?;
        Mahalanobis::new(self.metrics(&[which]).squeeze_dim(0))
    }

    /// `dM_which[i]`, without a gather when that is all of them in order.
    fn locals(&self, which: &[usize]) -> Tensor<3> {
        let local = self.local.val();
        if which.iter().copied().eq(0..self.len()) {
            return local;
        }
        let indices: Vec<i64> = which.iter().map(|&index| index as i64).collect();
        let data = TensorData::new(indices, [which.len()]);
        let indices = Tensor::<1, Int>::from_data(data, &local.device());
        local.select(0, indices)
    }
}

impl MultiMetric {
    /// Whether `M_0` and every `dM_i` has no eigenvalue below `-tolerance`.
    ///
    /// # Errors
    ///
    /// [`MetricError::Read`] when the device does not hand out the values, [`MetricError::NonFiniteMetric`]
    /// (0 is `M_0`, `1 + i` is `dM_i`) and [`MetricError::Eigen`] when there are no eigenvalues.
    pub fn is_psd(&self, tolerance: f64) -> Result<bool, MetricError> {
        let values = self.read()?;
        let smallest = min_eigenvalues_f64(&values, self.dim())?;
        Ok(smallest.iter().all(|&value| value >= -tolerance))
    }

    /// The nearest (Frobenius) symmetric positive semidefinite matrices to `M_0` and every `dM_i`:
    /// what follows each optimiser step.
    ///
    /// The matrices are read from the device once and written once; the decomposition is in f64 on the host.
    /// Parameter ids and gradient requirements stay. Metrics that cannot be decomposed, because a number in
    /// them is not finite, stay as they are: [`try_project_psd`](Self::try_project_psd) says so instead.
    #[must_use]
    pub fn project_psd(self) -> Self {
        let kept = self.clone();
        self.try_project_psd().unwrap_or(kept)
    }

    /// [`project_psd`](Self::project_psd), refusing what has no eigenvalues.
    ///
    /// # Errors
    ///
    /// As [`is_psd`](Self::is_psd).
    pub fn try_project_psd(self) -> Result<Self, MetricError> {
        let (dim, count) = (self.dim(), self.len());
        let mut values = self.read()?;
        project_psd_f64(&mut values, dim)?;

        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let device = self.global.val().device();
        let all = Tensor::<3>::from_data(TensorData::new(values, [count + 1, dim, dim]), &device);
        let global = all.clone().narrow(0, 0, 1).squeeze_dim::<2>(0);
        let local = if count == 0 {
            self.local.val()
        } else {
            all.narrow(0, 1, count)
        };
        Ok(Self {
            global: replace(self.global, global),
            local: replace(self.local, local),
            ridge: self.ridge,
        })
    }

    /// `M_0` and every `dM_i` in one transfer: `[1 + clusters, dim, dim]`.
    fn read(&self) -> Result<Vec<f64>, MetricError> {
        let global = self.global.val().detach().unsqueeze_dim::<3>(0);
        let all = match self.is_empty() {
            true => global,
            false => Tensor::cat(vec![global, self.local.val().detach()], 0),
        };
        let values = host::read("metrics", all)?;
        Ok(values.into_iter().map(f64::from).collect())
    }
}

/// The parameter with another value: same id, same gradient requirement.
pub(crate) fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let require_grad = old.is_require_grad();
        value.detach().set_require_grad(require_grad)
    })
}
