//! The LSTM against a plain one, value and gradient, and its independence of padding, order and company.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};
use common::{noise, relative, values};
use mmrest_encoders::{Lstm, LstmConfig};
use proptest::prelude::*;

/// `[batch, time, feature]` noise; what lies beyond the lengths is noise too.
fn frames(batch: usize, time: usize, features: usize, seed: u64, device: &Device) -> Tensor<3> {
    Tensor::from_data(
        TensorData::new(
            noise(batch * time * features, seed),
            [batch, time, features],
        ),
        device,
    )
}

/// One sequence at a time, gate by gate, as the formula has it.
fn naive(lstm: &Lstm, x: &Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let size = lstm.weight_hh.shape()[0];
    let device = x.device();
    let gate = |frame: &Tensor<2>, hidden: &Tensor<2>, at: usize| {
        let columns = |weight: Tensor<2>| weight.narrow(1, at * size, size);
        let part = |bias: Tensor<1>| bias.narrow(0, at * size, size).unsqueeze::<2>();
        frame.clone().matmul(columns(lstm.weight_ih.val()))
            + part(lstm.bias_ih.val())
            + hidden.clone().matmul(columns(lstm.weight_hh.val()))
            + part(lstm.bias_hh.val())
    };
    let last = |(sequence, length): (usize, &usize)| {
        let mut hidden = Tensor::<2>::zeros([1, size], &device);
        let mut cell = Tensor::<2>::zeros([1, size], &device);
        for step in 0..*length {
            let frame = x
                .clone()
                .narrow(0, sequence, 1)
                .narrow(1, step, 1)
                .squeeze_dim::<2>(0);
            let [i, f, g, o] = [0, 1, 2, 3].map(|at| gate(&frame, &hidden, at));
            cell = sigmoid(f) * cell + sigmoid(i) * tanh(g);
            hidden = sigmoid(o) * tanh(cell.clone());
        }
        hidden
    };
    Tensor::cat(lengths.iter().enumerate().map(last).collect(), 0)
}

/// A loss that weighs every value differently.
fn loss(hidden: Tensor<2>) -> Tensor<1> {
    let weights = Tensor::<2>::from_data(
        TensorData::new(noise(hidden.dims().iter().product(), 99), hidden.dims()),
        &hidden.device(),
    );
    (hidden * weights).sum()
}

#[test]
fn values_and_gradients_are_those_of_a_plain_lstm() {
    let device = Device::flex().autodiff();
    let lstm = LstmConfig::new(3, 6).init(&device);
    let lengths = [4, 1, 7, 7, 2];
    let x = frames(5, 7, 3, 1, &device);

    let found = lstm.last_hidden(x.clone(), &lengths);
    let expected = naive(&lstm, &x, &lengths);
    assert!(relative(&values(found.clone()), &values(expected.clone())) < 1e-5);

    let (found, expected) = (loss(found).backward(), loss(expected).backward());
    for (name, weight) in [
        ("weight_ih", &lstm.weight_ih),
        ("weight_hh", &lstm.weight_hh),
    ] {
        let error = relative(
            &values(weight.grad(&found).unwrap()),
            &values(weight.grad(&expected).unwrap()),
        );
        assert!(error < 1e-4, "{name} {error:e}");
    }
    for (name, bias) in [("bias_ih", &lstm.bias_ih), ("bias_hh", &lstm.bias_hh)] {
        let error = relative(
            &values(bias.grad(&found).unwrap()),
            &values(bias.grad(&expected).unwrap()),
        );
        assert!(error < 1e-4, "{name} {error:e}");
    }
}

#[test]
fn the_gradient_reaches_tracked_frames() {
    let device = Device::flex().autodiff();
    let lstm = LstmConfig::new(3, 6).init(&device);
    let lengths = [2, 4];
    let x = frames(2, 4, 3, 2, &device).require_grad();
    let found = values(
        x.grad(&loss(lstm.last_hidden(x.clone(), &lengths)).backward())
            .unwrap(),
    );
    let expected = values(
        x.grad(&loss(naive(&lstm, &x, &lengths)).backward())
            .unwrap(),
    );
    assert!(relative(&found, &expected) < 1e-4);
    assert!(
        found[6..12].iter().all(|v| *v == 0.0),
        "padding has no gradient"
    );
}

#[test]
fn a_length_of_zero_is_one_frame_and_one_too_long_is_the_time() {
    let device = Device::flex();
    let lstm = LstmConfig::new(3, 6).init(&device);
    let x = frames(2, 4, 3, 3, &device);
    let bounded = values(lstm.last_hidden(x.clone(), &[1, 4]));
    assert_eq!(values(lstm.last_hidden(x, &[0, 9])), bounded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn padding_order_and_company_do_not_matter(
        lengths in proptest::collection::vec(1usize..9, 1..7),
        extra in 0usize..4,
        rotate in 0usize..7,
        seed in any::<u64>(),
    ) {
        let device = Device::flex();
        let lstm = LstmConfig::new(3, 5).init(&device);
        let (batch, time) = (lengths.len(), lengths.iter().max().unwrap() + extra);
        let x = frames(batch, time, 3, seed, &device);
        let together = values(lstm.last_hidden(x.clone(), &lengths));

        let order: Vec<usize> = (0..batch).map(|i| (i + rotate) % batch).collect();
        let rows: Vec<Tensor<3>> = order.iter().map(|i| x.clone().narrow(0, *i, 1)).collect();
        let turned: Vec<usize> = order.iter().map(|i| lengths[*i]).collect();
        let turned = values(lstm.last_hidden(Tensor::cat(rows, 0), &turned));

        for (place, sequence) in order.into_iter().enumerate() {
            let one = x.clone().narrow(0, sequence, 1).narrow(1, 0, lengths[sequence]);
            let alone = values(lstm.last_hidden(one, &lengths[sequence..=sequence]));
            prop_assert!(relative(&alone, &together[sequence * 5..][..5]) < 1e-5);
            prop_assert!(relative(&alone, &turned[place * 5..][..5]) < 1e-5);
        }
    }
}

/// Weighted sum of the last hidden states in f64, from PyTorch's formulas; weights `[in, 4H]`, `[H, 4H]`, `[4H]`, `[4H]`.
fn reference(x: &[f64], lengths: &[usize], weights: &[Vec<f64>; 4], sizes: [usize; 3]) -> f64 {
    let [time, features, size] = sizes;
    let [w_ih, w_hh, b_ih, b_hh] = weights;
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let mut loss = 0.0;
    for (sequence, length) in lengths.iter().enumerate() {
        let (mut hidden, mut cell) = (vec![0.0; size], vec![0.0; size]);
        for step in 0..*length {
            let frame = &x[(sequence * time + step) * features..][..features];
            let past = hidden.clone();
            let gate = |column: usize| -> f64 {
                let seen = frame.iter().enumerate();
                let seen: f64 = seen.map(|(k, v)| v * w_ih[k * 4 * size + column]).sum();
                let kept = past.iter().enumerate();
                let kept: f64 = kept.map(|(k, v)| v * w_hh[k * 4 * size + column]).sum();
                seen + kept + b_ih[column] + b_hh[column]
            };
            for unit in 0..size {
                let [i, f, g, o] = [0, 1, 2, 3].map(|at| gate(at * size + unit));
                cell[unit] = sigmoid(f) * cell[unit] + sigmoid(i) * g.tanh();
                hidden[unit] = sigmoid(o) * cell[unit].tanh();
            }
        }
        let weigh = |(unit, value): (usize, &f64)| value * ((sequence * size + unit) as f64).cos();
        loss += hidden.iter().enumerate().map(weigh).sum::<f64>();
    }
    loss
}

#[test]
fn gradients_are_the_slopes_of_the_formulas() {
    let device = Device::flex().autodiff();
    let (lengths, [time, features, size]) = ([6, 1, 3], [6, 3, 5]);
    let lstm = LstmConfig::new(features, size).init(&device);
    let x = frames(lengths.len(), time, features, 17, &device).require_grad();
    let weigh: Vec<f32> = (0..lengths.len() * size)
        .map(|k| (k as f32).cos())
        .collect();
    let weigh = Tensor::<2>::from_data(TensorData::new(weigh, [lengths.len(), size]), &device);
    let output = (lstm.last_hidden(x.clone(), &lengths) * weigh).sum();
    let gradients = output.clone().backward();

    fn wide<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        values(tensor).into_iter().map(f64::from).collect()
    }
    let found = [
        wide(lstm.weight_ih.val().grad(&gradients).unwrap()),
        wide(lstm.weight_hh.val().grad(&gradients).unwrap()),
        wide(lstm.bias_ih.val().grad(&gradients).unwrap()),
        wide(lstm.bias_hh.val().grad(&gradients).unwrap()),
        wide(x.clone().grad(&gradients).unwrap()),
    ];
    let weights = [
        wide(lstm.weight_ih.val()),
        wide(lstm.weight_hh.val()),
        wide(lstm.bias_ih.val()),
        wide(lstm.bias_hh.val()),
    ];
    let x = wide(x);
    let loss = |part: usize, place: usize, step: f64| {
        let (mut weights, mut x) = (weights.clone(), x.clone());
        match weights.get_mut(part) {
            Some(weight) => weight[place] += step,
            None => x[place] += step,
        }
        reference(&x, &lengths, &weights, [time, features, size])
    };
    let value = wide(output)[0];
    assert!((value - loss(0, 0, 0.0)).abs() < 1e-5, "{value}");
    for (part, found) in found.iter().enumerate() {
        for (place, found) in found.iter().enumerate() {
            let slope = (loss(part, place, 1e-5) - loss(part, place, -1e-5)) / 2e-5;
            assert!(
                (found - slope).abs() < 1e-5,
                "part {part}, {place}: {found} {slope}"
            );
        }
    }
}
