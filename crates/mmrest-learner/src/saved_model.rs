//! The model folder of a run: all that prediction needs, and nothing of training.
//!
//! | file | holds |
//! |---|---|
//! | `weights.safetensors` | every weight, metrics included, but for those of the next file |
//! | `encoder.safetensors` | where a part of the text encoder was not trained: its weights, by their names in the encoder |
//! | `state.json` | what the model keeps beside its weights: MMRest's clusters |
//! | `features.json` | widths and standardisation of vision and audio |
//! | `extraction.json` | what vision and audio were made by, where they were extracted from recordings |
//! | `config.toml` | the run's whole configuration |
//! | `bert/` | `config.json`, `vocab.txt`, `tokenizer_config.json` of the text encoder |
//! | `neighbours.safetensors` | once training has ended: training segments in the shared space, with ids and labels |
//! | `SHA256SUMS` | SHA-256 of each of them |
//! | `README.md` | once training has ended: the model card, for people to edit: of no digest |
//! | `model.json` | format version, and the epoch; the names of the files, and the SHA-256 of their list |

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mmrest_data::{Modality, SourceFile};
use mmrest_encoders::{Bert, BertConfig, Tokenizer};
use mmrest_models::{ModelVisitor, SentimentModel};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::digests::{self, Checked, Seal};
use crate::error::LearnerError;
use crate::example::FeatureSpec;
use crate::files;
use crate::predict::neighbours;
use crate::trained::{Trained, TrainedModel};
use crate::untrained::{self, Untrained, read_weights};

/// Version of the model folder's layout.
const FORMAT: u32 = 3;
/// The layout that kept the whole text encoder among the weights.
const SECOND_FORMAT: u32 = 2;
/// The layout of version 0.1.0, which knew one model and kept its clusters in `clusters.json`.
const FIRST_FORMAT: u32 = 1;

/// The main file of the folder.
const STAMP: &str = "model.json";

/// What the features were made by.
const EXTRACTION: &str = "extraction.json";

/// The folder of the text encoder's configuration and tokenizer.
const BERT: &str = "bert";

/// What a model needs beside its weights.
#[derive(Debug)]
pub struct SavedModel {
    /// The run's configuration.
    pub config: Config,
    /// Widths and statistics of vision and audio.
    pub features: FeatureSpec,
    /// What vision and audio were made by: the `feature.json` of the data's folder, where there was one.
    pub extraction: Option<serde_json::Value>,
    /// Configuration and tokenizer of the text encoder, when text is in use.
    pub text: Option<TextParts>,
    /// The file of what is not trained of the text encoder; none where all is.
    pub(crate) encoder: Option<PathBuf>,
}

/// What the text encoder needs beside its weights.
#[derive(Debug)]
pub struct TextParts {
    /// Sizes of the encoder.
    pub bert: BertConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// SHA-256 of the weights it started from, those of a run's initial weights after a plus; names the caches of its
    /// untrained layers.
    pub fingerprint: String,
}

impl TextParts {
    /// Notes that the encoder's weights are those of another file, as far as it has them.
    pub(crate) fn start_from(&mut self, weights: &SourceFile) {
        self.fingerprint = format!("{}+{}", self.fingerprint, weights.sha256);
    }

    /// Whether the encoder began with these weights, whatever came over them.
    pub(crate) fn began_with(&self, fingerprint: &str) -> bool {
        self.fingerprint.split('+').next() == Some(fingerprint)
    }

    /// Writes configuration and tokenizer to a folder, as Hugging Face names them.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), LearnerError> {
        files::write_json(&folder.join("config.json"), &self.bert)?;
        let options = folder.join("tokenizer_config.json");
        files::write_json(&options, self.tokenizer.config())?;
        Ok(self.tokenizer.write_vocab(&folder.join("vocab.txt"))?)
    }
}

/// `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    format: u32,
    epoch: usize,
    text_fingerprint: Option<String>,
}

impl SavedModel {
    /// The tokenizer, when text is in use.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.text.as_ref().map(|text| &text.tokenizer)
    }

    /// What tells the text encoder from others; nothing where there is none.
    pub(crate) fn fingerprint(&self) -> &str {
        self.text.as_ref().map_or("", |text| &text.fingerprint)
    }

    /// How many layers of the text encoder are not trained.
    pub(crate) fn lower_layers(&self) -> usize {
        let layers = |text: &TextParts| self.config.lower_layers(text.bert.num_hidden_layers);
        self.text.as_ref().map_or(0, layers)
    }

    /// How many layers of the text encoder are in a file of their own, and not among the weights.
    fn layers_elsewhere(&self) -> usize {
        self.encoder.as_ref().map_or(0, |_| self.lower_layers())
    }

    /// Writes the model folder in place of whatever was there.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn save(
        &self,
        model: &dyn TrainedModel,
        epoch: usize,
        folder: &Path,
    ) -> Result<(), LearnerError> {
        let growing = &files::beside(folder, ".growing");
        files::empty_folder(growing)?;
        model.save(
            &growing.join("weights.safetensors"),
            &growing.join("state.json"),
            self.layers_elsewhere(),
        )?;
        if let Some(encoder) = &self.encoder {
            files::link(encoder, &growing.join(untrained::FILE))?;
        }
        files::write_json(&growing.join("features.json"), &self.features)?;
        if let Some(extraction) = &self.extraction {
            files::write_json(&growing.join(EXTRACTION), extraction)?;
        }
        files::write(
            &growing.join("config.toml"),
            self.config.to_toml()?.as_bytes(),
        )?;
        if let Some(text) = &self.text {
            text.write(&growing.join(BERT))?;
        }
        let stamp = Stamp {
            format: FORMAT,
            epoch,
            text_fingerprint: self.text.as_ref().map(|text| text.fingerprint.clone()),
        };
        digests::seal(growing, STAMP, &stamp)?;
        files::replace_folder(growing, folder)
    }

    /// Reads a model folder. The model is on `device`, which should be without autodiff.
    ///
    /// # Errors
    ///
    /// A file is missing, damaged (by its digest in `SHA256SUMS`, or that of the list in `model.json`; older folders lack
    /// one or both, which is logged), or of another format version; the error names it.
    pub fn load(
        folder: &Path,
        device: &Device,
    ) -> Result<(Self, Box<dyn TrainedModel>), LearnerError> {
        let stamp_file = folder.join(STAMP);
        if !stamp_file.exists() {
            return Err(LearnerError::format(
                folder,
                "is not a model folder (no model.json): give a run's folder whose training has finished an epoch",
            ));
        }
        let (stamp, seal): (Stamp, _) = digests::read_sealed(folder, STAMP)?;
        if !(FIRST_FORMAT..=FORMAT).contains(&stamp.format) {
            return Err(LearnerError::format(
                &stamp_file,
                format!(
                    "has format {}, this program reads {FIRST_FORMAT} to {FORMAT}: use the version of mmrest that wrote it",
                    stamp.format
                ),
            ));
        }
        // A model may be passed on without the ids and labels in it.
        match digests::verify(folder, seal.as_ref(), Some(neighbours::FILE))? {
            Checked::Whole => {}
            Checked::Listed => tracing::warn!(
                "{}: an older version wrote this model: that none of its files is missing cannot be checked",
                folder.display()
            ),
            Checked::Unlisted => tracing::warn!(
                "{}: no SHA256SUMS: an older version wrote this model, which is read unchecked",
                folder.display()
            ),
        }
        let config = Config::load_stored(&folder.join("config.toml"))?;
        let features: FeatureSpec = files::read_json(&folder.join("features.json"))?;
        check_features(&features)
            .map_err(|message| LearnerError::format(&folder.join("features.json"), message))?;
        let own = |name: &str| digests::own_file(folder, seal.as_ref(), name);
        let extraction = own(EXTRACTION).map(|path| files::read_json(&path));
        let extraction = extraction.transpose()?;
        let bert_folder = folder.join(BERT);
        let text = if config.uses(Modality::Text) {
            check_listed(&bert_folder, seal.as_ref())?;
            Some(TextParts {
                bert: config.text.encoder(&bert_folder)?,
                tokenizer: Tokenizer::from_dir(&bert_folder)?,
                fingerprint: stamp.text_fingerprint.unwrap_or_default(),
            })
        } else {
            None
        };
        if let Some(text) = &text {
            check_text(&config, &bert_folder, &text.bert, &text.tokenizer)?;
        }
        let encoder = own(untrained::FILE).filter(|_| stamp.format > SECOND_FORMAT);
        let saved = Self {
            config,
            features,
            extraction,
            text,
            encoder,
        };
        let model = saved.config.model.visit(Load {
            saved: &saved,
            folder,
            format: stamp.format,
            device,
        })?;
        Ok((saved, model))
    }
}

/// Reads weights and state of a model folder.
struct Load<'a> {
    saved: &'a SavedModel,
    folder: &'a Path,
    format: u32,
    device: &'a Device,
}

impl ModelVisitor for Load<'_> {
    type Output = Result<Box<dyn TrainedModel>, LearnerError>;

    fn visit<M: SentimentModel>(self, config: &M::Config) -> Self::Output {
        let encoder = self.saved.text.as_ref().map(|text| &text.bert);
        let layers = encoder.map_or(0, |bert| bert.num_hidden_layers);
        let task = self.saved.config.task(self.saved.features.widths, layers);
        let weights = self.folder.join("weights.safetensors");
        let files = [Some(&weights), self.saved.encoder.as_ref()];
        check_size(&files, M::parameter_count(config, &task, encoder))?;
        let bert = match encoder {
            Some(bert) => Some((self.encoder(bert)?, bert)),
            None => None,
        };
        let mut model = M::init(config, &task, bert, self.device)?;
        let elsewhere = Untrained::of_model::<M>(self.saved.layers_elsewhere());
        let missing = read_weights(&mut model, &weights)?;
        if let Some(name) = missing.iter().find(|name| !elsewhere.holds(name)) {
            return Err(LearnerError::format(
                &weights,
                format!("does not fit the model: {name} is missing"),
            ));
        }
        let (path, state) = self.state()?;
        let wrong = |message: String| LearnerError::format(&path, message);
        let state: M::State = serde_json::from_value(state)
            .map_err(|error| wrong(format!("is not the state of the model: {error}")))?;
        model
            .check_state(&state)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Box::new(Trained::new(model.valid(), state)?))
    }
}

impl Load<'_> {
    /// The text encoder, with what was not trained of it.
    fn encoder(&self, bert: &BertConfig) -> Result<Bert, LearnerError> {
        let encoder = bert.init(self.device);
        match &self.saved.encoder {
            Some(file) => Untrained::of_encoder(self.saved.lower_layers()).read(encoder, file),
            None => Ok(encoder),
        }
    }

    /// The model's state, with the file it stands in.
    fn state(&self) -> Result<(PathBuf, serde_json::Value), LearnerError> {
        if self.format == FIRST_FORMAT {
            let path = self.folder.join("clusters.json");
            if !path.exists() {
                return Err(LearnerError::format(
                    &self.folder.join(STAMP),
                    format!("has format {FIRST_FORMAT}, but there is no clusters.json beside it"),
                ));
            }
            let clusters: serde_json::Value = files::read_json(&path)?;
            return Ok((path, serde_json::json!({ "clusters": clusters })));
        }
        let path = self.folder.join("state.json");
        let state = files::read_json(&path)?;
        Ok((path, state))
    }
}

/// The epoch of the model in a folder; none where there is no model.
///
/// # Errors
///
/// `model.json` is damaged.
pub(crate) fn epoch_of(folder: &Path) -> Result<Option<usize>, LearnerError> {
    if !folder.join(STAMP).exists() {
        return Ok(None);
    }
    let (stamp, _) = digests::read_sealed::<Stamp>(folder, STAMP)?;
    Ok(Some(stamp.epoch))
}

/// What `model.json` says of the other files of its folder; none where an older version wrote it.
///
/// # Errors
///
/// `model.json` is damaged.
pub(crate) fn seal_of(folder: &Path) -> Result<Option<Seal>, LearnerError> {
    let (_, seal) = digests::read_sealed::<Stamp>(folder, STAMP)?;
    Ok(seal)
}

/// Makes a model folder at `target` of the files of another one and of what `add` writes beside them.
///
/// # Errors
///
/// The folders cannot be read or written.
pub(crate) fn extend(
    folder: &Path,
    target: &Path,
    add: impl FnOnce(&Path) -> Result<(), LearnerError>,
) -> Result<(), LearnerError> {
    let (stamp, _) = digests::read_sealed::<Stamp>(folder, STAMP)?;
    let growing = &files::beside(target, ".growing");
    files::empty_folder(growing)?;
    files::link_below(folder, growing)?;
    add(growing)?;
    digests::seal(growing, STAMP, &stamp)?;
    files::replace_folder(growing, target)
}

/// Refuses files of the text encoder that the model was written without: some would change its tokenizer by being there.
fn check_listed(bert: &Path, seal: Option<&Seal>) -> Result<(), LearnerError> {
    let Some(seal) = seal.filter(|_| bert.is_dir()) else {
        return Ok(());
    };
    for path in files::entries(bert)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let read = path.extension().is_some_and(|of| of == "json");
        if read && !seal.lists(&format!("{BERT}/{name}")) {
            let message = "is not of this model, which was written without it: remove it";
            return Err(LearnerError::format(&path, message));
        }
    }
    Ok(())
}

/// Statistics of as many features as a frame has, or of none where there was no frame to learn them from.
fn check_features(features: &FeatureSpec) -> Result<(), String> {
    let widths = features.widths;
    for (modality, stats, width) in [
        (Modality::Vision, &features.vision, widths.vision),
        (Modality::Audio, &features.audio, widths.audio),
    ] {
        let Some(stats) = stats else { continue };
        let lengths = [stats.mean.len(), stats.scale.len()];
        if lengths != [width; 2] && lengths != [0; 2] {
            return Err(format!(
                "has means of {} and scales of {} features of {modality}, whose frames have {width}",
                lengths[0], lengths[1]
            ));
        }
    }
    Ok(())
}

/// Refuses a model that its files cannot hold, before any of it is built.
fn check_size(paths: &[Option<&PathBuf>], parameters: u128) -> Result<(), LearnerError> {
    let mut room = 0;
    for path in paths.iter().flatten() {
        let about = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                LearnerError::format(path, "is missing from the model folder")
            }
            _ => LearnerError::io("read", path, error),
        })?;
        // Every parameter is stored in single precision.
        room += u128::from(about.len() / 4);
    }
    let Some(path) = paths.iter().flatten().next().filter(|_| parameters > room) else {
        return Ok(());
    };
    Err(LearnerError::format(
        path,
        format!(
            "has room for {room} numbers, but config.toml, features.json and bert/config.json call for {parameters}: \
             they are not of one model, or the file is cut short"
        ),
    ))
}

/// What configuration and encoder must agree on.
pub(crate) fn check_text(
    config: &Config,
    folder: &Path,
    bert: &BertConfig,
    tokenizer: &Tokenizer,
) -> Result<(), LearnerError> {
    let wrong = |file: &str, message: String| {
        let path = folder.join(file);
        Err(LearnerError::format(&path, message))
    };
    if config.text.max_tokens > bert.max_tokens() {
        let message = format!(
            "has positions for {} tokens, but text.max_tokens is {}: lower it",
            bert.max_tokens(),
            config.text.max_tokens
        );
        return wrong("config.json", message);
    }
    if tokenizer.vocab_size() > bert.vocab_size {
        let message = format!(
            "has {} words, but config.json says vocab_size {}: the two are not of one model",
            tokenizer.vocab_size(),
            bert.vocab_size
        );
        return wrong("vocab.txt", message);
    }
    if bert.pooling.check(bert.num_hidden_layers).is_err() {
        let message = format!(
            "has {} layers, but text.pooling is \"{}\": name a layer from 0 to {0}",
            bert.num_hidden_layers, bert.pooling
        );
        return wrong("config.json", message);
    }
    match config.text.train_layers {
        Some(layers) if layers > bert.num_hidden_layers => wrong(
            "config.json",
            format!(
                "has {} layers, but text.train_layers is {layers}: lower it",
                bert.num_hidden_layers
            ),
        ),
        _ => Ok(()),
    }
}
