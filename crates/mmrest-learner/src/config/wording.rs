//! What is wrong with a configuration, in its writer's words rather than the parser's.

use std::ops::Range;

use toml::{Table, Value};

use super::renamed::old_names;

/// What to do where backslashes stand in a quoted text.
pub(super) const BACKSLASHES: &str =
    "in \"...\" a backslash begins an escape; write a path in single quotes or with slashes";

/// The longest list of names in a message.
const MOST_NAMES: usize = 24;

/// Of several names the one that a misspelt one is most like; none where none is alike.
///
/// ```
/// use mmrest_learner::config::closest;
///
/// let names = ["ablate", "sensitivity", "ordinal"];
/// assert_eq!(closest("abl", names), Some("ablate"));
/// assert_eq!(closest("sensitvity", names), Some("sensitivity"));
/// assert_eq!(closest("speed", names), None);
/// ```
pub fn closest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        if given.chars().count() > 1 && name.starts_with(&given) {
            return 1.0;
        }
        strsim::normalized_damerau_levenshtein(&given, &name)
    };
    let scored = names.into_iter().map(|name| (likeness(name), name));
    let alike = scored.filter(|(likeness, _)| *likeness >= 0.6);
    // Of equals the first.
    let best = alike.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, name)| name)
}

/// `did you mean 'NAME'? ` where a name is alike, else nothing.
pub(super) fn did_you_mean<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    closest(given, names).map_or_else(String::new, |name| format!("did you mean '{name}'? "))
}

/// Every dotted key of a table and the tables in it.
pub(super) fn keys(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        keys.push(key.clone());
        if let Value::Table(inner) = value {
            keys.extend(
                self::keys(inner)
                    .into_iter()
                    .map(|below| format!("{key}.{below}")),
            );
        }
    }
    keys
}

/// Words the message of TOML's parser for a text, where more can be said than it says.
pub(super) fn of_toml(text: &str, span: Option<Range<usize>>, message: &str) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return message.to_owned();
    };
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let quoted = line
        .split('"')
        .nth(1)
        .filter(|quoted| quoted.contains('\\'));
    match quoted {
        Some(path) => format!("{BACKSLASHES}: '{path}' or \"{}\"", path.replace('\\', "/")),
        None => message.to_owned(),
    }
}

/// Words serde's message about the value at `path`. `known`: every key of the configuration.
pub(super) fn of_value(path: &str, message: &str, known: &[String]) -> String {
    unknown_field(path, message, known)
        .or_else(|| unknown_variant(path, message))
        .or_else(|| other_type(path, message))
        .unwrap_or_else(|| format!("{path}: {message}"))
}

/// Name and alternatives of ``unknown field `x`, expected one of `a`, `b` ``.
fn unknown<'m>(message: &'m str, what: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let rest = message.strip_prefix("unknown ")?.strip_prefix(what)?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let name = quoted.next()?;
    Some((name, quoted.collect()))
}

fn unknown_field(path: &str, message: &str, known: &[String]) -> Option<String> {
    let (name, here) = unknown(message, "field")?;
    let table = match path.strip_suffix(name) {
        Some(table) => table.trim_end_matches('.'),
        None if path == "." => "",
        None => path,
    };
    let (key, place) = match table {
        "" => (name.to_owned(), String::new()),
        table => (format!("{table}.{name}"), format!(" in {table}")),
    };
    let nearest = closest(name, here.iter().copied()).map(str::to_owned);
    let nearest = nearest.or_else(|| elsewhere(&key, known).filter(|nearest| *nearest != key));
    let end = match nearest {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None if here.is_empty() => "it has none".to_owned(),
        None => format!("the keys are {}", listed(&here)),
    };
    Some(format!("there is no key '{name}'{place}: {end}"))
}

/// The key that a misspelt or misplaced one stands for: one that ends alike, or had such a name once.
fn elsewhere(key: &str, known: &[String]) -> Option<String> {
    let parts = key.split('.').count();
    let end = |whole: &str| {
        let start = whole.rmatch_indices('.').nth(parts - 1);
        whole[start.map_or(0, |(at, _)| at + 1)..].to_owned()
    };
    let last = |whole: &'_ str| whole.rsplit('.').next().unwrap_or_default().to_owned();
    let own = last(key);
    let ends = known.iter().map(|whole| (end(whole), whole.clone()));
    let old = old_names().map(|(old, new)| (old.to_owned(), new.to_owned()));
    let alike = |(end, _): &(String, String)| closest(&own, [last(end).as_str()]).is_some();
    let all: Vec<(String, String)> = ends.chain(old).filter(alike).collect();
    let nearest = closest(key, all.iter().map(|(end, _)| end.as_str()))?;
    let found = all.iter().find(|(end, _)| end == nearest);
    found.map(|(_, whole)| whole.clone())
}

/// Says of the first table or key at the top of a layer that there is none such; none where all are known.
pub(super) fn unknown_top(layer: &Table, known: &[String]) -> Option<String> {
    let top = layer.keys().find(|top| !known.contains(top))?;
    // The key that was meant is the deepest.
    let key = keys(layer)
        .into_iter()
        .filter(|key| key.split('.').next() == Some(top))
        .max_by_key(|key| key.split('.').count())?;
    let end = match elsewhere(&key, known) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => {
            let tops: Vec<&str> = known
                .iter()
                .filter(|key| !key.contains('.'))
                .map(String::as_str)
                .collect();
            format!("the first part of a key is one of {}", listed(&tops))
        }
    };
    Some(format!("there is no key '{key}': {end}"))
}

fn unknown_variant(path: &str, message: &str) -> Option<String> {
    let (name, known) = unknown(message, "variant")?;
    let mean = did_you_mean(name, known.iter().copied());
    Some(format!(
        "{path}: '{name}' is not known; {mean}choose one of {}",
        listed(&known)
    ))
}

fn listed(names: &[&str]) -> String {
    mmrest_data::text::few(names, MOST_NAMES)
}

/// Of `invalid type: string "a", expected usize` and `invalid value: integer ...`.
fn other_type(path: &str, message: &str) -> Option<String> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let text = found
        .strip_prefix("string \"")
        .and_then(|text| text.strip_suffix('"'));
    let expected_list = expected == "a sequence" || expected.starts_with("an array");
    let advice = match text {
        Some(text) if expected_list => {
            let parts: Vec<String> = text
                .split(',')
                .map(|part| format!("{:?}", part.trim()))
                .collect();
            format!(": write [{}]", parts.join(", "))
        }
        Some(text) if text.parse::<f64>().is_ok() || matches!(text, "true" | "false") => {
            format!(": write {text} without quotes")
        }
        _ => String::new(),
    };
    Some(format!(
        "{path}: expected {}, found {}{advice}",
        type_in_words(expected),
        found_in_words(found)
    ))
}

fn type_in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, at least 0".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "path string" | "string" => "a text in quotes".into(),
        "a sequence" => "a list".into(),
        other => match other.strip_prefix("an array of length ") {
            Some(length) => format!("a list of {length}"),
            None if other.starts_with("struct ") || other == "a map" => "a table of keys".into(),
            None if other.contains("tagged enum") => "a table with a kind".into(),
            None if other.starts_with("enum ") || other == "string or map" => {
                "a name in quotes".into()
            }
            None => other.to_owned(),
        },
    }
}

fn found_in_words(found: &str) -> String {
    match found {
        "sequence" => return "a list".into(),
        "map" => return "a table".into(),
        _ => {}
    }
    for kind in ["integer ", "floating point ", "boolean "] {
        if let Some(value) = found.strip_prefix(kind) {
            return value.trim_matches('`').to_owned();
        }
    }
    found.strip_prefix("string ").unwrap_or(found).to_owned()
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::config::parse_override;

    fn refused(set: &str) -> String {
        let set = parse_override(set).unwrap();
        let paper = "preset = \"paper\"";
        Config::parse(paper, &[set]).unwrap_err().to_string()
    }

    #[test]
    fn misspelt_keys_and_names_are_guessed() {
        for (set, said) in [
            ("loss.margn=2", "did you mean 'model.mmrest.loss.margin'?"),
            (
                "model.mmrest.loss.margn=2",
                "in model.mmrest.loss: did you mean 'margin'?",
            ),
            (
                "train.epoch=3",
                "there is no key 'epoch' in train: did you mean 'epochs'?",
            ),
            ("epochs=3", "did you mean 'train.epochs'?"),
            ("sed=3", "did you mean 'seed'?"),
            ("model.name=mmrst", "did you mean 'mmrest'?"),
            ("preset=oficial", "did you mean 'official'?"),
            (
                "data.kind=tabel",
                "data.kind: 'tabel' is not known; did you mean 'table'?",
            ),
            ("train.zzz=1", "the keys are epochs, batch_size"),
        ] {
            let told = refused(set);
            assert!(told.contains(said), "{set}: {told}");
        }
    }

    #[test]
    fn types_are_named_as_people_name_them() {
        for (set, said) in [
            (
                "train.epochs=many",
                "train.epochs: expected a whole number, at least 0, found \"many\"",
            ),
            (
                "train.epochs=-3",
                "expected a whole number, at least 0, found -3",
            ),
            ("train.epochs=\"3\"", "found \"3\": write 3 without quotes"),
            (
                "train.learning_rate=fast",
                "expected a number, found \"fast\"",
            ),
            (
                "data.modalities=text",
                "expected a list, found \"text\": write [\"text\"]",
            ),
            ("data.modalities=text, audio", "write [\"text\", \"audio\"]"),
            (
                "text.freeze=1",
                "text.freeze: expected true or false, found 1",
            ),
            ("data.dir=3", "data.dir: expected a text in quotes, found 3"),
            ("train=3", "train: expected a table of keys, found 3"),
        ] {
            let told = refused(set);
            assert!(told.contains(said), "{set}: {told}");
        }
    }

    #[test]
    fn backslashes_in_paths_are_explained() {
        for path in [r"C:\Users\me\data", r"C:\data"] {
            let text = format!("[data]\nkind = \"table\"\ndir = \"{path}\"\n");
            let told = Config::parse(&text, &[]).unwrap_err().to_string();
            assert!(told.contains("a backslash begins an escape"), "{told}");
            assert!(told.contains(&format!("'{path}'")), "{told}");
            assert!(told.contains(&path.replace('\\', "/")), "{told}");
        }
        // One that is an escape by chance.
        let told = Config::parse("[data]\ndir = \"C:\\temp\"", &[]).unwrap_err();
        assert!(told.to_string().contains("single quotes"), "{told}");
        assert!(Config::parse("[data]\ndir = 'C:\\temp'", &[]).is_ok());
    }

    #[test]
    fn a_split_may_be_called_by_either_name() {
        let random = Config::parse("[data]\nsplit = \"random\"", &[]).unwrap();
        let same = Config::parse("[data]\nsplit_from = \"random\"", &[]).unwrap();
        assert_eq!(random, same);
    }
}
