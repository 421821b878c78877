//! Who is told how far a download is.

use std::time::Duration;

/// Is told how far downloads are. Rates and pictures are up to the one who listens.
pub trait Progress {
    /// A file of `total` bytes, if the server said how many, goes on from byte `position`. Comes again after a broken
    /// connection.
    fn begin(&self, name: &str, position: u64, total: Option<u64>);
    /// The bytes up to `position` are there.
    fn advance(&self, position: u64);
    /// A try failed for this reason, the `failures`-th in a row; the next begins after `wait`.
    fn retry(&self, reason: &str, failures: u32, wait: Duration);
    /// All of a file is there and is being checked.
    fn check(&self, name: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _name: &str, _position: u64, _total: Option<u64>) {}
    fn advance(&self, _position: u64) {}
    fn retry(&self, _reason: &str, _failures: u32, _wait: Duration) {}
    fn check(&self, _name: &str) {}
}
