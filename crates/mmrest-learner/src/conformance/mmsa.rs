//! TFN, LMF, MulT and MISA: files of several cases (`a`, `b`, ...), measured on MMSA.
//!
//! Case `t` is a training loop.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use mmrest_models::{
    FrameLengths, Lmf, LmfConfig, MeanOver, Misa, MisaConfig, Mode, ModelOutput, Mult, MultConfig,
    Padding, Rates, SentimentModel, StepAt, SubnetOutput, SubnetState, Task, TextLstm, Tfn,
    TfnConfig,
};
use serde::Deserialize;

use super::Folders;
use super::published::{
    Case, TRAIN, Training, all_tokens, batch, encoded, full_batch, labels, load_at, load_state_at,
    part, rates, sequences, task, weights, weights_after,
};
use super::tensors::{Inputs, Results};
use crate::error::LearnerError;
use crate::train::Trainer;

// TFN and LMF.

#[derive(Deserialize)]
struct SubnetCase {
    config: SubnetSizes,
    #[serde(default)]
    text_lengths: Vec<usize>,
    #[serde(default)]
    audio_lengths: Vec<usize>,
    #[serde(default)]
    vision_lengths: Vec<usize>,
}

#[derive(Deserialize)]
struct SubnetSizes {
    feature_dims: [usize; 3],
    hidden_dims: [usize; 3],
    #[serde(default)]
    text_out: usize,
    #[serde(default)]
    post_fusion_dim: usize,
    #[serde(default)]
    rank: usize,
    #[serde(default)]
    learning_rate: f64,
    #[serde(default)]
    factor_lr: f64,
    #[serde(default)]
    weight_decay: f64,
}

/// What differs between TFN and LMF; lengths are those of padded text, audio and vision.
trait SubnetSystem: SentimentModel<State = SubnetState, Output = SubnetOutput> {
    const FILE: &'static str;

    /// As the published code: through the padding of texts of this length.
    fn published(sizes: &SubnetSizes, text: usize) -> Self::Config;

    /// The same with each text cut at its own length, and the published mean over padded frames.
    fn at_length(config: Self::Config, lengths: [usize; 3]) -> Self::Config;

    /// Takes the text encoder, which has done its work, out of the model.
    fn without_text(self) -> Self;
}

impl SubnetSystem for Tfn {
    const FILE: &'static str = "tfn.safetensors";

    fn published(sizes: &SubnetSizes, text: usize) -> TfnConfig {
        let [text_hidden, audio_hidden, vision_hidden] = sizes.hidden_dims;
        TfnConfig {
            text_hidden,
            audio_hidden,
            vision_hidden,
            text_out: sizes.text_out,
            post_fusion_dim: sizes.post_fusion_dim,
            audio_dropout: 0.0,
            vision_dropout: 0.0,
            post_fusion_dropout: 0.0,
            padded_text: text,
            text_lstm: TextLstm::Padded,
            ..TfnConfig::default()
        }
    }

    fn at_length(config: TfnConfig, [_, audio, vision]: [usize; 3]) -> TfnConfig {
        TfnConfig {
            text_lstm: TextLstm::OwnLength,
            mean_over: MeanOver::Padded,
            padded_audio: audio,
            padded_vision: vision,
            ..config
        }
    }

    fn without_text(mut self) -> Self {
        self.bert = None;
        self
    }
}

impl SubnetSystem for Lmf {
    const FILE: &'static str = "lmf.safetensors";

    fn published(sizes: &SubnetSizes, text: usize) -> LmfConfig {
        let [text_hidden, audio_hidden, vision_hidden] = sizes.hidden_dims;
        LmfConfig {
            text_hidden,
            audio_hidden,
            vision_hidden,
            rank: sizes.rank,
            audio_dropout: 0.0,
            vision_dropout: 0.0,
            factor_learning_rate: sizes.factor_lr,
            padded_text: text,
            text_lstm: TextLstm::Padded,
            train_rank_weights: false,
            ..LmfConfig::default()
        }
    }

    fn at_length(config: LmfConfig, [_, audio, vision]: [usize; 3]) -> LmfConfig {
        LmfConfig {
            text_lstm: TextLstm::OwnLength,
            mean_over: MeanOver::Padded,
            padded_audio: audio,
            padded_vision: vision,
            ..config
        }
    }

    fn without_text(mut self) -> Self {
        self.bert = None;
        self
    }
}

pub(super) fn tfn(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    subnets::<Tfn>(folders, device)
}

pub(super) fn lmf(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    subnets::<Lmf>(folders, device)
}

fn subnets<M: SubnetSystem>(
    folders: &Folders<'_>,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, M::FILE)?;
    let mut results = Results::default();
    for name in ["a", "b", "c"] {
        subnet_case::<M>(&inputs, &mut results, name, device)?;
    }
    let SubnetCase { config: sizes, .. } = inputs.about("t")?;
    let [_, time, _] = inputs.dims("t/train/text")?;
    let config = M::published(&sizes, time);
    let device = device.clone().autodiff();
    let model = subnet_model::<M>(&config, &sizes, &device)?;
    let model = load_at(&inputs, model, "t/w0/")?;
    let task = subnet_task(&sizes);
    let mut state = M::init_state(&config, &task, &[]);
    load_state_at::<M>(&inputs, &mut state, "t/w0/")?;
    let rates = Rates {
        weight_decay: sizes.weight_decay,
        ..rates(sizes.learning_rate)
    };
    let recipe = M::recipe(&config, &rates);
    let take = |inputs: &Inputs, split: &str, rows: &[usize], device: &Device| {
        full_batch("text", inputs, split, rows, device)
    };
    let mut after = |epoch: usize, trainer: &Trainer<M>, results: &mut Results| {
        let prefix = format!("t/w{epoch}/");
        statistics(results, &trainer.state(), &prefix);
        weights(results, &trainer.model(), &prefix)
    };
    let training = Training {
        inputs: &inputs,
        results: &mut results,
        device,
    };
    training.run(model, state, &recipe, &take, &mut after)?;
    results.write(folders, M::FILE)
}

fn subnet_task(sizes: &SubnetSizes) -> Task {
    let [_, audio, vision] = sizes.feature_dims;
    task(audio, vision, 3.0)
}

fn subnet_model<M: SubnetSystem>(
    config: &M::Config,
    sizes: &SubnetSizes,
    device: &Device,
) -> Result<M, LearnerError> {
    let model: M = encoded(config, &subnet_task(sizes), sizes.feature_dims[0], device)?;
    Ok(model.without_text())
}

/// Adds running statistics by their published names.
fn statistics(results: &mut Results, state: &SubnetState, prefix: &str) {
    for (part, running) in [("audio", &state.audio), ("video", &state.vision)] {
        let own = [("mean", &running.mean), ("var", &running.variance)];
        for (name, values) in own {
            let name = format!("{prefix}{part}_subnet.norm.running_{name}");
            results.floats(&name, &[values.len()], values);
        }
    }
}

fn subnet_case<M: SubnetSystem>(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let mut case = Case::new(inputs, results, Some(name), device);
    let about: SubnetCase = case.about()?;
    let [text, audio, vision] = case.inputs(["text", "audio", "vision"])?;
    let config = M::published(&about.config, text.dims()[1]);
    let model = case.load(subnet_model::<M>(&config, &about.config, &case.device)?)?;
    let mut state = M::init_state(&config, &subnet_task(&about.config), &[]);
    case.load_state::<M>(&mut state)?;
    let labels = case.labels("label")?;
    let given = batch(
        all_tokens(&sequences(&text, None)),
        sequences(&audio, None),
        sequences(&vision, None),
        labels.clone(),
    );
    // The one case in training mode tells what the batch's statistics do.
    let training = name == "c";
    let mode = if training { TRAIN } else { Mode::Evaluate };
    let mut output = model.forward(&given, &state, mode)?;
    for (part, tensor) in [
        ("text_h", &output.text),
        ("audio_h", &output.audio),
        ("vision_h", &output.vision),
        ("fusion", &output.fusion),
        ("prediction", &output.prediction),
    ] {
        case.output(part, tensor.clone())?;
    }
    let loss = model.loss(&given, &mut output, &state, mode)?;
    model.observe(&given, &output, &mut state, StepAt::new(1, 1))?;
    if training {
        case.finish(&model, &loss.total)?;
        statistics(results, &state, "c/out/after/");
        return Ok(());
    }
    let frames = [
        case.constant("audio_frames")?,
        case.constant("vision_frames")?,
    ];
    let [audio, vision] = &frames;
    let lengths = [text.dims()[1], audio.dims()[1], vision.dims()[1]];
    let config = M::at_length(config, lengths);
    let at_length = case.load(subnet_model::<M>(&config, &about.config, &case.device)?)?;
    let given = batch(
        all_tokens(&sequences(&text, Some(&about.text_lengths))),
        sequences(audio, Some(&about.audio_lengths)),
        sequences(vision, Some(&about.vision_lengths)),
        labels,
    );
    let output = at_length.forward(&given, &state, Mode::Evaluate)?;
    case.output("prediction_text_at_length", output.prediction())?;
    case.finish(&model, &loss.total)
}

// MulT.

/// The files of MulT's cases.
pub(super) const MULT: [&str; 2] = ["mult.safetensors", "mult_more.safetensors"];

#[derive(Deserialize)]
struct MultCase {
    config: MultSizes,
    #[serde(default)]
    positions: bool,
    #[serde(default)]
    text_lengths: Vec<usize>,
    #[serde(default)]
    audio_lengths: Vec<usize>,
    #[serde(default)]
    vision_lengths: Vec<usize>,
}

#[derive(Deserialize)]
struct MultSizes {
    feature_dims: [usize; 3],
    dst_feature_dim_nheads: [usize; 2],
    nlevels: usize,
    conv1d_kernel_size_l: usize,
    conv1d_kernel_size_a: usize,
    conv1d_kernel_size_v: usize,
    attn_mask: bool,
    #[serde(default)]
    learning_rate: f64,
    #[serde(default)]
    update_epochs: usize,
    #[serde(default)]
    grad_clip: f64,
}

impl MultCase {
    /// The published code on sequences of these lengths of text, audio and vision.
    fn config(&self, [padded_text, padded_audio, padded_vision]: [usize; 3]) -> MultConfig {
        let [width, heads] = self.config.dst_feature_dim_nheads;
        MultConfig {
            width,
            heads,
            layers: self.config.nlevels,
            text_kernel: self.config.conv1d_kernel_size_l,
            audio_kernel: self.config.conv1d_kernel_size_a,
            vision_kernel: self.config.conv1d_kernel_size_v,
            causal: self.config.attn_mask,
            positions: self.positions,
            padding: Padding::Published,
            padded_text,
            padded_audio,
            padded_vision,
            accumulate: self.config.update_epochs.max(1),
            flush_rest: false,
            attention_dropout: 0.0,
            audio_attention_dropout: 0.0,
            vision_attention_dropout: 0.0,
            relu_dropout: 0.0,
            embed_dropout: 0.0,
            residual_dropout: 0.0,
            output_dropout: 0.0,
            text_dropout: 0.0,
            ..MultConfig::default()
        }
    }

    fn model(&self, config: &MultConfig, device: &Device) -> Result<Mult, LearnerError> {
        let [text, audio, vision] = self.config.feature_dims;
        let mut model: Mult = encoded(config, &task(audio, vision, 3.0), text, device)?;
        model.bert = None;
        Ok(model)
    }
}

pub(super) fn mult(
    folders: &Folders<'_>,
    file: &str,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, file)?;
    let mut results = Results::default();
    if file == MULT[0] {
        for name in ["a", "b"] {
            mult_case(&inputs, &mut results, name, device)?;
        }
        return results.write(folders, file);
    }
    for name in ["c", "d"] {
        mult_case(&inputs, &mut results, name, device)?;
    }
    let about: MultCase = inputs.about("t")?;
    let time = |what: &str| -> Result<usize, LearnerError> {
        let [_, time, _] = inputs.dims(&format!("t/train/{what}"))?;
        Ok(time)
    };
    let config = about.config([time("text")?, time("audio")?, time("vision")?]);
    let device = device.clone().autodiff();
    let model = load_at(&inputs, about.model(&config, &device)?, "t/w0/")?;
    let rates = Rates {
        max_grad_value: about.config.grad_clip,
        ..rates(about.config.learning_rate)
    };
    let recipe = Mult::recipe(&config, &rates);
    let take = |inputs: &Inputs, split: &str, rows: &[usize], device: &Device| {
        full_batch("text", inputs, split, rows, device)
    };
    let training = Training {
        inputs: &inputs,
        results: &mut results,
        device,
    };
    training.run(model, (), &recipe, &take, &mut weights_after)?;
    results.write(folders, file)
}

fn mult_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let mut case = Case::new(inputs, results, Some(name), device);
    let about: MultCase = case.about()?;
    let [text, audio, vision] = case.inputs(["text", "audio", "vision"])?;
    let time = [&text, &audio, &vision].map(|values| values.dims()[1]);
    let config = about.config(time);
    let model = case.load(about.model(&config, &case.device)?)?;
    let labels = case.labels("label")?;
    let segments = labels.len();
    let audio = sequences(&audio, Some(&about.audio_lengths));
    let vision = sequences(&vision, Some(&about.vision_lengths));
    let at_length = all_tokens(&sequences(&text, Some(&about.text_lengths)));
    // Padding is read, and has gradients; with positions, lengths tell what has one.
    let read = if about.positions {
        at_length.clone()
    } else {
        all_tokens(&sequences(&text, None))
    };
    let given = batch(read, audio.clone(), vision.clone(), labels.clone());
    let mut output = model.forward(&given, &(), TRAIN)?;
    let time_first = |rows: Tensor<2>| {
        let [count, width] = rows.dims();
        let rows = rows.reshape([segments, count / segments, width]);
        rows.swap_dims(0, 1)
    };
    let crossed = ["l_with_a", "a_with_l", "v_with_a"];
    for (what, rows) in crossed.iter().zip(output.crossed.clone()) {
        case.output(&format!("trans_{what}"), time_first(rows))?;
    }
    case.output("trans_l_mem", time_first(output.memories[0].clone()))?;
    for (modality, last) in ["l", "a", "v"].iter().zip(output.last.clone()) {
        case.output(&format!("last_{modality}"), last)?;
    }
    case.output("prediction", output.prediction.clone())?;
    let loss = model.loss(&given, &mut output, &(), TRAIN)?;
    // Every segment alone, without padding.
    let alone = MultConfig {
        padding: Padding::Masked,
        ..config
    };
    let alone = case.load(about.model(&alone, &case.device)?)?;
    let given = batch(at_length, audio, vision, labels);
    let output = alone.forward(&given, &(), Mode::Evaluate)?;
    case.output("prediction_alone_at_length", output.prediction())?;
    case.finish(&model, &loss.total)
}

// MISA.

#[derive(Deserialize)]
struct MisaCase {
    config: MisaSizes,
    feed_forward: Option<usize>,
    #[serde(default)]
    text_lengths: Vec<usize>,
    audio_lengths: Option<Vec<usize>>,
    vision_lengths: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct MisaSizes {
    feature_dims: [usize; 3],
    hidden_size: usize,
    diff_weight: f64,
    sim_weight: f64,
    recon_weight: f64,
    #[serde(default)]
    learning_rate: f64,
    #[serde(default)]
    update_epochs: usize,
    #[serde(default)]
    grad_clip: f64,
}

impl MisaCase {
    /// The configuration and a model of it; frames have lengths of their own, or the text's.
    fn model(&self, own: bool, device: &Device) -> Result<(MisaConfig, Misa), LearnerError> {
        let sizes = &self.config;
        let config = MisaConfig {
            hidden: sizes.hidden_size,
            feed_forward: self.feed_forward.unwrap_or(2048),
            dropout: 0.0,
            fusion_dropout: 0.0,
            diff_weight: sizes.diff_weight,
            sim_weight: sizes.sim_weight,
            recon_weight: sizes.recon_weight,
            lengths: if own {
                FrameLengths::Own
            } else {
                FrameLengths::Text
            },
            accumulate: sizes.update_epochs.max(1),
            flush_rest: false,
            ..MisaConfig::default()
        };
        let [text, audio, vision] = sizes.feature_dims;
        let mut model: Misa = encoded(&config, &task(audio, vision, 3.0), text, device)?;
        model.bert = None;
        Ok((config, model))
    }
}

/// The file of MISA's cases.
const MISA: &str = "misa.safetensors";

pub(super) fn misa(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, MISA)?;
    let mut results = Results::default();
    for name in ["a", "b", "c"] {
        misa_case(&inputs, &mut results, name, device)?;
    }
    let about: MisaCase = inputs.about("t")?;
    let device = device.clone().autodiff();
    let (config, model) = about.model(false, &device)?;
    let model = load_at(&inputs, model, "t/w0/")?;
    let rates = Rates {
        max_grad_value: about.config.grad_clip,
        ..rates(about.config.learning_rate)
    };
    let recipe = Misa::recipe(&config, &rates);
    let take = |inputs: &Inputs, split: &str, rows: &[usize], device: &Device| {
        let mask: Tensor<2> = part(inputs, split, "mask", rows, device)?;
        let lengths = crate::error::to_host(mask.sum_dim(1))?;
        let lengths: Vec<usize> = lengths.iter().map(|&length| length as usize).collect();
        let of = |name: &str| -> Result<_, LearnerError> {
            let values = part(inputs, split, name, rows, device)?;
            Ok(sequences(&values, Some(&lengths)))
        };
        let labels = labels(inputs, split, rows)?;
        Ok(batch(
            all_tokens(&of("bert")?),
            of("audio")?,
            of("vision")?,
            labels,
        ))
    };
    let training = Training {
        inputs: &inputs,
        results: &mut results,
        device,
    };
    training.run(model, (), &recipe, &take, &mut weights_after)?;
    results.write(folders, MISA)
}

fn misa_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let mut case = Case::new(inputs, results, Some(name), device);
    let about: MisaCase = case.about()?;
    let [text, audio, vision] = case.inputs(["bert", "audio", "vision"])?;
    let (_, model) = about.model(about.audio_lengths.is_some(), &case.device)?;
    let model = case.load(model)?;
    let of_text = &about.text_lengths;
    let given = batch(
        all_tokens(&sequences(&text, Some(of_text))),
        sequences(
            &audio,
            Some(about.audio_lengths.as_ref().unwrap_or(of_text)),
        ),
        sequences(
            &vision,
            Some(about.vision_lengths.as_ref().unwrap_or(of_text)),
        ),
        case.labels("label")?,
    );
    let mut output = model.forward(&given, &(), TRAIN)?;
    let parts = [
        ("", "_orig", output.originals.clone()),
        ("private_", "", output.private.clone()),
        ("shared_", "", output.shared.clone()),
        ("", "_recon", output.reconstructed.clone()),
    ];
    for (before, behind, tensors) in parts {
        for (modality, tensor) in ["t", "v", "a"].iter().zip(tensors) {
            case.output(&format!("utt_{before}{modality}{behind}"), tensor)?;
        }
    }
    case.output("prediction", output.prediction.clone())?;
    let loss = model.loss(&given, &mut output, &(), TRAIN)?;
    for (part, tensor) in Misa::LOSSES.iter().zip(&loss.parts) {
        if let Some(tensor) = tensor {
            case.loss(part, tensor.clone())?;
        }
    }
    case.finish(&model, &loss.total)
}
