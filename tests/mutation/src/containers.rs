//! Damage to the headers of weights: safetensors and burn's records.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{bytes, text};

/// Changes the header of a safetensors file as text, and makes its length right again.
///
/// `u64 length | JSON | values`.
pub(crate) fn safetensors(rng: &mut ChaCha8Rng, input: &mut Vec<u8>) {
    let length = input
        .first_chunk::<8>()
        .map(|head| u64::from_le_bytes(*head));
    let length = length.and_then(|length| usize::try_from(length).ok());
    let Some(end) = length.and_then(|length| length.checked_add(8)) else {
        return text::step(rng, input);
    };
    let Some(mut header) = input.get(8..end).map(<[u8]>::to_vec) else {
        return text::step(rng, input);
    };
    text::step(rng, &mut header);
    replace(input, 8, end, &header);
    input[..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
}

/// Changes the header of a burn record, and makes its length right again.
///
/// `magic (4) | version (2) | u32 length | CBOR | padding to 256 | values`.
pub(crate) fn record(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, valid: &[Vec<u8>]) {
    let length = input.get(6..10).and_then(|field| field.try_into().ok());
    let Some(end) = length.map(|field| 10 + u32::from_le_bytes(field) as usize) else {
        return bytes::step(rng, input, valid);
    };
    let Some(mut header) = input.get(10..end).map(<[u8]>::to_vec) else {
        return bytes::step(rng, input, valid);
    };
    match rng.random_bool(0.3) {
        true => text::step(rng, &mut header),
        false => bytes::step(rng, &mut header, &[]),
    }
    let values = input.get(end.next_multiple_of(256)..).unwrap_or_default();
    let values = values.to_vec();
    input.truncate(10);
    input[6..].copy_from_slice(
        &u32::try_from(header.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    input.extend(header);
    input.resize(input.len().next_multiple_of(256), 0);
    input.extend(values);
}

fn replace(input: &mut Vec<u8>, start: usize, end: usize, by: &[u8]) {
    input.splice(start..end, by.iter().copied());
}
