//! An allocator that counts: how much memory a reader takes, and the most it asks for at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in use.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most in use since it was last set back.
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// How often more than [`LIMIT`] was in use, or asked for.
static EXCEEDED: AtomicUsize = AtomicUsize::new(0);

/// What no input may cause to be in use.
pub const LIMIT: usize = 512 << 20;

/// The system's allocator, counted. A test binary makes it its own:
/// `#[global_allocator] static COUNTED: Counted = Counted;`
#[derive(Debug)]
pub struct Counted;

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Relaxed) + by;
    PEAK.fetch_max(live, Relaxed);
    if live > LIMIT {
        EXCEEDED.fetch_add(1, Relaxed);
    }
}

fn shrunk(by: usize) {
    LIVE.fetch_sub(by, Relaxed);
}

/// Takes back what was counted for a request that was not granted.
fn granted(place: *mut u8, by: usize) -> *mut u8 {
    if place.is_null() {
        shrunk(by);
    }
    place
}

// Counting what is allocated is an allocator's affair alone, and an allocator cannot be written without `unsafe`. Every call
// is handed to the system's allocator as it comes; what is added touches atomics and allocates nothing.
#[allow(unsafe_code)]
// SAFETY: the contract of each function is that of the one of `System` it calls with the same arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        granted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        granted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        // SAFETY: as above.
        let moved = granted(unsafe { System.realloc(place, layout, size) }, size);
        if !moved.is_null() {
            shrunk(layout.size());
        }
        moved
    }
}

/// How often the limit was exceeded since the program began.
#[must_use]
pub fn exceeded() -> usize {
    EXCEEDED.load(Relaxed)
}

/// What `work` gives, and the most memory in use at once while it ran beyond what was in use before. Nothing else should
/// allocate meanwhile.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let made = work();
    (made, PEAK.load(Relaxed).saturating_sub(before))
}
