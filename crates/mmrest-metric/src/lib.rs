#![doc = include_str!("../README.md")]

mod adam;
mod bins;
mod clusters;
mod distance;
mod error;
mod euclidean;
mod forms;
mod kernel_regression;
mod kmeans;
mod loss;
mod mahalanobis;
mod mining;
mod multi_metric;
pub mod overlap;
mod psd;
mod rows;
mod sentiment_clusters;

pub use adam::{PsdAdam, PsdAdamConfig, PsdAdamState};
pub use bins::{BinEdge, EdgeRule, EdgeSide, SentimentBins};
pub use clusters::{Clusters, ReceptiveField, assign, receptive_fields, vote};
pub use distance::distances;
pub use error::MetricError;
pub use euclidean::{EuclideanMap, Pca, to_euclidean};
pub use kernel_regression::{KernelRegression, KernelRegressionConfig, Support};
pub use kmeans::{KMeans, KMeansConfig, KMeansError, KMeansFit, WarmFit};
pub use loss::{MmcLoss, MmcLossConfig, OrdinalLossConfig, ordinal_shares};
pub use mahalanobis::{Mahalanobis, MahalanobisConfig};
pub use mining::{Hardness, Pairs, Triplet, hard_triplets, pairs, triplets};
pub use multi_metric::{MultiMetric, MultiMetricConfig, expected_sentiment, log_memberships};
pub use psd::{eigenvalues_f64, factor_psd_f64, project_psd_f64};
pub use rows::Rows;
