//! Checks the documentation: every configuration key is listed with its default, and every relative link works.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};

use mmrest_learner::Config;
use mmrest_learner::config::ModelConfig;
use toml::{Table, Value};

use common::workspace;

/// Keys that a configuration has only when they are set.
const OPTIONAL: [&str; 17] = [
    "data.fold",
    "data.file",
    "data.words",
    "data.sentences",
    "data.table",
    "data.vision",
    "data.audio",
    "data.max_frames",
    "text.train_layers",
    "text.dropout",
    "train.schedule_epochs",
    "model.mmrest.loss.smoothing",
    "model.mmrest.loss.anchor_weight",
    "model.mmrest.loss.ordinal_weight",
    "model.mmrest.loss.memory",
    "model.mmrest.projection.centers",
    "model.mmrest.projection.support",
];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every key below `prefix` in dotted form, with its value.
fn keys(prefix: &str, table: &Table) -> Vec<(String, Value)> {
    let dotted = |key: &String, value: &Value| {
        let key = match prefix {
            "" => key.clone(),
            _ => format!("{prefix}.{key}"),
        };
        match value {
            Value::Table(inner) => keys(&key, inner),
            _ => vec![(key, value.clone())],
        }
    };
    table.iter().flat_map(|(k, v)| dotted(k, v)).collect()
}

/// The whole configuration of a model, as TOML.
fn defaults(model: ModelConfig) -> Table {
    let config = Config {
        model,
        ..Config::default()
    };
    config.to_toml().unwrap().parse().unwrap()
}

/// The keys that configuration.md lists, each with its default if it has one: items such as `key = "default"`.
fn documented(page: &str) -> Vec<(&str, Option<&str>)> {
    let items = page.lines().filter_map(|line| line.strip_prefix("- `"));
    let spans = items.filter_map(|item| item.split('`').next());
    spans
        .map(|span| match span.split_once(" = ") {
            Some((key, default)) => (key, Some(default)),
            None => (span, None),
        })
        .collect()
}

#[test]
fn every_key_is_documented_with_its_default() {
    let page = read(&workspace().join("docs/src/configuration.md"));
    let mut keys = keys("", &defaults(ModelConfig::default()));
    for name in ModelConfig::NAMES {
        let own = format!("model.{name}.");
        let more = self::keys("", &defaults(ModelConfig::default_of(name).unwrap()));
        for key in more.into_iter().filter(|(key, _)| key.starts_with(&own)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    // Written only where it is another.
    keys.push(("text.pooling".to_owned(), Value::from("first")));
    let documented = documented(&page);
    let of = |key: &str| {
        let found = documented.iter().find(|(known, _)| *known == key);
        found
            .unwrap_or_else(|| panic!("configuration.md does not list {key}"))
            .1
    };
    for (key, default) in &keys {
        let told = of(key).unwrap_or_else(|| panic!("configuration.md has no default of {key}"));
        let told = format!("value = {told}")
            .parse::<Table>()
            .unwrap_or_else(|e| panic!("{key}: {e}"))["value"]
            .clone();
        assert_eq!(&told, default, "{key}");
    }
    for key in OPTIONAL {
        assert_eq!(of(key), None, "{key}");
    }
    let known = |key: &str| OPTIONAL.contains(&key) || keys.iter().any(|(known, _)| known == key);
    let named = documented.iter().map(|(key, _)| *key);
    let unknown: Vec<&str> = named.filter(|key| !known(key)).collect();
    assert!(
        unknown.is_empty(),
        "configuration.md lists what is no key: {unknown:?}"
    );
    assert_eq!(documented.len(), keys.len() + OPTIONAL.len(), "keys twice");
}

/// The targets of all links `[..](target)` outside fenced code.
fn links(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let root = workspace();
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "data/README.md",
    ]
    .map(|page| root.join(page))
    .to_vec();
    for entry in std::fs::read_dir(root.join("docs/src")).unwrap() {
        pages.push(entry.unwrap().path());
    }
    let mut checked = 0;
    for page in &pages {
        let text = read(page);
        for link in links(&text)
            .into_iter()
            .filter(|link| !link.contains("://"))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                _ => page.with_file_name(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            let found = anchor.is_empty() || anchors(&read(&target)).any(|known| known == anchor);
            assert!(found, "{}: {link}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

/// The anchors of a page's headings: lower case, blanks as dashes, nothing but letters, digits, dashes and underscores.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The Rust code of a page runs as doctests when the learner includes the page.
#[test]
fn every_page_with_rust_code_is_run() {
    let root = workspace();
    let included = read(&root.join("crates/mmrest-learner/src/pages.rs"));
    let book = std::fs::read_dir(root.join("docs/src")).unwrap();
    let book = book.map(|entry| format!("docs/src/{}", entry.unwrap().file_name().display()));
    for page in book.chain(["README.md".into(), "CONTRIBUTING.md".into()]) {
        if page.ends_with(".md") && read(&root.join(&page)).contains("```rust") {
            let line = format!("include_str!(\"../../../{page}\")");
            assert!(included.contains(&line), "{page}");
        }
    }
}
