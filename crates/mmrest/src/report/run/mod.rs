//! What a report is made from: the files of a run's folder, and where the data are at hand the segments' texts.

mod geometry;
mod tables;

pub(crate) use geometry::{Geometry, Space};
pub(crate) use tables::{Epochs, Prediction, Spectrum};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mmrest_metric::SentimentBins;
use serde_json::Value;

/// The classes of the sentiment scale.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Least and greatest label.
    pub(crate) range: (f64, f64),
    /// The class of each bin.
    pub(crate) labels: Vec<i32>,
    pub(crate) bins: SentimentBins,
}

impl Scale {
    /// The place of a value's class. On the scale of the seven classes from -3 to 3 that is the one of Acc-7: rounded, halves
    /// to even; on any other its bin.
    pub(crate) fn class(&self, value: f64) -> usize {
        let (low, high) = self.range;
        let value = value.clamp(low, high);
        if self.labels[..] == [-3, -2, -1, 0, 1, 2, 3] && (low, high) == (-3.0, 3.0) {
            (value.round_ties_even() + 3.0) as usize
        } else {
            self.bins.bin(value as f32)
        }
    }
}

/// A run as its folder has it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    /// A short name: the folder's last two parts.
    pub(crate) name: String,
    /// `metrics.json`.
    pub(crate) metrics: Value,
    /// `run.json`.
    pub(crate) record: Value,
    /// `config.toml`, flattened: `loss.margin` and so on.
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) scale: Scale,
    pub(crate) epochs: Epochs,
    /// Of one split.
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) split: String,
    /// The class of each cluster, from 0.
    pub(crate) clusters: Vec<i32>,
    pub(crate) geometry: Option<Geometry>,
    /// Texts by segment, where the data are there.
    pub(crate) texts: BTreeMap<String, String>,
}

impl Run {
    /// Reads a finished run; its predictions and geometry of one split.
    ///
    /// # Errors
    ///
    /// The folder holds no finished run, or a file of it is damaged.
    pub(crate) fn read(folder: &Path, split: &str, scale: Scale) -> Result<Self> {
        if !folder.join("metrics.json").exists() {
            bail!(
                "{}: is not a finished run's folder (no metrics.json): give a folder that 'train' has finished",
                folder.display()
            );
        }
        let config = read(&folder.join("config.toml"))?;
        let config: toml::Table = config
            .parse()
            .with_context(|| format!("{}: not TOML", folder.join("config.toml").display()))?;
        let mut flat = BTreeMap::new();
        flatten("", &config, &mut flat);
        let clusters = clusters(folder, &scale)?;
        Ok(Self {
            name: short_name(folder),
            metrics: json(&folder.join("metrics.json"))?,
            record: json(&folder.join("run.json"))?,
            epochs: Epochs::read(&folder.join("epochs.csv"))?,
            predictions: tables::predictions(&folder.join("predictions.csv"), split)?,
            geometry: Geometry::read(&folder.join("geometry"), split)?,
            split: split.to_owned(),
            clusters,
            config: flat,
            scale,
            folder: folder.to_path_buf(),
            texts: BTreeMap::new(),
        })
    }

    /// A number of `metrics.json`, by keys from the outside in.
    pub(crate) fn metric(&self, path: &[&str]) -> Option<f64> {
        let found = path
            .iter()
            .try_fold(&self.metrics, |value, key| value.get(key));
        found.and_then(Value::as_f64)
    }

    /// Names of its figures, errors first, then from many classes to few.
    pub(crate) fn figures(&self) -> Vec<String> {
        let figures = self.metrics.get("test").and_then(Value::as_object);
        let mut names: Vec<String> = figures.map_or(Vec::new(), |f| f.keys().cloned().collect());
        let known = ["mae", "corr", "acc7", "acc5", "acc3", "acc2", "f1"];
        let place = |name: &String| known.iter().position(|known| name.starts_with(known));
        names.sort_by_key(|name| (name.ends_with("_non0"), place(name).unwrap_or(known.len())));
        names
    }

    /// Whether a bias was added to any score.
    pub(crate) fn has_bias(&self) -> bool {
        self.predictions.iter().any(|p| p.bias != 0.0)
    }
}

/// The last two parts of a path.
fn short_name(folder: &Path) -> String {
    let whole = folder
        .canonicalize()
        .unwrap_or_else(|_| folder.to_path_buf());
    let parts: Vec<String> = whole
        .components()
        .rev()
        .take(2)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts
        .iter()
        .rev()
        .map(String::as_str)
        .filter(|p| *p != "/")
        .collect();
    parts.join("/")
}

/// The classes of a run's clusters; none where it has no clusters.
fn clusters(folder: &Path, scale: &Scale) -> Result<Vec<i32>> {
    let path = folder.join("model").join("clusters.json");
    let clusters = json(&path)?;
    let Some(bins) = clusters.get("bins").and_then(Value::as_array) else {
        return Ok(Vec::new());
    };
    let class = |bin: &Value| {
        let bin = usize::try_from(bin.as_u64()?).ok()?;
        scale.labels.get(bin).copied()
    };
    let classes: Option<Vec<i32>> = bins.iter().map(class).collect();
    classes.with_context(|| {
        format!(
            "{}: names a bin that the configuration does not have",
            path.display()
        )
    })
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn json(path: &Path) -> Result<Value> {
    serde_json::from_str(&read(path)?).with_context(|| format!("{}: not JSON", path.display()))
}

fn flatten(prefix: &str, table: &toml::Table, flat: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            toml::Value::Table(table) => flatten(&format!("{name}."), table, flat),
            toml::Value::String(text) => {
                flat.insert(name, text.clone());
            }
            value => {
                flat.insert(name, value.to_string());
            }
        }
    }
}
