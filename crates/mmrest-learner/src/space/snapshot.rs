//! `geometry/` of a run: the shared space before training and of the selected model, and the metrics' spectra.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use mmrest_metric::eigenvalues_f64;
use mmrest_metric::overlap::sample;
use mmrest_models::{Geometry, HostMetrics, seed};

use super::SplitRows;
use crate::error::LearnerError;
use crate::files;
use crate::tensor_file::TensorFile;
use crate::trained::TrainedModel;

/// Segments of a split that are kept, at most: they are only drawn.
const MOST_SEGMENTS: usize = 3000;

/// Which state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the first step, with the first clusters.
    Before,
    /// The selected model.
    Selected,
}

impl Moment {
    fn file(self) -> &'static str {
        match self {
            Self::Before => "before.safetensors",
            Self::Selected => "selected.safetensors",
        }
    }
}

/// The folder of a run's snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
}

impl Snapshots {
    /// Snapshots in `folder`, made with the first.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether a state of the shared space is kept already.
    pub(crate) fn has(&self, moment: Moment) -> bool {
        self.folder.join(moment.file()).exists()
    }

    /// Adds an epoch's eigenvalues to `spectra.csv`, in place of what an earlier start may have written of it or of later
    /// ones.
    pub(crate) fn add_spectra(
        &self,
        model: &dyn TrainedModel,
        epoch: usize,
    ) -> Result<(), LearnerError> {
        let Some(space) = model.geometry() else {
            return Ok(());
        };
        match space.all_metrics()? {
            Some(metrics) => add_spectra(&self.folder.join("spectra.csv"), epoch, &metrics),
            None => Ok(()),
        }
    }

    /// Writes a state of the shared space, and `segments.csv`, which is the same for both.
    pub(crate) fn write(
        &self,
        space: &dyn Geometry,
        splits: &[SplitRows],
        moment: Moment,
        seed: u64,
    ) -> Result<(), LearnerError> {
        let kept: Vec<Vec<usize>> = splits.iter().map(|split| chosen(split, seed)).collect();
        let mut tensors = TensorFile::default();
        for (split, rows) in splits.iter().zip(&kept) {
            for (modality, values) in &split.modalities {
                let name = format!("{}.{}", split.split, modality.name());
                let chosen = rows
                    .iter()
                    .flat_map(|&row| &values[row * split.dim..][..split.dim]);
                tensors.add_floats(&name, &[rows.len(), split.dim], chosen.copied());
            }
        }
        add_clusters(space, &mut tensors)?;
        files::write(&self.folder.join("segments.csv"), &segments(splits, &kept)?)?;
        tensors.write(&self.folder.join(moment.file()))
    }
}

fn add_clusters(space: &dyn Geometry, tensors: &mut TensorFile) -> Result<(), LearnerError> {
    if let Some(metrics) = space.metrics()? {
        let dim = metrics.dim;
        let count = metrics.own.len() / (dim * dim);
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32);
        tensors.add_floats("global", &[dim, dim], narrow(metrics.global));
        tensors.add_floats("metrics", &[count, dim, dim], narrow(metrics.own));
    }
    if let Some(clusters) = space.clusters() {
        let bins: Vec<f32> = clusters.bins.iter().map(|&bin| bin as f32).collect();
        tensors.add_floats("cluster_bins", &[bins.len()], bins);
        let shape = [clusters.len(), clusters.dim];
        tensors.add_floats("centers", &shape, clusters.centers.iter().copied());
    }
    Ok(())
}

fn chosen(split: &SplitRows, seed: u64) -> Vec<usize> {
    let place = split.split as u64;
    sample(
        split.len(),
        MOST_SEGMENTS,
        seed::mix(seed, &[seed::SPACE, place]),
    )
}

/// `split,id,label,bin`: a line for each row of the tensors, in their order.
fn segments(splits: &[SplitRows], kept: &[Vec<usize>]) -> Result<Vec<u8>, LearnerError> {
    let rows = splits.iter().zip(kept).flat_map(|(split, rows)| {
        rows.iter().map(move |&row| {
            let (label, bin) = (split.labels[row].to_string(), split.bins[row].to_string());
            [split.split.to_string(), split.ids[row].clone(), label, bin]
        })
    });
    files::csv(["split", "id", "label", "bin"], rows)
}

/// The columns of `spectra.csv`: the eigenvalues of the metrics, epoch by epoch.
const SPECTRA: &str = "epoch,metric,index,eigenvalue\n";

/// Writes `spectra.csv` anew: the epochs before this one as they stand, and this one.
fn add_spectra(path: &Path, epoch: usize, metrics: &HostMetrics) -> Result<(), LearnerError> {
    let mut text = String::from(SPECTRA);
    if path.exists() {
        let before =
            std::fs::read_to_string(path).map_err(|e| LearnerError::io("read", path, e))?;
        for line in before.lines().skip(1).filter(|line| is_before(line, epoch)) {
            text += line;
            text.push('\n');
        }
    }
    let all = [&metrics.global[..], &metrics.own].concat();
    let values = eigenvalues_f64(&all, metrics.dim)?;
    for (place, values) in values.chunks_exact(metrics.dim).enumerate() {
        let name = match place {
            0 => String::from("global"),
            local => format!("local-{}", local - 1),
        };
        for (index, &value) in values.iter().enumerate() {
            // Single precision is what the metrics are kept in.
            let _ = writeln!(text, "{epoch},{name},{index},{}", value as f32);
        }
    }
    files::write(path, text.as_bytes())
}

fn is_before(line: &str, epoch: usize) -> bool {
    let first = line.split(',').next().and_then(|first| first.parse().ok());
    first.is_some_and(|first: usize| first < epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_the_place_of_itself_and_of_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spectra.csv");
        let metrics = |value: f64| HostMetrics {
            dim: 2,
            global: vec![1.0, 0.0, 0.0, 3.0],
            own: vec![value, 0.0, 0.0, 1.5],
        };
        for (epoch, value) in [(1, 5.0), (2, 6.0), (3, 7.0), (2, 8.0)] {
            add_spectra(&path, epoch, &metrics(value)).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "1,global,0,3",
                "1,global,1,1",
                "1,local-0,0,5",
                "1,local-0,1,1.5",
                "2,global,0,3",
                "2,global,1,1",
                "2,local-0,0,8",
                "2,local-0,1,1.5",
            ]
        );
    }
}
