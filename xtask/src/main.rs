//! `cargo xtask <command>`: the one way in.
//!
//! Its own commands (`test`, `lint`, `bench`, `doctor`, `gpu-setup`, `help`) live in a file each; every other command is
//! the program's: `mmrest` is built in release mode with the cargo features this machine and the arguments ask for, and
//! started with the arguments unchanged. Nothing here depends on burn, so that this compiles in a moment.

mod bench;
mod cargo;
mod cuda;
mod deny;
mod doctor;
mod features;
mod gpu_setup;
mod help;
mod library;
mod lint;
mod machine;
mod run;
mod terminal;
mod test;

use std::{env, ffi::OsString, process::ExitCode};

/// What a command comes to: the exit code, or one sentence that says why there is none.
type Outcome = Result<ExitCode, String>;

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    dispatch(&args).unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::FAILURE
    })
}

/// Chooses the command by the first argument alone.
fn dispatch(args: &[OsString]) -> Outcome {
    match args.first().map(|first| first.to_string_lossy()).as_deref() {
        None => help::main(&[]),
        Some("help" | "-h" | "--help") => help::main(&args[1..]),
        Some("test") => test::main(&args[1..]),
        Some("lint") => lint::main(&args[1..]),
        Some("bench") => bench::main(&args[1..]),
        Some("doctor") => doctor::main(&args[1..]),
        Some("gpu-setup") => gpu_setup::main(&args[1..]),
        Some(_) => run::main(args),
    }
}
