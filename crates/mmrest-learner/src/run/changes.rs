//! What may be another when a run is resumed, and what of it was meant.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ModelConfig};
use crate::error::LearnerError;

/// The word for the contents of the data files.
pub(crate) const DATA: &str = "data";

/// Keys, or tables of keys, that a run may be resumed with other values of: its checkpoint has the same parameters, and its
/// state means the same. The model names those of its own table. All others would make a checkpoint unusable, or make two
/// runs of one.
const CHANGEABLE: [&str; 7] = [
    DATA, // the contents of the files; below, their places and how they are read
    "data.*",
    "text.bert",
    "text.cache",
    "sequence.*",
    "train.*",
    "report.*",
];

/// Keys of these tables that are not changeable all the same.
const FIXED: [&str; 3] = ["data.modalities", "data.label_range", "data.fold"];

/// The changes that a resumed run may find: each was meant.
///
/// ```
/// use mmrest_learner::run::Accepted;
///
/// Accepted::parse(&["data".into(), "train.patience".into()])?;
/// assert!(Accepted::parse(&["model.mmrest.representation".into()]).is_err());
/// assert!(Accepted::parse(&["train.patince".into()]).is_err());
/// # Ok::<(), mmrest_learner::LearnerError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted(BTreeSet<String>);

impl Accepted {
    /// Takes `data`, for the contents of the data files, and keys of the configuration in full.
    ///
    /// # Errors
    ///
    /// A key that is none, or one that a run cannot be resumed with another value of.
    pub fn parse(keys: &[String]) -> Result<Self, LearnerError> {
        let wrong = |message: String| Err(LearnerError::Changes(message));
        for key in keys {
            if changeable(key) && (key == DATA || is_key(key)) {
                continue;
            }
            return if is_key(key) {
                wrong(format!(
                    "a run cannot be resumed with another {key}, its checkpoints would be unusable: start a new run"
                ))
            } else {
                wrong(format!(
                    "'{key}' is not a key of the configuration, nor 'data': give keys in full, such as train.patience"
                ))
            };
        }
        Ok(Self(keys.iter().cloned().collect()))
    }

    /// Whether a key was named.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.0.contains(key)
    }

    /// Whether a change was meant. More epochs are no change that could surprise.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.names(key) || key == "train.epochs"
    }
}

fn changeable(key: &str) -> bool {
    let models = ModelConfig::NAMES.iter();
    let models = models.filter_map(|name| ModelConfig::default_of(name));
    let own = models.flat_map(|model| {
        let of = model.name();
        let keys = model.resumable().iter();
        keys.map(move |key| format!("model.{of}.{key}"))
    });
    let listed: Vec<String> = CHANGEABLE
        .map(String::from)
        .into_iter()
        .chain(own)
        .collect();
    let table = key.rsplit_once('.').map(|(table, _)| format!("{table}.*"));
    let listed = |name: &str| listed.iter().any(|listed| listed == name);
    !FIXED.contains(&key) && (listed(key) || table.is_some_and(|table| listed(&table)))
}

/// Whether a configuration has such a key: by default, or once it is set.
fn is_key(key: &str) -> bool {
    let models = ModelConfig::NAMES.iter();
    let mut models = models.filter_map(|name| ModelConfig::default_of(name));
    models.any(|model| is_key_with(key, model))
}

/// Whether a configuration of this model has such a key.
fn is_key_with(key: &str, model: ModelConfig) -> bool {
    let name = toml::Value::String(model.name().into());
    let config = Config {
        model,
        ..Config::default()
    };
    let Ok(defaults) = toml::Table::try_from(config) else {
        return false;
    };
    let mut above = key.split('.').collect::<Vec<_>>();
    let last = above.pop().unwrap_or_default();
    let table = above.iter().try_fold(&defaults, |table, part| {
        table.get(*part).and_then(toml::Value::as_table)
    });
    match table.map(|table| table.get(last)) {
        None => false,
        Some(Some(value)) => !value.is_table(),
        // One that has no default is refused for its value; one that is none, for its name.
        Some(None) => {
            let odd = toml::Value::Array(vec![toml::Value::Boolean(true)]);
            let set = [("model.name".into(), name), (key.to_string(), odd)];
            let parsed = Config::parse("", &set);
            parsed.is_err_and(|error| {
                let message = error.to_string();
                !(message.contains("unknown field") || message.contains("there is no"))
            })
        }
    }
}

/// A key that is another than it was, and was meant to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The key, or `data`.
    pub key: String,
    /// What it was; null where it was not set. Of `data`, the files.
    pub from: serde_json::Value,
    /// What it is.
    pub to: serde_json::Value,
}

/// A key in which two configurations differ, with what either has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) key: String,
    stored: Option<toml::Value>,
    given: Option<toml::Value>,
}

impl Difference {
    /// `'train.patience = 3' there, 'train.patience = 7' now`.
    pub(crate) fn sentence(&self) -> String {
        let key = &self.key;
        let told = |value: &Option<toml::Value>| match value {
            Some(value) => format!("'{key} = {value}'"),
            None => format!("no {key}"),
        };
        format!("{} there, {} now", told(&self.stored), told(&self.given))
    }

    /// Whether a run can be resumed with it.
    pub(crate) fn is_acceptable(&self) -> bool {
        changeable(&self.key)
    }

    /// For the record.
    pub(crate) fn change(self) -> Change {
        let json = |value: Option<toml::Value>| serde_json::to_value(value).unwrap_or_default();
        Change {
            key: self.key,
            from: json(self.stored),
            to: json(self.given),
        }
    }
}

/// The first key in which two configurations differ, with what each has: `'train.patience = 3' there, ...`.
pub fn first_difference(stored: &Config, given: &Config) -> String {
    match differences(stored, given) {
        Ok(differences) => match differences.first() {
            Some(difference) => difference.sentence(),
            None => "no key".into(),
        },
        Err(_) => "unreadable".into(),
    }
}

/// Every key in which two configurations differ, in the order of their names.
pub(crate) fn differences(
    stored: &Config,
    given: &Config,
) -> Result<Vec<Difference>, LearnerError> {
    let table = |config: &Config| {
        let table = toml::Table::try_from(config);
        table
            .map(toml::Value::Table)
            .map_err(|e| LearnerError::Internal(e.to_string()))
    };
    let (stored, given) = (table(stored)?, table(given)?);
    let mut found = Vec::new();
    differing("", Some(&stored), Some(&given), &mut found);
    Ok(found)
}

/// Adds the keys at or below `key` whose values differ.
fn differing(
    key: &str,
    stored: Option<&toml::Value>,
    given: Option<&toml::Value>,
    found: &mut Vec<Difference>,
) {
    use toml::Value::Table;
    if let (Some(Table(stored)), Some(Table(given))) = (stored, given) {
        let names: BTreeSet<&String> = stored.keys().chain(given.keys()).collect();
        for name in names {
            let below = match key {
                "" => name.clone(),
                _ => format!("{key}.{name}"),
            };
            differing(&below, stored.get(name), given.get(name), found);
        }
    } else if stored != given {
        found.push(Difference {
            key: key.to_string(),
            stored: stored.cloned(),
            given: given.cloned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_override;

    fn with(set: &[&str]) -> Config {
        let set: Vec<_> = set.iter().map(|set| parse_override(set).unwrap()).collect();
        Config::parse("", &set).unwrap()
    }

    #[test]
    fn the_first_difference_of_two_configurations_is_named() {
        let other = with(&["model.mmrest.loss.ordinal_weight=7.0"]);
        let sentence = first_difference(&with(&[]), &other);
        assert!(
            sentence.contains("ordinal_weight = 0") && sentence.contains("ordinal_weight = 7"),
            "{sentence}"
        );
        let mut longer = Config::default();
        longer.text.train_layers = Some(2);
        assert_eq!(
            first_difference(&Config::default(), &longer),
            "no text.train_layers there, 'text.train_layers = 2' now"
        );
    }

    #[test]
    fn every_difference_is_found() {
        let other = with(&[
            "model.mmrest.loss.ordinal_weight=7.0",
            "train.patience=3",
            "seed=9",
        ]);
        let found = differences(&with(&[]), &other).unwrap();
        let keys: Vec<&str> = found.iter().map(|found| found.key.as_str()).collect();
        assert_eq!(
            keys,
            ["model.mmrest.loss.ordinal_weight", "seed", "train.patience"]
        );
        let able: Vec<bool> = found.iter().map(Difference::is_acceptable).collect();
        assert_eq!(able, [true, false, true]);
        let change = found[2].clone().change();
        assert_eq!((change.from, change.to), (10.into(), 3.into()));
    }

    #[test]
    fn another_kind_is_another_model() {
        for table in ["loss", "projection"] {
            let key = format!("model.mmrest.{table}.kind");
            let error = Accepted::parse(std::slice::from_ref(&key)).unwrap_err();
            assert!(error.to_string().contains(&format!("another {key},")));
        }
        let config = toml::Table::try_from(Config::default()).unwrap();
        let presets = ["paper", "ordinal", "kernel"].map(|preset| {
            let config = with(&[&format!("preset={preset}")]);
            toml::Table::try_from(config).unwrap()
        });
        // All others of these tables can be.
        for config in presets.iter().chain([&config]) {
            for table in ["loss", "projection"] {
                let keys = config["model"]["mmrest"][table].as_table().unwrap();
                for key in keys.keys().filter(|key| *key != "kind") {
                    Accepted::parse(&[format!("model.mmrest.{table}.{key}")]).unwrap();
                }
            }
        }
    }

    /// Every key of a configuration is either changeable or refused by name; what is no key is told so.
    #[test]
    fn keys_are_told_apart_from_what_is_none() {
        let config = toml::Table::try_from(Config::default()).unwrap();
        let mut keys = vec!["text.train_layers".to_string(), "data.audio".into()];
        let mut tables = vec![(String::new(), &config)];
        while let Some((above, table)) = tables.pop() {
            for (name, value) in table {
                let key = format!("{above}{name}");
                match value.as_table() {
                    Some(inner) => tables.push((format!("{key}."), inner)),
                    None => keys.push(key),
                }
            }
        }
        assert!(keys.len() > 60, "{}", keys.len());
        let mut able = 0;
        for key in &keys {
            match Accepted::parse(std::slice::from_ref(key)) {
                Ok(_) => able += 1,
                Err(error) => {
                    let sentence = error.to_string();
                    assert!(sentence.contains(&format!("another {key},")), "{sentence}");
                }
            }
        }
        assert!(
            able > 30 && able < keys.len() - 10,
            "{able} of {}",
            keys.len()
        );
        for none in [
            "",
            "train",
            "loss.margin",
            "model.mmrest.loss.eta",
            "model.mmrst.dropout",
            "train.patience.x",
            "data.",
            "data.columns",
            "model",
        ] {
            let error = Accepted::parse(&[none.to_string()])
                .unwrap_err()
                .to_string();
            assert!(error.contains("not a key"), "{none}: {error}");
        }
    }
}
