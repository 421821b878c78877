//! What k-means refuses.

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
