//! Damaged inputs from valid ones.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{bytes, containers, hdf5, text};

/// No input is larger: the promise about memory is for inputs under 1 MiB.
pub const LARGEST: usize = (1 << 20) - 1;

/// Most changes to one input.
const STEPS: u32 = 6;

/// What is known of an input's structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Bytes,
    /// HDF5: its checksums are often made right again, so that what they guard is reached.
    Hdf5,
    /// Text: lines, words, numbers, quotes, brackets.
    Text,
    /// A safetensors file: its header is text with its length before it.
    Safetensors,
    /// A record of burn: its header is a block with its length before it.
    Record,
}

/// The generator of the input of this number for a kind of input.
#[must_use]
pub fn generator(kind: &str, number: u64) -> ChaCha8Rng {
    // FNV-1a: kinds must differ, nothing else.
    let hash = kind.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ChaCha8Rng::seed_from_u64(hash ^ number)
}

/// One of the valid inputs, damaged in one to six places.
///
/// # Panics
///
/// Without valid inputs.
pub fn mutated(rng: &mut ChaCha8Rng, form: Form, valid: &[Vec<u8>]) -> Vec<u8> {
    let mut input = valid.choose(rng).expect("a valid input").clone();
    let mut steps = 1;
    while steps < STEPS && rng.random_bool(0.5) {
        steps += 1;
    }
    for _ in 0..steps {
        step(rng, form, &mut input, valid);
        input.truncate(LARGEST);
    }
    if form == Form::Hdf5 && rng.random_bool(0.75) {
        hdf5::repair(&mut input);
    }
    input
}

fn step(rng: &mut ChaCha8Rng, form: Form, input: &mut Vec<u8>, valid: &[Vec<u8>]) {
    let known = rng.random_bool(0.7);
    match form {
        Form::Text if known => text::step(rng, input),
        Form::Safetensors if known => containers::safetensors(rng, input),
        Form::Record if known => containers::record(rng, input, valid),
        _ => bytes::step(rng, input, valid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_an_input() {
        let lines = b"{\"a\": [1, 2.5, \"x\"]}\n# b\n".to_vec();
        let valid = vec![lines, (0..=255).collect()];
        let make = |kind, number, form| mutated(&mut generator(kind, number), form, &valid);
        for form in [Form::Bytes, Form::Text] {
            let inputs: Vec<_> = (0..500).map(|number| make("a", number, form)).collect();
            let again: Vec<_> = (0..500).map(|number| make("a", number, form)).collect();
            let other: Vec<_> = (0..500).map(|number| make("b", number, form)).collect();
            assert_eq!(inputs, again);
            assert_ne!(inputs, other);
            assert!(inputs.iter().all(|input| input.len() <= LARGEST));
            let unchanged = inputs.iter().filter(|input| valid.contains(input)).count();
            assert!(unchanged < 100, "{unchanged} of 500 are as they were");
        }
    }
}
