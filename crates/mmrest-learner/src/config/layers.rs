//! The layers of a configuration: preset, file, overrides.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// What the `official` preset sets differently (docs/src/method.md, "two presets"). The `paper` preset is the defaults.
const OFFICIAL: &str = r#"
[sequence]
drop_zero_frames = true
[clusters]
scope = "batch"
receptive_field = "cell"
[projection]
at_evaluation = false
[train]
selection = "test_among_improving"
"#;

/// What the `ordinal` preset sets differently from the `paper` preset.
const ORDINAL: &str = r#"
[clusters]
by = "sentiment"
[loss]
form = "ordinal"
task = "score"
mmc_weight = 1.0
frobenius_weight = 0.0
[projection]
kind = "expectation"
gamma = 0.5
[train]
metric_learning_rate = 1e-3
metric_clip = 0.0
"#;

/// Splits `key.path=value`. The value is TOML (`3`, `0.5`, `true`, `["text"]`, `"a b"`); anything else is taken as a string.
///
/// ```
/// use mmrest_learner::Config;
/// use mmrest_learner::config::parse_override;
///
/// let epochs = parse_override("train.epochs=3")?;
/// assert_eq!(Config::parse("", &[epochs])?.train.epochs, 3);
/// assert!(parse_override("train.epochs").is_err());
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
///
/// There is no `=`, or the key is empty.
pub fn parse_override(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("--set takes key.path=value, found '{text}'"))?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(format!("--set takes key.path=value, found '{text}'"));
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
pub fn check_brackets(text: &str) -> Result<(), String> {
    let brackets = text.match_indices(['[', '{']);
    match brackets.map(|(at, _)| at).nth(MOST_BRACKETS) {
        None => Ok(()),
        Some(at) => Err(format!(
            "line {}: more than {MOST_BRACKETS} brackets are opened up to here; no configuration needs so many",
            1 + text[..at].matches('\n').count()
        )),
    }
}

/// Merges preset, file and overrides, and reads the result as `T`.
pub(super) fn resolve<T: DeserializeOwned>(
    file: &str,
    overrides: &[(String, Value)],
) -> Result<T, String> {
    check_brackets(file)?;
    let mut explicit: Table = file
        .parse()
        .map_err(|e: toml::de::Error| format!("{}{}", place(file, &e), sentence(&e)))?;
    for (key, value) in overrides {
        set(&mut explicit, key, value.clone())?;
    }
    let preset = match explicit.get("preset").and_then(Value::as_str) {
        Some("official") => OFFICIAL,
        Some("ordinal") => ORDINAL,
        _ => "",
    };
    let mut merged: Table = preset.parse().map_err(|e: toml::de::Error| sentence(&e))?;
    merge(&mut merged, explicit);
    serde_path_to_error::deserialize(Value::Table(merged))
        .map_err(|e| format!("{}: {}", e.path(), sentence(e.inner())))
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
fn set(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
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
                _ => Err(format!(
                    "'{head}' is a value, not a table: cannot set {key}"
                )),
            }
        }
    }
}

/// Lays `upper` over `lower`, table by table.
fn merge(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
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
        let error = resolve::<Table>("seed = 1\n[train]\nepochs = = 3", &[]).unwrap_err();
        assert!(error.starts_with("line 3, column 10: "), "{error}");
    }

    #[test]
    fn what_would_take_the_parser_too_deep_is_refused() {
        for text in ["x = { y", "{a=", "x = [", "[a]\n"] {
            let error = resolve::<Table>(&text.repeat(50_000), &[]).unwrap_err();
            assert!(error.contains("more than 1000 brackets"), "{error}");
            // As deep as is let through.
            assert!(resolve::<Table>(&text.repeat(1000), &[]).is_err());
        }
    }

    #[test]
    fn setting_below_a_value_is_an_error() {
        let error = resolve::<Table>("seed = 1", &[("seed.x".into(), Value::Integer(1))]);
        assert!(error.unwrap_err().contains("seed"));
    }
}
