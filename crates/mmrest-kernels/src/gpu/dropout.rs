//! Dropout within kernels: whether a value is kept is a function of a key and its place, as on the CPU
//! ([`dropout`](crate::dropout)).

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// What kernels are told of a dropout: whether there is any, below which number values are dropped, what others are
/// multiplied with.
pub(super) fn mask(dropout: f64) -> (bool, u32, f32) {
    let threshold = (dropout * 4_294_967_296.0) as u32;
    (dropout > 0.0, threshold, (1.0 / (1.0 - dropout)) as f32)
}

/// Chris Wellons' `lowbias32`.
#[cube]
fn mix(x: u32) -> u32 {
    let x = x ^ (x >> 16u32);
    let x = x * 0x7feb_352du32;
    let x = x ^ (x >> 15u32);
    let x = x * 0x846c_a68bu32;
    x ^ (x >> 16u32)
}

/// What a probability is multiplied with: 0, or 1 / (1 - p).
#[cube]
pub(super) fn factor(place: u32, key: &Tensor<f32>, threshold: u32, kept: f32) -> f32 {
    let first = (u32::cast_from(key[0]) << 16u32) | u32::cast_from(key[1]);
    let second = (u32::cast_from(key[2]) << 16u32) | u32::cast_from(key[3]);
    let mut factor = kept;
    if mix(mix(place ^ first) + second) < threshold {
        factor = 0.0f32;
    }
    factor
}
