//! Compares the public items of each library crate with the lists in `tests/public-api`, so that no change is accidental.
//!
//! The lists are made from the sources: every item that can be named from outside, with the signatures of functions and
//! of inherent methods, public fields, variants, and what is derived. `MMREST_WRITE_API=1 cargo test -p mmrest --test
//! public_api` writes them anew. Implementations of traits by hand are not in them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api;
mod common;

use common::workspace;

const CRATES: [&str; 10] = [
    "mmrest-data",
    "mmrest-datatools",
    "mmrest-media",
    "mmrest-kernels",
    "mmrest-onnx",
    "mmrest-models",
    "mmrest-encoders",
    "mmrest-metric",
    "mmrest-pdlf",
    "mmrest-learner",
];

#[test]
fn what_the_crates_offer_is_what_is_listed() {
    let write = std::env::var_os("MMREST_WRITE_API").is_some();
    let mut differing = Vec::new();
    for name in CRATES {
        let found = api::list(&workspace().join("crates").join(name));
        assert!(found.lines().count() > 10, "{name}: {found}");
        let path = workspace()
            .join("tests/public-api")
            .join(format!("{name}.txt"));
        if write {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &found).unwrap();
        }
        let listed = std::fs::read_to_string(&path).unwrap_or_default();
        let gone = listed
            .lines()
            .filter(|line| !found.lines().any(|of| of == *line));
        let new = found
            .lines()
            .filter(|line| !listed.lines().any(|of| of == *line));
        differing.extend(gone.map(|line| format!("{name}: - {line}")));
        differing.extend(new.map(|line| format!("{name}: + {line}")));
        if found != listed && differing.is_empty() {
            differing.push(format!("{name}: the order"));
        }
    }
    assert!(
        differing.is_empty(),
        "the public items differ from tests/public-api (MMREST_WRITE_API=1 writes it anew):\n{}",
        differing.join("\n")
    );
}

#[test]
fn what_is_listed_follows_from_the_sources() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("src");
    std::fs::create_dir_all(source.join("inner")).unwrap();
    let files = [
        (
            "lib.rs",
            "mod inner;\npub mod open;\npub use inner::{Shown, deep::far as near};\npub(crate) use inner::Hidden;",
        ),
        (
            "inner/mod.rs",
            "pub(crate) mod deep;\n#[derive(Clone)] pub struct Shown { pub a: u8, b: u8 }\npub struct Hidden;\n\
             impl Shown { pub fn get(&self) -> u8 { self.a } fn own(&self) {} }\nimpl Hidden { pub fn no(&self) {} }",
        ),
        (
            "inner/deep.rs",
            "use super::Shown;\npub fn far<T: Into<u8>>(t: T) -> Vec<T> { vec![t] }\nimpl Shown { pub fn deep(self) {} }",
        ),
        (
            "open.rs",
            "pub enum Choice { One, Two(u8) }\n#[cfg(test)] pub fn tested() {}\npub trait Can { fn can(&self); }",
        ),
    ];
    for (name, text) in files {
        std::fs::write(source.join(name), text).unwrap();
    }
    let expected = [
        "fn near<T: Into<u8>>(t: T) -> Vec<T>",
        "mod open",
        "open: enum Choice",
        "open: enum Choice: One",
        "open: enum Choice: Two(u8)",
        "open: trait Can",
        "open: trait Can: fn can(&self)",
        "struct Shown: derive Clone",
        "struct Shown: fn deep(self)",
        "struct Shown: fn get(&self) -> u8",
        "struct Shown: pub a: u8",
        "struct Shown",
    ];
    let found = api::list(folder.path());
    let mut found: Vec<&str> = found.lines().collect();
    let mut expected = expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
