#![doc = include_str!("../README.md")]

mod fusion;
mod projection;

pub use fusion::{Fusion, FusionConfig};
use mmrest_metric::MetricError;
pub use projection::{
    Projection, cluster_distances, mean_over_modalities, projection, projection_from_distances,
};

/// Why a bias or a fusion was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PdlfError {
    /// Two things that live in the same space have different widths.
    #[error("the {what} are {found} wide, the rows {expected}")]
    Width {
        /// What does not fit the rows.
        what: &'static str,
        /// Its width.
        found: usize,
        /// The rows' width.
        expected: usize,
    },

    /// Clusters that do not hold together, or name a local metric that is not there.
    #[error("the clusters cannot be used: {0}")]
    Clusters(#[from] MetricError),

    /// The distances could not be read from the device.
    #[error(
        "reading the distances of {rows} rows to {clusters} clusters from the device: {message}"
    )]
    Read {
        /// How many rows.
        rows: usize,
        /// How many clusters.
        clusters: usize,
        /// What the device said.
        message: String,
    },

    /// A fusion of no modality at all.
    #[error("a fusion needs at least one modality: text, vision and audio are all 0 wide")]
    NoModality,

    /// A layer without any width.
    #[error("the fusion's `{name}` is 0; it must be at least 1")]
    EmptyLayer {
        /// The field of the configuration.
        name: &'static str,
    },

    /// A dropout that is no probability below 1.
    #[error("the fusion's `dropout` is {0}; it must be at least 0 and below 1")]
    Dropout(f64),
}
