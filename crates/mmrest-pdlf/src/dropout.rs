//! Dropout at the price of one draw.
//!
//! burn draws a number for every value, which on the CPU takes longer than the layer after it. Here 64 bits are drawn from
//! the device, so that its seed decides the mask, and whether a value is kept is a function of them and of its place: twice
//! Chris Wellons' `lowbias32`, a bijection of 32 bits whose every output bit depends on every input bit.

use burn::nn::Dropout;
use burn::tensor::{Device, Distribution, Tensor, TensorData};

/// As [`Dropout::forward`]; on other devices than the CPU it is that.
pub(crate) fn dropout(layer: &Dropout, x: Tensor<2>) -> Tensor<2> {
    let device = x.device();
    let idle = !layer.training.is_enabled() || !device.is_autodiff() || layer.prob == 0.0;
    if idle || device != Device::flex() {
        return layer.forward(x);
    }
    let shape = x.dims();
    let factors = factors(draw(&device), layer.prob, shape[0] * shape[1]);
    x * Tensor::from_data(TensorData::new(factors, shape), &device)
}

/// 64 bits of the device's generator, sixteen at a time: an `f32` holds them exactly.
fn draw(device: &Device) -> [u32; 2] {
    let sixteen_bits = Distribution::Uniform(0.0, 65_536.0);
    let drawn = Tensor::<1>::random([4], sixteen_bits, &device.clone().inner()).into_data();
    let mut bits = drawn.iter::<f32>().map(|value| value as u32 & 0xffff);
    let mut word = || bits.next().unwrap_or(0) << 16 | bits.next().unwrap_or(0);
    [word(), word()]
}

/// What each value is multiplied with: 0, or 1 / (1 - p).
fn factors([first, second]: [u32; 2], prob: f64, count: usize) -> Vec<f32> {
    let threshold = (prob * 4_294_967_296.0) as u32;
    let scale = (1.0 / (1.0 - prob)) as f32;
    let factor = |place: u32| {
        let number = mix(mix(place ^ first).wrapping_add(second));
        if number < threshold { 0.0 } else { scale }
    };
    (0..count).map(|place| factor(place as u32)).collect()
}

#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_dropped_as_asked_and_neighbours_do_not_care() {
        let count = 1 << 20;
        for prob in [0.1, 0.5, 0.9] {
            let factors = factors([7, 11], prob, count);
            let dropped = |value: &&f32| **value == 0.0;
            let share = factors.iter().filter(dropped).count() as f64 / count as f64;
            assert!((share - prob).abs() < 2e-3, "{share} of {prob}");
            let kept = factors.iter().find(|value| **value > 0.0).unwrap();
            assert!((f64::from(*kept) * (1.0 - prob) - 1.0).abs() < 1e-6);
            for lag in [1, 2, 64, 512] {
                let both = factors.windows(lag + 1);
                let both = both
                    .filter(|pair| pair[0] == 0.0 && pair[lag] == 0.0)
                    .count();
                let share = both as f64 / (count - lag) as f64;
                assert!((share - prob * prob).abs() < 3e-3, "{share}, lag {lag}");
            }
        }
    }

    #[test]
    fn masks_of_different_keys_are_independent() {
        let count = 1 << 18;
        let masks = [[1, 2], [2, 1], [1, 3]].map(|key| factors(key, 0.5, count));
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let pairs = masks[a].iter().zip(&masks[b]);
            let alike = pairs.filter(|(a, b)| a == b).count() as f64 / count as f64;
            assert!((alike - 0.5).abs() < 5e-3, "{alike}");
        }
    }
}
