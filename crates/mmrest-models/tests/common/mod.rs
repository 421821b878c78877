//! What the golden tests of the comparison systems share: numbers measured on published code, comparisons, the published
//! training loop.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use mmrest_data::{Modality, Widths};
use mmrest_models::{
    Batch, BinsConfig, Clip, Mode, ModelOutput, Optimizer, ParameterGroup, Presets, Recipe,
    SentimentModel, SequenceBatch, StepAt, Task, TextBatch, load_published, published_gradients,
    published_weights,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A training step.
pub const TRAIN: Mode = Mode::Train(StepAt::new(1, 1));

/// The tensors and cases of a file of numbers measured on published code.
pub struct Golden {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    pub cases: BTreeMap<String, Value>,
    /// What may differ: so much of the largest value of a tensor, and so much beside it.
    pub tolerance: (f64, f64),
    /// The largest difference, relative to the largest value, of each group of comparisons.
    worst: BTreeMap<&'static str, f64>,
}

impl Golden {
    /// `../shared/golden/baselines/NAME.safetensors`; none, and a note, where that is not there.
    pub fn open(name: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/baselines");
        let path = root.join(name).with_extension("safetensors");
        let Ok(bytes) = std::fs::read(&path) else {
            eprintln!("skipped: there is no {}", path.display());
            return None;
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let values = |view: &safetensors::tensor::TensorView<'_>| match view.dtype() {
            Dtype::F32 => words(view.data(), f32::from_le_bytes),
            Dtype::F64 => words(view.data(), |word| f64::from_le_bytes(word) as f32),
            Dtype::I32 => words(view.data(), |word| i32::from_le_bytes(word) as f32),
            Dtype::I64 => words(view.data(), |word| i64::from_le_bytes(word) as f32),
            other => panic!("{other:?}"),
        };
        let tensors = file.tensors().into_iter();
        let cases = metadata.metadata().iter().flatten();
        Some(Self {
            tensors: tensors
                .map(|(name, view)| (name, (view.shape().to_vec(), values(&view))))
                .collect(),
            cases: cases
                .filter_map(|(name, json)| Some((name.clone(), serde_json::from_str(json).ok()?)))
                .collect(),
            tolerance: (5e-5, 0.0),
            worst: BTreeMap::new(),
        })
    }

    /// Shape and values.
    pub fn find(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        self.tensors.get(name).cloned()
    }

    /// Every name that begins so, without the beginning.
    pub fn names(&self, prefix: &str) -> BTreeSet<String> {
        let names = self.tensors.keys();
        names
            .filter_map(|name| name.strip_prefix(prefix))
            .map(Into::into)
            .collect()
    }

    pub fn values(&self, name: &str) -> Vec<f32> {
        let found = self.tensors.get(name);
        found.unwrap_or_else(|| panic!("no {name}")).1.clone()
    }

    pub fn usizes(&self, name: &str) -> Vec<usize> {
        self.values(name).iter().map(|&v| v as usize).collect()
    }

    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let found = self.tensors.get(name);
        let (shape, values) = found.unwrap_or_else(|| panic!("no {name}"));
        Tensor::from_data(TensorData::new(values.clone(), shape.clone()), device)
    }

    /// A number of a case's configuration.
    pub fn number(&self, case: &str, key: &str) -> f64 {
        let found = self.cases[case]["config"][key].as_f64();
        found.unwrap_or_else(|| panic!("no {key} in {case}"))
    }

    /// A list of numbers of a case's configuration.
    pub fn numbers(&self, case: &str, key: &str) -> Vec<f64> {
        let values = self.cases[case]["config"][key].as_array().unwrap();
        values.iter().map(|v| v.as_f64().unwrap()).collect()
    }

    /// A list of sizes of a case's configuration.
    pub fn sizes(&self, case: &str, key: &str) -> Vec<usize> {
        let values = self.numbers(case, key).into_iter();
        values.map(|v| v as usize).collect()
    }

    /// The lengths of a case's sequences, by the metadata.
    pub fn lengths(&self, case: &str, key: &str) -> Vec<usize> {
        let values = self.cases[case][key].as_array().unwrap().iter();
        values.map(|v| v.as_u64().unwrap() as usize).collect()
    }

    /// Compares, and keeps the largest difference of the group.
    pub fn compare(&mut self, group: &'static str, name: &str, found: &[f32]) {
        let expected = self.values(name);
        let most = largest(expected.iter().copied());
        let difference = difference(name, found, &expected);
        let (relative, absolute) = self.tolerance;
        let allowed = relative * most + absolute;
        assert!(
            difference <= allowed,
            "{name}: {difference:e} > {allowed:e}"
        );
        let worst = self.worst.entry(group).or_default();
        *worst = worst.max(difference / most.max(1e-12));
    }

    /// Compares a tensor.
    pub fn compare_tensor<const D: usize>(
        &mut self,
        group: &'static str,
        name: &str,
        found: Tensor<D>,
    ) {
        self.compare(group, name, &host(found));
    }

    /// A module with the weights whose names begin with `prefix`.
    pub fn load<M: burn::module::Module>(
        &self,
        module: M,
        names: &'static [(&'static str, &'static str)],
        prefix: &str,
    ) -> M {
        let find = |name: &str| self.find(&format!("{prefix}{name}"));
        load_published(module, names, &find).unwrap()
    }

    /// Compares the gradient of every parameter with those whose names begin with `prefix`; each of those must be a
    /// parameter's. Gradients whose names `noise` picks are zero but for rounding.
    pub fn compare_gradients<M: burn::module::Module>(
        &mut self,
        module: &M,
        names: &'static [(&'static str, &'static str)],
        gradients: &Gradients,
        prefix: &str,
        noise: &dyn Fn(&str) -> bool,
    ) {
        let found = published_gradients(module, names, gradients).unwrap();
        let mut rest = self.names(prefix);
        for (name, (shape, values)) in found {
            let full = format!("{prefix}{name}");
            if !rest.remove(&name) {
                let none = values.iter().all(|value| *value == 0.0);
                assert!(none, "{full} has a gradient, but none published");
                continue;
            }
            assert_eq!(shape, self.tensors[&full].0, "{full}");
            if noise(&name) {
                assert!(largest(values) < 1e-6, "{full}");
            } else if name.ends_with("in_proj_bias") {
                self.compare_but_key_bias("gradients", &full, values);
            } else {
                self.compare("gradients", &full, &values);
            }
        }
        assert!(rest.is_empty(), "no gradient of {rest:?}");
    }

    /// Compares an attention's in-projection bias: the gradient of its middle third, the keys', is zero but for rounding.
    fn compare_but_key_bias(&mut self, group: &'static str, name: &str, mut found: Vec<f32>) {
        let keys = found.len() / 3..2 * found.len() / 3;
        assert!(largest(found[keys.clone()].to_vec()) < 1e-6, "{name}");
        let expected = self.values(name);
        found[keys.clone()].copy_from_slice(&expected[keys]);
        self.compare(group, name, &found);
    }

    /// Compares all weights after so many steps of a rate with those whose names begin with `prefix`. Names that `noise`
    /// picks are left out.
    pub fn compare_weights<M: burn::module::Module>(
        &mut self,
        module: &M,
        names: &'static [(&'static str, &'static str)],
        prefix: &str,
        most_moved: f64,
        noise: &dyn Fn(&str) -> bool,
    ) {
        for (name, (_, mut values)) in published_weights(module, names).unwrap() {
            let full = format!("{prefix}{name}");
            if noise(&name) {
                continue;
            }
            let expected = self.values(&full);
            if name.ends_with("in_proj_bias") {
                let keys = values.len() / 3..2 * values.len() / 3;
                values[keys.clone()].copy_from_slice(&expected[keys]);
            }
            // What the page of the golden numbers asks for, and what single precision can tell apart.
            let rounding = 2.0 * f64::from(f32::EPSILON) * largest(expected.iter().copied());
            let tolerance = 1e-4 * most_moved + rounding;
            let difference = difference(&full, &values, &expected);
            assert!(
                difference <= tolerance,
                "{full}: {difference:e} > {tolerance:e}"
            );
            self.compare("weights after training", &full, &values);
        }
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        for (group, difference) in &self.worst {
            println!("{group}: largest relative difference {difference:.1e}");
        }
    }
}

fn words<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let words = data.as_chunks::<N>().0.iter();
    words.map(|word| read(*word)).collect()
}

/// The values of a tensor, row-major.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The largest magnitude.
pub fn largest(values: impl IntoIterator<Item = f32>) -> f64 {
    let values = values.into_iter();
    f64::from(values.fold(0.0f32, |most, v| most.max(v.abs())))
}

/// The largest difference of finite numbers.
pub fn difference(name: &str, found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "{name}");
    assert!(found.iter().all(|value| value.is_finite()), "{name}");
    largest(found.iter().zip(expected).map(|(a, b)| a - b))
}

/// The largest difference relative to the largest expected value.
pub fn relative(found: &[f32], expected: &[f32]) -> f64 {
    difference("", found, expected) / largest(expected.iter().copied()).max(1e-12)
}

/// A task with text, audio and vision of these widths.
pub fn task(audio: usize, vision: usize) -> Task {
    Task {
        modalities: vec![Modality::Text, Modality::Vision, Modality::Audio],
        widths: Widths { vision, audio },
        label_range: [-3.0, 3.0],
        bins: BinsConfig::default(),
        lower_layers: 0,
        seed: 1,
    }
}

/// Rows of right-padded `[batch, time, feature]` that are within their lengths, end to end, with their offsets: a text that
/// has passed an encoder.
pub fn packed(values: Tensor<3>, lengths: &[usize]) -> (Tensor<2>, Vec<usize>) {
    let mut offsets = vec![0];
    let rows = lengths.iter().enumerate().map(|(row, &length)| {
        offsets.push(offsets[row] + length);
        let own = values.clone().narrow(0, row, 1).narrow(1, 0, length);
        own.squeeze_dim::<2>(0)
    });
    let rows = rows.collect();
    (Tensor::cat(rows, 0), offsets)
}

/// A batch of text that has passed an encoder, audio and vision, `[batch, time, feature]` each with lengths.
pub fn batch(
    text: (Tensor<3>, Vec<usize>),
    audio: (Tensor<3>, Vec<usize>),
    vision: (Tensor<3>, Vec<usize>),
    labels: Vec<f32>,
) -> Batch {
    let (states, offsets) = packed(text.0, &text.1);
    let frames = |(values, lengths)| Some(SequenceBatch { values, lengths });
    Batch {
        text: Some(TextBatch::Hidden(states, offsets)),
        audio: frames(audio),
        vision: frames(vision),
        rows: (0..labels.len()).collect(),
        labels,
        part: None,
        sentences: Vec::new(),
    }
}

/// The optimisers and rates of a recipe; a group that is not trained has rate 0.
pub fn optimizer(recipe: &Recipe) -> (ModuleOptimizer, ModuleLrScheduler) {
    let adam = |decay: f64| {
        AdamConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)))
            .build()
    };
    let rate = |group: &ParameterGroup| {
        assert_eq!(group.optimizer, Optimizer::ADAM);
        if group.trained {
            group.learning_rate
        } else {
            0.0
        }
    };
    let first = &recipe.groups[0];
    let mut optimizer = ModuleOptimizer::from(adam(first.weight_decay));
    let mut scheduler = ModuleLrScheduler::new(rate(first));
    for group in &recipe.groups[1..] {
        let parameters = ParamGroup::from_regex(group.pattern).unwrap();
        optimizer = optimizer.with_group(parameters.clone(), adam(group.weight_decay), None);
        scheduler = scheduler.with_group(parameters, rate(group));
    }
    (optimizer, scheduler)
}

/// What a published training loop gave.
#[derive(Default)]
pub struct Trained {
    pub losses: Vec<f32>,
    pub predictions: Vec<f32>,
    pub validation: Vec<f32>,
}

/// Called with epoch, steps so far, model, state and the numbers.
pub type After<'a, M> =
    dyn FnMut(usize, usize, &M, &<M as SentimentModel>::State, &mut Golden) + 'a;

/// A published training loop of case `t`: batches of 4 in row order, gradients summed over the recipe's batches and
/// clipped by value after each, an epoch's rest dropped. `batch(split, first, count)` gives a batch; `after(epoch, steps,
/// model, golden)` is called after every epoch.
pub fn train<M: SentimentModel>(
    golden: &mut Golden,
    mut model: M,
    mut state: M::State,
    recipe: &Recipe,
    batch: &dyn Fn(&Golden, &str, usize, usize) -> Batch,
    after: &mut After<'_, M>,
) -> M {
    assert!(recipe.accumulate == 1 || !recipe.flush_rest);
    let clip = match recipe.gradients[0].clip {
        Clip::Off => None,
        Clip::Value(most) => Some(most as f32),
        Clip::Norm(_) => panic!("clipping by norm"),
    };
    let (mut optimizer, mut scheduler) = optimizer(recipe);
    let count = |golden: &Golden, split: &str| golden.values(&format!("t/{split}/label")).len();
    let parts = |rows: usize| {
        (0..rows)
            .step_by(4)
            .map(move |first| (first, 4.min(rows - first)))
    };
    let mut trained = Trained::default();
    let mut steps = 0;
    let epochs = golden.cases["t"]["epochs"].as_u64().unwrap_or(2) as usize;
    for epoch in 1..=epochs {
        let mut accumulator = GradientsAccumulator::new();
        let rows = count(golden, "train");
        for (step, (first, size)) in (1..).zip(parts(rows)) {
            let at = StepAt::new(epoch, step);
            let mode = Mode::Train(at);
            let batch = batch(golden, "train", first, size);
            let mut output = model.forward(&batch, &state, mode).unwrap();
            let loss = model.loss(&batch, &mut output, &state, mode).unwrap();
            trained.losses.extend(host(loss.total.clone()));
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            model.observe(&batch, &output, &mut state, at).unwrap();
            accumulator.accumulate(&model, gradients);
            if let Some(most) = clip {
                let mut sum = accumulator.grads();
                clamp(&model, &mut sum, most);
                accumulator.accumulate(&model, sum);
            }
            if step % recipe.accumulate == 0 {
                model = optimizer.step(scheduler.step(), model, accumulator.grads());
                steps += 1;
            }
        }
        after(epoch, steps, &model, &state, golden);
        let kept = model.prediction_state(&state);
        let mut means = Vec::new();
        for (first, size) in parts(count(golden, "valid")) {
            let batch = batch(golden, "valid", first, size);
            let mode = Mode::Evaluate;
            let mut output = model.forward(&batch, &kept, mode).unwrap();
            trained.predictions.extend(host(output.prediction()));
            let loss = model.loss(&batch, &mut output, &kept, mode).unwrap();
            means.extend(host(loss.total));
        }
        trained
            .validation
            .push(means.iter().sum::<f32>() / means.len() as f32);
    }
    golden.compare("losses of steps", "t/out/step_losses", &trained.losses);
    golden.compare(
        "predictions",
        "t/out/valid_prediction",
        &trained.predictions,
    );
    // Rounded to four digits in the file.
    let rounded = golden.values("t/out/valid_loss_rounded");
    assert!(
        difference("validation", &trained.validation, &rounded) < 6e-5,
        "{:?}",
        trained.validation
    );
    model
}

/// Clamps every entry of the gradients.
fn clamp<M: burn::module::Module>(model: &M, gradients: &mut GradientsParams, most: f32) {
    struct Clamp<'a>(&'a mut GradientsParams, f32);
    impl burn::module::ModuleVisitor for Clamp<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                let clamped = gradient.clamp(-self.1, self.1);
                self.0.register(param.id, clamped);
            }
        }
    }
    model.visit(&mut Clamp(gradients, most));
}

/// The configuration of every preset, and that it passes its own check.
pub fn presets<C: Presets>(name: &str, task: &Task) -> Vec<(&'static str, C)> {
    let presets = C::PRESETS.iter();
    presets
        .map(|(preset, layer)| {
            let layer: toml::Table = layer.parse().unwrap();
            let own = layer
                .get("model")
                .and_then(|model| model.get(name))
                .cloned();
            let config = own.map_or_else(C::default, |own| own.try_into().unwrap());
            config.check(&format!("model.{name}"), task).unwrap();
            (*preset, config)
        })
        .collect()
}
