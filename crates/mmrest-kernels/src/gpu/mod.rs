//! Kernels of GPUs, in CubeCL, where burn's operations would be thousands of launches.
//!
//! They take and give tensors outside autodiff; [`node`](crate::node) makes operations with a backward pass of them.
//! Every kernel runs on each runtime that burn computes with, and keeps to eight buffers, as WebGPU does, and to as many
//! units in a cube and as much shared memory as the device says it has.

pub(crate) mod adam;
pub mod attention;
#[cfg(feature = "gpu")]
mod dropout;
pub mod layers;
pub mod lstm;
pub mod many;
// Without a backend to run on, nothing looks at what an operation gets.
#[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
mod operations;

use burn::prelude::*;
use burn::tensor::DType;

pub(crate) use self::operations::Kernels;

/// Whether a tensor is on a GPU whose kernels are built in, and holds `f32`.
#[must_use]
pub fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
    on_gpu(&tensor.device()) && tensor.dtype() == DType::F32
}

/// Whether a device is a GPU whose kernels are built in.
#[must_use]
pub fn on_gpu(device: &Device) -> bool {
    #[cfg(feature = "gpu")]
    {
        use burn::backend::DispatchDevice;
        matches!(
            device.clone().inner().as_dispatch(),
            DispatchDevice::Cube(_)
        )
    }
    #[cfg(not(feature = "gpu"))]
    {
        let _ = device;
        false
    }
}

/// Rows of packed sequences, on a GPU: first row and number of rows of each.
#[derive(Clone, Debug)]
pub struct Spans {
    values: Tensor<1, Int>,
    count: usize,
}

impl Spans {
    /// The spans `(first row, rows)`, for kernels on a device.
    #[must_use]
    pub fn new(spans: &[(usize, usize)], device: &Device) -> Self {
        let values = spans
            .iter()
            .flat_map(|&(first, rows)| [first as i32, rows as i32]);
        Self {
            values: integers(values.collect(), device),
            count: spans.len(),
        }
    }
}

/// Whole numbers on a device, outside autodiff.
fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(values.as_slice()), &device.clone().inner())
}

/// The kernels launched while some work was done, by name. Work of other threads counts too.
#[cfg(feature = "gpu")]
pub fn count_launches<R>(work: impl FnOnce() -> R) -> (R, Vec<(&'static str, usize)>) {
    use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Default)]
    struct Counts(Mutex<BTreeMap<&'static str, usize>>);

    impl LaunchObserver for Counts {
        fn launched(&self, kernel: &'static str) {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(kernel).or_default() += 1;
        }
    }

    let counts = Arc::new(Counts::default());
    let watching = LaunchObservation::new(counts.clone());
    let result = work();
    drop(watching);
    let counts = counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    (
        result,
        counts.iter().map(|(name, count)| (*name, *count)).collect(),
    )
}

/// What the launches of several kernels share.
#[cfg(feature = "gpu")]
mod launch {
    use burn::backend::TensorMetadata;
    use burn::tensor::{DType, Shape};
    use burn_cubecl::cubecl;
    use burn_cubecl::cubecl::client::Client;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
    use burn_cubecl::tensor::CubeTensor;

    /// A tensor for a kernel's results, on the device of another.
    pub(super) fn empty<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
        let (client, device) = (like.client.clone(), like.device.clone());
        empty_device_contiguous_dtype(client, device, Shape::new(shape), DType::F32)
    }

    /// A tensor for a kernel's results, of the shape of another and on its device.
    pub(super) fn alike(like: &CubeTensor) -> CubeTensor {
        let (client, device) = (like.client.clone(), like.device.clone());
        empty_device_contiguous_dtype(client, device, like.shape(), DType::F32)
    }

    /// At most `wanted` units in a row, in whole groups of 32, and no more than the device allows.
    pub(super) fn units(client: &Client, wanted: usize) -> CubeDim {
        let most = client.properties().hardware.max_units_per_cube;
        let most = most.min(client.properties().hardware.max_cube_dim.0).max(1);
        CubeDim::new_1d((wanted.next_multiple_of(32) as u32).min(most))
    }

    /// A cube for each of `count` tasks, in two dimensions where one does not hold them: there may be more.
    pub(super) fn cubes(count: usize) -> CubeCount {
        const ROW: usize = 1 << 15;
        let rows = count.div_ceil(ROW).max(1);
        CubeCount::Static(count.clamp(1, ROW) as u32, rows as u32, 1)
    }

    /// How many values of shared memory a cube of the device has.
    pub(super) fn shared_values(client: &Client) -> usize {
        client.properties().hardware.max_shared_memory_size / size_of::<f32>()
    }

    /// The sum of what all units of a cube have: `count`, a power of 2; `shared` has room for one value each.
    #[cube]
    pub(super) fn total(own: f32, shared: &mut Shared<[f32]>, #[comptime] count: usize) -> f32 {
        let unit = UNIT_POS as usize;
        sync_cube();
        shared[unit] = own;
        sync_cube();
        let mut half = comptime!(count / 2).runtime();
        while half > 0 {
            if unit < half {
                let other = shared[unit + half];
                shared[unit] += other;
            }
            sync_cube();
            half /= 2;
        }
        shared[0]
    }
}
