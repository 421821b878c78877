//! DMD, MCL-MCF, MMIM, ALMT and DEVA: one case per file (`NAME_1`, `NAME_2`), whose sizes the metadata do not say, and files
//! of training loops.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use mmrest_models::{
    Almt, AlmtConfig, Batch, Deva, DevaConfig, Dmd, DmdConfig, EntropyMemory, MclMcf, MclMcfConfig,
    Mmim, MmimConfig, Rates, SentimentModel, StepAt, Task,
};

use super::Folders;
use super::published::{
    Case, TRAIN, all_tokens, batch, encoded, first_tokens, load_at, rates, sequences, task, weights,
};
use super::tensors::{Inputs, Results};
use crate::error::LearnerError;
use crate::train::Trainer;

/// Text, audio and vision of a case, and the task of their widths.
fn given(case: &mut Case<'_>) -> Result<([Tensor<3>; 3], Task), LearnerError> {
    let inputs = case.inputs(["text", "audio", "vision"])?;
    let [_, audio, vision] = inputs.each_ref().map(|input| input.dims()[2]);
    Ok((inputs, task(audio, vision, 3.0)))
}

/// A batch of sequences that are all as long as their tensors.
fn full([text, audio, vision]: &[Tensor<3>; 3], labels: Vec<f32>) -> Batch {
    batch(
        all_tokens(&sequences(text, None)),
        sequences(audio, None),
        sequences(vision, None),
        labels,
    )
}

/// A batch of first tokens, and of frames of these lengths.
fn first(
    [text, audio, vision]: &[Tensor<3>; 3],
    [of_audio, of_vision]: [Vec<usize>; 2],
    labels: Vec<f32>,
) -> Batch {
    batch(
        first_tokens(text),
        sequences(audio, Some(&of_audio)),
        sequences(vision, Some(&of_vision)),
        labels,
    )
}

// ALMT and DEVA.

fn almt_config(number: usize, max_length: [usize; 3]) -> AlmtConfig {
    let first = AlmtConfig {
        width: 8,
        embedding_heads: [2; 3],
        embedding_inner: 10,
        language_heads: 2,
        language_inner: 8,
        hyper_depth: 3,
        hyper_heads: 2,
        fusion_depth: 2,
        fusion_heads: 2,
        fusion_inner: 6,
        max_length,
        published: true,
        ..AlmtConfig::default()
    };
    if number == 1 {
        return first;
    }
    AlmtConfig {
        width: 12,
        embedding_depth: [1, 2, 1],
        embedding_heads: [1, 2, 1],
        embedding_inner: 8,
        language_inner: 12,
        hyper_depth: 2,
        hyper_heads: 3,
        fusion_depth: 3,
        fusion_heads: 1,
        fusion_inner: 14,
        ..first
    }
}

/// `almt_<n>.safetensors`. Of the fusion the one row that reaches the prediction is computed.
pub(super) fn almt(
    folders: &Folders<'_>,
    name: &str,
    number: usize,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let mut results = Results::default();
    let mut case = Case::new(&inputs, &mut results, None, device);
    let (given, task) = given(&mut case)?;
    // The rows of positions are the room for sequences, with the extra tokens.
    let room = ["l", "a", "v"].map(|m| {
        let name = format!("weight.embedding_{m}.1.pos_embedding");
        inputs.dims(&name).map(|[_, rows, _]: [usize; 3]| rows - 8)
    });
    let [text, audio, vision] = room;
    let config = almt_config(number, [text?, audio?, vision?]);
    let hidden = given[0].dims()[2];
    let mut model: Almt = encoded(&config, &task, hidden, &case.device)?;
    model.bert = None;
    let model = case.load(model)?;
    let given = full(&given, case.labels("label")?);
    let mut output = model.score(&given, false);
    for (name, found) in ["l", "a", "v"].iter().zip(output.embeddings.clone()) {
        case.output(&format!("embedding_{name}"), found)?;
    }
    for (level, found) in output.language.iter().enumerate() {
        case.output(&format!("language_{level}"), found.clone())?;
    }
    case.output("hyper", output.hyper.clone())?;
    case.output("fusion", output.fusion.clone())?;
    case.output("prediction", output.prediction.clone())?;
    let loss = model.loss(&given, &mut output, &(), TRAIN)?;
    case.finish(&model, &loss.total)?;
    results.write(folders, name)
}

fn deva_config(number: usize) -> DevaConfig {
    let first = DevaConfig {
        width: 8,
        heads: 2,
        inner: 10,
        hyper_depth: 3,
        hyper_heads: 2,
        hyper_head: 4,
        fusion_depth: 2,
        enhancement_dropout: 0.0,
        published: true,
        ..DevaConfig::default()
    };
    if number == 1 {
        return first;
    }
    DevaConfig {
        width: 6,
        inner: 9,
        hyper_depth: 2,
        hyper_head: 5,
        fusion_depth: 1,
        ..first
    }
}

/// `deva_<n>.safetensors`. Of the fusion the one row that reaches the prediction is computed.
pub(super) fn deva(
    folders: &Folders<'_>,
    name: &str,
    number: usize,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let mut results = Results::default();
    let mut case = Case::new(&inputs, &mut results, None, device);
    let (given, task) = given(&mut case)?;
    let sentences = [
        case.input("audio_description")?,
        case.input("vision_description")?,
    ];
    let hidden = given[0].dims()[2];
    let mut model: Deva = encoded(&deva_config(number), &task, hidden, &case.device)?;
    model.bert = None;
    let model = case.load(model)?;
    let mut given = full(&given, case.labels("label")?);
    given.sentences = sentences.iter().map(|s| sequences(s, None)).collect();
    let mut output = model.score(&given, false);
    for (name, found) in ["l", "a", "v", "al", "vl"]
        .iter()
        .zip(output.embeddings.clone())
    {
        case.output(&format!("proj_{name}"), found)?;
    }
    for (name, found) in ["audio", "vision", "text"]
        .iter()
        .zip(output.enhanced.clone())
    {
        case.output(&format!("{name}_enhanced"), found)?;
    }
    for (level, found) in output.levels.iter().enumerate() {
        case.output(&format!("text_level_{level}"), found.clone())?;
    }
    case.output("minor", output.minor.clone())?;
    case.output("fusion", output.fusion.clone())?;
    case.output("prediction", output.prediction.clone())?;
    let loss = model.loss(&given, &mut output, &(), TRAIN)?;
    case.finish(&model, &loss.total)?;
    results.write(folders, name)
}

/// The file of the schedules.
pub(super) const SCHEDULES: &str = "schedules.safetensors";

/// The learning rates of every epoch, as published.
pub(super) fn schedules(folders: &Folders<'_>) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, SCHEDULES)?;
    let mut results = Results::default();
    let rates = rates(1e-4);
    let (almt, deva) = (almt_config(1, [1; 3]), deva_config(1));
    for (name, recipe, epochs) in [
        ("almt", Almt::recipe(&almt, &rates), almt.schedule_epochs),
        ("deva", Deva::recipe(&deva, &rates), deva.schedule_epochs),
    ] {
        let group = recipe.groups.first();
        let rate = group.map_or(0.0, |group| group.learning_rate);
        let factors = (1..=epochs).map(|epoch| recipe.schedule.factor(epoch));
        let rates = factors.map(|factor| factor.map(|factor| (rate * factor) as f32));
        let rates: Option<Vec<f32>> = rates.collect();
        let rates = rates.ok_or_else(|| inputs.wrong(format!("{name} has no schedule")))?;
        results.floats(&format!("{name}.lr_{epochs}_epochs"), &[epochs], &rates);
    }
    results.write(folders, SCHEDULES)
}

// DMD.

fn dmd_config(number: usize) -> DmdConfig {
    let first = DmdConfig {
        width: 8,
        heads: 2,
        levels: 2,
        lengths: [7, 6, 9],
        kernels: [3, 1, 2],
        text_dropout: 0.0,
        output_dropout: 0.0,
        embed_dropout: 0.0,
        attention_dropout: [0.0; 3],
        homo_width: 5,
        hetero_width: 4,
        accumulate: 2,
        published: true,
        ..DmdConfig::default()
    };
    if number == 1 {
        return first;
    }
    DmdConfig {
        width: 6,
        heads: 3,
        levels: 3,
        lengths: [6, 11, 5],
        kernels: [2, 3, 1],
        homo_width: 3,
        hetero_width: 6,
        ..first
    }
}

fn dmd_model(
    config: &DmdConfig,
    task: &Task,
    hidden: usize,
    device: &Device,
) -> Result<Dmd, LearnerError> {
    let mut model: Dmd = encoded(config, task, hidden, device)?;
    model.bert = None;
    Ok(model)
}

/// `dmd_<n>.safetensors`.
pub(super) fn dmd(
    folders: &Folders<'_>,
    name: &str,
    number: usize,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let mut results = Results::default();
    let mut case = Case::new(&inputs, &mut results, None, device);
    let (given, task) = given(&mut case)?;
    let hidden = given[0].dims()[2];
    let config = dmd_config(number);
    let model = case.load(dmd_model(&config, &task, hidden, &case.device)?)?;
    let given = full(&given, case.labels("label")?);
    let mut output = model.forward(&given, &(), TRAIN)?;
    let time_first = |x: &Tensor<3>| x.clone().permute([2, 0, 1]);
    for (m, own) in ["l", "v", "a"].iter().zip(&output.modalities) {
        for (name, found) in [
            (format!("origin_{m}"), own.origin.clone()),
            (format!("s_{m}"), time_first(&own.private)),
            (format!("c_{m}"), time_first(&own.common)),
            (format!("recon_{m}"), own.reconstructed.clone()),
            (format!("s_{m}_r"), own.private_again.clone()),
        ] {
            case.output(&name, found)?;
        }
        for (name, found) in [
            (format!("c_{m}_sim"), &own.aligned),
            (format!("logits_{m}_homo"), &own.low_score),
            (format!("repr_{m}_homo"), &own.low),
            (format!("logits_{m}_hetero"), &own.high_score),
            (format!("repr_{m}_hetero"), &own.high),
            (format!("last_h_{m}"), &own.last),
        ] {
            case.output(&name, found.clone())?;
        }
    }
    case.output("logits_c", output.common_score.clone())?;
    case.output("output_logit", output.prediction.clone())?;
    for (name, found) in ["homo", "hetero"].iter().zip(model.edges(&output)) {
        case.output(&format!("edges_{name}"), found)?;
    }
    let loss = model.loss(&given, &mut output, &(), TRAIN)?;
    for (name, part) in Dmd::LOSSES.iter().zip(&loss.parts) {
        if let Some(part) = part {
            case.loss(name, part.clone())?;
        }
    }
    // The distillation of low representations, which the published code computes and leaves out.
    let complete = DmdConfig {
        published: false,
        ..config
    };
    let complete = case.load(dmd_model(&complete, &task, hidden, &case.device)?)?;
    let mut output = complete.forward(&given, &(), TRAIN)?;
    let parts = complete.loss(&given, &mut output, &(), TRAIN)?.parts;
    let unused = Dmd::LOSSES
        .iter()
        .zip(parts)
        .find(|(name, _)| **name == "homo_repr");
    if let Some((_, Some(part))) = unused {
        case.loss("homo_repr_unused", part)?;
    }
    case.finish(&model, &loss.total)?;
    results.write(folders, name)
}

/// The file of DMD's loop.
pub(super) const DMD_STEPS: &str = "dmd_steps.safetensors";

/// Batches of a loop's epoch.
const BATCHES: usize = 3;

/// Two epochs of three batches, gradients of two batches added, from the weights of `dmd_1.safetensors`.
pub(super) fn dmd_steps(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, DMD_STEPS)?;
    let start = Inputs::open(folders, "dmd_1.safetensors")?;
    let device = device.clone().autodiff();
    let batches = (0..BATCHES).map(|number| {
        let input = |name: &str| inputs.any::<3>(&format!("batch{number}.{name}"), &device);
        let given = [input("text")?, input("audio")?, input("vision")?];
        Ok(full(
            &given,
            inputs.values(&format!("batch{number}.label"))?,
        ))
    });
    let batches = batches.collect::<Result<Vec<_>, LearnerError>>()?;
    let [[_, _, hidden], [_, _, audio], [_, _, vision]] = [
        inputs.dims("batch0.text")?,
        inputs.dims("batch0.audio")?,
        inputs.dims("batch0.vision")?,
    ];
    let config = dmd_config(1);
    let model = dmd_model(&config, &task(audio, vision, 3.0), hidden, &device)?;
    let model = load_at(&start, model, "weight.")?;
    let rates = Rates {
        max_grad_value: 0.6,
        ..rates(1e-2)
    };
    let recipe = Dmd::recipe(&config, &rates);
    let mut trainer = Trainer::new(model, (), &recipe, &[device])?;
    let mut results = Results::default();
    for epoch in 1..=2 {
        trainer.begin_epoch(epoch);
        for batch in &batches {
            trainer.step(vec![batch.clone()])?;
        }
        trainer.end_pass()?;
        weights(&mut results, &trainer.model(), &format!("epoch{epoch}."))?;
    }
    results.write(folders, DMD_STEPS)
}

// MCL-MCF.

/// `mcl_mcf_<n>.safetensors`.
pub(super) fn mcl_mcf(
    folders: &Folders<'_>,
    name: &str,
    number: usize,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let [width, block_width, contrast_width, score_width] = if number == 1 {
        [6, 12, 10, 9]
    } else {
        [5, 10, 7, 8]
    };
    let config = MclMcfConfig {
        width,
        block_width,
        contrast_width,
        score_width,
        score_dropout: 0.0,
        published: true,
        ..MclMcfConfig::default()
    };
    let mut results = Results::default();
    let mut case = Case::new(&inputs, &mut results, None, device);
    let (given, task) = given(&mut case)?;
    let mut model: MclMcf = encoded(&config, &task, given[0].dims()[2], &case.device)?;
    model.bert = None;
    let model = case.load(model)?;
    let lengths = [case.lengths("audio")?, case.lengths("vision")?];
    let given = first(&given, lengths, case.labels("label")?);
    let mut output = model.forward(&given, &(), TRAIN)?;
    let blocks = ["text", "vision", "audio", "all"];
    for (name, found) in blocks.iter().zip(output.blocks.clone()) {
        case.output(&format!("block_{name}"), found)?;
    }
    for (name, found) in ["tv", "va", "ta", "tva"].iter().zip(model.hubs(&output)) {
        case.output(name, found)?;
    }
    let pictures = model.pictures(&output).into_iter().flatten();
    for (name, found) in ["tv", "ta", "va"].iter().zip(pictures) {
        case.output(&format!("tensor_{name}"), found)?;
    }
    for (name, found) in [
        ("vision", &output.vision),
        ("audio", &output.audio),
        ("joint", &output.joint),
        ("prediction", &output.prediction),
    ] {
        case.output(name, found.clone())?;
    }
    let contrasts = [
        &["ta_clip", "tv_clip", "av_clip"][..],
        &["mass_t_clip", "mass_v_clip", "mass_a_clip", "mass_tav_clip"],
        &["tfn_tv", "tfn_ta", "tfn_av"],
    ];
    for (names, level) in contrasts.iter().zip(model.contrasts(&output)) {
        for (name, found) in names.iter().zip(level.into_iter().flatten()) {
            case.loss(name, found)?;
        }
    }
    let loss = model.loss(&given, &mut output, &(), TRAIN)?;
    for (name, part) in MclMcf::LOSSES.iter().zip(&loss.parts) {
        if let Some(part) = part {
            case.loss(name, part.clone())?;
        }
    }
    case.finish(&model, &loss.total)?;
    results.write(folders, name)
}

// MMIM.

fn mmim_config(number: usize) -> MmimConfig {
    let first = MmimConfig {
        vision_hidden: 8,
        audio_hidden: 8,
        vision_out: 8,
        audio_out: 12,
        fusion_width: 20,
        fusion_dropout: 0.0,
        published: true,
        ..MmimConfig::default()
    };
    if number == 1 {
        return first;
    }
    MmimConfig {
        vision_hidden: 6,
        audio_hidden: 5,
        vision_out: 12,
        audio_out: 8,
        fusion_width: 14,
        bidirectional: false,
        vision_audio: true,
        cpc_layers: 2,
        alpha: 0.3,
        beta: 0.05,
        ..first
    }
}

fn mmim_model(
    config: &MmimConfig,
    task: &Task,
    hidden: usize,
    device: &Device,
) -> Result<Mmim, LearnerError> {
    let mut model: Mmim = encoded(config, task, hidden, device)?;
    model.bert = None;
    Ok(model)
}

/// `mmim_<n>.safetensors`: the third batch of each of an epoch's two passes.
pub(super) fn mmim(
    folders: &Folders<'_>,
    name: &str,
    number: usize,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let config = mmim_config(number);
    let mut pairs = vec!["tv", "ta"];
    if config.vision_audio {
        pairs.push("va");
    }
    let memory = |side: &str| {
        let pairs = pairs.iter();
        let rows = pairs.map(|pair| inputs.values(&format!("memory.{pair}.{side}")));
        rows.collect::<Result<Vec<_>, _>>()
    };
    let state = EntropyMemory {
        positive: memory("pos")?,
        negative: memory("neg")?,
        skipped: 0,
    };
    let mut results = Results::default();
    for pass in 0..2 {
        let mut case = Case::new(&inputs, &mut results, None, device);
        let (given, task) = given(&mut case)?;
        let hidden = given[0].dims()[2];
        let model = case.load(mmim_model(&config, &task, hidden, &case.device)?)?;
        model.check_state(&state)?;
        let lengths = [case.lengths("audio")?, case.lengths("vision")?];
        let given = first(&given, lengths, case.labels("label")?);
        let at = StepAt {
            epoch: 1,
            pass,
            step: 3,
        };
        let mode = mmrest_models::Mode::Train(at);
        let mut output = model.forward(&given, &state, mode)?;
        if pass == 1 {
            for (name, found) in [
                ("feature_t", &output.text),
                ("feature_v", &output.vision),
                ("feature_a", &output.audio),
                ("fusion", &output.fusion),
                ("prediction", &output.prediction),
            ] {
                case.output(name, found.clone())?;
            }
            for (pair, found) in pairs.iter().zip(model.likelihoods(&output)) {
                case.loss(&format!("lld_{pair}"), found)?;
            }
            for (name, found) in ["t", "v", "a"].iter().zip(model.contrasts(&output)) {
                case.loss(&format!("nce_{name}"), found)?;
            }
            // A second batch's entropy does not count yet.
            let without = model.score_loss(&given, &mut output, &state, 2)?;
            case.result("stage2.loss.without_entropy", without.total)?;
        }
        let loss = model.loss(&given, &mut output, &state, mode)?;
        if pass == 1 {
            for (name, part) in Mmim::LOSSES.iter().zip(&loss.parts) {
                if let Some(part) = part {
                    case.loss(name, part.clone())?;
                }
            }
            let mut after = state.clone();
            model.observe(&given, &output, &mut after, at)?;
            for (place, pair) in pairs.iter().enumerate() {
                for (side, rows) in [("pos", &after.positive), ("neg", &after.negative)] {
                    case.output_floats(&format!("{pair}.{side}"), &rows[place]);
                }
            }
        }
        let stage = format!("stage{}.", pass + 1);
        case.result(&format!("{stage}loss.total"), loss.total.clone())?;
        case.gradients(&model, &loss.total, &stage)?;
    }
    results.write(folders, name)
}

/// The file of MMIM's loop, measured with gradients that are dropped after a step.
pub(super) const MMIM_STEPS: &str = "mmim_steps_none.safetensors";

/// Two epochs of both passes over three batches.
pub(super) fn mmim_steps(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, MMIM_STEPS)?;
    let device = device.clone().autodiff();
    let batches = (0..BATCHES).map(|number| {
        let input = |name: &str| inputs.any::<3>(&format!("batch{number}.{name}"), &device);
        let given = [input("text")?, input("audio")?, input("vision")?];
        let lengths = [
            inputs.list("audio_lengths")?,
            inputs.list("vision_lengths")?,
        ];
        Ok(first(
            &given,
            lengths,
            inputs.values(&format!("batch{number}.label"))?,
        ))
    });
    let batches = batches.collect::<Result<Vec<_>, LearnerError>>()?;
    let [[_, _, hidden], [_, _, audio], [_, _, vision]] = [
        inputs.dims("batch0.text")?,
        inputs.dims("batch0.audio")?,
        inputs.dims("batch0.vision")?,
    ];
    let config = MmimConfig {
        mi_learning_rate: 1e-2,
        ..mmim_config(1)
    };
    let model = mmim_model(&config, &task(audio, vision, 3.0), hidden, &device)?;
    let model = load_at(&inputs, model, "start.")?;
    let rates = Rates {
        weight_decay: 1e-4,
        max_grad_norm: 1.0,
        ..rates(1e-2)
    };
    let recipe = Mmim::recipe(&config, &rates);
    let state = EntropyMemory::default();
    let mut trainer = Trainer::new(model, state, &recipe, &[device])?;
    let mut results = Results::default();
    for epoch in 1..=2 {
        for pass in 0..recipe.passes.len() {
            trainer.begin_pass(epoch, pass);
            for batch in &batches {
                trainer.step(vec![batch.clone()])?;
            }
            trainer.end_pass()?;
        }
        weights(&mut results, &trainer.model(), &format!("epoch{epoch}."))?;
    }
    results.write(folders, MMIM_STEPS)
}
