//! What other programs make of the program's files: onnxruntime, transformers, NumPy, TensorBoard, pandas. Where Python or a
//! package is not there, its part is skipped with a note; `MMREST_PYTHON` names another interpreter than `python3`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod container;
mod embeddings;
mod events;
mod onnx;
mod pages;
mod python;
mod weights;
