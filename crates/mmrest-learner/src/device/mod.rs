//! The device a run computes on: chosen by the caller, always passed, never defaulted.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod wgpu;

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

/// A name that is no [`Backend`]'s.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown backend '{0}': choose cpu, wgpu or cuda")]
pub struct UnknownBackend(String);

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(UnknownBackend(other.to_owned())),
        }
    }
}

/// A device that is open, and who it is.
#[derive(Clone, Debug)]
pub(crate) struct OpenDevice {
    /// The device, without autodiff.
    pub device: Device,
    /// Who it is; none for the CPU.
    pub adapter: Option<Adapter>,
}

/// A GPU, or what stands in for one, as its driver names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// The device's name, such as "NVIDIA H100 PCIe".
    pub name: String,
    /// By which interface it is reached: vulkan, metal, dx12, gl or cuda.
    pub api: String,
    /// The driver's name and version, as far as it tells them.
    pub driver: String,
    /// Whether it is a program on the CPU, such as Mesa's lavapipe.
    pub software: bool,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, by {}", self.name, self.api)?;
        if !self.driver.is_empty() {
            write!(f, ", driver {}", self.driver)?;
        }
        if self.software {
            f.write_str(", in software")
        } else {
            Ok(())
        }
    }
}

/// Opens device `index` of a backend, without autodiff.
///
/// ```
/// use mmrest_learner::{Backend, open_device};
///
/// let device = open_device(Backend::Cpu, 0)?;
/// assert!(open_device(Backend::Cpu, 1).is_err()); // there is one CPU
/// # drop(device);
/// # Ok::<(), mmrest_learner::LearnerError>(())
/// ```
///
/// # Errors
///
/// The program was built without the backend, or the machine has no driver or adapter for it.
pub fn open_device(backend: Backend, index: usize) -> Result<Device, LearnerError> {
    open(backend, index).map(|open| open.device)
}

/// [`open_device`], saying who it is.
pub(crate) fn open(backend: Backend, index: usize) -> Result<OpenDevice, LearnerError> {
    match backend {
        Backend::Cpu if index == 0 => Ok(OpenDevice {
            device: Device::flex(),
            adapter: None,
        }),
        Backend::Cpu => Err(LearnerError::Device(format!(
            "the cpu backend has one device, 0; found device {index}"
        ))),
        Backend::Wgpu => open_wgpu(index),
        Backend::Cuda => open_cuda(index),
    }
}

#[cfg(feature = "cuda")]
use cuda::open as open_cuda;
#[cfg(feature = "wgpu")]
use wgpu::open as open_wgpu;

#[cfg(not(feature = "wgpu"))]
fn open_wgpu(_: usize) -> Result<OpenDevice, LearnerError> {
    Err(LearnerError::BackendAbsent("wgpu"))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<OpenDevice, LearnerError> {
    Err(LearnerError::BackendAbsent("cuda"))
}

/// What to say where device `index` was asked for and `found` are there.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn no_such_device(backend: Backend, index: usize, found: &[String]) -> LearnerError {
    let listed: Vec<String> = found
        .iter()
        .enumerate()
        .map(|(number, name)| format!("{number} ({name})"))
        .collect();
    LearnerError::Device(format!(
        "no {backend} device {index}: this machine has {}",
        listed.join(", ")
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
        let unknown = "gpu".parse::<Backend>().unwrap_err();
        assert!(unknown.to_string().contains("choose"));
    }
}
