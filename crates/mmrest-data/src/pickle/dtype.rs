//! The types of array elements.

use std::fmt;

/// What one element of an array is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// A truth value of one byte.
    Bool,
    /// A signed integer of 1, 2, 4 or 8 bytes.
    Int,
    /// An unsigned integer of 1, 2, 4 or 8 bytes.
    UInt,
    /// A floating-point number of 2, 4 or 8 bytes.
    Float,
    /// Bytes, filled up with zeros.
    Bytes,
    /// Text, four bytes a character, filled up with zeros.
    Text,
    /// Any value of a pickle.
    Object,
}

/// The order of an element's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
    Big,
}

/// The type of an array's elements, as NumPy's `dtype`. [`Display`](fmt::Display) writes it as NumPy does: `<f4`, `|S12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DType {
    /// What one element is.
    pub element: Element,
    /// Bytes an element; of an object, those of a pointer to it.
    pub size: usize,
    /// Their order.
    pub order: ByteOrder,
}

impl DType {
    /// The type a name such as `f4` or `U12` stands for; little-endian until its state says otherwise.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let kind = name.chars().next()?;
        let size: usize = name.get(1..)?.parse().ok()?;
        let element = match (kind, size) {
            ('b', 1) => Element::Bool,
            ('i', 1 | 2 | 4 | 8) => Element::Int,
            ('u', 1 | 2 | 4 | 8) => Element::UInt,
            ('f', 2 | 4 | 8) => Element::Float,
            ('S', _) => Element::Bytes,
            ('U', _) => Element::Text,
            ('O', _) => Element::Object,
            _ => return None,
        };
        let size = match element {
            Element::Text => size.checked_mul(4)?,
            _ => size,
        };
        let order = ByteOrder::Little;
        Some(Self {
            element,
            size,
            order,
        })
    }

    /// Whether elements are numbers.
    pub fn is_numeric(self) -> bool {
        !matches!(
            self.element,
            Element::Bytes | Element::Text | Element::Object
        )
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match (self.element, self.size, self.order) {
            (Element::Bytes | Element::Object, ..) | (_, 1, _) => '|',
            (_, _, ByteOrder::Little) => '<',
            (_, _, ByteOrder::Big) => '>',
        };
        let (letter, size) = match self.element {
            Element::Bool => ('b', self.size),
            Element::Int => ('i', self.size),
            Element::UInt => ('u', self.size),
            Element::Float => ('f', self.size),
            Element::Bytes => ('S', self.size),
            Element::Text => ('U', self.size / 4),
            Element::Object => return f.write_str("|O"),
        };
        write!(f, "{order}{letter}{size}")
    }
}
