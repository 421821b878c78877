//! Errors.

use std::io;
use std::path::{Path, PathBuf};

use mmrest_data::Modality;

/// What can go wrong with a recording, a transcript or a table of features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A recording in a container or codec that is not read here, nor by an installed `ffmpeg`.
    #[error("{}: {reason}; install ffmpeg, which reads it, or convert the file to wav, flac, mp3, ogg or m4a (AAC-LC)", path.display())]
    Unsupported {
        /// The recording.
        path: PathBuf,
        /// What is not read.
        reason: String,
    },
    /// A recording without sound.
    #[error("{}: the recording has no audio track", path.display())]
    NoAudio {
        /// The recording.
        path: PathBuf,
    },
    /// A recording that cannot be decoded.
    #[error("{}: {reason}", path.display())]
    Recording {
        /// The recording.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A transcript or table that cannot be read.
    #[error("{}: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there is one.
        reason: String,
    },
    /// Features that a model was trained on, of which no extraction is remembered.
    #[error(
        "the model's {modality} features{} were not extracted from recordings, as far as it remembers, so that none can be \
         computed of another recording: train on a folder of extracted features, or without {modality}",
        file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default()
    )]
    UnknownOrigin {
        /// Vision or audio.
        modality: Modality,
        /// The file of the model's data.
        file: Option<String>,
    },
}

/// The result of an operation on media.
pub type Result<T> = std::result::Result<T, MediaError>;

impl MediaError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn recording(path: &Path, reason: impl Into<String>) -> Self {
        Self::Recording {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    pub(crate) fn text(path: &Path, reason: impl Into<String>) -> Self {
        Self::Text {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }
}
