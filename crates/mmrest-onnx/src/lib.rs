#![doc = include_str!("../README.md")]

mod graph;
mod proto;

pub use graph::{Attribute, Dim, Element, Graph, OnnxError, Value};
