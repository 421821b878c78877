//! Training from the first file of a run's folder to the last, and taking a stopped run up again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use burn::train::Interrupter;
use mmrest_data::prepare;
use mmrest_data::{SourceFile, Split};
use mmrest_encoders::LARGEST_WEIGHT;
use mmrest_models::{ModelError, ModelVisitor, PublishedTensor, SentimentModel, load_published};

use super::admission::{admit, check_folder, check_needs, check_splits, newest_checkpoint};
use super::changes::Accepted;
use super::finish::{self, MetricsFile, finish};
use super::folder::RunFolder;
use super::lock::FolderLock;
use super::prepare::{Splits, extraction, load_text, start_model};
use super::record::{Computer, RunRecord, now};
use crate::config::Config;
use crate::device::{Backend, OpenDevice, Precision};
use crate::error::LearnerError;
use crate::example::FeatureSpec;
use crate::files;
use crate::tensor_file::TensorFile;
use crate::train::{
    BestModel, Checkpoints, EpochLoop, Observer, Progress, Restored, Silent, Start, Tuning, fit,
};
use crate::untrained::share;

/// Where and how a run runs; what it computes is its [`Config`].
#[derive(Clone)]
pub struct RunOptions {
    /// The run's folder.
    pub folder: RunFolder,
    /// Whether to go on with the run that is there; one that was ended before it began, begins.
    pub resume: bool,
    /// The backend.
    pub backend: Backend,
    /// The numbers of the devices: training runs on all of them, everything else on the first.
    pub devices: Vec<usize>,
    /// The project's root: relative paths of the configuration are looked up there when they do not exist as they stand.
    pub root: PathBuf,
    /// A safetensors file of weights to begin with, by the names of the model's published code.
    pub init: Option<PathBuf>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Stops the run from another thread, at the next batch.
    pub interrupter: Interrupter,
}

impl RunOptions {
    /// A new run in `folder` on the CPU that nobody watches; paths of its configuration are relative to `root`.
    ///
    /// ```
    /// use mmrest_learner::run::{RunFolder, RunOptions};
    ///
    /// let options = RunOptions {
    ///     resume: true,
    ///     ..RunOptions::new(RunFolder::new("runs/first"), ".")
    /// };
    /// assert_eq!(options.devices, [0]);
    /// ```
    #[must_use]
    pub fn new(folder: RunFolder, root: impl Into<PathBuf>) -> Self {
        Self {
            folder,
            resume: false,
            backend: Backend::Cpu,
            devices: vec![0],
            root: root.into(),
            init: None,
            observer: Arc::new(Silent),
            interrupter: Interrupter::new(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// To the end: the figures of the selected model.
    Finished(Box<MetricsFile>),
    /// Stopped; epochs up to this one are in its checkpoint.
    Interrupted {
        /// Epochs done.
        epochs: usize,
    },
}

/// Trains, or goes on training, and writes everything a run's folder holds.
///
/// # Errors
///
/// Data, text encoder, device or folder are not as they must be; another program is at work in the folder; too many
/// steps in a row were not finite. What was already written is kept.
pub fn train(config: &Config, options: &RunOptions) -> Result<Outcome, LearnerError> {
    let lock = options.folder.lock()?;
    train_locked(config, options, &Accepted::default(), &lock)
}

/// [`train`], in a folder that is locked already, by [`RunFolder::lock`]. A resumed run may find the changes that are
/// accepted.
///
/// # Errors
///
/// As [`train`].
pub fn train_locked(
    config: &Config,
    options: &RunOptions,
    accepted: &Accepted,
    lock: &FolderLock,
) -> Result<Outcome, LearnerError> {
    let run = Run {
        config,
        options,
        accepted,
        lock,
    };
    match config.model.visit(run) {
        Err(LearnerError::Interrupted) => {
            let kept = Checkpoints::new(options.folder.checkpoints()).epochs()?;
            Ok(Outcome::Interrupted {
                epochs: kept.first().copied().unwrap_or(0),
            })
        }
        outcome => outcome,
    }
}

/// A run, for the model that its configuration names.
struct Run<'a> {
    config: &'a Config,
    options: &'a RunOptions,
    accepted: &'a Accepted,
    lock: &'a FolderLock,
}

impl ModelVisitor for Run<'_> {
    type Output = Result<Outcome, LearnerError>;

    fn visit<M: SentimentModel>(self, model: &M::Config) -> Self::Output {
        run::<M>(model, &self)
    }
}

fn run<M: SentimentModel>(model: &M::Config, of: &Run<'_>) -> Result<Outcome, LearnerError> {
    let Run {
        config,
        options,
        accepted,
        lock,
    } = *of;
    if options.devices.len() > 1 && !M::SEVERAL_DEVICES {
        return Err(LearnerError::Device(format!(
            "{} trains on one device: name one",
            config.model.name()
        )));
    }
    let precision = config.train.precision;
    let devices = open_devices(options, precision)?;
    let autodiff: Vec<Device> = devices
        .iter()
        .map(|d| d.device.clone().autodiff())
        .collect();
    let (Some(device), Some(main)) = (devices.first(), autodiff.first()) else {
        return Err(no_device());
    };
    let device = &device.device;
    let checkpoints = Checkpoints::new(options.folder.checkpoints());
    let changes = check_folder(config, options, accepted)?;
    config.data.check_files(&options.root)?;
    let restored = newest_checkpoint(config, options, &checkpoints)?;
    options.observer.stage("loading the text encoder");
    let text = load_text(config, &options.root, &first_device())?;
    let mut text = text.map(|(bert, parts)| (bert.with_products(precision.products()), parts));
    options.observer.stage("reading the data");
    let stop = || options.interrupter.should_stop();
    let data = prepare(&config.data, &options.root, &mut |_| !stop())?;
    let set = Arc::new(data.set);
    let report = &set.about().report;
    for line in report.to_string().lines() {
        options.observer.note(line);
    }
    check_splits(config, &set)?;
    if set.rows(Split::Test).is_empty() {
        options
            .observer
            .note("No segment is for testing: the run has no test metrics.");
    }
    let recipe = config.train.recipe::<M>(model);
    check_needs(config, &set, &recipe, &*options.observer)?;
    let mut record = RunRecord::begin(
        data.files,
        report,
        Computer {
            backend: options.backend,
            devices: options.devices.clone(),
            adapters: devices.iter().filter_map(|d| d.adapter.clone()).collect(),
            precision,
        },
        config.seed,
        &options.root,
    );
    record.text_encoder = text.as_ref().map(|(_, text)| text.fingerprint.clone());
    let untrained = text.as_ref().map_or(0, |(_, text)| {
        config.lower_layers(text.bert.num_hidden_layers)
    });
    let init = initial_weights(options, restored.is_some(), untrained > 0)?;
    record.initial_weights = init.as_deref().map(SourceFile::read).transpose()?;
    let mut record = admit(record, changes, options, accepted)?;
    if let (Some((_, text)), Some(file)) = (&mut text, &record.initial_weights) {
        text.start_from(file);
    }
    options.observer.stage("preparing text and features");
    let features = FeatureSpec::fit(config, &set, &stop)?;
    let made = (features, extraction(config, &options.root)?);
    let (mut saved, network) = start_model::<M>(config, model, made, text, &first_device())?;
    let published = init.as_deref().map(PublishedFile::read).transpose()?;
    let network = match &published {
        Some(file) => file.weights(network, &*options.observer)?,
        None => network,
    };
    let network = match options.backend {
        Backend::Cpu => network,
        _ => network.fork(main),
    };
    let encoder = network.valid();
    // What untrained layers give in f32 is kept for the runs in bf16 too.
    let exact = encoder.text_encoder().cloned();
    let exact = exact.map(|bert| bert.with_products(Precision::F32.products()));
    let splits = Splits::prepare(
        &set,
        &saved,
        exact.as_ref(),
        precision,
        &options.root,
        &stop,
    )?;
    if let Some(bert) = exact.filter(|_| untrained > 0) {
        let cache = options.root.join(&config.text.cache);
        saved.encoder = Some(share(&bert, untrained, saved.fingerprint(), &cache)?);
    }
    if let Some(cut) = splits.about_texts(config.text.max_tokens) {
        options.observer.note(&cut);
    }
    if let Some(without) = splits.about_sentences() {
        options.observer.note(&without);
    }
    let best = BestModel::new(options.folder.model());
    clear_up(options, &best, restored.as_ref())?;
    let layers = saved
        .text
        .as_ref()
        .map_or(0, |text| text.bert.num_hidden_layers);
    let task = config.task(saved.features.widths, layers);
    let tuning = Tuning {
        // Weights that were drawn may be others with another version of the program.
        left_out: untrained * usize::from(!config.text.from_scratch),
        ..config.train.tuning()
    };
    let mut state = M::init_state(model, &task, &splits.labels(Split::Train));
    if let Some(file) = &published {
        file.state::<M>(&mut state)?;
    }
    let snapshots = options.folder.snapshots(config);
    // Parameters that are not trained are shared with the model that is.
    let beginning = snapshots.clone().map(|kept| (kept, encoder, state.clone()));
    let (start, progress) = match restored {
        None => {
            let start = Start::new(network, state, &recipe, &autodiff, tuning)?;
            (start, Progress::default())
        }
        Some(restored) => {
            let progress = restored.progress.clone();
            (
                Start::resumed(network, &recipe, &autodiff, restored, tuning)?,
                progress,
            )
        }
    };
    // Written once all fits together. The configuration is what tells that there is a run: it comes last.
    files::write_json(&options.folder.record(), &record)?;
    files::write(&options.folder.config(), config.to_toml()?.as_bytes())?;
    let inner = main.clone().inner();
    let epochs = EpochLoop {
        train: splits.training_loader(config.seed, main),
        train_in_order: splits.loader(Split::Train, &inner),
        valid: splits.loader(Split::Valid, &inner),
        test: splits.loader(Split::Test, &inner),
        devices: autodiff.clone(),
        recipe,
        saved,
        lock: lock.clone(),
        best: best.clone(),
        epochs_file: options.folder.epochs(),
        checkpoints: checkpoints.clone(),
        snapshots,
        initial_weights: init,
        observer: Arc::clone(&options.observer),
        progress,
    };
    let epochs = fit(
        start,
        epochs,
        config.train.epochs,
        options.folder.path(),
        &checkpoints,
        &options.interrupter,
    )?;
    let progress = epochs.progress;
    if options.interrupter.should_stop() {
        record.note_peak_memory();
        files::write_json(&options.folder.record(), &record)?;
        return Err(LearnerError::Interrupted);
    }
    let Some(epoch) = progress.selected_epoch else {
        return Err(LearnerError::Training(
            "no epoch gave a validation error that is a number".into(),
        ));
    };
    if let Some((snapshots, model, state)) = beginning {
        options
            .observer
            .stage("keeping the shared space for reports");
        lock.check()?;
        finish::keep_start(
            &snapshots,
            &splits,
            model,
            state,
            config.seed,
            &inner,
            &stop,
        )?;
    }
    options.observer.stage("evaluating the selected model");
    lock.check()?;
    best.check(epoch)?;
    let selected = (epoch, &progress.epochs[..]);
    let metrics = finish(&options.folder, &splits, selected, &options.root, device)?;
    if let Some(warning) = metrics.method.warning() {
        options.observer.warning(&warning);
    }
    record.finished = Some(now());
    record.note_peak_memory();
    lock.check()?;
    files::write_json(&options.folder.record(), &record)?;
    Ok(Outcome::Finished(Box::new(metrics)))
}

/// Ends what a killed program left half done.
fn clear_up(
    options: &RunOptions,
    best: &BestModel,
    restored: Option<&Restored>,
) -> Result<(), LearnerError> {
    let folder = &options.folder;
    for place in [folder.path(), &folder.geometry()] {
        mmrest_data::files::remove_drafts(place)?;
    }
    best.settle(restored.and_then(|restored| restored.progress.selected_epoch))
}

/// The file of weights that a run begins with: that of this start, or of the first start of a run that is resumed; none
/// where a checkpoint is restored and holds all, not what is untrained.
fn initial_weights(
    options: &RunOptions,
    restored: bool,
    untrained: bool,
) -> Result<Option<PathBuf>, LearnerError> {
    if restored && !untrained {
        return Ok(None);
    }
    if !restored && (options.init.is_some() || !(options.resume && options.folder.exists())) {
        return Ok(options.init.clone());
    }
    let first: RunRecord = files::read_json(&options.folder.record())?;
    let Some(file) = first.initial_weights else {
        return Ok(None);
    };
    if SourceFile::read(&file.path)?.sha256 != file.sha256 {
        return Err(LearnerError::format(
            &file.path,
            "is not the file of weights that this run began with: restore it, or start a new run",
        ));
    }
    Ok(Some(file.path))
}

/// What MMSA's trainers put before every name.
const WRAPPER: &str = "Model.";

/// A safetensors file of tensors by the names of a model's published code.
struct PublishedFile<'a> {
    path: &'a Path,
    file: TensorFile,
}

impl<'a> PublishedFile<'a> {
    fn read(path: &'a Path) -> Result<Self, LearnerError> {
        let file = TensorFile::read(path)?;
        if let Some((name, value)) = file.beyond(LARGEST_WEIGHT) {
            let message = format!(
                "{name} holds {value:e}, which is no weight to begin with: the file is damaged, or was saved from a \
                 training that failed"
            );
            return Err(LearnerError::format(path, message));
        }
        Ok(Self { path, file })
    }

    /// A tensor by its published name; or as published trainers save it: MMSA's inside a module `Model`, DMD's the network
    /// `dmd` alone.
    fn find(&self, name: &str) -> Option<PublishedTensor> {
        let wrapped = format!("{WRAPPER}{name}");
        let names = [Some(name), Some(&wrapped), name.strip_prefix("dmd.")];
        let mut names = names.into_iter().flatten();
        let (shape, values) = names.find_map(|name| self.file.floats(name))?;
        Some((shape.to_vec(), values))
    }

    fn wrong(&self, error: &ModelError) -> LearnerError {
        LearnerError::format(self.path, error.to_string())
    }

    /// `model` with the file's weights. The text encoder, and parts that the published code may not have saved, stay
    /// where the file has nothing of them; the latter are noted.
    fn weights<M: SentimentModel>(
        &self,
        model: M,
        observer: &dyn Observer,
    ) -> Result<M, LearnerError> {
        let names = (M::PUBLISHED_NAMES, M::PUBLISHED_APART);
        let model = load_published(model, names.0, names.1, &|name| self.find(name))
            .map_err(|error| self.wrong(&error))?;
        let saved = |part: &str| {
            let mut names = self.file.names();
            names.any(|name| name.strip_prefix(WRAPPER).unwrap_or(name).starts_with(part))
        };
        for part in names.1.iter().filter(|part| !saved(part)) {
            observer.note(&format!(
                "{} has no weights {part}*: they begin as they were drawn.",
                self.path.display()
            ));
        }
        Ok(model)
    }

    /// The state takes what the file has of it.
    fn state<M: SentimentModel>(&self, state: &mut M::State) -> Result<(), LearnerError> {
        M::load_published_state(state, &|name| self.find(name)).map_err(|error| self.wrong(&error))
    }
}

/// Where a model is made before it moves to its own device: initial weights are the same on every backend.
fn first_device() -> Device {
    Device::flex().autodiff()
}

fn no_device() -> LearnerError {
    LearnerError::Device("no device to train on".into())
}

/// Opens every device that is asked for, and says which they are.
fn open_devices(
    options: &RunOptions,
    precision: Precision,
) -> Result<Vec<OpenDevice>, LearnerError> {
    let numbers = &options.devices;
    let twice = (1..numbers.len()).find(|&at| numbers[..at].contains(&numbers[at]));
    // The one CPU may take several parts, so that anyone can try how several devices work together.
    if let Some(at) = twice.filter(|_| options.backend != Backend::Cpu) {
        return Err(LearnerError::Device(format!(
            "device {} is named twice: name each device once",
            numbers[at]
        )));
    }
    let mut opened = Vec::new();
    for &index in numbers {
        let open = OpenDevice::new(options.backend, index, precision)?;
        if let Some(adapter) = &open.adapter {
            options.observer.note(&format!("Device {index}: {adapter}"));
        }
        opened.push(open);
    }
    Ok(opened)
}

/// The folder a run gets when none is named: `runs/<config>/<time>-<seed>`, time as `YYYYMMDD-HHMMSS` UTC.
pub fn default_folder(root: &Path, config_name: &str, seed: u64) -> RunFolder {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let name = format!("{time}-{seed}");
    RunFolder::new(root.join("runs").join(config_name).join(name))
}

#[cfg(test)]
mod tests {
    use mmrest_data::{Modality, Widths};
    use mmrest_models::{Dmd, DmdConfig, Lmf, LmfConfig, SelfMm, SelfMmConfig, published_weights};

    use super::*;

    fn model(seed: u64, audio: usize) -> SelfMm {
        let mut config = Config::default();
        config.data.modalities = vec![Modality::Vision, Modality::Audio];
        let task = config.task(Widths { vision: 3, audio }, 0);
        let device = Device::flex();
        device.seed(seed);
        SelfMm::init(&SelfMmConfig::default(), &task, None, &device).unwrap()
    }

    #[test]
    fn a_model_begins_with_weights_by_their_published_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("published.safetensors");
        let names = SelfMm::PUBLISHED_NAMES;
        let published = published_weights(&model(1, 2), names).unwrap();
        let mut file = TensorFile::default();
        for (name, (shape, values)) in &published {
            file.add_floats(name, shape, values.iter().copied());
        }
        file.write(&path).unwrap();
        let known = ["audio_model.rnn.weight_ih_l0", "post_video_layer_3.bias"];
        for name in known {
            assert!(file.floats(name).is_some(), "{name}");
        }
        let file = PublishedFile::read(&path).unwrap();
        let other = file.weights(model(2, 2), &Silent).unwrap();
        assert_eq!(published_weights(&other, names).unwrap(), published);
        let refused = file.weights(model(2, 5), &Silent).unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.contains("audio_model.rnn.weight_ih_l0") && refused.contains("published"),
            "{refused}"
        );
        let mut file = file.file;
        let values = [
            (f32::NAN, "NaN"),
            (f32::NEG_INFINITY, "-inf"),
            (-1e38, "-1e38"),
        ];
        for (value, shown) in values {
            file.add_floats("post_video_layer_3.bias", &[1], [value]);
            file.write(&path).unwrap();
            let refused = PublishedFile::read(&path).err().unwrap().to_string();
            let expected = format!("post_video_layer_3.bias holds {shown}, which is no weight");
            assert!(refused.contains(&expected), "{refused}");
        }
    }

    /// Keeps the notes.
    #[derive(Default)]
    struct Notes(std::sync::Mutex<Vec<String>>);

    impl Observer for Notes {
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
    }

    #[test]
    fn names_may_be_as_the_published_trainers_save_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("published.safetensors");
        let saved = |weights: &[(String, PublishedTensor)],
                     named: &dyn Fn(&str) -> Option<String>| {
            let mut file = TensorFile::default();
            for (name, (shape, values)) in weights {
                if let Some(name) = named(name) {
                    file.add_floats(&name, shape, values.iter().copied());
                }
            }
            file.write(&path).unwrap();
            PublishedFile::read(&path).unwrap()
        };
        let weights = published_weights(&model(1, 2), SelfMm::PUBLISHED_NAMES).unwrap();
        let file = saved(&weights, &|name| Some(format!("Model.{name}")));
        let notes = Notes::default();
        let other = file.weights(model(2, 2), &notes).unwrap();
        let other = published_weights(&other, SelfMm::PUBLISHED_NAMES).unwrap();
        assert_eq!(other, weights);
        assert!(notes.0.into_inner().unwrap().is_empty());

        let dmd = |seed: u64| {
            let mut config = Config::default();
            config.data.modalities = vec![Modality::Audio];
            let widths = Widths {
                vision: 0,
                audio: 2,
            };
            let own = DmdConfig {
                width: 4,
                heads: 2,
                levels: 1,
                lengths: [5; 3],
                ..DmdConfig::default()
            };
            let device = Device::flex();
            device.seed(seed);
            Dmd::init(&own, &config.task(widths, 0), None, &device).unwrap()
        };
        let [network, other] = [1, 2].map(dmd);
        let [weights, drawn] = [&network, &other]
            .map(|network| published_weights(network, Dmd::PUBLISHED_NAMES).unwrap());
        // The network alone, without the graphs.
        let file = saved(&weights, &|name| {
            Some(name.strip_prefix("dmd.")?.to_owned())
        });
        let notes = Notes::default();
        let begun = file.weights(other, &notes).unwrap();
        let begun = published_weights(&begun, Dmd::PUBLISHED_NAMES).unwrap();
        for ((found, of_file), drawn) in begun.iter().zip(&weights).zip(&drawn) {
            let expected = if found.0.starts_with("dmd.") {
                of_file
            } else {
                drawn
            };
            assert_eq!(found, expected);
        }
        let notes = notes.0.into_inner().unwrap();
        assert_eq!(notes.len(), 2);
        assert!(
            notes[0].contains("homo.*") && notes[1].contains("hetero.*"),
            "{notes:?}"
        );
        // Of a graph that is there, nothing may be missing.
        let file = saved(&weights, &|name| {
            (name != "homo.W_edge.bias").then(|| name.to_owned())
        });
        let refused = file.weights(dmd(2), &Silent).unwrap_err().to_string();
        assert!(refused.contains("homo.W_edge.bias is missing"), "{refused}");
    }

    #[test]
    fn running_statistics_of_a_file_are_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("published.safetensors");
        let widths = Widths {
            vision: 1,
            audio: 2,
        };
        let task = Config::default().task(widths, 0);
        let mut state = Lmf::init_state(&LmfConfig::default(), &task, &[]);
        let mut file = TensorFile::default();
        for (part, width) in [("audio", 2), ("video", 1)] {
            for (name, value) in [("mean", 0.5), ("var", 2.0)] {
                let name = format!("{part}_subnet.norm.running_{name}");
                file.add_floats(&name, &[width], vec![value; width]);
            }
        }
        file.write(&path).unwrap();
        let published = PublishedFile::read(&path).unwrap();
        published.state::<Lmf>(&mut state).unwrap();
        assert_eq!(state.audio.mean, [0.5, 0.5]);
        assert_eq!(state.vision.variance, [2.0]);
        state.vision.mean.push(0.0);
        let refused = published.state::<Lmf>(&mut state).unwrap_err().to_string();
        assert!(
            refused.contains("video_subnet.norm.running_mean is [1], not [2]"),
            "{refused}"
        );
    }
}
