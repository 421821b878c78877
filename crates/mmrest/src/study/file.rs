//! Parses the file of a study: named variants, each a set of overrides of a configuration (docs/src/studies.md).

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;
use toml::{Table, Value};

use super::search::SearchEntry;

/// The contents of a study's file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StudyFile {
    /// Its title in tables.
    pub(crate) title: String,
    /// The name of the variant that the others are compared with.
    pub(crate) reference: String,
    /// What is expected of the study, or its purpose.
    #[serde(default)]
    pub(crate) note: String,
    /// The number of seeds per variant, unless the command line gives one.
    #[serde(default)]
    pub(crate) seeds: Option<usize>,
    /// The study whose `base` is below this one's.
    #[serde(default)]
    pub(crate) base_of: Option<String>,
    /// Overrides for every variant.
    #[serde(default)]
    pub(crate) base: Table,
    /// The variants.
    #[serde(default, rename = "variant")]
    pub(crate) variants: Vec<VariantEntry>,
    /// Keys that are varied one at a time.
    #[serde(default, rename = "sweep")]
    pub(crate) sweeps: Vec<SweepEntry>,
    /// Keys that are searched together, by validation.
    #[serde(default, rename = "search")]
    pub(crate) searches: Vec<SearchEntry>,
    /// Whether every registered model is a variant, beside those of the file.
    #[serde(default)]
    pub(crate) every_model: bool,
    /// Figures that others have published, for a table of their own.
    #[serde(default)]
    pub(crate) published: Vec<PublishedEntry>,
}

/// `[[published]]`: figures of a method as a publication states them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishedEntry {
    /// The method.
    pub(crate) method: String,
    /// The data set: shown for configurations whose name begins so, up to a hyphen or the end.
    pub(crate) data: String,
    /// Where the figures stand.
    pub(crate) source: String,
    /// How the model was chosen.
    pub(crate) chosen: String,
    /// Figures by name, as they are printed there.
    pub(crate) figures: BTreeMap<String, String>,
}

/// `[[variant]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantEntry {
    /// Its name, which is also the name of its folder.
    pub(crate) name: String,
    /// Its title in tables; by default its name.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// What is expected of it.
    #[serde(default)]
    pub(crate) note: String,
    /// Overrides, dotted or nested.
    #[serde(default)]
    pub(crate) set: Table,
}

/// `[[sweep]]`: several values of one key, each of which makes a variant called `key=value`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepEntry {
    /// A key of the configuration.
    pub(crate) key: String,
    /// Its title in tables; by default the key.
    #[serde(default)]
    pub(crate) symbol: Option<String>,
    /// What is expected of it.
    #[serde(default)]
    pub(crate) note: String,
    /// Its values: numbers, booleans or words.
    pub(crate) values: Vec<Value>,
}

impl StudyFile {
    /// Parses and checks the text of a study's file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        mmrest_learner::config::check_brackets(text).map_err(|error| anyhow!(error))?;
        let study: Self = toml::from_str(text).map_err(|error| anyhow!(one_line(text, &error)))?;
        study.check()?;
        Ok(study)
    }

    fn check(&self) -> Result<()> {
        if self.seeds == Some(0) {
            bail!("seeds must be at least 1, found 0");
        }
        for (index, variant) in self.variants.iter().enumerate() {
            check_name(&variant.name)?;
            let before = &self.variants[..index];
            if before.iter().any(|other| other.name == variant.name) {
                bail!(
                    "two variants are called '{}': give one another name",
                    variant.name
                );
            }
        }
        if !self
            .variants
            .iter()
            .any(|variant| variant.name == self.reference)
        {
            bail!(
                "reference = \"{}\" is not the name of a [[variant]]: add one, or choose an existing one",
                self.reference
            );
        }
        self.searches.iter().try_for_each(SearchEntry::check)?;
        self.sweeps.iter().try_for_each(SweepEntry::check)
    }
}

impl SweepEntry {
    fn check(&self) -> Result<()> {
        if self.values.is_empty() {
            bail!("the sweep of {} has no values", self.key);
        }
        self.values
            .iter()
            .try_for_each(|value| check_name(&self.variant_name(value)?))
    }

    /// `key=value`.
    pub(crate) fn variant_name(&self, value: &Value) -> Result<String> {
        Ok(format!("{}={}", self.key, in_name(&self.key, value)?))
    }
}

/// A value as part of a variant's name.
pub(super) fn in_name(key: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(word) => Ok(word.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        other => bail!(
            "{key} is to be {other}, which cannot be part of a name: write such values as [[variant]]s"
        ),
    }
}

/// Checks that a name can be the name of a folder on every system, and be given to `--only`.
pub(super) fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.=+".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        bail!(
            "'{name}' cannot be a variant's name: use letters, digits and - _ . = +, and no dot at its beginning"
        );
    }
    Ok(())
}

/// The overrides as dotted keys with their values, in alphabetical order.
pub(crate) fn overrides(set: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in set {
        match value {
            Value::Table(inner) => {
                let below = overrides(inner).into_iter();
                found.extend(below.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => found.push((key.clone(), value.clone())),
        }
    }
    found
}

/// Whether the text of a TOML file is a study rather than a configuration.
pub(crate) fn is_study(text: &str) -> bool {
    let table: Table = text.parse().unwrap_or_default();
    ["variant", "sweep", "search"]
        .iter()
        .any(|key| table.contains_key(*key))
}

/// The message of a TOML error on one line, after the number of the line with the error.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let lines: Vec<&str> = error.message().lines().map(str::trim).collect();
    let message = lines.join(" ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = r#"
        title = "Bias"
        reference = "full"
        base.train.epochs = 3
        [[variant]]
        name = "full"
        [[variant]]
        name = "no-bias"
        title = "without bias"
        set = { model.mmrest.bias = false, data.modalities = ["text"], "model.mmrest.loss.margin" = 2 }
        [[sweep]]
        key = "model.mmrest.clusters.clusters"
        symbol = "K"
        values = [3, 5]
    "#;

    #[test]
    fn a_study_is_read_with_dotted_and_nested_keys() {
        let study = StudyFile::parse(STUDY).unwrap();
        assert_eq!(study.title, "Bias");
        assert_eq!(
            overrides(&study.base),
            [("train.epochs".into(), Value::Integer(3))]
        );
        let set = overrides(&study.variants[1].set);
        let keys: Vec<&str> = set.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "data.modalities",
                "model.mmrest.bias",
                "model.mmrest.loss.margin"
            ]
        );
        let sweep = &study.sweeps[0];
        assert_eq!(
            sweep.variant_name(&sweep.values[1]).unwrap(),
            "model.mmrest.clusters.clusters=5"
        );
    }

    #[test]
    fn what_is_wrong_with_a_study_is_said_in_one_line() {
        for (from, to, said) in [
            ("title = \"Bias\"", "", "title"),
            ("title = \"Bias\"", "titel = \"Bias\"", "titel"),
            ("reference = \"full\"", "reference = \"all\"", "\"all\""),
            ("name = \"no-bias\"", "name = \"full\"", "two variants"),
            ("name = \"no-bias\"", "name = \"../x\"", "'../x'"),
            ("symbol = \"K\"", "symbole = \"K\"", "symbole"),
            (
                "values = [3, 5]",
                "values = []",
                "model.mmrest.clusters.clusters has no values",
            ),
            ("values = [3, 5]", "values = [[3]]", "[[variant]]"),
            ("base.train", "seeds = 0\nbase.train", "seeds"),
        ] {
            let error = StudyFile::parse(&STUDY.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(said) && error.lines().count() == 1,
                "{to}: {error}"
            );
        }
    }
}
