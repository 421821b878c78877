//! TFN and LMF against numbers measured on the published code (MMSA a94e65d), a naive loop, and their own rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{Golden, TRAIN, batch, host, presets, relative, task, train};
use mmrest_data::{Frames, Modality};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, Example, HostBatch, Lmf, LmfConfig, MeanOver, Mode, ModelOutput, Presets, Rates,
    RunningStatistics, SentimentModel, StepAt, SubnetState, Task, TextFeatures, TextLstm, Tfn,
    TfnConfig, bert_parameters,
};

/// The configuration of a case of both systems.
struct Case {
    tfn: TfnConfig,
    lmf: LmfConfig,
    task: Task,
    text: BertConfig,
    /// Frames of audio and vision, padding included.
    frames: [usize; 2],
}

fn case(golden: &Golden, case: &str, lmf: bool) -> Case {
    let [text, audio, vision] = golden.sizes(case, "feature_dims")[..] else {
        panic!("three widths")
    };
    let [th, ah, vh] = golden.sizes(case, "hidden_dims")[..] else {
        panic!("three sizes")
    };
    let tokens = ["in", "train"].map(|at| golden.find(&format!("{case}/{at}/text")));
    let tokens = tokens.into_iter().flatten().next().unwrap().0[1];
    let dropouts = golden.numbers(case, "dropouts");
    // The cases with gradients were measured with dropout off; in evaluation it does nothing.
    assert!(case != "t" || dropouts.iter().all(|&p| p == 0.0));
    let mut own = Case {
        tfn: TfnConfig::default(),
        lmf: LmfConfig::default(),
        task: task(audio, vision),
        text: BertConfig::small(30, text, 1, 1, 4),
        frames: ["audio_frames", "vision_frames"].map(|what| {
            let found = golden.find(&format!("{case}/in/{what}"));
            found.map_or(1, |(shape, _)| shape[1])
        }),
    };
    if lmf {
        own.lmf = LmfConfig {
            text_hidden: th,
            audio_hidden: ah,
            vision_hidden: vh,
            rank: golden.number(case, "rank") as usize,
            audio_dropout: 0.0,
            vision_dropout: 0.0,
            padded_text: tokens,
            ..published_lmf()
        };
    } else {
        own.tfn = TfnConfig {
            text_hidden: th,
            audio_hidden: ah,
            vision_hidden: vh,
            text_out: golden.number(case, "text_out") as usize,
            post_fusion_dim: golden.number(case, "post_fusion_dim") as usize,
            audio_dropout: 0.0,
            vision_dropout: 0.0,
            post_fusion_dropout: 0.0,
            padded_text: tokens,
            text_lstm: TextLstm::Padded,
            ..TfnConfig::default()
        };
    }
    own
}

fn published_lmf() -> LmfConfig {
    LmfConfig {
        text_lstm: TextLstm::Padded,
        train_rank_weights: false,
        ..LmfConfig::default()
    }
}

fn statistics(golden: &Golden, at: &str) -> SubnetState {
    let of = |name: &str| RunningStatistics {
        mean: golden.values(&format!("{at}/{name}_subnet.norm.running_mean")),
        variance: golden.values(&format!("{at}/{name}_subnet.norm.running_var")),
    };
    SubnetState {
        audio: of("audio"),
        vision: of("video"),
    }
}

/// The text has passed its encoder: what is left of that are no layers.
fn untouched<M: SentimentModel>(own: &Case, config: &M::Config, device: &Device) -> M {
    let mut task = own.task.clone();
    task.lower_layers = 1;
    M::init(
        config,
        &task,
        Some((own.text.init(device), &own.text)),
        device,
    )
    .unwrap()
}

fn outputs_losses_and_gradients<M>(
    file: &str,
    config: impl Fn(&Case) -> M::Config,
    own_length: impl Fn(&Case) -> M::Config,
    parts: impl Fn(&M::Output) -> Vec<(&'static str, Tensor<2>)>,
    lmf: bool,
) where
    M: SentimentModel<State = SubnetState>,
{
    let Some(mut golden) = Golden::open(file) else {
        return;
    };
    let device = Device::flex().autodiff();
    for name in ["a", "b", "c"] {
        let own = case(&golden, name, lmf);
        let fresh: M = untouched(&own, &config(&own), &device);
        let weights = format!("{name}/w/");
        let model: M = golden.load(fresh, M::PUBLISHED_NAMES, &weights);
        let mut state = statistics(&golden, &format!("{name}/w"));
        let input = |what: &str| {
            let values = golden.tensor::<3>(&format!("{name}/in/{what}"), &device);
            let [rows, time, _] = values.dims();
            (values.require_grad(), vec![time; rows])
        };
        let (text, audio, vision) = (input("text"), input("audio"), input("vision"));
        let labels = golden.values(&format!("{name}/in/label"));
        let given = batch(text.clone(), audio.clone(), vision.clone(), labels.clone());
        let mode = if name == "c" { TRAIN } else { Mode::Evaluate };
        let mut output = model.forward(&given, &state, mode).unwrap();
        for (part, tensor) in parts(&output) {
            golden.compare_tensor("outputs", &format!("{name}/out/{part}"), tensor);
        }
        let loss = model.loss(&given, &mut output, &state, mode).unwrap();
        golden.compare_tensor("losses", &format!("{name}/loss/total"), loss.total.clone());
        let gradients = loss.total.backward();
        for (what, (values, _)) in [("text", text), ("audio", audio), ("vision", vision)] {
            let gradient = values.grad(&gradients).unwrap();
            golden.compare_tensor("gradients", &format!("{name}/grad_in/{what}"), gradient);
        }
        let prefix = format!("{name}/grad_w/");
        golden.compare_gradients(&model, M::PUBLISHED_NAMES, &gradients, &prefix, &|_| false);
        model
            .observe(&given, &output, &mut state, StepAt::new(1, 1))
            .unwrap();
        model.check_state(&state).unwrap();
        if name == "c" {
            for (what, own) in [("audio", &state.audio), ("video", &state.vision)] {
                let at = format!("c/out/after/{what}_subnet.norm");
                golden.compare("statistics", &format!("{at}.running_mean"), &own.mean);
                golden.compare("statistics", &format!("{at}.running_var"), &own.variance);
            }
            continue;
        }
        assert_eq!(state, statistics(&golden, &format!("{name}/w")));

        // Each text cut at its own length, and the published mean over padded frames.
        let fresh: M = untouched(&own, &own_length(&own), &device);
        let model: M = golden.load(fresh, M::PUBLISHED_NAMES, &weights);
        let lengths = |what: &str| golden.lengths(name, &format!("{what}_lengths"));
        let frames = |what: &str| {
            let values = golden.tensor::<3>(&format!("{name}/in/{what}_frames"), &device);
            (values, lengths(what))
        };
        let text = golden.tensor::<3>(&format!("{name}/in/text"), &device);
        let text = (text, lengths("text"));
        let given = batch(text, frames("audio"), frames("vision"), labels);
        let output = model.forward(&given, &state, Mode::Evaluate).unwrap();
        let name = format!("{name}/out/prediction_text_at_length");
        golden.compare_tensor("outputs", &name, output.prediction());
    }
}

#[test]
fn outputs_losses_and_gradients_of_tfn_are_the_published_ones() {
    outputs_losses_and_gradients::<Tfn>(
        "tfn",
        |own| own.tfn.clone(),
        |own| TfnConfig {
            text_lstm: TextLstm::OwnLength,
            mean_over: MeanOver::Padded,
            padded_audio: own.frames[0],
            padded_vision: own.frames[1],
            ..own.tfn.clone()
        },
        |output| {
            vec![
                ("text_h", output.text.clone()),
                ("audio_h", output.audio.clone()),
                ("vision_h", output.vision.clone()),
                ("fusion", output.fusion.clone()),
                ("prediction", output.prediction.clone()),
            ]
        },
        false,
    );
}

#[test]
fn outputs_losses_and_gradients_of_lmf_are_the_published_ones() {
    outputs_losses_and_gradients::<Lmf>(
        "lmf",
        |own| own.lmf.clone(),
        |own| LmfConfig {
            text_lstm: TextLstm::OwnLength,
            mean_over: MeanOver::Padded,
            padded_audio: own.frames[0],
            padded_vision: own.frames[1],
            ..own.lmf.clone()
        },
        |output| {
            vec![
                ("text_h", output.text.clone()),
                ("audio_h", output.audio.clone()),
                ("vision_h", output.vision.clone()),
                ("fusion", output.fusion.clone()),
                ("prediction", output.prediction.clone()),
            ]
        },
        true,
    );
}

fn two_epochs<M>(file: &str, config: impl Fn(&Golden, &Case) -> M::Config, lmf: bool)
where
    M: SentimentModel<State = SubnetState>,
{
    let Some(mut golden) = Golden::open(file) else {
        return;
    };
    let device = Device::flex().autodiff();
    let own = case(&golden, "t", lmf);
    let config = config(&golden, &own);
    let model: M = golden.load(
        untouched(&own, &config, &device),
        M::PUBLISHED_NAMES,
        "t/w0/",
    );
    let state = statistics(&golden, "t/w0");
    let rate = golden.number("t", "learning_rate");
    let decay = golden.cases["t"]["config"].get("weight_decay");
    let rates = Rates {
        learning_rate: rate,
        text_learning_rate: rate,
        weight_decay: decay.map_or(0.0, |decay| decay.as_f64().unwrap()),
        max_grad_norm: 0.0,
        max_grad_value: 0.0,
    };
    let recipe = M::recipe(&config, &rates);
    let take = |golden: &Golden, split: &str, first: usize, count: usize| -> Batch {
        let part = |what: &str| {
            let all = golden.tensor::<3>(&format!("t/{split}/{what}"), &device);
            let part = all.narrow(0, first, count);
            let time = part.dims()[1];
            (part, vec![time; count])
        };
        let labels = golden.values(&format!("t/{split}/label"))[first..][..count].to_vec();
        batch(part("text"), part("audio"), part("vision"), labels)
    };
    let mut after =
        |epoch: usize, steps: usize, model: &M, state: &SubnetState, golden: &mut Golden| {
            let prefix = format!("t/w{epoch}/");
            golden.compare_weights(
                model,
                M::PUBLISHED_NAMES,
                &prefix,
                rate * steps as f64,
                &|name| name.starts_with("bert."),
            );
            for (what, own) in [("audio", &state.audio), ("video", &state.vision)] {
                let at = format!("t/w{epoch}/{what}_subnet.norm");
                golden.compare("statistics", &format!("{at}.running_mean"), &own.mean);
                golden.compare("statistics", &format!("{at}.running_var"), &own.variance);
            }
        };
    train(&mut golden, model, state, &recipe, &take, &mut after);
}

#[test]
fn two_epochs_of_tfn_are_the_published_ones() {
    two_epochs::<Tfn>("tfn", |_, own| own.tfn.clone(), false);
}

#[test]
fn two_epochs_of_lmf_are_the_published_ones() {
    let config = |golden: &Golden, own: &Case| LmfConfig {
        factor_learning_rate: golden.number("t", "factor_lr"),
        ..own.lmf.clone()
    };
    two_epochs::<Lmf>("lmf", config, true);
}

fn parameters<M: SentimentModel>(name: &str, expected: [u128; 3]) {
    let device = Device::flex();
    let data = [(5, 20), (74, 35), (33, 709)];
    let presets = presets::<M::Config>(name, &task(5, 20));
    assert_eq!(presets.len(), M::Config::PRESETS.len());
    for (((preset, config), (audio, vision)), expected) in
        presets.into_iter().zip(data).zip(expected)
    {
        let task = task(audio, vision);
        let base = BertConfig::default();
        let count = M::parameter_count(&config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{preset}");
        let small = BertConfig::small(30, 8, 1, 2, 16);
        let model = M::init(&config, &task, Some((small.init(&device), &small)), &device).unwrap();
        let count = M::parameter_count(&config, &task, Some(&small));
        assert_eq!(model.num_params() as u128, count, "{preset}");
        let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
        let bert = model.text_encoder().unwrap().num_params();
        assert_eq!((parts + bert) as u128, count);
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    parameters::<Tfn>("tfn", [9_497_043, 5_042_539, 35_632_077]);
    parameters::<Lmf>("lmf", [505_071, 508_475, 272_381]);
}

fn small() -> TfnConfig {
    TfnConfig {
        text_hidden: 4,
        audio_hidden: 2,
        vision_hidden: 3,
        text_out: 2,
        post_fusion_dim: 3,
        ..TfnConfig::default()
    }
}

fn example(label: f32, audio: usize, frames: usize) -> Example {
    Example {
        id: "segment".into(),
        text: TextFeatures::Tokens(vec![2, 5 + label.abs() as u32, 3]),
        vision: Frames::empty(0),
        audio: Frames {
            values: vec![0.3 * label; frames * audio],
            width: audio,
        },
        label,
        sentences: Vec::new(),
    }
}

#[test]
fn the_fusion_is_the_outer_product_and_the_score_is_in_range() {
    let device = Device::flex();
    let bert = BertConfig::small(30, 4, 1, 2, 8);
    let task = Task {
        modalities: vec![Modality::Text, Modality::Audio],
        label_range: [-1.0, 2.0],
        ..task(5, 0)
    };
    let model = Tfn::init(&small(), &task, Some((bert.init(&device), &bert)), &device).unwrap();
    let state = Tfn::init_state(&small(), &task, &[]);
    let examples = [example(1.0, 5, 3), example(-2.0, 5, 1)];
    let batch = HostBatch::new(&examples, vec![0, 1]).upload(&device);
    let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
    let [a, v, t] = [&output.audio, &output.vision, &output.text].map(|h| host(h.clone()));
    let mut expected = Vec::new();
    let one = |h: &[f32], at: usize| if at == 0 { 1.0 } else { h[at - 1] };
    for row in 0..2 {
        for i in 0..3 {
            for j in 0..4 {
                for k in 0..3 {
                    expected.push(
                        one(&a[row * 2..][..2], i)
                            * one(&v[row * 3..][..3], j)
                            * one(&t[row * 2..][..2], k),
                    );
                }
            }
        }
    }
    assert!(relative(&host(output.fusion.clone()), &expected) < 1e-6);
    let predictions = host(output.prediction());
    assert!(predictions.iter().all(|p| (-1.0..=2.0).contains(p)));
    assert_eq!(output.stages().len(), 5);
}

#[test]
fn padding_matters_only_where_it_is_asked_for() {
    let device = Device::flex();
    let bert = BertConfig::small(30, 4, 1, 2, 8);
    let long = [example(1.0, 5, 6), example(-2.0, 5, 1)];
    let alone = [example(-2.0, 5, 1)];
    for (published, same) in [(false, true), (true, false)] {
        device.seed(3);
        let config = TfnConfig {
            published,
            audio_hidden: 16,
            ..small()
        };
        let task = task(5, 0);
        let model = Tfn::init(&config, &task, Some((bert.init(&device), &bert)), &device).unwrap();
        let state = Tfn::init_state(&config, &task, &[]);
        let score = |examples: &[Example]| {
            let rows = (0..examples.len()).collect();
            let batch = HostBatch::new(examples, rows).upload(&device);
            let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
            host(output.audio)[(examples.len() - 1) * 16..].to_vec()
        };
        // The mean over a fixed number of frames depends on how many frames are a segment's own.
        assert!(relative(&score(&long), &score(&alone)) < 1e-6);
        let more = [example(-2.0, 5, 4)];
        assert_eq!(relative(&score(&more), &score(&alone)) < 1e-6, same);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let task = Task {
        modalities: vec![Modality::Audio],
        ..task(5, 0)
    };
    let model = Tfn::init(&small(), &task, None, &device).unwrap();
    let mut state = Tfn::init_state(&small(), &task, &[]);
    model.check_state(&state).unwrap();
    let no_text = |mut example: Example| {
        example.text = TextFeatures::Absent;
        example
    };
    let examples = [1.0, -1.0].map(|label| no_text(example(label, 5, 2)));
    let parts = HostBatch::split(&examples, &[0, 1], 2);
    let parts = HostBatch::upload_parts(parts, &[device.clone(), device.clone()]);
    let mut output = model.forward(&parts[0], &state, TRAIN).unwrap();
    let error = model.loss(&parts[0], &mut output, &state, TRAIN);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("one device"), "{error}");
    state.audio.mean.pop();
    assert!(model.check_state(&state).is_err());
    let config = TfnConfig {
        text_out: 0,
        ..small()
    };
    let error = config.check("model.tfn", &task).unwrap_err();
    assert!(error.0.contains("model.tfn.text_out"), "{error}");
    let config = LmfConfig {
        text_hidden: 1,
        ..LmfConfig::default()
    };
    let error = config.check("model.lmf", &task).unwrap_err();
    assert!(error.0.contains("model.lmf.text_hidden"), "{error}");
}
