#![doc = include_str!("../README.md")]

mod adam;
mod bins;
mod clusters;
mod cpu;
mod distance;
mod error;
pub mod host;
pub mod kmeans;
mod loss;
mod memberships;
mod metric;
pub mod overlap;
mod pairs;
mod psd;
mod rows;

pub use adam::{PsdAdam, PsdAdamConfig, PsdAdamState};
pub use bins::{BinEdge, EdgeRule, EdgeSide, SentimentBins};
pub use clusters::{Clusters, ReceptiveField, assign, receptive_fields, vote};
pub use distance::distances;
pub use error::MetricError;
pub use kmeans::{KMeans, KMeansConfig, KMeansError, KMeansFit, WarmFit};
pub use loss::{MmcLoss, MmcLossConfig, OrdinalLossConfig, ordinal_shares};
pub use memberships::{expected_sentiment, log_memberships};
pub use metric::{MultiMetric, MultiMetricConfig};
pub use pairs::{mean_laplacian, signed_laplacian};
pub use psd::{eigenvalues_f64, factor_psd_f64, min_eigenvalues_f64, project_psd_f64};
pub use rows::Rows;
