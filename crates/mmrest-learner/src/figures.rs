//! The figures of the field: MAE, Pearson r, Acc-7/5/3, Acc-2 and weighted F1 in both conventions (docs/src/method.md, "Metrics").

use serde::{Deserialize, Serialize};

/// The nine figures of a split. Accuracies and F1 are fractions in [0, 1]; an undefined one (no rows, no variance) is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Mean absolute error, in units of sentiment.
    #[serde(with = "nan_as_null")]
    pub mae: f64,
    /// Pearson correlation.
    #[serde(with = "nan_as_null")]
    pub corr: f64,
    /// Share of equal classes after clamping to +-3 and rounding half to even.
    #[serde(with = "nan_as_null")]
    pub acc7: f64,
    /// The same after clamping to +-2.
    #[serde(with = "nan_as_null")]
    pub acc5: f64,
    /// The same after clamping to +-1.
    #[serde(with = "nan_as_null")]
    pub acc3: f64,
    /// Negative / non-negative accuracy over all rows.
    #[serde(with = "nan_as_null")]
    pub acc2_has0: f64,
    /// Weighted F1 of negative / non-negative over all rows.
    #[serde(with = "nan_as_null")]
    pub f1_has0: f64,
    /// Negative / positive accuracy over rows whose label is not 0.
    #[serde(with = "nan_as_null")]
    pub acc2_non0: f64,
    /// Weighted F1 of negative / positive over rows whose label is not 0.
    #[serde(with = "nan_as_null")]
    pub f1_non0: f64,
}

impl Figures {
    /// The figures' names and values, in the order in which tables show them.
    pub fn named(&self) -> [(&'static str, f64); 9] {
        [
            ("mae", self.mae),
            ("corr", self.corr),
            ("acc7", self.acc7),
            ("acc5", self.acc5),
            ("acc3", self.acc3),
            ("acc2_has0", self.acc2_has0),
            ("f1_has0", self.f1_has0),
            ("acc2_non0", self.acc2_non0),
            ("f1_non0", self.f1_non0),
        ]
    }

    /// Computes all nine figures of `predictions` against `truth`, both in units of sentiment and of one length.
    ///
    /// ```
    /// let figures = mmrest_learner::Figures::of(&[1.0, -2.0, 0.5], &[1.5, -2.0, -0.5]);
    /// assert!((figures.mae - 0.5).abs() < 1e-12);
    /// assert!((figures.acc2_non0 - 2.0 / 3.0).abs() < 1e-12);
    /// ```
    pub fn of(predictions: &[f32], truth: &[f32]) -> Self {
        debug_assert_eq!(predictions.len(), truth.len());
        let pairs: Vec<(f64, f64)> = predictions
            .iter()
            .zip(truth)
            .map(|(&p, &t)| (f64::from(p), f64::from(t)))
            .collect();
        let all = binary(pairs.iter().map(|&(p, t)| (p >= 0.0, t >= 0.0)));
        let non_zero = binary(
            pairs
                .iter()
                .filter(|&&(_, t)| t != 0.0)
                .map(|&(p, t)| (p > 0.0, t > 0.0)),
        );
        Self {
            mae: mean(pairs.iter().map(|(p, t)| (p - t).abs())),
            corr: pearson(&pairs),
            acc7: rounded_accuracy(&pairs, 3.0),
            acc5: rounded_accuracy(&pairs, 2.0),
            acc3: rounded_accuracy(&pairs, 1.0),
            acc2_has0: all.accuracy,
            f1_has0: all.weighted_f1,
            acc2_non0: non_zero.accuracy,
            f1_non0: non_zero.weighted_f1,
        }
    }
}

/// JSON has no NaN: an undefined figure is written as null.
mod nan_as_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Pearson's r; NaN where either side does not vary.
fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let mean_p = mean(pairs.iter().map(|x| x.0));
    let mean_t = mean(pairs.iter().map(|x| x.1));
    let (mut cov, mut var_p, mut var_t) = (0.0, 0.0, 0.0);
    for &(p, t) in pairs {
        cov += (p - mean_p) * (t - mean_t);
        var_p += (p - mean_p).powi(2);
        var_t += (t - mean_t).powi(2);
    }
    match var_p > 0.0 && var_t > 0.0 {
        true => (cov / (var_p.sqrt() * var_t.sqrt())).clamp(-1.0, 1.0),
        false => f64::NAN,
    }
}

/// Share of rows whose two values agree after clamping to +-`limit` and rounding half to even, as NumPy rounds.
fn rounded_accuracy(pairs: &[(f64, f64)], limit: f64) -> f64 {
    let class = |v: f64| v.clamp(-limit, limit).round_ties_even();
    mean(pairs.iter().map(|&(p, t)| f64::from(class(p) == class(t))))
}

/// Accuracy and weighted F1 of a two-class problem.
struct Binary {
    accuracy: f64,
    weighted_f1: f64,
}

/// Counts `(predicted, true)` pairs. F1 of each class is weighted by its share of the truth, as scikit-learn's `weighted`.
fn binary(pairs: impl Iterator<Item = (bool, bool)>) -> Binary {
    let mut count = [[0_u64; 2]; 2];
    for (predicted, truth) in pairs {
        count[usize::from(predicted)][usize::from(truth)] += 1;
    }
    let total = count.iter().flatten().sum::<u64>() as f64;
    let f1_times_support = |class: usize| {
        let hits = count[class][class] as f64;
        let predicted = count[class].iter().sum::<u64>() as f64;
        let support = (count[0][class] + count[1][class]) as f64;
        match predicted + support > 0.0 {
            true => 2.0 * hits / (predicted + support) * support,
            false => 0.0,
        }
    };
    Binary {
        accuracy: (count[0][0] + count[1][1]) as f64 / total,
        weighted_f1: (f1_times_support(0) + f1_times_support(1)) / total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_round_to_even_after_clamping() {
        let figures = Figures::of(&[0.5, 1.5, 2.5, -2.5], &[0.0, 2.0, 2.0, -2.0]);
        assert_eq!(figures.acc7, 1.0);
        let clamped = Figures::of(&[9.0, -9.0], &[3.0, -3.0]);
        assert_eq!((clamped.acc7, clamped.acc5, clamped.acc3), (1.0, 1.0, 1.0));
    }

    #[test]
    fn zero_labels_count_as_non_negative_or_not_at_all() {
        let figures = Figures::of(&[-0.1, 0.0, 1.0], &[0.0, -1.0, 1.0]);
        assert!((figures.acc2_has0 - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(figures.acc2_non0, 1.0);
    }

    #[test]
    fn undefined_figures_are_nan_in_memory_and_null_in_json() {
        let figures = Figures::of(&[1.0, 1.0], &[0.0, 0.0]);
        assert!(figures.corr.is_nan() && figures.acc2_non0.is_nan());
        let json = serde_json::to_string(&figures).unwrap();
        assert!(json.contains("\"corr\":null"), "{json}");
        let back: Figures = serde_json::from_str(&json).unwrap();
        assert!(back.corr.is_nan());
        assert_eq!(back.mae, 1.0);
    }
}
