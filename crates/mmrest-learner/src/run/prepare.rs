//! Data and text encoder of a run, made ready: the same for training and evaluation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use mmrest_data::packed::PackedSet;
use mmrest_data::text::hex;
use mmrest_data::{Kind, Modality, Split};
use mmrest_encoders::{Bert, BertConfig, EncoderError, Tokenizer, has_weights, weights_files};
use mmrest_models::{FrameNeed, SentimentModel, TextFeatures, TextNeed, bert_parameters, seed};
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::device::Precision;
use crate::error::LearnerError;
use crate::example::{FeatureSpec, Preparation};
use crate::files;
use crate::loader::SegmentLoader;
use crate::modality_dropout::ModalityDropout;
use crate::predict::{Subset, subset_of};
use crate::saved_model::{SavedModel, TextParts, check_text};
use crate::sentences::EncodedSentences;
use crate::source::{AbsentText, ExampleSource, PackedSplit};
use crate::text_cache::Frozen;
use crate::untrained::Untrained;

/// `path` as it stands where that exists, else below the project's root.
pub(crate) fn locate(root: &Path, path: &Path) -> PathBuf {
    if path.exists() {
        path.to_path_buf()
    } else {
        root.join(path)
    }
}

/// Checks that the files a run reads are there, data and text encoder, without reading more than small ones.
///
/// # Errors
///
/// What is missing.
pub fn check_files(config: &Config, root: &Path) -> Result<(), LearnerError> {
    config.data.check_files(root)?;
    if config.uses(Modality::Text) {
        let folder = locate(root, &config.text.bert);
        BertConfig::from_dir(&folder)?;
        Tokenizer::from_dir(&folder)?;
        if !config.text.from_scratch && !has_weights(&folder) {
            return Err(LearnerError::Encoder(EncoderError::MissingFile {
                path: folder.join("model.safetensors"),
                hint: "nor is there a pytorch_model.bin; a directory without weights can only start from scratch".into(),
            }));
        }
    }
    Ok(())
}

/// The text encoder that a run starts from, and what goes with it.
pub(crate) fn load_text(
    config: &Config,
    root: &Path,
    device: &Device,
) -> Result<Option<(Bert, TextParts)>, LearnerError> {
    if !config.uses(Modality::Text) {
        return Ok(None);
    }
    let folder = locate(root, &config.text.bert);
    check_bert_folder(&folder)?;
    let tokenizer = Tokenizer::from_dir(&folder)?;
    let bert_config = config.text.encoder(&folder)?;
    check_text(config, &folder, &bert_config, &tokenizer)?;
    let (bert, fingerprint) = if config.text.from_scratch {
        check_from_scratch(&folder, &bert_config)?;
        let fingerprint = format!(
            "from-scratch-{}-{}",
            config.seed,
            config_hash(&bert_config)?
        );
        device.seed(seed::mix(config.seed, &[seed::WEIGHTS, 0]));
        let bert = bert_config.init(device);
        bert.visit(&mut Materialise);
        (bert, fingerprint)
    } else {
        let bert = Bert::load(&bert_config, &folder, device)?;
        (bert, fingerprint(&folder, &bert_config)?)
    };
    let parts = TextParts {
        bert: bert_config,
        tokenizer,
        fingerprint,
    };
    Ok(Some((bert, parts)))
}

/// That the folder of a text encoder is there, and has some of its files: which one is missing, the reading tells.
fn check_bert_folder(folder: &Path) -> Result<(), LearnerError> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Err(LearnerError::NoBertFolder(folder.to_path_buf()));
    };
    let is_part = |name: &str| {
        matches!(
            name,
            "config.json" | "vocab.txt" | "tokenizer.json" | "tokenizer_config.json"
        ) || name.ends_with(".safetensors")
            || name.ends_with(".bin")
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    if names.any(|name| name.to_str().is_some_and(is_part)) {
        return Ok(());
    }
    Err(LearnerError::NotBert(folder.to_path_buf()))
}

/// Loads a text encoder from its directory, as a run does, and says why it cannot be used. A directory without weights is
/// one to start from scratch with.
///
/// # Errors
///
/// As those of a run.
pub fn check_text_encoder(folder: &Path) -> Result<(), LearnerError> {
    let mut config = Config::default();
    config.text.bert = folder.to_path_buf();
    config.text.max_tokens = 3;
    config.text.from_scratch = !has_weights(folder);
    load_text(&config, folder, &Device::flex()).map(|_| ())
}

/// Most parameters of a text encoder that starts from scratch, ten times the largest BERT: there is no file of weights to
/// hold the sizes of `config.json` against.
const MOST_FROM_SCRATCH: u128 = 1 << 32;

fn check_from_scratch(folder: &Path, bert: &BertConfig) -> Result<(), LearnerError> {
    match bert_parameters(bert) {
        0..=MOST_FROM_SCRATCH => Ok(()),
        parameters => Err(LearnerError::format(
            &folder.join("config.json"),
            format!("calls for {parameters} parameters, more than any BERT has: lower its sizes"),
        )),
    }
}

/// SHA-256 of the weights in a BERT directory (of those of all shards, where there are several), and its configuration's.
fn fingerprint(folder: &Path, config: &BertConfig) -> Result<String, LearnerError> {
    let digest = |file: &PathBuf| Ok(mmrest_data::SourceFile::read(file)?.sha256);
    let digests: Vec<String> = weights_files(folder)?
        .iter()
        .map(digest)
        .collect::<Result<_, LearnerError>>()?;
    let weights = match &digests[..] {
        [only] => only.clone(),
        shards => hex(&Sha256::digest(shards.join(" "))),
    };
    Ok(format!("{weights}-{}", config_hash(config)?))
}

/// SHA-256 of an encoder's configuration.
fn config_hash(config: &BertConfig) -> Result<String, LearnerError> {
    let json = serde_json::to_vec(config).map_err(|e| LearnerError::Internal(e.to_string()))?;
    Ok(hex(&Sha256::digest(json)))
}

/// The examples of all three splits.
pub(crate) struct Splits {
    examples: [Arc<PackedSplit>; 3],
    /// The modalities in use.
    modalities: Subset,
    absent_text: AbsentText,
    batch_size: usize,
    /// The fewest segments of a training batch.
    smallest_batch: usize,
    /// What takes modalities from training segments, where anything does.
    dropout: Option<ModalityDropout>,
    /// How many texts are longer than the encoder's input, and were cut.
    texts_cut: usize,
    /// How many segments have no row in the table of further sentences.
    without_sentences: usize,
}

impl Splits {
    /// Prepares every segment's text; frames stay in the set until they are needed. `encoder` gives the untrained layers of
    /// the text encoder and must be without autodiff; its device multiplies in `precision`.
    pub(crate) fn prepare(
        set: &Arc<PackedSet>,
        saved: &SavedModel,
        encoder: Option<&Bert>,
        precision: Precision,
        root: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, LearnerError> {
        let preparation = Preparation {
            config: &saved.config,
            features: &saved.features,
            tokenizer: saved.tokenizer(),
        };
        let cache = root.join(&saved.config.text.cache);
        let needs = saved.config.model.needs();
        let encoded = |texts: &[&str]| -> Result<Vec<TextFeatures>, LearnerError> {
            let texts = preparation.texts(texts);
            let (Some(parts), Some(bert)) = (&saved.text, encoder) else {
                return Ok(texts);
            };
            if needs.text == TextNeed::TokenIds {
                return Ok(texts);
            }
            let frozen = Frozen {
                bert,
                lower_layers: saved.config.lower_layers(bert.depth()),
                all_tokens: needs.text == TextNeed::AllTokens,
                fingerprint: &parts.fingerprint,
                precision,
                cache: &cache,
                stop,
            };
            frozen.apply(texts)
        };
        let folder = saved.config.data.folder(root);
        let sentences = EncodedSentences::prepare(saved, &folder, root, stop)?;
        let (mut texts_cut, mut without_sentences) = (0, 0);
        let mut split = |split: Split| -> Result<Arc<PackedSplit>, LearnerError> {
            let rows = set.rows(split).to_vec();
            let texts: Vec<&str> = rows.iter().map(|&row| set.text(row)).collect();
            texts_cut += preparation.texts_cut(&texts);
            if let Some(sentences) = &sentences {
                let without = rows.iter().filter(|&&row| !sentences.has(set.id(row)));
                without_sentences += without.count();
            }
            Ok(Arc::new(PackedSplit {
                token_rows: texts
                    .iter()
                    .map(|text| preparation.token_rows(text))
                    .collect(),
                texts: encoded(&texts)?,
                set: Arc::clone(set),
                rows,
                frames: preparation.frames(),
                removed: 0,
                sentences: sentences.clone(),
            }))
        };
        let absent_text = AbsentText {
            features: encoded(&[""])?.pop().unwrap_or(TextFeatures::Absent),
            token_rows: preparation.token_rows(""),
        };
        let dropout = match saved.config.train.modality_dropout {
            rate if rate > 0.0 => {
                let seed = saved.config.seed;
                // Frames per token have no place without the text.
                let takes_text = needs.frames == FrameNeed::Own;
                let absent_text = absent_text.features.clone();
                Some(ModalityDropout::new(rate, seed, absent_text).taking_text(takes_text))
            }
            _ => None,
        };
        let examples = [
            split(Split::Train)?,
            split(Split::Valid)?,
            split(Split::Test)?,
        ];
        Ok(Self {
            examples,
            modalities: subset_of(&saved.config.data.modalities),
            absent_text,
            texts_cut,
            without_sentences,
            batch_size: saved.config.train.batch_size,
            smallest_batch: needs.smallest_batch,
            dropout,
        })
    }

    /// Says how many texts were cut; none where none was.
    pub(crate) fn about_texts(&self, max_tokens: usize) -> Option<String> {
        let cut = self.texts_cut;
        (cut > 0).then(|| format!("Texts cut to text.max_tokens, {max_tokens} tokens: {cut}."))
    }

    /// Says how many segments have no further sentences, of data that have some; none where all have them.
    pub(crate) fn about_sentences(&self) -> Option<String> {
        let without = self.without_sentences;
        (without > 0).then(|| {
            format!(
                "Segments without a row in data.sentences: {without}. They get empty sentences."
            )
        })
    }

    /// The labels of a split, in its own order.
    pub(crate) fn labels(&self, split: Split) -> Vec<f32> {
        let examples = &self.examples[place(split)];
        (0..examples.len()).map(|row| examples.label(row)).collect()
    }

    /// The ids of a split's segments, in its own order.
    pub(crate) fn ids(&self, split: Split) -> Vec<String> {
        let examples = &self.examples[place(split)];
        let ids = (0..examples.len()).map(|row| examples.id(row).to_owned());
        ids.collect()
    }

    /// The modalities in use.
    pub(crate) fn modalities(&self) -> Subset {
        self.modalities
    }

    /// Which of the modalities in use each segment of a split lacks.
    pub(crate) fn lacking(&self, split: Split) -> Vec<Subset> {
        self.examples[place(split)].lacking(self.modalities)
    }

    /// Batches of a split in its own order.
    pub(crate) fn loader(&self, split: Split, device: &Device) -> SegmentLoader {
        let examples: Arc<dyn ExampleSource> = self.examples[place(split)].clone();
        SegmentLoader::in_order(examples, self.batch_size, device)
    }

    /// Batches of a split in its own order, as if its segments were without some modalities.
    pub(crate) fn loader_without(
        &self,
        split: Split,
        removed: Subset,
        device: &Device,
    ) -> SegmentLoader {
        let left = self.examples[place(split)].without(removed, &self.absent_text);
        SegmentLoader::in_order(Arc::new(left), self.batch_size, device)
    }

    /// Batches to train on: in an order by seed and epoch, without the modalities that are dropped.
    pub(crate) fn training_loader(&self, seed: u64, device: &Device) -> SegmentLoader {
        self.loader(Split::Train, device)
            .shuffled(seed)
            .at_least(self.smallest_batch)
            .dropping(self.dropout.clone())
    }
}

/// The place of a split among three.
fn place(split: Split) -> usize {
    match split {
        Split::Train => 0,
        Split::Valid => 1,
        Split::Test => 2,
    }
}

/// What a folder of extracted features says of their making.
const EXTRACTION: &str = "feature.json";

/// What the features of the data were made by, where they were extracted from recordings.
pub(crate) fn extraction(
    config: &Config,
    root: &Path,
) -> Result<Option<serde_json::Value>, LearnerError> {
    let path = config.data.folder(root).join(EXTRACTION);
    let there = config.data.kind == Kind::Sdk && path.is_file();
    there.then(|| files::read_json(&path)).transpose()
}

/// The model that a run starts from, and what is saved with it; the model is on `device`, which is with autodiff.
pub(crate) fn start_model<M: SentimentModel>(
    config: &Config,
    of: &M::Config,
    (features, extraction): (FeatureSpec, Option<serde_json::Value>),
    text: Option<(Bert, TextParts)>,
    device: &Device,
) -> Result<(SavedModel, M), LearnerError> {
    let (bert, text) = text.unzip();
    let bert = bert.zip(text.as_ref().map(|text| &text.bert));
    let layers = text.as_ref().map_or(0, |text| text.bert.num_hidden_layers);
    let task = config.task(features.widths, layers);
    device.seed(seed::mix(config.seed, &[seed::WEIGHTS, 1]));
    let model = M::init(of, &task, bert, device)?;
    model.visit(&mut Materialise);
    let untrained = Untrained::of_model::<M>(task.lower_layers);
    // A model that runs all layers itself would train them all.
    let model = match M::needs(of).text {
        TextNeed::TokenIds => untrained.freeze(model),
        _ => model,
    };
    let saved = SavedModel {
        config: config.clone(),
        features,
        extraction,
        text,
        encoder: None,
    };
    Ok((saved, model))
}

/// burn draws some weights when they are made and others when they are first read; reading all at once lets the seed that
/// was set before alone decide them.
struct Materialise;

impl ModuleVisitor for Materialise {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let _ = param.val();
    }
}
