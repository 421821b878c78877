//! Any GPU with a driver of its system: Vulkan, Metal, DirectX 12 or OpenGL.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind};
use wgpu::{AdapterInfo, DeviceType};

use super::{Adapter, Backend, OpenDevice, no_such_device};
use crate::error::LearnerError;

/// The interfaces that are tried, best first: those of cubecl, which burn computes with.
const INTERFACES: [(wgpu::Backends, WgpuBackend); 4] = [
    (wgpu::Backends::VULKAN, WgpuBackend::Vulkan),
    (wgpu::Backends::METAL, WgpuBackend::Metal),
    (wgpu::Backends::DX12, WgpuBackend::Dx12),
    (wgpu::Backends::GL, WgpuBackend::Gl),
];

/// What this process has opened: burn initialises a device once.
static OPENED: Mutex<Vec<(DeviceKind, OpenDevice)>> = Mutex::new(Vec::new());

/// Opens adapter `index`: discrete GPUs first, then integrated and virtual ones, software last.
pub(super) fn open(index: usize) -> Result<OpenDevice, LearnerError> {
    let Some((interface, adapters)) = adapters() else {
        return Err(LearnerError::Device(
            "no GPU adapter found: install the GPU's Vulkan driver, or one in software (Debian: mesa-vulkan-drivers), or use the cpu backend"
                .into(),
        ));
    };
    let Some((kind, adapter)) = adapters.get(index).cloned() else {
        let names: Vec<String> = adapters.iter().map(|(_, a)| a.name.clone()).collect();
        return Err(no_such_device(Backend::Wgpu, index, &names));
    };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, open)) = opened.iter().find(|(open, _)| *open == kind) {
        return Ok(open.clone());
    }
    let device = Device::wgpu_options()
        .device_kind(kind.clone())
        .graphics_api(interface)
        .init()
        .map_err(|error| {
            LearnerError::Device(format!(
                "{adapter}: cannot be opened: {error}; use another device, or the cpu backend"
            ))
        })?;
    let open = OpenDevice {
        device,
        adapter: Some(adapter),
    };
    opened.push((kind, open.clone()));
    Ok(open)
}

/// The adapters of the first interface that has a GPU, or else of the first that has anything.
fn adapters() -> Option<(WgpuBackend, Vec<(DeviceKind, Adapter)>)> {
    let mut software = None;
    for (backends, interface) in INTERFACES {
        let adapters = numbered(&probe(backends));
        match adapters.first() {
            Some((_, first)) if !first.software => return Some((interface, adapters)),
            Some(_) if software.is_none() => software = Some((interface, adapters)),
            _ => {}
        }
    }
    software
}

/// The adapters of an interface, in its own order.
fn probe(backends: wgpu::Backends) -> Vec<AdapterInfo> {
    if !wgpu::Instance::enabled_backend_features().contains(backends) {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = pin!(instance.enumerate_adapters(backends));
    // Outside a browser there is nothing to wait for.
    let mut context = Context::from_waker(Waker::noop());
    match found.poll(&mut context) {
        Poll::Ready(found) => found.iter().map(wgpu::Adapter::get_info).collect(),
        Poll::Pending => Vec::new(),
    }
}

/// Each adapter with the name that burn opens it by, the fastest kind first. burn numbers the adapters of each kind by
/// themselves, and has one name for what is in software.
fn numbered(found: &[AdapterInfo]) -> Vec<(DeviceKind, Adapter)> {
    let mut of_kind = [0; 3];
    let mut number = |kind: usize| {
        of_kind[kind] += 1;
        of_kind[kind] - 1
    };
    let mut adapters: Vec<(u8, DeviceKind, Adapter)> = Vec::new();
    for info in found {
        let (rank, kind) = match info.device_type {
            DeviceType::DiscreteGpu => (0, DeviceKind::DiscreteGpu(number(0))),
            DeviceType::IntegratedGpu => (1, DeviceKind::IntegratedGpu(number(1))),
            DeviceType::VirtualGpu => (2, DeviceKind::VirtualGpu(number(2))),
            DeviceType::Other => (3, DeviceKind::DefaultDevice),
            DeviceType::Cpu => (4, DeviceKind::Cpu),
        };
        if !adapters.iter().any(|(_, known, _)| *known == kind) {
            adapters.push((rank, kind, adapter(info)));
        }
    }
    adapters.sort_by_key(|(rank, ..)| *rank);
    adapters
        .into_iter()
        .map(|(_, kind, adapter)| (kind, adapter))
        .collect()
}

fn adapter(info: &AdapterInfo) -> Adapter {
    let told = [&info.driver, &info.driver_info];
    let told: Vec<&str> = told.iter().map(|part| part.trim()).collect();
    Adapter {
        name: info.name.clone(),
        api: info.backend.to_str().to_string(),
        driver: told.join(" ").trim().to_string(),
        software: info.device_type == DeviceType::Cpu,
    }
}
