//! A model as an ONNX graph: what the graph begins with, and what it ends with. A capability, for export alone.

use mmrest_onnx::{Element, Graph, Value};

use crate::model::identifier;

/// The inputs of a model's graph. A modality that is not in use is absent.
#[derive(Clone, Debug)]
pub struct GraphInputs {
    /// Token ids and mask, `[batch, tokens]` each: 64-bit whole numbers.
    pub text: Option<[Value; 2]>,
    /// Vision, as the model takes it.
    pub vision: Option<GraphFrames>,
    /// Audio, as the model takes it.
    pub audio: Option<GraphFrames>,
}

/// A modality's frames in a graph.
#[derive(Clone, Debug)]
pub struct GraphFrames {
    /// Standardised frames, zeros beyond each length: `[batch, time, features]`.
    pub frames: Value,
    /// How many of them are each segment's own, `[batch]`: 64-bit whole numbers.
    pub lengths: Value,
}

impl GraphInputs {
    /// How many segments there are: `[1]`.
    pub fn rows(&self, graph: &mut Graph) -> Option<Value> {
        let text = self.text.as_ref().map(|[ids, _]| ids);
        let frames = [&self.vision, &self.audio].into_iter().flatten();
        let any = text.or(frames.map(|of| &of.frames).next())?;
        Some(graph.size(any, 0))
    }
}

/// Zeros of a shape whose first dimension is `rows`, `[1]`.
pub(crate) fn zeros(graph: &mut Graph, rows: &Value, rest: &[usize]) -> Value {
    let rest: Vec<i64> = rest.iter().map(|&size| size as i64).collect();
    let rest = graph.ints(&rest);
    let shape = graph.concat(&[rows, &rest], 0);
    let zero = graph.float(0.0);
    graph.op("Expand", &[&zero, &shape])
}

/// What a model's graph gives.
#[derive(Clone, Debug)]
pub struct GraphOutputs {
    /// The predicted sentiment, `[batch]`.
    pub prediction: Value,
    /// The prediction without its bias, `[batch]`.
    pub score: Value,
    /// What is added to the score, `[batch]`: zeros where the model adds nothing.
    pub bias: Value,
    /// Representations by the names of [`ModelOutput::representations`](crate::ModelOutput::representations), `[batch,
    /// width]`, each with its width.
    pub representations: Vec<(String, Value, usize)>,
}

impl GraphOutputs {
    /// Score and bias, and their sum.
    pub fn new(graph: &mut Graph, score: Value, bias: Option<Value>) -> Self {
        let (prediction, bias) = match bias {
            Some(bias) => (graph.op("Add", &[&score, &bias]), bias),
            None => {
                let shape = graph.op("Shape", &[&score]);
                let zero = graph.float(0.0);
                (score.clone(), graph.op("Expand", &[&zero, &shape]))
            }
        };
        Self {
            prediction,
            score,
            bias,
            representations: Vec::new(),
        }
    }

    /// Adds the representations that are there, by the names of their stages.
    #[must_use]
    pub fn with(
        mut self,
        representations: impl IntoIterator<Item = (&'static str, Option<Value>, usize)>,
    ) -> Self {
        let present = representations.into_iter();
        let present =
            present.filter_map(|(name, value, width)| Some((identifier(name), value?, width)));
        let present = present.filter(|&(_, _, width)| width > 1);
        self.representations.extend(present);
        self
    }
}

/// `Where(condition, x, 0)`, broadcast.
fn kept(graph: &mut Graph, condition: &Value, x: &Value) -> Value {
    let zero = graph.float(0.0);
    graph.op("Where", &[condition, x, &zero])
}

impl GraphFrames {
    /// Frames as they are stored, `[batch, time, width]`, made what the model takes: not finite ones become 0, features
    /// are standardised by means and scales in double precision, and what lies beyond a length is 0.
    #[must_use]
    pub fn prepared(
        graph: &mut Graph,
        frames: &Value,
        lengths: &Value,
        standardize: Option<(&[f32], &[f32])>,
    ) -> Self {
        let (nan, infinite) = (graph.op("IsNaN", &[frames]), graph.op("IsInf", &[frames]));
        let unusable = graph.op("Or", &[&nan, &infinite]);
        let finite = graph.op("Not", &[&unusable]);
        let mut prepared = kept(graph, &finite, frames);
        if let Some((mean, scale)) = standardize.filter(|(mean, _)| !mean.is_empty()) {
            let wide =
                |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
            let mean = graph.doubles(&[mean.len()], &wide(mean));
            let scale = graph.doubles(&[scale.len()], &wide(scale));
            let double = graph.cast(&prepared, Element::Double);
            let centred = graph.op("Sub", &[&double, &mean]);
            let scaled = graph.op("Div", &[&centred, &scale]);
            prepared = graph.cast(&scaled, Element::Float);
        }
        let time = graph.size(frames, 1);
        let within = graph.within(lengths, &time);
        let within = graph.unsqueeze(&within, &[2]);
        Self {
            frames: kept(graph, &within, &prepared),
            lengths: lengths.clone(),
        }
    }
}
