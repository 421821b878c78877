//! What is read from a device to the host: by one function, so that it can be counted.

use std::cell::Cell;

use burn::tensor::Tensor;

use crate::MetricError;

thread_local! {
    static READS: Cell<u64> = const { Cell::new(0) };
}

/// Reads a tensor to the host, row-major. `what` names it in the error.
///
/// A read waits until the device has computed all that the tensor depends on.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::host;
///
/// let before = host::reads();
/// let tensor = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
/// assert_eq!(host::read("numbers", tensor)?, [1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(host::reads(), before + 1);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// [`MetricError::Read`] when the device does not hand out the values.
pub fn read<const D: usize>(
    what: &'static str,
    tensor: Tensor<D>,
) -> Result<Vec<f32>, MetricError> {
    READS.set(READS.get() + 1);
    tensor
        .try_into_vec_as::<f32>()
        .map_err(|error| MetricError::Read {
            what,
            message: error.to_string(),
        })
}

/// How often this thread has read from a device.
#[must_use]
pub fn reads() -> u64 {
    READS.get()
}
