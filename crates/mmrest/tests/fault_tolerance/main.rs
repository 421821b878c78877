//! Training survives whatever happens to it: runs that are killed, damaged, out of space, that meet numbers which are not
//! finite, or that are resumed with something changed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod changed;
#[path = "../common/mod.rs"]
mod common;
mod damaged;
mod degenerate;
mod faults;
mod killed;
mod non_finite;

use std::process::Command;

/// Standard error of a command that must succeed.
fn succeed(command: &mut Command) -> String {
    common::stderr(&common::succeed_with(command))
}
