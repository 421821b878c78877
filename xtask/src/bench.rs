//! `cargo xtask bench`: builds the benchmark in release mode and runs it, from the current directory.

use std::{env, ffi::OsString};

use crate::{
    Outcome,
    cargo::{cargo, exit_code, manifest_path},
    features::Features,
};

/// Tells the benchmark, which cargo starts from its package's folder, where relative paths are meant from.
const CALLED_FROM: &str = "MMREST_CALLED_FROM";

/// `cargo bench`, with the features of a run, and the arguments unchanged.
pub(crate) fn main(args: &[OsString]) -> Outcome {
    let here =
        env::current_dir().map_err(|error| format!("cannot tell the current folder: {error}"))?;
    let status = cargo()
        .args([
            "bench",
            "--quiet",
            "--package",
            "mmrest",
            "--bench",
            "speed",
        ])
        .args(manifest_path())
        .args(Features::for_program(args).arguments())
        .arg("--")
        .args(args)
        .env(CALLED_FROM, here)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    Ok(exit_code(status))
}
