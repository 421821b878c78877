//! The metrics on fixed features against naive computations, and their own rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{TRAIN, host, largest, presets, seeded, task};
use mmrest_data::Frames;
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, CentreMetrics, Decision, Example, FeatureState, HostBatch, MmlcnLike, MmlcnLikeConfig,
    Mode, ModelError, ModelOutput, Presets, Rates, SentimentModel, TextFeatures,
};

fn tiny() -> MmlcnLikeConfig {
    MmlcnLikeConfig {
        components: 3,
        clusters_per_bin: 2,
        frobenius_weight: 0.01,
        ..MmlcnLikeConfig::default()
    }
}

/// Segments whose vision tells their sentiment, a little.
fn examples() -> Vec<Example> {
    let labels = [
        -3.0f32, -3.0, -2.8, -1.0, -0.8, 0.0, 0.1, 1.2, 1.0, 2.9, 3.0, 3.0,
    ];
    let one = |(at, &label): (usize, &f32)| {
        let frames = |width: usize, by: f32| Frames {
            values: (0..2 * width)
                .map(|i| by * label + ((at * 7 + i * 3) as f32).sin())
                .collect(),
            width,
        };
        Example {
            id: format!("{at}"),
            text: TextFeatures::Tokens(vec![2, 5 + at as u32, 3]),
            vision: frames(2, 1.0),
            audio: frames(3, -0.3),
            label,
            sentences: Vec::new(),
        }
    };
    labels.iter().enumerate().map(one).collect()
}

fn fitted(config: &MmlcnLikeConfig, device: &Device) -> (MmlcnLike, FeatureState, Batch) {
    device.seed(6);
    let mut small = BertConfig::small(30, 4, 1, 2, 8);
    small.hidden_dropout_prob = 0.0;
    small.attention_probs_dropout_prob = 0.0;
    let text = Some((small.init(device), &small));
    let model = MmlcnLike::init(config, &task(3, 2), text, device).unwrap();
    let mut state = MmlcnLike::init_state(config, &task(3, 2), &[]);
    let examples = examples();
    let batch = HostBatch::new(&examples, (0..examples.len()).collect()).upload(device);
    let mut split = [Ok(batch.clone())].into_iter();
    model.begin_epoch(&mut state, 1, &mut split).unwrap();
    model.check_state(&state).unwrap();
    (model, state, batch)
}

#[test]
fn components_are_standardised_and_uncorrelated_and_centres_have_their_bins() {
    let (device, _turn) = seeded(6);
    let (model, state, batch) = fitted(&tiny(), &device);
    let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
    let x = host(output.components.clone());
    let column = |at: usize| x.iter().skip(at).step_by(3).map(|&v| f64::from(v));
    for a in 0..3 {
        // Features that hardly differ are scaled up, and their rounding with them.
        assert!((column(a).sum::<f64>() / 12.0).abs() < 1e-2);
        for b in 0..a {
            let covariance: f64 = column(a).zip(column(b)).map(|(a, b)| a * b).sum();
            assert!(covariance.abs() / 12.0 < 1e-2);
        }
    }
    let variance = |at: usize| column(at).map(|v| v * v).sum::<f64>();
    assert!(variance(0) >= variance(1) && variance(1) >= variance(2));
    let clusters = &state.space.as_ref().unwrap().clusters;
    // Bins -3, -1, 0, 1 and 3 have segments; -1, 0 and 1 have two, the others three.
    assert_eq!(clusters.bins, [0, 0, 2, 2, 3, 3, 4, 4, 6, 6]);
    assert_eq!(clusters.metric, [0, 1, 4, 5, 6, 7, 8, 9, 12, 13]);
    // Metrics start at the identity: distances are Euclidean ones, a hundredth longer.
    let d = host(output.distances.clone());
    for (row, d) in x.chunks(3).zip(d.chunks(10)) {
        for (centre, &d) in clusters.centers.chunks(3).zip(d) {
            let square: f32 = row.iter().zip(centre).map(|(a, b)| (a - b).powi(2)).sum();
            assert!((d - 1.01 * square).abs() < 1e-4 * (1.0 + d));
        }
    }
    let sentiments = [-3.0f32, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0];
    for (d, prediction) in d.chunks(10).zip(host(output.prediction())) {
        let nearest = (0..10).min_by(|&a, &b| d[a].total_cmp(&d[b])).unwrap();
        assert_eq!(prediction, sentiments[clusters.bins[nearest]]);
    }
    assert_eq!(output.stages().len(), 3);
    let expected = MmlcnLikeConfig {
        decision: Decision::Expected,
        temperature: 0.7,
        ..tiny()
    };
    let (model, state, batch) = fitted(&expected, &device);
    let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
    let d = host(output.distances.clone());
    let clusters = &state.space.as_ref().unwrap().clusters;
    for (d, prediction) in d.chunks(10).zip(host(output.prediction())) {
        let weights: Vec<f32> = d.iter().map(|d| (-d / 0.7).exp()).collect();
        let weighed = weights
            .iter()
            .zip(&clusters.bins)
            .map(|(w, &bin)| w * sentiments[bin]);
        let mean = weighed.sum::<f32>() / weights.iter().sum::<f32>();
        assert!((prediction - mean).abs() < 1e-4);
    }
}

#[test]
fn steps_down_the_gradient_lower_the_loss_and_keep_metrics_positive() {
    let (device, _turn) = seeded(1);
    let device = device.autodiff();
    for metrics in [CentreMetrics::PerCentre, CentreMetrics::Single] {
        let config = MmlcnLikeConfig { metrics, ..tiny() };
        let (mut model, state, batch) = fitted(&config, &device);
        let rates = Rates {
            learning_rate: 1e-3,
            text_learning_rate: 0.0,
            weight_decay: 0.0,
            max_grad_norm: 0.0,
            max_grad_value: 0.0,
        };
        let recipe = MmlcnLike::recipe(&config, &rates);
        let trained = |name: &str| {
            let mut groups = recipe.groups.iter();
            groups.find(|group| group.name == name).unwrap().trained
        };
        let single = metrics == CentreMetrics::Single;
        assert_eq!(trained("global_metric"), single);
        assert_eq!(trained("local_metrics"), !single);
        let mut losses = Vec::new();
        for _ in 0..5 {
            let mut output = model.forward(&batch, &state, TRAIN).unwrap();
            let loss = model.loss(&batch, &mut output, &state, TRAIN).unwrap();
            assert_eq!(loss.parts.len(), MmlcnLike::LOSSES.len());
            losses.push(host(loss.total.clone())[0]);
            let gradients = loss.total.backward();
            let bert = model.text_encoder().unwrap();
            let learned = mmrest_models::published_gradients(bert, &[], &gradients).unwrap();
            assert!(learned.is_empty(), "the text encoder is not trained");
            fn step<const D: usize>(
                param: burn::module::Param<Tensor<D>>,
                gradient: Tensor<D>,
            ) -> burn::module::Param<Tensor<D>> {
                param.map(|value| {
                    let moved = value.inner() - gradient * 1e-3;
                    Tensor::from_inner(moved).require_grad()
                })
            }
            if single {
                let gradient = model.metric.global.val().grad(&gradients).unwrap();
                assert!(largest(host(gradient.clone())) > 0.0);
                model.metric.global = step(model.metric.global, gradient);
            } else {
                let gradient = model.metric.local.val().grad(&gradients).unwrap();
                assert!(largest(host(gradient.clone())) > 0.0);
                model.metric.local = step(model.metric.local, gradient);
            }
            model = model.after_step().unwrap();
            assert!(model.metric.is_psd(1e-5).unwrap());
        }
        assert!(
            losses.windows(2).all(|pair| pair[1] < pair[0]),
            "{losses:?}"
        );
        let other = if single {
            host(model.metric.local.val())
        } else {
            host(model.metric.global.val())
        };
        assert_eq!(largest(other), 0.0);
    }
}

#[test]
fn a_second_epoch_keeps_what_the_first_found_and_states_are_checked() {
    let (device, _turn) = seeded(6);
    let (model, mut state, batch) = fitted(&tiny(), &device);
    let before = state.clone();
    let mut none = std::iter::from_fn(|| -> Option<Result<Batch, ModelError>> {
        panic!("the split is not read again")
    });
    model.begin_epoch(&mut state, 2, &mut none).unwrap();
    assert_eq!(state, before);
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<FeatureState>(&text).unwrap(), state);
    let empty = FeatureState::default();
    model.check_state(&empty).unwrap();
    assert!(model.forward(&batch, &empty, Mode::Evaluate).is_err());
    state.space.as_mut().unwrap().mean.pop();
    assert!(model.check_state(&state).is_err());
    let mut state = before;
    state.space.as_mut().unwrap().projection[0] = f32::NAN;
    let error = model.check_state(&state).unwrap_err();
    assert!(matches!(error, ModelError::NonFinite(_)));
    let config = MmlcnLikeConfig {
        temperature: 0.0,
        ..tiny()
    };
    let error = config.check("model.mmlcn-like", &task(3, 2)).unwrap_err();
    assert!(error.0.contains("temperature"), "{error}");
}

#[test]
fn parameters_are_counted() {
    let (device, _turn) = seeded(1);
    let small = BertConfig::small(30, 8, 1, 2, 16);
    for (preset, config) in presets::<MmlcnLikeConfig>("mmlcn-like", &task(3, 2)) {
        let text = Some((small.init(&device), &small));
        let model = MmlcnLike::init(&config, &task(3, 2), text, &device).unwrap();
        let count = MmlcnLike::parameter_count(&config, &task(3, 2), Some(&small));
        assert_eq!(model.num_params() as u128, count, "{preset}");
        // 8 of text, 2 of vision and 3 of audio are fewer than 64 components.
        assert_eq!(model.metric.dim(), 13);
        let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
        let bert = model.text_encoder().unwrap().num_params();
        assert_eq!((parts + bert) as u128, count);
    }
    assert_eq!(MmlcnLikeConfig::PRESETS.len(), 2);
}
