//! NVIDIA's GPUs.
//!
//! burn multiplies f32 matrices on tensor cores, in TF32, wherever they are the fastest: it promotes the factors where a
//! device says that it has the type. Nothing switches that off (burn 0.22: cubek-matmul, `adjust_dtypes`). So a device
//! that is to compute in f32 exactly is opened here as one that has no TF32; its name says so, by which burn keeps what
//! it found out about the speed of kernels apart.
//!
//! Kernels are compiled and timed when they are first used. What comes of it is kept for the processes that follow
//! ([`keep_kernels`]).

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, DeviceType};
use cubecl_common::device::{Device as _, DeviceService};
use cubecl_cuda::{CudaDevice, CudaRuntime};
use cubecl_ir::features::Features;
use cubecl_ir::{ElemType, FloatKind};
use cubecl_runtime::client::Client;
use cubecl_runtime::config::cache::CacheConfig;
use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig};
use cubecl_runtime::runtime::Runtime;
use cubecl_runtime::server::ServerUtilities;

use super::{Adapter, Backend, OpenDevice, Precision, no_such_device};
use crate::error::LearnerError;

/// What this process has opened: a device keeps the precision that it was opened for.
static OPENED: Mutex<Vec<(usize, bool)>> = Mutex::new(Vec::new());

/// Lets burn keep compiled kernels, and which of them are the fastest, in the user's cache folder; burn's own default is
/// `target` of the Rust project that a program is started in. A `cubecl.toml` there and burn's variables hold as ever.
pub(super) fn keep_kernels() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    // Where another was read before, that one stays.
    let _ = CubeClRuntimeConfig::try_set(keeping_kernels(config, host.trim()));
}

/// A folder for each machine: the cache is a database with locks, which do not hold between machines that share a home.
fn keeping_kernels(mut config: CubeClRuntimeConfig, host: &str) -> CubeClRuntimeConfig {
    // Kernels are told apart by the program's build; without its number a changed kernel would be taken for the old one.
    config.compilation.cache = buildid::build_id().is_some();
    if let CacheConfig::Target = config.environment.path {
        let folder = CacheConfig::Global.root().join(host);
        config.environment.path = CacheConfig::Directory(folder);
    }
    config
}

/// Opens GPU `index`, in the driver's order.
pub(super) fn open(index: usize, precision: Precision) -> Result<OpenDevice, LearnerError> {
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
    if libdevice(std::env::var_os("CUDA_PATH"), Path::new("/")).is_none() {
        return Err(LearnerError::Device(
            "no libdevice.10.bc found, which kernels for CUDA are linked with: install NVIDIA's CUDA toolkit, or its package \
             nvidia-nvvm from PyPI, and set CUDA_PATH to the folder that has nvvm/libdevice"
                .into(),
        ));
    }
    start(index, precision)?;
    let identity = catch_unwind(|| device.identity()).map_err(|_| cannot_be_opened(index))?;
    if precision == Precision::Tf32
        && !has_tf32(CudaRuntime::client(&CudaDevice { index }).features())
    {
        let name = identity.as_ref().map_or("the device", |of| &of.name);
        return Err(precision.absent_from(name));
    }
    let adapter = identity.map(|identity| Adapter {
        name: identity.name,
        api: "cuda".into(),
        driver: driver(),
        software: false,
    });
    Ok(OpenDevice { device, adapter })
}

fn cannot_be_opened(index: usize) -> LearnerError {
    LearnerError::Device(format!(
        "CUDA device {index} cannot be opened: look at nvidia-smi, or use the cpu backend"
    ))
}

/// The driver's version as the kernel's module tells it; nothing where it does not.
fn driver() -> String {
    let told = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let words = told.lines().next().unwrap_or_default().split_whitespace();
    let version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    words.into_iter().find(version).unwrap_or_default().into()
}

/// NVIDIA's mathematical functions, where burn's compiler looks for them: in the toolkit that `CUDA_PATH` names, or else
/// in the first of the usual ones.
fn libdevice(named: Option<OsString>, root: &Path) -> Option<PathBuf> {
    let known = ["usr/local/cuda", "opt/cuda", "usr/lib/cuda", "usr"];
    let mut known = known.iter().map(|folder| root.join(folder));
    let toolkit = match named {
        Some(named) => PathBuf::from(named),
        None => known.find(|folder| folder.join("nvvm/libdevice").is_dir())?,
    };
    let file = toolkit.join("nvvm/libdevice/libdevice.10.bc");
    file.is_file().then_some(file)
}

/// Starts the device's server, with or without TF32.
fn start(index: usize, precision: Precision) -> Result<(), LearnerError> {
    let rounds = precision == Precision::Tf32;
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    match opened.iter().find(|(known, _)| *known == index) {
        Some((_, before)) if *before == rounds => return Ok(()),
        Some(_) => {
            return Err(LearnerError::Device(format!(
                "CUDA device {index} was opened {} TF32 by this process: compute in {precision} in another",
                if rounds { "without" } else { "with" },
            )));
        }
        None => {}
    }
    if !rounds {
        catch_unwind(|| start_exact(index))
            .ok()
            .flatten()
            .ok_or_else(|| cannot_be_opened(index))?;
    }
    opened.push((index, rounds));
    Ok(())
}

/// Registers a server for the device whose properties have no TF32, before burn would start one that has it.
fn start_exact(index: usize) -> Option<()> {
    type Server = <CudaRuntime as Runtime>::Server;
    let id = CudaDevice { index }.to_id();
    let server = <Server as DeviceService>::init(id);
    let utilities = DeviceService::utilities(&server);
    let utilities: Arc<ServerUtilities> = utilities.downcast().ok()?;
    let mut properties = (*utilities.properties).clone();
    forget_tf32(&mut properties.features);
    // SAFETY: the server was made above and is registered nowhere: of what it shares with others later, `server` and
    // `utilities` are the only owners, and neither is in use while this is written.
    #[allow(unsafe_code)]
    unsafe {
        let shared = &mut *Arc::as_ptr(&utilities).cast_mut();
        shared.properties_hash = properties.checksum();
        shared.properties = Arc::new(properties);
        shared.name = "cuda-f32";
    }
    drop(utilities);
    Client::try_init(id, server).ok().map(|_| ())
}

const TF32: ElemType = ElemType::Float(FloatKind::TF32);

/// Whether a device multiplies in TF32, by whichever of its instructions.
fn has_tf32(features: &Features) -> bool {
    let mut products = features.matmul.cmma.iter().chain(&features.matmul.mma);
    features.supports_type(TF32) && products.any(|product| product.a_type == TF32)
}

/// Takes TF32 from what a device can do.
fn forget_tf32(features: &mut Features) {
    features.types.elem.remove(&TF32);
    for products in [&mut features.matmul.cmma, &mut features.matmul.mma] {
        products.retain(|product| product.a_type != TF32 && product.b_type != TF32);
    }
}

#[cfg(test)]
mod tests {
    use cubecl_ir::features::{MmaConfig, TypeUsage};

    use super::*;

    #[test]
    fn a_device_that_is_exact_has_no_tf32_and_all_else() {
        let [tf32, bf16, f32] =
            [FloatKind::TF32, FloatKind::BF16, FloatKind::F32].map(ElemType::Float);
        let mut features = Features::default();
        for kind in [tf32, bf16, f32] {
            features
                .types
                .elem
                .insert(kind, TypeUsage::Conversion.into());
        }
        for kind in [tf32, bf16] {
            let product = MmaConfig {
                a_type: kind,
                b_type: kind,
                cd_type: f32,
                m: 16,
                n: 8,
                k: 8,
            };
            features.matmul.mma.insert(product);
            features.matmul.cmma.insert(product);
        }
        assert!(has_tf32(&features));
        forget_tf32(&mut features);
        assert!(!features.supports_type(tf32) && !has_tf32(&features));
        assert!(features.supports_type(bf16) && features.supports_type(f32));
        for products in [&features.matmul.mma, &features.matmul.cmma] {
            assert!(products.iter().all(|product| product.a_type == bf16));
            assert_eq!(products.len(), 1);
        }
    }

    #[test]
    fn kernels_are_kept_by_machine_unless_a_file_says_where() {
        let folder = |config: CubeClRuntimeConfig, host| match keeping_kernels(config, host)
            .environment
            .path
        {
            CacheConfig::Directory(folder) => folder,
            other => panic!("{other:?}"),
        };
        let [first, second] = ["n1", "n2"].map(|host| folder(Default::default(), host));
        assert!(first.ends_with("cubecl/n1") && first.parent() == second.parent());
        let mut own = CubeClRuntimeConfig::default();
        own.environment.path = CacheConfig::Directory("kernels".into());
        assert_eq!(folder(own, "n1"), Path::new("kernels"));
    }

    #[test]
    fn libdevice_is_looked_for_as_the_compiler_does() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/lib/cuda/nvvm/libdevice");
        assert_eq!(libdevice(None, root.path()), None);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("libdevice.10.bc");
        std::fs::write(&file, "").unwrap();
        assert_eq!(libdevice(None, root.path()), Some(file));
        assert_eq!(libdevice(Some("/nowhere".into()), root.path()), None);
    }
}
