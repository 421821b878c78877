//! Where the elements of an array lie.

use std::ops::Range;

use super::payload::Payload;
use crate::Result;

/// Shape of an array, and how many elements lie between neighbours along each axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Bytes of an array that are read at once where rows are made of pieces.
const WHOLE: u64 = 16 << 20;

/// One axis of a block: its extent, its stride in the payload and its stride in the block.
#[derive(Debug, Clone, Copy)]
struct Axis {
    extent: usize,
    from: usize,
    to: usize,
}

impl Layout {
    /// The last axis the closest, as C has it; none for a shape whose size is beyond any.
    pub(super) fn c(shape: Vec<usize>) -> Option<Self> {
        let strides = strides(shape.iter().rev())?.into_iter().rev().collect();
        Some(Self { shape, strides })
    }

    /// The first axis the closest, as Fortran has it.
    pub(super) fn fortran(shape: Vec<usize>) -> Option<Self> {
        let strides = strides(shape.iter())?;
        Some(Self { shape, strides })
    }

    /// The same elements with axis `axes[i]` as the i-th; none unless every axis is named once.
    pub(super) fn transposed(&self, axes: &[usize]) -> Option<Self> {
        let mut seen = vec![false; self.shape.len()];
        for &axis in axes {
            if std::mem::replace(seen.get_mut(axis)?, true) {
                return None;
            }
        }
        let take = |of: &[usize]| -> Option<Vec<usize>> {
            axes.iter().map(|&axis| of.get(axis).copied()).collect()
        };
        (axes.len() == self.shape.len()).then_some(())?;
        Some(Self {
            shape: take(&self.shape)?,
            strides: take(&self.strides)?,
        })
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of rows along the first axis; a scalar is one row.
    pub(super) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements in a row.
    pub(super) fn row_elements(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The bytes of some rows in the order of C; none where the payload has not so many.
    pub(super) fn gather(
        &self,
        payload: &Payload,
        size: usize,
        rows: Range<usize>,
    ) -> Result<Option<Vec<u8>>> {
        let elements = rows.len().checked_mul(self.row_elements());
        let Some(bytes) = elements.and_then(|elements| elements.checked_mul(size)) else {
            return Ok(None);
        };
        if rows.end > self.rows() || bytes as u64 > payload.len() {
            return Ok(None);
        }
        let mut block = vec![0; bytes];
        if bytes == 0 {
            return Ok(Some(block));
        }
        let first = rows.start * self.strides.first().copied().unwrap_or(0);
        let (outer, run) = split(self.axes(rows.len()));
        // Many short runs of a small file are copied from memory: reading each would cost more.
        let apart = !outer.is_empty() && payload.in_memory().is_none();
        let whole = (apart && payload.len() <= WHOLE)
            .then(|| payload.all())
            .transpose()?;
        let whole = whole.map(|bytes| Payload::memory(&bytes));
        let payload = whole.as_ref().unwrap_or(payload);
        let gather = Gather {
            payload,
            size,
            run_elements: run.iter().map(|axis| axis.extent).product(),
            in_order: run.iter().all(|axis| axis.from == axis.to),
            run,
        };
        let mut scratch = vec![0; gather.run_elements * size];
        let mut good = true;
        for place in places(&outer) {
            good &= gather.run(first + place.from, place.to, &mut scratch, &mut block)?;
        }
        Ok(good.then_some(block))
    }

    /// The axes of a block of rows, those of more than one element, the closest last.
    fn axes(&self, rows: usize) -> Vec<Axis> {
        let extents = std::iter::once(rows).chain(self.shape.iter().skip(1).copied());
        let extents: Vec<usize> = extents.take(self.shape.len()).collect();
        let mut to = strides(extents.iter().rev()).unwrap_or_default();
        to.reverse();
        let axes = extents.iter().zip(&self.strides).zip(to);
        let mut axes: Vec<Axis> = axes
            .map(|((&extent, &from), to)| Axis { extent, from, to })
            .filter(|axis| axis.extent > 1)
            .collect();
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.from));
        axes
    }
}

/// Products of the extents before each; an empty axis counts as one, so that no empty shape is beyond any size.
fn strides<'a>(extents: impl Iterator<Item = &'a usize>) -> Option<Vec<usize>> {
    let mut next = 1_usize;
    let mut strides = Vec::new();
    for &extent in extents {
        strides.push(next);
        next = next.checked_mul(extent.max(1))?;
    }
    isize::try_from(next).ok()?;
    Some(strides)
}

/// The axes that run through the payload without a gap, split off.
fn split(mut outer: Vec<Axis>) -> (Vec<Axis>, Vec<Axis>) {
    let mut length = 1;
    let mut start = outer.len();
    while let Some(axis) = start.checked_sub(1).and_then(|i| outer.get(i)) {
        if axis.from != length {
            break;
        }
        length *= axis.extent;
        start -= 1;
    }
    let run = outer.split_off(start);
    (outer, run)
}

/// A place in the payload and its place in the block, in elements.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    from: usize,
    to: usize,
}

/// Every place that some axes reach, the last axis turning fastest.
fn places(axes: &[Axis]) -> impl Iterator<Item = Place> + '_ {
    let count: usize = axes.iter().map(|axis| axis.extent).product();
    (0..count).map(move |mut i| {
        let mut place = Place::default();
        for axis in axes.iter().rev() {
            let step = i % axis.extent;
            i /= axis.extent;
            place.from += step * axis.from;
            place.to += step * axis.to;
        }
        place
    })
}

/// Copies runs of a payload to where their elements belong.
struct Gather<'a> {
    payload: &'a Payload,
    size: usize,
    run: Vec<Axis>,
    run_elements: usize,
    /// Whether a run is in the block what it is in the payload.
    in_order: bool,
}

impl Gather<'_> {
    fn run(&self, from: usize, to: usize, scratch: &mut [u8], block: &mut [u8]) -> Result<bool> {
        let size = self.size;
        let offset = from as u64 * size as u64;
        if self.in_order {
            let target = block.get_mut(to * size..(to + self.run_elements) * size);
            return match target {
                Some(target) => self.payload.read(offset, target),
                None => Ok(false),
            };
        }
        if !self.payload.read(offset, scratch)? {
            return Ok(false);
        }
        for (place, element) in places(&self.run).zip(scratch.chunks_exact(size)) {
            let at = (to + place.to) * size;
            match block.get_mut(at..at + size) {
                Some(target) => target.copy_from_slice(element),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element, from the definition of strides.
    fn naive(layout: &Layout, bytes: &[u8], rows: Range<usize>) -> Vec<u8> {
        let mut found = Vec::new();
        let row = layout.row_elements();
        for i in rows.start * row..rows.end * row {
            let (mut rest, mut at) = (i, 0);
            for (&extent, &stride) in layout.shape.iter().zip(&layout.strides).rev() {
                at += rest % extent * stride;
                rest /= extent;
            }
            found.extend_from_slice(&bytes[2 * at..2 * at + 2]);
        }
        found
    }

    #[test]
    fn rows_of_every_layout_are_those_of_the_definition() {
        let bytes: Vec<u8> = (0..240).collect();
        let payload = Payload::memory(&bytes);
        let shape = vec![5, 2, 3, 4];
        let c = Layout::c(shape.clone()).unwrap();
        let mut layouts = vec![c.clone(), Layout::fortran(shape).unwrap()];
        for axes in [
            [3, 0, 2, 1],
            [1, 2, 3, 0],
            [2, 3, 0, 1],
            [0, 1, 3, 2],
            [0, 2, 1, 3],
        ] {
            layouts.push(c.transposed(&axes).unwrap());
        }
        for layout in &layouts {
            for start in 0..layout.rows() {
                for end in start..=layout.rows() {
                    let found = layout.gather(&payload, 2, start..end).unwrap().unwrap();
                    assert_eq!(
                        found,
                        naive(layout, &bytes, start..end),
                        "{layout:?} {start}..{end}"
                    );
                }
            }
        }
    }

    #[test]
    fn shapes_beyond_any_size_and_wrong_axes_are_none() {
        assert!(Layout::c(vec![usize::MAX, 2]).is_none());
        assert!(Layout::fortran(vec![0, usize::MAX, 2]).is_none());
        let layout = Layout::c(vec![2, 3]).unwrap();
        for axes in [vec![0], vec![0, 0], vec![0, 2], vec![0, 1, 2]] {
            assert!(layout.transposed(&axes).is_none(), "{axes:?}");
        }
        let payload = Payload::memory(&[0; 5]);
        assert!(layout.gather(&payload, 1, 0..2).unwrap().is_none());
        assert!(layout.gather(&payload, 1, 0..3).unwrap().is_none());
        let scalar = Layout::c(Vec::new()).unwrap();
        assert_eq!(scalar.gather(&payload, 5, 0..1).unwrap(), Some(vec![0; 5]));
    }
}
