//! One Mahalanobis metric: on slices, learned from labelled rows, and as a module of burn.

mod fit;
mod matrix;
#[cfg(feature = "burn")]
mod module;

pub use fit::MahalanobisConfig;
pub use matrix::MahalanobisMatrix;
#[cfg(feature = "burn")]
pub use module::Mahalanobis;
