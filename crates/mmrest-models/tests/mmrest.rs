//! MMRest's kernel form: sizes, what an epoch's end keeps, what the bias is made of, gates that start closed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use common::{TRAIN, host, presets, seeded};
use mmrest_data::Modality;
use mmrest_models::{
    Batch, ClusterState, FusionKind, KernelLossConfig, LossConfig, MmRest, MmRestConfig, Mode,
    ModelOutput, Presets, ProjectionConfig, SentimentModel, SequenceBatch, StepRows, SupportFrom,
    Task,
};

const LABELS: [f32; 6] = [-2.5, 0.25, 3.0, 1.0, -1.0, 0.0];

/// A task with audio and vision of these widths.
fn task(audio: usize, vision: usize) -> Task {
    Task {
        modalities: vec![Modality::Vision, Modality::Audio],
        ..common::task(audio, vision)
    }
}

fn kernel() -> MmRestConfig {
    let presets = presets::<MmRestConfig>("mmrest", &task(3, 2));
    let (_, config) = presets
        .into_iter()
        .find(|(name, _)| *name == "kernel")
        .unwrap();
    MmRestConfig {
        representation: 8,
        loss: LossConfig::Kernel(KernelLossConfig {
            ordinal_weight: 0.5,
            anchor_weight: 0.1,
            ..KernelLossConfig::default()
        }),
        projection: ProjectionConfig::Kernel {
            centers: 0.3,
            support: SupportFrom::Encoded,
        },
        ..config
    }
}

fn random(shape: [usize; 3], step: f32, device: &Device) -> Tensor<3> {
    let values = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * step).sin());
    Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), device)
}

/// Six segments of audio and vision.
fn segments(device: &Device) -> Batch {
    let frames = |values| {
        Some(SequenceBatch {
            values,
            lengths: vec![4, 2, 4, 3, 1, 4],
        })
    };
    Batch {
        text: None,
        audio: frames(random([6, 4, 3], 0.7, device)),
        vision: frames(random([6, 4, 2], 1.1, device)),
        sentences: Vec::new(),
        labels: LABELS.to_vec(),
        rows: (0..LABELS.len()).collect(),
        part: None,
    }
}

/// Some of them, by their places in the split.
fn picked(rows: &[usize], device: &Device) -> Batch {
    let mut batch = segments(device);
    let places: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    for modality in [&mut batch.audio, &mut batch.vision] {
        let modality = modality.as_mut().unwrap();
        let places = Tensor::from_data(TensorData::new(places.clone(), [rows.len()]), device);
        modality.values = modality.values.clone().select(0, places);
        modality.lengths = rows.iter().map(|&row| modality.lengths[row]).collect();
    }
    batch.labels = rows.iter().map(|&row| LABELS[row]).collect();
    batch.rows = rows.to_vec();
    batch
}

/// A model after the end of an epoch of these segments.
fn trained(config: &MmRestConfig, device: &Device) -> (MmRest, ClusterState) {
    device.seed(3);
    let model = MmRest::init(config, &task(3, 2), None, device).unwrap();
    let mut state = MmRest::init_state(config, &task(3, 2), &LABELS);
    let split = || [Ok(segments(device))].into_iter();
    model.begin_epoch(&mut state, 1, &mut split()).unwrap();
    // Clusters that no step looks at wait for the epoch's end.
    let LossConfig::Kernel(weights) = &config.loss else {
        panic!("{:?}", config.loss);
    };
    assert_eq!(state.clusters.is_some(), weights.ordinal_weight > 0.0);
    assert_eq!(model.epoch_stage(1).is_some(), state.clusters.is_some());
    assert!(state.support.is_none());
    model.end_epoch(&mut state, &mut split()).unwrap();
    (model, state)
}

#[test]
fn presets_have_the_parameters_that_are_counted() {
    let (device, _turn) = seeded(1);
    for (preset, config) in presets::<MmRestConfig>("mmrest", &task(3, 2)) {
        for (audio, vision) in [(3, 2), (3, 0), (0, 2)] {
            let task = task(audio, vision);
            let model = MmRest::init(&config, &task, None, &device).unwrap();
            let counted = MmRest::parameter_count(&config, &task, None);
            assert_eq!(model.num_params() as u128, counted, "{preset}");
        }
    }
}

#[test]
fn the_bias_is_what_the_training_segments_around_say() {
    let (config, (device, _turn)) = (kernel(), seeded(3));
    let (model, state) = trained(&config, &device);
    model.check_state(&state).unwrap();
    let support = state.support.as_ref().unwrap();
    assert_eq!(support.labels, LABELS);
    assert_eq!(support.rows.len(), 2 * LABELS.len() * 8);

    let batch = segments(&device);
    let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
    let (kernel, metric) = (
        model.kernel.as_ref().unwrap(),
        model.metric.as_ref().unwrap(),
    );
    let rows = output.representations.rows();
    let around = host(kernel.predict(rows.clone(), support, metric).unwrap());
    let clusters = state.clusters.as_ref().unwrap();
    let shares = metric.log_memberships(rows, 2, clusters, config.clusters.temperature);
    let sentiments: Vec<f32> = clusters.bins.iter().map(|&bin| bin as f32 - 3.0).collect();
    let expected = host(mmrest_metric::expected_sentiment(shares, &sentiments));
    let ProjectionConfig::Kernel { centers, .. } = config.projection else {
        panic!("{:?}", config.projection);
    };
    let (score, y) = (host(output.score.clone()), host(output.prediction()));
    let gamma = config.gamma as f32;
    for segment in 0..LABELS.len() {
        let centers = centers as f32;
        let around = (1.0 - centers) * around[segment] + centers * expected[segment];
        let expected = score[segment] + gamma * (around - score[segment]);
        assert!((y[segment] - expected).abs() < 1e-5);
    }

    // In training there is no bias, and before the end of an epoch nothing to make one of.
    let output = model.forward(&batch, &state, TRAIN).unwrap();
    assert!(output.bias.is_none());
    let state = ClusterState {
        support: None,
        ..state
    };
    let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
    assert!(output.bias.is_none());
}

#[test]
fn the_validation_split_chooses_the_weight_of_the_bias() {
    let config = MmRestConfig {
        gamma_choices: vec![0.0, 0.25, 1.0],
        ..kernel()
    };
    let (device, _turn) = seeded(3);
    let (model, mut state) = trained(&config, &device);
    let batch = segments(&device);
    let predicted = |state: &ClusterState| {
        let output = model.forward(&batch, state, Mode::Evaluate).unwrap();
        model.predictions(&output, state, &batch.rows).unwrap()
    };
    let plain = predicted(&state);
    assert!(plain.iter().all(|p| p.bias.abs() > 1e-3), "{plain:?}");
    for (weight, chosen) in [
        (0.0, Some(0.0)),
        (0.25, Some(0.25)),
        (config.gamma, None),
        (1.0, Some(1.0)),
        (1.0, Some(1.0)),
    ] {
        // Labels that this weight predicts without error; what was chosen before has no part in it.
        let share = (weight / config.gamma) as f32;
        let labels: Vec<f32> = plain.iter().map(|p| p.score + share * p.bias).collect();
        let before = state.gamma;
        let mut predict =
            |state: &ClusterState| Ok(predicted(state).into_iter().zip(labels.clone()).collect());
        let changed = model.choose(&mut state, &mut predict).unwrap();
        assert_eq!((state.gamma, changed), (chosen, chosen != before));
        for (found, label) in predicted(&state).iter().zip(&labels) {
            assert!((found.prediction - label).abs() < 1e-5);
        }
        model.check_state(&state).unwrap();
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ClusterState>(&json).unwrap(), state);
        assert_eq!(model.geometry(&state).unwrap().bias().gamma, weight);
    }
    state.gamma = Some(-1.0);
    assert!(model.check_state(&state).is_err());

    // Without choices nothing is predicted.
    let (model, mut state) = trained(&kernel(), &device);
    let mut predict = |_: &ClusterState| panic!("there is nothing to choose");
    assert!(!model.choose(&mut state, &mut predict).unwrap());
    for (gamma, choice, said) in [(0.75, -1.0, "gamma_choices"), (0.0, 0.5, "gamma = 0")] {
        let config = MmRestConfig {
            gamma,
            gamma_choices: vec![choice],
            ..kernel()
        };
        let error = config.check("model.mmrest", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(said), "{error}");
    }
}

#[test]
fn what_an_epoch_ends_with_is_what_the_next_begins_with() {
    let (device, _turn) = seeded(1);
    let (model, state) = trained(&kernel(), &device);
    let mut next = state.clone();
    model
        .begin_epoch(&mut next, 2, &mut std::iter::empty())
        .unwrap();
    assert_eq!(next, state);
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<ClusterState>(&json).unwrap(), state);
    let mut damaged = state.clone();
    damaged.support.as_mut().unwrap().rows.pop();
    let error = model.check_state(&damaged).unwrap_err().to_string();
    assert!(error.contains("values of the support"), "{error}");
}

#[test]
fn a_further_modality_adds_nothing_while_its_gate_is_closed() {
    let (config, (device, _turn)) = (kernel(), seeded(3));
    assert_eq!(config.fusion, FusionKind::Gated);
    let (mut model, state) = trained(&config, &device);
    let mut batch = segments(&device);
    let score = |model: &MmRest, batch: &Batch| {
        host(model.forward(batch, &state, Mode::Evaluate).unwrap().score)
    };
    let closed = score(&model, &batch);
    let audio = batch.audio.as_mut().unwrap();
    audio.values = audio.values.clone().mul_scalar(-3.0);
    assert_eq!(score(&model, &batch), closed);
    let gated = model.gated.as_mut().unwrap();
    gated.gates = gated.gates.clone().map(|gates| gates.add_scalar(0.5));
    assert_ne!(score(&model, &batch), closed);
}

#[test]
fn rows_of_unit_length_are() {
    let (device, _turn) = seeded(3);
    let (model, _) = trained(&kernel(), &device);
    let rows = host(model.encode(&segments(&device)).rows());
    for row in rows.chunks_exact(8) {
        let length: f32 = row.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
}

#[test]
fn the_loss_is_the_error_left_out_and_the_cross_entropy() {
    let (config, (inner, _turn)) = (kernel(), seeded(3));
    let device = inner.clone().autodiff();
    let (_, state) = trained(&config, &inner);
    device.seed(3);
    let model = MmRest::init(&config, &task(3, 2), None, &device).unwrap();
    let batch = segments(&device);
    let mut output = model.forward(&batch, &state, TRAIN).unwrap();
    let loss = model.loss(&batch, &mut output, &state, TRAIN).unwrap();
    let parts: Vec<f32> = loss
        .parts
        .iter()
        .map(|part| host(part.clone().unwrap())[0])
        .collect();
    let LossConfig::Kernel(weights) = config.loss else {
        panic!("{:?}", config.loss);
    };
    let bins = &state.support.unwrap().metric;
    let metric = model.metric.as_ref().unwrap();
    let rows = output.representations.rows();
    let kernel = model.kernel.as_ref().unwrap();
    let given = host(
        kernel
            .leave_one_out(rows, &LABELS, bins, None, metric)
            .unwrap(),
    );
    let errors = given
        .iter()
        .zip(LABELS)
        .map(|(given, label)| (given - label).abs());
    let intra = errors.sum::<f32>() / LABELS.len() as f32;
    assert!((parts[1] - intra).abs() < 1e-5, "{parts:?} {intra}");
    let mmc = parts[1]
        + weights.ordinal_weight as f32 * parts[2]
        + weights.anchor_weight as f32 * parts[3];
    assert!((parts[4] - mmc).abs() < 1e-5);
    let total = parts[0] + config.mmc_weight as f32 * parts[4];
    assert!((host(loss.total)[0] - total).abs() < 1e-5);
}

#[test]
fn parts_without_weight_are_not_in_use() {
    let config = MmRestConfig {
        loss: LossConfig::Kernel(KernelLossConfig::default()),
        ..kernel()
    };
    let (inner, _turn) = seeded(3);
    let device = inner.clone().autodiff();
    let (_, state) = trained(&config, &inner);
    let model = MmRest::init(&config, &task(3, 2), None, &device).unwrap();
    let batch = segments(&device);
    let mut output = model.forward(&batch, &state, TRAIN).unwrap();
    let loss = model.loss(&batch, &mut output, &state, TRAIN).unwrap();
    let used: Vec<bool> = loss.parts.iter().map(Option::is_some).collect();
    assert_eq!(used, [true, true, false, false, true]);
    let [intra, mmc] = [1, 4].map(|at| host(loss.parts[at].clone().unwrap())[0]);
    assert_eq!(intra, mmc);
    // Nor do the clusters move: the epoch's end makes them anew.
    let mut after = state.clone();
    let at = mmrest_models::StepAt::new(1, 1);
    model.observe(&batch, &output, &mut after, at).unwrap();
    assert_eq!(after.clusters, state.clusters);
}

#[test]
fn a_memory_is_the_training_segments_that_the_batch_does_not_have() {
    let memory = KernelLossConfig {
        memory: true,
        ..KernelLossConfig::default()
    };
    let config = MmRestConfig {
        loss: LossConfig::Kernel(memory),
        ..kernel()
    };
    let (inner, _turn) = seeded(3);
    let (_, state) = trained(&config, &inner);
    let device = inner.clone().autodiff();
    device.seed(3);
    let model = MmRest::init(&config, &task(3, 2), None, &device).unwrap();
    let batch = picked(&[4, 1], &device);
    let intra = |state: &ClusterState, mode| {
        let mut output = model.forward(&batch, state, mode).unwrap();
        let loss = model.loss(&batch, &mut output, state, mode).unwrap();
        (host(loss.parts[1].clone().unwrap())[0], output)
    };
    let (found, output) = intra(&state, TRAIN);

    let support = state.support.as_ref().unwrap();
    let others = support.without(&batch.rows);
    assert_eq!(others.labels, [LABELS[0], LABELS[2], LABELS[3], LABELS[5]]);
    assert_eq!(others.rows[..8], support.rows[..8]);
    let (vision, audio) = (&support.rows[5 * 8..6 * 8], &support.rows[11 * 8..]);
    assert_eq!(&others.rows[3 * 8..4 * 8], vision);
    assert_eq!(&others.rows[7 * 8..], audio);
    let (kernel, metric) = (
        model.kernel.as_ref().unwrap(),
        model.metric.as_ref().unwrap(),
    );
    let rows = output.representations.rows();
    let bins = [support.metric[4], support.metric[1]];
    let given = kernel.leave_one_out(rows, &batch.labels, &bins, Some(&others), metric);
    let given = host(given.unwrap());
    let errors = given
        .iter()
        .zip(&batch.labels)
        .map(|(given, label)| (given - label).abs());
    assert!((found - errors.sum::<f32>() / 2.0).abs() < 1e-6);

    // Without a memory yet, and where nothing is trained, the two have each other alone.
    let far = (LABELS[4] - LABELS[1]).abs();
    let before = ClusterState {
        support: None,
        ..state.clone()
    };
    for (state, mode) in [(&before, TRAIN), (&state, Mode::Evaluate)] {
        assert!((intra(state, mode).0 - far).abs() < 1e-5);
    }
}

#[test]
fn the_steps_of_an_epoch_leave_the_segments_as_its_end_would_encode_them() {
    let config = MmRestConfig {
        dropout: 0.0,
        projection: ProjectionConfig::Kernel {
            centers: 0.3,
            support: SupportFrom::Steps,
        },
        ..kernel()
    };
    let (inner, _turn) = seeded(3);
    let device = inner.clone().autodiff();
    let model = MmRest::init(&config, &task(3, 2), None, &device).unwrap();
    let evaluated = model.valid();
    let split = || [Ok(segments(&inner))].into_iter();
    // No step has come before the end of the epoch: the split is encoded.
    let mut encoded = MmRest::init_state(&config, &task(3, 2), &LABELS);
    evaluated.end_epoch(&mut encoded, &mut split()).unwrap();
    let expected = encoded.support.as_ref().unwrap();
    let step = |state: &mut ClusterState, rows: &[usize]| {
        let batch = picked(rows, &device);
        let mut output = model.forward(&batch, state, TRAIN).unwrap();
        model.loss(&batch, &mut output, state, TRAIN).unwrap();
        let at = mmrest_models::StepAt::new(1, 1);
        model.observe(&batch, &output, state, at).unwrap();
    };
    let begun = || {
        let mut state = MmRest::init_state(&config, &task(3, 2), &LABELS);
        state.clusters.clone_from(&encoded.clusters);
        state
    };

    let mut state = begun();
    for rows in [[4, 1], [0, 5], [3, 2]] {
        step(&mut state, &rows);
    }
    evaluated
        .end_epoch(&mut state, &mut std::iter::empty())
        .unwrap();
    let kept = state.support.as_ref().unwrap();
    assert_eq!(
        (&kept.labels, &kept.metric),
        (&expected.labels, &expected.metric)
    );
    assert_eq!(kept.rows.len(), expected.rows.len());
    for (kept, expected) in kept.rows.iter().zip(&expected.rows) {
        assert!((kept - expected).abs() < 1e-6, "{kept} and {expected}");
    }
    assert_eq!(state.steps, StepRows::default());

    // The end of the run encodes them all with the weights that were selected; where epochs end so already, it does nothing.
    let mut ended = state.clone();
    step(&mut ended, &[4, 1]);
    assert!(evaluated.end_run(&mut ended, &mut split()).unwrap());
    assert_eq!(ended, encoded);
    let (plain, _) = trained(&kernel(), &inner);
    assert!(!plain.end_run(&mut ended, &mut split()).unwrap());
    assert_eq!(ended, encoded);

    // The next epoch knows the size of the split by its segments. One that a skipped step has not kept is encoded anew,
    // with all others.
    for rows in [[4, 1], [0, 5]] {
        step(&mut state, &rows);
    }
    let mut split = split();
    evaluated.end_epoch(&mut state, &mut split).unwrap();
    assert!(split.next().is_none());
    assert_eq!(state.support, encoded.support);
}

#[test]
fn a_memory_without_a_bias_is_not_part_of_a_saved_model() {
    let mut config = kernel();
    let LossConfig::Kernel(loss) = &mut config.loss else {
        panic!("{:?}", config.loss);
    };
    loss.memory = true;
    let (device, _turn) = seeded(1);
    let (model, state) = trained(&config, &device);
    assert_eq!(model.prediction_state(&state), state);
    config.bias = false;
    let (model, state) = trained(&config, &device);
    assert!(state.support.is_some());
    let kept = model.prediction_state(&state);
    assert!(kept.support.is_none());
    assert_eq!(kept.clusters, state.clusters);
    model.check_state(&kept).unwrap();
}

#[test]
fn a_state_made_ready_gives_the_same_bits() {
    let (device, _turn) = seeded(1);
    let (model, state) = trained(&kernel(), &device);
    let ready = model.ready(state.clone()).unwrap();
    assert_eq!(ready, state);
    let json = serde_json::to_string(&ready).unwrap();
    assert_eq!(json, serde_json::to_string(&state).unwrap());
    let batch = segments(&device);
    let of = |state: &ClusterState| {
        let output = model.forward(&batch, state, Mode::Evaluate).unwrap();
        host(output.bias.unwrap()).into_iter().map(f32::to_bits)
    };
    for _ in 0..2 {
        assert!(of(&ready).eq(of(&state)));
    }
}

#[test]
fn without_a_bias_at_evaluation_no_segments_are_kept() {
    let config = MmRestConfig {
        bias_at_evaluation: false,
        ..kernel()
    };
    let (device, _turn) = seeded(1);
    let model = MmRest::init(&config, &task(3, 2), None, &device).unwrap();
    assert!(model.epoch_stage(1).is_some() && model.epoch_end_stage().is_none());
    let mut state = MmRest::init_state(&config, &task(3, 2), &LABELS);
    let split = || [Ok(segments(&device))].into_iter();
    model.begin_epoch(&mut state, 1, &mut split()).unwrap();
    model
        .end_epoch(&mut state, &mut std::iter::empty())
        .unwrap();
    assert!(state.clusters.is_some() && state.support.is_none());
    model.check_state(&state).unwrap();
    let output = model
        .forward(&segments(&device), &state, Mode::Evaluate)
        .unwrap();
    assert!(output.bias.is_none());
    // With it, segments are what such a state lacks.
    let (with, _) = trained(&kernel(), &device);
    let error = with.check_state(&state).unwrap_err().to_string();
    assert!(error.contains("holds no segments"), "{error}");
}
