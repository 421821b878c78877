#![doc = include_str!("../README.md")]

pub mod align;
pub mod catalogue;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod inspect;
pub mod sample;
pub mod verify;
mod weights;
