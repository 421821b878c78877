//! What the checks of the comparison systems share: cases of a file, batches of given tensors, training loops.

use burn::tensor::{Device, Tensor};
use mmrest_data::{Modality, Widths};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, BinsConfig, Mode, ModelError, Presets, PublishedTensor, Rates, Recipe, SentimentModel,
    SequenceBatch, StepAt, Task, TextBatch, load_published, published_gradients, published_weights,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::tensors::{Inputs, Results};
use crate::error::{LearnerError, to_host};
use crate::train::Trainer;

/// A training step.
pub(super) const TRAIN: Mode = Mode::Train(StepAt::new(1, 1));

/// A case of a file: its inputs, which gradients are taken of, and its results, by the names of the published numbers.
pub(super) struct Case<'a> {
    pub(super) inputs: &'a Inputs,
    results: &'a mut Results,
    /// With autodiff.
    pub(super) device: Device,
    name: Option<&'a str>,
    tracked: Vec<(&'static str, Tensor<3>)>,
}

impl<'a> Case<'a> {
    /// The only case of a file (`input.NAME`), or one of several (`CASE/in/NAME`).
    pub(super) fn new(
        inputs: &'a Inputs,
        results: &'a mut Results,
        name: Option<&'a str>,
        device: &Device,
    ) -> Self {
        Self {
            inputs,
            results,
            device: device.clone().autodiff(),
            name,
            tracked: Vec::new(),
        }
    }

    /// The name of a tensor of this kind (`in`, `out`, `loss`, `grad_in`, `grad_w`, `w`) in the file.
    fn full(&self, kind: &str, name: &str) -> String {
        match self.name {
            Some(case) => format!("{case}/{kind}/{name}"),
            None => {
                let kind = match kind {
                    "in" => "input",
                    "out" => "output",
                    "grad_in" => "grad.input",
                    "grad_w" => "grad.weight",
                    "w" => "weight",
                    other => other,
                };
                format!("{kind}.{name}")
            }
        }
    }

    /// What the file's metadata say of the case.
    pub(super) fn about<T: DeserializeOwned>(&self) -> Result<T, LearnerError> {
        self.inputs.about(self.name.unwrap_or_default())
    }

    /// An input without gradient.
    pub(super) fn constant<const D: usize>(&self, name: &str) -> Result<Tensor<D>, LearnerError> {
        let name = self.full("in", name);
        self.inputs.any(&name, &self.device)
    }

    /// An input whose gradient is asked for: `[batch, time, feature]`.
    pub(super) fn input(&mut self, name: &'static str) -> Result<Tensor<3>, LearnerError> {
        let values = self.constant::<3>(name)?.require_grad();
        self.tracked.push((name, values.clone()));
        Ok(values)
    }

    /// Three inputs whose gradients are asked for.
    pub(super) fn inputs(
        &mut self,
        names: [&'static str; 3],
    ) -> Result<[Tensor<3>; 3], LearnerError> {
        let [first, second, third] = names;
        Ok([self.input(first)?, self.input(second)?, self.input(third)?])
    }

    /// Lengths that stand among the inputs.
    pub(super) fn lengths(&self, name: &str) -> Result<Vec<usize>, LearnerError> {
        self.inputs
            .list(&self.full("in", &format!("{name}_lengths")))
    }

    /// The labels of a file of one case, or those of this kind among the inputs of one of several.
    pub(super) fn labels(&self, name: &str) -> Result<Vec<f32>, LearnerError> {
        match self.name {
            Some(_) => self.inputs.values(&self.full("in", name)),
            None => self.inputs.values(name),
        }
    }

    /// A module with the case's weights.
    pub(super) fn load<M: SentimentModel>(&self, model: M) -> Result<M, LearnerError> {
        load_at(self.inputs, model, &self.full("w", ""))
    }

    /// What a state takes of the case's weights.
    pub(super) fn load_state<M: SentimentModel>(
        &self,
        state: &mut M::State,
    ) -> Result<(), LearnerError> {
        load_state_at::<M>(self.inputs, state, &self.full("w", ""))
    }

    /// Adds a result of the forward pass.
    pub(super) fn output<const D: usize>(
        &mut self,
        name: &str,
        tensor: Tensor<D>,
    ) -> Result<(), LearnerError> {
        let name = self.full("out", name);
        self.results.tensor(&name, tensor)
    }

    /// Adds a result that is on the host.
    pub(super) fn output_floats(&mut self, name: &str, values: &[f32]) {
        let name = self.full("out", name);
        self.results.floats(&name, &[values.len()], values);
    }

    /// Adds a part of the loss.
    pub(super) fn loss(&mut self, name: &str, part: Tensor<1>) -> Result<(), LearnerError> {
        let name = self.full("loss", name);
        self.results.tensor(&name, part)
    }

    /// Adds a result by its name in the file.
    pub(super) fn result<const D: usize>(
        &mut self,
        name: &str,
        tensor: Tensor<D>,
    ) -> Result<(), LearnerError> {
        self.results.tensor(name, tensor)
    }

    /// Adds the gradients of all inputs and weights. `prefix` stands before the names (`stage1.`), or nothing.
    pub(super) fn gradients<M: SentimentModel>(
        &mut self,
        model: &M,
        loss: &Tensor<1>,
        prefix: &str,
    ) -> Result<(), LearnerError> {
        let gradients = loss.backward();
        for (name, input) in &self.tracked {
            let name = format!("{prefix}{}", self.full("grad_in", name));
            self.results.gradient(&name, input, &gradients)?;
        }
        for (name, (shape, values)) in published_gradients(model, M::PUBLISHED_NAMES, &gradients)? {
            let name = format!("{prefix}{}", self.full("grad_w", &name));
            self.results.floats(&name, &shape, &values);
        }
        Ok(())
    }

    /// Adds the loss and its gradients.
    pub(super) fn finish<M: SentimentModel>(
        mut self,
        model: &M,
        loss: &Tensor<1>,
    ) -> Result<(), LearnerError> {
        self.loss("total", loss.clone())?;
        self.gradients(model, loss, "")
    }
}

/// A module with the weights whose names in the file begin with `prefix`.
pub(super) fn load_at<M: SentimentModel>(
    inputs: &Inputs,
    model: M,
    prefix: &str,
) -> Result<M, LearnerError> {
    let find = |name: &str| find(inputs, &format!("{prefix}{name}"));
    load_published(model, M::PUBLISHED_NAMES, &[], &find).map_err(|error| inputs.wrong(error))
}

/// What a state takes of the tensors whose names in the file begin with `prefix`.
pub(super) fn load_state_at<M: SentimentModel>(
    inputs: &Inputs,
    state: &mut M::State,
    prefix: &str,
) -> Result<(), LearnerError> {
    let find = |name: &str| find(inputs, &format!("{prefix}{name}"));
    M::load_published_state(state, &find).map_err(|error| inputs.wrong(error))
}

fn find(inputs: &Inputs, name: &str) -> Option<PublishedTensor> {
    let shape = inputs.shape(name).ok()?.to_vec();
    Some((shape, inputs.values(name).ok()?))
}

/// Adds every weight of a model, by names that begin with `prefix`.
pub(super) fn weights<M: SentimentModel>(
    results: &mut Results,
    model: &M,
    prefix: &str,
) -> Result<(), LearnerError> {
    for (name, (shape, values)) in published_weights(model, M::PUBLISHED_NAMES)? {
        results.floats(&format!("{prefix}{name}"), &shape, &values);
    }
    Ok(())
}

/// A model that takes states of a text encoder that has done its work: it needs to know their width alone.
pub(super) fn encoded<M: SentimentModel>(
    config: &M::Config,
    task: &Task,
    hidden: usize,
    device: &Device,
) -> Result<M, ModelError> {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    M::init(config, task, Some((bert.init(device), &bert)), device)
}

/// A task with text, audio and vision of these widths.
pub(super) fn task(audio: usize, vision: usize, scale: f32) -> Task {
    Task {
        modalities: Modality::ALL.to_vec(),
        widths: Widths { vision, audio },
        label_range: [-scale, scale],
        bins: BinsConfig::default(),
        lower_layers: 1,
        seed: 1,
    }
}

/// Sequences of these lengths; all as long as the tensor is where there are none.
pub(super) fn sequences(values: &Tensor<3>, lengths: Option<&[usize]>) -> SequenceBatch {
    let [count, time, _] = values.dims();
    SequenceBatch {
        values: values.clone(),
        lengths: lengths.map_or_else(|| vec![time; count], <[usize]>::to_vec),
    }
}

/// All tokens' states of texts.
pub(super) fn all_tokens(text: &SequenceBatch) -> TextBatch {
    let packed = text.packed();
    TextBatch::Hidden(packed.states, packed.offsets)
}

/// The first tokens' states of texts, `[batch, time, hidden]`.
pub(super) fn first_tokens(text: &Tensor<3>) -> TextBatch {
    TextBatch::First(text.clone().narrow(1, 0, 1).squeeze_dim(1))
}

/// A batch of text, audio and vision.
pub(super) fn batch(
    text: TextBatch,
    audio: SequenceBatch,
    vision: SequenceBatch,
    labels: Vec<f32>,
) -> Batch {
    Batch {
        text: Some(text),
        audio: Some(audio),
        vision: Some(vision),
        sentences: Vec::new(),
        rows: (0..labels.len()).collect(),
        labels,
        part: None,
    }
}

/// Rates of a published training loop; those of all parameters are one. Clipping and decay are set by whoever needs them.
pub(super) fn rates(learning_rate: f64) -> Rates {
    Rates {
        learning_rate,
        text_learning_rate: learning_rate,
        weight_decay: 0.0,
        max_grad_norm: 0.0,
        max_grad_value: 0.0,
    }
}

/// What the metadata say of a training loop.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Loop {
    /// Segments of a batch.
    batch: usize,
    epochs: usize,
}

/// A published training loop: case `t` of a file.
pub(super) struct Training<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) results: &'a mut Results,
    /// With autodiff.
    pub(super) device: Device,
}

/// A split of the loop with rows of it: reads them as a batch on a device.
pub(super) type Take<'a> =
    dyn Fn(&Inputs, &str, &[usize], &Device) -> Result<Batch, LearnerError> + 'a;

/// Called after every epoch, with its number.
pub(super) type After<'a, M> =
    dyn FnMut(usize, &Trainer<M>, &mut Results) -> Result<(), LearnerError> + 'a;

/// Adds the weights after an epoch, as `t/w<epoch>/<name>`: an [`After`].
pub(super) fn weights_after<M: SentimentModel>(
    epoch: usize,
    trainer: &Trainer<M>,
    results: &mut Results,
) -> Result<(), LearnerError> {
    weights(results, &trainer.model(), &format!("t/w{epoch}/"))
}

impl Training<'_> {
    /// Trains in row order by the program's own trainer, and adds what the loop gave: the loss of every step, and after each
    /// epoch predictions and loss of the validation split.
    pub(super) fn run<M: SentimentModel>(
        self,
        model: M,
        state: M::State,
        recipe: &Recipe,
        take: &Take<'_>,
        after: &mut After<'_, M>,
    ) -> Result<(), LearnerError>
    where
        M::Config: Presets,
    {
        let Self {
            inputs,
            results,
            device,
        } = self;
        let Loop { batch, epochs } = inputs.about("t")?;
        let rows = |split: &str| -> Result<Vec<usize>, LearnerError> {
            let labels = inputs.values(&format!("t/{split}/label"))?;
            Ok((0..labels.len()).collect())
        };
        let (train, valid) = (rows("train")?, rows("valid")?);
        let mut trainer = Trainer::new(model, state, recipe, std::slice::from_ref(&device))?;
        let (mut losses, mut predictions, mut means) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in 1..=epochs {
            trainer.begin_epoch(epoch);
            for rows in train.chunks(batch) {
                let step = trainer.step(vec![take(inputs, "train", rows, &device)?])?;
                losses.push(step.loss() as f32);
            }
            trainer.end_pass()?;
            after(epoch, &trainer, results)?;
            let model = trainer.model().valid();
            let kept = model.prediction_state(&trainer.state());
            let device = device.clone().inner();
            let mut sum = 0.0;
            for rows in valid.chunks(batch) {
                let given = take(inputs, "valid", rows, &device)?;
                let mut output = model.forward(&given, &kept, Mode::Evaluate)?;
                predictions.extend(to_host(mmrest_models::ModelOutput::prediction(&output))?);
                let loss = model.loss(&given, &mut output, &kept, Mode::Evaluate)?;
                sum += to_host(loss.total)?.iter().sum::<f32>();
            }
            // The published code says the mean of the batches' means, to four digits.
            let mean = sum / valid.chunks(batch).len() as f32;
            means.push((1e4 * mean).round() / 1e4);
        }
        results.floats(
            "t/out/step_losses",
            &[epochs, losses.len() / epochs],
            &losses,
        );
        let shape = [epochs, predictions.len() / epochs];
        results.floats("t/out/valid_prediction", &shape, &predictions);
        results.floats("t/out/valid_loss_rounded", &[epochs], &means);
        Ok(())
    }
}

/// Rows of a tensor of a split of case `t`.
pub(super) fn part<const D: usize>(
    inputs: &Inputs,
    split: &str,
    name: &str,
    rows: &[usize],
    device: &Device,
) -> Result<Tensor<D>, LearnerError> {
    let all: Tensor<D> = inputs.any(&format!("t/{split}/{name}"), device)?;
    Ok(all.narrow(0, rows.first().copied().unwrap_or(0), rows.len()))
}

/// Labels of rows of a split of case `t`.
pub(super) fn labels(
    inputs: &Inputs,
    split: &str,
    rows: &[usize],
) -> Result<Vec<f32>, LearnerError> {
    let all = inputs.values(&format!("t/{split}/label"))?;
    Ok(rows.iter().map(|&row| all[row]).collect())
}

/// Takes rows of text that has passed its encoder, whose tensor has this name, audio and vision, all as long as their
/// tensors are.
pub(super) fn full_batch(
    text: &str,
    inputs: &Inputs,
    split: &str,
    rows: &[usize],
    device: &Device,
) -> Result<Batch, LearnerError> {
    let part = |name: &str| part::<3>(inputs, split, name, rows, device);
    Ok(batch(
        all_tokens(&sequences(&part(text)?, None)),
        sequences(&part("audio")?, None),
        sequences(&part("vision")?, None),
        labels(inputs, split, rows)?,
    ))
}
