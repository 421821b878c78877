//! Whole layers as single operations on the CPU, each with its backward written by hand.
//!
//! burn records a node for every tensor operation and gives every result new memory. On the CPU, where a layer's
//! arithmetic is small, that costs more than the arithmetic. What is here computes a layer in one go on slices of
//! `f32` and records one node for it. Tensors on any other device, or of another element type, take burn's own
//! operations, which compute the same.
//!
//! How work is cut into parts depends on the shapes alone, never on the number of threads, and parts are added up in a
//! fixed order: the numbers are the same on one thread and on many.

mod gemm;
mod math;
mod operation;
mod scratch;

pub(crate) mod attention;
pub(crate) mod gelu;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod norm;
pub(crate) mod random;

pub(crate) use operation::takes;
