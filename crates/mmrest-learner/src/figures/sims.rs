//! The figures of CH-SIMS, as MMSA computes them: of both sides clamped to [-1, 1], in upper-closed classes.

use super::Figure;
use super::parts::{Binary, Pair, accuracy, binary, mae, pearson};

/// Names and formulas, in the order in which tables show them; of clamped pairs.
pub(super) const FIGURES: &[Figure] = &[
    ("mae", mae),
    ("corr", pearson),
    ("acc5", |pairs| cut_accuracy(pairs, &[-0.7, -0.1, 0.1, 0.7])),
    ("acc3", |pairs| cut_accuracy(pairs, &[-0.1, 0.1])),
    ("acc2", |pairs| positive(pairs).accuracy),
    ("f1", |pairs| positive(pairs).weighted_f1),
];

/// Both sides within the scale.
pub(super) fn clamped(pairs: &[Pair]) -> Vec<Pair> {
    let clamp = |v: f64| v.clamp(-1.0, 1.0);
    pairs.iter().map(|&(p, t)| (clamp(p), clamp(t))).collect()
}

/// Share of rows whose two values lie in one of the intervals `(a, b]` between the cuts. Cuts are single-precision
/// numbers, as the values are: a label of 0.1 lies on the cut at 0.1.
fn cut_accuracy(pairs: &[Pair], cuts: &[f32]) -> f64 {
    let above = |v: f64| cuts.iter().filter(|&&cut| v > f64::from(cut)).count();
    accuracy(pairs, above)
}

/// Negative or neutral against positive, all rows.
fn positive(pairs: &[Pair]) -> Binary {
    binary(pairs.iter().map(|&(p, t)| (p > 0.0, t > 0.0)))
}
