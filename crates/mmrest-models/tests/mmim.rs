//! MMIM against numbers measured on the published code (MMSA a94e65d), and its own rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor};
use common::{Golden, TRAIN, host, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, EntropyMemory, Likelihood, Mmim, MmimConfig, MmimOutput, Mode, ModelConfig, ModelOutput,
    Presets, Rates, SentimentModel, SequenceBatch, StepAt, Task, TextBatch, bert_parameters,
    published_weights,
};

/// A model that takes the first token's state from the batch.
fn without_bert(config: &MmimConfig, task: &Task, hidden: usize, device: &Device) -> Mmim {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    let text = Some((bert.init(device), &bert));
    let mut model = Mmim::init(config, task, text, device).unwrap();
    model.bert = None;
    model
}

/// A step of an epoch's second pass.
fn at(epoch: usize, step: usize) -> StepAt {
    StepAt {
        epoch,
        pass: 1,
        step,
    }
}

fn golden_config(case: usize) -> MmimConfig {
    let case_1 = MmimConfig {
        vision_hidden: 8,
        audio_hidden: 8,
        vision_out: 8,
        audio_out: 12,
        fusion_width: 20,
        fusion_dropout: 0.0,
        ..MmimConfig::default()
    };
    if case == 1 {
        return case_1;
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
        ..case_1
    }
}

/// A batch of first tokens and frames, with gradients of all inputs, and those inputs.
fn inputs(golden: &Golden, prefix: &str, device: &Device) -> [Tensor<3>; 3] {
    ["text", "audio", "vision"].map(|name| {
        let values: Tensor<3> = golden.tensor(&format!("{prefix}{name}"), device);
        values.require_grad()
    })
}

fn batch(
    [text, audio, vision]: &[Tensor<3>; 3],
    lengths: [Vec<usize>; 2],
    labels: Vec<f32>,
) -> Batch {
    let first: Tensor<2> = text.clone().narrow(1, 0, 1).squeeze_dim(1);
    let [of_audio, of_vision] = lengths;
    let frames = |values: &Tensor<3>, lengths| {
        Some(SequenceBatch {
            values: values.clone(),
            lengths,
        })
    };
    Batch {
        text: Some(TextBatch::First(first)),
        audio: frames(audio, of_audio),
        vision: frames(vision, of_vision),
        sentences: Vec::new(),
        rows: (0..labels.len()).collect(),
        labels,
        part: None,
    }
}

#[test]
fn outputs_losses_and_gradients_are_the_published_ones() {
    let device = Device::flex().autodiff();
    for case in [1, 2] {
        let Some(mut golden) = Golden::open(&format!("mmim_{case}")) else {
            return;
        };
        golden.tolerance = (1e-4, 1e-6);
        let config = golden_config(case);
        let pairs: &[&str] = if config.vision_audio {
            &["tv", "ta", "va"]
        } else {
            &["tv", "ta"]
        };
        let labels = golden.values("label");
        for stage in [1, 2] {
            let inputs = inputs(&golden, "input.", &device);
            let [text, audio, vision] = inputs.clone().map(|input| input.dims()[2]);
            let model = without_bert(&config, &task(audio, vision), text, &device);
            let model = golden.load(model, Mmim::PUBLISHED_NAMES, "weight.");
            let lengths =
                ["audio", "vision"].map(|name| golden.usizes(&format!("input.{name}_lengths")));
            let batch = batch(&inputs, lengths, labels.clone());
            let memory = |side: &str| {
                let rows = pairs.iter();
                rows.map(|pair| golden.values(&format!("memory.{pair}.{side}")))
                    .collect()
            };
            let state = EntropyMemory {
                positive: memory("pos"),
                negative: memory("neg"),
                skipped: 0,
            };
            model.check_state(&state).unwrap();
            let mut output = model.forward(&batch, &state, TRAIN).unwrap();
            for (name, found) in [
                ("feature_t", &output.text),
                ("feature_v", &output.vision),
                ("feature_a", &output.audio),
                ("fusion", &output.fusion),
                ("prediction", &output.prediction),
            ] {
                golden.compare_tensor("outputs", &format!("output.{name}"), found.clone());
            }
            let total = if stage == 1 {
                let likelihoods = model.likelihoods(&output);
                for (pair, found) in pairs.iter().zip(likelihoods) {
                    golden.compare_tensor("losses", &format!("loss.lld_{pair}"), found);
                }
                let contrasts = model.contrasts(&output);
                for (name, found) in ["t", "v", "a"].iter().zip(contrasts) {
                    golden.compare_tensor("losses", &format!("loss.nce_{name}"), found);
                }
                model.estimator_loss(&output).total
            } else {
                let without = model.score_loss(&batch, &mut output, &state, 2).unwrap();
                let name = "stage2.loss.without_entropy";
                golden.compare_tensor("losses", name, without.total);
                let loss = model.score_loss(&batch, &mut output, &state, 3).unwrap();
                let names = ["task", "nce", "lld", "entropy"];
                for (name, part) in names.iter().zip(loss.parts) {
                    golden.compare_tensor("losses", &format!("loss.{name}"), part.unwrap());
                }
                let mut after = state.clone();
                model
                    .observe(&batch, &output, &mut after, at(1, 3))
                    .unwrap();
                for (at, pair) in pairs.iter().enumerate() {
                    for (side, rows) in [("pos", &after.positive), ("neg", &after.negative)] {
                        golden.compare("outputs", &format!("output.{pair}.{side}"), &rows[at]);
                    }
                }
                loss.total
            };
            let name = format!("stage{stage}.loss.total");
            golden.compare_tensor("losses", &name, total.clone());
            let gradients = total.backward();
            golden.compare_gradients(
                &model,
                Mmim::PUBLISHED_NAMES,
                &gradients,
                &format!("stage{stage}.grad.weight."),
                &|_| false,
            );
            for (name, input) in ["text", "audio", "vision"].iter().zip(inputs) {
                let found = input.grad(&gradients).unwrap();
                let name = format!("stage{stage}.grad.input.{name}");
                golden.compare_tensor("gradients", &name, found);
            }
        }
    }
}

/// Identities of the parameters of which `which` holds, by path, and the square of the norm of all gradients.
struct Groups<'a, F> {
    gradients: &'a Gradients,
    which: F,
    path: Vec<String>,
    ids: Vec<ParamId>,
    square: f64,
}

impl<F: Fn(&str) -> bool> ModuleVisitor for Groups<'_, F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if (self.which)(&self.path.join(".")) {
            self.ids.push(param.id);
        }
        if let Some(gradient) = param.val().grad(self.gradients) {
            let values = host(gradient);
            self.square += values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        }
    }
}

/// Scales the gradients of some parameters.
struct Scale<'a>(&'a mut GradientsParams, f64);

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.remove::<D>(param.id) {
            self.0.register(param.id, gradient * self.1);
        }
    }
}

#[test]
fn two_epochs_of_both_passes_are_the_published_ones() {
    let device = Device::flex().autodiff();
    let Some(mut golden) = Golden::open("mmim_steps_none") else {
        return;
    };
    golden.tolerance = (1e-4, 1e-6);
    let config = MmimConfig {
        mi_learning_rate: 1e-2,
        ..golden_config(1)
    };
    let mut model = without_bert(&config, &task(5, 6), 16, &device);
    model = golden.load(model, Mmim::PUBLISHED_NAMES, "start.");
    let rates = Rates {
        learning_rate: 1e-2,
        text_learning_rate: 1e-2,
        weight_decay: 1e-4,
        max_grad_norm: 1.0,
        max_grad_value: 0.0,
    };
    let recipe = Mmim::recipe(&config, &rates);
    let (mut optimizer, mut scheduler) = common::optimizer(&recipe);
    let mut state = EntropyMemory::default();
    let batch_of = |golden: &Golden, at: usize| {
        let inputs = inputs(golden, &format!("batch{at}."), &device);
        let lengths = ["audio_lengths", "vision_lengths"].map(|name| golden.usizes(name));
        let labels = golden.values(&format!("batch{at}.label"));
        batch(&inputs, lengths, labels)
    };
    for epoch in 1..=2 {
        for estimators in [true, false] {
            for step in 1..=3 {
                let batch = batch_of(&golden, step - 1);
                let mut output = model.forward(&batch, &state, TRAIN).unwrap();
                let loss = if estimators {
                    model.estimator_loss(&output)
                } else {
                    model.score_loss(&batch, &mut output, &state, step).unwrap()
                };
                let gradients = loss.total.backward();
                let mut groups = Groups {
                    gradients: &gradients,
                    which: |path: &str| path.starts_with("mi_") == estimators,
                    path: Vec::new(),
                    ids: Vec::new(),
                    square: 0.0,
                };
                model.visit(&mut groups);
                let (ids, norm) = (groups.ids, groups.square.sqrt());
                let mut gradients = gradients;
                let mut own = GradientsParams::from_params(&mut gradients, &model, &ids);
                model.visit(&mut Scale(&mut own, (1.0 / (norm + 1e-6)).min(1.0)));
                if !estimators {
                    model
                        .observe(&batch, &output, &mut state, at(epoch, step))
                        .unwrap();
                }
                model = optimizer.step(scheduler.step(), model, own);
            }
        }
        assert_eq!(state.skipped, 0);
        for (name, (_, found)) in published_weights(&model, Mmim::PUBLISHED_NAMES).unwrap() {
            golden.compare(
                "weights after training",
                &format!("epoch{epoch}.{name}"),
                &found,
            );
        }
    }
}

fn tiny() -> MmimConfig {
    MmimConfig {
        vision_hidden: 2,
        audio_hidden: 3,
        vision_out: 4,
        audio_out: 5,
        fusion_width: 3,
        ..MmimConfig::default()
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let device = Device::flex();
    let defaults = ModelConfig::default_of("mmim").unwrap();
    assert_eq!(defaults.presets(), MmimConfig::PRESETS);
    for (preset, audio, vision, expected) in [("mosi", 5, 20, 281_673), ("mosei", 74, 35, 292_425)]
    {
        let task = task(audio, vision);
        let presets = common::presets::<MmimConfig>("mmim", &task);
        let (_, config) = presets.iter().find(|(name, _)| *name == preset).unwrap();
        let base = BertConfig::default();
        let count = Mmim::parameter_count(config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{preset}");
        let both = MmimConfig {
            vision_audio: true,
            cpc_layers: 3,
            ..config.clone()
        };
        for config in [config, &both] {
            let small = BertConfig::small(30, 8, 1, 2, 16);
            let text = Some((small.init(&device), &small));
            let model = Mmim::init(config, &task, text, &device).unwrap();
            let count = Mmim::parameter_count(config, &task, Some(&small));
            assert_eq!(model.num_params() as u128, count, "{preset}");
            let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
            let bert = model.text_encoder().unwrap().num_params();
            assert_eq!((parts + bert) as u128, count);
        }
    }
}

fn random(shape: [usize; 3], device: &Device) -> Tensor<3> {
    Tensor::random(shape, burn::tensor::Distribution::Normal(0.0, 1.0), device)
}

fn evaluate(model: &Mmim, batch: &Batch) -> MmimOutput {
    let state = EntropyMemory::default();
    model.forward(batch, &state, Mode::Evaluate).unwrap()
}

#[test]
fn padding_does_not_matter_in_either_direction() {
    let device = Device::flex();
    device.seed(1);
    let model = without_bert(&tiny(), &task(3, 2), 6, &device);
    let inputs = [
        random([2, 1, 6], &device),
        random([2, 5, 3], &device),
        random([2, 4, 2], &device),
    ];
    let both = batch(&inputs, [vec![2, 5], vec![3, 4]], vec![1.0, -1.0]);
    let both = host(evaluate(&model, &both).prediction());
    let first = inputs.map(|input| input.narrow(0, 0, 1));
    let [text, audio, vision] = first;
    let first = [text, audio.narrow(1, 0, 2), vision.narrow(1, 0, 3)];
    let alone = batch(&first, [vec![2], vec![3]], vec![1.0]);
    let alone = host(evaluate(&model, &alone).prediction());
    assert!((alone[0] - both[0]).abs() < 1e-6, "{alone:?} {both:?}");
}

#[test]
fn a_singular_covariance_is_left_out_and_counted() {
    let device = Device::flex().autodiff();
    device.seed(1);
    let config = MmimConfig {
        lld: Likelihood::Gaussian,
        ..tiny()
    };
    let model = without_bert(&config, &task(3, 2), 6, &device);
    let inputs = [
        random([3, 1, 6], &device),
        random([3, 5, 3], &device),
        random([3, 4, 2], &device),
    ];
    let mut state = EntropyMemory::default();
    // One row a side: no covariance.
    let one = batch(&inputs, [vec![5; 3], vec![4; 3]], vec![1.0, 0.0, -1.0]);
    for (step, entropy) in [(1, false), (2, false), (3, true)] {
        let mut output = model.forward(&one, &state, TRAIN).unwrap();
        let loss = model.score_loss(&one, &mut output, &state, step).unwrap();
        assert!(host(loss.total)[0].is_finite());
        // With the row of the batch before, it is the same one: still none.
        assert!(loss.parts[3].is_none());
        model
            .observe(&one, &output, &mut state, at(1, step))
            .unwrap();
        assert_eq!(state.skipped, usize::from(entropy));
    }
    let columns = model.epoch_columns(&state);
    assert_eq!(columns, [("entropy_skipped", 1.0)]);
    model.check_state(&state).unwrap();
    assert_eq!(model.prediction_state(&state), EntropyMemory::default());
    let mut other = state.clone();
    other.positive.pop();
    assert!(model.check_state(&other).is_err());
    state.negative[0][0] = f32::NAN;
    assert!(model.check_state(&state).is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    for (config, key) in [
        (
            MmimConfig {
                audio_out: 3,
                ..tiny()
            },
            "audio_out",
        ),
        (
            MmimConfig {
                cpc_layers: 9,
                ..tiny()
            },
            "cpc_layers",
        ),
        (
            MmimConfig {
                mi_share: 0.0,
                ..tiny()
            },
            "mi_share",
        ),
        (
            MmimConfig {
                beta: -1.0,
                ..tiny()
            },
            "beta",
        ),
    ] {
        let error = config.check("model.mmim", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(&format!("model.mmim.{key}")), "{error}");
    }
}
