//! Licences, advisories and sources of the dependencies, by cargo-deny where it is installed. Nothing here needs a network.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cargo::{cargo, workspace_root};

/// What can be checked anywhere.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];
/// The manifests beside which there is a lock file.
const LOCKED: [(&str, &str); 2] = [
    ("dependencies", "Cargo.toml"),
    ("dependencies of the fuzz targets", "tests/fuzz/Cargo.toml"),
];

/// A call of cargo-deny with its title for each lock file; what cannot be checked is skipped with a note.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    if !succeeds(cargo().args(["deny", "--version"])) {
        println!(
            "skipped: the dependencies' licences and advisories: cargo-deny is not installed (cargo install cargo-deny)"
        );
        return Vec::new();
    }
    let advisories = has_advisories(&databases());
    if !advisories {
        println!("skipped: advisories: no database of them is here (cargo deny fetch)");
    }
    let mut commands = Vec::new();
    for (title, manifest) in LOCKED {
        // Of every platform and feature: some may not have been fetched yet.
        let mut metadata = cargo();
        metadata.args(["metadata", "--format-version", "1", "--all-features"]);
        metadata.arg("--manifest-path");
        if succeeds(metadata.arg(workspace_root().join(manifest))) {
            commands.push((title, call(manifest, advisories)));
        } else {
            println!("skipped: {title}: those of all platforms are not here and cannot be fetched");
        }
    }
    commands
}

fn call(manifest: &str, advisories: bool) -> Command {
    let root = workspace_root();
    let mut command = cargo();
    command.args(["deny", "--offline", "--manifest-path"]);
    command.arg(root.join(manifest));
    command.arg("--config").arg(root.join("deny.toml"));
    command.arg("check").args(CHECKS);
    if advisories {
        command.arg("advisories");
    }
    // Each lock file has crates and licences that the other lacks.
    for unmet in [
        "license-not-encountered",
        "license-exception-not-encountered",
    ] {
        command.args(["--allow", unmet]);
    }
    command
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Where cargo-deny keeps the databases of advisories that it has fetched.
fn databases() -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    home.unwrap_or_default().join("advisory-dbs")
}

fn has_advisories(databases: &Path) -> bool {
    let entries = databases.read_dir().into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisories_are_checked_where_a_database_is_and_nothing_asks_the_network() {
        for (_, manifest) in LOCKED {
            let line = |advisories| {
                let command = call(manifest, advisories);
                let words = command.get_args().map(|arg| arg.to_string_lossy());
                words.collect::<Vec<_>>().join(" ")
            };
            assert!(line(false).starts_with("deny --offline --manifest-path "));
            assert!(line(false).contains(manifest) && !line(false).contains("advisories"));
            assert!(line(true).contains(" check licenses bans sources advisories "));
            assert!(workspace_root().join(manifest).is_file());
        }
        assert!(!has_advisories(Path::new("/nonexistent")));
        let workspace = workspace_root();
        assert!(has_advisories(&workspace) && workspace.join("deny.toml").is_file());
    }
}
