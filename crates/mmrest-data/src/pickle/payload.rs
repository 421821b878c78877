//! The bytes of a string or an array: in memory when few, in the file when many.

use std::sync::Arc;

use super::store::Store;
use crate::Result;

/// More bytes than this stay in the file.
pub(super) const SMALL: usize = 64 * 1024;

/// Decoded bytes between two places of a Latin-1 payload that can be gone to directly.
const STEP: u64 = 4096;

/// Bytes read at a time while decoding.
const CHUNK: usize = 1 << 20;

/// Some bytes.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// These.
    Memory(Arc<[u8]>),
    /// A stretch of the file.
    File(Arc<Stretch>),
    /// A stretch of the file where each byte is written as one or two of UTF-8.
    Latin1(Arc<Latin1>),
}

/// A stretch of the file.
#[derive(Debug)]
pub(super) struct Stretch {
    store: Arc<Store>,
    offset: u64,
    length: u64,
}

/// Bytes written as UTF-8 text of the characters U+0000 to U+00FF, as protocol 2 does.
#[derive(Debug)]
pub(super) struct Latin1 {
    encoded: Arc<Stretch>,
    /// Decoded length.
    length: u64,
    /// Where in `encoded` every [`STEP`]-th decoded byte begins.
    places: Vec<u64>,
}

impl Payload {
    pub(super) fn memory(bytes: &[u8]) -> Self {
        Self::Memory(bytes.into())
    }

    pub(super) fn file(store: &Arc<Store>, offset: u64, length: u64) -> Self {
        Self::File(Arc::new(Stretch {
            store: Arc::clone(store),
            offset,
            length,
        }))
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(stretch) => stretch.length,
            Self::Latin1(latin1) => latin1.length,
        }
    }

    /// Those in memory.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::File(_) | Self::Latin1(_) => None,
        }
    }

    /// Fills a buffer from an offset; false where the payload does not hold so many bytes.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let within = offset
            .checked_add(buffer.len() as u64)
            .is_some_and(|end| end <= self.len());
        if !within {
            return Ok(false);
        }
        match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let Some(bytes) = bytes.get(from..from.saturating_add(buffer.len())) else {
                    return Ok(false);
                };
                buffer.copy_from_slice(bytes);
            }
            Self::File(stretch) => stretch.store.read_at(stretch.offset + offset, buffer)?,
            Self::Latin1(latin1) => latin1.read(offset, buffer)?,
        }
        Ok(true)
    }

    /// All of them, for those known to be few.
    pub(super) fn all(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len()).unwrap_or(0)];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes that this text stands for in Latin-1; none where it is no such text.
    pub(super) fn latin1(&self) -> Result<Option<Self>> {
        match self {
            Self::Memory(text) => {
                let mut decoder = Decoder::default();
                let mut bytes = Vec::with_capacity(text.len());
                let good = decoder.feed(text, |byte| bytes.push(byte)) && decoder.at_rest();
                Ok(good.then(|| Self::memory(&bytes)))
            }
            Self::File(stretch) => {
                Ok(Latin1::scan(stretch)?.map(|bytes| Self::Latin1(Arc::new(bytes))))
            }
            Self::Latin1(_) => Ok(None),
        }
    }
}

impl Stretch {
    /// Calls `visit` with the bytes from an offset on, some at a time, until it says false.
    fn chunks(
        &self,
        mut offset: u64,
        chunk: usize,
        mut visit: impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        let mut buffer = vec![0; chunk];
        while offset < self.length {
            let left = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
            let buffer = &mut buffer[..left.min(chunk)];
            self.store.read_at(self.offset + offset, buffer)?;
            offset += buffer.len() as u64;
            if !visit(buffer) {
                break;
            }
        }
        Ok(())
    }
}

impl Latin1 {
    /// Reads a text once, in pieces, to count its characters and to find places in it.
    fn scan(encoded: &Arc<Stretch>) -> Result<Option<Self>> {
        let (mut length, mut places, mut read) = (0_u64, Vec::new(), 0_u64);
        let mut decoder = Decoder::default();
        let mut good = true;
        encoded.chunks(0, CHUNK, |text| {
            for (&byte, at) in text.iter().zip(read..) {
                let first = decoder.at_rest();
                if first && length.is_multiple_of(STEP) {
                    places.push(at);
                }
                length += u64::from(first);
                good &= decoder.step(byte).is_some();
            }
            read += text.len() as u64;
            good
        })?;
        Ok((good && decoder.at_rest()).then(|| Self {
            encoded: Arc::clone(encoded),
            length,
            places,
        }))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let step = usize::try_from(offset / STEP).unwrap_or(usize::MAX);
        let Some(&place) = self.places.get(step) else {
            return Ok(());
        };
        let mut skip = offset % STEP;
        let mut decoder = Decoder::default();
        let wanted = buffer.len();
        let mut free = buffer.iter_mut();
        // Bytes are about half of them two: one and a half times, and a little for the step.
        let chunk = (wanted + wanted / 2 + STEP as usize).min(CHUNK);
        self.encoded.chunks(place, chunk, |text| {
            decoder.feed(text, |byte| {
                if skip > 0 {
                    skip -= 1;
                } else if let Some(slot) = free.next() {
                    *slot = byte;
                }
            }) && free.len() > 0
        })
    }
}

/// From UTF-8 to Latin-1, a byte at a time.
#[derive(Default)]
struct Decoder {
    /// The first of two bytes, when it has been seen.
    first: Option<u8>,
}

impl Decoder {
    fn at_rest(&self) -> bool {
        self.first.is_none()
    }

    /// What one more byte completes, if anything; none for what is not Latin-1.
    fn step(&mut self, byte: u8) -> Option<Option<u8>> {
        match (self.first.take(), byte) {
            (None, 0..0x80) => Some(Some(byte)),
            (None, 0xC2 | 0xC3) => {
                self.first = Some(byte);
                Some(None)
            }
            (Some(first), 0x80..0xC0) => Some(Some((first & 0x03) << 6 | (byte & 0x3F))),
            _ => None,
        }
    }

    /// Hands on every byte that is complete, and says whether all was Latin-1.
    fn feed(&mut self, text: &[u8], mut found: impl FnMut(u8)) -> bool {
        for &byte in text {
            match self.step(byte) {
                Some(Some(byte)) => found(byte),
                Some(None) => {}
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload in a file of its own, with a byte before and after it.
    fn in_file(text: &str) -> (tempfile::TempDir, Payload) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, format!("x{text}x")).unwrap();
        let store = Arc::new(Store::open(&path).unwrap());
        let payload = Payload::file(&store, 1, text.len() as u64);
        (folder, payload)
    }

    #[test]
    fn text_in_the_file_decodes_to_the_same_bytes_from_any_place() {
        let bytes: Vec<u8> = (0..30_000_u32).map(|i| (i * i / 7 % 256) as u8).collect();
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        let (_folder, payload) = in_file(&text);
        let decoded = payload.latin1().unwrap().unwrap();
        assert_eq!(decoded.len(), 30_000);
        assert_eq!(decoded.all().unwrap(), bytes);
        for (from, length) in [
            (0, 1),
            (4095, 2),
            (4096, 4096),
            (12_345, 17_655),
            (29_999, 1),
            (30_000, 0),
        ] {
            let mut part = vec![0; length];
            assert!(decoded.read(from as u64, &mut part).unwrap());
            assert_eq!(part, bytes[from..from + length], "{from}+{length}");
        }
        assert!(!decoded.read(29_999, &mut [0; 2]).unwrap());
    }

    #[test]
    fn text_beyond_latin1_has_no_bytes() {
        for text in ["漢", "aĀ", "🙂"] {
            let (_folder, payload) = in_file(text);
            assert!(payload.latin1().unwrap().is_none(), "{text}");
            let payload = Payload::memory(text.as_bytes());
            assert!(payload.latin1().unwrap().is_none(), "{text}");
        }
        let half = Payload::memory(&"é".as_bytes()[..1]);
        assert!(half.latin1().unwrap().is_none());
    }
}
