//! `mmrest serve` as its users meet it: the program, a trained run, real connections.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod browser;
#[path = "../common/mod.rs"]
mod common;
mod load;
mod page;
mod program;
mod recording;
