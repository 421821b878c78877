//! Tensors of a safetensors file: read with names, shapes and values checked, written whole.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use safetensors::tensor::Dtype;
use serde::de::DeserializeOwned;

use super::Folders;
use crate::error::{LearnerError, to_host};
use crate::tensor_file::{StoredTensor, TensorFile};

/// The tensors of an input file.
///
/// Where a shape is asked for, further axes of size 1 at the end do not count: `[50, 64, 1]` is as good as `[50, 64]`.
pub(super) struct Inputs {
    path: PathBuf,
    file: TensorFile,
}

impl Inputs {
    /// Reads a file of the input folder.
    pub(super) fn open(folders: &Folders<'_>, name: &str) -> Result<Self, LearnerError> {
        let path = folders.input.join(name);
        let file = TensorFile::read(&path)?;
        Ok(Self { path, file })
    }

    /// An error about this file.
    pub(super) fn wrong(&self, message: impl ToString) -> LearnerError {
        LearnerError::format(&self.path, message.to_string())
    }

    /// An error about one of its tensors.
    pub(super) fn wrong_tensor(&self, name: &str, message: &str) -> LearnerError {
        self.wrong(format!("tensor '{name}' {message}"))
    }

    /// A tensor's shape as it is stored.
    pub(super) fn shape(&self, name: &str) -> Result<&[usize], LearnerError> {
        Ok(&self.stored(name)?.shape)
    }

    /// A tensor's shape, of `D` axes.
    pub(super) fn dims<const D: usize>(&self, name: &str) -> Result<[usize; D], LearnerError> {
        let shape = self.shape(name)?;
        shape
            .split_first_chunk()
            .filter(|(_, rest)| rest.iter().all(|&size| size == 1))
            .map(|(dims, _)| *dims)
            .ok_or_else(|| {
                self.wrong_tensor(name, &format!("has shape {shape:?}, expected {D} axes"))
            })
    }

    /// What the metadata say of a case, as JSON.
    pub(super) fn about<T: DeserializeOwned>(&self, case: &str) -> Result<T, LearnerError> {
        let found = self.file.metadata.get(case);
        let json =
            found.ok_or_else(|| self.wrong(format!("its metadata have no case '{case}'")))?;
        serde_json::from_str(json).map_err(|e| self.wrong(format!("case '{case}': {e}")))
    }

    /// A tensor's numbers, all finite, whatever its shape.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>, LearnerError> {
        let stored = self.stored(name)?;
        self.finite(name, stored)
    }

    /// A tensor of whole numbers that are not negative, whatever its shape.
    pub(super) fn list(&self, name: &str) -> Result<Vec<usize>, LearnerError> {
        let values = integers(self.stored(name)?).unwrap_or_default().into_iter();
        let values = values.map(usize::try_from).collect::<Result<Vec<_>, _>>();
        match values {
            Ok(values) if !values.is_empty() => Ok(values),
            _ => Err(self.wrong_tensor(name, "is no list of whole numbers >= 0")),
        }
    }

    /// A tensor of whatever sizes it has, on a device.
    pub(super) fn any<const D: usize>(
        &self,
        name: &str,
        device: &Device,
    ) -> Result<Tensor<D>, LearnerError> {
        self.tensor(name, self.dims(name)?, device)
    }

    /// A tensor's numbers, all finite.
    pub(super) fn floats<const D: usize>(
        &self,
        name: &str,
        dims: [usize; D],
    ) -> Result<Vec<f32>, LearnerError> {
        self.check_dims(name, dims)?;
        self.finite(name, self.stored(name)?)
    }

    fn finite(&self, name: &str, stored: &StoredTensor) -> Result<Vec<f32>, LearnerError> {
        let values = match (stored.dtype, integers(stored)) {
            (Dtype::F32, _) => stored.words(f32::from_le_bytes),
            (Dtype::F64, _) => stored.words(|word| f64::from_le_bytes(word) as f32),
            (_, Some(values)) => values.into_iter().map(|value| value as f32).collect(),
            (dtype, None) => {
                return Err(self.wrong_tensor(name, &format!("is of type {dtype:?}, expected F32")));
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => Err(self.wrong_tensor(name, &format!("is {} at place {at}", values[at]))),
        }
    }

    /// A tensor on a device.
    pub(super) fn tensor<const D: usize>(
        &self,
        name: &str,
        dims: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, LearnerError> {
        let data = TensorData::new(self.floats(name, dims)?, dims);
        Ok(Tensor::from_data(data, device))
    }

    /// A list of `count` indices, each below `below`.
    pub(super) fn indices(
        &self,
        name: &str,
        count: usize,
        below: usize,
    ) -> Result<Vec<usize>, LearnerError> {
        self.check_dims(name, [count])?;
        let Some(values) = integers(self.stored(name)?) else {
            return Err(self.wrong_tensor(name, "holds no integers, expected I64"));
        };
        let index = |&value: &i64| {
            usize::try_from(value)
                .ok()
                .filter(|&index| index < below)
                .ok_or_else(|| {
                    let message = format!("holds {value}, expected indices from 0 below {below}");
                    self.wrong_tensor(name, &message)
                })
        };
        values.iter().map(index).collect()
    }

    fn check_dims<const D: usize>(&self, name: &str, dims: [usize; D]) -> Result<(), LearnerError> {
        if self.dims(name)? == dims {
            Ok(())
        } else {
            let shape = self.shape(name)?;
            let message = format!("has shape {shape:?}, expected {dims:?}");
            Err(self.wrong_tensor(name, &message))
        }
    }

    fn stored(&self, name: &str) -> Result<&StoredTensor, LearnerError> {
        let found = self.file.get(name);
        found.ok_or_else(|| self.wrong_tensor(name, "is missing"))
    }
}

/// The numbers of a tensor of integers.
fn integers(stored: &StoredTensor) -> Option<Vec<i64>> {
    match stored.dtype {
        Dtype::I32 => Some(stored.words(|word| i32::from_le_bytes(word).into())),
        Dtype::I64 => Some(stored.words(i64::from_le_bytes)),
        _ => None,
    }
}

/// The tensors of a file to be written.
#[derive(Default)]
pub(super) struct Results(TensorFile);

impl Results {
    /// Adds F32 numbers.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.0.add_floats(name, shape, values.iter().copied());
    }

    /// Adds I64 numbers.
    pub(super) fn integers(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = i64>,
    ) {
        let bytes = values.into_iter().flat_map(i64::to_le_bytes);
        self.0.add(name, Dtype::I64, shape, bytes.collect());
    }

    /// Adds one F64 number, of shape `[1]`.
    pub(super) fn double(&mut self, name: &str, value: f64) {
        self.0
            .add(name, Dtype::F64, &[1], value.to_le_bytes().to_vec());
    }

    /// Adds the only value of a tensor as F64.
    pub(super) fn scalar(&mut self, name: &str, tensor: Tensor<1>) -> Result<(), LearnerError> {
        let value: f32 = to_host(tensor)?.into_iter().sum();
        self.double(name, value.into());
        Ok(())
    }

    /// Adds a tensor under the shape it has.
    pub(super) fn tensor<const D: usize>(
        &mut self,
        name: &str,
        tensor: Tensor<D>,
    ) -> Result<(), LearnerError> {
        let shape = tensor.dims();
        self.floats(name, &shape, &to_host(tensor)?);
        Ok(())
    }

    /// Adds the gradient of a tensor, zeros where nothing flowed to it.
    pub(super) fn gradient<const D: usize>(
        &mut self,
        name: &str,
        of: &Tensor<D>,
        gradients: &Gradients,
    ) -> Result<(), LearnerError> {
        self.tensor(name, gradient(of, gradients))
    }

    /// Writes the file into the output folder.
    pub(super) fn write(
        self,
        folders: &Folders<'_>,
        name: impl AsRef<Path>,
    ) -> Result<PathBuf, LearnerError> {
        let path = folders.out.join(name);
        self.0.write(&path)?;
        Ok(path)
    }
}

/// The gradient of a tensor, zeros where nothing flowed to it.
pub(super) fn gradient<const D: usize>(of: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
    of.grad(gradients)
        .unwrap_or_else(|| of.clone().inner().zeros_like())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::default();
        results.floats("weight", &[2, 3, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        results.floats("holed", &[2], &[1.0, f32::NAN]);
        results.integers("bins", &[3], [0, 6, -1]);
        results.double("loss", 0.5);
        let (input, out) = (folder.path(), folder.path());
        results
            .write(&Folders { input, out }, "x.safetensors")
            .unwrap();
        folder
    }

    fn open(folder: &tempfile::TempDir) -> Inputs {
        let (input, out) = (folder.path(), folder.path());
        Inputs::open(&Folders { input, out }, "x.safetensors").unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = folder();
        let inputs = open(&folder);
        assert_eq!(inputs.dims("weight").unwrap(), [2, 3]);
        assert_eq!(inputs.shape("weight").unwrap(), [2, 3, 1]);
        let weight = inputs.tensor("weight", [2, 3], &Device::flex()).unwrap();
        assert_eq!(to_host(weight).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(inputs.floats("loss", [1]).unwrap(), [0.5]);
    }

    #[test]
    fn errors_name_file_and_tensor() {
        let folder = folder();
        let inputs = open(&folder);
        let cases = [
            (inputs.floats("bias", [3]).unwrap_err(), "'bias' is missing"),
            (
                inputs.floats("weight", [3, 2]).unwrap_err(),
                "'weight' has shape [2, 3, 1], expected [3, 2]",
            ),
            (
                inputs.dims::<1>("weight").unwrap_err(),
                "'weight' has shape [2, 3, 1], expected 1 axes",
            ),
            (
                inputs.floats("holed", [2]).unwrap_err(),
                "'holed' is NaN at place 1",
            ),
            (inputs.indices("bins", 3, 7).unwrap_err(), "'bins' holds -1"),
            (
                inputs.indices("holed", 2, 7).unwrap_err(),
                "'holed' holds no integers",
            ),
        ];
        for (error, expected) in cases {
            let message = error.to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("x.safetensors"), "{message}");
        }
    }
}
