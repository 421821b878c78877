//! Calling cargo: where the workspace is, where its builds go, and how an exit status is passed on.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

/// The workspace's root: the folder above this crate's.
pub(crate) fn workspace_root() -> PathBuf {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = PathBuf::from(here);
    here.parent().map(Path::to_path_buf).unwrap_or(here)
}

/// A call of the same cargo that started this program, from the user's current directory.
///
/// The variables cargo sets for *this* crate are taken out: they are not the callee's.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in own_variables() {
        command.env_remove(name);
    }
    command
}

/// The variables that describe this crate (`CARGO_PKG_NAME`, `CARGO_MANIFEST_DIR`, ...).
pub(crate) fn own_variables() -> impl Iterator<Item = OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    })
}

/// `--manifest-path <root>/Cargo.toml`: the workspace, whatever the current directory.
pub(crate) fn manifest_path() -> [OsString; 2] {
    [
        "--manifest-path".into(),
        workspace_root().join("Cargo.toml").into(),
    ]
}

/// The release program, where cargo puts it.
///
/// cargo runs this program from `<target>/<profile>/xtask`; the release build lies beside that profile's folder. So
/// `CARGO_TARGET_DIR`, `build.target-dir` and `build.target` are all respected without being read.
pub(crate) fn program_path() -> Result<PathBuf, String> {
    let own = env::current_exe()
        .map_err(|error| format!("cannot tell where this program lies: {error}"))?;
    program_beside(&own)
        .ok_or_else(|| format!("{} does not lie in a cargo target folder", own.display()))
}

/// `<target>/release/mmrest` for `own` = `<target>/<profile>/xtask`.
fn program_beside(own: &Path) -> Option<PathBuf> {
    let target = own.parent()?.parent()?;
    Some(
        target
            .join("release")
            .join(format!("mmrest{}", env::consts::EXE_SUFFIX)),
    )
}

/// The exit code to end with, for a child that ended so. A child ended by signal S gives 128 + S, as in a shell.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| signal(status).map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_lies_in_the_release_folder_beside_the_own_profile() {
        let own: PathBuf = ["elsewhere", "target", "debug", "xtask"].iter().collect();
        let program: PathBuf = ["elsewhere", "target", "release", "mmrest"]
            .iter()
            .collect();
        assert_eq!(
            program_beside(&own),
            Some(program.with_extension(env::consts::EXE_EXTENSION))
        );
        assert_eq!(program_beside(Path::new("xtask")), None);
    }

    #[test]
    fn the_workspace_is_the_folder_with_the_lock_file() {
        assert!(workspace_root().join("Cargo.lock").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn exit_codes_and_signals_pass_through() {
        let code = |script: &str| {
            let status = Command::new("sh").args(["-c", script]).status().unwrap();
            format!("{:?}", exit_code(status))
        };
        assert_eq!(code("exit 0"), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code("exit 3"), format!("{:?}", ExitCode::from(3)));
        assert_eq!(
            code("kill -TERM $$"),
            format!("{:?}", ExitCode::from(128 + 15))
        );
    }
}
