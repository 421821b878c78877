//! What the server takes, holds and waits for at most.

use std::time::Duration;

/// Bytes of text a segment may have: the text encoder reads the first tokens alone, and far fewer than these hold.
pub(crate) const MOST_TEXT: usize = 64 << 10;

/// Frames of one modality a segment may have.
pub(crate) const MOST_FRAMES: usize = 20_000;

/// Frames that a batch may come to when its segments are padded to the longest: bounds its memory.
pub(super) const MOST_PADDED: usize = 64_000;

/// Connections that are open at one time; more wait to be taken up.
pub(super) const MOST_CONNECTIONS: usize = 512;

/// How long the head of a request may take to come, and a connection stay idle.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// Bodies of the greatest size that are held at one time, from the first byte to the answer.
pub(super) const MOST_BODIES: usize = 8;

/// What may be chosen on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Segments a batch.
    pub(crate) batch: usize,
    /// How long a batch that is not full waits for more.
    pub(crate) wait: Duration,
    /// Segments that wait to be scored.
    pub(crate) queue: usize,
    /// Bytes of a request's body.
    pub(crate) body: usize,
    /// From the head of a request to its answer.
    pub(crate) timeout: Duration,
    /// From being asked to stop to the end.
    pub(crate) drain: Duration,
}
