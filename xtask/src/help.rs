//! `cargo xtask help`: every command, this crate's and the program's.

use std::{ffi::OsString, process::ExitCode};

use crate::{Outcome, features::VARIABLE, run};

/// This crate's own commands.
const OWN: &[(&str, &str)] = &[
    (
        "test [FILTER]",
        "every test and doctest, in release mode; then those of the optional system libraries found",
    ),
    (
        "lint",
        "formatting, clippy, documentation, the optional features (CUDA is built where its LLVM is), and the dependencies",
    ),
    (
        "bench [NAME...]",
        "how long training and prediction take: alone, beside PyTorch, or beside a saved baseline",
    ),
    (
        "doctor",
        "what this machine has, and what to install for what it lacks",
    ),
    (
        "gpu-setup",
        "fetch the LLVM that --backend cuda is built with; --check says only whether it is there",
    ),
    (
        "help [COMMAND]",
        "this table, or the program's help for one of its commands",
    ),
];

/// The program's commands. `mmrest help` is their reference.
const PROGRAM: &[(&str, &str)] = &[
    (
        "train",
        "train a model from a configuration; every run has a folder of its own",
    ),
    (
        "ablate",
        "train variants of a configuration with several seeds, and compare them",
    ),
    ("eval", "figures of a trained model on a split"),
    (
        "calibrate",
        "intervals of a trained model from all its training and validation videos",
    ),
    ("predict", "scores of segments by a trained model"),
    (
        "serve",
        "scores over HTTP, with a page to try a model in a browser",
    ),
    (
        "export",
        "a model as an ONNX graph, or its text encoder for transformers",
    ),
    (
        "report",
        "a page of pictures, measures and cases of a run; several runs side by side",
    ),
    (
        "data inspect",
        "what a file or folder of data is and holds, and what of it can be used",
    ),
    (
        "data verify",
        "a data set against what is known of it: counts, folds, checksums",
    ),
    (
        "data align",
        "align computational sequences as the CMU-MultimodalSDK does",
    ),
    (
        "data extract",
        "recordings and transcripts as computational sequences",
    ),
    (
        "data import",
        "a pickle of a processed release as a packed set",
    ),
    ("data fetch", "download a public data set or a BERT"),
    (
        "data sample",
        "write the built-in sample data set, or one of CMU-MOSEI's size",
    ),
    (
        "conformance",
        "compare the method with the published code's numbers",
    ),
    (
        "completions",
        "the script by which a shell completes mmrest's commands and options",
    ),
    (
        "man",
        "the manual, a page a command, for an installed mmrest",
    ),
];

/// Prints the table; `help COMMAND` asks the program.
pub(crate) fn main(args: &[OsString]) -> Outcome {
    match args.first() {
        // Perhaps of two words: `data inspect`.
        Some(command)
            if !OWN
                .iter()
                .any(|(own, _)| own.split(' ').next() == command.to_str()) =>
        {
            let help = [OsString::from("help")];
            run::main(&[&help[..], args].concat())
        }
        _ => {
            crate::terminal::print(&table());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The whole help text.
fn table() -> String {
    let mut text = String::from("cargo xtask <command> [arguments]\n\nThis workspace:\n");
    section(&mut text, OWN);
    text.push_str("\nThe program (mmrest, built in release mode when needed; --help after any of them tells more):\n");
    section(&mut text, PROGRAM);
    text.push_str(
        "\nThe features it is built with follow from --backend wgpu|cuda and from the processor; ",
    );
    text.push_str(&format!("{VARIABLE}=\"lapack,libhdf5\" adds more.\n"));
    text
}

fn section(text: &mut String, commands: &[(&str, &str)]) {
    for (command, what) in commands {
        text.push_str(&format!("  {command:15}  {what}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_line() {
        let text = table();
        for (command, what) in OWN.iter().chain(PROGRAM) {
            assert!(
                text.lines()
                    .any(|line| line.trim_start().starts_with(command) && line.ends_with(what)),
                "{command}"
            );
        }
    }
}
