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
