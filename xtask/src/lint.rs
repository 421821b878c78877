//! `cargo xtask lint`: formatting, clippy, documentation, checks of the optional features, and the dependencies.
//!
//! All steps use the release profile: clippy, rustdoc and the checks then share one set of dependencies' metadata, and
//! build scripts and procedural macros come from the tests' build.

use std::{
    ffi::OsString,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use crate::{
    Outcome,
    cargo::{cargo, manifest_path, workspace_root},
    cuda, deny,
    features::Features,
};

/// One step: its title, and the cargo call.
struct Step {
    title: &'static str,
    command: Command,
}

/// Runs every step, whatever became of the ones before, and lists the failures at the end.
pub(crate) fn main(args: &[OsString]) -> Outcome {
    if let Some(extra) = args.first() {
        return Err(format!("lint takes no argument, not {}", extra.display()));
    }
    let mut failures = Vec::new();
    let mut steps = steps(&Features::of_this_machine());
    let deny = deny::commands().into_iter();
    steps.extend(deny.map(|(title, command)| Step { title, command }));
    steps.push(Step {
        title: "lock file of the fuzz targets",
        command: fuzz_lock(),
    });
    match fuzz() {
        Some(command) => steps.push(Step {
            title: "fuzz targets",
            command,
        }),
        None => println!(
            "skipped: the fuzz targets: cargo-fuzz is not installed (cargo install cargo-fuzz)"
        ),
    }
    for Step { title, mut command } in steps {
        println!("lint: {title}");
        let start = Instant::now();
        let status = command
            .status()
            .map_err(|error| format!("cannot start cargo: {error}"))?;
        let outcome = if status.success() { "ok" } else { "FAILED" };
        println!(
            "lint: {title}: {outcome} in {:.0} s",
            start.elapsed().as_secs_f64()
        );
        if !status.success() {
            failures.push(title);
        }
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("lint failed: {}", failures.join("; ")))
}

/// Builds the fuzz targets of data as they are run, where cargo-fuzz is installed: with the flags of a nightly compiler,
/// which the stable one takes too when it is told to. The others (feature `models`) would compile burn once more.
fn fuzz() -> Option<Command> {
    let version = cargo()
        .args(["fuzz", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success()).then(|| {
        let mut build = cargo();
        build.args(["fuzz", "build", "--fuzz-dir", "tests/fuzz"]);
        build
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(workspace_root());
        build
    })
}

/// Fails where the lock file of the fuzz targets, a workspace of their own, no longer fits the crates of this one: a
/// dependency that one of them gains or loses stands in both lock files.
fn fuzz_lock() -> Command {
    let mut lock = cargo();
    lock.args(["update", "--workspace", "--locked", "--offline", "--quiet"]);
    lock.args(["--manifest-path", "tests/fuzz/Cargo.toml"]);
    lock.current_dir(workspace_root());
    lock
}

/// The steps, the quickest first.
fn steps(features: &Features) -> Vec<Step> {
    let format = call(&["fmt", "--all", "--check"], &Features::default());
    let mut clippy = call(
        &[
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--keep-going",
        ],
        features,
    );
    clippy.args(["--", "-D", "warnings"]);
    let mut doc = call(&["doc", "--release", "--workspace", "--no-deps"], features);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let mut wgpu = call(
        // The program beside the crates with code for GPUs: burn has the features of its other builds then.
        &[
            "clippy",
            "--release",
            "--package",
            "mmrest",
            "--package",
            "mmrest-kernels",
            "--package",
            "mmrest-learner",
            "--all-targets",
        ],
        &features.clone().with("wgpu"),
    );
    wgpu.args(["--", "-D", "warnings"]);
    let cuda = cuda(&features.clone().with("cuda"), cuda::llvm().is_some());
    let check = ["check", "--release", "--package", "mmrest"];
    let png = call(&check, &features.clone().with("png"));
    let tui = call(&check, &features.clone().with("tui"));
    let mut without_burn = call(
        &[
            "clippy",
            "--release",
            "--package",
            "mmrest-metric",
            "--no-default-features",
        ],
        &Features::default(),
    );
    without_burn.args(["--", "-D", "warnings"]);
    vec![
        Step {
            title: "formatting",
            command: format,
        },
        Step {
            title: "clippy",
            command: clippy,
        },
        Step {
            title: "documentation",
            command: doc,
        },
        Step {
            title: "clippy with wgpu: kernels of GPUs and their tests",
            command: wgpu,
        },
        cuda,
        Step {
            title: "type check with png",
            command: png,
        },
        Step {
            title: "type check with tui",
            command: tui,
        },
        Step {
            title: "mmrest-metric without burn",
            command: without_burn,
        },
    ]
}

/// The program with CUDA: built where the LLVM of its compiler is, since linking is half of it; else its types are checked.
fn cuda(features: &Features, llvm: bool) -> Step {
    let package = ["--release", "--package", "mmrest"];
    if llvm {
        return Step {
            title: "build with cuda",
            command: call(&["build", package[0], package[1], package[2]], features),
        };
    }
    let mut command = call(&["check", package[0], package[1], package[2]], features);
    // Type checks need no LLVM: without DOCS_RS the build script of CUDA's compiler fetches one.
    command.env("DOCS_RS", "1");
    Step {
        title: "type check with cuda (no LLVM to build with: cargo xtask gpu-setup)",
        command,
    }
}

/// A cargo call on this workspace.
fn call(args: &[&str], features: &Features) -> Command {
    let mut command = cargo();
    command
        .args(args)
        .args(manifest_path())
        .args(features.arguments());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        let line = |step: Step| {
            let words = step
                .command
                .get_args()
                .map(|arg| arg.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        steps(&Features::default().with("x86-v4"))
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn warnings_are_errors_and_stand_after_cargos_own_arguments() {
        let clippy = &lines()[1];
        assert!(
            clippy.starts_with("clippy --release --workspace --all-targets"),
            "{clippy}"
        );
        assert!(
            clippy.ends_with("--features mmrest/x86-v4 -- -D warnings"),
            "{clippy}"
        );
    }

    #[test]
    fn cuda_is_built_where_its_llvm_is() {
        let features = Features::default().with("cuda");
        let first = |step: &Step| step.command.get_args().next().unwrap().to_owned();
        let docs = |step: &Step| step.command.get_envs().any(|(name, _)| name == "DOCS_RS");
        let (with, without) = (cuda(&features, true), cuda(&features, false));
        assert!(first(&with) == "build" && !docs(&with));
        assert!(first(&without) == "check" && docs(&without));
        assert!(without.title.contains("cargo xtask gpu-setup"));
    }

    #[test]
    fn the_checks_of_features_add_their_feature_to_the_machines() {
        assert!(lines()[3].ends_with("--features mmrest/wgpu,mmrest/x86-v4 -- -D warnings"));
        assert!(lines()[4].ends_with("--features mmrest/cuda,mmrest/x86-v4"));
        assert!(lines()[5].ends_with("--features mmrest/png,mmrest/x86-v4"));
        assert!(lines()[6].ends_with("--features mmrest/tui,mmrest/x86-v4"));
    }
}
