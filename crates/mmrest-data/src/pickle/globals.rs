//! The few names a pickle may use, and what they make.

use super::array::{Array, Data};
use super::dtype::{ByteOrder, DType, Element};
use super::machine::Machine;
use super::payload::Payload;
use super::strided::Layout;
use super::value::{Id, Node};
use crate::{DataError, Result};

/// NumPy allows no more axes.
const MOST_AXES: usize = 64;

/// A name that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    Reconstruct,
    Scalar,
    FromBuffer,
    NdArray,
    DType,
    Encode,
    Bytes,
    ByteArray,
    OrderedDict,
    DefaultDict,
    /// A type of Python's own, such as a `defaultdict` names for what it lacks; never called but for the two above.
    Type,
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Self::Reconstruct
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::DType,
            ("_codecs", "encode") => Self::Encode,
            // How protocol 2 writes bytes that are empty, and bytearrays.
            ("__builtin__" | "builtins", "bytes") => Self::Bytes,
            ("__builtin__" | "builtins", "bytearray") => Self::ByteArray,
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("collections", "defaultdict") => Self::DefaultDict,
            (
                "__builtin__" | "builtins",
                "list" | "dict" | "tuple" | "set" | "int" | "float" | "str" | "bool",
            ) => Self::Type,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reconstruct => "numpy.core.multiarray._reconstruct",
            Self::Scalar => "numpy.core.multiarray.scalar",
            Self::FromBuffer => "numpy.core.numeric._frombuffer",
            Self::NdArray => "numpy.ndarray",
            Self::DType => "numpy.dtype",
            Self::Encode => "_codecs.encode",
            Self::Bytes => "bytes",
            Self::ByteArray => "bytearray",
            Self::OrderedDict => "collections.OrderedDict",
            Self::DefaultDict => "collections.defaultdict",
            Self::Type => "a type",
        }
    }
}

impl Machine {
    /// What calling a name with these arguments makes.
    pub(super) fn call(&mut self, global: Global, arguments: &[Id]) -> Result<Node> {
        let made = match (global, arguments) {
            (Global::Reconstruct, [class, _, _]) => self.blank(*class),
            (Global::Scalar, [dtype, rest @ ..]) => self.scalar(*dtype, rest)?,
            (Global::FromBuffer, [data, dtype, shape, order, rest @ ..]) => {
                Some(self.array_of_buffer([*data, *dtype, *shape, *order], rest)?)
            }
            (Global::DType, [name, ..]) => Some(Node::DType(self.dtype_named(*name)?)),
            (Global::Encode, [text, codec]) => self.encoded(*text, *codec)?.map(Node::Bytes),
            (Global::Bytes, []) => Some(Node::Bytes(Payload::memory(&[]))),
            (Global::ByteArray, []) => Some(Node::ByteArray(Payload::memory(&[]))),
            (Global::ByteArray, [bytes]) => self.data(*bytes).map(Node::ByteArray),
            (Global::ByteArray, [text, codec]) => self.encoded(*text, *codec)?.map(Node::ByteArray),
            (Global::OrderedDict, []) => Some(Node::Dict(Vec::new())),
            (Global::OrderedDict, [pairs]) => self.pairs(*pairs)?.map(Node::Dict),
            (Global::DefaultDict, [] | [_]) => Some(Node::Dict(Vec::new())),
            _ => None,
        };
        made.ok_or_else(|| {
            let arguments: Vec<&str> = arguments.iter().map(|&id| self.node(id).what()).collect();
            let (name, arguments) = (global.name(), arguments.iter().take(6));
            let arguments: Vec<&str> = arguments.copied().collect();
            self.wrong(format!(
                "calls {name} with ({}), which is not how NumPy does",
                arguments.join(", ")
            ))
        })
    }

    fn blank(&self, class: Id) -> Option<Node> {
        matches!(self.node(class), Node::Global(Global::NdArray)).then_some(Node::Blank)
    }

    fn scalar(&self, dtype: Id, rest: &[Id]) -> Result<Option<Node>> {
        let &Node::DType(dtype) = self.node(dtype) else {
            return Ok(None);
        };
        let data = match rest {
            [data] => self.data(*data),
            [] if dtype.size == 0 => Some(Payload::memory(&[])),
            _ => None,
        };
        let Some(data) = data.filter(|_| dtype.element != Element::Object) else {
            return Ok(None);
        };
        let array = self.array(self.layout(Vec::new(), false)?, dtype, data)?;
        Ok(Some(Node::Scalar(Box::new(array))))
    }

    /// Bytes that are written as text; the same text makes the same bytes, once.
    fn encoded(&mut self, id: Id, codec: Id) -> Result<Option<Payload>> {
        let (Node::Text(text), Some("latin1" | "latin-1")) = (self.node(id), self.short(codec))
        else {
            return Ok(None);
        };
        if let Some(known) = self.encoded.get(&id) {
            return Ok(Some(known.clone()));
        }
        match text.latin1()? {
            Some(bytes) => {
                self.encoded.insert(id, bytes.clone());
                Ok(Some(bytes))
            }
            None => Err(self.wrong("bytes written as text that is not Latin-1")),
        }
    }

    /// The entries of a dictionary that Python 2 writes as a list of pairs.
    fn pairs(&mut self, list: Id) -> Result<Option<Vec<(Id, Id)>>> {
        let (Node::List(items) | Node::Tuple(items)) = self.node(list) else {
            return Ok(None);
        };
        let pair = |&id: &Id| match self.node(id) {
            Node::List(pair) | Node::Tuple(pair) => match pair.as_slice() {
                &[key, value] => Some((key, value)),
                _ => None,
            },
            _ => None,
        };
        self.check_count(items.len())?;
        let pairs: Option<Vec<(Id, Id)>> = items.iter().map(pair).collect();
        self.count(pairs.as_ref().map_or(0, Vec::len));
        Ok(pairs)
    }

    fn array_of_buffer(&self, parts: [Id; 4], rest: &[Id]) -> Result<Node> {
        let [data, dtype, shape, order] = parts;
        let wrong = || self.wrong("calls numpy.core.numeric._frombuffer as NumPy does not");
        let &Node::DType(dtype) = self.node(dtype) else {
            return Err(wrong());
        };
        let (Some(data), Some(order)) = (self.data(data), self.short(order)) else {
            return Err(wrong());
        };
        let layout = self.layout(self.shape(shape)?, order == "F")?;
        let layout = match (order, rest) {
            ("C" | "F", [] | [_]) | ("K", []) => layout,
            ("K", &[axes]) => match self.node(axes) {
                Node::None => layout,
                _ => layout.transposed(&self.shape(axes)?).ok_or_else(wrong)?,
            },
            _ => return Err(wrong()),
        };
        Ok(Node::Array(Box::new(self.array(layout, dtype, data)?)))
    }

    /// What the state of an object makes of it.
    pub(super) fn built(&self, object: Id, state: Id) -> Result<Node> {
        let state = match self.node(state) {
            Node::Tuple(items) => items.as_slice(),
            _ => &[],
        };
        match self.node(object) {
            Node::Blank => self.filled(state),
            &Node::DType(dtype) => self.dtype_state(dtype, state).map(Node::DType),
            other => {
                let what = other.what();
                Err(self.wrong(format!("sets the state of {what}, which has none")))
            }
        }
    }

    /// An array from (version, shape, dtype, whether in Fortran's order, elements).
    fn filled(&self, state: &[Id]) -> Result<Node> {
        let wrong = || self.wrong("an array's state is not as NumPy writes it");
        let &[_, shape, dtype, fortran, data] = state else {
            return Err(wrong());
        };
        let (&Node::DType(dtype), shape) = (self.node(dtype), self.shape(shape)?) else {
            return Err(wrong());
        };
        let fortran = match *self.node(fortran) {
            Node::Bool(fortran) => fortran,
            Node::Int(fortran) => fortran != 0,
            _ => return Err(wrong()),
        };
        if dtype.element != Element::Object {
            let data = self.data(data).ok_or_else(wrong)?;
            let array = self.array(self.layout(shape, fortran)?, dtype, data)?;
            return Ok(Node::Array(Box::new(array)));
        }
        let layout = self.layout(shape, false)?;
        match self.node(data) {
            Node::List(items) if items.len() == layout.elements() => {
                let array = self.new_array(layout, dtype, Data::Objects(data));
                Ok(Node::Array(Box::new(array)))
            }
            Node::List(items) => Err(self.size_error(&layout, dtype, items.len() as u64, "values")),
            _ => Err(wrong()),
        }
    }

    /// An array of bytes, after a look whether they are as many as shape and type say.
    fn array(&self, layout: Layout, dtype: DType, data: Payload) -> Result<Array> {
        if dtype.element == Element::Object {
            return Err(self.wrong("an array of objects made of bytes"));
        }
        let bytes = layout.elements().checked_mul(dtype.size);
        if bytes.map(|bytes| bytes as u64) != Some(data.len()) {
            return Err(self.size_error(&layout, dtype, data.len(), "bytes"));
        }
        Ok(self.new_array(layout, dtype, Data::Bytes(data)))
    }

    fn size_error(&self, layout: &Layout, dtype: DType, found: u64, unit: &str) -> DataError {
        let shape = shape_text(&layout.shape);
        self.wrong(format!(
            "an array of shape {shape} and type {dtype} has {found} {unit}"
        ))
    }

    fn layout(&self, shape: Vec<usize>, fortran: bool) -> Result<Layout> {
        let layout = if fortran {
            Layout::fortran(shape.clone())
        } else {
            Layout::c(shape.clone())
        };
        layout.ok_or_else(|| {
            let text = shape_text(&shape);
            self.wrong(format!("no array can have the shape {text}"))
        })
    }

    /// Extents, or numbers of axes.
    fn shape(&self, shape: Id) -> Result<Vec<usize>> {
        let extent = |&id: &Id| match self.node(id) {
            &Node::Int(extent) => usize::try_from(extent).ok(),
            _ => None,
        };
        let shape = match self.node(shape) {
            Node::Tuple(axes) if axes.len() <= MOST_AXES => axes.iter().map(extent).collect(),
            _ => None,
        };
        shape.ok_or_else(|| self.wrong("an array's shape is not a tuple of sizes"))
    }

    /// The bytes of an array.
    fn data(&self, data: Id) -> Option<Payload> {
        match self.node(data) {
            Node::Bytes(payload) | Node::ByteArray(payload) => Some(payload.clone()),
            _ => None,
        }
    }

    fn dtype_named(&self, name: Id) -> Result<DType> {
        let Some(name) = self.short(name) else {
            return Err(self.wrong("a dtype without a name"));
        };
        DType::parse(name).ok_or_else(|| {
            let name = super::machine::quoted(name);
            self.wrong(format!("dtype {name} is not one of f, i, u, b, S, U or O"))
        })
    }

    /// A type with the order and size of (version, order, subtype, names, fields, size, alignment, flags).
    fn dtype_state(&self, dtype: DType, state: &[Id]) -> Result<DType> {
        let wrong = || self.wrong("a dtype's state is not as NumPy writes it");
        let &[_, order, subtype, names, fields, size, ..] = state else {
            return Err(wrong());
        };
        for part in [subtype, names, fields] {
            if !matches!(self.node(part), Node::None) {
                return Err(self.wrong("an array of structures, not of numbers or text"));
            }
        }
        let order = match self.short(order) {
            Some("<" | "|") => ByteOrder::Little,
            Some(">") => ByteOrder::Big,
            _ => return Err(wrong()),
        };
        let &Node::Int(size) = self.node(size) else {
            return Err(wrong());
        };
        let stated = usize::try_from(size).unwrap_or(dtype.size);
        if stated != dtype.size {
            let reason = format!("dtype {dtype} of {stated} bytes an element");
            return Err(self.wrong(reason));
        }
        Ok(dtype.ordered(order))
    }
}

/// `(3, 50, 74)`, shortened where it is long.
fn shape_text(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().take(8).map(usize::to_string).collect();
    let more = if shape.len() > 8 { ", ..." } else { "" };
    format!("({}{more})", extents.join(", "))
}
