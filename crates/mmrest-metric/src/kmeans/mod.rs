//! k-means: greedy k-means++ starts, Lloyd's iterations, the best of several restarts.
//!
//! A start draws k rows, each far from those before it; then rows are assigned to their nearest centre and centres move
//! to the mean of their rows, until they come to rest. With n rows of d numbers, r restarts and i iterations that takes
//! about `3 r i n k d` operations. The result depends on the rows and the seed alone, not on the number of threads.

mod algorithm;
mod hyperparams;
mod init;

pub use algorithm::{KMeansFit, WarmFit};
pub use hyperparams::{KMeans, KMeansConfig, KMeansError};
