//! The tables of a run's folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A line of `predictions.csv`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) id: String,
    pub(crate) split: String,
    pub(crate) label: f64,
    pub(crate) prediction: f64,
    pub(crate) score: f64,
    pub(crate) bias: f64,
    pub(crate) cluster: Option<usize>,
    pub(crate) second_cluster: Option<usize>,
}

impl Prediction {
    /// |prediction - label|.
    pub(crate) fn error(&self) -> f64 {
        (self.prediction - self.label).abs()
    }

    /// The same of the score alone.
    pub(crate) fn error_without_bias(&self) -> f64 {
        (self.score - self.label).abs()
    }
}

/// The predictions of one split.
pub(super) fn predictions(path: &Path, split: &str) -> Result<Vec<Prediction>> {
    let all: Vec<Prediction> = rows(path)?;
    Ok(all.into_iter().filter(|p| p.split == split).collect())
}

/// A line of `spectra.csv`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Spectrum {
    pub(crate) epoch: usize,
    pub(crate) metric: String,
    pub(crate) eigenvalue: f64,
}

/// `epochs.csv`, column by column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs {
    columns: BTreeMap<String, Vec<f64>>,
}

impl Epochs {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let table: Vec<BTreeMap<String, String>> = rows(path)?;
        let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for row in table {
            for (name, value) in row {
                let value = match value.as_str() {
                    "true" => 1.0,
                    "false" => 0.0,
                    value => value.parse().unwrap_or(f64::NAN),
                };
                columns.entry(name).or_default().push(value);
            }
        }
        Ok(Self { columns })
    }

    /// (epoch, value) wherever the value is a number; nothing for a column that is not there.
    pub(crate) fn curve(&self, name: &str) -> Vec<(f64, f64)> {
        let Some((epochs, values)) = self.columns.get("epoch").zip(self.columns.get(name)) else {
            return Vec::new();
        };
        let pairs = epochs.iter().copied().zip(values.iter().copied());
        pairs.filter(|(_, value)| value.is_finite()).collect()
    }

    /// How many epochs there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.get("epoch").map_or(0, Vec::len)
    }
}

/// All rows of a CSV file with a heading line.
pub(super) fn rows<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let wrong = || format!("cannot read {}", path.display());
    let mut reader = csv::Reader::from_path(path).with_context(wrong)?;
    let rows: Result<Vec<T>, csv::Error> = reader.deserialize().collect();
    rows.with_context(wrong)
}
