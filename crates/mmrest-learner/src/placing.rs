//! Rows among clusters: one read from the device gives the host all that it wants to know of them.

use burn::tensor::Tensor;
use mmrest_kernels::host;
use mmrest_metric::{Clusters, MetricError, MultiMetric};
use mmrest_pdlf::{Projection, cluster_distances, projection_from_distances};

use crate::error::LearnerError;

/// Rows that are placed among clusters.
pub(crate) struct Placed {
    /// Where they lie.
    pub projection: Projection,
    /// The rows themselves, on the host.
    pub rows: Vec<f32>,
}

impl Placed {
    /// Places `rows`, `[rows, dim]`.
    ///
    /// # Errors
    ///
    /// Rows, clusters and metrics do not fit together, or the device cannot be read.
    pub(crate) fn new(
        rows: Tensor<2>,
        clusters: &Clusters,
        metric: &MultiMetric,
    ) -> Result<Self, LearnerError> {
        let [count, dim] = rows.dims();
        let measured = cluster_distances(rows.clone(), clusters, metric)?;
        let both = Tensor::cat(vec![rows.clone().inner(), measured.inner()], 1);
        let both = host::read("representations", both).map_err(MetricError::from)?;
        let mut values = Vec::with_capacity(count * dim);
        let mut distances = Vec::with_capacity(count * clusters.len());
        for row in both.chunks_exact(dim + clusters.len()) {
            let (row, measured) = row.split_at(dim);
            values.extend_from_slice(row);
            distances.extend_from_slice(measured);
        }
        Ok(Self {
            projection: projection_from_distances(rows, clusters, metric, distances)?,
            rows: values,
        })
    }
}
