//! The measures of the shared space in `metrics.json` (docs/src/reports.md, "Measures of the shared space").

use mmrest_data::Modality;
use mmrest_metric::overlap::{ClassCenters, sample, scatter_ratio, silhouette};
use mmrest_metric::{Clusters, Rows, to_euclidean};
use serde::{Deserialize, Serialize};

use mmrest_models::{Geometry, HostMetrics, seed};

use super::SplitRows;
use crate::error::LearnerError;
use crate::statistics::column_means;

/// Rows that a silhouette looks at, at most: its cost grows with their square.
const MOST_ROWS: usize = 3000;

/// How far sentiments overlap, by split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// On the validation split.
    pub valid: SplitOverlap,
    /// On the test split.
    pub test: SplitOverlap,
}

/// How far sentiments overlap on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitOverlap {
    /// Over the rows of all modalities.
    pub all: SpaceOverlap,
    /// Over the text rows alone, where text is in use.
    pub text: Option<SpaceOverlap>,
}

/// The same rows, measured in two ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceOverlap {
    /// By Euclidean distances.
    pub euclidean: Measures,
    /// Under the learned metrics, where there are any.
    pub learned: Option<Measures>,
}

/// The measures themselves; `None` where one is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Mean silhouette coefficient of the rows, classes being their sentiment bins.
    pub bin_silhouette: Option<f64>,
    /// Scatter between sentiment bins over scatter within them.
    pub scatter_ratio: Option<f64>,
    /// Share of rows nearest to the centre that their sentiment bin has among the training rows.
    pub nearest_center_accuracy: Option<f64>,
    /// Mean silhouette coefficient, classes being the modalities: how much modality rules the space.
    pub modality_silhouette: Option<f64>,
}

/// Measures validation and test split.
pub(crate) fn overlap(
    space: &dyn Geometry,
    splits: [&SplitRows; 3],
    seed: u64,
) -> Result<Overlap, LearnerError> {
    let metrics = space.metrics()?;
    let learned = metrics.map(|metrics| Learned::new(&metrics, space.clusters()));
    let [train, valid, test] = splits;
    let of = |split: &SplitRows| -> Result<SplitOverlap, LearnerError> {
        let measure = |only: Option<Modality>| {
            let (train, rows) = (Table::of(train, only), Table::of(split, only));
            let learned = learned.as_ref();
            Ok::<_, LearnerError>(SpaceOverlap {
                euclidean: measures(&train, &rows, None, seed)?,
                learned: learned
                    .map(|l| measures(&train, &rows, Some(l), seed))
                    .transpose()?,
            })
        };
        let has_text = split.modalities.iter().any(|&(m, _)| m == Modality::Text);
        Ok(SplitOverlap {
            all: measure(None)?,
            text: has_text
                .then(|| measure(Some(Modality::Text)))
                .transpose()?,
        })
    };
    Ok(Overlap {
        valid: of(valid)?,
        test: of(test)?,
    })
}

/// The metrics that distances are measured under.
struct Learned {
    global: Vec<f64>,
    /// Of a bin's centre: the mean of the metrics of the clusters with that sentiment; for a bin without a cluster the mean
    /// of all. (M_0 lacks the local part: its distances are smaller, so that such bins would win.)
    by_bin: Vec<(usize, Vec<f64>)>,
    mean: Vec<f64>,
}

impl Learned {
    fn new(metrics: &HostMetrics, clusters: Option<&Clusters>) -> Self {
        let own: Vec<&[f64]> = metrics
            .own
            .chunks_exact(metrics.dim * metrics.dim)
            .collect();
        let bins = clusters.map_or(&[][..], |clusters| &clusters.bins);
        let of_bin = |bin: usize| {
            let of = bins.iter().zip(&own).filter(|&(&b, _)| b == bin);
            column_means(&of.map(|(_, &metric)| metric).collect::<Vec<_>>())
        };
        let mut known = bins.to_vec();
        known.sort_unstable();
        known.dedup();
        Self {
            global: metrics.global.clone(),
            by_bin: known.into_iter().map(|bin| (bin, of_bin(bin))).collect(),
            mean: column_means(&own),
        }
    }

    fn of(&self, bin: usize) -> &[f64] {
        let found = self.by_bin.iter().find(|(known, _)| *known == bin);
        found.map_or(&self.mean, |(_, metric)| metric)
    }
}

/// Rows with the classes they may have.
struct Table {
    dim: usize,
    values: Vec<f32>,
    bins: Vec<usize>,
    modality: Vec<usize>,
}

impl Table {
    fn of(split: &SplitRows, only: Option<Modality>) -> Self {
        let chosen = split.modalities.iter().enumerate();
        let chosen = chosen.filter(|(_, (modality, _))| only.is_none_or(|only| only == *modality));
        let mut table = Self {
            dim: split.dim,
            values: Vec::new(),
            bins: Vec::new(),
            modality: Vec::new(),
        };
        for (place, (_, values)) in chosen {
            table.values.extend(values);
            table.bins.extend(&split.bins);
            table.modality.extend(vec![place; split.len()]);
        }
        table
    }

    fn rows(&self) -> Result<Rows<'_>, LearnerError> {
        Ok(Rows::new(&self.values, self.dim)?)
    }
}

fn measures(
    train: &Table,
    table: &Table,
    learned: Option<&Learned>,
    seed: u64,
) -> Result<Measures, LearnerError> {
    if table.bins.is_empty() {
        return Ok(Measures::default());
    }
    let centers = ClassCenters::fit(train.rows()?, &train.bins)?;
    let metric = |bin: usize| learned.map(|learned| learned.of(bin));
    let accuracy = centers.accuracy(table.rows()?, &table.bins, metric)?;
    let there = match learned {
        Some(learned) => to_euclidean(table.rows()?, &learned.global)?,
        None => table.values.clone(),
    };
    let rows = Rows::new(&there, table.dim)?;
    let some = sample(rows.len(), MOST_ROWS, seed::mix(seed, &[seed::SPACE]));
    let values: Vec<f32> = some
        .iter()
        .flat_map(|&row| rows.row(row))
        .copied()
        .collect();
    let sampled = Rows::new(&values, table.dim)?;
    let of = |classes: &[usize]| -> Vec<usize> { some.iter().map(|&row| classes[row]).collect() };
    Ok(Measures {
        bin_silhouette: silhouette(sampled, &of(&table.bins))?,
        scatter_ratio: scatter_ratio(rows, &table.bins)?,
        nearest_center_accuracy: accuracy,
        modality_silhouette: silhouette(sampled, &of(&table.modality))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_has_the_mean_metric_of_its_clusters_and_without_one_the_mean_of_all() {
        let metrics = HostMetrics {
            dim: 1,
            global: vec![1.0],
            own: vec![2.0, 4.0, 9.0],
        };
        let clusters = Clusters {
            dim: 1,
            centers: vec![0.0; 3],
            bins: vec![6, 6, 2],
            metric: vec![0, 1, 2],
        };
        let learned = Learned::new(&metrics, Some(&clusters));
        assert_eq!(learned.of(6), [3.0]);
        assert_eq!(learned.of(2), [9.0]);
        assert_eq!(learned.of(0), [5.0]);
        assert_eq!(Learned::new(&metrics, None).of(0), [5.0]);
    }

    #[test]
    fn a_split_without_segments_has_no_measures() {
        let row = SplitRows {
            split: mmrest_data::Split::Train,
            ids: vec![String::new()],
            labels: vec![1.0],
            bins: vec![4],
            dim: 2,
            modalities: vec![(Modality::Text, vec![0.5, 1.0])],
        };
        let empty = SplitRows {
            split: mmrest_data::Split::Test,
            ids: Vec::new(),
            labels: Vec::new(),
            bins: Vec::new(),
            dim: 1,
            modalities: Vec::new(),
        };
        let learned = Learned {
            global: vec![1.0, 0.0, 0.0, 1.0],
            by_bin: Vec::new(),
            mean: vec![1.0, 0.0, 0.0, 1.0],
        };
        let (train, none) = (Table::of(&row, None), Table::of(&empty, None));
        let found = measures(&train, &none, Some(&learned), 1).unwrap();
        assert_eq!(found, Measures::default());
    }

    #[test]
    fn text_alone_and_all_rows_are_measured_apart() {
        let split = |shift: f32| SplitRows {
            split: mmrest_data::Split::Test,
            ids: vec![String::new(); 4],
            labels: vec![-3.0, -3.0, 3.0, 3.0],
            bins: vec![0, 0, 6, 6],
            dim: 1,
            modalities: vec![
                (Modality::Text, vec![0.0, 1.0, 10.0, 11.0]),
                (
                    Modality::Audio,
                    vec![shift, 1.0 + shift, shift, 1.0 + shift],
                ),
            ],
        };
        let (train, test) = (split(50.0), split(50.0));
        let text = |s| Table::of(s, Some(Modality::Text));
        let found = measures(&text(&train), &text(&test), None, 1).unwrap();
        assert_eq!(found.nearest_center_accuracy, Some(1.0));
        assert_eq!(found.scatter_ratio, Some(100.0));
        assert_eq!(found.modality_silhouette, None);
        let all = |s| Table::of(s, None);
        let found = measures(&all(&train), &all(&test), None, 1).unwrap();
        assert!(found.modality_silhouette.unwrap() > 0.7, "{found:?}");
        assert!(found.scatter_ratio.unwrap() < 0.1, "{found:?}");
    }
}
