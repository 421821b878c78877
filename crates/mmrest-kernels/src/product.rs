//! Matrix products over faer: large ones cut into tiles for all threads, ones of the calling thread, and a kernel for the
//! small products of a recurrence that packs nothing.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use faer::traits::pulp::{Arch, Simd, WithSimd};

/// Multiply-adds of a part that one thread does, at least and at most: an eighth of a millisecond, and one.
const PART: (usize, usize) = (1 << 21, 1 << 24);

/// A view of a row-major matrix `[rows, columns]`.
///
/// # Panics
///
/// When there are not `rows * columns` values.
#[must_use]
pub fn matrix(values: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, rows, columns)
}

/// A view of a row-major matrix `[rows, columns]`, to write to.
///
/// # Panics
///
/// When there are not `rows * columns` values.
#[must_use]
pub fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(values, rows, columns)
}

/// `out = a b`, or `out += a b`, on all threads. How the product is cut depends on the shapes alone, so the bits do not
/// depend on the number of threads.
pub fn product(out: MatMut<'_, f32>, accumulate: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    let work = multiply_adds(&out, &a);
    product_by_parts(out, accumulate, a, b, (work / 8).clamp(PART.0, PART.1));
}

/// `out = scale a b`, or `out += scale a b`, on the calling thread: for work that is already cut into parts.
///
/// ```
/// use faer::Accum;
/// use mmrest_kernels::product::{matrix, matrix_mut, product_here};
///
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0]);
/// let mut out = [0.0; 2];
/// product_here(matrix_mut(&mut out, 2, 1), Accum::Replace, 0.5, matrix(&a, 2, 2), matrix(&b, 2, 1));
/// assert_eq!(out, [1.5, 3.5]);
/// ```
pub fn product_here(
    out: MatMut<'_, f32>,
    accumulate: Accum,
    scale: f32,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
) {
    matmul(out, accumulate, a, b, scale, Par::Seq);
}

fn multiply_adds(out: &MatMut<'_, f32>, a: &MatRef<'_, f32>) -> usize {
    let size = out.nrows().saturating_mul(out.ncols());
    size.saturating_mul(a.ncols())
}

/// The product, halved until its parts have at most `part` multiply-adds or would be too narrow.
fn product_by_parts(
    out: MatMut<'_, f32>,
    accumulate: Accum,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    part: usize,
) {
    let (rows, columns) = (out.nrows(), out.ncols());
    if multiply_adds(&out, &a) <= part || rows.max(columns) < 32 {
        matmul(out, accumulate, a, b, 1.0, Par::Seq);
    } else if rows >= columns {
        let half = (rows / 2).next_multiple_of(16);
        let (top, bottom) = out.split_at_row_mut(half);
        let (a_top, a_bottom) = a.split_at_row(half);
        rayon::join(
            || product_by_parts(top, accumulate, a_top, b, part),
            || product_by_parts(bottom, accumulate, a_bottom, b, part),
        );
    } else {
        let half = (columns / 2).next_multiple_of(16);
        let (left, right) = out.split_at_col_mut(half);
        let (b_left, b_right) = b.split_at_col(half);
        rayon::join(
            || product_by_parts(left, accumulate, a, b_left, part),
            || product_by_parts(right, accumulate, a, b_right, part),
        );
    }
}

/// `out[n, columns] (+)= a[n, depth] b[depth, columns]`, row-major, for few rows and a `b` that fits the cache.
pub fn small_product<const ADD: bool>(
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
    depth: usize,
    columns: usize,
) {
    Arch::new().dispatch(Tiles::<ADD> {
        out,
        a,
        b: Columns {
            values: b,
            depth,
            count: columns,
        },
    });
}

/// The product, tile by tile.
struct Tiles<'a, const ADD: bool> {
    out: &'a mut [f32],
    a: &'a [f32],
    b: Columns<'a>,
}

/// `b`, whose columns are those of `out`.
#[derive(Clone, Copy)]
struct Columns<'a> {
    values: &'a [f32],
    depth: usize,
    count: usize,
}

impl<const ADD: bool> WithSimd for Tiles<'_, ADD> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, a, b } = self;
        // A tile is summed in registers. About eight vectors hide the time that additions take; processors whose vectors
        // are long have registers for them and for what is added, others for half as many.
        let most = if S::F32_LANES >= 16 { 8 } else { 4 };
        let rows = out.chunks_mut(most * b.count).zip(a.chunks(most * b.depth));
        for (out, a) in rows {
            match out.len() / b.count {
                8 => rows_of_tiles::<S, ADD, 8, 1>(simd, out, a, b),
                7 => rows_of_tiles::<S, ADD, 7, 1>(simd, out, a, b),
                6 => rows_of_tiles::<S, ADD, 6, 1>(simd, out, a, b),
                5 => rows_of_tiles::<S, ADD, 5, 1>(simd, out, a, b),
                4 => rows_of_tiles::<S, ADD, 4, 2>(simd, out, a, b),
                3 => rows_of_tiles::<S, ADD, 3, 2>(simd, out, a, b),
                2 => rows_of_tiles::<S, ADD, 2, 4>(simd, out, a, b),
                _ => rows_of_tiles::<S, ADD, 1, 4>(simd, out, a, b),
            }
        }
    }
}

/// R rows of the product: V vectors at a time as far as they go, then one, then what is less.
#[inline(always)]
fn rows_of_tiles<S: Simd, const ADD: bool, const R: usize, const V: usize>(
    simd: S,
    out: &mut [f32],
    a: &[f32],
    b: Columns<'_>,
) {
    let wide = b.count - b.count % (V * S::F32_LANES);
    for at in (0..wide).step_by(V * S::F32_LANES) {
        tile::<S, ADD, R, V>(simd, out, a, b, at);
    }
    let whole = b.count - b.count % S::F32_LANES;
    for at in (wide..whole).step_by(S::F32_LANES) {
        tile::<S, ADD, R, 1>(simd, out, a, b, at);
    }
    if whole < b.count {
        rest::<ADD>(out, a, b, whole);
    }
}

/// R rows and V vectors of the product, from column `at` on.
#[inline(always)]
fn tile<S: Simd, const ADD: bool, const R: usize, const V: usize>(
    simd: S,
    out: &mut [f32],
    a: &[f32],
    b: Columns<'_>,
    at: usize,
) {
    let width = V * S::F32_LANES;
    let rows: [&[f32]; R] = std::array::from_fn(|row| &a[row * b.depth..][..b.depth]);
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (step, values) in b.values.chunks_exact(b.count).take(b.depth).enumerate() {
        let (vectors, _) = S::as_simd_f32s(&values[at..][..width]);
        for row in 0..R {
            let factor = simd.splat_f32s(rows[row][step]);
            for vector in 0..V {
                let sum = sums[row][vector];
                sums[row][vector] = simd.mul_add_e_f32s(factor, vectors[vector], sum);
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(b.count).zip(sums) {
        let (out, _) = S::as_mut_simd_f32s(&mut out[at..][..width]);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if ADD { simd.add_f32s(*out, sum) } else { sum };
        }
    }
}

/// The columns from `at` on, too few for a vector.
#[inline(always)]
fn rest<const ADD: bool>(out: &mut [f32], a: &[f32], b: Columns<'_>, at: usize) {
    for (out, a) in out.chunks_exact_mut(b.count).zip(a.chunks_exact(b.depth)) {
        for (column, out) in out.iter_mut().enumerate().skip(at) {
            let column = b.values[column..].iter().step_by(b.count);
            let sum: f32 = a.iter().zip(column).map(|(a, b)| a * b).sum();
            *out = if ADD { *out + sum } else { sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use faer::traits::pulp::Scalar;

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

    /// Whatever vectors this processor has, others may have these.
    fn assert_on<S: Simd>(simd: S, a: &[f32], b: Columns<'_>, expected: &[f64]) {
        let mut out = vec![9.0; expected.len()];
        let tiles = Tiles::<false> {
            out: &mut out,
            a,
            b,
        };
        tiles.with_simd(simd);
        assert_close(&out, expected);
    }

    #[test]
    fn small_products_are_those_of_a_loop() {
        for rows in 1..=9 {
            for (depth, columns) in [(1, 1), (7, 20), (64, 256), (33, 47), (5, 16), (9, 112)] {
                let (a, b) = (values(rows * depth, 1), values(depth * columns, 2));
                let expected = naive(&a, &b, depth, columns);
                let mut out = vec![9.0; rows * columns];
                small_product::<false>(&mut out, &a, &b, depth, columns);
                assert_close(&out, &expected);
                small_product::<true>(&mut out, &a, &b, depth, columns);
                assert_close(&out, &expected.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
                let b = Columns {
                    values: &b,
                    depth,
                    count: columns,
                };
                assert_on(Scalar::new(), &a, b, &expected);
                #[cfg(target_arch = "x86_64")]
                if let Some(avx2) = faer::traits::pulp::x86::V3::try_new() {
                    assert_on(avx2, &a, b, &expected);
                }
            }
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
