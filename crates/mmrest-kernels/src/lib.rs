#![doc = include_str!("../README.md")]

pub mod activation;
pub mod adam;
pub mod dropout;
pub mod embedding;
pub mod gpu;
pub mod gradient;
pub mod host;
pub mod init;
pub mod linear;
pub mod node;
pub mod norm;
pub mod operation;
pub mod product;
pub mod scratch;
pub mod vector;
