//! The device a run computes on: chosen by the caller, always passed, never defaulted.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::LearnerError;

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// burn's pure-Rust CPU backend, flex.
    #[default]
    Cpu,
    /// Any GPU with a Vulkan driver (cargo feature `wgpu`).
    Wgpu,
    /// NVIDIA GPUs (cargo feature `cuda`).
    Cuda,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(format!(
                "unknown backend '{other}': choose cpu, wgpu or cuda"
            )),
        }
    }
}

/// Opens device `index` of a backend, without autodiff.
///
/// # Errors
///
/// The program was built without the backend, or the machine has no driver or adapter for it.
pub fn open_device(backend: Backend, index: usize) -> Result<Device, LearnerError> {
    match backend {
        Backend::Cpu if index == 0 => Ok(Device::flex()),
        Backend::Cpu => Err(LearnerError::Device(format!(
            "the cpu backend has one device, 0; found --device {index}"
        ))),
        Backend::Wgpu => open_wgpu(index),
        Backend::Cuda => open_cuda(index),
    }
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu(_: usize) -> Result<Device, LearnerError> {
    Err(built_without("wgpu"))
}

#[cfg(feature = "wgpu")]
fn open_wgpu(index: usize) -> Result<Device, LearnerError> {
    pick(
        burn::tensor::DeviceType::Wgpu,
        index,
        "no GPU adapter found: install a Vulkan driver (Mesa's lavapipe is one in software), or use --backend cpu",
    )
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<Device, LearnerError> {
    Err(built_without("cuda"))
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device, LearnerError> {
    pick(
        burn::tensor::DeviceType::Cuda,
        index,
        "no CUDA driver or device found (libcuda.so): install NVIDIA's driver, or use --backend cpu",
    )
}

/// Device `index` of a kind; `none` is what to say where there is none. Some drivers panic when they are missing.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn pick(kind: burn::tensor::DeviceType, index: usize, none: &str) -> Result<Device, LearnerError> {
    let found = std::panic::catch_unwind(|| Device::enumerate(kind).into_vec()).unwrap_or_default();
    let count = found.len();
    found.into_iter().nth(index).ok_or_else(|| {
        LearnerError::Device(match count {
            0 => none.to_string(),
            _ => format!(
                "this machine has {count} such device(s), numbered from 0; found --device {index}"
            ),
        })
    })
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn built_without(feature: &str) -> LearnerError {
    LearnerError::Device(format!(
        "this program was built without the feature '{feature}': run it by 'cargo xtask ... --backend {feature}', or build it with --features {feature}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_one_device() {
        assert!(open_device(Backend::Cpu, 0).is_ok());
        assert!(open_device(Backend::Cpu, 1).is_err());
    }

    #[test]
    fn a_backend_that_is_not_built_in_says_so() {
        #[cfg(not(feature = "cuda"))]
        assert!(
            open_device(Backend::Cuda, 0)
                .unwrap_err()
                .to_string()
                .contains("cuda")
        );
        assert!("gpu".parse::<Backend>().unwrap_err().contains("choose"));
    }
}
