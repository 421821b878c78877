//! What can go wrong in training, evaluation and prediction.

use std::path::{Path, PathBuf};

use burn::data::dataset::DatasetError;
use mmrest_data::DataError;
use mmrest_encoders::EncoderError;
use mmrest_metric::MetricError;
use mmrest_pdlf::PdlfError;
use thiserror::Error;

/// An error of this crate. Its `Display` is one sentence that names file, key or id, and says what to do.
#[derive(Debug, Error)]
pub enum LearnerError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A configuration has an unknown key or a bad value.
    #[error("{}: {message}", path.display())]
    Config {
        /// The TOML file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A run folder, model folder or golden folder is not what it should be.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// The data could not be loaded.
    #[error(transparent)]
    Data(DataError),
    /// The text encoder could not be loaded or used.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// Clusters or metrics got input they cannot work with.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Rows could not be placed among the clusters.
    #[error(transparent)]
    Placing(#[from] PdlfError),
    /// A batch could not be read while training or evaluating.
    #[error(transparent)]
    Loading(#[from] DatasetError),
    /// The device that was asked for is not there.
    #[error("{0}")]
    Device(String),
    /// A step could not be taken because of another device's part of it.
    #[error("{0}")]
    Elsewhere(String),
    /// Another program is at work in a folder.
    #[error("{} is being worked on by another program: wait for it, or choose another folder", .0.display())]
    Busy(PathBuf),
    /// What is said to have changed cannot, or is no key.
    #[error("{0}")]
    Changes(String),
    /// Training had to stop.
    #[error("training stopped: {0}")]
    Training(String),
    /// Somebody asked to stop; what was done is kept.
    #[error("interrupted")]
    Interrupted,
    /// What cannot happen unless this program is wrong.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl From<DataError> for LearnerError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Stopped => Self::Interrupted,
            other => Self::Data(other),
        }
    }
}

impl LearnerError {
    /// An input/output error with its path.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// A file that is not what it should be.
    pub fn format(path: &Path, message: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_path_buf(),
            message: message.into(),
        }
    }
}
