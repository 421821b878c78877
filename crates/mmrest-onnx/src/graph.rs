//! A graph that grows operator by operator, and its file.

use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;
use mmrest_kernels::host::{self, ReadError};
use prost::Message;
use thiserror::Error;

use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// The first version of the operators that has `LayerNormalization`.
const OPSET: i64 = 17;
/// The version of the format that came with it.
const IR: i64 = 8;
/// Protobuf's limit.
const MOST_BYTES: usize = i32::MAX as usize;

/// A graph could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// It is larger than a file may be.
    #[error("the graph has {bytes} bytes, and an ONNX file holds at most {MOST_BYTES}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
}

/// A tensor of a graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

/// A dimension of an input or an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// So many.
    Fixed(usize),
    /// As many as there are; the same name is the same number.
    Named(&'static str),
}

/// The type of a tensor's elements. The numbers are ONNX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// `f32`.
    Float = 1,
    /// `i32`.
    Int32 = 6,
    /// `i64`.
    Int64 = 7,
    /// `f64`.
    Double = 11,
}

/// A constant of an operator.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
}

impl Attribute {
    /// ONNX's number of an element type, as `Cast` takes it.
    #[must_use]
    pub fn element(element: Element) -> Self {
        Self::Int(element as i64)
    }

    fn proto(&self, name: &str) -> AttributeProto {
        let mut proto = AttributeProto {
            name: name.to_owned(),
            ..AttributeProto::default()
        };
        match self {
            Self::Float(value) => (proto.f, proto.r#type) = (Some(*value), 1),
            Self::Int(value) => (proto.i, proto.r#type) = (Some(*value), 2),
            Self::Ints(values) => (proto.ints, proto.r#type) = (values.clone(), 7),
        }
        proto
    }
}

/// An ONNX graph that grows operator by operator.
///
/// Methods take and give [`Value`]s. What does not fit together is found by whoever reads the file, not here.
#[derive(Clone, Debug)]
pub struct Graph {
    graph: GraphProto,
    metadata: Vec<StringStringEntryProto>,
    /// How many values have been named.
    named: usize,
}

impl Graph {
    /// A graph without anything.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let graph = GraphProto {
            name: name.to_owned(),
            ..GraphProto::default()
        };
        Self {
            graph,
            metadata: Vec::new(),
            named: 0,
        }
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, element: Element, shape: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, element, shape));
        Value(name.to_owned())
    }

    /// Makes a value an output, under a name that no other value has.
    pub fn output(&mut self, name: &str, value: &Value, element: Element, shape: &[Dim]) {
        self.node("Identity", &[value], vec![name.to_owned()], &[]);
        self.graph.output.push(value_info(name, element, shape));
    }

    /// Adds a line to the file's metadata.
    pub fn metadata(&mut self, key: &str, value: impl Into<String>) {
        self.metadata.push(StringStringEntryProto {
            key: key.to_owned(),
            value: value.into(),
        });
    }

    /// Applies an operator with one output.
    pub fn op(&mut self, kind: &str, inputs: &[&Value]) -> Value {
        self.op_with(kind, inputs, &[])
    }

    /// Applies an operator with constants and one output.
    pub fn op_with(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let [output] = self.op_many(kind, inputs, attributes);
        output
    }

    /// Applies an operator with several outputs.
    pub fn op_many<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> [Value; N] {
        let names = [(); N].map(|()| self.name(kind));
        self.node(kind, inputs, names.to_vec(), attributes);
        names.map(Value)
    }

    fn node(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        output: Vec<String>,
        attributes: &[(&str, Attribute)],
    ) {
        let name = output.first().cloned().unwrap_or_default();
        let attributes = attributes.iter();
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output,
            name,
            op_type: kind.to_owned(),
            attribute: attributes.map(|(name, value)| value.proto(name)).collect(),
        });
    }

    fn name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("{kind}_{}", self.named)
    }

    fn initializer(&mut self, element: Element, shape: &[usize], bytes: Vec<u8>) -> Value {
        let name = self.name("weight");
        self.graph.initializer.push(TensorProto {
            dims: shape.iter().map(|&dim| dim as i64).collect(),
            data_type: element as i32,
            name: name.clone(),
            raw_data: bytes,
        });
        Value(name)
    }

    /// Adds numbers, row-major, as a constant of a shape.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.initializer(Element::Float, shape, bytes.collect())
    }

    /// Adds numbers of double precision likewise.
    pub fn doubles(&mut self, shape: &[usize], values: &[f64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.initializer(Element::Double, shape, bytes.collect())
    }

    /// Adds whole numbers as a constant of one dimension.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.initializer(Element::Int64, &[values.len()], bytes.collect())
    }

    /// Adds a number.
    pub fn float(&mut self, value: f32) -> Value {
        self.floats(&[], &[value])
    }

    /// Adds a whole number without a dimension.
    pub fn int(&mut self, value: i64) -> Value {
        self.initializer(Element::Int64, &[], value.to_le_bytes().to_vec())
    }

    /// Adds the values of a tensor, read from its device.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn parameter<const D: usize>(&mut self, tensor: Tensor<D>) -> Result<Value, ReadError> {
        let shape = tensor.dims();
        Ok(self.floats(&shape, &host::read("weights", tensor)?))
    }

    /// A linear layer: `x W + b`, over the last dimension.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn linear(&mut self, layer: &Linear, x: &Value) -> Result<Value, ReadError> {
        let weight = self.parameter(layer.weight.val())?;
        let product = self.op("MatMul", &[x, &weight]);
        let Some(bias) = &layer.bias else {
            return Ok(product);
        };
        let bias = self.parameter(bias.val())?;
        Ok(self.op("Add", &[&product, &bias]))
    }

    /// A normalisation over the last dimension. burn keeps a layer's epsilon to itself.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn layer_norm(
        &mut self,
        layer: &LayerNorm,
        epsilon: f64,
        x: &Value,
    ) -> Result<Value, ReadError> {
        let gamma = self.parameter(layer.gamma.val())?;
        let beta = match &layer.beta {
            Some(beta) => Some(self.parameter(beta.val())?),
            None => None,
        };
        let inputs: Vec<&Value> = [x, &gamma].into_iter().chain(&beta).collect();
        #[allow(clippy::cast_possible_truncation)]
        let attributes = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon as f32)),
        ];
        Ok(self.op_with("LayerNormalization", &inputs, &attributes))
    }

    /// `x` in another shape; 0 keeps a dimension, -1 is what remains.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.ints(shape);
        self.op("Reshape", &[x, &shape])
    }

    /// `x` with its dimensions in another order.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        let order = [("perm", Attribute::Ints(order.to_vec()))];
        self.op_with("Transpose", &[x], &order)
    }

    /// `x` with a dimension of 1 at each of these places.
    pub fn unsqueeze(&mut self, x: &Value, axes: &[i64]) -> Value {
        let axes = self.ints(axes);
        self.op("Unsqueeze", &[x, &axes])
    }

    /// `x` without the dimensions of 1 at these places.
    pub fn squeeze(&mut self, x: &Value, axes: &[i64]) -> Value {
        let axes = self.ints(axes);
        self.op("Squeeze", &[x, &axes])
    }

    /// Values side by side along a dimension; one alone is itself.
    pub fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        match values {
            [only] => (*only).clone(),
            _ => self.op_with("Concat", values, &[("axis", Attribute::Int(axis))]),
        }
    }

    /// The sum over a dimension, which goes.
    pub fn sum(&mut self, x: &Value, axis: i64) -> Value {
        let axes = self.ints(&[axis]);
        self.op_with("ReduceSum", &[x, &axes], &[("keepdims", Attribute::Int(0))])
    }

    /// The first of a dimension, which stays with a size of 1.
    pub fn first(&mut self, x: &Value, axis: i64) -> Value {
        let [start, end, axes] = [[0], [1], [axis]].map(|of| self.ints(&of));
        self.op("Slice", &[x, &start, &end, &axes])
    }

    /// How many there are of a dimension: `[1]`, whole numbers.
    pub fn size(&mut self, x: &Value, axis: i64) -> Value {
        let bounds = [
            ("start", Attribute::Int(axis)),
            ("end", Attribute::Int(axis + 1)),
        ];
        self.op_with("Shape", &[x], &bounds)
    }

    /// `x` as numbers of another type.
    pub fn cast(&mut self, x: &Value, element: Element) -> Value {
        self.op_with("Cast", &[x], &[("to", Attribute::element(element))])
    }

    /// The whole numbers from 0 to one less than `size`, which is `[1]`.
    pub fn range(&mut self, size: &Value) -> Value {
        let end = self.squeeze(size, &[0]);
        let (start, step) = (self.int(0), self.int(1));
        self.op("Range", &[&start, &end, &step])
    }

    /// Whether each place of a padded sequence is within its length: `[batch, time]`, of lengths `[batch]` and the time,
    /// `[1]`.
    pub fn within(&mut self, lengths: &Value, time: &Value) -> Value {
        let places = self.range(time);
        let places = self.unsqueeze(&places, &[0]);
        let lengths = self.unsqueeze(lengths, &[1]);
        self.op("Less", &[&places, &lengths])
    }

    /// The file.
    ///
    /// # Errors
    ///
    /// [`OnnxError::TooLarge`].
    pub fn encode(self) -> Result<Vec<u8>, OnnxError> {
        let model = ModelProto {
            ir_version: IR,
            producer_name: "mmrest".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            metadata_props: self.metadata,
        };
        let bytes = model.encoded_len();
        if bytes > MOST_BYTES {
            return Err(OnnxError::TooLarge { bytes });
        }
        Ok(model.encode_to_vec())
    }
}

fn value_info(name: &str, element: Element, shape: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| match *dim {
        Dim::Fixed(size) => DimensionProto {
            dim_value: Some(size as i64),
            dim_param: None,
        },
        Dim::Named(name) => DimensionProto {
            dim_value: None,
            dim_param: Some(name.to_owned()),
        },
    };
    let shape = TensorShapeProto {
        dim: shape.iter().map(dim).collect(),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: element as i32,
                shape: Some(shape),
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_bytes_that_protobuf_has_for_it() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", Element::Float, &[Dim::Named("n"), Dim::Fixed(2)]);
        let y = graph.op_with("Softmax", &[&x], &[("axis", Attribute::Int(0))]);
        graph.output("y", &y, Element::Float, &[Dim::Named("n")]);
        let bytes = graph.encode().unwrap();
        // ir_version 8; then producer_name, a string of 6.
        assert_eq!(&bytes[..10], b"\x08\x08\x12\x06mmrest");
        // An attribute of 0 is written, with its type: name "axis", i = 0, type = INT.
        let attribute = b"\x2a\x0b\x0a\x04axis\x18\x00\xa0\x01\x02";
        assert!(bytes.windows(attribute.len()).any(|at| at == attribute));
        // opset 17 of the default domain.
        let opset = b"\x42\x02\x10\x11";
        assert!(bytes.windows(opset.len()).any(|at| at == opset));
        let decoded = ModelProto::decode(&bytes[..]).unwrap().graph.unwrap();
        assert_eq!(decoded.node.len(), 2);
        assert_eq!(decoded.node[1].output, ["y"]);
    }

    #[test]
    fn weights_are_row_major_and_little_endian() {
        let mut graph = Graph::new("g");
        graph.floats(&[2, 1], &[1.0, -2.0]);
        let weight = &graph.graph.initializer[0];
        assert_eq!(weight.dims, [2, 1]);
        assert_eq!(weight.raw_data, [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }
}
