//! What the tests of the comparison systems share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor};
use mmrest_data::{Modality, Widths};
use mmrest_models::{Batch, BinsConfig, Mode, Presets, SequenceBatch, StepAt, Task, TextBatch};

/// A training step.
pub const TRAIN: Mode = Mode::Train(StepAt::new(1, 1));

/// A device whose random numbers follow from `seed`, as long as the guard is held: the tests of a program share one generator.
pub fn seeded(seed: u64) -> (Device, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex();
    device.seed(seed);
    (device, turn)
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

/// A batch of text that has passed an encoder, audio and vision, `[batch, time, feature]` each with lengths.
pub fn batch(
    text: (Tensor<3>, Vec<usize>),
    audio: (Tensor<3>, Vec<usize>),
    vision: (Tensor<3>, Vec<usize>),
    labels: Vec<f32>,
) -> Batch {
    let (values, lengths) = text;
    let packed = SequenceBatch { values, lengths }.packed();
    let frames = |(values, lengths)| Some(SequenceBatch { values, lengths });
    Batch {
        text: Some(TextBatch::Hidden(packed.states, packed.offsets)),
        audio: frames(audio),
        vision: frames(vision),
        rows: (0..labels.len()).collect(),
        labels,
        part: None,
        sentences: Vec::new(),
    }
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
