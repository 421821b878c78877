#![doc = include_str!("../README.md")]

mod adam;
mod bins;
mod clusters;
#[cfg(feature = "burn")]
mod distance;
mod error;
mod euclidean;
#[cfg(feature = "burn")]
mod forms;
#[cfg(feature = "burn")]
mod kernel_regression;
mod kmeans;
#[cfg(feature = "burn")]
mod loss;
mod mahalanobis;
mod mining;
#[cfg(feature = "burn")]
mod multi_metric;
pub mod overlap;
mod psd;
mod rows;
mod sentiment_clusters;

pub use adam::PsdAdamConfig;
#[cfg(feature = "burn")]
pub use adam::{PsdAdam, PsdAdamState};
pub use bins::{BinEdge, EdgeRule, EdgeSide, SentimentBins};
pub use clusters::{Clusters, ReceptiveField, assign, receptive_fields, vote};
#[cfg(feature = "burn")]
pub use distance::distances;
pub use error::MetricError;
pub use euclidean::{EuclideanMap, Pca, to_euclidean};
#[cfg(feature = "burn")]
pub use kernel_regression::{KernelRegression, KernelRegressionConfig, ReadySupport, Support};
pub use kmeans::{KMeans, KMeansConfig, KMeansError, KMeansFit, WarmFit};
#[cfg(feature = "burn")]
pub use loss::{MmcLoss, MmcLossConfig, OrdinalLossConfig, ordinal_shares};
#[cfg(feature = "burn")]
pub use mahalanobis::Mahalanobis;
pub use mahalanobis::{MahalanobisConfig, MahalanobisMatrix};
pub use mining::{Hardness, Pairs, Triplet, hard_triplets, pairs, triplets};
#[cfg(feature = "burn")]
pub use multi_metric::{MultiMetric, MultiMetricConfig, expected_sentiment, log_memberships};
pub use psd::{eigenvalues_f64, factor_psd_f64, project_psd_f64};
pub use rows::Rows;
