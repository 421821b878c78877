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

#[test]
#[should_panic(expected = "made without vision")]
fn a_modality_it_was_not_made_for_is_refused() {
    let device = Device::flex();
    let fusion = FusionConfig {
        vision: 0,
        audio: 0,
        text: 4,
        ..Default::default()
    }
    .init(&device);
    let input = || Some(Tensor::<2>::ones([1, 4], &device));
    let _ = fusion.forward(input(), input(), None);
}
