//! Errors of this crate.

#[cfg(feature = "burn")]
use mmrest_kernels::host::ReadError;

use crate::kmeans::KMeansError;

/// Why a computation on rows, clusters or metrics was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// The flat values do not make whole rows.
    #[error("{values} values are not whole rows of {dim}")]
    RaggedRows {
        /// How many values were given.
        values: usize,
        /// The width asked for.
        dim: usize,
    },

    /// A row of the data is NaN or infinite somewhere.
    #[error("row {row}, column {column} is {value}, not a finite number")]
    NonFiniteRow {
        /// Index of the row.
        row: usize,
        /// Index inside the row.
        column: usize,
        /// What stands there.
        value: f32,
    },

    /// There is nothing to compute on.
    #[error("there are no {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },

    /// Two lists that go together have different lengths.
    #[error("{what}: {found} given, {expected} expected")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },

    /// An index points past the end.
    #[error("{what} {index} does not exist: there are {len}")]
    Index {
        /// What is indexed.
        what: &'static str,
        /// The index.
        index: usize,
        /// How many there are.
        len: usize,
    },

    /// Bin edges that do not cut the line into intervals.
    #[error("bin edge {index} ({at}) must be finite and larger than the edge before it")]
    BinEdges {
        /// Which edge.
        index: usize,
        /// Where it lies.
        at: f32,
    },

    /// Sentiments of clusters that are not in order.
    #[error(
        "the sentiment of cluster {index} ({at}) must be larger than that of the cluster before it"
    )]
    Sentiments {
        /// Which cluster.
        index: usize,
        /// Its sentiment.
        at: f32,
    },

    /// A centre of a cluster is NaN or infinite somewhere.
    #[error("centre {center}, column {column} is not a finite number")]
    NonFiniteCenter {
        /// Index of the centre.
        center: usize,
        /// Index inside the centre.
        column: usize,
    },

    /// The flat values do not make whole square matrices.
    #[error("{values} values are not whole matrices of {dim} x {dim}")]
    RaggedMatrices {
        /// How many values were given.
        values: usize,
        /// The size asked for.
        dim: usize,
    },

    /// A metric holds NaN or infinity, so it has no eigenvalues.
    #[error("metric {index} holds a number that is not finite")]
    NonFiniteMetric {
        /// Index of the matrix in its batch.
        index: usize,
    },

    /// The eigendecomposition gave up.
    #[error("the eigendecomposition of metric {index} ({dim} x {dim}) did not converge")]
    Eigen {
        /// Index of the matrix in its batch.
        index: usize,
        /// Its size.
        dim: usize,
    },

    /// k-means was asked for something it cannot do.
    #[error(transparent)]
    KMeans(#[from] KMeansError),

    /// A file of a metric could not be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system says, or what is wrong with its content.
        reason: String,
    },

    /// The values of a tensor could not be read from its device.
    #[cfg(feature = "burn")]
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl MetricError {
    /// `Err` unless `found` is `expected`.
    pub(crate) fn check_length(
        what: &'static str,
        found: usize,
        expected: usize,
    ) -> Result<(), Self> {
        if found == expected {
            Ok(())
        } else {
            Err(Self::Length {
                what,
                found,
                expected,
            })
        }
    }

    /// `Err` if one of the indices is `len` or more.
    pub(crate) fn check_indices(
        what: &'static str,
        indices: impl IntoIterator<Item = usize>,
        len: usize,
    ) -> Result<(), Self> {
        match indices.into_iter().find(|&index| index >= len) {
            None => Ok(()),
            Some(index) => Err(Self::Index { what, index, len }),
        }
    }
}
