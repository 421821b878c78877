//! The figures of the field, as the publications on a data set compute them (docs/src/method.md, "Metrics").

mod mosi;
mod parts;
mod sims;

use mmrest_models::Prediction;
use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use parts::Pair;

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
            Self::Mosi => mosi::FIGURES,
            Self::Sims => sims::FIGURES,
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
            FigureSet::Sims => sims::clamped(&pairs),
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
}
