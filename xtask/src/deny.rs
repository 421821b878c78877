//! Licences, advisories and sources of the dependencies, by cargo-deny where it is installed. Nothing here needs a network.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cargo::{cargo, manifest_path};

/// What can be checked anywhere.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

/// The call of cargo-deny, or why there is none.
pub(crate) fn command() -> Result<Command, String> {
    if !succeeds(cargo().args(["deny", "--version"])) {
        return Err("cargo-deny is not installed (cargo install cargo-deny)".into());
    }
    // Of every platform and feature: some may not have been fetched yet.
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--all-features"]);
    if !succeeds(metadata.args(manifest_path())) {
        return Err("the dependencies of all platforms are not here and cannot be fetched".into());
    }
    let advisories = has_advisories(&databases());
    if !advisories {
        println!("skipped: advisories: no database of them is here (cargo deny fetch)");
    }
    Ok(call(advisories))
}

fn call(advisories: bool) -> Command {
    let mut command = cargo();
    command.args(["deny", "--offline"]).args(manifest_path());
    command.arg("check").args(CHECKS);
    if advisories {
        command.arg("advisories");
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
        let line = |advisories| {
            let command = call(advisories);
            let words = command.get_args().map(|arg| arg.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        };
        assert!(line(false).starts_with("deny --offline --manifest-path "));
        assert!(line(false).ends_with(" check licenses bans sources"));
        assert!(line(true).ends_with(" check licenses bans sources advisories"));
        assert!(!has_advisories(Path::new("/nonexistent")));
        let workspace = crate::cargo::workspace_root();
        assert!(has_advisories(&workspace) && workspace.join("deny.toml").is_file());
    }
}
