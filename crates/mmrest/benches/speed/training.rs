//! Training steps on data of the sizes of CMU-MOSI, without vision, and the most memory that they hold.

use std::path::Path;
use std::process::Command;

use burn::module::Module;
use burn::tensor::Device;
use mmrest_data::{Frames, Modality, Widths};
use mmrest_encoders::BertConfig;
use mmrest_learner::train::Trainer;
use mmrest_learner::{Config, Precision};
use mmrest_models::{
    Batch, ClusterState, Example, HostBatch, MmRest, MmRestConfig, ModelConfig, ModelError,
    SentimentModel, TextFeatures,
};

use crate::lengths;
use crate::torch::{Peer, Torch};
use crate::works::{BATCH, CLUSTERS, DIM, clusters, minilm, mpnet};

/// Segments of CMU-MOSI's training split.
const SEGMENTS: usize = 1284;
/// Acoustic features of a word.
const FEATURES: usize = 75;

/// What is trained, and on which batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// MiniLM's output is cached.
    Cached,
    /// MiniLM is fine-tuned, on batches in any order.
    MiniLm,
    /// MiniLM is fine-tuned, on batches of like length.
    ByLength,
    /// MPNet-base is fine-tuned, on batches of 16 in any order.
    Mpnet,
    /// As `MiniLm`, with the default preset in place of the published network, which PyTorch has.
    DefaultPreset,
    /// As `DefaultPreset`, the segments of the bias kept from the steps.
    KeptSegments,
}

/// How large the data, the batches and the text encoder are.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) segments: usize,
    pub(crate) batch: usize,
    pub(crate) encoder: BertConfig,
    /// Whether the encoder's output is cached.
    pub(crate) cached: bool,
    /// Whether the batches are of like length.
    pub(crate) by_length: bool,
    pub(crate) audio: Sequences,
    pub(crate) vision: Sequences,
    /// In what matrix products are computed.
    pub(crate) precision: Precision,
}

/// Sequences of a modality: the features of a frame, 0 where there is none, and the longest; as long as the texts where
/// that is `None`.
pub(crate) type Sequences = (usize, Option<usize>);

impl Setup {
    fn encoder(self) -> BertConfig {
        if self == Self::Mpnet {
            mpnet()
        } else {
            minilm()
        }
    }

    fn sizes(self) -> Sizes {
        Sizes {
            segments: SEGMENTS,
            batch: if self == Self::Mpnet { 16 } else { BATCH },
            encoder: self.encoder(),
            cached: self == Self::Cached,
            by_length: self == Self::ByLength,
            audio: (FEATURES, None),
            vision: (0, None),
            precision: Precision::F32,
        }
    }

    fn network(self) -> Result<MmRestConfig, String> {
        let text = match self {
            Self::DefaultPreset => "",
            Self::KeptSegments => "model.mmrest.projection.support = \"steps\"",
            _ => return Ok(MmRestConfig::default()),
        };
        let config = Config::parse(text, &[]).map_err(|error| error.to_string())?;
        match config.model {
            ModelConfig::MmRest { config } => Ok(config),
            other => Err(format!("the default model is {}", other.name())),
        }
    }
}

/// The batches of a pass over the training split.
type TrainBatches<'a> = dyn Iterator<Item = Result<Batch, ModelError>> + 'a;

/// A model and batches to train it on.
pub(crate) struct Training {
    trainer: Trainer<MmRest>,
    batches: Vec<HostBatch>,
    device: Device,
    at: usize,
    /// Epochs from one clustering of the training set to the next.
    refit_every: usize,
}

impl Training {
    pub(crate) fn new(device: &Device, setup: Setup) -> Result<Self, String> {
        Self::of(device, &setup.sizes(), &setup.network()?)
    }

    pub(crate) fn of(
        device: &Device,
        sizes: &Sizes,
        network: &MmRestConfig,
    ) -> Result<Self, String> {
        let device = device.clone().autodiff();
        let mut config = Config::default();
        let widths = Widths {
            vision: sizes.vision.0,
            audio: sizes.audio.0,
        };
        let used = |modality: &Modality| match modality {
            Modality::Text => true,
            Modality::Vision => widths.vision > 0,
            Modality::Audio => widths.audio > 0,
        };
        config.data.modalities.retain(used);
        config.text.freeze = sizes.cached;
        let encoder = sizes.encoder.init(&device);
        let bert = Some((
            encoder.with_products(sizes.precision.products()),
            &sizes.encoder,
        ));
        let task = config.task(widths, sizes.encoder.num_hidden_layers);
        let model =
            MmRest::init(network, &task, bert, &device).map_err(|error| error.to_string())?;
        let state = ClusterState {
            clusters: Some(clusters(CLUSTERS, DIM)),
            ..ClusterState::default()
        };
        let batches = batches(sizes);
        let recipe = MmRest::recipe(network, &config.train.rates());
        let refit_every = network.clusters.refit_every;
        let trainer = Trainer::new(model, state, &recipe, std::slice::from_ref(&device))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            trainer,
            batches,
            device,
            at: 0,
            refit_every,
        })
    }

    pub(crate) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// An epoch, as `train_seconds` counts it on average: of the pass that clusters the training set every few epochs, the
    /// part of one epoch; every step; the pass that an epoch ends with.
    ///
    /// # Panics
    ///
    /// As [`step`](Self::step); or the training set cannot be encoded, which it can.
    pub(crate) fn epoch(&mut self) {
        self.trainer.begin_epoch(1);
        self.pass(self.refit_every, |model, state, train| {
            model.begin_epoch(state, 1, train)
        });
        for _ in 0..self.batches() {
            self.step();
        }
        self.pass(1, |model, state, train| model.end_epoch(state, train));
    }

    /// A pass over one in so many training batches, without gradients.
    fn pass(
        &mut self,
        every: usize,
        pass: impl Fn(&MmRest, &mut ClusterState, &mut TrainBatches<'_>) -> Result<(), ModelError>,
    ) {
        let inner = self.device.clone().inner();
        let batches = self.batches.iter().step_by(every);
        let mut train = batches.map(|batch| Ok(batch.clone().upload(&inner)));
        let mut state = (*self.trainer.state()).clone();
        let passed = pass(&self.trainer.model().valid(), &mut state, &mut train);
        assert!(passed.is_ok(), "{passed:?}");
        self.trainer.set_state(state);
    }

    /// One step, as the epoch loop takes it.
    ///
    /// # Panics
    ///
    /// The step fails, which it does not on these batches.
    pub(crate) fn step(&mut self) {
        let batch = self.batches[(self.at * 7) % self.batches.len()].clone();
        self.at += 1;
        let step = self.trainer.step(vec![batch.upload(&self.device)]);
        assert!(step.is_ok_and(|step| step.skipped.is_none()));
    }
}

fn batches(sizes: &Sizes) -> Vec<HostBatch> {
    let lengths = lengths::tokens(sizes.segments, 7);
    let vocabulary = u32::try_from(sizes.encoder.vocab_size).unwrap_or(u32::MAX);
    let mut texts = lengths::texts(&lengths, 8);
    for id in texts.iter_mut().flatten() {
        *id %= vocabulary;
    }
    if sizes.by_length {
        texts.sort_by_key(Vec::len);
    }
    let longest = |of: Sequences| of.1.map(|most| lengths::frames(sizes.segments, 3, most));
    let frames = [longest(sizes.audio), longest(sizes.vision)];
    let examples: Vec<Example> = texts
        .into_iter()
        .enumerate()
        .map(|(row, tokens)| {
            let own = |of: &Option<Vec<usize>>| of.as_ref().map(|lengths| lengths[row]);
            let [audio, vision] = frames.each_ref().map(own);
            example(row, tokens, sizes, [audio, vision])
        })
        .collect();
    let size = sizes.batch;
    let whole = sizes.segments - sizes.segments % size;
    (0..whole)
        .step_by(size)
        .map(|start| {
            HostBatch::new(
                &examples[start..start + size],
                (start..start + size).collect(),
            )
        })
        .collect()
}

fn example(row: usize, tokens: Vec<u32>, sizes: &Sizes, own: [Option<usize>; 2]) -> Example {
    let words = tokens.len().saturating_sub(2).max(1);
    let seed = row as u64;
    let frames = |(width, _): Sequences, own: Option<usize>| match width {
        0 => Frames::empty(0),
        _ => Frames {
            values: lengths::noise(own.unwrap_or(words) * width, seed),
            width,
        },
    };
    Example {
        id: format!("segment[{row}]"),
        text: if sizes.cached {
            TextFeatures::First(lengths::noise(sizes.encoder.hidden_size, seed))
        } else {
            TextFeatures::Tokens(tokens)
        },
        audio: frames(sizes.audio, own[0]),
        vision: frames(sizes.vision, own[1]),
        sentences: Vec::new(),
        label: 3.0 * lengths::noise(1, seed)[0],
    }
}

/// Steps after which the memory does not grow any more.
const MEMORY_STEPS: usize = 8;

/// The hidden option that makes this program the measured process.
const MEMORY_OPTION: &str = "--peak-memory";

/// Takes some steps and says the most memory this process held, in MiB.
pub(crate) fn peak_memory(device: &Device) -> Result<f64, String> {
    let mut training = Training::new(device, Setup::ByLength)?;
    for _ in 0..MEMORY_STEPS {
        training.step();
    }
    own_peak_memory()
}

/// The most memory this process held, in MiB.
pub(crate) fn own_peak_memory() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("this system does not tell a process's memory: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| "this system does not tell a process's memory".to_owned())
}

/// Ours and, where there is another side, its, in MiB.
pub(crate) fn compare_memory(
    python: Option<&Path>,
    threads: usize,
) -> Result<(f64, Option<f64>), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let ours = measured_memory(Command::new(own).arg(MEMORY_OPTION))?;
    let theirs = match python {
        Some(python) => {
            let mut torch =
                Torch::start::<&str>(Peer::Torch, python, "step-bucketed", threads, &[])?;
            for _ in 0..MEMORY_STEPS {
                torch.round()?;
            }
            Some(torch.memory()?)
        }
        None => None,
    };
    Ok((ours, theirs))
}

/// What a process that measures its own memory says, in MiB.
pub(crate) fn measured_memory(process: &mut Command) -> Result<f64, String> {
    let output = process
        .output()
        .map_err(|error| format!("cannot start the measured process: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| {
        let message = String::from_utf8_lossy(&output.stderr);
        format!("the measured process says {:?}", message.trim())
    })
}
