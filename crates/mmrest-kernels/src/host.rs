//! Reads tensors from their device to the host.

use std::cell::Cell;

use burn::tensor::Tensor;

thread_local! {
    static READS: Cell<u64> = const { Cell::new(0) };
}

/// The values of a tensor could not be read from its device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("reading the {what} from the device: {message}")]
pub struct ReadError {
    /// Which tensor.
    pub what: &'static str,
    /// What the device said.
    pub message: String,
}

/// Reads a tensor to the host, row-major. `what` names it in the error.
///
/// A read waits until the device has computed all that the tensor depends on.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_kernels::host;
///
/// let tensor = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
/// assert_eq!(host::read("numbers", tensor)?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), mmrest_kernels::host::ReadError>(())
/// ```
///
/// # Errors
///
/// [`ReadError`] when the device does not hand out the values.
pub fn read<const D: usize>(what: &'static str, tensor: Tensor<D>) -> Result<Vec<f32>, ReadError> {
    READS.set(READS.get() + 1);
    tensor.try_into_vec_as::<f32>().map_err(|error| ReadError {
        what,
        message: error.to_string(),
    })
}

/// How often this thread has read from a device: for tests, because every read stalls a GPU.
#[doc(hidden)]
#[must_use]
pub fn reads() -> u64 {
    READS.get()
}
