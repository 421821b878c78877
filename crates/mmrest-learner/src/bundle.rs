//! The model folder of a run: all that prediction needs, and nothing of training.
//!
//! | file | holds |
//! |---|---|
//! | `weights.safetensors` | every weight, metrics included |
//! | `clusters.json` | centres, their sentiments, and which local metric each uses |
//! | `features.json` | widths and standardisation of vision and audio |
//! | `config.toml` | the run's whole configuration |
//! | `bert/` | `config.json`, `vocab.txt`, `tokenizer_config.json` of the text encoder |
//! | `model.json` | format version, and the epoch |
//! | `neighbours.safetensors` | once training has ended: training segments in the shared space, with ids and labels |

use std::path::Path;

use burn::module::Module;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use mmrest_encoders::{BertConfig, Tokenizer};
use mmrest_metric::Clusters;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::LearnerError;
use crate::example::FeatureSpec;
use crate::files;
use crate::model::MmRest;

/// Version of the model folder's layout.
const FORMAT: u32 = 1;

/// What a model needs beside its weights.
#[derive(Debug)]
pub struct Bundle {
    /// The run's configuration.
    pub config: Config,
    /// Widths and statistics of vision and audio.
    pub features: FeatureSpec,
    /// Configuration and tokenizer of the text encoder, when text is in use.
    pub text: Option<TextParts>,
}

/// What the text encoder needs beside its weights.
#[derive(Debug)]
pub struct TextParts {
    /// Sizes of the encoder.
    pub bert: BertConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// SHA-256 of the weights it started from; names the cache of what untrained layers give.
    pub fingerprint: String,
}

/// `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    format: u32,
    epoch: usize,
    text_fingerprint: Option<String>,
}

impl Bundle {
    /// The tokenizer, when text is in use.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.text.as_ref().map(|text| &text.tokenizer)
    }

    /// Writes the model folder in place of whatever was there.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn save(&self, model: &MmRest, epoch: usize, folder: &Path) -> Result<(), LearnerError> {
        let mut growing = folder.as_os_str().to_owned();
        growing.push(".growing");
        let growing = Path::new(&growing);
        if growing.exists() {
            std::fs::remove_dir_all(growing).map_err(|e| LearnerError::io("clear", growing, e))?;
        }
        std::fs::create_dir_all(growing).map_err(|e| LearnerError::io("make", growing, e))?;
        let weights = growing.join("weights.safetensors");
        let mut store = SafetensorsStore::from_file(&weights);
        model
            .save_into(&mut store)
            .map_err(|e| LearnerError::format(&weights, format!("cannot be written: {e}")))?;
        files::write_json(&growing.join("clusters.json"), &model.context.clusters())?;
        files::write_json(&growing.join("features.json"), &self.features)?;
        files::write(
            &growing.join("config.toml"),
            self.config.to_toml()?.as_bytes(),
        )?;
        if let Some(text) = &self.text {
            let folder = growing.join("bert");
            files::write_json(&folder.join("config.json"), &text.bert)?;
            files::write_json(
                &folder.join("tokenizer_config.json"),
                &text.tokenizer.options(),
            )?;
            text.tokenizer.write_vocab(&folder.join("vocab.txt"))?;
        }
        let stamp = Stamp {
            format: FORMAT,
            epoch,
            text_fingerprint: self.text.as_ref().map(|text| text.fingerprint.clone()),
        };
        files::write_json(&growing.join("model.json"), &stamp)?;
        files::replace_folder(growing, folder)
    }

    /// Reads a model folder. The model is on `device`, which should be without autodiff.
    ///
    /// # Errors
    ///
    /// A file is missing, damaged, or of another format version; the error names it.
    pub fn load(folder: &Path, device: &Device) -> Result<(Self, MmRest), LearnerError> {
        let stamp_file = folder.join("model.json");
        if !stamp_file.exists() {
            return Err(LearnerError::format(
                folder,
                "is not a model folder (no model.json): give a run's folder whose training has finished an epoch",
            ));
        }
        let stamp: Stamp = files::read_json(&stamp_file)?;
        if stamp.format != FORMAT {
            return Err(LearnerError::format(
                &stamp_file,
                format!(
                    "has format {}, this program reads {FORMAT}: use the version of mmrest that wrote it",
                    stamp.format
                ),
            ));
        }
        let config = Config::load(&folder.join("config.toml"), &[])?;
        let features: FeatureSpec = files::read_json(&folder.join("features.json"))?;
        let bert_folder = folder.join("bert");
        let text = match config.uses(mmrest_data::Modality::Text) {
            true => Some(TextParts {
                bert: BertConfig::from_dir(&bert_folder)?,
                tokenizer: Tokenizer::from_dir(&bert_folder)?,
                fingerprint: stamp.text_fingerprint.unwrap_or_default(),
            }),
            false => None,
        };
        let bert = text
            .as_ref()
            .map(|text| (text.bert.init(device), &text.bert));
        let mut model = MmRest::new(&config, features.widths, bert, device)?;
        load_weights(&mut model, &folder.join("weights.safetensors"))?;
        let clusters: Option<Clusters> = files::read_json(&folder.join("clusters.json"))?;
        if let Some(clusters) = &clusters {
            check_clusters(clusters, &config)
                .map_err(|message| LearnerError::format(&folder.join("clusters.json"), message))?;
        }
        model.context.state().clusters = clusters;
        let bundle = Self {
            config,
            features,
            text,
        };
        Ok((bundle, model.valid()))
    }
}

fn load_weights(model: &mut MmRest, path: &Path) -> Result<(), LearnerError> {
    if !path.exists() {
        return Err(LearnerError::format(
            path,
            "is missing from the model folder",
        ));
    }
    let mut store = SafetensorsStore::from_file(path);
    let result = model
        .load_from(&mut store)
        .map_err(|e| LearnerError::format(path, format!("cannot be read as weights: {e}")))?;
    match result.is_success() {
        true => Ok(()),
        false => Err(LearnerError::format(
            path,
            format!("does not fit the model: {:?}", result.errors),
        )),
    }
}

fn check_clusters(clusters: &Clusters, config: &Config) -> Result<(), String> {
    if clusters.dim != config.model.representation {
        return Err(format!(
            "holds centres of {} numbers, but model.representation is {}",
            clusters.dim, config.model.representation
        ));
    }
    clusters
        .check(config.bins.labels.len(), config.clusters.count)
        .map_err(|error| error.to_string())
}
