//! Reading forward through the file, with every size checked first.

use std::sync::Arc;

use super::payload::{Payload, SMALL};
use super::store::Store;
use crate::Result;

/// Read ahead by this many bytes.
const BUFFER: usize = 64 * 1024;

/// All small payloads together; beyond it even small ones stay in the file.
const IN_MEMORY: usize = 64 << 20;

/// No name of a global is longer.
const LONGEST_LINE: usize = 1024;

/// A place in the file.
pub(super) struct Input {
    store: Arc<Store>,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    start: u64,
    position: u64,
    in_memory: usize,
}

impl Input {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self {
            store: Arc::clone(store),
            buffer: Vec::new(),
            start: 0,
            position: 0,
            in_memory: 0,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Refuses a size that the rest of the file does not hold.
    pub(super) fn check(&self, bytes: u64, what: &str) -> Result<()> {
        let left = self.store.length() - self.position;
        if bytes > left {
            let reason = format!("{what} of {bytes} bytes, but the file ends after {left} more");
            return Err(self.store.wrong(self.position, reason));
        }
        Ok(())
    }

    /// The next bytes, at most [`SMALL`].
    pub(super) fn take(&mut self, bytes: usize) -> Result<&[u8]> {
        if bytes as u64 > self.store.length() - self.position {
            let reason = "the file ends in the middle of the pickle; it was cut short";
            return Err(self.store.wrong(self.store.length(), reason));
        }
        let mut from = usize::try_from(self.position - self.start).unwrap_or(usize::MAX);
        if from.saturating_add(bytes) > self.buffer.len() {
            self.fill(bytes)?;
            from = 0;
        }
        self.position += bytes as u64;
        let end = self.position;
        let taken = self.buffer.get(from..from + bytes);
        taken.ok_or_else(|| self.store.wrong(end, "nothing could be read"))
    }

    /// Reads ahead from the position.
    fn fill(&mut self, bytes: usize) -> Result<()> {
        let left = self.store.length() - self.position;
        let size = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        self.buffer.resize(size.max(bytes), 0);
        self.start = self.position;
        self.store.read_at(self.position, &mut self.buffer)
    }

    /// The next bytes as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A size of 1, 4 or 8 bytes.
    pub(super) fn size(&mut self, width: usize) -> Result<u64> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// A line of text, without its end.
    pub(super) fn line(&mut self) -> Result<String> {
        let begin = self.position;
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte => line.push(byte),
            }
            if line.len() > LONGEST_LINE {
                let reason = format!("a name of more than {LONGEST_LINE} bytes");
                return Err(self.store.wrong(begin, reason));
            }
        }
        String::from_utf8(line)
            .map_err(|_| self.store.wrong(begin, "a name that is not UTF-8 text"))
    }

    /// So many bytes of data: a few are read, many stay where they are.
    pub(super) fn payload(&mut self, bytes: u64, what: &str) -> Result<Payload> {
        self.check(bytes, what)?;
        let small = match usize::try_from(bytes) {
            Ok(small) if small <= SMALL && self.in_memory + small <= IN_MEMORY => small,
            _ => {
                let offset = self.position;
                self.position += bytes;
                return Ok(Payload::file(&self.store, offset, bytes));
            }
        };
        self.in_memory += small;
        Ok(Payload::memory(self.take(small)?))
    }
}
