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
mod metric;
mod pairs;
mod psd;
mod rows;

pub use adam::{PsdAdam, PsdAdamConfig, PsdAdamState};
pub use bins::{BinEdge, EdgeRule, EdgeSide, SentimentBins};
pub use clusters::{Clusters, ReceptiveField, assign, receptive_fields, vote};
pub use distance::distances;
pub use error::MetricError;
pub use kmeans::{KMeans, KMeansConfig, KMeansError, KMeansFit, WarmFit};
pub use loss::{MmcLoss, MmcLossConfig};
pub use metric::{MultiMetric, MultiMetricConfig};
pub use pairs::signed_laplacian;
pub use psd::{factor_psd_f64, min_eigenvalues_f64, project_psd_f64};
pub use rows::Rows;
