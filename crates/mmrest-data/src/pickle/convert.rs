//! From an element's bytes to numbers and text.

use half::f16;

use super::dtype::{ByteOrder, DType, Element};

/// Numbers of any type as f32, or none where they are not numbers.
pub(super) fn to_f32(bytes: &[u8], dtype: DType) -> Option<Vec<f32>> {
    if (dtype.element, dtype.size) == (Element::Float, 4) {
        return Some(each(bytes, dtype.order, f32::from_le_bytes));
    }
    #[allow(clippy::cast_possible_truncation)]
    let values = to_f64(bytes, dtype)?.into_iter().map(|value| value as f32);
    Some(values.collect())
}

/// Numbers of any type as f64 (integers beyond 2^53 to the nearest), or none where they are not numbers.
#[allow(clippy::cast_precision_loss)]
pub(super) fn to_f64(bytes: &[u8], dtype: DType) -> Option<Vec<f64>> {
    let order = dtype.order;
    Some(match (dtype.element, dtype.size) {
        (Element::Float, 2) => map(bytes, order, |b| f16::from_le_bytes(b).to_f64()),
        (Element::Float, 4) => map(bytes, order, |b| f64::from(f32::from_le_bytes(b))),
        (Element::Float, 8) => each(bytes, order, f64::from_le_bytes),
        _ => to_i128(bytes, dtype)?
            .into_iter()
            .map(|value| value as f64)
            .collect(),
    })
}

/// Integers and truth values, or none where they are not.
pub(super) fn to_i128(bytes: &[u8], dtype: DType) -> Option<Vec<i128>> {
    let order = dtype.order;
    Some(match (dtype.element, dtype.size) {
        (Element::Bool, 1) => map(bytes, order, |[b]| i128::from(b != 0)),
        (Element::Int, 1) => map(bytes, order, |b| i8::from_le_bytes(b).into()),
        (Element::Int, 2) => map(bytes, order, |b| i16::from_le_bytes(b).into()),
        (Element::Int, 4) => map(bytes, order, |b| i32::from_le_bytes(b).into()),
        (Element::Int, 8) => map(bytes, order, |b| i64::from_le_bytes(b).into()),
        (Element::UInt, 1) => map(bytes, order, |b| u8::from_le_bytes(b).into()),
        (Element::UInt, 2) => map(bytes, order, |b| u16::from_le_bytes(b).into()),
        (Element::UInt, 4) => map(bytes, order, |b| u32::from_le_bytes(b).into()),
        (Element::UInt, 8) => map(bytes, order, |b| u64::from_le_bytes(b).into()),
        _ => return None,
    })
}

/// Bytes without the zeros that fill them up.
pub(super) fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0);
    bytes
        .get(..end.map_or(0, |end| end + 1))
        .unwrap_or_default()
}

/// Four-byte characters without the zeros that fill them up; none where one is no character.
pub(super) fn text(bytes: &[u8], order: ByteOrder) -> Option<String> {
    let mut letters = each(bytes, order, u32::from_le_bytes);
    while letters.last() == Some(&0) {
        letters.pop();
    }
    letters.into_iter().map(char::from_u32).collect()
}

fn each<const N: usize, T>(bytes: &[u8], order: ByteOrder, read: fn([u8; N]) -> T) -> Vec<T> {
    map(bytes, order, read)
}

fn map<const N: usize, T>(bytes: &[u8], order: ByteOrder, read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    match order {
        ByteOrder::Little => elements.iter().map(|&element| read(element)).collect(),
        ByteOrder::Big => elements
            .iter()
            .map(|&(mut element)| {
                element.reverse();
                read(element)
            })
            .collect(),
    }
}
