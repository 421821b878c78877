use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Distribution, Int};

use super::*;

/// The sequence encoder's parameters: an LSTM of 64 with two biases, and a linear layer 64 -> 64.
fn sequence_encoder(width: usize) -> usize {
    4 * 64 * (width + 64) + 2 * 4 * 64 + 64 * 64 + 64
}

#[test]
fn the_published_parameter_counts_add_up() {
    let to_shared_space = 768 * 64 + 64;
    let whole = |vision, audio| {
        sequence_encoder(vision)
            + sequence_encoder(audio)
            + to_shared_space
            + FusionConfig::default().parameters()
    };
    assert_eq!(whole(20, 5), 372_745);
    assert_eq!(whole(35, 74), 394_249);
}

#[test]
fn the_formula_counts_what_the_module_has_for_every_subset() {
    let _turn = alone_at_the_dice();
    for subset in 1..8_usize {
        let width = |bit: usize, width: usize| if subset & bit > 0 { width } else { 0 };
        let config = FusionConfig {
            text: width(1, 24),
            vision: width(2, 6),
            audio: width(4, 5),
            channels: 7,
            joint: 11,
            hidden: 9,
            dropout: 0.0,
        };
        config.check().unwrap();
        let device = Device::flex();
        let fusion = config.init(&device);
        assert_eq!(fusion.num_params(), config.parameters(), "{config:?}");
        let input = |width: usize| (width > 0).then(|| Tensor::<2>::ones([3, width], &device));
        let score = fusion.forward(
            input(config.text),
            input(config.vision),
            input(config.audio),
        );
        assert_eq!(score.dims(), [3]);
    }
}

#[test]
fn weights_and_biases_have_their_spread() {
    let _turn = alone_at_the_dice();
    let device = Device::flex();
    let layer = linear(400, 200, &device);
    let weight: Vec<f32> = layer.weight.val().into_data().try_to_vec().unwrap();
    let variance = weight.iter().map(|w| f64::from(w * w)).sum::<f64>() / weight.len() as f64;
    assert!((variance / (2.0 / 600.0) - 1.0).abs() < 0.05, "{variance}");
    let bias: Vec<f32> = layer.bias.unwrap().val().into_data().try_to_vec().unwrap();
    let largest = bias.iter().fold(0.0_f32, |most, b| most.max(b.abs()));
    assert!((0.045..=0.05).contains(&largest), "{largest}");
}

#[test]
fn check_names_what_cannot_be() {
    let good = FusionConfig::default();
    assert_eq!(good.check(), Ok(()));
    let none = FusionConfig {
        text: 0,
        vision: 0,
        audio: 0,
        ..good
    };
    assert_eq!(none.check(), Err(PdlfError::NoModality));
    let empty = FusionConfig { hidden: 0, ..good };
    assert_eq!(empty.check(), Err(PdlfError::EmptyLayer { name: "hidden" }));
    assert_eq!(
        FusionConfig {
            dropout: 1.0,
            ..good
        }
        .check(),
        Err(PdlfError::Dropout(1.0))
    );
    assert!(
        FusionConfig {
            dropout: f64::NAN,
            ..good
        }
        .check()
        .is_err()
    );
}

/// A fusion of text that is 4 wide.
fn of_text_alone() -> (Fusion, Device) {
    let device = Device::flex();
    let config = FusionConfig {
        vision: 0,
        audio: 0,
        text: 4,
        ..Default::default()
    };
    (config.init(&device), device)
}

#[test]
#[should_panic(expected = "made without vision")]
fn a_modality_it_was_not_made_for_is_refused() {
    let _turn = alone_at_the_dice();
    let (fusion, device) = of_text_alone();
    let input = || Some(Tensor::<2>::ones([1, 4], &device));
    let _ = fusion.forward(input(), input(), None);
}

/// The numbers of a device are drawn by all threads in turn: for who wants them to follow from a seed.
fn alone_at_the_dice() -> MutexGuard<'static, ()> {
    static DICE: Mutex<()> = Mutex::new(());
    DICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fusion on a device that can go back, of the modalities whose bits are set in `subset`, and rows for it.
fn example(subset: usize, rows: usize, dropout: f64) -> (Fusion, [Option<Tensor<2>>; 3]) {
    let device = Device::flex().autodiff();
    device.seed(subset as u64);
    let widths = [(1, 24), (2, 6), (4, 5)].map(|(bit, width)| match subset & bit {
        0 => 0,
        _ => width,
    });
    let fusion = FusionConfig {
        text: widths[0],
        vision: widths[1],
        audio: widths[2],
        channels: 7,
        joint: 40,
        hidden: 9,
        dropout,
    }
    .init(&device);
    let inputs = widths.map(|width| {
        let normal = Distribution::Normal(0.0, 1.0);
        (width > 0).then(|| Tensor::<2>::random([rows, width], normal, &device).require_grad())
    });
    (fusion, inputs)
}

/// The score, and the gradients of all parameters and inputs by a loss that weighs every row differently.
fn results(fusion: &Fusion, inputs: &[Option<Tensor<2>>; 3], on_cpu: bool) -> Vec<Vec<f32>> {
    struct Gradients<'a>(&'a burn::tensor::Gradients, Vec<Vec<f32>>);
    impl burn::module::ModuleVisitor for Gradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).unwrap();
            self.1.push(gradient.into_data().try_to_vec().unwrap());
        }
    }
    let [text, vision, audio] = inputs.clone();
    let score = match on_cpu {
        true => fusion.forward(text, vision, audio),
        false => fusion.by_layers(&fusion.alone(text, vision, audio)),
    };
    let rows = score.dims()[0] as i64;
    let weights = Tensor::<1, Int>::arange(1..rows + 1, &score.device());
    let backward = (score.clone() * weights.float().sin()).sum().backward();
    let mut gradients = Gradients(&backward, vec![score.into_data().try_to_vec().unwrap()]);
    fusion.visit(&mut gradients);
    let mut all = gradients.1;
    for input in inputs.iter().flatten() {
        let gradient = input.grad(&backward).unwrap();
        all.push(gradient.into_data().try_to_vec().unwrap());
    }
    all
}

#[test]
fn the_single_operation_is_the_layers() {
    let _turn = alone_at_the_dice();
    for subset in 1..8 {
        for rows in [1, 40, 75] {
            let (fusion, inputs) = example(subset, rows, 0.0);
            let [text, vision, audio] = inputs.clone();
            assert!(cpu::fits(&fusion, &fusion.alone(text, vision, audio)));
            let [single, layers] = [true, false].map(|on_cpu| results(&fusion, &inputs, on_cpu));
            assert_eq!(single.len(), layers.len());
            for (part, (single, layers)) in single.iter().zip(&layers).enumerate() {
                assert_eq!(single.len(), layers.len(), "part {part}");
                let scale = layers.iter().fold(1e-2_f32, |most, v| most.max(v.abs()));
                for (single, layers) in single.iter().zip(layers) {
                    assert!(
                        (single - layers).abs() <= 1e-5 * scale,
                        "part {part} of subset {subset}, {rows} rows: {single} {layers}"
                    );
                }
            }
        }
    }
}

#[test]
fn with_dropout_gradients_are_slopes_of_the_score() {
    let _turn = alone_at_the_dice();
    let (fusion, inputs) = example(5, 40, 0.4);
    let scores = |inputs: &[Option<Tensor<2>>; 3]| {
        Device::flex().seed(11); // the same mask each time
        results(&fusion, inputs, true)
    };
    let gradients = scores(&inputs);
    let Some(text) = &inputs[0] else {
        panic!("subset 5 has text")
    };
    let loss = |step: f64| -> f64 {
        let moved = Tensor::from_inner(text.clone().inner() + step).require_grad();
        let [_, vision, audio] = inputs.clone();
        let scores = &scores(&[Some(moved), vision, audio])[0];
        let weighed = scores.iter().zip(1..);
        weighed
            .map(|(score, row)| f64::from(*score) * f64::from(row).sin())
            .sum()
    };
    let slope = (loss(1e-3) - loss(-1e-3)) / 2e-3;
    let of_text = &gradients[gradients.len() - 2];
    assert_eq!(of_text.len(), 40 * 24);
    let found: f64 = of_text.iter().map(|&gradient| f64::from(gradient)).sum();
    assert!(
        slope.abs() > 0.1 && (found / slope - 1.0).abs() < 1e-2,
        "{found} {slope}"
    );
}

#[test]
fn in_evaluation_nothing_is_dropped() {
    let _turn = alone_at_the_dice();
    let (fusion, inputs) = example(7, 40, 0.4);
    let training = results(&fusion, &inputs, true).swap_remove(0);
    assert_ne!(training, results(&fusion, &inputs, true)[0]);
    let [text, vision, audio] = inputs.map(|input| input.map(Tensor::inner));
    let fusion = fusion.valid();
    let read = |scores: Tensor<1>| -> Vec<f32> { scores.into_data().try_to_vec().unwrap() };
    let single = read(fusion.forward(text.clone(), vision.clone(), audio.clone()));
    let layers = read(fusion.by_layers(&fusion.alone(text, vision, audio)));
    for (single, layers) in single.iter().zip(&layers) {
        assert!((single - layers).abs() < 1e-5, "{single} {layers}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let _turn = alone_at_the_dice();
    let (fusion, inputs) = example(7, 150, 0.2);
    let [one, three] = [1, 3].map(|threads| {
        Device::flex().seed(5);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build()
            .unwrap()
            .install(|| results(&fusion, &inputs, true))
    });
    assert!(one == three);
}

#[test]
fn what_is_not_a_number_is_not_hidden() {
    let _turn = alone_at_the_dice();
    let (fusion, [text, ..]) = example(1, 3, 0.0);
    let text = text.unwrap().inner().mul_scalar(f64::NAN);
    let score = fusion.forward(Some(text), None, None).into_data();
    assert!(score.iter::<f32>().all(f32::is_nan));
}

#[test]
fn only_what_is_asked_for_gets_a_gradient() {
    let _turn = alone_at_the_dice();
    let (fusion, [text, vision, audio]) = example(7, 4, 0.0);
    let text = Tensor::from_inner(text.unwrap().inner());
    let score = fusion.forward(Some(text.clone()), vision.clone(), audio);
    let gradients = score.sum().backward();
    assert!(text.grad(&gradients).is_none());
    assert!(vision.unwrap().grad(&gradients).is_some());
}

#[test]
#[should_panic(expected = "text 4 wide, and what is given is 5 wide")]
fn an_input_of_another_width_is_refused() {
    let _turn = alone_at_the_dice();
    let (fusion, device) = of_text_alone();
    let _ = fusion.forward(Some(Tensor::ones([1, 5], &device)), None, None);
}
