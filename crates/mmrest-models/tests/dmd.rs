//! DMD against numbers measured on the published code (516d4e1), and its own rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use common::{Golden, TRAIN, batch, host, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Dmd, DmdConfig, Mode, ModelConfig, ModelOutput, Presets, Rates, SentimentModel, Task,
    bert_parameters, published_weights,
};

/// A model that takes states of a finished text encoder.
fn without_bert(config: &DmdConfig, task: &Task, hidden: usize, device: &Device) -> Dmd {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    let text = Some((bert.init(device), &bert));
    let mut model = Dmd::init(config, task, text, device).unwrap();
    model.bert = None;
    model
}

/// Sequences that are all full.
fn full(values: &Tensor<3>) -> (Tensor<3>, Vec<usize>) {
    let [count, time, _] = values.dims();
    (values.clone(), vec![time; count])
}

fn golden_config(case: usize) -> DmdConfig {
    let case_1 = DmdConfig {
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
        published: true,
        ..DmdConfig::default()
    };
    if case == 1 {
        return case_1;
    }
    DmdConfig {
        width: 6,
        heads: 3,
        levels: 3,
        lengths: [6, 11, 5],
        kernels: [2, 3, 1],
        homo_width: 3,
        hetero_width: 6,
        ..case_1
    }
}

/// Gradients that are zero but for rounding.
fn noise(name: &str) -> bool {
    ["W_edge.bias", "W_logit.bias", "W_repr.bias"]
        .iter()
        .any(|end| name.ends_with(end))
}

#[test]
fn outputs_losses_and_gradients_are_the_published_ones() {
    let device = Device::flex().autodiff();
    for case in [1, 2] {
        let Some(mut golden) = Golden::open(&format!("dmd_{case}")) else {
            return;
        };
        golden.tolerance = (1e-4, 1e-6);
        let inputs = ["text", "audio", "vision"].map(|name| {
            let values: Tensor<3> = golden.tensor(&format!("input.{name}"), &device);
            values.require_grad()
        });
        let [text, audio, vision] = &inputs;
        let width = |input: &Tensor<3>| input.dims()[2];
        let task = task(width(audio), width(vision));
        let model = without_bert(&golden_config(case), &task, width(text), &device);
        let model = golden.load(model, Dmd::PUBLISHED_NAMES, "weight.");
        let labels = golden.values("label");
        let batch = batch(full(text), full(audio), full(vision), labels);
        let mut output = model.forward(&batch, &(), TRAIN).unwrap();
        let time_first = |x: &Tensor<3>| x.clone().permute([2, 0, 1]);
        for (m, own) in ["l", "v", "a"].iter().zip(&output.modalities) {
            for (name, found) in [
                (format!("origin_{m}"), own.origin.clone()),
                (format!("s_{m}"), time_first(&own.private)),
                (format!("c_{m}"), time_first(&own.common)),
                (format!("recon_{m}"), own.reconstructed.clone()),
                (format!("s_{m}_r"), own.private_again.clone()),
            ] {
                golden.compare_tensor("outputs", &format!("output.{name}"), found);
            }
            for (name, found) in [
                (format!("c_{m}_sim"), &own.aligned),
                (format!("logits_{m}_homo"), &own.low_score),
                (format!("repr_{m}_homo"), &own.low),
                (format!("logits_{m}_hetero"), &own.high_score),
                (format!("repr_{m}_hetero"), &own.high),
                (format!("last_h_{m}"), &own.last),
            ] {
                golden.compare_tensor("outputs", &format!("output.{name}"), found.clone());
            }
        }
        let name = "output.logits_c";
        golden.compare_tensor("outputs", name, output.common_score.clone());
        let name = "output.output_logit";
        golden.compare_tensor("outputs", name, output.prediction.clone());
        for (name, found) in ["homo", "hetero"].iter().zip(model.edges(&output)) {
            golden.compare_tensor("outputs", &format!("output.edges_{name}"), found);
        }
        let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
        for (name, part) in Dmd::LOSSES.iter().zip(loss.parts) {
            match part {
                Some(part) => golden.compare_tensor("losses", &format!("loss.{name}"), part),
                None => assert_eq!(*name, "homo_repr"),
            }
        }
        golden.compare_tensor("losses", "loss.total", loss.total.clone());
        let gradients = loss.total.backward();
        golden.compare_gradients(
            &model,
            Dmd::PUBLISHED_NAMES,
            &gradients,
            "grad.weight.",
            &noise,
        );
        for (name, input) in ["text", "audio", "vision"].iter().zip(&inputs) {
            let found = input.grad(&gradients).unwrap();
            golden.compare_tensor("gradients", &format!("grad.input.{name}"), found);
        }
        // The distillation of low representations, which the published code computes and leaves out.
        let config = DmdConfig {
            published: false,
            ..golden_config(case)
        };
        let model = without_bert(&config, &task, width(text), &device);
        let model = golden.load(model, Dmd::PUBLISHED_NAMES, "weight.");
        let mut output = model.forward(&batch, &(), TRAIN).unwrap();
        let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
        let repr = loss.parts[7].clone().unwrap();
        golden.compare_tensor("losses", "loss.homo_repr_unused", repr);
    }
}

/// Clamps every entry of the gradients.
struct Clamp<'a>(&'a mut GradientsParams, f64);

impl ModuleVisitor for Clamp<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.remove::<D>(param.id) {
            let clamped = gradient.clamp(-self.1, self.1);
            self.0.register(param.id, clamped);
        }
    }
}

#[test]
fn two_epochs_of_summed_batches_are_the_published_ones() {
    let device = Device::flex().autodiff();
    let (Some(start), Some(mut golden)) = (Golden::open("dmd_1"), Golden::open("dmd_steps")) else {
        return;
    };
    golden.tolerance = (1e-4, 1e-6);
    let config = DmdConfig {
        accumulate: 2,
        ..golden_config(1)
    };
    let mut model = without_bert(&config, &task(3, 4), 12, &device);
    model = start.load(model, Dmd::PUBLISHED_NAMES, "weight.");
    let rates = Rates {
        learning_rate: 1e-2,
        text_learning_rate: 1e-2,
        weight_decay: 0.0,
        max_grad_norm: 0.0,
        max_grad_value: 0.6,
    };
    let recipe = Dmd::recipe(&config, &rates);
    assert!(!recipe.flush_rest);
    let (mut optimizer, mut scheduler) = common::optimizer(&recipe);
    for epoch in 1..=2 {
        let mut accumulator = GradientsAccumulator::new();
        for step in 1..=3 {
            let [text, audio, vision] = ["text", "audio", "vision"]
                .map(|name| golden.tensor::<3>(&format!("batch{}.{name}", step - 1), &device));
            let labels = golden.values(&format!("batch{}.label", step - 1));
            let batch = batch(full(&text), full(&audio), full(&vision), labels);
            let mut output = model.forward(&batch, &(), TRAIN).unwrap();
            let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            accumulator.accumulate(&model, gradients);
            let mut sum = accumulator.grads();
            model.visit(&mut Clamp(&mut sum, 0.6));
            if step % recipe.accumulate == 0 {
                model = optimizer.step(scheduler.step(), model, sum);
            } else {
                accumulator.accumulate(&model, sum);
            }
        }
        let found = published_weights(&model, Dmd::PUBLISHED_NAMES).unwrap();
        let prefix = format!("epoch{epoch}.");
        let names = golden.names(&prefix);
        let mut compared = 0;
        for name in names {
            if let Some((_, (_, values))) = found.iter().find(|(own, _)| *own == name) {
                let full = format!("{prefix}{name}");
                golden.compare("weights after training", &full, values);
                compared += 1;
            }
        }
        // All but a layer that is never used.
        assert_eq!(compared, 13);
    }
}

fn tiny() -> DmdConfig {
    DmdConfig {
        width: 4,
        heads: 2,
        levels: 1,
        lengths: [4, 5, 3],
        kernels: [2, 1, 3],
        homo_width: 2,
        hetero_width: 3,
        ..DmdConfig::default()
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let device = Device::flex();
    let defaults = ModelConfig::default_of("dmd").unwrap();
    assert_eq!(defaults.presets(), DmdConfig::PRESETS);
    let base = BertConfig::default();
    // With the graphs; without the layer that is never used, as large as the one of the margin loss.
    for (preset, audio, vision, graphs, expected) in [
        ("mosi", 5, 20, 3_649 + 3_425, 4_743_658),
        ("mosi-unaligned", 5, 20, 3_649 + 3_425, 12_571_158),
        ("mosei", 74, 35, 2_369 + 2_145, 1_792_778),
        ("mosei-unaligned", 74, 35, 2_369 + 2_145, 5_086_778),
    ] {
        let task = task(audio, vision);
        let presets = common::presets::<DmdConfig>("dmd", &task);
        let (_, config) = presets.iter().find(|(name, _)| *name == preset).unwrap();
        let count = Dmd::parameter_count(config, &task, Some(&base)) - bert_parameters(&base);
        let times = config.lengths.iter().zip(&config.kernels);
        let unused = times.map(|(length, kernel)| {
            let flat = (length - kernel + 1) * config.width;
            (flat + 1) * config.width
        });
        let unused: usize = unused.sum();
        assert_eq!(count + unused as u128, expected + graphs, "{preset}");
    }
    let task = task(3, 2);
    let small = BertConfig::small(30, 8, 1, 2, 16);
    let text = Some((small.init(&device), &small));
    let model = Dmd::init(&tiny(), &task, text, &device).unwrap();
    let count = Dmd::parameter_count(&tiny(), &task, Some(&small));
    assert_eq!(model.num_params() as u128, count);
    let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
    let bert = model.text_encoder().unwrap().num_params();
    assert_eq!((parts + bert) as u128, count);
}

#[test]
fn sequences_of_any_length_are_cut_and_padded_and_the_losses_are_finite() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let model = without_bert(&tiny(), &task(3, 2), 6, &device);
    let random = |shape: [usize; 3]| {
        Tensor::<3>::random(shape, burn::tensor::Distribution::Normal(0.0, 1.0), &device)
    };
    for labels in [vec![1.0, 1.0, -2.0], vec![0.5, 0.5, 0.5]] {
        let (text, audio, vision) = (random([3, 2, 6]), random([3, 9, 3]), random([3, 1, 2]));
        let batch = batch(full(&text), full(&audio), full(&vision), labels);
        let mut output = model.forward(&batch, &(), TRAIN).unwrap();
        let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
        // Rows of one label have no others to be far from.
        let margin = host(loss.parts[4].clone().unwrap())[0];
        assert_eq!(margin == 0.0, batch.labels[2] == 0.5);
        let gradients = loss.total.backward();
        let weight = model.text.convolution.val().grad(&gradients).unwrap();
        assert!(host(weight).iter().all(|value| value.is_finite()));
        let loss = model
            .loss(&batch, &mut output, &(), Mode::Evaluate)
            .unwrap();
        let scores = host(output.prediction());
        let errors = scores.iter().zip(&batch.labels).map(|(s, l)| (s - l).abs());
        assert!((host(loss.total)[0] - errors.sum::<f32>() / 3.0).abs() < 1e-6);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for (config, key) in [
        (DmdConfig { heads: 3, ..tiny() }, "heads"),
        (
            DmdConfig {
                kernels: [5, 1, 1],
                ..tiny()
            },
            "lengths",
        ),
        (
            DmdConfig {
                accumulate: 0,
                ..tiny()
            },
            "accumulate",
        ),
        (
            DmdConfig {
                attention_dropout: [0.0, 1.0, 0.0],
                ..tiny()
            },
            "attention_dropout",
        ),
    ] {
        let error = config.check("model.dmd", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(&format!("model.dmd.{key}")), "{error}");
    }
}
