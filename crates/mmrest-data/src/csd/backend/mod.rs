//! HDF5 libraries that computational sequences are read with, behind one interface.

mod lzf;
#[cfg(feature = "libhdf5")]
mod native;
mod pure;

use std::path::Path;

/// A dataset beyond this many bytes is corrupt: COVAREP of an hour of video has a tenth of it.
const MAX_READ_BYTES: usize = 1 << 30;

/// What a dataset may take whatever the size of its file: an hour of anything compresses well where nothing happens.
const MIN_READ_BYTES: usize = 96 << 20;

/// How many times its file's size a dataset may take beyond that. gzip could make a thousand; features compress to a half.
const EXPANSION: usize = 32;

/// The most bytes that the datasets of a file may take together: sizes in a file are believed as far as its own goes.
fn most_bytes(path: &Path) -> Result<usize, Fault> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    let length = usize::try_from(about.len()).unwrap_or(usize::MAX);
    Ok(MIN_READ_BYTES.saturating_add(length.saturating_mul(EXPANSION)))
}

/// The bytes of `count` elements of `size` bytes each; refuses more than `most`.
fn check_size(count: u64, size: usize, most: usize) -> Result<usize, Fault> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    match count.checked_mul(size) {
        Some(bytes) if bytes <= most => Ok(bytes),
        _ => Err(format!(
            "{count} elements of {size} bytes, more than the {most} bytes that a file of this size can hold"
        )),
    }
}

/// Which HDF5 library reads the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// Pure Rust: nothing to install, and a corrupt file cannot crash it. Knows every layout and filter that
    /// computational sequences are found with. The default without the feature `libhdf5`.
    #[cfg_attr(not(feature = "libhdf5"), default)]
    Rust,
    /// The system's libhdf5, with whatever filters it was built with. The default with the feature.
    #[cfg(feature = "libhdf5")]
    #[default]
    LibHdf5,
}

impl Backend {
    /// All that this build holds.
    pub const ALL: &'static [Self] = &[
        Self::Rust,
        #[cfg(feature = "libhdf5")]
        Self::LibHdf5,
    ];

    pub(super) fn open(self, path: &Path) -> Result<Box<dyn Source>, Fault> {
        match self {
            Self::Rust => Ok(Box::new(pure::File::open(path)?)),
            #[cfg(feature = "libhdf5")]
            Self::LibHdf5 => Ok(Box::new(native::File::open(path)?)),
        }
    }
}

/// A library's reason for refusing; the caller adds path and object.
pub(super) type Fault = String;

/// An open HDF5 file. Object paths are absolute (`/root/data`).
pub(super) trait Source: Send + Sync {
    /// Names of the groups and of the datasets directly below `group`, in the library's order.
    fn members(&self, group: &str) -> Result<Members, Fault>;

    /// A whole dataset.
    fn read(&self, dataset: &str) -> Result<Array, Fault>;
}

/// What is directly below a group.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) groups: Vec<String>,
    pub(super) datasets: Vec<String>,
}

/// A dataset in memory, row-major.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Elements; integers and small floats become `F64`, every kind of string `Text`.
#[derive(Debug)]
pub(super) enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Text(Vec<String>),
}

impl Values {
    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(values.as_slice()),
            Self::F64(values) => size_of_val(values.as_slice()),
            Self::Text(words) => words
                .iter()
                .map(|word| size_of::<String>() + word.len())
                .sum(),
        }
    }
}

/// Text up to its padding. Fixed-length words are cut at a byte count by their writers, possibly inside a character:
/// what is no UTF-8 is replaced, not refused.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}
