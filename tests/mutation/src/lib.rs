//! What stands between the world and this project: every reader, tried with damaged and hostile files.
//!
//! | module | holds |
//! |---|---|
//! | [`mutator`] | valid bytes in, damaged bytes out; the same for the same number |
//! | [`seed`] | the small valid files that are damaged, made here |
//! | [`read`] | one function for each kind of input, which reads all there is to read in it |
//! | [`memory`] | an allocator that counts |
//! | [`trial`] | thousands of inputs through a reader, and what must not happen |
//!
//! The mutation tests (`tests/mutants`) and the fuzz targets (`../fuzz`) are made of these.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test's own files and folders.

mod bytes;
mod containers;
mod hdf5;
pub mod memory;
pub mod mutator;
pub mod read;
pub mod seed;
mod text;
pub mod trial;
