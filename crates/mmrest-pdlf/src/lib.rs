#![doc = include_str!("../README.md")]

mod dropout;
mod error;
mod fusion;
mod projection;

pub use error::PdlfError;
pub use fusion::{Fusion, FusionConfig};
pub use projection::{
    Projection, mean_over_modalities, measure, place, projection, try_projection,
};
