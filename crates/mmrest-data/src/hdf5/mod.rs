//! Writing HDF5 files as they come, in the format every reader knows.
//!
//! Superblock version 0, object headers version 1, groups as symbol tables (a version 1 B-tree over sorted names, which
//! are in a local heap): what `libhdf5` itself writes when nothing else is asked of it. A group may have any number
//! of members. Datasets go to the file at once; names and addresses are all that is remembered of them until their
//! group is closed. Times are not recorded: identical input gives identical bytes.
//!
//! The format is that of the *HDF5 File Format Specification*, version 3.0.

mod encode;
mod group;
mod header;
mod sink;
mod strings;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use encode::{Bytes, string_bytes};
pub(crate) use header::Kind;
pub(crate) use sink::{Sink, is_name};
