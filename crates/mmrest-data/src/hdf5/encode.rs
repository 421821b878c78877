//! Little-endian numbers, one after another.

/// An address that points nowhere.
pub(super) const NOWHERE: u64 = u64::MAX;

/// The next multiple of 8: where every object of a file starts.
pub(super) const fn aligned(at: u64) -> u64 {
    at.next_multiple_of(8)
}

/// Bytes to which fields are appended.
pub(super) trait Put: Sized {
    fn put(self, bytes: &[u8]) -> Self;

    fn u8(self, value: u8) -> Self {
        self.put(&[value])
    }

    fn u16(self, value: u16) -> Self {
        self.put(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.put(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.put(&value.to_le_bytes())
    }
}

impl Put for Vec<u8> {
    fn put(mut self, bytes: &[u8]) -> Self {
        self.extend_from_slice(bytes);
        self
    }
}

/// Fills up with zeros to a multiple of 8.
pub(super) fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Numbers as a dataset holds them.
pub(crate) trait Bytes {
    /// All of them, little-endian.
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! bytes {
    ($($number:ty)*) => {$(
        impl Bytes for [$number] {
            fn bytes(&self) -> Vec<u8> {
                let mut bytes = vec![0; size_of_val(self)];
                let (places, _) = bytes.as_chunks_mut::<{ size_of::<$number>() }>();
                for (place, number) in places.iter_mut().zip(self) {
                    *place = number.to_le_bytes();
                }
                bytes
            }
        }
    )*};
}

bytes!(f32 f64 i64);

/// Strings as a dataset holds them: each filled up with NUL to `size` bytes.
pub(crate) fn string_bytes<'a>(words: impl IntoIterator<Item = &'a str>, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend_from_slice(word.as_bytes());
        bytes.resize(bytes.len() + size.saturating_sub(word.len()), 0);
    }
    bytes
}
