//! DMD's layers: transformer encoders, heads, matrices over channels, and the graphs of distillation.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_encoders::init::{WeightInit, uniform_init};
use mmrest_encoders::{Known, TransformerLayer, TransformerLayerConfig, drop_out};

use crate::counts::{linear, product, sum};
use crate::layers::sinusoids;

/// A matrix over channels, stored as a convolution over one position.
#[derive(Module, Debug)]
pub struct Channels {
    /// `[out, in, 1]`.
    pub weight: Param<Tensor<3>>,
}

impl Channels {
    pub(super) fn init(input: usize, output: usize, device: &Device) -> Self {
        Self {
            weight: uniform_init([output, input, 1], input, device),
        }
    }

    /// `[batch, out, time]` from `x: [batch, in, time]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let weight: Tensor<2> = self.weight.val().squeeze_dim(2);
        weight.unsqueeze::<3>().matmul(x)
    }
}

/// Two linear layers with a residual, and one to a score.
#[derive(Module, Debug)]
pub struct Head {
    /// `[width] -> [inner]`.
    pub first: Linear,
    /// `[inner] -> [width]`.
    pub second: Linear,
    /// `[width] -> [1]`.
    pub out: Linear,
    /// Between the two layers, in training.
    pub dropout: Dropout,
}

/// What a [`Head`] gives.
#[derive(Clone, Debug)]
pub(super) struct Headed {
    /// After the first layer's ReLU, `[batch, inner]`.
    pub(super) hidden: Tensor<2>,
    /// With the residual, `[batch, width]`.
    pub(super) sum: Tensor<2>,
    /// `[batch, 1]`.
    pub(super) score: Tensor<2>,
}

impl Head {
    pub(super) fn init(width: usize, inner: usize, dropout: f64, device: &Device) -> Self {
        let linear = |input, output| WeightInit::PyTorch.linear(input, output, device);
        Self {
            first: linear(width, inner),
            second: linear(inner, width),
            out: linear(width, 1),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    pub(super) fn parameter_count(width: usize, inner: usize) -> u128 {
        sum([linear(width, inner), linear(inner, width), linear(width, 1)])
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Headed {
        let hidden = relu(self.first.forward(x.clone()));
        let sum = self.second.forward(self.dropout.forward(hidden.clone())) + x;
        Headed {
            hidden,
            score: self.out.forward(sum.clone()),
            sum,
        }
    }
}

/// A transformer encoder with its normalisation first, over sequences of one length; row i sees those up to i, or as many
/// more as target and source differ in length.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The layers.
    pub layers: Vec<TransformerLayer>,
    /// After the last layer.
    pub norm: LayerNorm,
    /// Of the inputs, in training.
    pub dropout: Dropout,
}

impl Encoder {
    pub(super) fn init(
        layer: TransformerLayerConfig,
        layers: usize,
        dropout: f64,
        device: &Device,
    ) -> Self {
        Self {
            layers: (0..layers).map(|_| layer.init(device)).collect(),
            norm: LayerNormConfig::new(layer.width).init(device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    pub(super) fn parameter_count(width: usize, layers: usize) -> u128 {
        let wide = width.saturating_mul(4);
        let layer = sum([
            linear(width, width).saturating_mul(4),
            linear(width, wide),
            linear(wide, width),
            product([4, width]),
        ]);
        let layers = layer.saturating_mul(layers as u128);
        sum([layers, product([2, width])])
    }

    /// `[batch, time, width]` of `x`, which attends to `source: [batch, time, width]`, or to itself without. `positions`:
    /// those of the width.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        source: Option<Tensor<3>>,
        positions: &Tensor<3>,
    ) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let offsets = |time: usize| (0..=batch).map(|row| row * time).collect::<Vec<_>>();
        let own = offsets(time);
        let mut rows = drop_out(&self.dropout, embedded(x, positions));
        if let Some(source) = source {
            let known = offsets(source.dims()[1]);
            let source = Known::dropped(&self.dropout, embedded(source, positions));
            for layer in &self.layers {
                rows = layer.across(rows, source.clone(), [&own, &known], true);
            }
        } else {
            for layer in &self.layers {
                rows = layer.within(rows, &own, true);
            }
        }
        self.norm.forward(rows).reshape([batch, time, width])
    }
}

/// `sqrt(width) x + positions`, laid end to end. A row whose first channel is exactly 0 has no position: padding is zeros
/// up to here, for no layer before has a bias.
fn embedded(x: Tensor<3>, positions: &Tensor<3>) -> Tensor<2> {
    let [batch, time, width] = x.dims();
    let absent = x.clone().detach().narrow(2, 0, 1).equal_elem(0.0);
    let positions = positions.clone().narrow(1, 0, time);
    let positions = positions.expand([batch, time, width]);
    let positions = positions.mask_fill(absent.expand([batch, time, width]), 0.0);
    let x = x * (width as f64).sqrt() + positions;
    x.reshape([batch * time, width])
}

/// [`sinusoids`] of sequences of a width, `[1, time, width]`.
pub(super) fn positions(time: usize, width: usize, device: &Device) -> Tensor<3> {
    let values = TensorData::new(sinusoids(time, width), [1, time, width]);
    Tensor::from_data(values, device)
}

/// The student and the teacher of each edge, by their place in the order text, vision, audio.
const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];

/// How sharp priors are.
const PRIOR_SCALE: f32 = 4.0;
/// What edges are divided by.
const TEMPERATURE: f64 = 8.0;
/// Weight of the edges' regularisation and of the representations inside a graph's losses.
const INNER_WEIGHT: f64 = 10.0;

/// A graph of distillation: how much each modality learns from each other.
#[derive(Module, Debug)]
pub struct Graph {
    /// Of the scores, `[1] -> [g]`.
    pub logit: Linear,
    /// Of the representations, `[width] -> [g]`.
    pub repr: Linear,
    /// Of two modalities, `[4g] -> [1]`.
    pub edge: Linear,
}

/// The losses of a graph, `[1]` each.
#[derive(Clone, Debug)]
pub(super) struct GraphLosses {
    /// E, `[6, batch]`.
    pub(super) edges: Tensor<2>,
    /// Keeps the edges near to their priors.
    pub(super) reg: Tensor<1>,
    /// The distance of scores.
    pub(super) logit: Tensor<1>,
    /// The distance of representations.
    pub(super) near: Tensor<1>,
    /// The similarity of representations.
    pub(super) similar: Tensor<1>,
}

impl Graph {
    pub(super) fn init(width: usize, inner: usize, device: &Device) -> Self {
        let linear = |input, output| WeightInit::PyTorch.linear(input, output, device);
        Self {
            logit: linear(1, inner),
            repr: linear(width, inner),
            edge: linear(4 * inner, 1),
        }
    }

    pub(super) fn parameter_count(width: usize, inner: usize) -> u128 {
        sum([
            linear(1, inner),
            linear(width, inner),
            linear(inner.saturating_mul(4), 1),
        ])
    }

    /// Scores `[batch, 1]` and representations `[batch, width]` in the order text, vision, audio. `known`: the edges that
    /// are known to teach, as 0 or 1.
    pub(super) fn losses(
        &self,
        scores: &[Tensor<2>; 3],
        representations: &[Tensor<2>; 3],
        known: [f32; 6],
    ) -> GraphLosses {
        let nodes: Vec<Tensor<2>> = scores
            .iter()
            .zip(representations)
            .map(|(score, repr)| {
                let (score, repr) = (score.clone(), repr.clone());
                Tensor::cat(vec![self.logit.forward(score), self.repr.forward(repr)], 1)
            })
            .collect();
        let edge = |(student, teacher): (usize, usize)| {
            let pair = vec![nodes[student].clone(), nodes[teacher].clone()];
            self.edge.forward(Tensor::cat(pair, 1))
        };
        let all = Tensor::cat(EDGES.into_iter().map(edge).collect(), 1);
        let device = all.device();
        let edges = softmax(all / TEMPERATURE, 1);
        let priors = known.map(|known| (PRIOR_SCALE * known).exp());
        let priors = priors.map(|prior| prior / priors.iter().sum::<f32>());
        let priors = Tensor::<2>::from_data([priors], &device);
        let reg = (edges.clone().mean_dim(0) - priors.clone()).square().sum() * INNER_WEIGHT;
        // Of each edge and segment, `[batch, 6]`.
        let weights = edges.clone() + priors;
        let pairs = |of: &dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<2>, values: &[Tensor<2>; 3]| {
            let pair = |(student, teacher): (usize, usize)| {
                of(values[student].clone(), values[teacher].clone().detach())
            };
            Tensor::cat(EDGES.into_iter().map(pair).collect(), 1)
        };
        let distance =
            |student: Tensor<2>, teacher: Tensor<2>| (student - teacher).abs().sum_dim(1);
        let logit = (weights.clone() * pairs(&distance, scores))
            .mean_dim(0)
            .sum();
        let near = (weights.clone() * pairs(&distance, representations))
            .mean_dim(0)
            .sum();
        let positive = |student, teacher| relu(cosine(student, teacher, 1));
        let alike = pairs(&positive, representations).mean_dim(0);
        GraphLosses {
            edges: edges.transpose(),
            reg,
            logit,
            near: near * INNER_WEIGHT,
            similar: (weights.mean_dim(0) * alike).sum() * INNER_WEIGHT,
        }
    }
}

/// The cosine along an axis, which stays with size 1.
pub(super) fn cosine<const D: usize>(a: Tensor<D>, b: Tensor<D>, axis: usize) -> Tensor<D> {
    let square = |x: &Tensor<D>| x.clone().square().sum_dim(axis) + 1e-12;
    let norms = (square(&a) * square(&b)).sqrt();
    (a * b).sum_dim(axis) / norms
}

/// The margin loss of rows `[rows, width]` with labels: a row is nearer to the others of its label than to those of
/// another, by
/// 0.15 of the labels' difference. 0 where no row has both.
pub(super) fn margin(rows: Tensor<2>, labels: &[f32]) -> Tensor<1> {
    const MARGIN: f32 = 0.15;
    let count = labels.len();
    let device = rows.device();
    let mut positive = vec![0.0f32; count * count];
    let mut negative = vec![0.0f32; count * count];
    let mut margins = vec![0.0f32; count * count];
    let mut used = 0usize;
    for (i, own) in labels.iter().enumerate() {
        let equal = |j: usize| labels[j] == *own;
        let positives = (0..count).filter(|&j| j != i && equal(j)).count();
        let negatives = (0..count).filter(|&j| !equal(j)).count();
        if positives == 0 || negatives == 0 {
            continue;
        }
        used += 1;
        #[allow(clippy::needless_range_loop)] // pairs (i, j)
        for j in 0..count {
            let at = i * count + j;
            if !equal(j) {
                negative[at] = 1.0 / negatives as f32;
                margins[at] = MARGIN * (own - labels[j]).abs();
            } else if j != i {
                positive[at] = 1.0 / positives as f32;
            }
        }
    }
    let square = rows.clone().square().sum_dim(1) + 1e-8;
    let unit = rows / square.sqrt();
    let cosines = unit.clone().matmul(unit.transpose());
    if used == 0 {
        return cosines.sum() * 0.0;
    }
    let table = |values| Tensor::<2>::from_data(TensorData::new(values, [count, count]), &device);
    let behind = |x: Tensor<2>| x.unsqueeze_dim::<3>(2);
    let between = |x: Tensor<2>| x.unsqueeze_dim::<3>(1);
    let terms = between(cosines.clone() + table(margins)) - behind(cosines);
    let weights = behind(table(positive)) * between(table(negative));
    (relu(terms) * weights).sum() / used as f64
}
