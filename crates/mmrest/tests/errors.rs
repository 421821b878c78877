//! Checks that docs/src/errors.md lists every error type of the library crates with its message.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Fields, Item, LitStr, Meta, Token};

use common::workspace;

/// Every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|of| of == "rs") {
            found.push(path);
        }
    }
}

fn derives_error(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => {
            list.path.is_ident("derive") && list.tokens.to_string().contains("Error")
        }
        _ => false,
    })
}

/// The text of `#[error("...", ...)]`; none for `#[error(transparent)]`.
fn message(attributes: &[Attribute]) -> Option<String> {
    let own = attributes
        .iter()
        .find(|attribute| attribute.path().is_ident("error"));
    let own = own.expect("an error has #[error(...)]");
    own.parse_args_with(|input: syn::parse::ParseStream<'_>| {
        if !input.peek(LitStr) {
            input.parse::<proc_macro2::TokenStream>()?;
            return Ok(None);
        }
        let text: LitStr = input.parse()?;
        if input.peek(Token![,]) {
            input.parse::<proc_macro2::TokenStream>()?;
        }
        Ok(Some(text.value()))
    })
    .unwrap()
}

/// Name and message of every error of the library crates.
fn errors() -> BTreeMap<String, Option<String>> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(workspace().join("crates")).unwrap() {
        let folder = folder.unwrap().path();
        if folder.join("src/lib.rs").is_file() {
            sources(&folder.join("src"), &mut files);
        }
    }
    let mut errors = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for item in syn::parse_file(&text).unwrap().items {
            match item {
                Item::Enum(item) if derives_error(&item.attrs) => {
                    for variant in &item.variants {
                        let name = format!("{}::{}", item.ident, variant.ident);
                        errors.insert(name, message(&variant.attrs));
                    }
                }
                Item::Struct(item) if derives_error(&item.attrs) => {
                    assert!(!matches!(item.fields, Fields::Unit), "{}", item.ident);
                    errors.insert(item.ident.to_string(), message(&item.attrs));
                }
                _ => {}
            }
        }
    }
    errors
}

/// What stands between the placeholders of a format string.
fn literals(format: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut inside = false;
    for character in format.chars() {
        match character {
            '{' => inside = true,
            '}' => {
                inside = false;
                parts.push(String::new());
            }
            _ if inside => {}
            other => parts.last_mut().unwrap().push(other),
        }
    }
    parts
}

/// Whether a text could be the message: the literals in their order, something between any two of them.
fn could_be(text: &str, literals: &[String]) -> bool {
    let Some((first, rest)) = literals.split_first() else {
        return false;
    };
    let Some(mut left) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for (index, literal) in rest.iter().enumerate() {
        let at = if index + 1 == rest.len() {
            left.len()
                .checked_sub(literal.len())
                .filter(|_| left.ends_with(literal.as_str()))
        } else {
            left.find(literal.as_str())
        };
        match at {
            Some(at) => left = &left[at + literal.len()..],
            None => return false,
        }
    }
    left.is_empty()
}

/// The code spans of a text, in one or two backticks.
fn spans(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        let fence = if rest[start..].starts_with("``") {
            "``"
        } else {
            "`"
        };
        let inside = &rest[start + fence.len()..];
        let Some(end) = inside.find(fence) else {
            break;
        };
        spans.push(inside[..end].trim());
        rest = &inside[end + fence.len()..];
    }
    spans
}

fn page() -> String {
    std::fs::read_to_string(workspace().join("docs/src/errors.md")).unwrap()
}

#[test]
fn every_error_is_listed_with_its_message() {
    let page = page();
    let items: Vec<&str> = page.lines().filter(|line| line.starts_with("- ")).collect();
    let errors = errors();
    assert!(errors.len() > 60, "{}", errors.len());
    for (name, format) in &errors {
        let Some(format) = format else {
            assert!(
                page.contains(&format!("`{name}`")),
                "docs/src/errors.md does not name {name}"
            );
            continue;
        };
        let named = format!(" (`{name}`)");
        let item = items.iter().find_map(|item| item.split_once(&named));
        let (listed, cause) =
            item.unwrap_or_else(|| panic!("docs/src/errors.md does not list {name}: {format:?}"));
        let literals = literals(format);
        let listed = spans(listed);
        assert!(
            listed.iter().any(|text| could_be(text, &literals)),
            "docs/src/errors.md tells {name} as {listed:?}, not as {format:?}"
        );
        // A message that does not say what happened needs its cause.
        let telling = literals
            .iter()
            .map(|literal| literal.trim().len())
            .sum::<usize>()
            > 8;
        assert!(
            telling || cause.len() > 8,
            "{name}: docs/src/errors.md names no cause"
        );
    }
}

#[test]
fn no_error_is_listed_that_is_none() {
    let errors = errors();
    let types: Vec<&str> = errors
        .keys()
        .filter_map(|name| name.split("::").next())
        .collect();
    let page = page();
    for span in page.lines().flat_map(spans) {
        let Some((of, _)) = span.split_once("::") else {
            continue;
        };
        if types.contains(&of) {
            assert!(
                errors.contains_key(span),
                "docs/src/errors.md names {span}, which is no error"
            );
        }
    }
}

#[test]
fn messages_are_told_apart() {
    let parts = literals("{}: entry {id:?}: {reason}");
    assert!(could_be("FILE: entry \"ID\": REASON", &parts));
    assert!(!could_be("FILE: REASON", &parts));
    assert!(could_be("stopped", &literals("stopped")));
    assert!(!could_be("stopped here", &literals("stopped")));
    assert_eq!(spans("a `b` c ``d `e` f``"), ["b", "d `e` f"]);
}
