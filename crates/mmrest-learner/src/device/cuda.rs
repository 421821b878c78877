//! NVIDIA's GPUs.

use std::panic::catch_unwind;

use burn::tensor::{Device, DeviceType};

use super::{Adapter, Backend, OpenDevice, no_such_device};
use crate::error::LearnerError;

/// Opens GPU `index`, in the driver's order.
pub(super) fn open(index: usize) -> Result<OpenDevice, LearnerError> {
    // burn's loader panics where there is no libcuda.
    let found = catch_unwind(|| Device::enumerate(DeviceType::Cuda).into_vec()).unwrap_or_default();
    if found.is_empty() {
        return Err(LearnerError::Device(
            "no CUDA device found: install NVIDIA's driver (libcuda.so), or use the cpu backend"
                .into(),
        ));
    }
    let device = found.get(index).cloned().ok_or_else(|| {
        let names: Vec<String> = found.iter().map(|_| "CUDA".to_string()).collect();
        no_such_device(Backend::Cuda, index, &names)
    })?;
    let identity = catch_unwind(|| device.identity()).map_err(|_| {
        LearnerError::Device(format!(
            "CUDA device {index} cannot be opened: look at nvidia-smi, or use the cpu backend"
        ))
    })?;
    let adapter = identity.map(|identity| Adapter {
        name: identity.name,
        api: "cuda".into(),
        driver: String::new(),
        software: false,
    });
    Ok(OpenDevice { device, adapter })
}
