//! Training steps of every model of the program on the same made-up batches, and the most memory they hold.
//!
//! The text encoder is [`encoder`], fine-tuned or frozen as the model's preset for MOSI says; texts have the lengths of
//! CMU-MOSI's, audio and vision between a tenth and all of [`FRAMES`]. A model that reads frames per token gets these.

use std::process::Command;

use burn::tensor::Device;
use mmrest_data::{Frames, Widths};
use mmrest_encoders::BertConfig;
use mmrest_learner::Config;
use mmrest_learner::train::Trainer;
use mmrest_models::{
    Example, FrameNeed, HostBatch, ModelConfig, ModelVisitor, SentimentModel, TextFeatures,
    TextNeed,
};

use crate::lengths;
use crate::timing::Rounds;
use crate::torch::Peer;
use crate::works::Once;

/// Segments of a batch, and batches of a pass.
const BATCH: usize = 32;
const BATCHES: usize = 8;
/// Features of a frame, as in the processed CMU-MOSI.
const WIDTHS: Widths = Widths {
    vision: 20,
    audio: 5,
};
/// The longest audio and vision.
const FRAMES: [usize; 2] = [150, 120];

pub(crate) const ROUNDS: Rounds = Rounds {
    least: 5,
    most: 15,
    seconds: 15.0,
};

/// What of the other side's time a step may take at most.
pub(crate) const GOAL: f64 = 0.6;

/// A BERT of four layers with the width of BERT-base.
fn encoder() -> BertConfig {
    BertConfig::small(30_522, 768, 4, 12, 3072)
}

/// The models to measure: all of them, and MCL-MCF as published, or those that the other side has.
pub(crate) fn names(against: Option<Peer>) -> Vec<&'static str> {
    let all = ModelConfig::NAMES.iter().copied();
    match against {
        Some(Peer::Mmsa) => all.filter(|name| MMSA.contains(name)).collect(),
        _ => all.chain([WITH_TENSOR]).collect(),
    }
}

/// MCL-MCF with its third level, which is off by default.
const WITH_TENSOR: &str = "mcl-mcf-tensor";

/// The models that MMSA has.
const MMSA: [&str; 7] = ["tfn", "lmf", "mult", "misa", "self-mm", "mag-bert", "mmim"];

/// Sets up the training steps of a model: each call takes one.
pub(crate) fn step(device: &Device, name: &str) -> Result<Once, String> {
    let (name, more) = match name {
        WITH_TENSOR => ("mcl-mcf", "[model.mcl-mcf]\ntensor = true\n"),
        name => (name, ""),
    };
    let model = ModelConfig::default_of(name).ok_or_else(|| format!("no model {name:?}"))?;
    let presets = model.presets();
    let preset = presets.iter().find(|(name, _)| *name == "mosi");
    let preset = preset.or(presets.first()).map_or("", |(name, _)| name);
    let text = format!(
        "preset = {preset:?}\n[model]\nname = {name:?}\n[data]\nfile = \"none\"\nkind = \"mmsa\"\n{more}"
    );
    let config = Config::parse(&text, &[]).map_err(|error| error.to_string())?;
    config.model.clone().visit(SetUp {
        config: &config,
        device,
    })
}

struct SetUp<'a> {
    config: &'a Config,
    device: &'a Device,
}

impl ModelVisitor for SetUp<'_> {
    type Output = Result<Once, String>;

    fn visit<M: SentimentModel>(self, model: &M::Config) -> Self::Output {
        let device = self.device.clone().autodiff();
        let text = encoder();
        let task = self.config.task(WIDTHS, text.num_hidden_layers);
        let encoder = Some((text.init(&device), &text));
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let network = M::init(model, &task, encoder, &device).map_err(|e| failed(&e))?;
        let batches = batches(self.config, &text, task.lower_layers);
        let labels: Vec<f32> = (0..BATCH * BATCHES).map(label).collect();
        let mut state = M::init_state(model, &task, &labels);
        let inner = self.device.clone();
        let mut train = batches.iter().map(|batch| Ok(batch.clone().upload(&inner)));
        network
            .valid()
            .begin_epoch(&mut state, 1, &mut train)
            .map_err(|e| failed(&e))?;
        let recipe = self.config.train.recipe::<M>(model);
        let passes = recipe.passes.len();
        let mut trainer = Trainer::new(network, state, &recipe, std::slice::from_ref(&device))
            .map_err(|e| failed(&e))?;
        let mut at = 0;
        Ok(Box::new(move || {
            if at % BATCHES == 0 {
                let pass = at / BATCHES;
                trainer.begin_pass(2 + pass / passes, pass % passes);
            }
            let batch = batches[at % BATCHES].clone().upload(&device);
            at += 1;
            let step = trainer.step(vec![batch]);
            assert!(step.is_ok_and(|step| step.skipped.is_none()));
        }))
    }
}

fn label(row: usize) -> f32 {
    3.0 * lengths::noise(1, row as u64)[0]
}

fn batches(config: &Config, text: &BertConfig, lower_layers: usize) -> Vec<HostBatch> {
    let needs = config.model.needs();
    let tokens = lengths::tokens(BATCH * BATCHES, 7);
    let [audio, vision] = FRAMES.map(|longest| lengths::frames(BATCH * BATCHES, 3, longest));
    let hidden = text.hidden_size;
    let example = |row: usize, ids: Vec<u32>| {
        let seed = row as u64;
        let per_token = needs.frames == FrameNeed::PerToken;
        let frames = |own: usize, width: usize| Frames {
            values: lengths::noise(if per_token { ids.len() } else { own } * width, seed),
            width,
        };
        let states = |rows: usize| lengths::noise(rows * hidden, seed);
        let (audio, vision) = (
            frames(audio[row], WIDTHS.audio),
            frames(vision[row], WIDTHS.vision),
        );
        let features = match needs.text {
            TextNeed::TokenIds => TextFeatures::Tokens(ids),
            _ if lower_layers == 0 => TextFeatures::Tokens(ids),
            TextNeed::FirstToken if lower_layers == text.num_hidden_layers => {
                TextFeatures::First(states(1))
            }
            _ => TextFeatures::Hidden(Frames {
                values: states(ids.len()),
                width: hidden,
            }),
        };
        Example {
            id: format!("segment[{row}]"),
            text: features,
            vision,
            audio,
            sentences: Vec::new(),
            label: label(row),
        }
    };
    let texts = lengths::texts(&tokens, 8).into_iter().enumerate();
    let examples: Vec<Example> = texts.map(|(row, ids)| example(row, ids)).collect();
    let numbered: Vec<usize> = (0..examples.len()).collect();
    let chunks = examples.chunks(BATCH).zip(numbered.chunks(BATCH));
    chunks
        .map(|(examples, rows)| HostBatch::new(examples, rows.to_vec()))
        .collect()
}

/// Steps after which the memory does not grow any more.
const MEMORY_STEPS: usize = 3;

/// The hidden option that makes this program the measured process.
const MEMORY_OPTION: &str = "--peak-memory-of";

/// Takes some steps of a model and says the most memory this process held, in MiB.
pub(crate) fn peak_memory(device: &Device, name: &str) -> Result<f64, String> {
    let mut step = step(device, name)?;
    (0..MEMORY_STEPS).for_each(|_| step());
    crate::training::own_peak_memory()
}

/// The most memory that the steps of a model hold, in a process of their own, in MiB.
pub(crate) fn memory(name: &str) -> Result<f64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut measured = Command::new(own);
    crate::training::measured_memory(measured.args([MEMORY_OPTION, name]))
}
