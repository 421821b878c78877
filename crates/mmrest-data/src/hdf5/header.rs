//! Object headers: what a dataset or a group says about itself.

use std::io;

use super::encode::{Put, padded};

/// Type of a dataset's elements, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed integers of 8 bytes.
    I64,
    /// Bytes.
    U8,
    /// Strings of this many bytes, filled up with NUL.
    Text {
        /// Bytes of each; not 0.
        bytes: u32,
        /// Whether any has more than ASCII.
        utf8: bool,
    },
}

impl Kind {
    /// The type that holds these strings.
    pub(crate) fn text<'a>(words: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        let (mut longest, mut utf8) = (1, false);
        for word in words {
            if word.contains('\0') {
                return Err(invalid(format!("{word:?} has a NUL")));
            }
            longest = longest.max(word.len());
            utf8 |= !word.is_ascii();
        }
        let bytes =
            u32::try_from(longest).map_err(|_| invalid(format!("a string of {longest} bytes")))?;
        Ok(Self::Text { bytes, utf8 })
    }

    /// Bytes of an element.
    pub(crate) fn size(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::F64 | Self::I64 => 8,
            Self::U8 => 1,
            Self::Text { bytes, .. } => bytes,
        }
    }

    /// The datatype message.
    pub(super) fn message(self) -> Vec<u8> {
        match self {
            Self::F32 => float(31, 4, [23, 8, 0, 23], 127),
            Self::F64 => float(63, 8, [52, 11, 0, 52], 1023),
            Self::I64 => integer(0x08, 8),
            Self::U8 => integer(0x00, 1),
            Self::Text { bytes, utf8 } => {
                let null_padded = 1 | u8::from(utf8) << 4;
                vec![0x13, null_padded, 0, 0].u32(bytes)
            }
        }
    }
}

/// `layout`: where the exponent is and its size, where the mantissa is and its size; the mantissa's first bit is implied.
fn float(sign: u8, size: u32, layout: [u8; 4], bias: u32) -> Vec<u8> {
    let bits = u16::from(sign) + 1;
    vec![0x11, 0x20, sign, 0]
        .u32(size)
        .u16(0)
        .u16(bits)
        .put(&layout)
        .u32(bias)
}

fn integer(signed: u8, size: u8) -> Vec<u8> {
    vec![0x10, signed, 0, 0]
        .u32(size.into())
        .u16(0)
        .u16(u16::from(size) * 8)
}

/// A string of any length in UTF-8: its elements are references into a global heap.
pub(super) fn variable_text() -> Vec<u8> {
    vec![0x19, 0x01, 0x01, 0]
        .u32(REFERENCE)
        .put(&integer(0x00, 1))
}

/// Bytes of a reference into a global heap: length, the collection's address, the object's number.
pub(super) const REFERENCE: u32 = 16;

/// How the elements are stored.
pub(super) enum Layout {
    /// One after another, at an address.
    Contiguous { address: u64, size: u64 },
    /// gzip over chunks of this shape, which a B-tree lists.
    Gzip {
        tree: u64,
        chunk: Vec<u32>,
        element: u32,
        level: u32,
    },
}

/// The object header of a dataset.
pub(super) fn dataset(kind: &[u8], shape: &[u64], layout: &Layout) -> io::Result<Vec<u8>> {
    let rank = u8::try_from(shape.len()).map_err(|_| invalid("too many dimensions"))?;
    let dimensions = vec![1, rank, 0, 0, 0, 0, 0, 0];
    let dimensions = shape.iter().fold(dimensions, |message, &n| message.u64(n));
    let mut messages = vec![(0x01, dimensions), (0x03, kind.to_vec())];
    match layout {
        Layout::Contiguous { address, size } => {
            messages.push((0x05, fill_value(2)));
            messages.push((0x08, vec![3, 1].u64(*address).u64(*size)));
        }
        Layout::Gzip {
            tree,
            chunk,
            element,
            level,
        } => {
            let layout = vec![3, 2, rank + 1].u64(*tree);
            let layout = chunk.iter().fold(layout, |message, &n| message.u32(n));
            messages.push((0x05, fill_value(3)));
            messages.push((0x0B, deflate(*level)));
            messages.push((0x08, layout.u32(*element)));
        }
    }
    object(&messages)
}

/// The object header of a group.
pub(super) fn group(tree: u64, heap: u64) -> io::Result<Vec<u8>> {
    object(&[(0x11, Vec::new().u64(tree).u64(heap))])
}

/// Zeros, written only where asked for; `allocated`: 2 late, 3 chunk by chunk.
fn fill_value(allocated: u8) -> Vec<u8> {
    vec![2, allocated, 2, 1].u32(0)
}

/// A pipeline of one filter, number 1, which readers may refuse to undo.
fn deflate(level: u32) -> Vec<u8> {
    vec![1, 1, 0, 0, 0, 0, 0, 0]
        .u16(1)
        .u16(8)
        .u16(1)
        .u16(1)
        .put(b"deflate\0")
        .u32(level)
}

/// An object header of version 1: messages, each filled up to a multiple of 8 bytes.
fn object(messages: &[(u16, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    for (kind, message) in messages {
        let message = padded(message.clone());
        let size = u16::try_from(message.len()).map_err(|_| invalid("too many dimensions"))?;
        body = body.u16(*kind).u16(size).u32(0).put(&message);
    }
    let count = u16::try_from(messages.len()).map_err(|_| invalid("too many messages"))?;
    let size = u32::try_from(body.len()).map_err(|_| invalid("too many messages"))?;
    Ok(vec![1, 0].u16(count).u32(1).u32(size).u32(0).put(&body))
}

/// Something that HDF5 cannot hold.
pub(super) fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason.into())
}
