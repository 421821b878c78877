//! What a pickle holds.

use super::Pickle;
use super::array::Array;
use super::dtype::{DType, Element};
use super::globals::Global;
use super::payload::Payload;
use crate::Result;

/// A text longer than this is not read whole.
const LONGEST_TEXT: u64 = 16 << 20;

/// A key or a name is no longer.
const LONGEST_NAME: usize = 1024;

/// A node of the pickle's graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(super) u32);

impl Id {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One value; its parts are other nodes, so that what is repeated is stored once and nesting costs no stack.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Payload),
    Bytes(Payload),
    ByteArray(Payload),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name that may be called, or a type.
    Global(Global),
    DType(DType),
    /// An array whose shape and elements are still to come.
    Blank,
    Array(Box<Array>),
    /// A NumPy scalar, as an array of no axis.
    Scalar(Box<Array>),
}

impl Node {
    /// Text, or bytes that are text, of no more letters than a name has.
    pub(super) fn short(&self) -> Option<&str> {
        let (Self::Text(text) | Self::Bytes(text)) = self else {
            return None;
        };
        let bytes = text.in_memory()?;
        (bytes.len() <= LONGEST_NAME).then(|| std::str::from_utf8(bytes).ok())?
    }

    /// What it is, for error messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::ByteArray(_) => "a bytearray",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
            Self::Global(global) => global.name(),
            Self::DType(_) => "a dtype",
            Self::Blank => "an array without elements",
            Self::Array(_) => "an array",
            Self::Scalar(_) => "a NumPy scalar",
        }
    }
}

/// A value in a pickle.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    pub(super) pickle: &'a Pickle,
    pub(super) id: Id,
}

/// What kind of value it is, with what is at hand of it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A floating-point number.
    Float(f64),
    /// Text: [`Value::text`].
    Text,
    /// Bytes.
    Bytes,
    /// A `bytearray`.
    ByteArray,
    /// A list: [`Value::items`].
    List,
    /// A tuple: [`Value::items`].
    Tuple,
    /// A dictionary: [`Value::entries`], [`Value::get`].
    Dict,
    /// An array; of one of objects, [`Value::items`] has the elements.
    Array(&'a Array),
    /// A NumPy scalar, as an array of no axis.
    Scalar(&'a Array),
    /// A type of arrays' elements.
    DType(DType),
    /// One of the names that NumPy's pickles use, as a value of its own.
    Name(&'static str),
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        self.pickle.node(self.id)
    }

    /// What it is.
    pub fn kind(self) -> Kind<'a> {
        match self.node() {
            Node::None | Node::Blank => Kind::None,
            &Node::Bool(value) => Kind::Bool(value),
            &Node::Int(value) => Kind::Int(value),
            &Node::Float(value) => Kind::Float(value),
            Node::Text(_) => Kind::Text,
            Node::Bytes(_) => Kind::Bytes,
            Node::ByteArray(_) => Kind::ByteArray,
            Node::List(_) => Kind::List,
            Node::Tuple(_) => Kind::Tuple,
            Node::Dict(_) => Kind::Dict,
            Node::Global(global) => Kind::Name(global.name()),
            &Node::DType(dtype) => Kind::DType(dtype),
            Node::Array(array) => Kind::Array(array),
            Node::Scalar(array) => Kind::Scalar(array),
        }
    }

    /// What it is in words, such as `a list`.
    pub fn what(self) -> &'static str {
        self.node().what()
    }

    /// An integer, or a NumPy scalar of integers, of no more than 64 bits.
    pub fn as_i64(self) -> Option<i64> {
        match self.node() {
            &Node::Int(value) => value.try_into().ok(),
            Node::Scalar(scalar) => scalar
                .rows_int(0..1)
                .ok()?
                .first()
                .copied()?
                .try_into()
                .ok(),
            _ => None,
        }
    }

    /// A number of any kind.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> Option<f64> {
        match self.node() {
            &Node::Int(value) => Some(value as f64),
            &Node::Float(value) => Some(value),
            Node::Scalar(scalar) => scalar.rows_f64(0..1).ok()?.first().copied(),
            _ => None,
        }
    }

    /// Text, or bytes that are UTF-8 text (Python 2 and some releases write ids so); none for any other value.
    ///
    /// # Errors
    ///
    /// [`DataError::Pickle`](crate::DataError::Pickle) for bytes that are not UTF-8, and for a text of more than 16 MiB.
    pub fn text(self) -> Result<Option<String>> {
        let payload = match self.node() {
            Node::Text(payload) | Node::Bytes(payload) => payload,
            Node::Scalar(scalar) => {
                let element = scalar.dtype().element;
                if !matches!(element, Element::Text | Element::Bytes) {
                    return Ok(None);
                }
                return Ok(scalar.texts()?.pop());
            }
            _ => return Ok(None),
        };
        let wrong = |reason: String| self.pickle.store.wrong(0, reason);
        if payload.len() > LONGEST_TEXT {
            return Err(wrong(format!("a text of {} bytes", payload.len())));
        }
        let text = String::from_utf8(payload.all()?);
        text.map(Some)
            .map_err(|_| wrong(format!("{} that are not UTF-8 text", self.what())))
    }

    /// Text of up to 1,024 bytes, as keys are, without a copy; none for longer ones and for any other value.
    pub fn name(self) -> Option<&'a str> {
        self.node().short()
    }

    /// Which value of the pickle it is: what is referred to twice has one id.
    pub(crate) fn id(self) -> Id {
        self.id
    }

    /// Number of items of a list or tuple, of elements of an array of objects, or of entries of a dictionary.
    pub fn count(self) -> Option<usize> {
        match self.node() {
            Node::List(ids) | Node::Tuple(ids) => Some(ids.len()),
            Node::Dict(entries) => Some(entries.len()),
            Node::Array(array) => match self.pickle.node(array.objects()?) {
                Node::List(ids) => Some(ids.len()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The bytes of bytes or of a bytearray; none for any other value.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`](crate::DataError::Io).
    pub fn bytes(self) -> Result<Option<Vec<u8>>> {
        match self.node() {
            Node::Bytes(payload) | Node::ByteArray(payload) => payload.all().map(Some),
            _ => Ok(None),
        }
    }

    /// The items of a list or tuple, or the elements of an array of objects in the order of C.
    pub fn items(self) -> Option<Vec<Self>> {
        let ids = match self.node() {
            Node::List(ids) | Node::Tuple(ids) => ids,
            Node::Array(array) => match self.pickle.node(array.objects()?) {
                Node::List(ids) => ids,
                _ => return None,
            },
            _ => return None,
        };
        Some(ids.iter().map(|&id| self.pickle.value(id)).collect())
    }

    /// The first of its [items](Self::items).
    pub fn first(self) -> Option<Self> {
        let ids = match self.node() {
            Node::List(ids) | Node::Tuple(ids) => ids,
            Node::Array(array) => match self.pickle.node(array.objects()?) {
                Node::List(ids) => ids,
                _ => return None,
            },
            _ => return None,
        };
        ids.first().map(|&id| self.pickle.value(id))
    }

    /// The keys and values of a dictionary, in its order.
    pub fn entries(self) -> Option<Vec<(Self, Self)>> {
        let Node::Dict(entries) = self.node() else {
            return None;
        };
        let value = |id| self.pickle.value(id);
        let entries = entries.iter();
        Some(entries.map(|&(key, of)| (value(key), value(of))).collect())
    }

    /// The value of a text key of a dictionary; of a key given twice, the last.
    pub fn get(self, key: &str) -> Option<Self> {
        let Node::Dict(entries) = self.node() else {
            return None;
        };
        let found = entries.iter().rfind(|entry| {
            let (Node::Text(payload) | Node::Bytes(payload)) = self.pickle.node(entry.0) else {
                return false;
            };
            payload.in_memory() == Some(key.as_bytes())
        });
        found.map(|&(_, value)| self.pickle.value(value))
    }

    /// The array, where it is one.
    pub fn array(self) -> Option<&'a Array> {
        match self.node() {
            Node::Array(array) => Some(array),
            _ => None,
        }
    }
}
