//! Reusable buffers: fresh memory from the system costs a page fault every 4 KiB.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// How many buffers, and how many values in all, wait to be used again at most: 256 MiB.
const MOST_BUFFERS: usize = 128;
const MOST_VALUES: usize = 1 << 26;

static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// A buffer that an operation keeps until its backward pass. Its values are arbitrary at first: write before you read.
///
/// ```
/// use mmrest_kernels::scratch::Scratch;
///
/// let mut buffer = Scratch::new(3);
/// buffer.copy_from_slice(&[1.0, 2.0, 3.0]);
/// assert_eq!(buffer[1..], [2.0, 3.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Scratch(Vec<f32>);

impl Scratch {
    /// A buffer of `len` values, from memory that was dropped before where there is some of about that size.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<f32>| buffer.len() >= len && buffer.len() / 2 <= len;
        let best = (0..free.len())
            .filter(|index| fits(&free[*index]))
            .min_by_key(|index| free[*index].len());
        let found = best.map(|index| free.swap_remove(index));
        drop(free);
        let mut values = found.unwrap_or_else(|| vec![0.0; len]);
        values.truncate(len);
        Self(values)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut values = std::mem::take(&mut self.0);
        let whole = values.capacity();
        values.resize(whole, 0.0);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = free.iter().map(Vec::len).sum();
        if free.len() < MOST_BUFFERS && held + whole <= MOST_VALUES {
            free.push(values);
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// Cuts a slice into consecutive parts of the given lengths.
///
/// # Panics
///
/// When the lengths add up to more than the slice has.
#[must_use]
pub fn parts(mut values: &mut [f32], lengths: impl IntoIterator<Item = usize>) -> Vec<&mut [f32]> {
    let mut parts = Vec::new();
    for length in lengths {
        let (part, rest) = values.split_at_mut(length);
        parts.push(part);
        values = rest;
    }
    parts
}
