//! Every command that is not this crate's own: build `mmrest` in release mode, then become it.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal, Read, Write},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use crate::{
    Outcome,
    cargo::{cargo, exit_code, manifest_path, own_variables, program_path},
    cuda,
    features::Features,
};

/// The terminal's sequence that wipes what stands from the cursor to the end of the line.
const WIPE_LINE: &[u8] = b"\x1b[K";

/// What is said where the CUDA build failed, and its LLVM is not there.
const NO_LLVM: &str = "the build for --backend cuda failed; it may need an LLVM that it could not fetch from github.com: \
    'cargo xtask gpu-setup' fetches it from PyPI; or use --backend wgpu or cpu";

/// Builds what is not built yet and hands over to the program, arguments unchanged.
pub(crate) fn main(args: &[OsString]) -> Outcome {
    let program = program_path()?;
    if !program.exists() {
        eprintln!(
            "mmrest is compiled first, in release mode: 10 to 15 minutes on two cores, this once."
        );
    }
    let features = Features::for_program(args);
    if let Some(failure) = build(&features)? {
        return match features.has("cuda") && cuda::llvm().is_none() {
            true => Err(NO_LLVM.to_owned()),
            false => Ok(failure),
        };
    }
    become_program(&program, args)
}

/// `cargo build --release -p mmrest`: shows cargo's progress when something is compiled, nothing when nothing is.
/// Returns the exit code of a build that failed.
///
/// The package alone enables the same features of burn as the whole workspace does, so tests and runs share its build.
fn build(features: &Features) -> Result<Option<ExitCode>, String> {
    let mut command = cargo();
    command
        .args(["build", "--release", "--package", "mmrest"])
        .args(manifest_path())
        .args(features.arguments());
    if io::stderr().is_terminal() {
        decorate(&mut command);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if let Some(progress) = child.stderr.take() {
        forward_progress(progress, io::stderr().lock())
            .map_err(|error| format!("cannot show cargo's progress: {error}"))?;
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for cargo: {error}"))?;
    Ok((!status.success()).then(|| exit_code(status)))
}

/// Colours and the progress bar, which cargo leaves out when it writes into a pipe.
fn decorate(command: &mut Command) {
    let width = env::var("COLUMNS")
        .ok()
        .filter(|columns| columns.parse::<u16>().is_ok())
        .unwrap_or_else(|| "80".to_owned());
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", width);
    if env::var_os("NO_COLOR").is_none() && env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
}

/// Copies cargo's messages, each as it is complete, but for the closing `Finished` line.
///
/// A progress bar ends in a carriage return instead of a new line, and whatever comes next is written over it. Into a
/// pipe cargo does not wipe the rest of the line as it would on a terminal, so that is done here.
fn forward_progress(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut message = Vec::new();
    let mut over_a_bar = false;
    loop {
        let count = from.read(&mut buffer)?;
        for &byte in &buffer[..count] {
            message.push(byte);
            if matches!(byte, b'\n' | b'\r') {
                forward(&message, over_a_bar, &mut to)?;
                over_a_bar = byte == b'\r';
                message.clear();
            }
        }
        if count == 0 {
            return forward(&message, over_a_bar, &mut to);
        }
    }
}

/// Writes one message, over a progress bar or not.
fn forward(message: &[u8], over_a_bar: bool, to: &mut impl Write) -> io::Result<()> {
    if over_a_bar {
        to.write_all(WIPE_LINE)?;
    }
    let text = String::from_utf8_lossy(message);
    if !(text.contains("Finished") && text.contains("target(s) in")) {
        to.write_all(message)?;
    }
    to.flush()
}

/// The program's own call.
fn program_call(program: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    for name in own_variables() {
        command.env_remove(name);
    }
    command
}

/// Replaces this process, so that signals reach the program and its end is ours.
#[cfg(unix)]
fn become_program(program: &Path, args: &[OsString]) -> Outcome {
    use std::os::unix::process::CommandExt;
    let error = program_call(program, args).exec();
    Err(format!("cannot start {}: {error}", program.display()))
}

/// Runs the program and passes its exit code on.
#[cfg(not(unix))]
fn become_program(program: &Path, args: &[OsString]) -> Outcome {
    let status = program_call(program, args).status();
    status
        .map(exit_code)
        .map_err(|error| format!("cannot start {}: {error}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(text: &str) -> String {
        let mut shown = Vec::new();
        forward_progress(text.as_bytes(), &mut shown).unwrap();
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn a_fresh_build_is_silent() {
        assert_eq!(
            forwarded("    Finished `release` profile [optimized] target(s) in 0.21s\n"),
            ""
        );
        assert_eq!(
            forwarded(
                "\u{1b}[1m\u{1b}[92m    Finished\u{1b}[0m `release` profile [optimized] target(s) in 0.2s\n"
            ),
            ""
        );
    }

    #[test]
    fn messages_pass_as_they_are() {
        let failure =
            "   Compiling burn v0.22.1\nerror: could not compile `mmrest`\nno newline at the end";
        assert_eq!(forwarded(failure), failure);
    }

    #[test]
    fn a_progress_bar_is_wiped_by_what_follows_it() {
        let bar = "    Building [==>  ] 3/9: burn\r";
        assert_eq!(
            forwarded(&format!("{bar}   Compiling mmrest v0.1.0\n")),
            format!("{bar}\x1b[K   Compiling mmrest v0.1.0\n")
        );
        let closing = "    Finished `release` profile [optimized] target(s) in 9.21s\n";
        assert_eq!(
            forwarded(&format!("{bar}{closing}")),
            format!("{bar}\x1b[K")
        );
    }

    #[test]
    fn a_message_longer_than_the_buffer_stays_whole() {
        let long = format!("warning: {}\n", "x".repeat(10_000));
        assert_eq!(forwarded(&long), long);
    }
}
