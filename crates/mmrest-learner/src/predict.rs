//! Scores for new data, from a run's model folder alone.

mod explain;
mod interpret;
mod lengths;
pub(crate) mod neighbours;
mod usable;

pub use explain::{Contributions, Explanation};
pub use interpret::{CONFIDENCE, Interpretation, Interpreter, IntervalCoverage, Polarity};
pub use neighbours::Neighbour;
pub use usable::{FAR, is_finite};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;
use mmrest_data::text::count;
use mmrest_data::{DataReport, Frames, FramesOf, Kind, Modality, Segment, clean};
use mmrest_models::{Batch, BiasInfo, HostBatch, Placement, Prediction, SharedSpace};

use self::lengths::Length;
use self::neighbours::Neighbours;
use crate::calibration::Calibration;
use crate::error::LearnerError;
use crate::example::Preparation;
use crate::saved_model::{SavedModel, seal_of};
use crate::sentences::{self, EncodedSentences};
use crate::trained::{Representation, TrainedModel};

/// The most frames of a sequence that is scored, after `data.max_frames` has shortened it: a quarter of an hour at 100
/// frames a second. A batch holds no more padded frames of a modality either.
pub const MOST_FRAMES: usize = 100_000;
/// The most bytes of a text that is scored: `text.max_tokens` tokens are read of it.
pub const MOST_TEXT: usize = 1 << 20;

/// A set of modalities: bit `n` is `Modality::ALL[n]`.
pub(crate) type Subset = usize;

/// How many sets of modalities there are.
pub(crate) const SUBSETS: usize = 1 << Modality::ALL.len();

/// The set of one modality.
pub(crate) fn bit(modality: Modality) -> Subset {
    1 << modality as usize
}

/// The set of some modalities.
pub(crate) fn subset_of(modalities: &[Modality]) -> Subset {
    modalities
        .iter()
        .fold(0, |subset, &modality| subset | bit(modality))
}

/// Scores of segments, and what the model makes of each on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// One a segment, in their order.
    pub predictions: Vec<Prediction>,
    /// The outputs of the encoders and, of a model that has one, the rows in the shared space: each `[segments, width]`, in
    /// their order.
    pub representations: Vec<Representation>,
}

impl Embeddings {
    /// Puts the rows of a batch in their places among those of all `segments`.
    fn place(&mut self, segments: usize, rows: &[usize], batch: Vec<Representation>) {
        if self.representations.is_empty() {
            let empty = |of: &Representation| Representation {
                name: of.name.clone(),
                width: of.width,
                values: vec![0.0; segments * of.width],
            };
            self.representations = batch.iter().map(empty).collect();
        }
        for (all, own) in self.representations.iter_mut().zip(batch) {
            let width = own.width;
            for (values, &row) in own.values.chunks_exact(width.max(1)).zip(rows) {
                all.values[row * width..(row + 1) * width].copy_from_slice(values);
            }
        }
    }
}

/// A trained model, ready for segments it has not seen.
#[derive(Debug)]
pub struct Predictor {
    saved: SavedModel,
    model: Box<dyn TrainedModel>,
    device: Device,
    folder: PathBuf,
    neighbours: Option<Neighbours>,
    sentences: Option<Arc<EncodedSentences>>,
    calibration: Option<Calibration>,
    computed: Arc<AtomicUsize>,
}

impl Predictor {
    /// Reads a model folder. `device` is without autodiff.
    ///
    /// # Errors
    ///
    /// A file of the folder is missing or damaged.
    pub fn load(model_folder: &Path, device: &Device) -> Result<Self, LearnerError> {
        let (saved, model) = SavedModel::load(model_folder, device)?;
        Ok(Self {
            calibration: Calibration::of_model(model_folder)?,
            saved,
            model,
            device: device.clone(),
            folder: model_folder.to_path_buf(),
            neighbours: None,
            sentences: None,
            computed: Arc::default(),
        })
    }

    /// Reads further sentences about the segments of `folder` (`data.sentences`), where the model takes any; without them
    /// their place stays empty. `root` is the project's: the text encoder that the run began with is looked for there.
    ///
    /// # Errors
    ///
    /// The table or the text encoder cannot be read, or the encoder is another.
    pub fn with_sentences(mut self, folder: &Path, root: &Path) -> Result<Self, LearnerError> {
        self.sentences = EncodedSentences::prepare(&self.saved, folder, root, &|| false)?;
        Ok(self)
    }

    /// The table of further sentences that the model takes about segments of a folder; none where it takes none.
    pub fn sentences_file(&self, folder: &Path) -> Option<PathBuf> {
        let config = &self.saved.config;
        let file = config.data.sentences_file(folder);
        file.filter(|_| sentences::count(config) > 0)
    }

    /// Reads the training segments among which [`explain`](Self::explain) finds neighbours, where the model folder has them:
    /// folders of older versions have none ([`has_neighbours`](Self::has_neighbours)).
    ///
    /// # Errors
    ///
    /// Their file is damaged, or another model's.
    pub fn with_neighbours(mut self) -> Result<Self, LearnerError> {
        let used = self.used();
        let own = belongs(&self.folder, neighbours::FILE)?;
        self.neighbours = match self.model.geometry() {
            Some(space) if own => Neighbours::read(&self.folder, &*space, &used)?,
            _ => None,
        };
        Ok(self)
    }

    /// Whether the model has a shared space, in which segments have neighbours.
    pub fn has_shared_space(&self) -> bool {
        self.model.geometry().is_some()
    }

    /// Whether there are training segments to find neighbours among.
    pub fn has_neighbours(&self) -> bool {
        self.neighbours.is_some()
    }

    /// Whether training has taken modalities from its segments, as `train.modality_dropout` asks for: a model that has not
    /// seen them missing fills in what it hardly knows.
    pub fn knows_missing(&self) -> bool {
        self.saved.config.train.modality_dropout > 0.0
    }

    /// Configuration, features and text encoder of the model.
    pub fn saved_model(&self) -> &SavedModel {
        &self.saved
    }

    /// How many segments [`predict`](Self::predict), [`embed`](Self::embed) and [`explain`](Self::explain) have computed,
    /// which grows with each of their batches: for whoever shows the progress of a long call.
    pub fn computed(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.computed)
    }

    fn count(&self, batch: &[usize]) {
        self.computed.fetch_add(batch.len(), Ordering::Relaxed);
    }

    /// The modalities that the model uses, in the order of the shared space.
    fn used(&self) -> Vec<Modality> {
        let widths = self.saved.features.widths;
        let used = |modality: &Modality| match modality {
            Modality::Text => self.saved.text.is_some(),
            Modality::Vision => widths.vision > 0,
            Modality::Audio => widths.audio > 0,
        };
        Modality::ALL.into_iter().filter(used).collect()
    }

    /// The modalities that the model uses and a segment lacks: they are filled by empty text or one zero frame.
    pub fn missing(&self, segment: &Segment) -> Vec<Modality> {
        let mut missing = self.used();
        missing.retain(|&modality| segment.lacks(modality));
        missing
    }

    /// Checks that a segment has frames of the widths the model knows, no more than [`MOST_FRAMES`] of them, and a text
    /// of no more than [`MOST_TEXT`] bytes.
    ///
    /// # Errors
    ///
    /// A sentence that names the modality, what was found and what is expected.
    pub fn check(&self, segment: &Segment) -> Result<(), String> {
        let widths = self.saved.features.widths;
        let most = self.saved.config.data.max_frames.unwrap_or(usize::MAX);
        if segment.text.len() > MOST_TEXT {
            return Err(format!(
                "text has {} bytes, at most {MOST_TEXT} are taken",
                segment.text.len()
            ));
        }
        let by_word = self.saved.config.data.frames == FramesOf::Word
            && self.saved.config.data.kind == Kind::Sdk;
        let words = segment.text.split_whitespace().count();
        for (modality, frames, width) in [
            (Modality::Vision, &segment.vision, widths.vision),
            (Modality::Audio, &segment.audio, widths.audio),
        ] {
            if width > 0 && by_word && !frames.is_empty() && frames.len() != words {
                return Err(format!(
                    "{modality} has {} frames, but the model takes one for each of the text's {words} words",
                    frames.len()
                ));
            }
            if width > 0 && !frames.is_empty() && frames.width != width {
                return Err(format!(
                    "{modality} has {} a frame, the model takes {width}",
                    count(frames.width, "feature")
                ));
            }
            if width > 0 && frames.len().min(most) > MOST_FRAMES {
                return Err(format!(
                    "{modality} has {} frames, at most {MOST_FRAMES} are taken",
                    frames.len()
                ));
            }
        }
        Ok(())
    }

    /// Scores segments, in their order; a modality the model does not use is ignored, one that a segment lacks is empty text
    /// or one zero frame, as in training. Segments of similar length are computed together.
    ///
    /// # Errors
    ///
    /// The device cannot be read, or a text is longer than the encoder takes.
    pub fn predict(&self, segments: &[Segment]) -> Result<Vec<Prediction>, LearnerError> {
        let mut predictions = Vec::with_capacity(segments.len());
        for rows in self.batches(segments) {
            let batch = self.batch(segments, &rows);
            predictions.extend(self.model.predict_batch(&batch)?);
            self.count(&rows);
        }
        predictions.sort_by_key(|prediction| prediction.row);
        Ok(predictions)
    }

    /// Scores segments as [`Predictor::predict`] does, with what each is on the way to its score.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`].
    pub fn embed(&self, segments: &[Segment]) -> Result<Embeddings, LearnerError> {
        let mut embeddings = Embeddings::default();
        for rows in self.batches(segments) {
            let batch = self.batch(segments, &rows);
            let (predictions, representations) = self.model.represent_batch(&batch)?;
            embeddings.predictions.extend(predictions);
            embeddings.place(segments.len(), &rows, representations);
            self.count(&rows);
        }
        let order = |prediction: &Prediction| prediction.row;
        embeddings.predictions.sort_by_key(order);
        Ok(embeddings)
    }

    /// How the model's bias is computed, where it has one.
    pub fn bias(&self) -> Option<BiasInfo> {
        Some(self.model.geometry()?.bias())
    }

    /// The clusters of the model, where it has any.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn shared_space(&self) -> Result<Option<SharedSpace>, LearnerError> {
        let Some(space) = self.model.geometry() else {
            return Ok(None);
        };
        let Some((clusters, metrics)) = space.clusters().zip(space.metrics()?) else {
            return Ok(None);
        };
        let classes = space.classes();
        let sentiment = |&bin: &usize| classes.get(bin).copied().unwrap_or_default();
        Ok(Some(SharedSpace {
            sentiments: clusters.bins.iter().map(sentiment).collect(),
            clusters: clusters.clone(),
            global: metrics.global,
        }))
    }

    /// Scores segments as [`Predictor::predict`] does, all as one batch, and tells where their rows lie among the
    /// clusters of the model, where it has any.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`].
    pub fn place(&self, segments: &[Segment]) -> Result<Vec<Placement>, LearnerError> {
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<usize> = (0..segments.len()).collect();
        let batch = self.batch(segments, &rows);
        if let Some(space) = self.model.geometry() {
            return Ok(space.place(&batch)?);
        }
        let predictions = self.model.predict_batch(&batch)?.into_iter();
        let unplaced = |prediction| Placement {
            prediction,
            rows: Vec::new(),
        };
        Ok(predictions.map(unplaced).collect())
    }

    /// The places of segments that are computed together.
    fn batches(&self, segments: &[Segment]) -> Vec<Vec<usize>> {
        let most_frames = self.saved.config.data.max_frames;
        let length = |segment| Length::of(segment, most_frames);
        let lengths: Vec<Length> = segments.iter().map(length).collect();
        lengths::batches(&lengths, self.saved.config.train.batch_size)
    }

    /// Some of the segments as the network takes them.
    fn batch(&self, segments: &[Segment], rows: &[usize]) -> Batch {
        let preparation = Preparation {
            config: &self.saved.config,
            features: &self.saved.features,
            tokenizer: self.saved.tokenizer(),
        };
        let chosen = rows.iter().map(|&row| self.fitted(&segments[row]));
        let mut examples = preparation.examples(chosen.collect());
        if let Some(sentences) = &self.sentences {
            for example in &mut examples {
                example.sentences = sentences.of(&example.id);
            }
        }
        HostBatch::new(&examples, rows.to_vec()).upload(&self.device)
    }

    /// The segment with exactly the modalities the model uses, and frames cleaned as the data loader cleans them.
    fn fitted(&self, segment: &Segment) -> Segment {
        let widths = self.saved.features.widths;
        let mut report = DataReport::default();
        let mut frames = |modality, frames: &Frames, width: usize| {
            let frames = if frames.width == width {
                frames.clone()
            } else {
                Frames::empty(width)
            };
            clean(frames, modality, &self.saved.config.data, &mut report)
        };
        Segment {
            vision: frames(Modality::Vision, &segment.vision, widths.vision),
            audio: frames(Modality::Audio, &segment.audio, widths.audio),
            ..segment.clone()
        }
    }
}

/// Whether a file belongs to a model folder: one that its model does not know of is another's.
pub(crate) fn belongs(model_folder: &Path, file: &str) -> Result<bool, LearnerError> {
    Ok(seal_of(model_folder)?.is_none_or(|seal| seal.lists(file)))
}
