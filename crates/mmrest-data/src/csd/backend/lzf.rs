//! LZF, the fast compression h5py offers (`compression="lzf"`).

use hdf5_reader::FilterRegistry;
use hdf5_reader::error::Error;

/// Its number in the HDF5 registry of filters.
const FILTER_LZF: u16 = 32_000;

/// The library's own filters and LZF, which makes no more than `most` bytes of a block.
pub(super) fn filters(most: usize) -> FilterRegistry {
    let mut filters = FilterRegistry::new();
    let decode = move |_: &_, data: &[u8], _| {
        decompress(data, most)
            .ok_or_else(|| Error::DecompressionError("corrupt LZF data".to_owned()))
    };
    filters.register(FILTER_LZF, Box::new(decode));
    filters
}

/// Decompresses a block; `None` where it is corrupt, or more than `most` bytes come of it.
///
/// A block is a run of items, each led by a control byte `c`. Below 32: the next `c + 1` bytes stand for themselves.
/// Otherwise: copy `c >> 5` + 2 bytes (a 7 there means that the next byte adds to the length) from as far back as the
/// lower five bits and the byte that follows say, plus one; the copy may overlap what it produces.
fn decompress(data: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(2 * data.len());
    let mut input = data;
    while let Some((&control, rest)) = input.split_first() {
        let control = usize::from(control);
        input = if control < 32 {
            let (literal, rest) = rest.split_at_checked(control + 1)?;
            output.extend_from_slice(literal);
            rest
        } else {
            copy(control, rest, &mut output)?
        };
        if output.len() > most {
            return None;
        }
    }
    Some(output)
}

/// Appends the copy that `control` and the head of `input` describe; the rest of `input`.
fn copy<'a>(control: usize, mut input: &'a [u8], output: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut next = || {
        let (&byte, rest) = input.split_first()?;
        input = rest;
        Some(usize::from(byte))
    };
    let mut length = control >> 5;
    if length == 7 {
        length += next()?;
    }
    let back = ((control & 31) << 8) + next()? + 1;
    let start = output.len().checked_sub(back)?;
    for i in start..start + length + 2 {
        output.push(output[i]);
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve times each of 0.0, 1.0, .. 5.0 as f4, as h5py compresses them.
    const BLOCK: &[u8] = &[
        1, 0, 0, 224, 39, 0, 2, 128, 63, 0, 224, 36, 3, 1, 0, 64, 32, 97, 224, 34, 3, 0, 64, 32,
        43, 224, 35, 3, 0, 128, 32, 47, 224, 35, 3, 0, 160, 32, 47, 224, 31, 3, 1, 160, 64,
    ];

    #[test]
    fn a_block_of_h5py_s_is_restored() {
        let expected = (0..72).flat_map(|i: u8| f32::from(i / 12).to_le_bytes());
        assert_eq!(decompress(BLOCK, 288), Some(expected.collect()));
        assert_eq!(decompress(BLOCK, 287), None);
    }

    #[test]
    fn no_block_makes_more_than_it_may_or_ends_anywhere_but_at_its_end() {
        proptest::proptest!(|(block: Vec<u8>, most in 0..4096_usize)| {
            let made = decompress(&block, most);
            assert!(made.is_none_or(|made| made.len() <= most));
        });
    }

    #[test]
    fn what_is_cut_or_points_before_the_start_is_refused() {
        assert_eq!(decompress(&[5, 1, 2], 100), None);
        assert_eq!(decompress(&[0, 9, 0x20], 100), None);
        assert_eq!(decompress(&[0, 9, 0x20, 7], 100), None);
        assert_eq!(decompress(&[0, 9, 0x20, 0], 100), Some(vec![9; 4]));
        assert_eq!(decompress(&[], 100), Some(vec![]));
    }
}
