//! Safetensors files: tensors by name, read and written whole.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use safetensors::{SafeTensorError, serialize};

use crate::error::LearnerError;
use crate::files;

/// The tensors of a safetensors file, such as those of a run's `geometry/`.
#[derive(Clone, Debug, Default)]
pub struct TensorFile {
    /// What the file says besides.
    pub(crate) metadata: HashMap<String, String>,
    tensors: BTreeMap<String, StoredTensor>,
}

/// A tensor as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no safetensors file.
    pub fn read(path: &Path) -> Result<Self, LearnerError> {
        let bytes = std::fs::read(path).map_err(|e| LearnerError::io("read", path, e))?;
        Self::parse(&bytes)
            .map_err(|e| LearnerError::format(path, format!("not a safetensors file: {e}")))
    }

    /// Reads the bytes of a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SafeTensorError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        let stored = |view: TensorView<'_>| StoredTensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        let tensors = file
            .iter()
            .map(|(name, view)| (name.to_owned(), stored(view)));
        Ok(Self {
            metadata: header.metadata().clone().unwrap_or_default(),
            tensors: tensors.collect(),
        })
    }

    /// Shape and numbers of a tensor of F32; none where there is no such tensor.
    pub fn floats(&self, name: &str) -> Option<(&[usize], Vec<f32>)> {
        let tensor = self.get(name)?;
        Some((&tensor.shape, tensor.floats()?))
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The first tensor of F32 with a number that is NaN or beyond `largest`, and that number.
    pub(crate) fn beyond(&self, largest: f32) -> Option<(&str, f32)> {
        self.tensors.iter().find_map(|(name, tensor)| {
            let values = tensor.floats()?;
            let found = values.iter().find(|v| v.is_nan() || v.abs() > largest)?;
            Some((name.as_str(), *found))
        })
    }

    /// A tensor.
    pub(crate) fn get(&self, name: &str) -> Option<&StoredTensor> {
        self.tensors.get(name)
    }

    /// Adds a tensor of F32.
    pub(crate) fn add_floats(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = f32>,
    ) {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.add(name, Dtype::F32, shape, bytes);
    }

    /// Adds a tensor of any type, given as its little-endian bytes.
    pub(crate) fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) {
        let shape = shape.to_vec();
        let tensor = StoredTensor {
            dtype,
            shape,
            bytes,
        };
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// As [`files::write`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), LearnerError> {
        let internal = |e: SafeTensorError| LearnerError::Internal(e.to_string());
        let mut views = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
            views.push((name, view.map_err(internal)?));
        }
        let metadata = Some(self.metadata.clone()).filter(|metadata| !metadata.is_empty());
        files::write(path, &serialize(views, metadata).map_err(internal)?)
    }
}

impl StoredTensor {
    /// The elements' bytes, little-endian.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The numbers of a tensor of F32; none of another type.
    pub(crate) fn floats(&self) -> Option<Vec<f32>> {
        (self.dtype == Dtype::F32).then(|| self.words(f32::from_le_bytes))
    }

    /// The elements, each of `N` bytes.
    pub(crate) fn words<const N: usize, T>(&self, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let words = self.bytes.as_chunks().0.iter();
        words.map(|word| read(*word)).collect()
    }
}
