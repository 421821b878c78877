//! The figures of CMU-MOSI and CMU-MOSEI.

use super::Figure;
use super::parts::{Binary, Pair, accuracy, binary, mae, pearson};

/// Names and formulas, in the order in which tables show them.
pub(super) const FIGURES: &[Figure] = &[
    ("mae", mae),
    ("corr", pearson),
    ("acc7", |pairs| rounded_accuracy(pairs, 3.0)),
    ("acc5", |pairs| rounded_accuracy(pairs, 2.0)),
    ("acc3", |pairs| rounded_accuracy(pairs, 1.0)),
    ("acc2_has0", |pairs| has_zero(pairs).accuracy),
    ("f1_has0", |pairs| has_zero(pairs).weighted_f1),
    ("acc2_non0", |pairs| non_zero(pairs).accuracy),
    ("f1_non0", |pairs| non_zero(pairs).weighted_f1),
];

/// Share of rows whose two values agree after clamping to +-`limit` and rounding half to even, as NumPy rounds.
fn rounded_accuracy(pairs: &[Pair], limit: f64) -> f64 {
    accuracy(pairs, |v| v.clamp(-limit, limit).round_ties_even())
}

/// Negative against non-negative, all rows.
fn has_zero(pairs: &[Pair]) -> Binary {
    binary(pairs.iter().map(|&(p, t)| (p >= 0.0, t >= 0.0)))
}

/// Negative against positive, rows whose label is not 0.
fn non_zero(pairs: &[Pair]) -> Binary {
    let rows = pairs.iter().filter(|&&(_, t)| t != 0.0);
    binary(rows.map(|&(p, t)| (p > 0.0, t > 0.0)))
}

#[cfg(test)]
mod tests {
    use crate::figures::{FigureSet, Figures};

    fn figures(predictions: &[f32], truth: &[f32]) -> impl Fn(&str) -> f64 {
        let figures = Figures::of(FigureSet::Mosi, predictions, truth);
        move |name| figures.get(name).unwrap()
    }

    #[test]
    fn ties_round_to_even_after_clamping() {
        let ties = figures(&[0.5, 1.5, 2.5, -2.5], &[0.0, 2.0, 2.0, -2.0]);
        assert_eq!(ties("acc7"), 1.0);
        let clamped = figures(&[9.0, -9.0], &[3.0, -3.0]);
        assert_eq!(["acc7", "acc5", "acc3"].map(clamped), [1.0; 3]);
    }

    #[test]
    fn zero_labels_count_as_non_negative_or_not_at_all() {
        let figures = figures(&[-0.1, 0.0, 1.0], &[0.0, -1.0, 1.0]);
        assert!((figures("acc2_has0") - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(figures("acc2_non0"), 1.0);
    }
}
