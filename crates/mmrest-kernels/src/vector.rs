//! Runs loops over `f32` on the widest vectors of the processor, and the loops that several operations share.

use std::marker::PhantomData;
use std::ops::Range;

/// Values that one thread takes at a time. Sums of gradients are made block by block: another size rounds them otherwise.
pub(crate) const BLOCK: usize = 1 << 14;

/// A loop over values, to be compiled for the widest vectors of the processor it runs on.
///
/// Only what is inlined is compiled so: `run` and all that it calls have to be `#[inline(always)]`, which neither a
/// closure nor a function passed as a value can be. [`kernel!`](crate::kernel!) writes one like a function.
pub trait Kernel<A> {
    /// Runs the loop.
    fn run(arguments: A);
}

/// Makes a [`Kernel`](crate::vector::Kernel) of a function of one tuple.
///
/// ```
/// use mmrest_kernels::{kernel, vector::vectorised};
///
/// kernel! {
///     /// `out += x`.
///     fn add(
///         (out, x): (&mut [f32], &[f32])
///     ) {
///         for (out, x) in out.iter_mut().zip(x) {
///             *out += x;
///         }
///     }
/// }
///
/// let mut sums = [1.0, 2.0];
/// vectorised(add, (&mut sums[..], &[10.0, 20.0][..]));
/// assert_eq!(sums, [11.0, 22.0]);
/// ```
#[macro_export]
macro_rules! kernel {
    ($(#[$about:meta])* $visible:vis fn $name:ident($arguments:tt : $types:ty) $body:block) => {
        $(#[$about])*
        #[allow(non_camel_case_types)]
        $visible struct $name;

        impl $crate::vector::Kernel<$types> for $name {
            #[inline(always)]
            fn run($arguments: $types) $body
        }
    };
}

/// Runs a kernel on the widest vectors of this processor.
pub fn vectorised<A, K: Kernel<A>>(_: K, arguments: A) {
    faer::traits::pulp::Arch::new().dispatch(Call::<A, K>(arguments, PhantomData));
}

struct Call<A, K>(A, PhantomData<K>);

impl<A, K: Kernel<A>> faer::traits::pulp::NullaryFnOnce for Call<A, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        K::run(self.0);
    }
}

/// The sum of each column in `columns`, over all rows of a row-major matrix `width` wide.
///
/// ```
/// use mmrest_kernels::vector::sum_rows;
///
/// assert_eq!(sum_rows(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0], 3, 1..3), [22.0, 33.0]);
/// ```
#[must_use]
pub fn sum_rows(values: &[f32], width: usize, columns: Range<usize>) -> Vec<f32> {
    let mut sums = vec![0.0; columns.len()];
    vectorised(add_rows, (&mut sums[..], values, width, columns));
    sums
}

kernel! {
    fn add_rows(
        (sums, values, width, columns): (&mut [f32], &[f32], usize, Range<usize>)
    ) {
        for row in values.chunks_exact(width) {
            for (sum, value) in sums.iter_mut().zip(&row[columns.start..columns.end]) {
                *sum += *value;
            }
        }
    }
}

/// The transpose of a row-major matrix `[rows, columns]`, moved by blocks that fit the cache.
#[must_use]
pub fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut transposed = vec![0.0; values.len()];
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            for r in row..rows.min(row + TILE) {
                for c in column..columns.min(column + TILE) {
                    transposed[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_value() {
        let (rows, columns) = (37, 65);
        let values: Vec<f32> = (0..rows * columns).map(|v| v as f32).collect();
        let transposed = transpose(&values, rows, columns);
        for r in 0..rows {
            for c in 0..columns {
                assert_eq!(transposed[c * rows + r], values[r * columns + c]);
            }
        }
    }
}
