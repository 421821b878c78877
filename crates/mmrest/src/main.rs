//! The program: trains, evaluates and uses MMRest.
//!
//! Exit codes: 0 success; 1 an error, reported in one sentence; 2 wrong arguments; 3 `predict` or `data extract` skipped
//! some of the input; 130 interrupted (a run can be resumed; other files that were not finished are removed).

mod arguments;
mod commands;
mod display;
#[cfg(test)]
mod documented;
mod failure;
mod interrupt;
mod lines;
mod logging;
mod numbers;
mod palette;
mod player;
mod plot;
mod project;
mod recording;
mod report;
mod screen;
mod serve;
mod shipped;
mod study;
mod tensorboard;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

/// The exit code of wrong arguments.
const WRONG_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    pin_default_device();
    mmrest_learner::keep_freed_memory();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            screen::wrong_arguments(&error);
            return ExitCode::from(WRONG_ARGUMENTS);
        }
        // Help or version, which clap folds itself.
        Err(error) => error.exit(),
    };
    interrupt::block(matches!(arguments.command, Command::Serve(_)));
    let backend = arguments.command.backend();
    let outcome =
        interrupt::listen().and_then(|()| failure::catch_panic(backend, || run(arguments.command)));
    match outcome {
        Ok(code) => code,
        Err(error) if failure::reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) if failure::was_asked_for(&error) => {
            interrupt::say("interrupted");
            interrupt::code()
        }
        Err(error) => {
            screen::error(&failure::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(mut command: Command) -> anyhow::Result<ExitCode> {
    command.find_runs()?;
    match command {
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Ablate(arguments) => commands::ablate::run(&arguments),
        Command::Eval(arguments) => commands::eval::run(&arguments),
        Command::Calibrate(arguments) => commands::eval::run_calibrate(&arguments),
        Command::Predict(arguments) => commands::predict::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Export(arguments) => commands::export::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Conformance(arguments) => commands::eval::run_conformance(&arguments),
        Command::Data(command) => commands::data::run(&command),
        Command::Completions(arguments) => commands::completions::run_completions(&arguments),
        Command::Man(arguments) => commands::completions::run_man(&arguments),
    }
}

/// burn loads optimiser states by way of its default device, which prefers a GPU wherever one is built in and panics
/// without a driver. The CPU is always there; states move to their parameters' device at the next step.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn pin_default_device() {
    if std::env::var_os("BURN_DEVICE").is_none() {
        // SAFETY: the first thing the program does, while it has one thread.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("BURN_DEVICE", "flex");
        }
    }
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
fn pin_default_device() {}
