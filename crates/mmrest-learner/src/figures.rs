//! The figures of the field, as the publications on a data set compute them (docs/src/method.md, "Evaluation metrics").

use mmrest_models::Prediction;
use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A figure: its name, and its formula over predicted and true sentiments.
type Figure = (&'static str, fn(&[Pair]) -> f64);

/// Which figures are computed: the convention of a data set's publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureSet {
    /// CMU-MOSI and CMU-MOSEI: `mae`, `corr`, `acc7`, `acc5`, `acc3`, `acc2_has0`, `f1_has0`, `acc2_non0`, `f1_non0`.
    #[default]
    Mosi,
    /// CH-SIMS: `mae`, `corr`, `acc5`, `acc3`, `acc2`, `f1`, of values clamped to [-1, 1].
    Sims,
}

impl FigureSet {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Mosi, Self::Sims];

    /// The figures' names, in the order in which tables show them.
    pub fn names(self) -> impl ExactSizeIterator<Item = &'static str> {
        self.figures().iter().map(|&(name, _)| name)
    }

    fn figures(self) -> &'static [Figure] {
        match self {
            Self::Mosi => MOSI,
            Self::Sims => SIMS,
        }
    }

    /// The accuracy of the most classes.
    fn finest(self) -> &'static str {
        match self {
            Self::Mosi => "acc7",
            Self::Sims => "acc5",
        }
    }
}

/// The figures of a split, by name. Accuracies and F1 are fractions in [0, 1]; an undefined one (no rows, no variance) is
/// NaN, and null in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    set: FigureSet,
    /// In the order of the set's names.
    values: Vec<f64>,
}

impl Figures {
    /// Computes a set's figures of `predictions` against `truth`, both in units of sentiment and of one length.
    ///
    /// ```
    /// use mmrest_learner::{FigureSet, Figures};
    ///
    /// let figures = Figures::of(FigureSet::Mosi, &[1.0, -2.0, 0.5], &[1.5, -2.0, -0.5]);
    /// assert!((figures.mae() - 0.5).abs() < 1e-12);
    /// assert_eq!(figures.get("acc2_non0"), Some(2.0 / 3.0));
    ///
    /// let figures = Figures::of(FigureSet::Sims, &[0.3, -0.1, 2.0], &[0.1, 0.0, 1.0]);
    /// assert_eq!(figures.get("acc5"), Some(1.0 / 3.0));
    /// assert_eq!(figures.get("f1"), Some(1.0));
    /// ```
    pub fn of(set: FigureSet, predictions: &[f32], truth: &[f32]) -> Self {
        debug_assert_eq!(predictions.len(), truth.len());
        let single = predictions.iter().zip(truth);
        let pairs: Vec<Pair> = single
            .map(|(&p, &t)| (f64::from(p), f64::from(t)))
            .collect();
        let pairs = match set {
            FigureSet::Mosi => pairs,
            FigureSet::Sims => clamped(&pairs),
        };
        let figures = set.figures().iter();
        Self {
            set,
            values: figures.map(|(_, formula)| formula(&pairs)).collect(),
        }
    }

    /// The set they are of.
    pub fn set(&self) -> FigureSet {
        self.set
    }

    /// Names and values, in the order in which tables show them.
    pub fn named(&self) -> impl ExactSizeIterator<Item = (&'static str, f64)> {
        self.set.names().zip(self.values.iter().copied())
    }

    /// The value of a name; none for a name that the set does not have.
    pub fn get(&self, name: &str) -> Option<f64> {
        let found = self.named().find(|&(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Mean absolute error, in units of sentiment.
    pub fn mae(&self) -> f64 {
        self.get("mae").unwrap_or(f64::NAN)
    }

    /// Pearson correlation.
    pub fn corr(&self) -> f64 {
        self.get("corr").unwrap_or(f64::NAN)
    }

    /// Name and value of the accuracy of the most classes.
    pub fn finest(&self) -> (&'static str, f64) {
        let name = self.set.finest();
        (name, self.get(name).unwrap_or(f64::NAN))
    }
}

/// A JSON object of names. JSON has no NaN: an undefined figure is written as null.
impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        to.collect_map(self.named().map(|(name, value)| (name, finite(value))))
    }
}

/// Which set it is follows from the names.
impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let found = BTreeMap::<String, Option<f64>>::deserialize(from)?;
        let is_of = |set: &FigureSet| {
            set.names().len() == found.len() && set.names().all(|name| found.contains_key(name))
        };
        let Some(set) = FigureSet::ALL.into_iter().find(is_of) else {
            let names: Vec<&str> = found.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return Err(D::Error::custom(format!(
                "{names}: not the names of a known set of figures"
            )));
        };
        let value = |name| found.get(name).copied().flatten().unwrap_or(f64::NAN);
        Ok(Self {
            set,
            values: set.names().map(value).collect(),
        })
    }
}

/// A set's figures of predictions against the labels of their split.
pub fn figures(set: FigureSet, predictions: &[Prediction], labels: &[f32]) -> Figures {
    let values: Vec<f32> = predictions.iter().map(|p| p.prediction).collect();
    let truth: Vec<f32> = predictions.iter().map(|p| labels[p.row]).collect();
    Figures::of(set, &values, &truth)
}

/// The figures of CMU-MOSI and CMU-MOSEI: names and formulas, in the order in which tables show them.
const MOSI: &[Figure] = &[
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

/// The figures of CH-SIMS, as MMSA computes them of both sides clamped to [-1, 1], in upper-closed classes.
const SIMS: &[Figure] = &[
    ("mae", mae),
    ("corr", pearson),
    ("acc5", |pairs| cut_accuracy(pairs, &[-0.7, -0.1, 0.1, 0.7])),
    ("acc3", |pairs| cut_accuracy(pairs, &[-0.1, 0.1])),
    ("acc2", |pairs| positive(pairs).accuracy),
    ("f1", |pairs| positive(pairs).weighted_f1),
];

/// Both sides within the scale.
fn clamped(pairs: &[Pair]) -> Vec<Pair> {
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

/// A predicted and a true sentiment.
type Pair = (f64, f64);

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Mean absolute error.
fn mae(pairs: &[Pair]) -> f64 {
    mean(pairs.iter().map(|(p, t)| (p - t).abs()))
}

/// Pearson's r; NaN where either side does not vary.
fn pearson(pairs: &[Pair]) -> f64 {
    let mean_p = mean(pairs.iter().map(|x| x.0));
    let mean_t = mean(pairs.iter().map(|x| x.1));
    let (mut cov, mut var_p, mut var_t) = (0.0, 0.0, 0.0);
    for &(p, t) in pairs {
        cov += (p - mean_p) * (t - mean_t);
        var_p += (p - mean_p).powi(2);
        var_t += (t - mean_t).powi(2);
    }
    if var_p > 0.0 && var_t > 0.0 {
        (cov / (var_p.sqrt() * var_t.sqrt())).clamp(-1.0, 1.0)
    } else {
        f64::NAN
    }
}

/// Share of rows whose two values are of one class.
fn accuracy<C: PartialEq>(pairs: &[Pair], class: impl Fn(f64) -> C) -> f64 {
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
        if predicted + support > 0.0 {
            2.0 * hits / (predicted + support) * support
        } else {
            0.0
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
    fn undefined_figures_are_nan_in_memory_and_null_in_json() {
        let figures = Figures::of(FigureSet::Mosi, &[1.0, 1.0], &[0.0, 0.0]);
        assert!(figures.corr().is_nan() && figures.get("acc2_non0").unwrap().is_nan());
        let json = serde_json::to_string(&figures).unwrap();
        assert_eq!(
            json,
            r#"{"mae":1.0,"corr":null,"acc7":0.0,"acc5":0.0,"acc3":0.0,"acc2_has0":1.0,"f1_has0":1.0,"acc2_non0":null,"f1_non0":null}"#
        );
        let back: Figures = serde_json::from_str(&json).unwrap();
        assert!(back.corr().is_nan());
        assert_eq!(back.mae(), 1.0);
    }

    #[test]
    fn json_of_every_set_is_read_back_as_that_set() {
        for set in FigureSet::ALL {
            let figures = Figures::of(set, &[1.0, -0.5, 0.4], &[0.8, 0.2, 0.4]);
            assert!(figures.finest().1.is_finite(), "{set:?}");
            assert!(figures.mae().is_finite() && figures.corr().is_finite());
            let json = serde_json::to_string(&figures).unwrap();
            let back: Figures = serde_json::from_str(&json).unwrap();
            assert_eq!(back, figures);
        }
        let error = serde_json::from_str::<Figures>(r#"{"mae": 1.0, "acc9": 0.5}"#).unwrap_err();
        assert!(error.to_string().contains("acc9, mae"), "{error}");
    }

    #[test]
    fn a_set_without_rows_has_every_name() {
        for set in FigureSet::ALL {
            let figures = Figures::of(set, &[], &[]);
            assert!(figures.named().all(|(_, value)| value.is_nan()));
            assert!(figures.named().map(|(name, _)| name).eq(set.names()));
        }
    }

    fn mosi(predictions: &[f32], truth: &[f32]) -> impl Fn(&str) -> f64 {
        let figures = Figures::of(FigureSet::Mosi, predictions, truth);
        move |name| figures.get(name).unwrap()
    }

    #[test]
    fn ties_round_to_even_after_clamping() {
        let ties = mosi(&[0.5, 1.5, 2.5, -2.5], &[0.0, 2.0, 2.0, -2.0]);
        assert_eq!(ties("acc7"), 1.0);
        let clamped = mosi(&[9.0, -9.0], &[3.0, -3.0]);
        assert_eq!(["acc7", "acc5", "acc3"].map(clamped), [1.0; 3]);
    }

    #[test]
    fn zero_labels_count_as_non_negative_or_not_at_all() {
        let figures = mosi(&[-0.1, 0.0, 1.0], &[0.0, -1.0, 1.0]);
        assert!((figures("acc2_has0") - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(figures("acc2_non0"), 1.0);
    }
}
