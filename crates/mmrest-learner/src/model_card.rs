//! The model card: `README.md` of a model folder, with the front matter that Hugging Face's hub reads.

use std::fmt::Write;
use std::path::Path;

use mmrest_data::{Download, Modality};

use crate::digests;
use crate::figures::FigureSet;
use crate::run::{MetricsFile, RunRecord};
use crate::saved_model::SavedModel;

/// The file in the model folder.
pub(crate) const FILE: &str = digests::CARD;

/// What is known of a data set beside its files.
struct Known {
    name: &'static str,
    /// Its name in the front matter.
    key: &'static str,
    language: Option<&'static str>,
    terms: &'static str,
}

const MOSI: Known = Known {
    name: "CMU-MOSI",
    key: "cmu-mosi",
    language: Some("en"),
    terms: "no licence is stated for features and labels, neither in their files nor by the CMU-MultimodalSDK that publishes them \
            (the MIT licence is that of its code); it keeps the videos back for the privacy of the people in them",
};
const MOSEI: Known = Known {
    name: "CMU-MOSEI",
    key: "cmu-mosei",
    ..MOSI
};
const SIMS: Known = Known {
    name: "CH-SIMS",
    key: "ch-sims",
    language: Some("zh"),
    terms: "no licence is stated for the data in its authors' repository (the MIT licence is that of its code); the clips are cut \
            from films, series and shows of other owners",
};
const OWN: Known = Known {
    name: "the user's own data",
    key: "own-data",
    language: None,
    terms: "not known to this program: ask whoever made the data",
};

impl Known {
    fn of(saved: &SavedModel) -> Self {
        match (saved.config.data.download, saved.config.figures) {
            (Download::Mosi | Download::MosiWords, _) => MOSI,
            (Download::Mosei, _) => MOSEI,
            (Download::None, FigureSet::Sims) => SIMS,
            (Download::None, FigureSet::Mosi) => OWN,
        }
    }
}

/// The licence that the `README.md` of a text encoder's folder names in its front matter, where there is one.
pub(crate) fn licence_of(bert: &Path) -> Option<String> {
    let text = std::fs::read_to_string(bert.join(FILE)).ok()?;
    let front = text.trim_start().strip_prefix("---")?;
    let (front, _) = front.split_once("\n---")?;
    let line = front
        .lines()
        .find_map(|line| line.strip_prefix("license:"))?;
    let named = line.trim().trim_matches(['"', '\'']);
    (!named.is_empty()).then(|| named.to_owned())
}

/// The card of a model. `record` is its run's, `licence` that of the text encoder's weights, where it is known. What two
/// runs of the same configuration and data share is all that is in it.
pub(crate) fn text(
    saved: &SavedModel,
    record: Option<&RunRecord>,
    metrics: &MetricsFile,
    licence: Option<&str>,
) -> String {
    let known = Known::of(saved);
    let mut card = front_matter(saved, &known, metrics);
    let config = &saved.config;
    let (name, preset) = (config.model.name(), &config.preset);
    let used: Vec<&str> = config.data.modalities.iter().map(|of| of.name()).collect();
    let [least, greatest] = config.data.label_range;
    let mut add = |section: &str| card.push_str(section);
    add(&format!(
        "# {name}, preset {preset}, on {}\n\nA multimodal sentiment model (regression from {least} to {greatest}) of \
         {}, trained by mmrest {}. Score new data with `mmrest predict` on the folder that this one is `model/` of.\n\n",
        known.name,
        used.join(", "),
        env!("CARGO_PKG_VERSION"),
    ));
    add(&data(&known, record));
    add(&protocol(saved, metrics));
    add(&metrics_table(metrics));
    add(&inputs(saved));
    add(&limits(saved, &known));
    add(&licences(saved, &known, licence));
    card
}

/// YAML between two lines of dashes.
fn front_matter(saved: &SavedModel, known: &Known, metrics: &MetricsFile) -> String {
    let language = known.language.map_or(String::new(), |language| {
        format!("language:\n- {language}\n")
    });
    let mut yaml = format!(
        "---\nlibrary_name: mmrest\nlicense: other\nlicense_name: see-licences-below\n{language}tags:\n- \
         multimodal-sentiment-analysis\n- sentiment-analysis\n- {model}\nmodel-index:\n- name: {model}\n  results:\n  - \
         task:\n      type: multimodal-sentiment-analysis\n    dataset:\n      name: {}\n      type: {}\n      split: test\n    \
         metrics:\n",
        known.name,
        known.key,
        model = saved.config.model.name(),
    );
    for (name, value) in metrics.test.named().filter(|(_, value)| value.is_finite()) {
        let _ = writeln!(yaml, "    - type: {name}\n      value: {value}");
    }
    yaml + "---\n\n"
}

fn data(known: &Known, record: Option<&RunRecord>) -> String {
    let mut section = format!("## Data\n\n{}.", sentence(known.name));
    let Some(record) = record else {
        return section + "\n\n";
    };
    let counts = record
        .data_report
        .get("segments")
        .and_then(|of| of.as_object());
    if let Some(counts) = counts {
        let counts = counts
            .iter()
            .map(|(split, count)| format!("{count} {split}"));
        let _ = write!(
            section,
            " Segments: {}.",
            counts.collect::<Vec<_>>().join(", ")
        );
    }
    section.push_str("\n\n| file | SHA-256 |\n|---|---|\n");
    for file in &record.data_files {
        // Folders say where somebody works.
        let name = file.path.file_name().unwrap_or_default().display();
        let _ = writeln!(section, "| `{name}` | `{}` |", file.sha256);
    }
    section + "\n"
}

fn protocol(saved: &SavedModel, metrics: &MetricsFile) -> String {
    let config = &saved.config;
    let named = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(name)) => name,
        other => other.unwrap_or_default().to_string(),
    };
    let split = named(serde_json::to_value(config.data.split_from).ok());
    let selection = named(serde_json::to_value(metrics.selection).ok());
    let honest = match metrics.selection {
        crate::config::Selection::ValidMae => "",
        crate::config::Selection::TestAmongImproving => {
            ", which looks at the test split: its metrics are no honest test"
        }
    };
    let fold = match config.data.fold {
        Some(_) => " This is one fold of a cross-validation.",
        None => "",
    };
    format!(
        "## Protocol\n\nSplits from `{split}`, seed {}, at most {} epochs, patience {}, epoch {} selected by `{selection}`{honest}.{fold} \
         One run with one seed: compare models by several seeds with confidence intervals (`mmrest ablate`). The complete \
         configuration is `config.toml`.\n\n",
        config.seed, config.train.epochs, config.train.patience, metrics.selected_epoch,
    )
}

fn metrics_table(metrics: &MetricsFile) -> String {
    let mut section = String::from("## Metrics\n\n| metric | valid | test |\n|---|---|---|\n");
    let cell = |value: f64| match value.is_finite() {
        true => format!("{value:.4}"),
        false => "-".to_owned(),
    };
    for ((name, valid), (_, test)) in metrics.valid.named().zip(metrics.test.named()) {
        let _ = writeln!(section, "| `{name}` | {} | {} |", cell(valid), cell(test));
    }
    let parameters = &metrics.parameters;
    let _ = writeln!(
        section,
        "\n{} parameters, {} of them the text encoder's.\n",
        parameters.total, parameters.text_encoder
    );
    section
}

fn inputs(saved: &SavedModel) -> String {
    let (config, widths) = (&saved.config, saved.features.widths);
    let mut section = String::from("## Inputs\n\n| modality | input |\n|---|---|\n");
    for modality in &config.data.modalities {
        let input = match modality {
            Modality::Text => format!(
                "a text, of which {} tokens are read",
                config.text.max_tokens
            ),
            Modality::Vision => format!("frames of {} features", widths.vision),
            Modality::Audio => format!("frames of {} features", widths.audio),
        };
        let _ = writeln!(section, "| {modality} | {input} |");
    }
    section + "\n"
}

fn limits(saved: &SavedModel, known: &Known) -> String {
    let language = match known.language {
        Some("en") => "The data are English",
        Some("zh") => "The data are Chinese",
        _ => "The language of the data is not recorded",
    };
    let missing = if saved.config.train.modality_dropout > 0.0 {
        "Segments that lack a modality were part of training."
    } else {
        "The model has not been trained on segments that lack a modality and scores them less surely."
    };
    format!(
        "## Limits\n\n{language}; what other languages, speakers and kinds of recording score has not been measured. \
         Features must come from the extractor of the training data, with the same settings. {missing} The score is an \
         estimate of what annotators of this data set would say, and no statement about a person.\n\n"
    )
}

fn licences(saved: &SavedModel, known: &Known, licence: Option<&str>) -> String {
    let weights = match (&saved.text, licence) {
        (None, _) => "no pretrained weights are used".to_owned(),
        (Some(_), _) if saved.config.text.from_scratch => {
            "the text encoder started from random weights".to_owned()
        }
        (Some(text), Some(licence)) => format!(
            "the text encoder (SHA-256 `{}`) says `{licence}`",
            text.fingerprint
        ),
        (Some(text), None) => format!(
            "the licence of the text encoder (SHA-256 `{}`) is unknown, for its folder names none: see where it was published",
            text.fingerprint
        ),
    };
    format!(
        "## Licences\n\nmmrest itself: MIT or Apache-2.0. Data: {}. Weights: {weights}. What follows for these weights is \
         for whoever passes them on to find out; `neighbours.safetensors` holds ids and labels of the data and may be deleted.\n",
        known.terms
    )
}

/// With a capital letter.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_encoder_s_licence_is_read_from_its_front_matter() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            licence_of(folder.path())
        };
        let card = "---\nlanguage: en\nlicense: apache-2.0\ntags:\n- a\n---\n# A\nlicense: none\n";
        assert_eq!(of(card).as_deref(), Some("apache-2.0"));
        assert_eq!(of("# A\nlicense: mit\n"), None);
        assert_eq!(of("---\nlicense: \"mit\"\n---\n").as_deref(), Some("mit"));
        assert_eq!(licence_of(&folder.path().join("none")), None);
    }
}
