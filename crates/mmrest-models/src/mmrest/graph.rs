//! MMRest as an ONNX graph: what prediction computes, from tokens and frames to score and bias.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use mmrest_kernels::host;
use mmrest_metric::{Clusters, KernelRegression, MultiMetric, Support};
use mmrest_onnx::{Attribute, Graph, Value};
use mmrest_pdlf::Fusion;

use super::fusion::GatedScores;
use super::{ClusterState, MmRest, ProjectionConfig};
use crate::error::ModelError;
use crate::graph::{GraphInputs, GraphOutputs};

/// The least squared length that is divided by, as in mmrest-pdlf.
const LEAST_SQUARED_LENGTH: f32 = 1e-12;

impl MmRest {
    /// [`SentimentModel::graph`](crate::SentimentModel::graph).
    pub(super) fn write_graph(
        &self,
        state: &ClusterState,
        inputs: &GraphInputs,
        graph: &mut Graph,
    ) -> Result<GraphOutputs, ModelError> {
        let (mut first_token, mut text) = (None, None);
        if let (Some(encoder), Some([ids, mask])) = (&self.text, &inputs.text) {
            let pooled = encoder.bert.graph(graph, ids, mask)?;
            text = Some(graph.linear(&encoder.projection, &pooled)?);
            first_token = Some(pooled);
        }
        let mut sequences = [None, None];
        let encoders = [&self.vision, &self.audio];
        let given = [&inputs.vision, &inputs.audio];
        for ((place, encoder), input) in sequences.iter_mut().zip(encoders).zip(given) {
            if let (Some(encoder), Some(input)) = (encoder, input) {
                *place = Some(encoder.graph(graph, &input.frames, &input.lengths)?);
            }
        }
        let [vision, audio] = sequences;
        let [text, vision, audio] = [text, vision, audio].map(|rows| {
            let unit = self.settings.config.unit_length;
            rows.map(|rows| {
                if unit {
                    unit_length(graph, &rows)
                } else {
                    rows
                }
            })
        });
        let rows: Vec<&Value> = [&text, &vision, &audio].into_iter().flatten().collect();
        let mut score = fusion(
            &self.fusion,
            graph,
            [first_token.as_ref(), vision.as_ref(), audio.as_ref()],
        )?;
        if let Some(gated) = &self.gated {
            score = gated_score(gated, graph, &score, &rows[1..])?;
        }
        let bias = self.bias_graph(state, &rows, &score, graph)?;
        let dim = self.settings.config.representation;
        let width = self
            .text
            .as_ref()
            .map_or(0, |text| text.projection.weight.dims()[0]);
        let representations = [
            ("text encoder's output", first_token, width),
            ("text representation", text, dim),
            ("vision representation", vision, dim),
            ("audio representation", audio, dim),
        ];
        Ok(GraphOutputs::new(graph, score, bias).with(representations))
    }

    /// gamma times the bias, `[batch]`, where prediction adds it.
    fn bias_graph(
        &self,
        state: &ClusterState,
        rows: &[&Value],
        score: &Value,
        graph: &mut Graph,
    ) -> Result<Option<Value>, ModelError> {
        let config = &self.settings.config;
        let on = config.bias && config.bias_at_evaluation;
        let (Some(metric), Some(clusters)) = (&self.metric, &state.clusters) else {
            return Ok(None);
        };
        if !on || clusters.is_empty() {
            return Ok(None);
        }
        let (modalities, each) = (rows.len(), rows);
        let rows = graph.concat(rows, 0);
        let centers = graph.floats(&[clusters.len(), clusters.dim], &clusters.centers);
        let metrics = graph.parameter(metric.metrics(&clusters.metric))?;
        let distances = distances(graph, &rows, &centers, &metrics);
        let unweighted = match config.projection {
            ProjectionConfig::Length { .. } if clusters.len() < 2 => return Ok(None),
            ProjectionConfig::Length { signed } => {
                let bins = signed.then_some(&clusters.bins[..]);
                let length = lengths(graph, &rows, &distances, clusters, metric, bins)?;
                mean_over_modalities(graph, &length, modalities, &[])
            }
            ProjectionConfig::Expectation {} => {
                let expected = self.expected(clusters, &distances, modalities, graph);
                graph.op("Sub", &[&expected, score])
            }
            ProjectionConfig::Kernel { centers, .. } => {
                let (Some(kernel), Some(support)) = (&self.kernel, &state.support) else {
                    return Ok(None);
                };
                let mut around = around(kernel, support, metric, each, graph)?;
                if centers > 0.0 {
                    let expected = self.expected(clusters, &distances, modalities, graph);
                    around = shared(graph, &around, &expected, centers);
                }
                graph.op("Sub", &[&around, score])
            }
        };
        #[allow(clippy::cast_possible_truncation)]
        let gamma = graph.float(self.gamma(state) as f32);
        Ok(Some(graph.op("Mul", &[&unweighted, &gamma])))
    }

    /// The sentiment expected of the clusters by their shares of each segment, `[batch]`; `distances` is `[rows, clusters]`.
    fn expected(
        &self,
        clusters: &Clusters,
        distances: &Value,
        modalities: usize,
        graph: &mut Graph,
    ) -> Value {
        let sentiments = self.settings.sentiments_of(clusters);
        let count = clusters.len() as i64;
        let mean = mean_over_modalities(graph, distances, modalities, &[count]);
        #[allow(clippy::cast_possible_truncation)]
        let sharpness = self.settings.config.clusters.temperature.recip() as f32;
        let sharpness = graph.float(-sharpness);
        let mean = graph.op("Mul", &[&mean, &sharpness]);
        let shares = graph.op_with("Softmax", &[&mean], &[("axis", Attribute::Int(1))]);
        let sentiments = graph.floats(&[1, clusters.len()], &sentiments);
        let shares = graph.op("Mul", &[&shares, &sentiments]);
        graph.sum(&shares, 1)
    }
}

/// Rows divided by their lengths; a row of zeros stays one.
fn unit_length(graph: &mut Graph, rows: &Value) -> Value {
    let squares = graph.op("Mul", &[rows, rows]);
    let squared = graph.sum(&squares, 1);
    let squared = graph.unsqueeze(&squared, &[1]);
    let least = graph.float(LEAST_SQUARED_LENGTH);
    let squared = graph.op("Max", &[&squared, &least]);
    let length = graph.op("Sqrt", &[&squared]);
    graph.op("Div", &[rows, &length])
}

/// The score of the first modality, and what each further one adds through its gate: `[batch]`.
fn gated_score(
    gated: &GatedScores,
    graph: &mut Graph,
    first: &Value,
    further: &[&Value],
) -> Result<Value, ModelError> {
    let gates = host::read("gates", gated.gates.val())?;
    let mut score = first.clone();
    for ((head, rows), gate) in gated.heads.iter().zip(further).zip(gates) {
        let own = graph.linear(head, rows)?;
        let own = graph.squeeze(&own, &[1]);
        let gate = graph.float(gate);
        let own = graph.op("Mul", &[&own, &gate]);
        score = graph.op("Add", &[&score, &own]);
    }
    Ok(score)
}

/// `(1 - share) a + share b`.
fn shared(graph: &mut Graph, a: &Value, b: &Value, share: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)]
    let [left, share] = [1.0 - share, share].map(|part| graph.float(part as f32));
    let a = graph.op("Mul", &[a, &left]);
    let b = graph.op("Mul", &[b, &share]);
    graph.op("Add", &[&a, &b])
}

/// The sentiment that the support gives by kernel regression, `[batch]` (mmrest-metric, `kernel_regression`), of each
/// modality's rows, `[batch, dim]`: `softmax_j(-D_j) label_j`, with
/// `D_j = sum_m precision_m (c_m M c_m - 2 c_m M s_jm + s_jm M s_jm)`, measured from the middle of the support.
fn around(
    kernel: &KernelRegression,
    support: &Support,
    metric: &MultiMetric,
    rows: &[&Value],
    graph: &mut Graph,
) -> Result<Value, ModelError> {
    let (size, dim) = (support.len(), support.dim);
    let device = kernel.log_precisions.device();
    let precisions = host::read("precisions", kernel.log_precisions.val().exp())?;
    let two = graph.float(2.0);
    let mut total: Option<Value> = None;
    for ((m, rows), precision) in rows.iter().enumerate().zip(precisions) {
        let of_modality = &support.rows[m * size * dim..(m + 1) * size * dim];
        let own = TensorData::new(of_modality.to_vec(), [size, dim]);
        let own = Tensor::<2>::from_data(own, &device);
        let middle = own.clone().mean_dim(0);
        let own = own - middle.clone();
        let middle = graph.parameter(middle)?;
        let rows = graph.op("Sub", &[rows, &middle]);
        let mut columns = Vec::new();
        for (which, segments) in by_metric(support) {
            let matrix = metric.metrics(&[which]).squeeze_dim::<2>(0);
            let matrix = (matrix.clone() + matrix.transpose()).mul_scalar(0.5);
            let segments = TensorData::new(segments.clone(), [segments.len()]);
            let own = own.clone().select(0, Tensor::from_data(segments, &device));
            let weighed = own.clone().matmul(matrix.clone());
            let of_others = graph.parameter((weighed.clone() * own).sum_dim(1).transpose())?;
            let weighed = graph.parameter(weighed.transpose())?;
            let matrix = graph.parameter(matrix)?;
            let moved = graph.op("MatMul", &[&rows, &matrix]);
            let of_rows = graph.op("Mul", &[&moved, &rows]);
            let of_rows = graph.sum(&of_rows, 1);
            let of_rows = graph.unsqueeze(&of_rows, &[1]);
            let across = graph.op("MatMul", &[&rows, &weighed]);
            let across = graph.op("Mul", &[&across, &two]);
            let both = graph.op("Add", &[&of_rows, &of_others]);
            columns.push(graph.op("Sub", &[&both, &across]));
        }
        let far = graph.concat(&columns.iter().collect::<Vec<_>>(), 1);
        let precision = graph.float(-precision);
        let near = graph.op("Mul", &[&far, &precision]);
        total = Some(match total {
            Some(total) => graph.op("Add", &[&total, &near]),
            None => near,
        });
    }
    let Some(total) = total else {
        return Err(ModelError::Internal("a kernel without modalities".into()));
    };
    let weights = graph.op_with("Softmax", &[&total], &[("axis", Attribute::Int(1))]);
    let order = by_metric(support).into_values().flatten();
    let labels: Vec<f32> = order
        .map(|segment| support.labels[segment as usize])
        .collect();
    let labels = graph.floats(&[labels.len(), 1], &labels);
    let around = graph.op("MatMul", &[&weights, &labels]);
    Ok(graph.squeeze(&around, &[1]))
}

/// The segments of a support that each local metric measures.
fn by_metric(support: &Support) -> BTreeMap<usize, Vec<i64>> {
    let mut groups = BTreeMap::<usize, Vec<i64>>::new();
    for (segment, &which) in support.metric.iter().enumerate() {
        groups.entry(which).or_default().push(segment as i64);
    }
    groups
}

/// The score y', `[batch]`, of the modalities in the order text, vision, audio.
fn fusion(
    fusion: &Fusion,
    graph: &mut Graph,
    inputs: [Option<&Value>; 3],
) -> Result<Value, ModelError> {
    let layers = [&fusion.text, &fusion.vision, &fusion.audio];
    let mut inputs = inputs;
    for (input, layer) in inputs.iter_mut().zip(layers) {
        *input = input.filter(|_| layer.is_some());
    }
    let [text, vision, audio] = inputs;
    let beside: Vec<&Value> = [text, audio, vision].into_iter().flatten().collect();
    let beside = graph.concat(&beside, 1);
    let mut channels = Vec::new();
    for (layer, input) in layers.into_iter().zip(inputs) {
        if let (Some(layer), Some(input)) = (layer, input) {
            let channel = graph.linear(layer, input)?;
            channels.push(graph.op("Relu", &[&channel]));
        }
    }
    let together = graph.linear(&fusion.together, &beside)?;
    channels.push(graph.op("Relu", &[&together]));
    let joint = graph.concat(&channels.iter().collect::<Vec<_>>(), 1);
    let mut hidden = graph.linear(&fusion.joint, &joint)?;
    for layer in [&fusion.first, &fusion.second] {
        hidden = graph.linear(layer, &hidden)?;
        hidden = graph.op("Tanh", &[&hidden]);
    }
    let score = graph.linear(&fusion.score, &hidden)?;
    Ok(graph.squeeze(&score, &[1]))
}

/// `(c - Ce_i)^T M_i (c - Ce_i)` of rows `[rows, dim]`, centres `[clusters, dim]` and metrics `[clusters, dim, dim]`:
/// `[rows, clusters]`.
fn distances(graph: &mut Graph, rows: &Value, centers: &Value, metrics: &Value) -> Value {
    let rows = graph.unsqueeze(rows, &[0]);
    let centers = graph.unsqueeze(centers, &[1]);
    let difference = graph.op("Sub", &[&rows, &centers]);
    let slope = graph.op("MatMul", &[&difference, metrics]);
    let product = graph.op("Mul", &[&difference, &slope]);
    let squared = graph.sum(&product, 2);
    graph.transpose(&squared, &[1, 0])
}

/// The signed length r of each row, `[rows]` (mmrest-pdlf, `projection`); with `bins` turned towards the more positive of
/// the two nearest clusters.
fn lengths(
    graph: &mut Graph,
    rows: &Value,
    distances: &Value,
    clusters: &Clusters,
    metric: &MultiMetric,
    bins: Option<&[usize]>,
) -> Result<Value, ModelError> {
    let two = graph.ints(&[2]);
    let order = [
        ("axis", Attribute::Int(1)),
        ("largest", Attribute::Int(0)),
        ("sorted", Attribute::Int(1)),
    ];
    let [_, nearest] = graph.op_many("TopK", &[distances, &two], &order);
    let [near, second] = [0, 1].map(|place| {
        let place = graph.int(place);
        graph.op_with(
            "Gather",
            &[&nearest, &place],
            &[("axis", Attribute::Int(1))],
        )
    });
    let dim = clusters.dim;
    let centers = graph.floats(&[clusters.len(), dim], &clusters.centers);
    let origin = graph.op("Gather", &[&centers, &near]);
    let target = graph.op("Gather", &[&centers, &second]);
    let u = graph.op("Sub", &[rows, &origin]);
    let v = graph.op("Sub", &[&target, &origin]);
    let global = host::read("global metric", metric.global.val())?;
    let symmetric: Vec<f32> = (0..dim * dim)
        .map(|at| (global[at] + global[at % dim * dim + at / dim]) * 0.5)
        .collect();
    let symmetric = graph.floats(&[dim, dim], &symmetric);
    let weighted = graph.op("MatMul", &[&v, &symmetric]);
    let [along, squared] = [&u, &v].map(|of| {
        let product = graph.op("Mul", &[of, &weighted]);
        graph.sum(&product, 1)
    });
    let least = graph.float(LEAST_SQUARED_LENGTH);
    let squared = graph.op("Max", &[&squared, &least]);
    let length = graph.op("Sqrt", &[&squared]);
    let length = graph.op("Div", &[&along, &length]);
    let Some(bins) = bins else {
        return Ok(length);
    };
    let bins: Vec<f32> = bins.iter().map(|&bin| bin as f32).collect();
    let bins = graph.floats(&[bins.len()], &bins);
    let [near, second] = [&near, &second].map(|of| graph.op("Gather", &[&bins, of]));
    let direction = graph.op("Sub", &[&second, &near]);
    let direction = graph.op("Sign", &[&direction]);
    Ok(graph.op("Mul", &[&length, &direction]))
}

/// The mean of `[modalities * batch, rest]` over the modalities: `[batch, rest]`.
fn mean_over_modalities(graph: &mut Graph, x: &Value, modalities: usize, rest: &[i64]) -> Value {
    let shape = [&[modalities as i64, -1], rest].concat();
    let stacked = graph.reshape(x, &shape);
    let sum = graph.sum(&stacked, 0);
    let count = graph.float(modalities as f32);
    graph.op("Div", &[&sum, &count])
}
