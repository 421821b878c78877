//! A training step on a GPU is some hundreds of launches, however long the sequences are. In a process of its own, since
//! launches of all threads are counted.
#![cfg(any(feature = "wgpu", feature = "cuda"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::tensor::Device;
use mmrest_data::{Frames, Modality, Widths};
use mmrest_encoders::BertConfig;
use mmrest_kernels::gpu::count_launches;
use mmrest_kernels::host;
use mmrest_learner::train::Trainer;
use mmrest_learner::{Backend, Config, open_device};
use mmrest_models::{Example, HostBatch, MmRest, MmRestConfig, SentimentModel, TextFeatures};

const WIDTHS: Widths = Widths {
    vision: 5,
    audio: 3,
};

fn examples(count: usize, frames: usize) -> Vec<Example> {
    let sequence = |count: usize, width: usize| Frames {
        values: (0..count * width).map(|at| (at as f32).sin()).collect(),
        width,
    };
    let ids = |count: usize| (0..count as u32).map(|at| at * 7 % 50).collect();
    (0..count)
        .map(|index| Example {
            id: format!("v[{index}]"),
            text: TextFeatures::Tokens(ids(3 + index % 9)),
            vision: sequence(frames - index % 4, WIDTHS.vision),
            audio: sequence(frames - index % 5, WIDTHS.audio),
            sentences: Vec::new(),
            label: (index % 7) as f32 - 3.0,
        })
        .collect()
}

/// Launches and reads of a step, once the first ones have set up what they need; and the launches by name.
fn step(device: &Device, frames: usize) -> (usize, u64, Vec<(&'static str, usize)>) {
    let device = device.clone().autodiff();
    let mut run = Config::default();
    run.data.modalities = vec![Modality::Text, Modality::Vision, Modality::Audio];
    let bert_config = BertConfig::small(50, 24, 2, 3, 40);
    let bert = bert_config.init(&device);
    let task = run.task(WIDTHS, bert_config.num_hidden_layers);
    let config = MmRestConfig {
        representation: 16,
        ..MmRestConfig::default()
    };
    let model = MmRest::init(&config, &task, Some((bert, &bert_config)), &device).unwrap();
    let state = MmRest::init_state(&config, &task, &[]);
    let recipe = MmRest::recipe(&config, &run.train.rates());
    let mut trainer = Trainer::new(model, state, &recipe, std::slice::from_ref(&device)).unwrap();
    let examples = examples(14, frames);
    let rows = || (0..examples.len()).collect();
    let batch = || vec![HostBatch::new(&examples, rows()).upload(&device)];
    trainer.begin_epoch(1);
    for _ in 0..2 {
        let step = trainer.step(batch()).unwrap();
        assert!(step.skipped.is_none());
    }
    let before = host::reads();
    let (_, launches) = count_launches(|| trainer.step(batch()).unwrap());
    let reads = host::reads() - before;
    (
        launches.iter().map(|(_, count)| count).sum(),
        reads,
        launches,
    )
}

#[test]
fn launches_do_not_grow_with_the_frames_and_reads_are_three() {
    for backend in [Backend::Wgpu, Backend::Cuda] {
        let device = match open_device(backend, 0) {
            Ok(device) => device,
            Err(error) => {
                println!("{backend} skipped: {error}");
                continue;
            }
        };
        let (short, reads, _) = step(&device, 12);
        let (long, _, mut launches) = step(&device, 60);
        launches.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (name, count) in &launches {
            println!("{count:5} {name}");
        }
        println!("{backend}: {short} launches with 12 frames, {long} with 60; {reads} reads");
        assert!(reads <= 3, "{reads} reads");
        // Other sizes may ask for another kernel here and there.
        assert!(long.abs_diff(short) <= 20, "{short} and {long} launches");
        // With a launch for each parameter's step, norm and clipping it would be some 130 more.
        assert!(long < 560, "{long} launches");
    }
}
