//! The Rust code of the project's pages, run as doctests: this crate knows all the others.

#[doc = include_str!("../../../README.md")]
struct Readme;

#[doc = include_str!("../../../docs/src/data-formats.md")]
struct DataFormats;

#[doc = include_str!("../../../docs/src/predict.md")]
struct Predict;
