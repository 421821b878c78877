//! What can go wrong in a model.

use mmrest_encoders::EncoderError;
use mmrest_kernels::host::ReadError;
use mmrest_metric::MetricError;
use mmrest_pdlf::PdlfError;
use thiserror::Error;

/// An error of a model. Its `Display` is one sentence.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The text encoder could not be used.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A device could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Clusters or metrics got input they cannot work with.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Rows could not be placed among the clusters.
    #[error(transparent)]
    Projection(#[from] PdlfError),
    /// The configuration does not fit the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value that must be finite is not, outside a training step.
    #[error("{0}")]
    NonFinite(String),
    /// A step could not be taken because of another device's part of it.
    #[error("{0}")]
    OtherPart(String),
    /// The next batch could not be had.
    #[error(transparent)]
    Batch(Box<dyn std::error::Error + Send + Sync>),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A mistake in this program.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

/// A value of a configuration that cannot be used: a sentence that names the key, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl From<String> for ConfigError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl ConfigError {
    /// Requires `value` to be at least 1.
    ///
    /// # Errors
    ///
    /// It is 0.
    pub fn positive(key: &str, value: usize) -> Result<(), Self> {
        if value == 0 {
            return Err(Self(format!("{key} must be at least 1, found 0")));
        }
        Ok(())
    }

    /// Requires `value` to be a finite number that is not negative.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn at_least_zero(key: &str, value: f64) -> Result<(), Self> {
        if value.is_finite() && value >= 0.0 {
            return Ok(());
        }
        Err(Self(format!("{key} must be a number >= 0, found {value}")))
    }

    /// Requires `value` to be a finite number above 0.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn above_zero(key: &str, value: f64) -> Result<(), Self> {
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(Self(format!("{key} must be a number > 0, found {value}")))
    }

    /// Requires `value` to lie in [0, 1).
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn fraction(key: &str, value: f64) -> Result<(), Self> {
        if (0.0..1.0).contains(&value) {
            return Ok(());
        }
        Err(Self(format!("{key} must be in [0, 1), found {value}")))
    }
}
