//! What one metric and several have in common: their matrices are read from the device in one transfer, decomposed on the
//! host, and written back. All functions take `[dim, dim]` or `[count, dim, dim]`.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use mmrest_kernels::host;

use super::{min_eigenvalues_f64, project_psd_f64};
use crate::MetricError;

/// The values in one transfer; `what` names the matrices in the error.
pub(crate) fn read<const D: usize>(
    what: &'static str,
    matrices: Tensor<D>,
) -> Result<Vec<f64>, MetricError> {
    let values = host::read(what, matrices.detach())?;
    Ok(values.into_iter().map(f64::from).collect())
}

/// Whether no matrix has an eigenvalue below `-tolerance`.
pub(crate) fn are_psd<const D: usize>(
    what: &'static str,
    matrices: Tensor<D>,
    tolerance: f64,
) -> Result<bool, MetricError> {
    let dim = matrices.dims()[D - 1];
    let smallest = min_eigenvalues_f64(&read(what, matrices)?, dim)?;
    Ok(smallest.iter().all(|&value| value >= -tolerance))
}

/// The nearest symmetric PSD matrices, as constants on the same device.
pub(crate) fn projected<const D: usize>(
    what: &'static str,
    matrices: Tensor<D>,
) -> Result<Tensor<D>, MetricError> {
    let mut values = read(what, matrices.clone())?;
    project_psd_f64(&mut values, matrices.dims()[D - 1])?;
    Ok(like(&matrices, &values))
}

/// Constants of the shape and on the device of another tensor.
pub(crate) fn like<const D: usize>(tensor: &Tensor<D>, values: &[f64]) -> Tensor<D> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, tensor.dims()), &tensor.device())
}

/// The parameter with another value: same id, same gradient requirement.
pub(crate) fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let require_grad = old.is_require_grad();
        value.detach().set_require_grad(require_grad)
    })
}
