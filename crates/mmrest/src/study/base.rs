//! Reads a study that takes its `base` from another.

use anyhow::{Result, anyhow};

use super::file::{StudyFile, overrides};
use crate::project::{ConfigFile, find_study};

/// Reads a study; where it has `base_of`, the `base` of that study is below its own.
pub(crate) fn read_study(file: &ConfigFile) -> Result<StudyFile> {
    let mut study = parse(file)?;
    if let Some(name) = &study.base_of {
        let whose = |error: anyhow::Error| anyhow!("{}: base_of: {error}", file.shown());
        let other = parse(&find_study(name).map_err(whose)?)?;
        if let Some(further) = other.base_of {
            return Err(whose(anyhow!(
                "'{name}' takes its own base from '{further}': name '{further}' here, and write in [base] what '{name}' adds to it"
            )));
        }
        let own = overrides(&study.base);
        study.base = overrides(&other.base).into_iter().chain(own).collect();
    }
    Ok(study)
}

fn parse(file: &ConfigFile) -> Result<StudyFile> {
    StudyFile::parse(&file.text()?).map_err(|error| anyhow!("{}: {error}", file.shown()))
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;

    #[test]
    fn a_study_has_the_base_of_another_below_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, above: &str, base: &str| {
            let path = folder.path().join(name);
            let rest = "title = 'T'\nreference = 'full'\nvariant = [{ name = 'full' }]";
            std::fs::write(&path, format!("{above}\n{rest}\n[base]\n{base}")).unwrap();
            let path = path.to_str().unwrap().to_owned();
            (read_study(&find_study(&path).unwrap()), path)
        };
        let (_, other) = written("other.toml", "", "train.epochs = 3\ntrain.patience = 2");
        let of = |path: &str| format!("base_of = '{path}'");
        let (study, further) = written("study.toml", &of(&other), "'train.epochs' = 5\nseed = 1");
        let expected = [("seed", 1), ("train.epochs", 5), ("train.patience", 2)]
            .map(|(key, value)| (key.to_owned(), Value::Integer(value)));
        assert_eq!(overrides(&study.unwrap().base), expected);
        let shipped = read_study(&find_study("fine-tuned-clusters").unwrap()).unwrap();
        let rate = |study: &StudyFile| study.base["train.text_learning_rate"].as_float();
        assert_eq!(shipped.base["preset"].as_str(), Some("kernel"));
        assert_eq!(rate(&shipped), Some(1e-4));
        let search = read_study(&find_study("fine-tuned-search").unwrap()).unwrap();
        assert_eq!(rate(&search), Some(3e-5));

        let (refused, path) = written("third.toml", &of(&further), "");
        let said = refused.unwrap_err().to_string();
        assert!(
            said.contains(&path) && said.contains(&format!("name '{other}' here")),
            "{said}"
        );
        let (refused, path) = written("fourth.toml", &of("fine-tund"), "");
        let said = refused.unwrap_err().to_string();
        assert!(
            said.contains(&path) && said.contains("did you mean 'fine-tuned'?"),
            "{said}"
        );
    }
}
