use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use mmrest_data::{Frames, Modality, Widths};
use mmrest_kernels::host;
use mmrest_metric::{Clusters, Support};
use mmrest_models::{
    Assign, Clip, ClusterConfig, ClusterScope, ClusterState, Example, Forward, FusionKind,
    HostBatch, KernelLossConfig, LossConfig, MmRest, MmRestConfig, Mode, ParameterGroup, Part,
    Pass, ProjectionConfig, StepAt, SupportFrom, Target, TextFeatures, seed,
};
use rand::RngExt;

use super::super::adapter::{AfterStep, StepRecord};
use super::*;
use crate::config::Config;

const WIDTHS: Widths = Widths {
    vision: 5,
    audio: 3,
};

fn config(scope: ClusterScope) -> MmRestConfig {
    MmRestConfig {
        dropout: 0.0,
        representation: 8,
        clusters: ClusterConfig {
            scope,
            ..ClusterConfig::default()
        },
        ..MmRestConfig::default()
    }
}

/// The kernel form.
fn kernel() -> MmRestConfig {
    let mut config = config(ClusterScope::Train);
    config.clusters.assign = Assign::Sentiment;
    config.target = Target::Score;
    config.fusion = FusionKind::Gated;
    config.unit_length = true;
    config.loss = LossConfig::Kernel(KernelLossConfig::default());
    config.projection = ProjectionConfig::Kernel {
        centers: 0.5,
        support: SupportFrom::Encoded,
    };
    config
}

/// The kernel form, whose bias is made of the segments that the steps keep.
fn keeping() -> MmRestConfig {
    let projection = ProjectionConfig::Kernel {
        centers: 0.5,
        support: SupportFrom::Steps,
    };
    MmRestConfig {
        projection,
        ..kernel()
    }
}

/// The kernel form, whose loss compares a batch with all other training segments.
fn remembering() -> MmRestConfig {
    let loss = LossConfig::Kernel(KernelLossConfig {
        memory: true,
        ..KernelLossConfig::default()
    });
    MmRestConfig { loss, ..kernel() }
}

/// Twenty training segments as an epoch's end encodes them, the thirteen of a batch among them.
fn support() -> Support {
    let mut rng = seed::rng(17, &[]);
    let values = (0..2 * 20 * 8).map(|_| rng.random_range(-0.5..0.5));
    Support {
        dim: 8,
        rows: values.collect(),
        labels: (0..20).map(|index| (index % 7) as f32 - 3.0).collect(),
        metric: (0..20).map(|index| index % 7).collect(),
    }
}

/// A trainer whose steps are computed in so many parts, each on a clone of one device.
fn trainer(config: &MmRestConfig, device: &Device, parts: usize) -> Trainer<MmRest> {
    let mut run = Config::default();
    run.data.modalities = vec![Modality::Vision, Modality::Audio];
    let task = run.task(WIDTHS, 0);
    device.seed(5);
    let model = MmRest::init(config, &task, None, device).unwrap();
    let recipe = MmRest::recipe(config, &run.train.rates());
    let devices = vec![device.clone(); parts];
    Trainer::new(model, ClusterState::default(), &recipe, &devices).unwrap()
}

fn examples(count: usize) -> Vec<Example> {
    let mut rng = seed::rng(11, &[]);
    let mut frames = |count: usize, width: usize| Frames {
        values: (0..count * width)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect(),
        width,
    };
    (0..count)
        .map(|index| Example {
            id: format!("v[{index}]"),
            text: TextFeatures::Absent,
            vision: frames(2 + index % 4, WIDTHS.vision),
            audio: frames(1 + index % 5, WIDTHS.audio),
            sentences: Vec::new(),
            label: (index % 7) as f32 - 3.0,
        })
        .collect()
}

/// A batch in the trainer's parts.
fn parts(trainer: &Trainer<MmRest>, examples: &[Example]) -> Vec<Batch> {
    let devices = &trainer.workers.devices;
    let rows: Vec<usize> = (0..examples.len()).collect();
    HostBatch::upload_parts(HostBatch::split(examples, &rows, devices.len()), devices)
}

/// Gradients and losses of a step on 13 segments, and the clusters after it, where it moves any; nothing is updated.
fn gradients_of(trainer: &Trainer<MmRest>) -> (TrainOutput<StepRecord>, Option<Clusters>) {
    let parts = parts(trainer, &examples(13));
    let output = trainer.workers.step(&trainer.learner, parts).unwrap();
    let (error, seen) = trainer.shared.lock().take();
    assert_eq!(error, None);
    let (batch, seen) = seen.unwrap();
    let mut state = ClusterState::default();
    let model = trainer.model();
    model
        .observe(&batch, &seen, &mut state, StepAt::new(1, 1))
        .unwrap();
    (output, state.clusters)
}

/// Every gradient of a model by its parameter.
struct Collect<'a>(&'a GradientsParams, Vec<(ParamId, Vec<f32>)>);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.get::<D>(param.id) {
            let values = host::read("gradient", gradient).unwrap();
            self.1.push((param.id, values));
        }
    }
}

fn gradients(
    trainer: &Trainer<MmRest>,
    output: &TrainOutput<StepRecord>,
) -> Vec<(ParamId, Vec<f32>)> {
    let mut collect = Collect(&output.grads, Vec::new());
    trainer.model().visit(&mut collect);
    collect.1
}

fn assert_near(a: f64, b: f64, what: &str) {
    assert!(
        (a - b).abs() <= 1e-5 * a.abs().max(1.0),
        "{what}: {a} and {b}"
    );
}

#[test]
fn the_parts_of_a_step_keep_the_segments_that_the_step_keeps() {
    let (config, device) = (keeping(), Device::flex().autodiff());
    let labels: Vec<f32> = examples(13).iter().map(|example| example.label).collect();
    let alone = trainer(&config, &device, 1);
    let support = |count: usize| {
        let mut trainer = trainer(&config, &device, count);
        trainer.learner = alone.learner.clone();
        trainer.shared = Arc::clone(&alone.shared);
        let parts = parts(&trainer, &examples(13));
        trainer.workers.step(&trainer.learner, parts).unwrap();
        let (_, seen) = trainer.shared.lock().take();
        let (batch, output) = seen.unwrap();
        let model = trainer.model();
        let mut state = MmRest::init_state(&config, &Config::default().task(WIDTHS, 0), &labels);
        model
            .observe(&batch, &output, &mut state, StepAt::new(1, 1))
            .unwrap();
        // Nothing is left to encode.
        let evaluated = model.valid();
        evaluated
            .end_epoch(&mut state, &mut std::iter::empty())
            .unwrap();
        state.support.unwrap()
    };
    let one = support(1);
    assert_eq!((&one.labels, one.rows.len()), (&labels, 2 * 13 * 8));
    for count in [2, 3] {
        let several = support(count);
        assert_eq!(several.labels, labels);
        for (a, b) in one.rows.iter().zip(&several.rows) {
            assert_near(f64::from(*a), f64::from(*b), "row");
        }
    }
}

#[test]
fn parts_of_a_step_add_up_to_the_step() {
    let device = Device::flex().autodiff();
    let [train, batch] = [ClusterScope::Train, ClusterScope::Batch].map(config);
    for config in [train, batch, kernel(), remembering()] {
        let mut one = trainer(&config, &device, 1);
        // The clusters that a first step finds, so that the step that is looked at has a bias.
        let (_, clusters) = gradients_of(&one);
        let state = ClusterState {
            clusters,
            support: Some(support()),
            ..ClusterState::default()
        };
        one.set_state(state.clone());
        let (whole, after) = gradients_of(&one);
        let expected = gradients(&one, &whole);
        let mmc = *whole.item.losses.last().unwrap();
        assert!(expected.len() > 10 && mmc > 0.0);
        for count in [2, 3] {
            let mut several = trainer(&config, &device, count);
            several.learner = one.learner.clone();
            several.shared = Arc::clone(&one.shared);
            several.set_state(state.clone());
            let (parted, found) = gradients_of(&several);
            assert_eq!(whole.item.losses.len(), parted.item.losses.len());
            for (a, b) in whole.item.losses.iter().zip(&parted.item.losses) {
                assert_near(*a, *b, "loss");
            }
            assert_eq!(after.is_some(), found.is_some());
            for (after, found) in after.iter().zip(&found) {
                assert_eq!(after.bins, found.bins);
                for (a, b) in after.centers.iter().zip(&found.centers) {
                    assert_near(f64::from(*a), f64::from(*b), "centre");
                }
            }
            let found = gradients(&several, &parted);
            assert_eq!(found.len(), expected.len());
            for ((id, a), (other, b)) in expected.iter().zip(&found) {
                assert_eq!((id, a.len()), (other, b.len()));
                for (a, b) in a.iter().zip(b) {
                    assert_near(f64::from(*a), f64::from(*b), "gradient");
                }
            }
        }
    }
}

#[test]
fn a_part_that_fails_does_not_leave_the_others_waiting() {
    let device = Device::flex().autodiff();
    let mut trainer = trainer(&config(ClusterScope::Train), &device, 2);
    let mut examples = examples(8);
    examples[7].vision.values[0] = f32::NAN;
    let mut without = parts(&trainer, &examples);
    // The second part has no input at all: its worker panics before it contributes.
    without[1].vision = None;
    without[1].audio = None;
    let failed = trainer.step(without);
    assert!(failed.is_err_and(|error| error.to_string().contains("worker")));
    trainer.shared.lock().take();

    // Whichever part comes last and meets the number, the one it is from reports it.
    for _ in 0..20 {
        let parts = parts(&trainer, &examples);
        let found = trainer.step(parts).unwrap().skipped.unwrap();
        assert_eq!(
            (found.tensor.as_str(), found.row),
            ("vision frames", Some(7))
        );
    }
}

#[test]
fn a_skipped_step_changes_nothing() {
    let device = Device::flex().autodiff();
    let mut trainer = trainer(&config(ClusterScope::Train), &device, 1);
    let good = parts(&trainer, &examples(8));
    trainer.step(good).unwrap();
    let before = (weights(&trainer), trainer.state());
    let mut bad = examples(8);
    bad[3].label = f32::NAN;
    let bad = parts(&trainer, &bad);
    assert!(trainer.step(bad).unwrap().skipped.is_some());
    assert_eq!(before, (weights(&trainer), trainer.state()));
    let good = parts(&trainer, &examples(8));
    assert!(trainer.step(good).unwrap().skipped.is_none());
    assert_ne!(before, (weights(&trainer), trainer.state()));
}

/// Every weight of the trainer's model.
fn weights(trainer: &Trainer<MmRest>) -> Vec<f32> {
    weights_of(&trainer.model())
}

fn weights_of(model: &MmRest) -> Vec<f32> {
    struct Weights(Vec<f32>);
    impl ModuleVisitor for Weights {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(host::read("weight", param.val()).unwrap());
        }
    }
    let mut all = Weights(Vec::new());
    model.visit(&mut all);
    all.0
}

#[test]
fn gradients_of_several_batches_make_one_step() {
    let device = Device::flex().autodiff();
    let config = config(ClusterScope::Train);
    let mut trainer = trainer(&config, &device, 1);
    trainer.steps.accumulate = 3;
    trainer.begin_epoch(1);
    let before = weights(&trainer);
    for batch in 1..=4 {
        let parts = parts(&trainer, &examples(8));
        trainer.step(parts).unwrap();
        assert_eq!(before == weights(&trainer), batch < 3, "batch {batch}");
    }
    // What is left of an epoch is dropped, or makes a step.
    let after = weights(&trainer);
    trainer.steps.flush_rest = false;
    trainer.end_pass().unwrap();
    assert_eq!(weights(&trainer), after);
    trainer.steps.flush_rest = true;
    trainer.end_pass().unwrap();
    assert!(weights(&trainer) != after);
    let after = weights(&trainer);
    trainer.end_pass().unwrap();
    assert_eq!(weights(&trainer), after, "nothing waits any more");
    trainer.begin_epoch(2);
    assert_eq!(trainer.batches, 0);
}

/// A trainer of a recipe that is changed first.
fn trainer_of(
    device: &Device,
    change: impl FnOnce(&mut Recipe),
    tuning: Tuning,
) -> Trainer<MmRest> {
    // Without clusters every step's gradients are those of its batch alone.
    let config = MmRestConfig {
        mmc: false,
        bias: false,
        ..config(ClusterScope::Train)
    };
    let mut run = Config::default();
    run.data.modalities = vec![Modality::Vision, Modality::Audio];
    let task = run.task(WIDTHS, 0);
    device.seed(5);
    let model = MmRest::init(&config, &task, None, device).unwrap();
    let mut recipe = MmRest::recipe(&config, &run.train.rates());
    change(&mut recipe);
    let state = ClusterState::default();
    let devices = [device.clone()];
    Start::new(model, state, &recipe, &devices, tuning)
        .unwrap()
        .trainer(None)
}

/// Which parameters a step on so many segments of a pass moves, by path.
fn moved(trainer: &mut Trainer<MmRest>, pass: usize) -> Vec<String> {
    let before = by_path(&trainer.model());
    trainer.begin_pass(1, pass);
    let parts = parts(trainer, &examples(8));
    trainer.step(parts).unwrap();
    let after = by_path(&trainer.model());
    let pairs = before.into_iter().zip(after);
    pairs
        .filter_map(|((path, before), (_, after))| (before != after).then_some(path))
        .collect()
}

/// All weights by path.
fn by_path<M: Module>(model: &M) -> Vec<(String, Vec<f32>)> {
    struct Paths(Vec<String>, Vec<(String, Vec<f32>)>);
    impl ModuleVisitor for Paths {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = host::read("weight", param.val()).unwrap();
            self.1.push((self.0.join("."), values));
        }
    }
    let mut paths = Paths(Vec::new(), Vec::new());
    model.visit(&mut paths);
    paths.1
}

#[test]
fn only_the_groups_of_a_pass_step_and_an_untrained_one_never_does() {
    let device = Device::flex().autodiff();
    let fusion = ParameterGroup {
        trained: false,
        ..ParameterGroup::new("fusion", r"^fusion\.", 1e-3, 1e-4)
    };
    let change = |recipe: &mut Recipe| {
        recipe.groups.push(fusion);
        recipe
            .groups
            .push(ParameterGroup::new("audio", r"^audio\.", 1e-3, 1e-4));
        let pass = |trains: &[&'static str]| Pass {
            trains: trains.to_vec(),
            ..Pass::default()
        };
        recipe.passes = vec![pass(&["audio"]), pass(&["", "fusion"])];
    };
    let mut trainer = trainer_of(&device, change, Tuning::default());
    let first = moved(&mut trainer, 0);
    assert!(!first.is_empty() && first.iter().all(|path| path.starts_with("audio.")));
    let second = moved(&mut trainer, 1);
    assert!(!second.is_empty() && second.iter().all(|path| path.starts_with("vision.")));
}

#[test]
fn gradients_are_clipped_by_value_after_every_batch_of_an_accumulation() {
    let device = Device::flex().autodiff();
    let max = 1e-3;
    let clip = |accumulate: usize| {
        move |recipe: &mut Recipe| {
            recipe.accumulate = accumulate;
            for group in &mut recipe.gradients {
                group.clip = Clip::Value(max);
            }
        }
    };
    // Naively: the sum of two clipped batches, clipped again.
    let mut trainer = trainer_of(&device, clip(3), Tuning::default());
    trainer.begin_epoch(1);
    let (batch, seen) = (examples(8), trainer.learner.model());
    let gradients = |trainer: &Trainer<MmRest>| {
        let output = trainer
            .workers
            .step(&trainer.learner, parts(trainer, &batch))
            .unwrap();
        trainer.shared.lock().take();
        gradients(trainer, &output)
    };
    let one = gradients(&trainer);
    let clamp = |value: f32| value.clamp(-max as f32, max as f32);
    assert!(
        one.iter()
            .flat_map(|(_, g)| g)
            .any(|&g| g.abs() > max as f32)
    );
    for _ in 0..2 {
        trainer.step(parts(&trainer, &batch)).unwrap();
    }
    let sum = trainer.accumulated.grads();
    let mut collect = Collect(&sum, Vec::new());
    seen.visit(&mut collect);
    for ((_, one), (_, sum)) in one.iter().zip(&collect.1) {
        for (&one, &sum) in one.iter().zip(sum) {
            let naive = clamp(clamp(one) + one);
            assert!((naive - sum).abs() <= 1e-6, "{naive} and {sum}");
        }
    }
}

#[test]
fn the_average_of_the_weights_follows_a_naive_one_and_goes_through_its_file() {
    let device = Device::flex().autodiff();
    let tuning = Tuning {
        ema: Some(0.5),
        ..Tuning::default()
    };
    let mut trainer = trainer_of(&device, |_| {}, tuning);
    trainer.begin_epoch(1);
    let mut naive = by_path(&trainer.model());
    for step in 1..=6 {
        let batch = parts(&trainer, &examples(8));
        trainer.step(batch).unwrap();
        let decay = f64::min(0.5, (1.0 + f64::from(step)) / (10.0 + f64::from(step)));
        let weights = by_path(&trainer.model());
        for ((_, average), (_, weights)) in naive.iter_mut().zip(weights) {
            for (average, weight) in average.iter_mut().zip(weights) {
                let mean = decay * f64::from(*average) + (1.0 - decay) * f64::from(weight);
                *average = mean as f32;
            }
        }
    }
    let averaged = by_path(&trainer.evaluated());
    for ((path, averaged), (_, naive)) in averaged.iter().zip(&naive) {
        for (a, b) in averaged.iter().zip(naive) {
            assert!(
                (a - b).abs() <= 1e-5 * b.abs().max(1e-2),
                "{path}: {a} and {b}"
            );
        }
    }
    let file = trainer.ema().unwrap().file().unwrap();
    let mut other = Ema::new(0.5, &trainer.model());
    other.restore(&file).unwrap();
    assert_eq!(by_path(&other.put_into(trainer.model().valid())), averaged);
    let wrong = trainer_of(&device, |_| {}, Tuning::default());
    let mut smaller = Ema::new(0.5, &wrong.model().fusion);
    assert!(smaller.restore(&file).unwrap_err().contains("no tensor"));
}

#[test]
fn a_step_reads_the_device_three_times_and_without_clusters_less() {
    let device = Device::flex().autodiff();
    let of = |bias, mmc| MmRestConfig {
        bias,
        mmc,
        ..config(ClusterScope::Train)
    };
    for (config, expected) in [
        (of(true, true), 3),
        (of(false, true), 3),
        (of(false, false), 1),
        (kernel(), 2),
        (keeping(), 3),
    ] {
        let mut trainer = trainer(&config, &device, 1);
        let first = parts(&trainer, &examples(13));
        trainer.step(first).unwrap();
        let second = parts(&trainer, &examples(13));
        let before = host::reads();
        assert!(trainer.step(second).unwrap().skipped.is_none());
        assert_eq!(host::reads() - before, expected, "{config:?}");
    }
}

#[test]
fn the_training_set_is_clustered_in_the_epochs_that_are_due_and_read_in_no_other() {
    let device = Device::flex().autodiff();
    let mut config = config(ClusterScope::Train);
    config.clusters.refit_every = 3;
    let trainer = trainer(&config, &device, 1);
    let model = trainer.model().valid();
    let due: Vec<usize> = (1..=7)
        .filter(|&epoch| model.epoch_stage(epoch).is_some())
        .collect();
    assert_eq!(due, [1, 4, 7]);
    let rows: Vec<usize> = (0..13).collect();
    let batch = HostBatch::new(&examples(13), rows).upload(&device.inner());
    let mut state = ClusterState::default();
    let mut reads = 0;
    for epoch in 1..=4 {
        let mut train = std::iter::once(Ok(batch.clone())).inspect(|_| reads += 1);
        model.begin_epoch(&mut state, epoch, &mut train).unwrap();
        assert!(state.clusters.is_some());
    }
    assert_eq!(reads, 2);
}

#[test]
fn encoders_that_run_before_the_projection_change_no_bit() {
    let device = Device::flex().autodiff();
    let mut trainer = trainer(&config(ClusterScope::Train), &device, 1);
    trainer.begin_epoch(1);
    for _ in 0..2 {
        trainer.step(parts(&trainer, &examples(13))).unwrap();
    }
    let (state, mode) = (trainer.state(), Mode::Train(StepAt::new(1, 3)));
    let batch = parts(&trainer, &examples(13)).remove(0);
    let mut model = trainer.model();
    let metric = model.metric.as_mut().unwrap();
    // A step that left metrics which are not positive semidefinite.
    metric.local = metric
        .local
        .clone()
        .map(|local| Tensor::from_inner(local.inner() - 1.0).require_grad());
    assert!(!metric.is_psd(1e-6).unwrap());
    let read = |model: &MmRest, output: &Forward| {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let local = model.metric.as_ref().unwrap().local.val();
        [
            bits(host::read("metrics", local).unwrap()),
            bits(host::read("predictions", output.prediction.clone()).unwrap()),
        ]
    };
    let (after, output) = model
        .clone()
        .forward_after_step(&batch, &state, mode)
        .unwrap();
    let expected = model.after_step().unwrap();
    assert!(expected.metric.as_ref().unwrap().is_psd(1e-6).unwrap());
    let expected_output = expected.forward(&batch, &state, mode).unwrap();
    assert_eq!(read(&after, &output), read(&expected, &expected_output));
}

#[test]
fn a_worker_computes_with_its_own_copy_of_the_model() {
    let device = Device::flex().autodiff();
    let config = config(ClusterScope::Train);
    let own = trainer(&config, &device, 1);
    let mut other = trainer(&config, &device, 1);
    other.step(parts(&other, &examples(13))).unwrap();
    let worker = own.learner.model();
    // As a worker's `fork` leaves it after a step on a GPU: here is the model of the main device, which is another's.
    own.shared.lock().after = AfterStep::By(other.model());
    let (state, mode) = (own.state(), Mode::Train(StepAt::new(1, 2)));
    let mut batch = parts(&own, &examples(13)).remove(0);
    batch.part = Part::of(&[13], false).pop().map(Arc::new);
    let read = |output: Forward| host::read("scores", output.prediction).unwrap();
    let (model, output) = worker.forward(&batch, &state, mode).unwrap();
    let scores = read(output);
    let of_others = other.model().forward(&batch, &state, mode).unwrap();
    assert_ne!(scores, read(of_others));
    assert_eq!(
        scores,
        read(worker.model.forward(&batch, &state, mode).unwrap())
    );
    assert_eq!(weights_of(&model), weights_of(&worker.model));

    // Without a part it is the learner's model, which the other stands for.
    batch.part = None;
    let (model, _) = worker.forward(&batch, &state, mode).unwrap();
    assert_eq!(weights_of(&model), weights(&other));
}
