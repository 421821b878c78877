//! Every kernel of a GPU against the CPU's operation: outputs and all gradients.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::Optimizer;
use burn::tensor::{Device, Distribution, Gradients, Tensor, TensorData};
use mmrest_encoders::{Attention, Bert, BertConfig, BiLstm, Lstm, LstmConfig, PackedTokens};
use mmrest_kernels::adam::{FusedAdam, FusedAdamConfig, Moments, map_together};
use mmrest_kernels::gpu::attention::{self, Blocks, Heads};
use mmrest_kernels::gpu::many::{blend, clamp, scale, squares};

use super::adapters;

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The gradients of a module's parameters.
struct Collect<'a>(&'a Gradients, Vec<Vec<f32>>);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.0);
        self.1.push(gradient.map(read).unwrap_or_default());
    }
}

/// Output of a module, and gradients of its parameters and of what it got, for a loss that weighs every value differently.
fn results<M: Module>(
    module: &M,
    inputs: &[Tensor<2>],
    device: &Device,
    run: impl Fn(&M, &[Tensor<2>]) -> Tensor<2>,
) -> Vec<Vec<f32>> {
    let module = module.clone().fork(device);
    let own = |input: &Tensor<2>| Tensor::from_data(input.to_data(), device).require_grad();
    let inputs: Vec<Tensor<2>> = inputs.iter().map(own).collect();
    let output = run(&module, &inputs);
    let [rows, width] = output.dims();
    let weigh = (0..rows * width).map(|at| (at as f32).sin()).collect();
    let weigh = Tensor::from_data(TensorData::new::<f32, _>(weigh, [rows, width]), device);
    let gradients = (output.clone() * weigh).sum().backward();
    let mut all = Collect(&gradients, vec![read(output)]);
    for input in inputs {
        all.1.push(read(input.grad(&gradients).unwrap()));
    }
    module.visit(&mut all);
    all.1
}

/// On the CPU and on every adapter the results are the same, within rounding.
fn compare<M: Module>(
    what: &str,
    module: &M,
    inputs: &[Tensor<2>],
    run: impl Fn(&M, &[Tensor<2>]) -> Tensor<2>,
) {
    let expected = results(module, inputs, &Device::flex().autodiff(), &run);
    for (backend, device) in adapters() {
        let found = results(module, inputs, &device.autodiff(), &run);
        assert_eq!(found.len(), expected.len());
        for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.len(), expected.len(), "{what}, part {part}");
            let scale = expected.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() <= 2e-5 * scale,
                    "{what} on {backend}, part {part}: {found} for {expected}"
                );
            }
        }
    }
}

fn random(rows: usize, width: usize) -> Tensor<2> {
    Tensor::random(
        [rows, width],
        Distribution::Normal(0.0, 1.0),
        &Device::flex(),
    )
}

fn offsets(lengths: &[usize]) -> Vec<usize> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

#[test]
fn an_lstm_is_that_of_the_cpu() {
    let cpu = Device::flex().autodiff();
    cpu.seed(3);
    for (input, hidden, time, lengths) in [
        (5, 8, 7, vec![7, 1, 3, 3, 0, 5, 9, 2, 6, 1, 4]),
        (3, 16, 4, vec![4; 9]),
        (2, 5, 1, vec![1]),
        (1, 3, 12, vec![1, 12]),
        (20, 64, 30, vec![12, 30, 2]),
        (6, 96, 5, vec![5, 2]),
        (4, 128, 9, vec![3, 9, 1]),
        (3, 32, 500, vec![500, 20, 333]),
    ] {
        let lstm = LstmConfig::new(input, hidden).init(&cpu);
        let batch = lengths.len();
        let frames = [random(batch * time, input)];
        let what = format!("hidden {hidden}, lengths {lengths:?}");
        compare(&what, &lstm, &frames, |lstm: &Lstm, x| {
            let x = x[0].clone().reshape([batch, time, input]);
            lstm.last_hidden(x, &lengths)
        });
        let own: Vec<usize> = lengths
            .iter()
            .map(|&length| length.clamp(1, time))
            .collect();
        let packed = [random(own.iter().sum(), input)];
        for reverse in [false, true] {
            compare(&what, &lstm, &packed, |lstm: &Lstm, x| {
                lstm.states(x[0].clone(), &offsets(&own), reverse)
            });
        }
    }
}

#[test]
fn both_ways_of_an_lstm_are_those_of_the_cpu() {
    let both = BiLstm::init(&LstmConfig::new(3, 6), &Device::flex().autodiff());
    let bounds = offsets(&[5, 1, 7, 3]);
    let frames = [random(16, 3)];
    compare("both ways", &both, &frames, |both: &BiLstm, x| {
        let (states, [last, first]) = both.states(x[0].clone(), &bounds);
        Tensor::cat(vec![states, Tensor::cat(vec![last, first], 1)], 0)
    });
}

#[test]
fn attention_is_that_of_the_cpu() {
    let cpu = Device::flex().autodiff();
    cpu.seed(5);
    for (width, heads, lengths) in [
        (24, 3, vec![5, 1, 9, 2, 9, 4]),
        (8, 8, vec![1]),
        (64, 1, vec![40, 33, 32]),
        (40, 8, vec![70, 3]),
        (128, 1, vec![35, 6]),
        (16, 2, vec![500, 1, 64]),
    ] {
        let attention = Attention::init(width, heads, 0.0, false, &cpu);
        let asked = offsets(&lengths);
        // As many sequences, of other lengths.
        let others: Vec<usize> = lengths.iter().map(|length| 1 + length * 5 % 47).collect();
        let told = offsets(&others);
        let rows = |bounds: &[usize]| random(bounds[bounds.len() - 1], width);
        for causal in [false, true] {
            let what = format!("{heads} heads, lengths {lengths:?}, causal: {causal}");
            let own = [rows(&asked)];
            compare(&what, &attention, &own, |attention: &Attention, x| {
                attention.within(x[0].clone(), &asked, causal)
            });
            let both = [rows(&asked), rows(&told)];
            compare(&what, &attention, &both, |attention: &Attention, x| {
                let bounds = [&asked[..], &told[..]];
                attention.across(x[0].clone(), x[1].clone().into(), bounds, causal)
            });
        }
    }
}

#[test]
fn a_text_encoder_is_that_of_the_cpu() {
    let cpu = Device::flex().autodiff();
    cpu.seed(7);
    let texts: Vec<Vec<u32>> = [5u32, 1, 37, 2, 9]
        .iter()
        .map(|&length| (0..length).map(|at| at * 7 % 50).collect())
        .collect();
    let batch = PackedTokens::from_sequences(&texts);
    let mut config = BertConfig::small(50, 24, 2, 3, 40);
    config.hidden_dropout_prob = 0.0;
    config.attention_probs_dropout_prob = 0.0;
    config.initializer_range = 0.3;
    for config in [config.clone(), config.as_mpnet()] {
        let bert = config.init(&cpu);
        compare("all tokens", &bert, &[], |bert: &Bert, _| {
            bert.forward(&batch)
        });
        compare("first tokens", &bert, &[], |bert: &Bert, _| {
            bert.layers_first(bert.embed(&batch), &batch.offsets, 0..2)
        });
    }
}

/// With dropout, masks differ from device to device; forward and backward have to agree about theirs.
#[test]
fn dropout_of_attention_is_the_same_on_the_way_back() {
    for (_, device) in adapters() {
        device.seed(9);
        let (asked, told) = (offsets(&[40, 3, 1]), offsets(&[33, 5, 7]));
        let blocks = Blocks::new(&asked, &told, &device);
        let heads = Heads {
            heads: 2,
            causal: false,
            dropout: 0.3,
        };
        let values =
            |rows: usize| Tensor::<2>::random([rows, 12], Distribution::Normal(0.0, 1.0), &device);
        let rows = [values(44), values(45), values(45)];
        let key = attention::draw_key(&device);
        let weigh = values(44);
        let loss = |rows: &[Tensor<2>; 3]| {
            let (out, _) = attention::forward(rows.clone(), key.clone(), &blocks, heads);
            let products = read(out * weigh.clone());
            products.iter().map(|&value| f64::from(value)).sum::<f64>()
        };
        let (out, sums) = attention::forward(rows.clone(), key.clone(), &blocks, heads);
        let given = [out, sums];
        let gradients = attention::backward(
            rows.clone(),
            key.clone(),
            &blocks,
            heads,
            given,
            weigh.clone(),
        );
        for (part, gradient) in gradients.into_iter().enumerate() {
            let towards = values(rows[part].dims()[0]);
            let moved = |by: f64| {
                let mut rows = rows.clone();
                rows[part] = rows[part].clone() + towards.clone().mul_scalar(by);
                loss(&rows)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let found: f32 = read(gradient * towards).iter().sum();
            let difference = (f64::from(found) - slope).abs();
            assert!(
                difference < 2e-2 * slope.abs().max(1.0),
                "{part}: {found} for {slope}"
            );
        }
        // A value of 1 everywhere comes out as the share that is kept, times what makes up for the rest.
        let ones = [
            rows[0].clone(),
            rows[1].clone(),
            Tensor::ones([45, 12], &device),
        ];
        let kept = read(attention::forward(ones, key, &blocks, heads).0);
        let mean = kept.iter().sum::<f32>() / kept.len() as f32;
        assert!((mean - 1.0).abs() < 0.1, "{mean}");
        assert!(kept.iter().any(|value| (value - 1.0).abs() > 0.01));
    }
}

/// Parameters of many sizes, and what is asked of each step.
fn layers(device: &Device) -> Vec<Param<Tensor<2>>> {
    let sizes = [
        (1, 1),
        (3, 5),
        (200, 173),
        (64, 1),
        (1, 8192),
        (90, 91),
        (2, 2),
        (7, 1171),
    ];
    let layers = (0..40).map(|index| {
        let (rows, width) = sizes[index % sizes.len()];
        Param::from_tensor(sequence(index, [rows, width], device))
    });
    layers.collect()
}

/// Values that are the same on every device.
fn sequence(seed: usize, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let value = |at: usize| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    let values = (0..shape[0] * shape[1]).map(value).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, shape), device)
}

/// Takes a step of Adam for every parameter, as burn's `ModuleOptimizer` does.
struct Stepping {
    adam: FusedAdam,
    step: usize,
    at: usize,
    states: Vec<Option<Moments<2>>>,
}

impl ModuleMapper for Stepping {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let (step, at) = (self.step, self.at);
        self.at += 1;
        self.states.resize(self.at.max(self.states.len()), None);
        let tensor = tensor.reshape([0, -1]);
        let [rows, width] = tensor.dims();
        let device = tensor.device();
        let gradient = sequence(step + at, [rows, width], &device);
        // Some gradients are views, and some are held by others too.
        let gradient = match (step + at) % 3 {
            0 => Tensor::cat(vec![gradient, sequence(7, [rows, width], &device)], 0)
                .narrow(0, rows, rows),
            1 => gradient.transpose().transpose(),
            _ => gradient,
        };
        let held = (at % 5 == 0).then(|| (gradient.clone(), read(gradient.clone())));
        let rate = if at % 2 == 0 { 1e-3 } else { 2e-3 };
        let state = self.states[at].take();
        let (tensor, state) = self.adam.step(rate * step as f64, tensor, gradient, state);
        self.states[at] = state;
        if let Some((gradient, before)) = held {
            assert_eq!(read(gradient), before, "a gradient that is held by another");
        }
        let [rows, width] = tensor.dims();
        let shape: [usize; D] = std::array::from_fn(|at| if at == 0 { rows } else { width });
        Param::from_mapped_value(id, tensor.reshape(shape), mapper)
    }
}

#[test]
fn steps_taken_together_are_those_of_the_cpu() {
    for (backend, device) in adapters() {
        for (weight_decay, decoupled) in [(0.0, false), (1e-2, false), (1e-2, true)] {
            let config = FusedAdamConfig {
                weight_decay,
                decoupled,
                ..Default::default()
            };
            let run = |device: &Device, together: bool| {
                let mut module = layers(device);
                let mut stepping = Stepping {
                    adam: config.build(),
                    step: 0,
                    at: 0,
                    states: Vec::new(),
                };
                for step in 1..=5 {
                    (stepping.step, stepping.at) = (step, 0);
                    let before: Vec<_> = module.iter().map(Param::val).collect();
                    let values: Vec<_> = before.iter().cloned().map(read).collect();
                    module = if together {
                        map_together(module, &mut stepping)
                    } else {
                        module.map(&mut stepping)
                    };
                    let kept: Vec<_> = before.into_iter().map(read).collect();
                    assert_eq!(kept, values, "parameters before the step");
                }
                let mut found: Vec<_> = module.iter().map(|param| read(param.val())).collect();
                for moments in stepping.states.into_iter().flatten() {
                    let momentum = moments.state().unwrap().momentum;
                    assert_eq!(momentum.time, 5);
                    found.extend([momentum.moment_1, momentum.moment_2].map(read));
                }
                found
            };
            let expected = run(&Device::flex(), true);
            for together in [false, true] {
                let found = run(&device, together);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!(
                        (found - expected).abs() <= 1e-6,
                        "{found} for {expected} on {backend}, together: {together}"
                    );
                }
            }
        }
    }
}

#[test]
fn operations_on_many_tensors_are_those_of_the_cpu() {
    for (backend, device) in adapters() {
        let sizes = [1, 5, 20_000, 64, 300, 77, 8193, 2, 8192, 16_384];
        let new = || -> Vec<Tensor<1>> {
            (0..50)
                .map(|seed| sequence(seed, [1, sizes[seed % sizes.len()]], &device).flatten(0, 1))
                .collect()
        };
        let host = |tensors: Vec<Tensor<1>>| tensors.into_iter().map(read).collect::<Vec<_>>();
        let check = |what: &str, found: Vec<Tensor<1>>, expected: &dyn Fn(f32, f32) -> f32| {
            let (values, found) = (host(new()), host(found));
            for (at, (found, values)) in found.iter().zip(&values).enumerate() {
                assert_eq!(found.len(), values.len());
                for (place, (found, &value)) in found.iter().zip(values).enumerate() {
                    let other = values[values.len() - 1 - place];
                    let expected = expected(value, other);
                    assert!(
                        (found - expected).abs() <= 1e-6,
                        "{what} of tensor {at} at {place} on {backend}: {found} for {expected}"
                    );
                }
            }
        };
        let sum: f32 = read(squares(new()).unwrap()).iter().sum();
        let values = host(new()).concat();
        let expected: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((f64::from(sum) - expected).abs() <= 1e-5 * expected);
        assert!(squares(Vec::new()).is_none());
        check("half", scale(new(), 0.5), &|value, _| 0.5 * value);
        check("the bounds", clamp(new(), 0.25), &|value, _| {
            value.clamp(-0.25, 0.25)
        });
        let mirrored = || new().into_iter().map(|tensor| tensor.flip([0])).collect();
        let held = new();
        let blended = blend(held.clone(), mirrored(), [0.75, 0.25]);
        check("the blend", blended, &|value, other| {
            0.75 * value + 0.25 * other
        });
        assert_eq!(host(held), host(new()), "what another holds");
        let blended = blend(new(), mirrored(), [0.75, 0.25]);
        check("the blend in place", blended, &|value, other| {
            0.75 * value + 0.25 * other
        });
    }
}
