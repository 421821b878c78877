//! Distances and `L_MMC` as single operations on the CPU, each with its backward written by hand.
//!
//! Their matrices are small: burn's bookkeeping and the memory of every intermediate result would cost more than the
//! arithmetic. Tensors on any other device, or of another element type, take burn's own operations, which compute the
//! same.
//!
//! How work is cut into parts depends on the shapes alone, never on the number of threads, and parts are added up in a
//! fixed order: the numbers are the same on one thread and on many.

pub(crate) mod forms;
#[cfg(test)]
pub(crate) mod testing;
