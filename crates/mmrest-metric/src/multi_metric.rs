//! A Mahalanobis metric for each cluster, made of one that all share and one of its own; and soft assignment: how much of
//! a segment belongs to each cluster under these metrics.

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::psd::tensors;
use crate::{Clusters, Mahalanobis, MetricError, distances};

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
        tensors::are_psd("metrics", self.all(), tolerance)
    }

    /// The nearest (Frobenius) symmetric positive semidefinite matrices to `M_0` and every `dM_i`:
    /// what follows each optimiser step.
    ///
    /// The matrices are read from the device once and written once; the decomposition is in f64 on the host.
    /// Parameter ids and gradient requirements stay.
    ///
    /// # Errors
    ///
    /// As [`is_psd`](Self::is_psd).
    pub fn project_psd(self) -> Result<Self, MetricError> {
        let all = tensors::projected("metrics", self.all())?;
        let global = all.clone().narrow(0, 0, 1).squeeze_dim::<2>(0);
        let local = if self.is_empty() {
            self.local.val()
        } else {
            all.narrow(0, 1, self.len())
        };
        Ok(Self {
            global: tensors::replace(self.global, global),
            local: tensors::replace(self.local, local),
            ridge: self.ridge,
        })
    }

    /// `M_0` and every `dM_i`: `[1 + clusters, dim, dim]`, without gradients.
    fn all(&self) -> Tensor<3> {
        let global = self.global.val().detach().unsqueeze_dim::<3>(0);
        if self.is_empty() {
            return global;
        }
        Tensor::cat(vec![global, self.local.val().detach()], 0)
    }
}

impl MultiMetric {
    /// The logarithms of a segment's shares of the clusters, `[batch, clusters]`: [`log_memberships`] of the distances
    /// `d_{M_i}(c, Ce_i)`.
    ///
    /// `rows` is `[modalities * batch, dim]`. Gradients flow to the rows and the metrics; the centres are constants.
    ///
    /// # Panics
    ///
    /// As [`log_memberships`], or where rows, clusters and metrics have different widths.
    #[must_use]
    pub fn log_memberships(
        &self,
        rows: Tensor<2>,
        modalities: usize,
        clusters: &Clusters,
        temperature: f64,
    ) -> Tensor<2> {
        let centers = TensorData::new(clusters.centers.clone(), [clusters.len(), clusters.dim]);
        let centers = Tensor::<2>::from_data(centers, &rows.device());
        let distances = distances(rows, centers, self.metrics(&clusters.metric));
        log_memberships(distances, modalities, temperature)
    }
}

/// The logarithms of a segment's shares of the clusters, `[batch, clusters]`: a softmax over the clusters of minus the
/// mean squared distance of the segment's modalities, divided by `temperature` (in squared distance).
///
/// `distances` is `[modalities * batch, clusters]`, as [`distances`](crate::distances()) gives it: all rows of one
/// modality, then all of the next, in the segments' order. Shares by a mean of distances are a product of the
/// modalities' opinions: a modality that is as far from every cluster has no say.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::log_memberships;
///
/// // One segment of two modalities, the second undecided between the two clusters.
/// let distances = Tensor::<2>::from_data([[0.0, 2.0], [5.0, 5.0]], &Device::flex());
/// let shares = log_memberships(distances, 2, 1.0).exp();
/// let shares = shares.into_data().try_to_vec::<f32>().unwrap();
/// assert!((shares[0] / shares[1] - 1.0_f32.exp()).abs() < 1e-5);
/// ```
///
/// # Panics
///
/// When `modalities` is 0 or does not divide the number of rows.
#[must_use]
pub fn log_memberships(distances: Tensor<2>, modalities: usize, temperature: f64) -> Tensor<2> {
    let [rows, clusters] = distances.dims();
    assert!(
        modalities > 0 && rows.is_multiple_of(modalities),
        "{rows} rows are not whole batches of {modalities} modalities"
    );
    let mean = distances
        .reshape([modalities, rows / modalities, clusters])
        .mean_dim(0)
        .squeeze_dim::<2>(0);
    log_softmax(mean.div_scalar(-temperature), 1)
}

/// The sentiment expected of each segment, `[batch]`: the clusters' sentiments weighed by its shares of them.
///
/// `log_memberships` is `[batch, clusters]`, `sentiments` one number a cluster, in label units.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::expected_sentiment;
///
/// let shares = Tensor::<2>::from_data([[0.25, 0.75]], &Device::flex());
/// let expected: f32 = expected_sentiment(shares.log(), &[-3.0, 1.0]).into_scalar();
/// assert!(expected.abs() < 1e-6);
/// ```
///
/// # Panics
///
/// When there is not one sentiment for each cluster.
#[must_use]
pub fn expected_sentiment(log_memberships: Tensor<2>, sentiments: &[f32]) -> Tensor<1> {
    let device = log_memberships.device();
    let sentiments = TensorData::new(sentiments.to_vec(), [1, sentiments.len()]);
    let sentiments = Tensor::<2>::from_data(sentiments, &device);
    (log_memberships.exp() * sentiments)
        .sum_dim(1)
        .squeeze_dim::<1>(1)
}
