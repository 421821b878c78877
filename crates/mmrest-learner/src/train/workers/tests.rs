use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use mmrest_data::{Frames, Modality, Widths};
use mmrest_kernels::host;
use rand::RngExt;

use super::*;
use crate::batch::HostBatch;
use crate::config::{ClusterScope, Config};
use crate::example::{Example, TextFeatures};
use crate::optimizer::optimizer;
use crate::refusal::Refusal;
use crate::schedule::{SharedFactor, scheduler};
use crate::seed;

const WIDTHS: Widths = Widths {
    vision: 5,
    audio: 3,
};

fn config(scope: ClusterScope) -> Config {
    let mut config = Config::default();
    config.data.modalities = vec![Modality::Vision, Modality::Audio];
    config.model.dropout = 0.0;
    config.model.representation = 8;
    config.clusters.scope = scope;
    config
}

fn learner(config: &Config, device: &Device) -> Learner<MmRest> {
    let model = MmRest::new(config, WIDTHS, None, device).unwrap();
    let optimizer = optimizer(&config.train).unwrap();
    let scheduler = scheduler(&config.train, &SharedFactor::new()).unwrap();
    Learner::new(model, optimizer, scheduler)
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
            label: (index % 7) as f32 - 3.0,
        })
        .collect()
}

/// A step from the start of an epoch, on so many clones of one device.
fn step(learner: &Learner<MmRest>, device: &Device, parts: usize) -> TrainOutput<StepRecord> {
    let examples = examples(13);
    let rows: Vec<usize> = (0..examples.len()).collect();
    let devices = vec![device.clone(); parts];
    let parts = HostBatch::split(&examples, &rows, parts);
    let parts = HostBatch::upload_parts(parts, &devices);
    Workers::new(&devices).step(learner, parts).unwrap()
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
    learner: &Learner<MmRest>,
    output: &TrainOutput<StepRecord>,
) -> Vec<(ParamId, Vec<f32>)> {
    let mut collect = Collect(&output.grads, Vec::new());
    learner.model().visit(&mut collect);
    collect.1
}

fn assert_near(a: f64, b: f64, what: &str) {
    assert!(
        (a - b).abs() <= 1e-5 * a.abs().max(1.0),
        "{what}: {a} and {b}"
    );
}

/// The clusters that a first step finds, so that the step that is looked at has a bias.
fn warmed(learner: &Learner<MmRest>, device: &Device) -> mmrest_metric::Clusters {
    let model = learner.model();
    model.context.state().clusters = None;
    let _ = step(learner, device, 1);
    model.context.clusters().unwrap()
}

#[test]
fn parts_of_a_step_add_up_to_the_step() {
    let device = Device::flex().autodiff();
    for scope in [ClusterScope::Train, ClusterScope::Batch] {
        let learner = learner(&config(scope), &device);
        let context = learner.model().context.clone();
        let clusters = warmed(&learner, &device);
        let whole = step(&learner, &device, 1);
        let (after, expected) = (context.clusters(), gradients(&learner, &whole));
        assert!(expected.len() > 10 && whole.item.losses.mmc > 0.0);
        for parts in [2, 3] {
            context.state().clusters = Some(clusters.clone());
            let parted = step(&learner, &device, parts);
            assert_eq!(context.state().refusal(), None);
            let (a, b) = (&whole.item.losses, &parted.item.losses);
            assert_near(a.task, b.task, "task");
            assert_near(a.mmc, b.mmc, "mmc");
            assert_near(a.total, b.total, "total");
            let (after, found) = (after.as_ref().unwrap(), context.clusters().unwrap());
            assert_eq!(after.bins, found.bins);
            for (a, b) in after.centers.iter().zip(&found.centers) {
                assert_near(f64::from(*a), f64::from(*b), "centre");
            }
            let found = gradients(&learner, &parted);
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
    let learner = learner(&config(ClusterScope::Train), &device);
    let mut examples = examples(8);
    examples[7].vision.values[0] = f32::NAN;
    let rows: Vec<usize> = (0..examples.len()).collect();
    let devices = vec![device.clone(); 2];
    let mut parts = HostBatch::upload_parts(HostBatch::split(&examples, &rows, 2), &devices);
    // The second part has no input at all: its worker panics before it meets the other.
    parts[1].vision = None;
    parts[1].audio = None;
    let failed = Workers::new(&devices).step(&learner, parts);
    assert!(failed.is_err_and(|error| error.to_string().contains("worker")));

    // Whichever part comes last and meets the number, the one it is from tells of it.
    for _ in 0..20 {
        let parts = HostBatch::upload_parts(HostBatch::split(&examples, &rows, 2), &devices);
        let output = Workers::new(&devices).step(&learner, parts);
        assert!(output.is_ok());
        let refusal = learner.model().context.state().take_refusal();
        let Some(Refusal::NonFinite(found)) = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(
            (found.tensor.as_str(), found.row),
            ("vision frames", Some(7))
        );
    }
}

#[test]
fn a_step_reads_the_device_three_times() {
    let device = Device::flex().autodiff();
    for (bias, mmc, expected) in [(true, true, 3), (false, true, 3), (false, false, 1)] {
        let mut config = config(ClusterScope::Train);
        (config.bias, config.mmc) = (bias, mmc);
        let mut learner = learner(&config, &device);
        if config.needs_clusters() {
            warmed(&learner, &device);
        }
        let before = host::reads();
        let output = step(&learner, &device, 1);
        learner.lr_step();
        learner.optimizer_step(output.grads);
        assert_eq!(host::reads() - before, expected, "bias {bias}, L_MMC {mmc}");
        assert_eq!(learner.model().context.state().refusal(), None);
    }
}
