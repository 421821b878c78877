//! Damage to bytes of which nothing is known.

use std::ops::Range;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::mutator::LARGEST;

/// Bytes at which formats turn.
const BYTES: [u8; 12] = [0, 1, 2, 7, 0x0a, 0x20, 0x7f, 0x80, 0x81, 0xc0, 0xfe, 0xff];

/// Numbers at which a length, an offset or a count goes wrong.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    3,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x10_0000,
    0x3fff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Longest stretch that is moved, copied or taken away.
const STRETCH: usize = 512;

/// One change.
pub(crate) fn step(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, valid: &[Vec<u8>]) {
    if input.is_empty() {
        input.push(rng.random());
        return;
    }
    let at = rng.random_range(0..input.len());
    match rng.random_range(0..100) {
        0..14 => input[at] ^= 1 << rng.random_range(0..8),
        14..26 => input[at] = *BYTES.choose(rng).unwrap_or(&0),
        26..30 => input[at] = rng.random(),
        30..52 => extreme(rng, input, at),
        52..60 => nudge(rng, input, at),
        60..66 => input.truncate(at),
        66..72 => drop(input.drain(stretch(rng, input))),
        72..77 => insert(rng, input, at),
        77..83 => duplicate(rng, input, at),
        83..89 => overwrite(rng, input, at),
        89..97 => splice(rng, input, at, valid),
        _ => grow(rng, input, at),
    }
}

/// A stretch of the input.
fn stretch(rng: &mut ChaCha8Rng, input: &[u8]) -> Range<usize> {
    let from = rng.random_range(0..=input.len());
    let longest = (input.len() - from).min(STRETCH);
    from..from + rng.random_range(0..=longest)
}

/// Puts a number of 1, 2, 4 or 8 bytes in either order.
fn put(rng: &mut ChaCha8Rng, input: &mut [u8], at: usize, width: usize, number: u64) {
    let mut bytes = number.to_le_bytes();
    if rng.random_bool(0.3) {
        bytes[..width].reverse();
    }
    let end = input.len().min(at + width);
    input[at..end].copy_from_slice(&bytes[..end - at]);
}

fn width(rng: &mut ChaCha8Rng) -> usize {
    1 << rng.random_range(0..4)
}

/// A field set to a number at which things go wrong, the input's own length among them.
fn extreme(rng: &mut ChaCha8Rng, input: &mut [u8], at: usize) {
    let length = input.len() as u64;
    let own = [length, length - 1, length + 1, length - at as u64];
    let number = match rng.random_bool(0.2) {
        true => own.choose(rng),
        false => NUMBERS.choose(rng),
    };
    let number = number.copied().unwrap_or(0);
    let width = width(rng);
    put(rng, input, at, width, number);
}

/// A field a little greater or smaller than it was.
fn nudge(rng: &mut ChaCha8Rng, input: &mut [u8], at: usize) {
    let width = width(rng);
    let Some(field) = input.get_mut(at..at + width) else {
        return;
    };
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(field);
    let by = rng.random_range(-35_i64..=35);
    let number = u64::from_le_bytes(bytes).wrapping_add_signed(by);
    field.copy_from_slice(&number.to_le_bytes()[..width]);
}

fn insert(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let count = rng.random_range(1..=32);
    let same: Option<u8> = rng.random_bool(0.5).then(|| rng.random());
    let made: Vec<u8> = (0..count)
        .map(|_| same.unwrap_or_else(|| rng.random()))
        .collect();
    input.splice(at..at, made);
}

fn duplicate(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let copied = input[stretch(rng, input)].to_vec();
    input.splice(at..at, copied);
}

fn overwrite(rng: &mut ChaCha8Rng, input: &mut [u8], at: usize) {
    let copied = input[stretch(rng, input)].to_vec();
    let end = input.len().min(at + copied.len());
    input[at..end].copy_from_slice(&copied[..end - at]);
}

/// The head of this and the tail of another, or a stretch of another in this one's place.
fn splice(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize, valid: &[Vec<u8>]) {
    let Some(other) = valid.choose(rng) else {
        return;
    };
    if rng.random_bool(0.5) {
        let from = at.min(other.len());
        input.truncate(at);
        input.extend_from_slice(&other[from..]);
    } else {
        let taken = stretch(rng, other);
        let end = input.len().min(at + taken.len());
        input.splice(at..end, other[taken].iter().copied());
    }
}

/// A stretch many times over: up to as large as an input may be.
fn grow(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let piece = input[stretch(rng, input)].to_vec();
    let room = LARGEST.saturating_sub(input.len());
    let times = 1_usize << rng.random_range(0..16);
    let grown = piece.repeat(times.min(room / piece.len().max(1)));
    input.splice(at..at, grown);
}
