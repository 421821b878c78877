//! `mmrest completions` and `mmrest man`: files made from the definition of the command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;
use mmrest_data::files;

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};

/// `mmrest completions`: the script that lets a shell complete this program's command line.
pub(crate) fn run_completions(arguments: &CompletionsArguments) -> Result<ExitCode> {
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

/// `mmrest man`: a page for the program and for each of its commands. Prints the files' paths.
pub(crate) fn run_man(arguments: &ManArguments) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for (name, page) in pages()? {
        let path = arguments.out.join(name);
        let written = files::write(&path, &page);
        written.with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "{}", path.display()).context("cannot write the output")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every page with its file's name: `mmrest.1`, `mmrest-data-fetch.1`.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    fn add(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
        let man = Man::new(command.clone()).manual("mmrest");
        let mut page = Vec::new();
        man.render(&mut page)?;
        pages.push((man.get_filename(), page));
        let below = command
            .get_subcommands()
            .filter(|below| !below.is_hide_set());
        below.into_iter().try_for_each(|below| add(below, pages))
    }
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages).context("cannot make the pages")?;
    Ok(pages)
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

    /// The shells that are installed accept their scripts.
    #[test]
    fn shells_take_their_scripts() {
        for (shell, name) in [
            (Shell::Bash, "bash"),
            (Shell::Zsh, "zsh"),
            (Shell::Fish, "fish"),
        ] {
            let started = Command::new(name)
                .arg("-n")
                .env("LC_ALL", "C") // a locale that is not installed is a warning
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

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let pages = pages().unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(known, _)| known == name);
            let (_, page) = found.unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8(page.clone()).unwrap()
        };
        let mut expected = 1;
        for command in Arguments::command().get_subcommands() {
            let name = format!("mmrest-{}", command.get_name());
            let text = page(&format!("{name}.1"));
            assert!(text.contains(".TH") && text.contains(".SH NAME"), "{name}");
            let shown = command
                .get_arguments()
                .filter(|option| !option.is_hide_set());
            for long in shown.filter_map(clap::Arg::get_long) {
                let option = format!("\\-\\-{}", long.replace('-', "\\-"));
                assert!(text.contains(&option), "{name}: {option}");
            }
            expected += 1;
            for below in command.get_subcommands() {
                page(&format!("{name}-{}.1", below.get_name()));
                expected += 1;
            }
        }
        assert_eq!(pages.len(), expected);
        assert!(page("mmrest.1").contains("mmrest\\-data(1)"));
    }

    /// groff, if installed, formats every page.
    #[test]
    fn pages_are_formatted_without_a_warning() {
        use std::process::{Command, Stdio};
        for (name, page) in pages().unwrap() {
            let started = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut child) = started else {
                println!("skipped: groff is not there");
                return;
            };
            let mut stdin = child.stdin.take().unwrap();
            let writer = std::thread::spawn(move || stdin.write_all(&page).unwrap());
            let output = child.wait_with_output().unwrap();
            writer.join().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{name}: {said}");
            assert!(!output.stdout.is_empty(), "{name}");
        }
    }
}
