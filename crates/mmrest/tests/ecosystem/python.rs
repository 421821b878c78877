//! Python, where it is there.

use std::path::Path;
use std::process::{Command, Stdio};

/// The interpreter, on one thread.
pub(crate) fn python() -> Command {
    let name = std::env::var_os("MMREST_PYTHON").unwrap_or("python3".into());
    let mut command = Command::new(name);
    command.envs([
        ("OMP_NUM_THREADS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("WANDB_MODE", "offline"),
        ("WANDB_SILENT", "true"),
    ]);
    command
}

/// Whether Python has these modules; a note says what is skipped where it has not.
pub(crate) fn has(modules: &[&str], skipped: &str) -> bool {
    let imports = format!("import {}", modules.join(", "));
    let found = python()
        .args(["-c", &imports])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let has = found.is_ok_and(|status| status.success());
    if !has {
        eprintln!("skipped: {skipped}: no Python with {}", modules.join(", "));
    }
    has
}

/// Runs a script in a folder, which must succeed, and gives its standard output.
pub(crate) fn script(folder: &Path, text: &str, arguments: &[&str]) -> String {
    let output = python()
        .current_dir(folder)
        .args(["-c", text])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}
