//! k-means: k-means++ starts, Lloyd's iterations, the best of several restarts.
//!
//! The result depends on the rows and the seed alone, not on how many threads there are.

mod algorithm;
mod hyperparams;
mod init;

pub use algorithm::{KMeansFit, WarmFit};
pub use hyperparams::{KMeans, KMeansConfig, KMeansError};
