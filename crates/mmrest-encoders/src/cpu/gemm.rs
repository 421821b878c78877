//! Matrix products: large ones by faer, cut into tiles for all threads; the small ones of a recurrence by a kernel that
//! packs nothing.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::math::{Kernel, vectorised};

/// Multiply-adds of a tile: about a millisecond of one thread.
const TILE: usize = 1 << 24;

/// A row-major matrix.
pub(crate) fn matrix(values: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, rows, columns)
}

/// A row-major matrix to write to.
pub(crate) fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(values, rows, columns)
}

/// `out = a b`, or `out += a b`, on all threads.
pub(crate) fn product(
    out: MatMut<'_, f32>,
    accumulate: Accum,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
) {
    let (rows, columns, depth) = (out.nrows(), out.ncols(), a.ncols());
    let work = rows.saturating_mul(columns).saturating_mul(depth);
    if work <= TILE || rows.max(columns) < 32 {
        matmul(out, accumulate, a, b, 1.0, Par::Seq);
    } else if rows >= columns {
        let half = (rows / 2).next_multiple_of(16);
        let (top, bottom) = out.split_at_row_mut(half);
        let (a_top, a_bottom) = a.split_at_row(half);
        rayon::join(
            || product(top, accumulate, a_top, b),
            || product(bottom, accumulate, a_bottom, b),
        );
    } else {
        let half = (columns / 2).next_multiple_of(16);
        let (left, right) = out.split_at_col_mut(half);
        let (b_left, b_right) = b.split_at_col(half);
        rayon::join(
            || product(left, accumulate, a, b_left),
            || product(right, accumulate, a, b_right),
        );
    }
}

/// Rows and columns of `out` computed at a time: eight vectors of eight floats stay in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 16;

/// `out[n, columns] (+)= a[n, depth] b[depth, columns]`, row-major, for few rows and a `b` that fits the cache.
pub(crate) fn small_product<const ADD: bool>(
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    depth: usize,
    columns: usize,
) {
    #[cfg(target_arch = "x86_64")]
    let fused = std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let fused = cfg!(target_arch = "aarch64");
    if fused {
        vectorised(Panels::<ADD, true>, (out, a, b, depth, columns));
    } else {
        vectorised(Panels::<ADD, false>, (out, a, b, depth, columns));
    }
}

/// The product, panel by panel of `b`; with or without fused multiply-adds.
struct Panels<const ADD: bool, const FUSED: bool>;

impl<const ADD: bool, const FUSED: bool> Kernel<(&mut [f32], &[f32], &[f32], usize, usize)>
    for Panels<ADD, FUSED>
{
    #[inline(always)]
    fn run((out, a, b, depth, columns): (&mut [f32], &[f32], &[f32], usize, usize)) {
        panels::<ADD, FUSED>(out, a, b, depth, columns);
    }
}

#[inline(always)]
fn panels<const ADD: bool, const FUSED: bool>(
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    depth: usize,
    columns: usize,
) {
    let whole = columns - columns % COLUMNS;
    for at in (0..whole).step_by(COLUMNS) {
        for (out, a) in out.chunks_mut(ROWS * columns).zip(a.chunks(ROWS * depth)) {
            if out.len() == ROWS * columns {
                tile::<ADD, FUSED, ROWS>(out, a, b, depth, columns, at);
            } else {
                for (out, a) in out.chunks_exact_mut(columns).zip(a.chunks_exact(depth)) {
                    tile::<ADD, FUSED, 1>(out, a, b, depth, columns, at);
                }
            }
        }
    }
    if whole < columns {
        rest::<ADD>(out, a, b, depth, columns, whole);
    }
}

#[inline(always)]
fn tile<const ADD: bool, const FUSED: bool, const R: usize>(
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    depth: usize,
    columns: usize,
    at: usize,
) {
    let mut sums = [[0.0f32; COLUMNS]; R];
    let a: [&[f32]; R] = std::array::from_fn(|row| &a[row * depth..(row + 1) * depth]);
    for (step, b) in b.chunks_exact(columns).take(depth).enumerate() {
        let Ok(b) = <&[f32; COLUMNS]>::try_from(&b[at..at + COLUMNS]) else {
            return;
        };
        for (sums, a) in sums.iter_mut().zip(a) {
            let factor = a[step];
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = if FUSED {
                    factor.mul_add(*b, *sum)
                } else {
                    factor * *b + *sum
                };
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(columns).zip(sums) {
        for (out, sum) in out[at..at + COLUMNS].iter_mut().zip(sums) {
            *out = if ADD { *out + sum } else { sum };
        }
    }
}

/// The columns from `at` on, too few for a tile.
#[inline(always)]
fn rest<const ADD: bool>(
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    depth: usize,
    columns: usize,
    at: usize,
) {
    for (out, a) in out.chunks_exact_mut(columns).zip(a.chunks_exact(depth)) {
        for (column, out) in out.iter_mut().enumerate().skip(at) {
            let sum: f32 = a
                .iter()
                .zip(b[column..].iter().step_by(columns))
                .map(|(a, b)| a * b)
                .sum();
            *out = if ADD { *out + sum } else { sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| ((i * 2_654_435 + seed * 97) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

    fn naive(a: &[f32], b: &[f32], depth: usize, columns: usize) -> Vec<f64> {
        let dot = |row: &[f32], column: usize| -> f64 {
            (0..depth)
                .map(|k| f64::from(row[k]) * f64::from(b[k * columns + column]))
                .sum()
        };
        a.chunks(depth)
            .flat_map(|row| (0..columns).map(move |column| dot(row, column)))
            .collect()
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 2e-5,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn small_products_are_those_of_a_loop() {
        for (rows, depth, columns) in [(1, 1, 1), (3, 7, 20), (4, 64, 256), (9, 33, 47), (8, 5, 16)]
        {
            let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
            let expected = naive(&a, &b, depth, columns);
            let mut out = vec![9.0; rows * columns];
            small_product::<false>(&mut out, &a, &b, depth, columns);
            assert_close(&out, &expected);
            small_product::<true>(&mut out, &a, &b, depth, columns);
            assert_close(&out, &expected.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_large_product_is_that_of_a_loop() {
        let (rows, depth, columns) = (301, 260, 431);
        let (a, b) = (values(rows * depth, 3), values(depth * columns, 4));
        let mut out = vec![0.0; rows * columns];
        product(
            matrix_mut(&mut out, rows, columns),
            Accum::Replace,
            matrix(&a, rows, depth),
            matrix(&b, depth, columns),
        );
        let expected = naive(&a, &b, depth, columns);
        for (found, expected) in out.iter().zip(&expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-3,
                "{found} {expected}"
            );
        }
    }
}
