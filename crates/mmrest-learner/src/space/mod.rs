//! The shared space as a run leaves it: how far sentiments overlap in it, and what pictures are made of.

mod overlap;
mod snapshot;

pub use overlap::{Measures, Overlap, SpaceOverlap, SplitOverlap};

pub(crate) use overlap::overlap;
pub(crate) use snapshot::{Moment, Snapshots};

use mmrest_data::{Modality, Split};
use mmrest_models::{Geometry, Prediction, Representations};

use crate::error::{LearnerError, to_host};
use crate::loader::SegmentLoader;

/// All segments of a split in the shared space, on the host.
pub(crate) struct SplitRows {
    pub(crate) split: Split,
    pub(crate) ids: Vec<String>,
    pub(crate) labels: Vec<f32>,
    /// The sentiment bin of each segment.
    pub(crate) bins: Vec<usize>,
    pub(crate) dim: usize,
    /// `[segments, dim]` of each modality in use.
    pub(crate) modalities: Vec<(Modality, Vec<f32>)>,
}

impl SplitRows {
    /// Encodes a split. The model is without autodiff, `loader` in order.
    pub(crate) fn encode(
        space: &dyn Geometry,
        loader: &SegmentLoader,
        split: Split,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, LearnerError> {
        Self::of(space, loader, split, |_, _| match stop() {
            true => Err(LearnerError::Interrupted),
            false => Ok(()),
        })
    }

    /// Encodes a split as [`encode`](Self::encode) does, and predicts its segments, in its own order.
    pub(crate) fn predict(
        space: &dyn Geometry,
        loader: &SegmentLoader,
        split: Split,
    ) -> Result<(Self, Vec<Prediction>), LearnerError> {
        let mut predictions = Vec::new();
        let rows = Self::of(space, loader, split, |representations, segments| {
            predictions.extend(space.decide(representations.clone(), segments)?);
            Ok(())
        })?;
        Ok((rows, predictions))
    }

    /// `each` hears the representations of each batch, and the places of its segments.
    fn of(
        space: &dyn Geometry,
        loader: &SegmentLoader,
        split: Split,
        mut each: impl FnMut(&Representations, &[usize]) -> Result<(), LearnerError>,
    ) -> Result<Self, LearnerError> {
        let labels = loader.labels();
        let mut modalities: Vec<(Modality, Vec<f32>)> = Vec::new();
        for batch in loader.pass() {
            let batch = batch?;
            let representations = space.encode(&batch);
            each(&representations, &batch.rows)?;
            let parts = representations.by_modality();
            for (place, (modality, rows)) in parts.into_iter().enumerate() {
                let rows = to_host(rows)?;
                match modalities.get_mut(place) {
                    Some((_, values)) => values.extend(rows),
                    None => modalities.push((modality, rows)),
                }
            }
        }
        let values = modalities.first().map_or(0, |(_, values)| values.len());
        Ok(Self {
            split,
            ids: (0..labels.len())
                .map(|row| loader.id(row).to_owned())
                .collect(),
            bins: labels.iter().map(|&label| space.bin(label)).collect(),
            dim: values.checked_div(labels.len()).unwrap_or(0).max(1),
            labels,
            modalities,
        })
    }

    /// How many segments there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }
}
