//! The layers of a configuration: defaults, preset, file, overrides.

use mmrest_models::{ConfigError, ModelConfig, ModelVisitor, SentimentModel};
use toml::{Table, Value};

use super::Config;
use super::renamed::without_aliases;
use super::wording;

/// Splits `key.path=value`. The value is TOML (`3`, `0.5`, `true`, `["text"]`, `"a b"`); anything else is taken as a string.
///
/// ```
/// use mmrest_learner::Config;
/// use mmrest_learner::config::parse_override;
///
/// let epochs = parse_override("train.epochs=3")?;
/// assert_eq!(Config::parse("", &[epochs])?.train.epochs, 3);
/// assert!(parse_override("train.epochs").is_err());
/// # Ok::<(), mmrest_learner::config::ConfigError>(())
/// ```
///
/// # Errors
///
/// There is no `=`, or the key is empty.
pub fn parse_override(text: &str) -> Result<(String, Value), ConfigError> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| ConfigError(format!("an override is key.path=value, found '{text}'")))?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(ConfigError(format!(
            "an override is key.path=value, found '{text}'"
        )));
    }
    let value = value.trim();
    let parsed = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    Ok((
        key.to_string(),
        parsed.unwrap_or_else(|| Value::String(value.to_string())),
    ))
}

/// More brackets than any configuration opens: a parser of TOML goes one level deeper for each, and the stack ends before
/// the file does.
const MOST_BRACKETS: usize = 1000;

/// Refuses text that would take a parser of TOML too deep.
///
/// # Errors
///
/// A sentence with the number of brackets and the line of the first that is too much.
pub fn check_brackets(text: &str) -> Result<(), ConfigError> {
    let brackets = text.match_indices(['[', '{']);
    match brackets.map(|(at, _)| at).nth(MOST_BRACKETS) {
        None => Ok(()),
        Some(at) => Err(ConfigError(format!(
            "line {}: more than {MOST_BRACKETS} brackets are opened up to here; no configuration needs so many",
            1 + text[..at].matches('\n').count()
        ))),
    }
}

/// A TOML text as a table; the error has line and column.
pub(super) fn parse(text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        let told = wording::of_toml(text, error.span(), &sentence(&error));
        ConfigError(format!("{}{told}", place(text, &error)))
    })
}

/// The preset that holds when none is named.
pub(super) fn first_preset(model: &ModelConfig) -> &'static str {
    model.presets().first().map_or("", |(name, _)| name)
}

/// The preset that sets nothing: the model's defaults as they stand.
pub(super) fn plain_preset(model: &ModelConfig) -> &'static str {
    let mut presets = model.presets().iter();
    let plain = presets.find(|(_, layer)| layer.is_empty());
    plain.map_or("", |(name, _)| name)
}

/// Lays what was set, each layer over the one before, over preset and defaults, and reads the result.
pub(super) fn resolve(layers: Vec<Table>) -> Result<Config, ConfigError> {
    let layers: Vec<Table> = layers.into_iter().map(without_aliases).collect();
    let model = chosen_model(&layers)?;
    let name = model.name();
    let preset = match layers.iter().rev().find_map(|layer| layer.get("preset")) {
        None => first_preset(&model),
        Some(Value::String(preset)) => preset,
        Some(other) => {
            return Err(ConfigError(format!(
                "preset: expected a name, found {other}"
            )));
        }
    };
    let presets = model.presets();
    let Some((preset, layer)) = presets.iter().find(|(known, _)| *known == preset) else {
        let known: Vec<&str> = presets.iter().map(|(name, _)| *name).collect();
        return Err(ConfigError(format!(
            "preset: {name} has no preset '{preset}'; {}its presets are {}",
            wording::did_you_mean(preset, known.iter().copied()),
            known.join(", ")
        )));
    };
    let defaults = Config {
        preset: (*preset).into(),
        model: model.clone(),
        ..Config::default()
    };
    let mut merged = Table::try_from(defaults).map_err(|e| ConfigError(e.to_string()))?;
    let known = wording::keys(&merged);
    let unknown = layers
        .iter()
        .find_map(|layer| wording::unknown_top(layer, &known));
    if let Some(message) = unknown {
        return Err(ConfigError(message));
    }
    merge(&mut merged, parse(layer)?, false);
    for layer in layers {
        merge(&mut merged, layer, false);
    }
    check_model_tables(&mut merged, name, &known)?;
    serde_path_to_error::deserialize(Value::Table(merged)).map_err(|e| {
        let path = e.path().to_string();
        ConfigError(wording::of_value(&path, &sentence(e.inner()), &known))
    })
}

/// The model that `model.name` names, with its defaults.
fn chosen_model(layers: &[Table]) -> Result<ModelConfig, ConfigError> {
    let named = |layer: &'_ Table| layer.get("model")?.as_table()?.get("name").cloned();
    let name = match layers.iter().rev().find_map(named) {
        None => return Ok(ModelConfig::default()),
        Some(Value::String(name)) => name,
        Some(other) => {
            return Err(ConfigError(format!(
                "model.name: expected a name, found {other}"
            )));
        }
    };
    ModelConfig::default_of(&name).ok_or_else(|| {
        ConfigError(format!(
            "model.name: there is no model '{name}'; {}the models are {}",
            wording::did_you_mean(&name, ModelConfig::NAMES.iter().copied()),
            ModelConfig::NAMES.join(", ")
        ))
    })
}

/// Checks every model's table, for a file may hold those of several models, and leaves that of `name` alone.
fn check_model_tables(config: &mut Table, name: &str, known: &[String]) -> Result<(), ConfigError> {
    let Some(Value::Table(models)) = config.get_mut("model") else {
        return Ok(());
    };
    let tables: Vec<String> = models
        .keys()
        .filter(|key| *key != "name")
        .cloned()
        .collect();
    for table in tables {
        let Some(model) = ModelConfig::default_of(&table) else {
            return Err(ConfigError(format!(
                "model.{table}: there is no such model; {}the models are {}",
                wording::did_you_mean(&table, ModelConfig::NAMES.iter().copied()),
                ModelConfig::NAMES.join(", ")
            )));
        };
        let value = models
            .get(&table)
            .cloned()
            .unwrap_or(Value::Table(Table::new()));
        model.visit(ReadTable {
            table: &table,
            value,
            known,
        })?;
        if table != name {
            models.remove(&table);
        }
    }
    Ok(())
}

/// Reads a model's own table, for the sake of the error, which names the key.
struct ReadTable<'a> {
    table: &'a str,
    value: Value,
    known: &'a [String],
}

impl ModelVisitor for ReadTable<'_> {
    type Output = Result<(), ConfigError>;

    fn visit<M: SentimentModel>(self, _: &M::Config) -> Self::Output {
        let read: Result<M::Config, _> = serde_path_to_error::deserialize(self.value);
        read.map(drop).map_err(|error| {
            let path = match error.path().to_string() {
                path if path == "." => String::new(),
                path => format!(".{path}"),
            };
            let path = format!("model.{}{path}", self.table);
            ConfigError(wording::of_value(
                &path,
                &sentence(error.inner()),
                self.known,
            ))
        })
    }
}

/// Line and column of an error in a text, both from 1: `line 3, column 7: `.
fn place(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or_else(String::new, |before| {
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|&c| c != '\n').count();
        format!("line {line}, column {column}: ")
    })
}

/// TOML's message on one line.
fn sentence(error: &toml::de::Error) -> String {
    let lines: Vec<&str> = error.message().lines().map(str::trim).collect();
    lines.join(" ")
}

/// Sets a dotted key, making tables on the way.
pub(super) fn set(table: &mut Table, key: &str, value: Value) -> Result<(), ConfigError> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
            Ok(())
        }
        Some((head, rest)) => {
            let inner = table
                .entry(head)
                .or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => set(inner, rest, value),
                _ => Err(ConfigError(format!(
                    "'{head}' is a value, not a table: cannot set {key}"
                ))),
            }
        }
    }
}

/// Lays `upper` over `lower`, table by table. Within a model's table another `kind` takes the place of the whole table: the
/// fields of one kind are not those of another.
fn merge(lower: &mut Table, upper: Table, in_model: bool) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                let other_kind = |kind: &Value| below.get("kind").is_some_and(|old| old != kind);
                if in_model && above.get("kind").is_some_and(other_kind) {
                    below.clear();
                }
                merge(below, above, in_model || key == "model");
            }
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_toml_or_else_strings() {
        assert_eq!(parse_override("a.b=3").unwrap().1, Value::Integer(3));
        assert_eq!(parse_override("a=true").unwrap().1, Value::Boolean(true));
        assert_eq!(
            parse_override("a=../x y").unwrap().1,
            Value::String("../x y".into())
        );
        assert!(parse_override("a").is_err());
        assert!(parse_override(".b=1").is_err());
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_place() {
        let error = parse("seed = 1\n[train]\nepochs = = 3")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 3, column 10: "), "{error}");
    }

    #[test]
    fn what_would_take_the_parser_too_deep_is_refused() {
        for text in ["x = { y", "{a=", "x = [", "[a]\n"] {
            let error = check_brackets(&text.repeat(50_000))
                .unwrap_err()
                .to_string();
            assert!(error.contains("more than 1000 brackets"), "{error}");
            // As deep as is let through.
            check_brackets(&text.repeat(1000)).unwrap();
            assert!(parse(&text.repeat(1000)).is_err());
        }
    }

    #[test]
    fn setting_below_a_value_is_an_error() {
        let mut table = parse("seed = 1").unwrap();
        let error = set(&mut table, "seed.x", Value::Integer(1)).unwrap_err();
        assert!(error.to_string().contains("seed"));
    }
}
