#![doc = include_str!("../README.md")]

mod adam;
mod bins;
mod clusters;
mod cpu;
mod distance;
mod error;
pub mod host;
mod kmeans;
mod laplacian;
mod loss;
mod mahalanobis;
mod memberships;
mod metric;
mod mining;
mod moments;
pub mod operation;
pub mod overlap;
mod psd;
mod rows;
mod sentiment_clusters;

pub use adam::{PsdAdam, PsdAdamConfig, PsdAdamState};
pub use bins::{BinEdge, EdgeRule, EdgeSide, SentimentBins};
pub use clusters::{Clusters, ReceptiveField, assign, receptive_fields, vote};
pub use distance::distances;
pub use error::MetricError;
pub use kmeans::{KMeans, KMeansConfig, KMeansError, KMeansFit, WarmFit};
pub(crate) use laplacian::{mean_laplacian, signed_laplacian};
pub use loss::{MmcLoss, MmcLossConfig, OrdinalLossConfig, ordinal_shares};
pub use mahalanobis::{Mahalanobis, MahalanobisConfig};
pub use memberships::{expected_sentiment, log_memberships};
pub use metric::{MultiMetric, MultiMetricConfig};
pub use mining::{Hardness, Pairs, Triplet, hard_triplets, pairs, triplets};
pub use moments::{MomentStep, step_in_one_pass, steps_in_one_pass};
pub(crate) use psd::min_eigenvalues_f64;
pub use psd::{eigenvalues_f64, factor_psd_f64, project_psd_f64};
pub use rows::Rows;
