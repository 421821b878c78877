//! `cargo xtask gpu-setup`: puts the LLVM that burn's CUDA compiler is built with where its build script looks for it.
//!
//! The build script would fetch an archive from GitHub. PyPI has the same version, static and relocatable, in two wheels
//! (Apache-2.0 with LLVM exceptions); they come by pip, or by Python alone where there is no pip. Python is needed
//! anyway: the wheel's `llvm-config`, which the build asks, is a Python script.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    Outcome,
    cuda::{self, INSTALLED},
    machine::{first_line, free_disk},
};

/// A wheel on PyPI.
struct Wheel {
    project: &'static str,
    version: &'static str,
    file: &'static str,
    sha256: &'static str,
}

/// LLVM 23.1.1 with the host's target, and the other targets, of which NVIDIA's is wanted.
const WHEELS: [Wheel; 2] = [
    Wheel {
        project: "mlc-llvm-static",
        version: "23.1.1.post0",
        file: "mlc_llvm_static-23.1.1.post0-py3-none-manylinux_2_28_x86_64.whl",
        sha256: "dcfec888abfaa418be77d41af585805f31463584cf9c90582992c00f392c1ac5",
    },
    Wheel {
        project: "mlc-llvm-static-extra-targets",
        version: "23.1.1.post0",
        file: "mlc_llvm_static_extra_targets-23.1.1.post0-py3-none-manylinux_2_28_x86_64.whl",
        sha256: "c36e834d9a4e9cf9759f27fece65711ece7a2fc2b5a96dbb15d66f5e9e787929",
    },
];

/// Both wheels, and what they unpack to, in GiB.
const SPACE: f64 = 0.6;

/// What the archive's own part is called in a wheel.
const INSIDE: &str = "mlc_llvm_static";

/// The component without which kernels for NVIDIA's GPUs cannot be compiled.
const WANTED: &str = "LLVMNVPTXCodeGen";

/// Fetches the file of a wheel into a folder.
type Fetch<'a> = &'a dyn Fn(&Wheel, &Path) -> Result<(), String>;

/// Fetches, checks, unpacks; `--check` says only what there is.
pub(crate) fn main(args: &[OsString]) -> Outcome {
    let only_check = match args {
        [] => false,
        [only] if only == "--check" => true,
        [other, ..] => {
            return Err(format!(
                "gpu-setup takes --check or nothing, not {}",
                other.display()
            ));
        }
    };
    let place = cuda::llvm_place()
        .ok_or("cannot tell where a user's data are on this machine: set HOME")?;
    if let Some(version) = installed(&place) {
        println!("LLVM {version} for CUDA is at {}.", place.display());
        return Ok(ExitCode::SUCCESS);
    }
    preconditions(&place)?;
    if only_check {
        println!(
            "The LLVM for CUDA is not at {}: 'cargo xtask gpu-setup' fetches it from PyPI (88 MiB, unpacked 400).",
            place.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    let version = install(&place, &fetch)?;
    println!(
        "LLVM {version} from PyPI is at {}: '--backend cuda' can be built now.",
        place.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// What must be there before anything is fetched.
fn preconditions(place: &Path) -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(
            "PyPI has the LLVM for CUDA only for Linux on x86-64: here the first build with --backend cuda fetches one from \
             github.com"
                .into(),
        );
    }
    let python = "import sys; sys.exit(sys.version_info < (3, 10))";
    if !succeeds(Command::new("python3").args(["-c", python])) {
        return Err(
            "the LLVM for CUDA needs python3, 3.10 or later, to be fetched and to be built with: apt install python3".into(),
        );
    }
    let above = place.ancestors().find(|folder| folder.is_dir());
    match above.and_then(free_disk) {
        Some(free) if free < SPACE => Err(format!(
            "{}: {free:.1} GiB free, the LLVM for CUDA takes {SPACE}: make room, or set XDG_DATA_HOME",
            place.display()
        )),
        _ => Ok(()),
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The version of a complete LLVM.
fn installed(place: &Path) -> Option<String> {
    place.join(INSTALLED).is_file().then_some(())?;
    first_line(place.join("bin/llvm-config").to_str()?, &["--version"])
}

/// Fetches the wheels and moves what is in them to `place`, whole or not at all. Returns the version.
fn install(place: &Path, fetch: Fetch<'_>) -> Result<String, String> {
    let work = place.with_extension(format!("new-{}", std::process::id()));
    let outcome = prepare(&work, fetch).and_then(|(ready, version)| {
        if place.exists() {
            // Without the mark of a complete one: what an earlier try left.
            fs::remove_dir_all(place).map_err(told(place))?;
        }
        fs::rename(&ready, place).map_err(told(place))?;
        Ok(version)
    });
    let _ = fs::remove_dir_all(&work);
    outcome
}

/// The LLVM, complete in a folder below `work`, and its version.
fn prepare(work: &Path, fetch: Fetch<'_>) -> Result<(PathBuf, String), String> {
    fs::create_dir_all(work).map_err(told(work))?;
    for wheel in &WHEELS {
        fetch(wheel, work)?;
        let file = work.join(wheel.file);
        let found = sha256(&file)?;
        if found != wheel.sha256 {
            return Err(format!(
                "{}: its SHA-256 is {found}, not {}: it is not the file that was meant; nothing was installed",
                wheel.file, wheel.sha256
            ));
        }
        let mut unzip = Command::new("python3");
        unzip.args(["-m", "zipfile", "-e"]).arg(&file).arg(work);
        run(&mut unzip, &format!("cannot unpack {}", wheel.file))?;
    }
    let inside = work.join(INSIDE);
    let ready = inside.join("static");
    make_executable(&ready.join("bin")).map_err(told(&ready))?;
    let licences = inside.join("licenses");
    if licences.is_dir() {
        let share = ready.join("share");
        fs::create_dir_all(&share).map_err(told(&share))?;
        fs::rename(&licences, share.join("licenses")).map_err(told(&share))?;
    }
    let config = ready.join("bin/llvm-config");
    // The list of all libraries is long: not every system takes it in one line.
    let libraries = Command::new(&config)
        .args(["--link-static", "--libs"])
        .output();
    let has =
        libraries.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(WANTED));
    let version = config
        .to_str()
        .and_then(|path| first_line(path, &["--version"]));
    let (true, Some(version)) = (has, version) else {
        return Err(format!(
            "the LLVM of {} has no {WANTED}: nothing was installed",
            WHEELS[0].file
        ));
    };
    fs::write(ready.join(INSTALLED), "").map_err(told(&ready))?;
    Ok((ready, version))
}

fn told(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// By pip, or from PyPI's index by Python alone.
fn fetch(wheel: &Wheel, into: &Path) -> Result<(), String> {
    let what = format!(
        "cannot fetch {} from PyPI: connect this machine to a package index once (pip's own settings and HTTPS_PROXY are \
         respected), or copy {} from a machine that has it",
        wheel.file,
        cuda::llvm_place().unwrap_or_default().display()
    );
    if succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"])
            .arg("--dest")
            .arg(into)
            .arg(format!("{}=={}", wheel.project, wheel.version));
        return run(&mut pip, &what);
    }
    let mut python = Command::new("python3");
    python
        .args(["-c", FETCH, wheel.project, wheel.file])
        .arg(into.join(wheel.file));
    run(&mut python, &what)
}

/// The file of a project, by PyPI's index in JSON (PEP 691).
const FETCH: &str = r#"
import json, shutil, sys, urllib.parse, urllib.request
project, file, to = sys.argv[1:]
index = f"https://pypi.org/simple/{project}/"
asked = urllib.request.Request(index, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
files = json.load(urllib.request.urlopen(asked, timeout=60))["files"]
url = next(known["url"] for known in files if known["filename"] == file)
with urllib.request.urlopen(urllib.parse.urljoin(index, url), timeout=60) as source, open(to, "wb") as out:
    shutil.copyfileobj(source, out)
"#;

/// A file's SHA-256, by Python: nothing else here needs a digest.
fn sha256(file: &Path) -> Result<String, String> {
    let script =
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())";
    let path = file.to_str().unwrap_or_default();
    first_line("python3", &["-c", script, path])
        .ok_or_else(|| format!("{}: cannot be read", file.display()))
}

/// Runs a command; its last line of complaint where it fails.
fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(format!("{what}: {}", last.unwrap_or("it did not say why")))
}

#[cfg(unix)]
fn make_executable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder)? {
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("xtask-gpu-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        root.join("tracel/llvm-1")
    }

    /// Nothing is left beside the place, and the place is as it was.
    fn assert_untouched(place: &Path) {
        let parent = place.parent().unwrap();
        let left = fs::read_dir(parent).map_or(0, Iterator::count);
        assert_eq!(left, usize::from(place.exists()));
        assert!(installed(place).is_none());
    }

    #[test]
    fn a_fetch_that_fails_leaves_nothing() {
        let place = place("absent");
        let failing = |_: &Wheel, _: &Path| Err("no network".to_owned());
        assert_eq!(install(&place, &failing).unwrap_err(), "no network");
        assert_untouched(&place);
    }

    #[test]
    fn a_file_with_another_digest_is_refused() {
        if first_line("python3", &["--version"]).is_none() {
            println!("skipped: no python3");
            return;
        }
        let place = place("digest");
        fs::create_dir_all(&place).unwrap(); // what an earlier try left
        let other = |wheel: &Wheel, into: &Path| {
            fs::write(into.join(wheel.file), "abc").map_err(|error| error.to_string())
        };
        let refused = install(&place, &other).unwrap_err();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(
            refused.contains(WHEELS[0].file) && refused.contains(known),
            "{refused}"
        );
        assert_untouched(&place);
    }

    #[test]
    fn a_complaint_is_told_by_its_last_line() {
        let mut failing = Command::new("python3");
        failing.args(["-c", "import sys; sys.exit('first\\nlast\\n')"]);
        let told = run(&mut failing, "cannot").unwrap_err();
        assert!(
            told == "cannot: last" || told.starts_with("cannot: "),
            "{told}"
        );
        assert!(run(&mut Command::new("surely-no-such-program"), "no").is_err());
    }

    #[test]
    fn only_what_is_marked_complete_counts() {
        let place = place("mark");
        fs::create_dir_all(place.join("bin")).unwrap();
        assert_eq!(installed(&place), None);
        #[cfg(unix)]
        {
            fs::write(place.join("bin/llvm-config"), "#!/bin/sh\necho 23.1.1\n").unwrap();
            make_executable(&place.join("bin")).unwrap();
            assert_eq!(installed(&place), None);
            fs::write(place.join(INSTALLED), "").unwrap();
            assert_eq!(installed(&place).as_deref(), Some("23.1.1"));
        }
        fs::remove_dir_all(place.parent().unwrap().parent().unwrap()).unwrap();
    }
}
