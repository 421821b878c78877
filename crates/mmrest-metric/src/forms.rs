//! Quadratic forms of many rows: `d = x M x^T`, and its gradients by `x` and `M`.
//!
//! A form sees only the symmetric part of its matrix. With `S = M + M^T`, of which nothing is assumed but that `M` is
//! square, and `v = x S`:
//!
//! ```text
//! d = v x^T / 2      dd/dx = v      dd/dM = x^T x
//! ```
//!
//! so that one product gives the value and the gradient.
//!
//! [`distances`](crate::distances()) and `L_MMC` are built on these, each as a single operation on the CPU: their matrices
//! are small, and burn's bookkeeping and the memory of every intermediate result would cost more than the arithmetic.
//! How work is cut into parts depends on the shapes alone, never on the number of threads, and parts are added up in a
//! fixed order: the numbers are the same on one thread and on many.

use faer::Accum;
use mmrest_kernels::product::{matrix, matrix_mut, product_here};

/// Rows that one thread takes at a time.
pub(crate) const ROWS: usize = 64;

/// `out = a b` of row-major matrices `[rows, depth]` and `[depth, columns]`.
pub(crate) fn product(out: &mut [f32], a: &[f32], b: &[f32], depth: usize, columns: usize) {
    let rows = out.len() / columns;
    product_here(
        matrix_mut(out, rows, columns),
        Accum::Replace,
        1.0,
        matrix(a, rows, depth),
        matrix(b, depth, columns),
    );
}

/// `out += scale a^T b` for rows `a` and `b` of `width` numbers, `out: [width, width]`.
pub(crate) fn add_outer(out: &mut [f32], scale: f32, a: &[f32], b: &[f32], width: usize) {
    let rows = a.len() / width;
    if rows == 0 {
        return;
    }
    product_here(
        matrix_mut(out, width, width),
        Accum::Add,
        scale,
        matrix(a, rows, width).transpose(),
        matrix(b, rows, width),
    );
}

/// `M + M^T`.
pub(crate) fn doubled(out: &mut [f32], matrix: &[f32], dim: usize) {
    for (row, out) in out.chunks_exact_mut(dim).enumerate() {
        let across = matrix[row * dim..(row + 1) * dim].iter();
        let down = matrix[row..].iter().step_by(dim);
        for (out, (across, down)) in out.iter_mut().zip(across.zip(down)) {
            *out = across + down;
        }
    }
}

/// `p - c` of every row.
pub(crate) fn subtract(out: &mut [f32], rows: &[f32], center: &[f32]) {
    let rows = rows.chunks_exact(center.len());
    for (out, row) in out.chunks_exact_mut(center.len()).zip(rows) {
        for (out, (row, center)) in out.iter_mut().zip(row.iter().zip(center)) {
            *out = row - center;
        }
    }
}

/// `<a, b>`, summed in eight lanes.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `out += scale x`.
pub(crate) fn add_scaled(out: &mut [f32], scale: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += scale * x;
    }
}

/// Slopes and distances of rows from one centre: `slopes = (p - c) S`, `[rows, dim]`, and half of `(p - c) slopes^T`.
pub(crate) fn measure<'a>(
    rows: &[f32],
    center: &[f32],
    doubled: &[f32],
    differences: &'a mut [f32],
    slopes: &'a mut [f32],
) -> impl Iterator<Item = f32> + 'a {
    let dim = center.len();
    subtract(differences, rows, center);
    product(slopes, differences, doubled, dim, dim);
    let pairs = differences.chunks_exact(dim).zip(slopes.chunks_exact(dim));
    pairs.map(|(difference, slope)| 0.5 * dot(difference, slope))
}

/// `out += sum_n weights[n] (p_n - c)^T (p_n - c)`, over the rows whose weight is not 0.
pub(crate) fn add_weighted_outer(
    out: &mut [f32],
    rows: &[f32],
    center: &[f32],
    weights: impl Iterator<Item = f32>,
) {
    let dim = center.len();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (row, weight) in rows.chunks_exact(dim).zip(weights) {
        if weight != 0.0 {
            let difference = row.iter().zip(center).map(|(row, center)| row - center);
            left.extend(difference.clone().map(|value| weight * value));
            right.extend(difference);
        }
    }
    add_outer(out, 1.0, &left, &right, dim);
}
