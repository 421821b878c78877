//! TFN, LMF, MulT, MISA, Self-MM and MAG-BERT: files of several cases (`a`, `b`, ...), measured on MMSA.
//!
//! Case `t` is a training loop; Self-MM's `l` and `k` are the moving of its labels alone.

use std::path::PathBuf;

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use mmrest_encoders::{Bert, BertConfig, PackedTokens};
use mmrest_models::{
    Batch, Distance, FrameLengths, LabelMemory, LabelState, Lmf, LmfConfig, Loss, MagBert,
    MagBertConfig, MagLoss, MeanOver, Misa, MisaConfig, Mode, ModelError, ModelOutput, Mult,
    MultConfig, Needs, Padding, Rates, Recipe, SelfMm, SelfMmConfig, SelfMmOutput, SentimentModel,
    StepAt, SubnetOutput, SubnetState, Task, TextBatch, TextLstm, Tfn, TfnConfig,
};
use serde::Deserialize;

use super::Folders;
use super::published::{
    Case, TRAIN, Training, all_tokens, batch, encoded, first_tokens, full_batch, labels, load_at,
    load_state_at, part, rates, sequences, task, weights,
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
    let [text, audio, vision] = [
        case.input("text")?,
        case.input("audio")?,
        case.input("vision")?,
    ];
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
    training.run(model, (), &recipe, &take, &mut |epoch, trainer, results| {
        weights(results, &trainer.model(), &format!("t/w{epoch}/"))
    })?;
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
    let [text, audio, vision] = [
        case.input("text")?,
        case.input("audio")?,
        case.input("vision")?,
    ];
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
    training.run(model, (), &recipe, &take, &mut |epoch, trainer, results| {
        weights(results, &trainer.model(), &format!("t/w{epoch}/"))
    })?;
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
    let [text, audio, vision] = [
        case.input("bert")?,
        case.input("audio")?,
        case.input("vision")?,
    ];
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

// MAG-BERT.

#[derive(Deserialize)]
struct MagCase {
    config: MagSizes,
}

#[derive(Deserialize)]
struct MagSizes {
    feature_dims: [usize; 3],
    beta_shift: f64,
    bert: MagText,
    #[serde(default)]
    learning_rate: f64,
}

#[derive(Deserialize)]
struct MagText {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
}

impl MagSizes {
    fn model(
        &self,
        loss: MagLoss,
        device: &Device,
    ) -> Result<(MagBertConfig, MagBert), LearnerError> {
        let sizes = &self.bert;
        let mut text = BertConfig::small(
            sizes.vocab_size,
            sizes.hidden_size,
            sizes.num_hidden_layers,
            sizes.num_attention_heads,
            sizes.intermediate_size,
        );
        text.max_position_embeddings = sizes.max_position_embeddings;
        text.hidden_dropout_prob = 0.0;
        text.attention_probs_dropout_prob = 0.0;
        let config = MagBertConfig {
            beta: self.beta_shift,
            loss,
            gate_dropout: 0.0,
            dropout: 0.0,
            ..MagBertConfig::default()
        };
        let [_, audio, vision] = self.feature_dims;
        let task = task(audio, vision, 3.0);
        let encoder = Some((text.init(device), &text));
        let model = MagBert::init(&config, &task, encoder, device)?;
        Ok((config, model))
    }
}

/// The file of MAG-BERT's cases.
const MAG_BERT: &str = "mag_bert.safetensors";

pub(super) fn mag_bert(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, MAG_BERT)?;
    let mut results = Results::default();
    for name in ["a", "b"] {
        mag_case(&inputs, &mut results, name, device)?;
    }
    let MagCase { config: sizes } = inputs.about("t")?;
    let device = device.clone().autodiff();
    let (config, model) = sizes.model(MagLoss::L1, &device)?;
    let model = load_at(&inputs, model, "t/w0/")?;
    let recipe = MagBert::recipe(&config, &rates(sizes.learning_rate));
    let take = |inputs: &Inputs, split: &str, rows: &[usize], device: &Device| {
        let ids = ids(inputs, &format!("t/{split}"))?;
        let ids: Vec<Vec<u32>> = rows.iter().map(|&row| ids[row].clone()).collect();
        let frames = ["audio", "vision"].map(|name| part(inputs, split, name, rows, device));
        let [audio, vision] = frames;
        Ok(of_tokens(
            &ids,
            &audio?,
            &vision?,
            labels(inputs, split, rows)?,
        ))
    };
    let training = Training {
        inputs: &inputs,
        results: &mut results,
        device,
    };
    training.run(model, (), &recipe, &take, &mut |epoch, trainer, results| {
        weights(results, &trainer.model(), &format!("t/w{epoch}/"))
    })?;
    results.write(folders, MAG_BERT)
}

/// Token ids without their padding.
fn ids(inputs: &Inputs, at: &str) -> Result<Vec<Vec<u32>>, LearnerError> {
    let [count, time] = inputs.dims(&format!("{at}/ids"))?;
    let ids = inputs.list(&format!("{at}/ids"))?;
    let mask = inputs.floats(&format!("{at}/mask"), [count, time])?;
    let rows = ids.chunks(time).zip(mask.chunks(time));
    let row = |(ids, mask): (&[usize], &[f32])| {
        let real = ids.iter().zip(mask).filter(|(_, mask)| **mask == 1.0);
        real.map(|(&id, _)| u32::try_from(id).unwrap_or(u32::MAX))
            .collect()
    };
    Ok(rows.map(row).collect())
}

/// A batch of tokens with a frame each.
fn of_tokens(ids: &[Vec<u32>], audio: &Tensor<3>, vision: &Tensor<3>, labels: Vec<f32>) -> Batch {
    let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
    batch(
        TextBatch::Tokens(PackedTokens::from_sequences(ids)),
        sequences(audio, Some(&lengths)),
        sequences(vision, Some(&lengths)),
        labels,
    )
}

fn mag_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let mut case = Case::new(inputs, results, Some(name), device);
    let MagCase { config: sizes } = case.about()?;
    let model = |loss| -> Result<MagBert, LearnerError> {
        let (_, model) = sizes.model(loss, &case.device)?;
        case.load(model)
    };
    let (absolute, squared) = (model(MagLoss::L1)?, model(MagLoss::Mse)?);
    let ids = ids(inputs, &format!("{name}/in"))?;
    let labels = case.labels("label")?;
    let (audio, vision) = (case.input("audio")?, case.input("vision")?);
    let given = of_tokens(&ids, &audio, &vision, labels);
    let mut output = absolute.forward(&given, &(), TRAIN)?;
    let offsets = PackedTokens::from_sequences(&ids).offsets;
    let all = absolute
        .bert
        .layers(output.gated.clone(), &offsets, 0..absolute.bert.depth());
    let time = audio.dims()[1];
    for (what, states) in [
        ("embedding", output.embedding.clone()),
        ("gated", output.gated.clone()),
        ("last_hidden", all),
    ] {
        let offsets = offsets.clone();
        let padded = mmrest_models::PackedStates { states, offsets }.padded(Some(time));
        case.output(what, padded.values)?;
    }
    case.output("pooled", output.pooled.clone())?;
    case.output("prediction", output.prediction.clone())?;
    let mse = squared.loss(&given, &mut output, &(), TRAIN)?;
    case.loss("mean_squared_error", mse.total)?;
    let loss = absolute.loss(&given, &mut output, &(), TRAIN)?;
    case.finish(&absolute, &loss.total)
}

// Self-MM.

/// M, in the order of the model's arrays.
const TARGETS: [&str; 4] = ["fusion", "text", "audio", "vision"];

#[derive(Deserialize)]
struct SelfMmCase {
    config: SelfMmSizes,
    #[serde(default)]
    audio_lengths: Vec<usize>,
    #[serde(default)]
    vision_lengths: Vec<usize>,
    #[serde(default)]
    batch_sizes: Vec<usize>,
    #[serde(default)]
    epochs: usize,
}

#[derive(Deserialize)]
struct SelfMmSizes {
    feature_dims: [usize; 3],
    a_lstm_hidden_size: usize,
    v_lstm_hidden_size: usize,
    audio_out: usize,
    video_out: usize,
    post_fusion_dim: usize,
    post_text_dim: usize,
    post_audio_dim: usize,
    post_video_dim: usize,
    #[serde(rename = "H")]
    scale: f32,
    #[serde(rename = "excludeZero")]
    exclude_zero: bool,
    #[serde(default)]
    update_epochs: usize,
    #[serde(default)]
    learning_rate_bert: f64,
    #[serde(default)]
    learning_rate_audio: f64,
    #[serde(default)]
    learning_rate_video: f64,
    #[serde(default)]
    learning_rate_other: f64,
    #[serde(default)]
    weight_decay_bert: f64,
    #[serde(default)]
    weight_decay_audio: f64,
    #[serde(default)]
    weight_decay_video: f64,
    #[serde(default)]
    weight_decay_other: f64,
}

impl SelfMmSizes {
    fn config(&self) -> SelfMmConfig {
        SelfMmConfig {
            audio_lstm_hidden: self.a_lstm_hidden_size,
            vision_lstm_hidden: self.v_lstm_hidden_size,
            audio_out: self.audio_out,
            vision_out: self.video_out,
            audio_lstm_dropout: 0.0,
            vision_lstm_dropout: 0.0,
            post_fusion_dim: self.post_fusion_dim,
            post_text_dim: self.post_text_dim,
            post_audio_dim: self.post_audio_dim,
            post_vision_dim: self.post_video_dim,
            post_fusion_dropout: 0.0,
            post_text_dropout: 0.0,
            post_audio_dropout: 0.0,
            post_vision_dropout: 0.0,
            distance: Distance::Norm,
            exclude_zero: self.exclude_zero,
            accumulate: self.update_epochs.max(1),
            flush_rest: false,
            audio_learning_rate: self.learning_rate_audio,
            vision_learning_rate: self.learning_rate_video,
            text_weight_decay: self.weight_decay_bert,
            audio_weight_decay: self.weight_decay_audio,
            vision_weight_decay: self.weight_decay_video,
        }
    }

    fn task(&self) -> Task {
        let [_, audio, vision] = self.feature_dims;
        task(audio, vision, self.scale)
    }

    fn model(&self, device: &Device) -> Result<SelfMm, LearnerError> {
        let mut model: SelfMm =
            encoded(&self.config(), &self.task(), self.feature_dims[0], device)?;
        model.bert = None;
        Ok(model)
    }
}

/// The file of Self-MM's cases.
const SELF_MM: &str = "self_mm.safetensors";

pub(super) fn self_mm(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, SELF_MM)?;
    let mut results = Results::default();
    for name in ["a", "b"] {
        self_mm_case(&inputs, &mut results, name, device)?;
    }
    for name in ["l", "k"] {
        label_case(&inputs, &mut results, name, device)?;
    }
    self_mm_training(&inputs, &mut results, device)?;
    results.write(folders, SELF_MM)
}

fn memories(state: &mut LabelState) -> [&mut LabelMemory; 4] {
    [
        &mut state.fusion,
        &mut state.text,
        &mut state.audio,
        &mut state.vision,
    ]
}

fn self_mm_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let mut case = Case::new(inputs, results, Some(name), device);
    let about: SelfMmCase = case.about()?;
    let model = case.load(about.config.model(&case.device)?)?;
    let [text, audio, vision] = [
        case.input("bert")?,
        case.input("audio")?,
        case.input("vision")?,
    ];
    let truth = case.labels("label_fusion")?;
    let mut state = SelfMm::init_state(&about.config.config(), &about.config.task(), &truth);
    for (target, memory) in TARGETS.iter().zip(memories(&mut state)) {
        memory.labels = case.labels(&format!("label_{target}"))?;
    }
    let given = batch(
        first_tokens(&text),
        sequences(&audio, Some(&about.audio_lengths)),
        sequences(&vision, Some(&about.vision_lengths)),
        truth,
    );
    let mut output = model.forward(&given, &state, TRAIN)?;
    for (at, target) in TARGETS.iter().enumerate() {
        case.output(&format!("feature_{target}"), output.features[at].clone())?;
        case.output(
            &format!("prediction_{target}"),
            output.predictions[at].clone(),
        )?;
    }
    let loss = model.loss(&given, &mut output, &state, TRAIN)?;
    for (target, part) in TARGETS.iter().zip(&loss.parts) {
        if let Some(part) = part {
            case.loss(target, part.clone())?;
        }
    }
    case.finish(&model, &loss.total)
}

/// Labels and centres after every batch, from given features.
fn label_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let about: SelfMmCase = inputs.about(name)?;
    let model = about.config.model(device)?;
    let labels = inputs.values(&format!("{name}/in/label"))?;
    let mut state = SelfMm::init_state(&about.config.config(), &about.config.task(), &labels);
    for epoch in 1..=about.epochs {
        let order = inputs.list(&format!("{name}/in/order_{epoch}"))?;
        let mut rest = order.into_iter();
        for (batch, size) in (1..).zip(&about.batch_sizes) {
            let rows: Vec<usize> = rest.by_ref().take(*size).collect();
            let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let index = Tensor::from_data(index.as_slice(), device);
            let features = TARGETS.map(|target| {
                let name = format!("{name}/in/features_{target}_{epoch}");
                inputs
                    .any::<2>(&name, device)
                    .map(|all| all.select(0, index.clone()))
            });
            let [fusion, text, audio, vision] = features;
            let output = of_features([fusion?, text?, audio?, vision?]);
            let given = Batch {
                text: None,
                audio: None,
                vision: None,
                sentences: Vec::new(),
                labels: vec![0.0; rows.len()],
                rows,
                part: None,
            };
            model.observe(&given, &output, &mut state, StepAt::new(epoch, 1))?;
            add_labels(
                results,
                &format!("{name}/after_{epoch}_{batch}"),
                &mut state,
            );
        }
    }
    for (target, memory) in TARGETS.iter().zip(memories(&mut state)) {
        let name = format!("{name}/out/feature_map_{target}");
        results.floats(&name, &[memory.features.len()], &memory.features);
    }
    Ok(())
}

/// An output of which only the features matter.
fn of_features(features: [Tensor<2>; 4]) -> SelfMmOutput {
    let column = Tensor::zeros([features[0].dims()[0], 1], &features[0].device());
    SelfMmOutput {
        text: column.clone(),
        audio: column.clone(),
        vision: column.clone(),
        predictions: [(); 4].map(|()| column.clone()),
        features,
    }
}

/// Adds labels and centres.
fn add_labels(results: &mut Results, at: &str, state: &mut LabelState) {
    for (target, memory) in TARGETS.iter().zip(memories(state)) {
        let labels = &memory.labels;
        results.floats(&format!("{at}/label_{target}"), &[labels.len()], labels);
        for (side, centre) in [("pos", &memory.positive), ("neg", &memory.negative)] {
            if let Some(centre) = centre {
                let name = format!("{at}/center_{side}_{target}");
                results.floats(&name, &[centre.len()], centre);
            }
        }
    }
}

/// The text encoder of the published loop: a linear layer and a norm.
#[derive(Module, Debug)]
struct StandIn {
    dense: Linear,
    norm: LayerNorm,
}

/// Self-MM behind that text encoder.
#[derive(Module, Debug)]
struct WithStandIn {
    bert: StandIn,
    model: SelfMm,
}

impl SentimentModel for WithStandIn {
    type Config = SelfMmConfig;
    type State = LabelState;
    type Output = SelfMmOutput;

    const LOSSES: &'static [&'static str] = SelfMm::LOSSES;
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^bert.dense.", "text_model.dense."),
        ("^bert.norm.", "text_model.LayerNorm."),
        ("^model.audio.lstm.", "audio_model.rnn."),
        ("^model.audio.projection.", "audio_model.linear_1."),
        ("^model.vision.lstm.", "video_model.rnn."),
        ("^model.vision.projection.", "video_model.linear_1."),
        ("^model.post_vision.", "post_video."),
        ("^model.", ""),
        (".layer_", "_layer_"),
    ];

    fn init(
        config: &SelfMmConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let mut model = SelfMm::init(config, task, text, device)?;
        model.bert = None;
        let bert = StandIn {
            dense: LinearConfig::new(hidden, hidden).init(device),
            norm: LayerNormConfig::new(hidden).with_epsilon(1e-5).init(device),
        };
        Ok(Self { bert, model })
    }

    fn parameter_count(config: &SelfMmConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        SelfMm::parameter_count(config, task, text)
    }

    fn init_state(config: &SelfMmConfig, task: &Task, labels: &[f32]) -> LabelState {
        SelfMm::init_state(config, task, labels)
    }

    fn check_state(&self, state: &LabelState) -> Result<(), ModelError> {
        self.model.check_state(state)
    }

    fn prediction_state(&self, state: &LabelState) -> LabelState {
        self.model.prediction_state(state)
    }

    fn needs(config: &SelfMmConfig) -> Needs {
        SelfMm::needs(config)
    }

    fn recipe(config: &SelfMmConfig, rates: &Rates) -> Recipe {
        let mut recipe = SelfMm::recipe(config, rates);
        for group in &mut recipe.groups {
            group.pattern = match group.name {
                "audio" => r"^model\.audio\.",
                "vision" => r"^model\.vision\.",
                _ => group.pattern,
            };
        }
        recipe
    }

    fn forward(
        &self,
        batch: &Batch,
        state: &LabelState,
        mode: Mode,
    ) -> Result<SelfMmOutput, ModelError> {
        let mut batch = batch.clone();
        if let Some(TextBatch::First(table)) = batch.text {
            let states = self.bert.norm.forward(self.bert.dense.forward(table));
            batch.text = Some(TextBatch::First(states));
        }
        self.model.forward(&batch, state, mode)
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut SelfMmOutput,
        state: &LabelState,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        self.model.loss(batch, output, state, mode)
    }

    fn observe(
        &self,
        batch: &Batch,
        output: &SelfMmOutput,
        state: &mut LabelState,
        at: StepAt,
    ) -> Result<(), ModelError> {
        self.model.observe(batch, output, state, at)
    }

    fn text_encoder(&self) -> Option<&Bert> {
        None
    }
}

fn self_mm_training(
    inputs: &Inputs,
    results: &mut Results,
    device: &Device,
) -> Result<(), LearnerError> {
    let SelfMmCase { config: sizes, .. } = inputs.about("t")?;
    let device = device.clone().autodiff();
    let config = sizes.config();
    let model: WithStandIn = encoded(&config, &sizes.task(), sizes.feature_dims[0], &device)?;
    let model = load_at(inputs, model, "t/w0/")?;
    let truth = inputs.values("t/train/label")?;
    let state = SelfMm::init_state(&config, &sizes.task(), &truth);
    let rates = Rates {
        text_learning_rate: sizes.learning_rate_bert,
        weight_decay: sizes.weight_decay_other,
        ..rates(sizes.learning_rate_other)
    };
    let recipe = WithStandIn::recipe(&config, &rates);
    let take = |inputs: &Inputs, split: &str, rows: &[usize], device: &Device| {
        let frames = |name: &str| -> Result<_, LearnerError> {
            let lengths = inputs.list(&format!("t/{split}/{name}_lengths"))?;
            let lengths: Vec<usize> = rows.iter().map(|&row| lengths[row]).collect();
            let values = part(inputs, split, name, rows, device)?;
            Ok(sequences(&values, Some(&lengths)))
        };
        let text = first_tokens(&part(inputs, split, "bert", rows, device)?);
        let mut given = batch(
            text,
            frames("audio")?,
            frames("vision")?,
            labels(inputs, split, rows)?,
        );
        given.rows = rows.to_vec();
        Ok(given)
    };
    let mut after = |epoch: usize, trainer: &Trainer<WithStandIn>, results: &mut Results| {
        let mut state = (*trainer.state()).clone();
        add_labels(results, &format!("t/after_{epoch}"), &mut state);
        weights(results, &trainer.model(), &format!("t/w{epoch}/"))
    };
    let training = Training {
        inputs,
        results,
        device,
    };
    training.run(model, state, &recipe, &take, &mut after)
}
