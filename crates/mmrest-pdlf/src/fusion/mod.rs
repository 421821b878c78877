//! Decision-level fusion without attention: a score from the modalities, each alone and all together.
//!
//! ```text
//! text  [B, H]  -> Linear -> relu -> [B, 50] \
//! vision[B, 64] -> Linear -> relu -> [B, 50]  \  side by side      dropout -> Linear 128 -> tanh
//! audio [B, 64] -> Linear -> relu -> [B, 50]  /  -> Linear 512 ->          -> Linear 128 -> tanh -> Linear 1 = y'
//! [text, audio, vision]   -> relu -> [B, 50] /
//! ```
//!
//! The published code writes the first two layers as `Conv1d` of kernel size 1 over one position: a linear layer each.
//!
//! On the CPU all of it is one operation (`cpu.rs`); elsewhere it is burn's operations, layer by layer.

mod cpu;

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor, activation};
use mmrest_kernels::init::xavier_linear_init;
use serde::{Deserialize, Serialize};

use crate::PdlfError;

/// How wide a [`Fusion`] is.
///
/// ```
/// use mmrest_pdlf::FusionConfig;
///
/// let all = FusionConfig::default();
/// assert_eq!(all.parameters(), 275_017);
/// let no_vision = FusionConfig { vision: 0, ..all };
/// assert!(no_vision.check().is_ok() && no_vision.parameters() < all.parameters());
/// assert!(FusionConfig { text: 0, vision: 0, audio: 0, ..all }.check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionConfig {
    /// Width of the text representation; 0: no text.
    pub text: usize,
    /// Width of the vision representation; 0: no vision.
    pub vision: usize,
    /// Width of the audio representation; 0: no audio.
    pub audio: usize,
    /// Channels that each modality, and all of them together, are brought to.
    pub channels: usize,
    /// Width after all channels are joined.
    pub joint: usize,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Probability of dropping a joint value in training.
    pub dropout: f64,
}

impl Default for FusionConfig {
    fn default() -> Self {
        Self {
            text: 768,
            vision: 64,
            audio: 64,
            channels: 50,
            joint: 512,
            hidden: 128,
            dropout: 0.1,
        }
    }
}

impl FusionConfig {
    /// Makes the layers: Xavier-normal weights, biases uniform in `+-1 / sqrt(inputs)`.
    ///
    /// Modalities of width 0 take no parameters. All values are drawn here and now, in the order of the fields, so they
    /// depend on the device's seed alone.
    ///
    /// # Panics
    ///
    /// When `dropout` is no probability below 1: [`check`](Self::check) says so before.
    #[must_use]
    pub fn init(&self, device: &Device) -> Fusion {
        let block = |width: usize| (width > 0).then(|| linear(width, self.channels, device));
        Fusion {
            text: block(self.text),
            vision: block(self.vision),
            audio: block(self.audio),
            together: linear(self.text + self.vision + self.audio, self.channels, device),
            joint: linear(self.channels * (self.modalities() + 1), self.joint, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            first: linear(self.joint, self.hidden, device),
            second: linear(self.hidden, self.hidden, device),
            score: linear(self.hidden, 1, device),
        }
    }

    /// Whether a fusion of these widths can be made.
    ///
    /// # Errors
    ///
    /// [`PdlfError::NoModality`], [`PdlfError::EmptyLayer`], [`PdlfError::Dropout`].
    pub fn check(&self) -> Result<(), PdlfError> {
        if self.modalities() == 0 {
            return Err(PdlfError::NoModality);
        }
        let layers = [
            ("channels", self.channels),
            ("joint", self.joint),
            ("hidden", self.hidden),
        ];
        if let Some((name, _)) = layers.into_iter().find(|&(_, width)| width == 0) {
            return Err(PdlfError::EmptyLayer { name });
        }
        if (0.0..1.0).contains(&self.dropout) {
            Ok(())
        } else {
            Err(PdlfError::Dropout(self.dropout))
        }
    }

    /// How many modalities are present.
    #[must_use]
    pub fn modalities(&self) -> usize {
        [self.text, self.vision, self.audio]
            .into_iter()
            .filter(|&width| width > 0)
            .count()
    }

    /// How many parameters the fusion has; saturates.
    ///
    /// With `W` the widths' sum and `m` modalities: `W c + m c` alone, `W c + c` together, then
    /// `(m + 1) c j + j`, `j h + h`, `h h + h` and `h + 1`.
    #[must_use]
    pub fn parameters(&self) -> u128 {
        let linear = |inputs: usize, outputs: usize| {
            (inputs.saturating_add(1) as u128).saturating_mul(outputs as u128)
        };
        let widths = [self.text, self.vision, self.audio];
        let present = widths.into_iter().filter(|&width| width > 0);
        let joined = self.channels.saturating_mul(self.modalities() + 1);
        let common = [
            linear(
                widths.into_iter().fold(0, usize::saturating_add),
                self.channels,
            ),
            linear(joined, self.joint),
            linear(self.joint, self.hidden),
            linear(self.hidden, self.hidden),
            linear(self.hidden, 1),
        ];
        let alone = present.map(|width| linear(width, self.channels));
        alone.chain(common).fold(0, u128::saturating_add)
    }
}

/// The score `y'` of the modalities present.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use mmrest_pdlf::FusionConfig;
///
/// let device = Device::flex();
/// let fusion = FusionConfig { text: 384, vision: 0, audio: 64, ..Default::default() }.init(&device);
/// let random = |width| Tensor::<2>::random([8, width], Distribution::Default, &device);
/// let score = fusion.forward(Some(random(384)), None, Some(random(64)));
/// assert_eq!(score.dims(), [8]);
/// ```
#[derive(Module, Debug)]
pub struct Fusion {
    /// Text alone: `text -> channels`, when text is present.
    pub text: Option<Linear>,
    /// Vision alone: `vision -> channels`, when vision is present.
    pub vision: Option<Linear>,
    /// Audio alone: `audio -> channels`, when audio is present.
    pub audio: Option<Linear>,
    /// Those present side by side, in the order text, audio, vision: `text + audio + vision -> channels`.
    pub together: Linear,
    /// All channels, in the order text, vision, audio, together: `channels * (modalities + 1) -> joint`.
    pub joint: Linear,
    /// Drops joint values in training.
    pub dropout: Dropout,
    /// `joint -> hidden`.
    pub first: Linear,
    /// `hidden -> hidden`.
    pub second: Linear,
    /// `hidden -> 1`.
    pub score: Linear,
}

impl Fusion {
    /// The score `y'`, `[batch]`, in the labels' units.
    ///
    /// - `text`, `vision`, `audio`: `[batch, width]`, each of the width it was configured with.
    ///
    /// # Panics
    ///
    /// When the modalities given are not those configured, or have other widths.
    #[must_use]
    pub fn forward(
        &self,
        text: Option<Tensor<2>>,
        vision: Option<Tensor<2>>,
        audio: Option<Tensor<2>>,
    ) -> Tensor<1> {
        let alone = self.alone(text, vision, audio);
        if cpu::fits(self, &alone) {
            cpu::score(self, &alone)
        } else {
            self.by_layers(&alone)
        }
    }

    /// The modalities present, each with its layer.
    fn alone(
        &self,
        text: Option<Tensor<2>>,
        vision: Option<Tensor<2>>,
        audio: Option<Tensor<2>>,
    ) -> Vec<Alone<'_>> {
        let given = [
            Alone::new("text", 0, &self.text, text),
            Alone::new("vision", 2, &self.vision, vision),
            Alone::new("audio", 1, &self.audio, audio),
        ];
        let alone: Vec<Alone<'_>> = given.into_iter().flatten().collect();
        assert!(!alone.is_empty(), "the fusion was made without a modality");
        alone
    }

    /// [`forward`](Self::forward) by burn's operations, for any device.
    fn by_layers(&self, alone: &[Alone<'_>]) -> Tensor<1> {
        let mut beside: Vec<&Alone<'_>> = alone.iter().collect();
        beside.sort_by_key(|alone| alone.place);
        let beside = beside.into_iter().map(|alone| alone.input.clone());
        let together = self.together.forward(Tensor::cat(beside.collect(), 1));
        let each = alone
            .iter()
            .map(|alone| alone.layer.forward(alone.input.clone()));
        let channels = each.chain([together]).map(activation::relu);

        let joint = self.joint.forward(Tensor::cat(channels.collect(), 1));
        let joint = self.dropout.forward(joint);
        let hidden = activation::tanh(self.first.forward(joint));
        let hidden = activation::tanh(self.second.forward(hidden));
        self.score.forward(hidden).squeeze_dim(1)
    }
}

/// One modality and the layer that has it alone.
struct Alone<'a> {
    layer: &'a Linear,
    /// `[batch, width]`.
    input: Tensor<2>,
    /// Its place among all side by side.
    place: usize,
}

impl<'a> Alone<'a> {
    /// Nothing for an absent modality.
    fn new(
        name: &str,
        place: usize,
        layer: &'a Option<Linear>,
        input: Option<Tensor<2>>,
    ) -> Option<Self> {
        let (layer, input) = match (layer, input) {
            (None, None) => return None,
            (Some(layer), Some(input)) => (layer, input),
            (Some(_), None) => panic!("the fusion was made with {name}, and none is given"),
            (None, Some(_)) => panic!("the fusion was made without {name}, and some is given"),
        };
        let (found, expected) = (input.dims()[1], layer.weight.shape()[0]);
        assert!(
            found == expected,
            "the fusion was made with {name} {expected} wide, and what is given is {found} wide"
        );
        Some(Self {
            layer,
            input,
            place,
        })
    }
}

/// A linear layer with a Xavier-normal weight and PyTorch's default bias, both drawn now: a parameter is otherwise drawn
/// when its value is first asked for.
fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let linear = xavier_linear_init(inputs, outputs, device);
    let _ = (linear.weight.val(), linear.bias.as_ref().map(Param::val));
    linear
}

#[cfg(test)]
mod tests {
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
                + FusionConfig::default().parameters() as usize
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
            assert_eq!(
                fusion.num_params() as u128,
                config.parameters(),
                "{config:?}"
            );
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
        let score = if on_cpu {
            fusion.forward(text, vision, audio)
        } else {
            fusion.by_layers(&fusion.alone(text, vision, audio))
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
                let [single, layers] =
                    [true, false].map(|on_cpu| results(&fusion, &inputs, on_cpu));
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
}
