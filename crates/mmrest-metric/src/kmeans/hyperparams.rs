//! Parameters of k-means, checked once, and what is refused.

use serde::{Deserialize, Serialize};

use super::{KMeansFit, WarmFit};
use crate::{MetricError, Rows};

/// What k-means is asked for, as a user writes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansConfig {
    /// How many clusters are wanted; fewer come out when cells stay empty.
    pub clusters: usize,
    /// How many starts are tried; the lowest inertia wins.
    pub restarts: usize,
    /// How many times the centres move at most.
    pub max_iterations: usize,
    /// The centres have come to rest when their squared movement is at most this times the mean variance of a column.
    pub tolerance: f64,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self {
            clusters: 7,
            restarts: 10,
            max_iterations: 100,
            tolerance: 1e-4,
        }
    }
}

impl KMeansConfig {
    /// Parameters that k-means can run with.
    ///
    /// # Errors
    ///
    /// [`KMeansError::Zero`] for a count of 0, [`KMeansError::Tolerance`] for a negative or NaN tolerance.
    pub fn check(self) -> Result<KMeans, KMeansError> {
        let counts = [
            ("clusters", self.clusters),
            ("restarts", self.restarts),
            ("max_iterations", self.max_iterations),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(KMeansError::Zero { name });
            }
        }
        if self.tolerance >= 0.0 {
            Ok(KMeans(self))
        } else {
            Err(KMeansError::Tolerance(self.tolerance))
        }
    }

    /// [`check`](Self::check), then [`KMeans::fit`].
    ///
    /// ```
    /// use mmrest_metric::{KMeansConfig, Rows};
    ///
    /// let values = [0.0, 0.1, 0.2, 9.0, 9.1, 9.2];
    /// let config = KMeansConfig { clusters: 2, ..Default::default() };
    /// let fit = config.fit(Rows::new(&values, 1)?, 42)?;
    /// assert_eq!(fit.labels[0], fit.labels[2]);
    /// assert_ne!(fit.labels[2], fit.labels[3]);
    /// assert!((fit.inertia - 0.04).abs() < 1e-5);
    /// # Ok::<(), mmrest_metric::MetricError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of both, as [`MetricError::KMeans`].
    pub fn fit(&self, rows: Rows<'_>, seed: u64) -> Result<KMeansFit, MetricError> {
        Ok(self.check()?.fit(rows, seed)?)
    }

    /// [`check`](Self::check), then [`KMeans::fit_from`].
    ///
    /// # Errors
    ///
    /// Those of both, as [`MetricError::KMeans`].
    pub fn fit_from(
        &self,
        rows: Rows<'_>,
        initial_centers: &[f32],
    ) -> Result<WarmFit, MetricError> {
        Ok(self.check()?.fit_from(rows, initial_centers)?)
    }
}

/// Checked parameters: every count is at least 1, the tolerance at least 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KMeans(KMeansConfig);

impl KMeans {
    /// The parameters.
    #[must_use]
    pub fn config(&self) -> &KMeansConfig {
        &self.0
    }
}

/// Why k-means could not be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KMeansError {
    /// A count that must be at least one is zero.
    #[error("k-means needs `{name}` of at least 1")]
    Zero {
        /// The parameter.
        name: &'static str,
    },

    /// The tolerance is negative or not a number.
    #[error("k-means needs a `tolerance` of at least 0, not {0}")]
    Tolerance(f64),

    /// There is no row to cluster.
    #[error("k-means was given no rows")]
    NoRows,

    /// The initial centres do not have the rows' width, or there are none.
    #[error("{values} values are not one or more initial centres of width {dim}")]
    InitialCenters {
        /// How many values were given.
        values: usize,
        /// Width of the rows.
        dim: usize,
    },

    /// An initial centre is NaN or infinite somewhere.
    #[error("initial centre {center} is not finite")]
    NonFiniteInitialCenter {
        /// Index of the centre.
        center: usize,
    },
}
