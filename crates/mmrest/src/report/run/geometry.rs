//! `geometry/`: the shared space before training and of the selected model, and the metrics' spectra.

use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::tables::{Spectrum, rows};

/// The modalities, in the order of a space's rows.
const MODALITIES: [&str; 3] = ["text", "vision", "audio"];

/// All that is kept of a run's shared space, of one split.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Before training; absent where the run was begun by a version that did not keep it.
    pub(crate) before: Option<Space>,
    /// Of the selected model.
    pub(crate) selected: Space,
    pub(crate) spectra: Vec<Spectrum>,
}

/// Rows of the shared space, and where clusters and metrics are.
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
    /// Reads the folder; `None` where a run has kept none.
    pub(super) fn read(folder: &Path, split: &str) -> Result<Option<Self>> {
        let selected = folder.join("selected.safetensors");
        if !selected.exists() {
            return Ok(None);
        }
        let segments: Vec<Segment> = rows(&folder.join("segments.csv"))?;
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
                rows(&spectra)?
            } else {
                Vec::new()
            },
        }))
    }
}

impl Space {
    fn read(path: &Path, split: &str, bins: &[usize]) -> Result<Self> {
        let wrong = || format!("cannot read {}", path.display());
        let bytes = std::fs::read(path).with_context(wrong)?;
        let file = SafeTensors::deserialize(&bytes).with_context(wrong)?;
        let mut space = Self::default();
        for (modality, name) in MODALITIES.iter().enumerate() {
            let Some((shape, values)) = floats(&file, &format!("{split}.{name}")) else {
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
        let numbers = |name: &str| floats(&file, name).map_or(Vec::new(), |(_, values)| values);
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

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.bins.len()
    }

    /// The same with some segments only, given by their place within a modality.
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

    /// How many segments its rows are of.
    pub(crate) fn segments(&self) -> usize {
        let first = self.modality.first();
        self.modality.iter().filter(|m| Some(*m) == first).count()
    }
}

/// Shape and values of a tensor of f32.
fn floats(file: &SafeTensors<'_>, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
    let view = file.tensor(name).ok()?;
    let values = view
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes));
    Some((view.shape().to_vec(), values.collect()))
}
