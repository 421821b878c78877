//! Aligned entries as one array.

use mmrest_data::csd::{Entry, Features};
use mmrest_data::{DataError, Result};

/// Where the zeros of a short entry go, and so which rows of a long one stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Before its rows; the last rows of a long entry stay (the SDK's `direction=False`, its default).
    Left,
    /// After its rows; the first rows of a long entry stay (the SDK's `direction=True`).
    Right,
}

/// Entries of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The entries' ids, one a segment.
    pub ids: Vec<String>,
    /// `[segments, length, width]`, row-major.
    pub values: Vec<f32>,
    /// Segments, length, width.
    pub shape: [usize; 3],
}

/// The entries of a sequence as `[segments, length, width]`, padded with zeros: the SDK's `get_tensors`, for one sequence.
///
/// Labels are a tensor of length 1. Like the SDK's, sequences that go together must have the same keys first
/// ([`AlignConfig::hard_unify`](super::AlignConfig::hard_unify)).
///
/// ```
/// use mmrest_datatools::align::{Padding, tensor};
/// use mmrest_data::csd::{Entry, Features};
///
/// let entry = |values: &[f32]| Entry {
///     intervals: vec![[0.0, 1.0]; values.len()],
///     features: Features::Numeric { values: values.to_vec(), width: 1 },
/// };
/// let entries = [("a[0]", entry(&[1.0])), ("a[1]", entry(&[2.0, 3.0, 4.0]))];
/// let left = tensor(entries.clone(), 2, Padding::Left)?;
/// assert_eq!(left.shape, [2, 2, 1]);
/// assert_eq!(left.values, [0.0, 1.0, 3.0, 4.0]);
/// assert_eq!(tensor(entries, 2, Padding::Right)?.values, [1.0, 0.0, 2.0, 3.0]);
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// # Errors
///
/// [`DataError::Align`] for text, and for entries of different widths.
pub fn tensor<S: Into<String>>(
    entries: impl IntoIterator<Item = (S, Entry)>,
    length: usize,
    padding: Padding,
) -> Result<Tensor> {
    let mut ids = Vec::new();
    let mut values = Vec::new();
    let mut width = None;
    for (id, entry) in entries {
        let id = id.into();
        let refused = |reason: String| DataError::Align(format!("{id:?}: {reason}"));
        let Features::Numeric {
            values: rows,
            width: found,
        } = entry.features
        else {
            return Err(refused("text has no tensor; numbers are needed".to_owned()));
        };
        let width = *width.get_or_insert(found);
        if found != width {
            let reason = format!("rows of width {found} after rows of width {width}");
            return Err(refused(reason));
        }
        let kept = rows.len().min(length * width);
        let zeros = std::iter::repeat_n(0.0, length * width - kept);
        match padding {
            Padding::Left => {
                values.extend(zeros);
                values.extend_from_slice(&rows[rows.len() - kept..]);
            }
            Padding::Right => {
                values.extend_from_slice(&rows[..kept]);
                values.extend(zeros);
            }
        }
        ids.push(id);
    }
    let shape = [ids.len(), length, width.unwrap_or(0)];
    Ok(Tensor { ids, values, shape })
}
