//! Nothing is lost: runs that are killed, damaged, out of space, met by a number that is none, resumed with something
//! changed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod changed;
mod damaged;
mod degenerate;
mod faults;
mod killed;
mod non_finite;
