//! The shared space as a run leaves it: how far sentiments overlap in it, and what pictures are made of.

mod overlap;
mod snapshot;
mod spectra;

pub use overlap::{Measures, Overlap, SpaceOverlap, SplitOverlap};

pub(crate) use overlap::overlap;
pub(crate) use snapshot::{Moment, Snapshots};

use mmrest_data::{Modality, Split};
use mmrest_metric::Clusters;

use crate::error::LearnerError;
use crate::loader::SegmentLoader;
use crate::model::MmRest;
use crate::objective::to_host;

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
    /// Encodes a split. `model` is without autodiff, `loader` in order.
    pub(crate) fn encode(
        model: &MmRest,
        loader: &SegmentLoader,
        split: Split,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, LearnerError> {
        let settings = model.context.settings();
        let labels = loader.labels();
        let mut modalities: Vec<(Modality, Vec<f32>)> = Vec::new();
        for batch in loader.pass() {
            if stop() {
                return Err(LearnerError::Interrupted);
            }
            let parts = model.encode(&batch?).named();
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
            bins: labels
                .iter()
                .map(|&label| settings.bins.bin(label))
                .collect(),
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

/// The metrics of a model on the host.
pub(crate) struct HostMetrics {
    pub(crate) dim: usize,
    /// `M_0` and the ridge: `[dim, dim]`.
    pub(crate) global: Vec<f64>,
    /// `M_i` of each cluster in force, or without clusters of each local metric: `[.., dim, dim]`.
    pub(crate) own: Vec<f64>,
}

impl HostMetrics {
    /// Reads the metrics of a model that has any.
    pub(crate) fn read(
        model: &MmRest,
        clusters: Option<&Clusters>,
    ) -> Result<Option<Self>, LearnerError> {
        let Some(metric) = &model.metric else {
            return Ok(None);
        };
        let which: Vec<usize> = match clusters {
            Some(clusters) => clusters.metric.clone(),
            None => (0..metric.len()).collect(),
        };
        let (dim, widened) = (metric.dim(), |values: Vec<f32>| -> Vec<f64> {
            values.into_iter().map(f64::from).collect()
        });
        let mut global = widened(to_host(metric.global.val())?);
        for place in 0..dim {
            global[place * (dim + 1)] += metric.ridge();
        }
        Ok(Some(Self {
            dim,
            global,
            own: widened(to_host(metric.metrics(&which))?),
        }))
    }
}
