//! Dropout of the fusion: decided by the device's seed, in training alone. One test: the seed is the device's, not a test's.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use mmrest_pdlf::FusionConfig;

#[test]
fn the_seed_decides_the_mask_and_evaluation_has_none() {
    let device = Device::flex().autodiff();
    device.seed(3);
    let config = FusionConfig {
        text: 6,
        vision: 0,
        audio: 0,
        dropout: 0.4,
        ..FusionConfig::default()
    };
    let fusion = config.init(&device);
    let x = Tensor::<2>::ones([8, 6], &device).require_grad();
    let score = |seed: Option<u64>| -> (Vec<f32>, Vec<f32>) {
        if let Some(seed) = seed {
            device.seed(seed);
        }
        let score = fusion.forward(Some(x.clone()), None, None);
        let gradients = score.clone().sum().backward();
        let slope = x.grad(&gradients).unwrap();
        let values = |data: burn::tensor::TensorData| data.try_to_vec().unwrap();
        (values(score.into_data()), values(slope.into_data()))
    };
    let first = score(Some(1));
    assert_eq!(first, score(Some(1)));
    assert_ne!(first, score(Some(2)));
    assert_ne!(score(None), score(None), "each pass draws its own mask");
    // Alike rows are dropped differently, in forward and backward.
    assert!(first.0.windows(2).any(|pair| pair[0] != pair[1]));
    assert!(first.1.chunks(6).any(|row| row != &first.1[..6]));
    let still = fusion.valid();
    let plain = || -> Vec<f32> {
        let x = x.clone().inner();
        let score = still.forward(Some(x), None, None);
        score.into_data().try_to_vec().unwrap()
    };
    assert_eq!(plain(), plain());
    assert!(
        plain()
            .windows(2)
            .all(|pair| (pair[0] - pair[1]).abs() < 1e-6)
    );
}
