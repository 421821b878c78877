//! Reads what a report shows: the files of a run's folder, and the segments' texts where the data are available.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mmrest_learner::TensorFile;
use mmrest_metric::SentimentBins;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The classes of the sentiment scale.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scale {
    /// The least and the greatest label.
    pub(crate) range: (f64, f64),
    /// The class of each bin.
    pub(crate) labels: Vec<i32>,
    pub(crate) bins: SentimentBins,
}

impl Scale {
    /// The index of a value's class. On the scale of seven classes from -3 to 3 that is the class of Acc-7 (rounded, half to
    /// even); on any other scale it is the bin.
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

/// A run, as read from its folder.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    /// A short name: the folder's last two parts.
    pub(crate) name: String,
    /// `metrics.json`.
    pub(crate) metrics: Value,
    /// `run.json`.
    pub(crate) record: Value,
    /// `config.toml`, flattened: `model.mmrest.loss.margin` and so on.
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) scale: Scale,
    pub(crate) epochs: Epochs,
    /// The predictions of one split.
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) split: String,
    /// The class of each cluster, from 0.
    pub(crate) clusters: Vec<i32>,
    pub(crate) geometry: Option<Geometry>,
    /// Texts by segment, where the data are available.
    pub(crate) texts: BTreeMap<String, String>,
}

impl Run {
    /// Reads a finished run, with predictions and geometry of one split.
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
            metrics: read_json(&folder.join("metrics.json"))?,
            record: read_json(&folder.join("run.json"))?,
            epochs: Epochs::read(&folder.join("epochs.csv"))?,
            predictions: read_predictions(&folder.join("predictions.csv"), split)?,
            geometry: Geometry::read(&folder.join("geometry"), split)?,
            split: split.to_owned(),
            clusters,
            config: flat,
            scale,
            folder: folder.to_path_buf(),
            texts: BTreeMap::new(),
        })
    }

    /// Whether the run's model has a shared space: it measured sentiments in it. Runs of before that was measured named no
    /// model.
    pub(crate) fn has_shared_space(&self) -> bool {
        self.metrics.get("overlap").is_some() || !self.config.contains_key("model.name")
    }

    /// A number of `metrics.json`, by its path of keys.
    pub(crate) fn metric(&self, path: &[&str]) -> Option<f64> {
        let found = path
            .iter()
            .try_fold(&self.metrics, |value, key| value.get(key));
        found.and_then(Value::as_f64)
    }

    /// The names of its metrics: errors first, then accuracies from many classes to few.
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

/// The classes of a run's clusters; none where its model has no clusters.
fn clusters(folder: &Path, scale: &Scale) -> Result<Vec<i32>> {
    let model = folder.join("model");
    // Version 0.1.0 kept the clusters in a file of their own.
    let old = model.join("clusters.json");
    let (path, clusters) = if old.exists() {
        let clusters: Value = read_json(&old)?;
        (old, clusters)
    } else {
        let path = model.join("state.json");
        let mut state: Value = read_json(&path)?;
        let clusters = state.get_mut("clusters").map(Value::take);
        (path, clusters.unwrap_or_default())
    };
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

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
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

    /// |score - label|.
    pub(crate) fn error_without_bias(&self) -> f64 {
        (self.score - self.label).abs()
    }
}

/// Whether a finished run has predictions, but none of a split.
pub(crate) fn lacks_split(folder: &Path, split: &str) -> Result<bool> {
    let path = folder.join("predictions.csv");
    Ok(path.exists() && read_predictions(&path, split)?.is_empty())
}

/// The predictions of one split.
fn read_predictions(path: &Path, split: &str) -> Result<Vec<Prediction>> {
    let all: Vec<Prediction> = read_rows(path)?;
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
        let table: Vec<BTreeMap<String, String>> = read_rows(path)?;
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

    /// The pairs (epoch, value) of a column where the value is a number; empty if there is no such column.
    pub(crate) fn curve(&self, name: &str) -> Vec<(f64, f64)> {
        let Some((epochs, values)) = self.columns.get("epoch").zip(self.columns.get(name)) else {
            return Vec::new();
        };
        let pairs = epochs.iter().copied().zip(values.iter().copied());
        pairs.filter(|(_, value)| value.is_finite()).collect()
    }

    /// The names of the columns that `wanted` takes, in the order of the alphabet.
    pub(crate) fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        let names = self.columns.keys().map(String::as_str);
        names.filter(|name| wanted(name)).collect()
    }

    /// The number of epochs.
    pub(crate) fn len(&self) -> usize {
        self.columns.get("epoch").map_or(0, Vec::len)
    }
}

/// Reads all rows of a CSV file with a header line.
pub(crate) fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let wrong = || format!("cannot read {}", path.display());
    let mut reader = csv::Reader::from_path(path).with_context(wrong)?;
    let rows: Result<Vec<T>, csv::Error> = reader.deserialize().collect();
    rows.with_context(wrong)
}

/// The modalities, in the order of a space's rows.
const MODALITIES: [&str; 3] = ["text", "vision", "audio"];

/// The saved shared space of a run, of one split.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Before training; absent in runs of versions that did not save it.
    pub(crate) before: Option<Space>,
    /// Of the selected model.
    pub(crate) selected: Space,
    pub(crate) spectra: Vec<Spectrum>,
}

/// Rows of the shared space, with the clusters and metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    pub(crate) dim: usize,
    /// `[rows, dim]`: all rows of a modality, then of the next.
    pub(crate) rows: Vec<f32>,
    /// The sentiment bin of each row.
    pub(crate) bins: Vec<usize>,
    /// The modality of each row: 0 text, 1 vision, 2 audio.
    pub(crate) modality: Vec<usize>,
    /// `[clusters, dim]`; none without clusters.
    pub(crate) centers: Vec<f32>,
    /// The sentiment bin of each centre.
    pub(crate) center_bins: Vec<usize>,
    /// `M_0` and the ridge; none without metrics.
    pub(crate) global: Vec<f64>,
    /// `M_i` of each cluster, `[clusters, dim, dim]`; none without metrics or clusters.
    pub(crate) own: Vec<f64>,
}

#[derive(Deserialize)]
struct Segment {
    split: String,
    bin: usize,
}

impl Geometry {
    /// Reads the folder; `None` if the run did not save any.
    pub(super) fn read(folder: &Path, split: &str) -> Result<Option<Self>> {
        let selected = folder.join("selected.safetensors");
        if !selected.exists() {
            return Ok(None);
        }
        let segments: Vec<Segment> = read_rows(&folder.join("segments.csv"))?;
        let of_split = segments.iter().filter(|segment| segment.split == split);
        let bins: Vec<usize> = of_split.map(|segment| segment.bin).collect();
        let before = folder.join("before.safetensors");
        let spectra = folder.join("spectra.csv");
        Ok(Some(Self {
            before: before
                .exists()
                .then(|| Space::read(&before, split, &bins))
                .transpose()?,
            selected: Space::read(&selected, split, &bins)?,
            spectra: if spectra.exists() {
                read_rows(&spectra)?
            } else {
                Vec::new()
            },
        }))
    }
}

impl Space {
    fn read(path: &Path, split: &str, bins: &[usize]) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let mut space = Self::default();
        for (modality, name) in MODALITIES.iter().enumerate() {
            let Some((shape, values)) = file.floats(&format!("{split}.{name}")) else {
                continue;
            };
            if shape.first() != Some(&bins.len()) {
                bail!(
                    "{}: has other segments than segments.csv beside it",
                    path.display()
                );
            }
            space.dim = shape.get(1).copied().unwrap_or(1).max(1);
            space.rows.extend(values);
            space.bins.extend(bins);
            space.modality.extend(vec![modality; bins.len()]);
        }
        let numbers = |name: &str| file.floats(name).map_or(Vec::new(), |(_, values)| values);
        space.centers = numbers("centers");
        space.center_bins = numbers("cluster_bins")
            .iter()
            .map(|&bin| bin as usize)
            .collect();
        let wide = |name: &str| numbers(name).into_iter().map(f64::from).collect();
        space.global = wide("global");
        if !space.centers.is_empty() {
            space.own = wide("metrics");
        }
        Ok(space)
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.bins.len()
    }

    /// The space with only some segments, given by their index within a modality.
    pub(crate) fn choose(&self, segments: &[usize], of: usize) -> Self {
        let modalities = self.len().checked_div(of).unwrap_or(0);
        let rows = (0..modalities).flat_map(|m| segments.iter().map(move |s| m * of + s));
        let rows: Vec<usize> = rows.filter(|&row| row < self.len()).collect();
        let row = |&row: &usize| &self.rows[row * self.dim..][..self.dim];
        Self {
            rows: rows.iter().flat_map(row).copied().collect(),
            bins: rows.iter().map(|&row| self.bins[row]).collect(),
            modality: rows.iter().map(|&row| self.modality[row]).collect(),
            ..self.clone()
        }
    }

    /// The number of segments.
    pub(crate) fn segments(&self) -> usize {
        let first = self.modality.first();
        self.modality.iter().filter(|m| Some(*m) == first).count()
    }
}
