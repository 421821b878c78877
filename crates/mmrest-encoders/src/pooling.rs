//! What stands for a text: the first token's last state, or means over its tokens of the states of some layers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::EncoderError;

/// The parts of a text's representation, side by side, as a configuration writes them: `"first"`, `"mean"`,
/// `"mean+layer:6"`.
///
/// | part | is, `[hidden]` |
/// |---|---|
/// | `first` | the last state of the text's first token |
/// | `mean` | the mean of its tokens' last states, first and last token included |
/// | `layer:N` | the mean of its tokens' states after layer N; `layer:0` are the embeddings |
///
/// ```
/// use mmrest_encoders::Pooling;
///
/// let pooling: Pooling = "mean+layer:6".parse()?;
/// assert_eq!(pooling.width(768), 1536);
/// assert_eq!(pooling.to_string(), "mean+layer:6");
/// assert!(pooling.check(12).is_ok() && pooling.check(5).is_err());
/// assert!("mean+max".parse::<Pooling>().is_err());
/// assert!(Pooling::default().is_first());
/// # Ok::<(), mmrest_encoders::EncoderError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pooling {
    parts: Vec<Part>,
}

/// A part of a text's representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The first token's last state.
    First,
    /// The mean of the tokens' last states.
    Mean,
    /// The mean of the tokens' states after a layer; 0: of the embeddings.
    Layer(usize),
}

impl Part {
    /// After which of `depth` layers the part is taken.
    pub(crate) fn after(self, depth: usize) -> usize {
        match self {
            Self::First | Self::Mean => depth,
            Self::Layer(layer) => layer,
        }
    }
}

impl Default for Pooling {
    /// The first token.
    fn default() -> Self {
        Self {
            parts: vec![Part::First],
        }
    }
}

impl Pooling {
    /// Whether it is the first token alone.
    pub fn is_first(&self) -> bool {
        self.parts == [Part::First]
    }

    /// How many numbers stand for a text, of states of `hidden` numbers.
    pub fn width(&self, hidden: usize) -> usize {
        hidden.saturating_mul(self.parts.len())
    }

    /// Checks that an encoder of `depth` layers has the layers that are named.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Pooling`] naming the layer.
    pub fn check(&self, depth: usize) -> Result<(), EncoderError> {
        let beyond = |part: &&Part| part.after(depth) > depth;
        match self.parts.iter().find(beyond) {
            None => Ok(()),
            Some(part) => Err(EncoderError::Pooling {
                found: self.to_string(),
                reason: format!("the encoder has {depth} layers, {part} is not one of them"),
            }),
        }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many parts are taken below layer `lower` of `depth`: what those layers leave beside their last states.
    pub fn parts_below(&self, lower: usize, depth: usize) -> usize {
        let below = |part: &&Part| part.after(depth) < lower;
        self.parts.iter().filter(below).count()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Mean => f.write_str("mean"),
            Self::Layer(layer) => write!(f, "layer:{layer}"),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            let plus = if place > 0 { "+" } else { "" };
            write!(f, "{plus}{part}")?;
        }
        Ok(())
    }
}

impl FromStr for Pooling {
    type Err = EncoderError;

    fn from_str(text: &str) -> Result<Self, EncoderError> {
        let refuse = |reason: String| EncoderError::Pooling {
            found: text.into(),
            reason,
        };
        let mut parts = Vec::new();
        for name in text.split('+').map(str::trim) {
            let layer = || name.strip_prefix("layer:")?.trim().parse().ok();
            let part = match name {
                "first" => Part::First,
                "mean" => Part::Mean,
                _ => layer().map(Part::Layer).ok_or_else(|| {
                    let known = "first, mean or layer:N, joined by +, as in mean+layer:6";
                    refuse(format!("{name:?} is none of {known}"))
                })?,
            };
            if parts.contains(&part) {
                return Err(refuse(format!("{part} stands there twice")));
            }
            parts.push(part);
        }
        Ok(Self { parts })
    }
}

impl TryFrom<String> for Pooling {
    type Error = EncoderError;

    fn try_from(text: String) -> Result<Self, EncoderError> {
        text.parse()
    }
}

impl From<Pooling> for String {
    fn from(pooling: Pooling) -> Self {
        pooling.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pooling_is_named() {
        for (text, words) in [
            ("max", "\"max\" is none of first, mean or layer:N"),
            ("", "\"\" is none of"),
            ("mean+", "\"\" is none of"),
            ("layer:six", "\"layer:six\""),
            ("layer:-1", "\"layer:-1\""),
            ("mean+mean", "mean stands there twice"),
        ] {
            let message = text.parse::<Pooling>().unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        let pooling: Pooling = "first + layer:0".parse().unwrap();
        assert_eq!(pooling.to_string(), "first+layer:0");
        let message = "layer:7".parse::<Pooling>().unwrap().check(6).unwrap_err();
        assert!(message.to_string().contains("has 6 layers"), "{message}");
    }

    #[test]
    fn parts_below_a_layer_are_counted() {
        let pooling: Pooling = "mean+layer:6+layer:2".parse().unwrap();
        let below = |lower| pooling.parts_below(lower, 12);
        assert_eq!([0, 2, 3, 6, 7, 12].map(below), [0, 0, 1, 1, 2, 2]);
    }
}
