//! Where the frames of a padded segment are.

use std::ops::Range;

/// The frames of a segment among the zero frames that fill up the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpadded {
    /// Their places.
    pub frames: Range<usize>,
    /// Frames beyond the stated length are not zero, whichever side they are counted from.
    pub contradicted: bool,
}

/// The side that zero frames are expected on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Before the frames (MulT).
    Left,
    /// After them (MMSA), or on either side where no length is stated, as in its aligned files.
    Right,
}

/// Finds the frames in `values`, `[frames, width]`. A stated length is counted from the side without padding, or from the
/// other where only that leaves nothing but zeros. Without one, zero frames at the ends are padding: with
/// [`Padding::Left`] those before, else those on both sides. A segment of zero frames alone has none.
pub fn unpad(values: &[f32], width: usize, length: Option<usize>, padding: Padding) -> Unpadded {
    let frames: Vec<&[f32]> = values.chunks_exact(width.max(1)).collect();
    let present = |frame: &&[f32]| frame.iter().any(|&value| value != 0.0);
    let found = |frames| Unpadded {
        frames,
        contradicted: false,
    };
    let all = frames.len();
    let Some(first) = frames.iter().position(present) else {
        return found(0..0);
    };
    let end = frames
        .iter()
        .rposition(present)
        .map_or(all, |last| last + 1);
    let Some(length) = length else {
        return match padding {
            Padding::Left => found(first..all),
            Padding::Right => found(first..end),
        };
    };
    let length = length.min(all);
    let (head, tail) = (0..length, all - length..all);
    match (end <= length, first >= all - length, padding) {
        (true, false, _) | (true, true, Padding::Right) => found(head),
        (false, true, _) | (true, true, Padding::Left) => found(tail),
        (false, false, padding) => Unpadded {
            frames: if padding == Padding::Left { tail } else { head },
            contradicted: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a frame: `.` is zero.
    fn frames(pattern: &str, length: Option<usize>, padding: Padding) -> Range<usize> {
        let values = pattern.chars().map(|c| if c == '.' { 0.0 } else { 1.0 });
        let found = unpad(&values.collect::<Vec<f32>>(), 1, length, padding);
        assert!(!found.contradicted);
        found.frames
    }

    #[test]
    fn stated_lengths_are_counted_from_the_side_without_padding() {
        use Padding::{Left, Right};
        assert_eq!(frames("ab.d..", Some(4), Right), 0..4);
        assert_eq!(
            frames("ab....", Some(3), Right),
            0..3,
            "a zero frame within"
        );
        assert_eq!(
            frames("...abc", Some(3), Right),
            3..6,
            "padded on the other side"
        );
        assert_eq!(frames("..ab.d", Some(4), Left), 2..6);
        assert_eq!(frames("abc...", Some(3), Left), 0..3);
        assert_eq!(frames(".ab.", Some(3), Right), 0..3);
        assert_eq!(frames(".ab.", Some(3), Left), 1..4);
        assert_eq!(frames("....", Some(3), Right), 0..0);
        assert_eq!(frames("abcd", Some(4), Left), 0..4);
        for (padding, kept) in [(Right, 0..2), (Left, 2..4)] {
            let found = unpad(&[1.0; 4], 1, Some(2), padding);
            assert_eq!((found.frames, found.contradicted), (kept, true));
        }
    }

    #[test]
    fn without_lengths_only_padding_goes() {
        use Padding::{Left, Right};
        assert_eq!(frames("..a.b.", None, Right), 2..5);
        assert_eq!(frames("..a.b.", None, Left), 2..6);
        assert_eq!(frames("ab", None, Left), 0..2);
        assert_eq!(frames("...", None, Left), 0..0);
        assert_eq!(frames("", None, Right), 0..0);
        let nan = unpad(&[0.0, f32::NAN, 0.0, 0.0], 2, None, Right);
        assert_eq!(
            nan.frames,
            0..1,
            "a frame that is not a number is no padding"
        );
    }
}
