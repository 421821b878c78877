//! MAG-BERT: a file of several cases (`a`, `b`, ...), measured on MMSA.
//!
//! Case `t` is a training loop.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use mmrest_encoders::{BertConfig, PackedTokens};
use mmrest_models::{Batch, MagBert, MagBertConfig, MagLoss, SentimentModel, TextBatch};
use serde::Deserialize;

use super::Folders;
use super::published::{
    Case, TRAIN, Training, batch, labels, load_at, part, rates, sequences, task, weights_after,
};
use super::tensors::{Inputs, Results};
use crate::error::LearnerError;

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
    training.run(model, (), &recipe, &take, &mut weights_after)?;
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
