//! `mmrest completions`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments};

/// `mmrest completions`: the script that lets a shell complete this program's command line.
pub(crate) fn run(arguments: &CompletionsArguments) -> Result<ExitCode> {
    let script = script(arguments.shell);
    let mut out = std::io::stdout().lock();
    out.write_all(&script).context("cannot write the output")?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "mmrest", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use clap_complete::Shell;
    use std::process::{Command, Stdio};

    #[test]
    fn every_command_and_option_is_in_every_shells_script() {
        fn words(command: &clap::Command, found: &mut Vec<String>) {
            let longs = command.get_arguments().filter_map(clap::Arg::get_long);
            found.extend(longs.map(str::to_owned));
            for below in command.get_subcommands() {
                found.push(below.get_name().to_owned());
                words(below, found);
            }
        }
        let mut all = Vec::new();
        words(&Arguments::command(), &mut all);
        assert!(all.contains(&"completions".into()) && all.contains(&"fetch".into()));
        for &shell in Shell::value_variants() {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in &all {
                assert!(script.contains(word.as_str()), "{shell}: {word}");
            }
        }
    }

    /// The shells themselves read their scripts, those that are there.
    #[test]
    fn shells_take_their_scripts() {
        for (shell, name) in [
            (Shell::Bash, "bash"),
            (Shell::Zsh, "zsh"),
            (Shell::Fish, "fish"),
        ] {
            let started = Command::new(name)
                .arg("-n")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut child) = started else {
                println!("skipped: {name} is not there");
                continue;
            };
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(&script(shell)).unwrap();
            drop(stdin);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        }
    }
}
