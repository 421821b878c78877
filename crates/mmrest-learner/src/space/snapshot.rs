//! `geometry/` of a run: the shared space before training and of the selected model, and the metrics' spectra.

use std::path::PathBuf;

use mmrest_metric::overlap::sample;
use mmrest_models::{Geometry, seed};

use super::{SplitRows, spectra};
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

    /// Adds an epoch's eigenvalues to `spectra.csv`, in place of what an earlier start may have written of it or of later ones.
    pub(crate) fn add_spectra(
        &self,
        model: &dyn TrainedModel,
        epoch: usize,
    ) -> Result<(), LearnerError> {
        let Some(space) = model.geometry() else {
            return Ok(());
        };
        match space.all_metrics()? {
            Some(metrics) => spectra::add(&self.folder.join("spectra.csv"), epoch, &metrics),
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
        let name = match moment {
            Moment::Before => "before.safetensors",
            Moment::Selected => "selected.safetensors",
        };
        files::write(&self.folder.join("segments.csv"), &segments(splits, &kept)?)?;
        tensors.write(&self.folder.join(name))
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
    let wrong = |e: csv::Error| LearnerError::Internal(e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["split", "id", "label", "bin"])
        .map_err(wrong)?;
    for (split, rows) in splits.iter().zip(kept) {
        for &row in rows {
            let (label, bin) = (split.labels[row].to_string(), split.bins[row].to_string());
            let line = [&split.split.to_string(), &split.ids[row], &label, &bin];
            writer.write_record(line).map_err(wrong)?;
        }
    }
    writer
        .into_inner()
        .map_err(|e| LearnerError::Internal(e.to_string()))
}
