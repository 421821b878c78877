//! BERT and MPNet as an ONNX graph, over padded batches: operator by operator what `layer.rs` computes, without dropout.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use mmrest_kernels::host::ReadError;
use mmrest_onnx::{Attribute, Element, Graph, Value};

use super::layer::{Activation, BertLayer};
use super::{Bert, Embeddings, MASKED};
use crate::pooling::Part;

impl Bert {
    /// Adds the encoder to a graph and gives what stands for each text, `[batch, BertConfig::text_width]`, as
    /// [`pooled`](Self::pooled) computes it.
    ///
    /// `ids` are token ids, `[batch, tokens]`, padded on the right with any of the vocabulary; `mask` has 1 for a token
    /// and 0 for padding. Both are 64-bit whole numbers.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn graph(&self, graph: &mut Graph, ids: &Value, mask: &Value) -> Result<Value, ReadError> {
        let time = graph.size(ids, 1);
        let mask = graph.cast(mask, Element::Float);
        let bias = self.score_bias(graph, &mask, &time)?;
        let epsilon = self.layers.first().map_or(0.0, |layer| layer.norm_epsilon);
        let mut states = self.embeddings.graph(graph, ids, &time, epsilon)?;
        let (depth, parts) = (self.depth(), self.pooling.parts());
        let mut means = vec![None; depth + 1];
        for (after, mean_of_layer) in means.iter_mut().enumerate() {
            if let Some(layer) = after.checked_sub(1).map(|layer| &self.layers[layer]) {
                let first_alone = after == depth && self.pooling.is_first();
                states = layer.graph(graph, &states, &bias, first_alone)?;
            }
            let wanted = |part: &Part| *part != Part::First && part.after(depth) == after;
            if parts.iter().any(wanted) {
                *mean_of_layer = Some(mean(graph, &states, &mask));
            }
        }
        let mut chosen = Vec::with_capacity(parts.len());
        for part in parts {
            chosen.push(match (part, means.get(part.after(depth))) {
                (Part::Mean | Part::Layer(_), Some(Some(mean))) => mean.clone(),
                _ => {
                    let first = graph.first(&states, 1);
                    graph.squeeze(&first, &[1])
                }
            });
        }
        Ok(graph.concat(&chosen.iter().collect::<Vec<_>>(), 1))
    }

    /// What is added to the scores of all layers: `[batch, 1, 1, tokens]`, or `[batch, heads, tokens, tokens]` with a
    /// relative bias.
    fn score_bias(
        &self,
        graph: &mut Graph,
        mask: &Value,
        time: &Value,
    ) -> Result<Value, ReadError> {
        let (one, masked) = (graph.float(1.0), graph.float(MASKED));
        let padding = graph.op("Sub", &[&one, mask]);
        let padding = graph.op("Mul", &[&padding, &masked]);
        let padding = graph.unsqueeze(&padding, &[1, 2]);
        let Some(relative) = &self.relative else {
            return Ok(padding);
        };
        let relative = relative.graph(graph, time, self.max_tokens())?;
        Ok(graph.op("Add", &[&padding, &relative]))
    }
}

/// The mean of `states`, `[batch, tokens, hidden]`, over the tokens that are no padding: `[batch, hidden]`.
fn mean(graph: &mut Graph, states: &Value, mask: &Value) -> Value {
    let kept = graph.unsqueeze(mask, &[2]);
    let kept = graph.op("Mul", &[states, &kept]);
    let sum = graph.sum(&kept, 1);
    let count = graph.sum(mask, 1);
    let count = graph.unsqueeze(&count, &[1]);
    graph.op("Div", &[&sum, &count])
}

impl Embeddings {
    /// `[batch, tokens, hidden]`.
    fn graph(
        &self,
        graph: &mut Graph,
        ids: &Value,
        time: &Value,
        epsilon: f64,
    ) -> Result<Value, ReadError> {
        let words = graph.parameter(self.word.weight.val())?;
        let words = graph.op("Gather", &[&words, ids]);
        let (places, first) = (graph.range(time), graph.int(self.first as i64));
        let places = graph.op("Add", &[&places, &first]);
        let positions = graph.parameter(self.position.weight.val())?;
        let positions = graph.op("Gather", &[&positions, &places]);
        let mut sum = graph.op("Add", &[&words, &positions]);
        if let Some(types) = &self.token_type {
            let zero = graph.parameter(types.weight.val().narrow(0, 0, 1))?;
            sum = graph.op("Add", &[&sum, &zero]);
        }
        graph.layer_norm(&self.norm, epsilon, &sum)
    }
}

impl BertLayer {
    /// `[batch, tokens, hidden]` to the same shape, or with `first_alone` to the first token's: `[batch, 1, hidden]`.
    fn graph(
        &self,
        graph: &mut Graph,
        hidden: &Value,
        bias: &Value,
        first_alone: bool,
    ) -> Result<Value, ReadError> {
        let attention = &self.attention;
        let [width, heads] = [attention.query.weight.dims()[0], attention.heads];
        let rows = if first_alone {
            graph.first(hidden, 1)
        } else {
            hidden.clone()
        };
        let (split, per_head) = ([0, 0, heads as i64, (width / heads) as i64], [0, 2, 1, 3]);
        let project = |graph: &mut Graph, layer, x: &Value| {
            let x = graph.linear(layer, x)?;
            let x = graph.reshape(&x, &split);
            Ok::<_, ReadError>(graph.transpose(&x, &per_head))
        };
        let query = project(graph, &attention.query, &rows)?;
        let key = project(graph, &attention.key, hidden)?;
        let value = project(graph, &attention.value, hidden)?;
        let scale = graph.float(((width / heads) as f32).sqrt().recip());
        let query = graph.op("Mul", &[&query, &scale]);
        let key = graph.transpose(&key, &[0, 1, 3, 2]);
        let scores = graph.op("MatMul", &[&query, &key]);
        // A bias by query has a row for each; only the first is asked for.
        let bias = if first_alone {
            graph.first(bias, 2)
        } else {
            bias.clone()
        };
        let scores = graph.op("Add", &[&scores, &bias]);
        let shares = graph.op_with("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let attended = graph.op("MatMul", &[&shares, &value]);
        let attended = graph.transpose(&attended, &per_head);
        let attended = graph.reshape(&attended, &[0, 0, width as i64]);
        let attended = graph.linear(&attention.output, &attended)?;

        let sum = graph.op("Add", &[&rows, &attended]);
        let attended = graph.layer_norm(&self.attention_norm, self.norm_epsilon, &sum)?;
        let wide = graph.linear(&self.intermediate, &attended)?;
        let wide = self.activation.graph(graph, &wide);
        let output = graph.linear(&self.output, &wide)?;
        let sum = graph.op("Add", &[&attended, &output]);
        graph.layer_norm(&self.output_norm, self.norm_epsilon, &sum)
    }
}

impl Activation {
    fn graph(self, graph: &mut Graph, x: &Value) -> Value {
        let inner = match self {
            Self::Relu => return graph.op("Relu", &[x]),
            Self::Gelu => {
                let root = graph.float(FRAC_1_SQRT_2);
                let scaled = graph.op("Mul", &[x, &root]);
                graph.op("Erf", &[&scaled])
            }
            Self::GeluTanh => {
                let (third, root) = (graph.float(0.044_715), graph.float(FRAC_2_PI.sqrt()));
                let squared = graph.op("Mul", &[x, x]);
                let cubed = graph.op("Mul", &[&squared, x]);
                let cubed = graph.op("Mul", &[&cubed, &third]);
                let sum = graph.op("Add", &[x, &cubed]);
                let scaled = graph.op("Mul", &[&sum, &root]);
                graph.op("Tanh", &[&scaled])
            }
        };
        let (one, half) = (graph.float(1.0), graph.float(0.5));
        let inner = graph.op("Add", &[&inner, &one]);
        let inner = graph.op("Mul", &[&inner, &half]);
        graph.op("Mul", &[x, &inner])
    }
}
