//! MMIM: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{TRAIN, host, seeded, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, EntropyMemory, Likelihood, Mmim, MmimConfig, MmimOutput, Mode, ModelConfig, ModelOutput,
    Presets, SentimentModel, SequenceBatch, StepAt, Task, TextBatch, bert_parameters,
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
    let (device, _turn) = seeded(1);
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
    let (device, _turn) = seeded(1);
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
    let (device, _turn) = seeded(1);
    let device = device.autodiff();
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
