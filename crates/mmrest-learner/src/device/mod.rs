//! The device a run computes on: chosen by the caller, always passed, never defaulted.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};
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

/// In what the matrix products of training are computed on a GPU. Weights, optimiser and everything else have 32 bits in all
/// three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// In f32, without the tensor cores that round its factors.
    #[default]
    F32,
    /// In TF32 where NVIDIA's tensor cores are faster: f32 with factors rounded to 11 significant bits.
    Tf32,
    /// The linear layers of the text encoder in bf16: factors, results and their gradients are rounded to 8 significant
    /// bits; the sum within a product has 32. All others as in f32.
    Bf16,
}

impl Precision {
    /// In what a text encoder's linear layers multiply.
    pub fn products(self) -> FloatDType {
        match self {
            Self::F32 | Self::Tf32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }

    /// Checks that a backend can compute so.
    pub(crate) fn check(self, backend: Backend) -> Result<(), LearnerError> {
        match (self, backend) {
            (Self::F32, _) | (_, Backend::Cuda) | (Self::Bf16, Backend::Wgpu) => Ok(()),
            (other, _) => Err(LearnerError::Device(format!(
                "train.precision = \"{other}\": the {backend} backend does not compute in it: set it to \"f32\", or use the \
                 cuda backend"
            ))),
        }
    }

    /// Checks that a device can: [`check`](Self::check) asks no driver.
    fn check_device(self, open: &OpenDevice) -> Result<(), LearnerError> {
        if open.device.supports_dtype(self.products()) {
            return Ok(());
        }
        let name = open.adapter.as_ref().map_or("the device", |a| &a.name);
        Err(self.absent_from(name))
    }

    /// What to say of a device that cannot compute so.
    fn absent_from(self, device: &str) -> LearnerError {
        LearnerError::Device(format!(
            "train.precision = \"{self}\": {device} does not compute in it: set it to \"f32\""
        ))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

/// A device that is open, and who it is.
#[derive(Clone, Debug)]
pub struct OpenDevice {
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

/// Opens device `index` of a backend, without autodiff, to compute in f32 exactly.
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
    OpenDevice::new(backend, index, Precision::F32).map(|open| open.device)
}

impl OpenDevice {
    /// [`open_device`], to compute in a precision.
    ///
    /// # Errors
    ///
    /// As [`open_device`]; the backend or the device does not compute in this precision, or this process has opened the
    /// device for another.
    pub fn new(backend: Backend, index: usize, precision: Precision) -> Result<Self, LearnerError> {
        precision.check(backend)?;
        #[cfg(feature = "cuda")]
        if backend != Backend::Cpu {
            cuda::keep_kernels();
        }
        let open = match backend {
            Backend::Cpu if index == 0 => Self {
                device: Device::flex(),
                adapter: None,
            },
            Backend::Cpu => {
                return Err(LearnerError::Device(format!(
                    "the cpu backend has one device, 0; found device {index}"
                )));
            }
            Backend::Wgpu => open_wgpu(index)?,
            Backend::Cuda => open_cuda(index, precision)?,
        };
        precision.check_device(&open)?;
        Ok(open)
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
fn open_cuda(_: usize, _: Precision) -> Result<OpenDevice, LearnerError> {
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
    fn what_a_backend_does_not_compute_in_is_refused_before_it_is_opened() {
        for precision in [Precision::Tf32, Precision::Bf16] {
            let refused = OpenDevice::new(Backend::Cpu, 0, precision).unwrap_err();
            let told = refused.to_string();
            assert!(
                told.contains(&format!("train.precision = \"{precision}\""))
                    && told.contains("cpu"),
                "{told}"
            );
        }
        assert!(Precision::Tf32.check(Backend::Wgpu).is_err());
        assert!(Precision::Tf32.check(Backend::Cuda).is_ok());
        assert!(Precision::Bf16.check(Backend::Cuda).is_ok());
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
