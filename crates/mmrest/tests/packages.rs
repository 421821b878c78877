//! The crates can be packaged, and their packages are complete and described.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

use common::workspace;

/// The folder and the manifest of every crate that could be published.
fn crates() -> Vec<(PathBuf, Table)> {
    let folders = std::fs::read_dir(workspace().join("crates")).unwrap();
    let with_manifest = folders.map(|folder| {
        let folder = folder.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        (folder, manifest.parse().unwrap())
    });
    with_manifest.collect()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(arguments);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// crates.io takes at most five keywords of at most twenty letters, digits, dashes and underscores.
#[test]
fn every_crate_is_described() {
    for (folder, manifest) in crates() {
        let package = manifest["package"].as_table().unwrap();
        let name = package["name"].as_str().unwrap();
        assert_eq!(folder.file_name().unwrap(), name);
        assert!(
            package["description"].as_str().unwrap().len() > 30,
            "{name}"
        );
        for inherited in ["version", "license", "repository", "rust-version"] {
            let from = &package[inherited];
            assert_eq!(
                from.get("workspace"),
                Some(&Value::Boolean(true)),
                "{name}: {inherited}"
            );
        }
        let keywords = package["keywords"].as_array().unwrap();
        assert!((1..=5).contains(&keywords.len()), "{name}");
        for keyword in keywords.iter().map(|keyword| keyword.as_str().unwrap()) {
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            assert!(
                keyword.len() <= 20 && keyword.chars().all(valid),
                "{name}: {keyword}"
            );
        }
        assert!(
            !package["categories"].as_array().unwrap().is_empty(),
            "{name}"
        );
    }
}

#[test]
fn every_package_holds_licences_and_readme() {
    for (folder, manifest) in crates() {
        let name = manifest["package"]["name"].as_str().unwrap();
        let list = [
            "package",
            "--list",
            "--allow-dirty",
            "--offline",
            "--package",
            name,
        ];
        let files = cargo(&list);
        for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "Cargo.toml"] {
            assert!(
                files.lines().any(|line| line == file),
                "{name} lacks {file}"
            );
        }
        for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let of = |folder: &Path| std::fs::read_to_string(folder.join(file)).unwrap();
            assert_eq!(of(&folder), of(&workspace()), "{name}: {file}");
        }
    }
}

#[test]
fn all_of_them_are_packaged() {
    let target = tempfile::tempdir().unwrap();
    let into = target.path().to_str().unwrap();
    let every = ["package", "--workspace"];
    let never = ["xtask", "mmrest-mutation", "mmrest-testing"].map(|name| ["--exclude", name]);
    let never = never.concat();
    let how = [
        "--no-verify",
        "--allow-dirty",
        "--offline",
        "--target-dir",
        into,
    ];
    cargo(&[every.as_slice(), never.as_slice(), how.as_slice()].concat());
    let packages = std::fs::read_dir(target.path().join("package")).unwrap();
    let is_package = |file: &PathBuf| file.extension().is_some_and(|of| of == "crate");
    let files = packages
        .map(|entry| entry.unwrap().path())
        .filter(is_package);
    assert_eq!(files.count(), crates().len());
}

/// How many other packages a crate needs on this system.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn dependencies(name: &str, arguments: &[&str]) -> usize {
    let tree = ["tree", "--offline", "--edges", "normal", "--prefix", "none"];
    let listed = cargo(&[tree.as_slice(), &["--package", name], arguments].concat());
    let packages = listed.lines().map(|line| line.trim_end_matches(" (*)"));
    let packages: std::collections::BTreeSet<&str> = packages.collect();
    packages.len() - 1
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn every_page_says_how_many_dependencies_a_crate_has() {
    let overview = std::fs::read_to_string(workspace().join("docs/src/crates.md")).unwrap();
    let mut wrong = Vec::new();
    for (folder, manifest) in crates() {
        let name = manifest["package"]["name"].as_str().unwrap();
        let count = dependencies(name, &[]);
        let row = overview
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        if !row.unwrap().contains(&format!(" | {count} |")) {
            wrong.push(format!("docs/src/crates.md: {name} has {count}"));
        }
        let mut expected = vec![format!("Dependencies: {count}")];
        if name == "mmrest-metric" {
            let without = dependencies(name, &["--no-default-features"]);
            expected.push(format!("{without} without burn"));
        }
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let lacks = expected.iter().filter(|text| !readme.contains(*text));
        if folder.join("src/lib.rs").is_file() {
            wrong.extend(lacks.map(|text| format!("{name}/README.md: {text}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The compiler that CI checks with is the oldest that the packages promise.
#[test]
fn ci_checks_with_the_oldest_compiler() {
    let root: Table = std::fs::read_to_string(workspace().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let oldest = root["workspace"]["package"]["rust-version"]
        .as_str()
        .unwrap();
    let ci = std::fs::read_to_string(workspace().join(".github/workflows/ci.yml")).unwrap();
    assert!(
        ci.contains(&format!("dtolnay/rust-toolchain@{oldest}\n")),
        "{oldest}"
    );
}
