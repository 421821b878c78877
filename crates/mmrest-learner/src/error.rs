//! What can go wrong in training, evaluation and prediction.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use mmrest_data::{DataError, Split};
use mmrest_encoders::EncoderError;
use mmrest_kernels::host::{self, ReadError};
use mmrest_metric::MetricError;
use mmrest_models::{ConfigError, ModelError};
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
    /// A value that was given besides the file has an unknown key, or is bad.
    #[error("the value given for {key}: {message}")]
    Override {
        /// Its dotted key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// The folder of the text encoder is not there.
    #[error("{}: there is no such folder; text.bert leads there", .0.display())]
    NoBertFolder(PathBuf),
    /// The folder of the text encoder has none of its files.
    #[error("{}: is no BERT: it holds neither config.json nor a vocabulary nor weights", .0.display())]
    NotBert(PathBuf),
    /// A split without segments was to be evaluated.
    #[error("{}: has no segment in the {split} split: choose another", folder.display())]
    EmptySplit {
        /// The folder of the data.
        folder: PathBuf,
        /// The split.
        split: Split,
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
    /// A device could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Clusters or metrics got input they cannot work with.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The model could not be built, or not compute.
    #[error(transparent)]
    Model(ModelError),
    /// A model was to be exported as a graph that has none.
    #[error("{model} has no ONNX graph; these models have one: {}", known.join(", "))]
    NoGraph {
        /// The model's name.
        model: &'static str,
        /// The models that have a graph.
        known: Vec<&'static str>,
    },
    /// The device that was asked for is not there.
    #[error("{0}")]
    Device(String),
    /// The program was built without a backend, which is a cargo feature of that name.
    #[error("built without the backend {0}, which is a cargo feature")]
    BackendAbsent(&'static str),
    /// A new run was asked for in a folder that has one.
    #[error("{}: already holds a run: resume it, or choose another folder", .0.display())]
    RunExists(PathBuf),
    /// A run was resumed with another configuration than its own.
    #[error("{}: is not the configuration given now ({difference}): resume with the run's own, or start a new run", path.display())]
    ConfigChanged {
        /// The run's configuration.
        path: PathBuf,
        /// The key, with both values.
        difference: String,
        /// The key, where a run may be resumed with another value of it.
        acceptable: Option<String>,
    },
    /// A run was resumed with other data than it began with.
    #[error("{}: is not among the files this run began with, or not the same (another SHA-256): restore it, or start a new run", path.display())]
    DataChanged {
        /// The file that is another.
        path: PathBuf,
    },
    /// A run's model was asked about data of the run that are not what it was trained on.
    #[error("{}: is not among the files the model was trained on, or not the same (another SHA-256): restore it", path.display())]
    OtherData {
        /// The file that is another.
        path: PathBuf,
    },
    /// A run was resumed for fewer epochs than it has.
    #[error("{}: has {done} epochs already, {asked} are fewer: ask for more, or for none", folder.display())]
    FewerEpochs {
        /// The run's folder.
        folder: PathBuf,
        /// Epochs it has.
        done: usize,
        /// Epochs asked for.
        asked: usize,
    },
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

impl From<ModelError> for LearnerError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Interrupted => Self::Interrupted,
            ModelError::Read(error) => Self::Read(error),
            ModelError::Encoder(error) => Self::Encoder(error),
            ModelError::Metric(error) => Self::Metric(error),
            ModelError::Batch(error) => match error.downcast() {
                Ok(own) => *own,
                Err(error) => Self::Model(ModelError::Batch(error)),
            },
            other => Self::Model(other),
        }
    }
}

/// A batch's error on its way through a model.
pub(crate) fn batch_error(error: LearnerError) -> ModelError {
    match error {
        LearnerError::Interrupted => ModelError::Interrupted,
        other => ModelError::Batch(Box::new(other)),
    }
}

/// Reads a tensor to the host, row-major.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, LearnerError> {
    Ok(host::read("values", tensor)?)
}

impl LearnerError {
    /// A configuration that cannot be used.
    pub(crate) fn config(path: &Path, error: ConfigError) -> Self {
        Self::Config {
            path: path.to_path_buf(),
            message: error.to_string(),
        }
    }

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
