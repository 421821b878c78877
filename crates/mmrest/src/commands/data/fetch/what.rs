//! What is to be fetched.

use anyhow::{Context, Result, bail};
use mmrest_data::{DataConfig, Download, Modality};
use mmrest_datatools::catalogue::{self, KnownFile};
use mmrest_datatools::fetch::ModelName;
use serde::Deserialize;

use crate::project;

/// What can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A data set, with its name.
    Set(&'static str, Download),
    /// A BERT.
    Bert(ModelName),
}

/// The BERT of the configurations.
const BERT: &str = "bert-base-uncased";

impl What {
    /// Reads `mosi`, `mosei`, `mosi-words`, `bert` or `bert:NAME`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bert = |name: &str| {
            let model = name.parse::<ModelName>();
            model.map(Self::Bert).map_err(|error| error.to_string())
        };
        match text {
            "mosi" => Ok(Self::Set("mosi", Download::Mosi)),
            "mosei" => Ok(Self::Set("mosei", Download::Mosei)),
            "mosi-words" => Ok(Self::Set("mosi-words", Download::MosiWords)),
            "bert" => bert(BERT),
            _ => match text.strip_prefix("bert:") {
                Some(model) => bert(model),
                None => Err("choose mosi, mosei, mosi-words, bert or bert:NAME".to_owned()),
            },
        }
    }
}

/// The files of a data set that are asked for: by key, by file name, `vision` or `audio`; or else those its
/// configuration names that have an address.
pub(super) fn choose(
    name: &str,
    set: Download,
    only: &[String],
) -> Result<Vec<&'static KnownFile>> {
    let mut chosen: Vec<&KnownFile> = Vec::new();
    for wanted in only {
        let file = find(name, set, wanted)?;
        if !chosen.contains(&file) {
            chosen.push(file);
        }
    }
    if only.is_empty() {
        let named = Named::of(name)?;
        let names = [&named.labels, &named.words, &named.vision, &named.audio];
        let names = names.into_iter().flatten();
        chosen.extend(names.filter_map(|name| catalogue::find(set, name)));
    }
    Ok(chosen)
}

fn find(name: &str, set: Download, wanted: &str) -> Result<&'static KnownFile> {
    let known = match wanted {
        "vision" => Named::of(name)?
            .vision
            .and_then(|name| catalogue::find(set, &name)),
        "audio" => Named::of(name)?
            .audio
            .and_then(|name| catalogue::find(set, &name)),
        _ => catalogue::find(set, wanted),
    };
    if let Some(file) = known {
        return Ok(file);
    }
    let mut keys: Vec<_> = catalogue::public_files(set)
        .iter()
        .map(|file| file.key)
        .collect();
    if set != Download::MosiWords {
        keys.extend(["vision", "audio"]);
    }
    bail!(
        "no file '{wanted}' of {name} can be fetched; there are {}",
        keys.join(", ")
    )
}

/// The files that a configuration names, by their names or keys.
struct Named {
    labels: Option<String>,
    words: Option<String>,
    vision: Option<String>,
    audio: Option<String>,
}

impl Named {
    /// Those of the configuration of that name.
    fn of(name: &str) -> Result<Self> {
        let Some(file) = project::named_config(name)? else {
            bail!("there is no configuration '{name}'");
        };
        let read = Self::read(&file.text()?);
        read.with_context(|| format!("{} is no configuration", file.shown()))
    }

    fn read(text: &str) -> Result<Self, toml::de::Error> {
        #[derive(Deserialize)]
        struct Sections {
            data: DataConfig,
        }
        let Sections { data } = toml::from_str(text)?;
        let used = |modality, file| if data.uses(modality) { file } else { None };
        Ok(Self {
            vision: used(Modality::Vision, data.vision.clone()),
            audio: used(Modality::Audio, data.audio.clone()),
            labels: Some(data.labels),
            words: data.words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        assert_eq!(What::parse("mosi"), Ok(What::Set("mosi", Download::Mosi)));
        let bert = |name: &str| Ok(What::Bert(name.parse().unwrap()));
        assert_eq!(What::parse("bert"), bert("bert-base-uncased"));
        assert_eq!(What::parse("bert:a/b"), bert("a/b"));
        for wrong in ["", "bert:", "bert:../x", "sample"] {
            assert!(What::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_projects_configurations_name_the_usual_files() {
        let names = ["labels", "words", "facet42", "covarep"];
        for (name, set) in [("mosi", Download::Mosi), ("mosei", Download::Mosei)] {
            let usual: Vec<_> = names
                .iter()
                .filter_map(|key| catalogue::find(set, key))
                .collect();
            assert_eq!(choose(name, set, &[]).unwrap(), usual);
            let only = ["vision", "facet42", "audio"].map(str::to_owned);
            assert_eq!(choose(name, set, &only).unwrap(), usual[2..]);
        }
        let public = choose("mosi-words", Download::MosiWords, &[]).unwrap();
        let keys: Vec<&str> = public.iter().map(|file| file.key).collect();
        assert_eq!(keys, ["labels", "words"]);
    }

    #[test]
    fn an_unknown_file_lists_those_there_are() {
        let only = ["facet43".to_owned()];
        let error = choose("mosi", Download::Mosi, &only)
            .unwrap_err()
            .to_string();
        for part in ["'facet43'", "facet42", "opensmile-is09", "vision"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
