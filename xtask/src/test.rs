//! `cargo xtask test`: every test and doctest of the workspace, then those of the optional system libraries.

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use crate::{
    Outcome,
    cargo::{cargo, exit_code, manifest_path, workspace_root},
    features::Features,
    library::{HDF5, LAPACK, Linked},
};

/// Tests counted from the harness's own result lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Runs the tests; `args` go to `cargo test` as they are (a filter, `--doc`, `-- --nocapture`, ...).
pub(crate) fn main(args: &[OsString]) -> Outcome {
    let mut tally = Tally::default();
    let mut outcome = ExitCode::SUCCESS;
    let mut runs = vec![workspace(&Features::of_this_machine())];
    runs.extend(with_libraries());
    for mut command in runs {
        let status = run(command.args(args), &mut tally)?;
        if !status.success() {
            outcome = exit_code(status);
        }
    }
    if outcome != ExitCode::SUCCESS && tally.failed == 0 {
        return Err(
            "the tests ended early: a build or a test program failed (see above)".to_owned(),
        );
    }
    for line in absent_material(&workspace_root()) {
        println!("{line}");
    }
    println!(
        "tests: {} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    Ok(outcome)
}

/// What the tests on real material had to do without: they pass where it is not there, and the harness hides what they say.
fn absent_material(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let bert =
        env::var_os("MMREST_BERT").map_or_else(|| root.join("data/bert/minilm"), PathBuf::from);
    if !bert.join("config.json").is_file() {
        lines.push(format!(
            "skipped: the tests with real BERT weights (no {}; README.md says whence, or set MMREST_BERT)",
            bert.display()
        ));
    }
    for (what, folder) in [
        ("on CMU-MOSI", "../shared/data/mosi"),
        ("on the SDK's own alignment", "../shared/data/sdk-toy"),
    ] {
        if !root.join(folder).is_dir() {
            lines.push(format!(
                "skipped: the tests {what} (no {folder} beside the project)"
            ));
        }
    }
    lines
}

/// Everything, with the features the program is built with here: burn is compiled once for both.
fn workspace(features: &Features) -> Command {
    let mut command = cargo();
    command
        .args(["test", "--release", "--no-fail-fast", "--workspace"])
        .args(manifest_path())
        .args(features.arguments());
    command
}

/// The crates with optional system libraries, and the program with all of those found; says what is skipped.
///
/// The program is among them because it enables burn's features: the crates alone would compile burn anew.
fn with_libraries() -> Option<Command> {
    let mut found: Vec<Linked> = Vec::new();
    for linked in [LAPACK, HDF5] {
        match linked.find() {
            Some(_) => found.push(linked),
            None => println!(
                "skipped: the tests of {} (no {} found; {})",
                linked.feature, linked.library, linked.hint
            ),
        }
    }
    if found.is_empty() {
        return None;
    }
    let features = found
        .iter()
        .fold(Features::of_this_machine(), |features, linked| {
            features.with(linked.feature)
        });
    let mut command = cargo();
    command.args(["test", "--release", "--no-fail-fast", "--package", "mmrest"]);
    for linked in &found {
        command.args(["--package", linked.package]);
    }
    command.args(manifest_path()).args(features.arguments());
    Some(command)
}

/// Runs one `cargo test`, showing all it prints and counting its results.
fn run(command: &mut Command, tally: &mut Tally) -> Result<std::process::ExitStatus, String> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if let Some(printed) = child.stdout.take() {
        count(printed, io::stdout().lock(), tally)
            .map_err(|error| format!("cannot read the tests' output: {error}"))?;
    }
    child
        .wait()
        .map_err(|error| format!("cannot wait for cargo: {error}"))
}

/// Copies the output as it comes and adds its result lines up.
fn count(mut from: impl Read, mut to: impl Write, tally: &mut Tally) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count])?;
        to.flush()?;
        for &byte in &buffer[..count] {
            if byte == b'\n' {
                tally.add(&String::from_utf8_lossy(&line));
                line.clear();
            } else {
                line.push(byte);
            }
        }
    }
}

impl Tally {
    /// Adds `test result: ok. 12 passed; 0 failed; 1 ignored; ...`; any other line changes nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let (_, counts) = result.split_once(". ").unwrap_or(("", result));
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else {
                continue;
            };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let nowhere = Path::new("/nonexistent/project");
        let lines = absent_material(nowhere);
        assert!(lines.len() >= 2 && lines.iter().all(|l| l.starts_with("skipped: ")));
        assert!(lines.iter().any(|l| l.contains("CMU-MOSI")));
    }

    #[test]
    fn result_lines_add_up_and_the_output_is_unchanged() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.10s\n\n\
            says test result: ok. 5 passed; 0 failed;\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        let (mut shown, mut tally) = (Vec::new(), Tally::default());
        count(output.as_bytes(), &mut shown, &mut tally).unwrap();
        assert_eq!(shown, output.as_bytes());
        assert_eq!(
            tally,
            Tally {
                passed: 15,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn the_whole_workspace_is_tested_in_release_mode() {
        let command = workspace(&Features::default().with("x86-v4"));
        let words: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        let line = words.join(" ");
        assert!(
            line.starts_with("test --release --no-fail-fast --workspace --manifest-path "),
            "{line}"
        );
        assert!(line.ends_with("--features mmrest/x86-v4"), "{line}");
    }
}
