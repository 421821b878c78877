//! `neighbours.safetensors` of a model folder: training segments in the shared space, for `explain`.

use std::path::Path;
use std::sync::OnceLock;

use mmrest_data::Modality;
use mmrest_metric::overlap::sample;
use mmrest_metric::{EuclideanMap, MetricError, Rows};
use mmrest_models::{Geometry, Prediction, seed};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::LearnerError;
use crate::space::SplitRows;
use crate::tensor_file::TensorFile;

/// Training segments that are kept, at most.
pub(crate) const MOST_SEGMENTS: usize = 5000;
/// The file in the model folder.
pub(crate) const FILE: &str = "neighbours.safetensors";
/// The file's list of ids, a JSON array in its metadata.
const IDS: &str = "ids";
/// The tensor of labels.
const LABELS: &str = "labels";

/// A training segment near to a new one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// The training segment's id.
    pub id: String,
    /// Its label.
    pub label: f32,
    /// Squared Mahalanobis distance, mean over the modalities that the new segment has, under the metric of the cluster
    /// nearest to the new segment. Of a kernel's bias that which it goes by: the segment's weight is proportional to
    /// `exp(-distance)`.
    pub distance: f32,
}

/// A new segment, as neighbours are looked for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// The cluster nearest to it, where there are clusters.
    cluster: Option<usize>,
    /// What it has, in the shared space.
    pub(super) rows: Vec<(Modality, Vec<f32>)>,
}

impl Query {
    /// One that has nothing yet.
    pub(super) fn of(prediction: &Prediction) -> Self {
        Self {
            cluster: prediction.near.first().map(|near| near.cluster),
            rows: Vec::new(),
        }
    }
}

/// Training segments in the shared space.
#[derive(Debug)]
pub(super) struct Neighbours {
    ids: Vec<String>,
    labels: Vec<f32>,
    dim: usize,
    /// `[segments, dim]` of each modality in use.
    rows: Vec<(Modality, Vec<f32>)>,
    /// What distances may be measured under: a metric for each cluster, the global one alone, or the identity.
    metrics: Vec<Metric>,
    /// Where the bias is a kernel's, how that measures.
    kernel: Option<Kernel>,
}

/// How a kernel's bias measures.
#[derive(Debug)]
struct Kernel {
    /// The precision of each modality in use.
    precisions: Vec<f32>,
    /// Which of the metrics each training segment is measured under.
    metric: Vec<usize>,
}

/// A metric, and the training segments where it is Euclidean.
#[derive(Debug)]
struct Metric {
    /// None for the identity.
    map: Option<EuclideanMap>,
    /// The rows of each modality in use there, made when they are first needed.
    carried: OnceLock<Vec<Vec<f32>>>,
}

impl Metric {
    fn new(metric: Option<&[f64]>, dim: usize) -> Result<Self, MetricError> {
        let map = metric.map(|metric| EuclideanMap::new(metric, dim));
        Ok(Self {
            map: map.transpose()?,
            carried: OnceLock::new(),
        })
    }

    /// Where rows of `dim` numbers lie.
    fn carry(&self, rows: &[f32], dim: usize) -> Result<Vec<f32>, MetricError> {
        Ok(match &self.map {
            Some(map) => map.rows(Rows::new(rows, dim)?),
            None => rows.to_vec(),
        })
    }

    /// Where the training segments lie. Threads that ask at once may each compute it: none waits for another.
    fn carried(
        &self,
        rows: &[(Modality, Vec<f32>)],
        dim: usize,
    ) -> Result<&[Vec<f32>], MetricError> {
        if let Some(carried) = self.carried.get() {
            return Ok(carried);
        }
        let carried = rows.iter().map(|(_, values)| self.carry(values, dim));
        let carried = carried.collect::<Result<_, _>>()?;
        Ok(self.carried.get_or_init(|| carried))
    }
}

/// Writes the neighbours of a model: a sample of its training segments, by the run's seed.
///
/// # Errors
///
/// The model folder cannot be written.
pub(crate) fn write(train: &SplitRows, seed: u64, model_folder: &Path) -> Result<(), LearnerError> {
    let kept = sample(
        train.len(),
        MOST_SEGMENTS,
        seed::mix(seed, &[seed::NEIGHBOURS]),
    );
    let mut file = TensorFile::default();
    let labels = kept.iter().map(|&row| train.labels[row]);
    file.add_floats(LABELS, &[kept.len()], labels);
    for (modality, values) in &train.modalities {
        let rows = kept
            .iter()
            .flat_map(|&row| &values[row * train.dim..][..train.dim]);
        let shape = [kept.len(), train.dim];
        file.add_floats(modality.name(), &shape, rows.copied());
    }
    let ids: Vec<&str> = kept.iter().map(|&row| train.ids[row].as_str()).collect();
    let ids = serde_json::to_string(&ids).map_err(|e| LearnerError::Internal(e.to_string()))?;
    file.metadata.insert(IDS.to_owned(), ids);
    file.write(&model_folder.join(FILE))
}

impl Neighbours {
    /// Reads the neighbours of a model; none where the folder has none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is damaged, or is another model's.
    pub(super) fn read(
        model_folder: &Path,
        space: &dyn Geometry,
        used: &[Modality],
    ) -> Result<Option<Self>, LearnerError> {
        let path = model_folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LearnerError::io("read", &path, error)),
        };
        let dim = space.dim();
        let metrics: Vec<Metric> = match space.metrics()? {
            Some(metrics) if space.clusters().is_some() => {
                let own = metrics.own.chunks_exact(dim * dim);
                own.map(|metric| Metric::new(Some(metric), dim))
                    .collect::<Result<_, _>>()?
            }
            Some(metrics) => vec![Metric::new(Some(&metrics.global), dim)?],
            None => vec![Metric::new(None, dim)?],
        };
        let precisions = space.precisions()?;
        let read = Self::parse(&bytes, used, dim, metrics).map(|mut read| {
            let bins = space.clusters().map_or(&[][..], |clusters| &clusters.bins);
            let of = |&label: &f32| bins.iter().position(|&bin| bin == space.bin(label));
            read.kernel = precisions.map(|precisions| Kernel {
                precisions,
                metric: read.labels.iter().map(|l| of(l).unwrap_or(0)).collect(),
            });
            read
        });
        let wrong = |message| {
            let message = format!(
                "not the neighbours of this model ({message}): restore the file, or delete it to predict without neighbours"
            );
            LearnerError::format(&path, message)
        };
        read.map(Some).map_err(wrong)
    }

    fn parse(
        bytes: &[u8],
        used: &[Modality],
        dim: usize,
        metrics: Vec<Metric>,
    ) -> Result<Self, String> {
        let file = TensorFile::parse(bytes).map_err(|error| error.to_string())?;
        let ids = file.metadata.get(IDS).ok_or("it has no list of ids")?;
        let ids: Vec<String> = serde_json::from_str(ids).map_err(|e| format!("ids: {e}"))?;
        let values = |name: &str, shape: &[usize]| -> Result<Vec<f32>, String> {
            let stored = file.get(name).ok_or(format!("it has no tensor {name}"))?;
            let values = stored.floats().filter(|_| stored.shape == shape);
            values.ok_or_else(|| {
                let (dtype, found) = (stored.dtype, &stored.shape);
                format!("{name} is {dtype:?} {found:?}, not F32 {shape:?}")
            })
        };
        let rows = used.iter().map(|&modality| {
            let rows = values(modality.name(), &[ids.len(), dim])?;
            Ok((modality, rows))
        });
        Ok(Self {
            rows: rows.collect::<Result<_, String>>()?,
            labels: values(LABELS, &[ids.len()])?,
            ids,
            dim,
            metrics,
            kernel: None,
        })
    }

    /// Whether a query needs a row of every modality in use, also of what the segment lacks: a kernel compares that too.
    pub(super) fn compares_all(&self) -> bool {
        self.kernel.is_some()
    }

    /// The nearest of each query, nearest first; of those equally near the first in the file.
    ///
    /// # Errors
    ///
    /// A row holds a number that is not finite.
    pub(super) fn nearest(
        &self,
        queries: &[Query],
        most: usize,
    ) -> Result<Vec<Vec<Neighbour>>, MetricError> {
        let queries = queries.par_iter();
        queries.map(|query| self.of(query, most)).collect()
    }

    fn of(&self, query: &Query, most: usize) -> Result<Vec<Neighbour>, MetricError> {
        if query.rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut distances = vec![0.0; self.ids.len()];
        match &self.kernel {
            None => {
                let which = query.cluster.unwrap_or(0);
                let which = which.min(self.metrics.len().saturating_sub(1));
                let shares = vec![1.0 / query.rows.len() as f32; self.rows.len()];
                self.add_distances(query, which, &shares, |_| true, &mut distances)?;
            }
            Some(kernel) => {
                for which in 0..self.metrics.len() {
                    let own = |at: usize| kernel.metric[at] == which;
                    self.add_distances(query, which, &kernel.precisions, own, &mut distances)?;
                }
            }
        }
        let mut order: Vec<usize> = (0..distances.len()).collect();
        let nearer = |a: &usize, b: &usize| distances[*a].total_cmp(&distances[*b]).then(a.cmp(b));
        if most < order.len() {
            order.select_nth_unstable_by(most, nearer);
            order.truncate(most);
        }
        order.sort_unstable_by(nearer);
        let nearest = order.into_iter().map(|at| Neighbour {
            id: self.ids[at].clone(),
            label: self.labels[at],
            distance: distances[at],
        });
        Ok(nearest.collect())
    }

    /// Adds the distances, under one metric, of the training segments that `own` takes: each modality's by its share.
    fn add_distances(
        &self,
        query: &Query,
        which: usize,
        shares: &[f32],
        own: impl Fn(usize) -> bool,
        distances: &mut [f32],
    ) -> Result<(), MetricError> {
        let Some(metric) = self.metrics.get(which) else {
            return Ok(());
        };
        let carried = metric.carried(&self.rows, self.dim)?;
        for (modality, row) in &query.rows {
            let row = metric.carry(row, self.dim)?;
            let known = self.rows.iter().zip(carried).zip(shares);
            for ((_, known), share) in known.filter(|(((known, _), _), _)| known == modality) {
                let others = distances.iter_mut().zip(known.chunks_exact(self.dim));
                for (_, (sum, other)) in others.enumerate().filter(|(at, _)| own(*at)) {
                    let squares = row.iter().zip(other).map(|(a, b)| (a - b) * (a - b));
                    *sum += squares.sum::<f32>() * share;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_data::Split;

    fn train(segments: usize) -> SplitRows {
        let rows = |shift: f32| (0..segments * 2).map(|i| i as f32 + shift).collect();
        SplitRows {
            split: Split::Train,
            ids: (0..segments).map(|i| format!("v[{i}]")).collect(),
            labels: (0..segments).map(|i| i as f32 / 10.0).collect(),
            bins: vec![0; segments],
            dim: 2,
            modalities: vec![(Modality::Text, rows(0.0)), (Modality::Audio, rows(0.5))],
        }
    }

    const USED: [Modality; 2] = [Modality::Text, Modality::Audio];

    fn written(segments: usize) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        write(&train(segments), 1, folder.path()).unwrap();
        std::fs::read(folder.path().join(FILE)).unwrap()
    }

    fn metrics(of: &[&[f64]]) -> Vec<Metric> {
        let metrics = of
            .iter()
            .map(|metric| Metric::new(Some(metric), 2).unwrap());
        metrics.collect()
    }

    fn identity() -> Vec<Metric> {
        vec![Metric::new(None, 2).unwrap()]
    }

    fn query(cluster: usize, rows: &[(Modality, [f32; 2])]) -> Query {
        let rows = rows.iter().map(|&(modality, row)| (modality, row.to_vec()));
        Query {
            cluster: Some(cluster),
            rows: rows.collect(),
        }
    }

    #[test]
    fn distances_are_those_of_the_nearest_clusters_metric_over_what_there_is() {
        let (first, second) = ([1.0, 0.0, 0.0, 1.0], [2.0, 1.0, 1.0, 3.0]);
        let known = Neighbours::parse(&written(4), &USED, 2, metrics(&[&first, &second])).unwrap();
        let text = [2.5_f32, 2.0];
        let audio = [6.0_f32, 9.0];
        let both = query(1, &[(Modality::Text, text), (Modality::Audio, audio)]);
        let alone = query(1, &[(Modality::Audio, audio)]);
        let found = known.nearest(&[both, alone], 4).unwrap();
        let squared = |a: [f32; 2], b: [f32; 2]| {
            let d = [f64::from(a[0] - b[0]), f64::from(a[1] - b[1])];
            second[0] * d[0] * d[0]
                + (second[1] + second[2]) * d[0] * d[1]
                + second[3] * d[1] * d[1]
        };
        let mut expected: Vec<(f64, f64, usize)> = (0..4_u8)
            .map(|i| {
                let (x, y) = (f32::from(2 * i), f32::from(2 * i + 1));
                let of_audio = squared(audio, [x + 0.5, y + 0.5]);
                let of_both = (squared(text, [x, y]) + of_audio) / 2.0;
                (of_both, of_audio, usize::from(i))
            })
            .collect();
        expected.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (neighbour, (distance, _, at)) in found[0].iter().zip(&expected) {
            assert_eq!(neighbour.id, format!("v[{at}]"));
            assert_eq!(neighbour.label, *at as f32 / 10.0);
            assert!((f64::from(neighbour.distance) - distance).abs() < 1e-3);
        }
        expected.sort_by(|a, b| a.1.total_cmp(&b.1));
        assert_eq!(found[1][0].id, format!("v[{}]", expected[0].2));
        assert!((f64::from(found[1][0].distance) - expected[0].1).abs() < 1e-3);
    }

    #[test]
    fn without_metrics_distances_are_euclidean_and_a_segment_without_anything_has_no_neighbours() {
        let known = Neighbours::parse(&written(3), &USED, 2, identity()).unwrap();
        let here = query(5, &[(Modality::Text, [2.0, 4.0])]);
        let found = known.nearest(&[here, query(0, &[])], 2).unwrap();
        assert_eq!(found[0].len(), 2);
        assert_eq!(
            (found[0][0].id.as_str(), found[0][0].distance),
            ("v[1]", 1.0)
        );
        assert!(found[1].is_empty());
    }

    #[test]
    fn a_kernels_neighbours_are_measured_as_it_weighs_them() {
        let (first, second) = ([1.0, 0.0, 0.0, 1.0], [9.0, 0.0, 0.0, 9.0]);
        let of = metrics(&[&first, &second]);
        let mut known = Neighbours::parse(&written(4), &USED, 2, of).unwrap();
        assert!(!known.compares_all());
        known.kernel = Some(Kernel {
            precisions: vec![2.0, 0.5],
            metric: vec![0, 1, 0, 1],
        });
        assert!(known.compares_all());
        let text = (Modality::Text, [2.0, 3.0]);
        let audio = (Modality::Audio, [2.5, 4.5]);
        // Segment 1 is nearest to Euclid, but its metric is the second: 9 (2 x 0 + 0.5 x 1) = 4.5; of 0 and 2, with rows
        // that are 2 away in each place, 2 x 8 + 0.5 x (4 + 9) = 22.5 and 2 x 8 + 0.5 x (4 + 1) = 18.5.
        let found = known.nearest(&[query(1, &[text, audio])], 4).unwrap();
        let found: Vec<(&str, f32)> = found[0]
            .iter()
            .map(|near| (near.id.as_str(), near.distance))
            .collect();
        // Of 3, 4 away in each place: 9 (2 x 32 + 0.5 x (16 + 9)).
        let expected = [
            ("v[1]", 4.5),
            ("v[2]", 18.5),
            ("v[0]", 22.5),
            ("v[3]", 688.5),
        ];
        for ((id, distance), (expected, at)) in found.iter().zip(expected) {
            assert!(*id == expected && (distance - at).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn so_many_segments_are_kept_and_no_more() {
        let known = Neighbours::parse(&written(MOST_SEGMENTS + 7), &USED, 2, identity()).unwrap();
        assert_eq!(known.ids.len(), MOST_SEGMENTS);
        assert_eq!(written(MOST_SEGMENTS + 7), written(MOST_SEGMENTS + 7));
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused() {
        let bytes = written(3);
        let refused = |bytes: &[u8], used: &[Modality], dim| {
            Neighbours::parse(bytes, used, dim, identity()).unwrap_err()
        };
        assert!(refused(&bytes, &USED, 3).contains("not F32 [3, 3]"));
        let vision = refused(&bytes, &[Modality::Vision], 2);
        assert!(vision.contains("vision"), "{vision}");
        assert!(!refused(&bytes[..bytes.len() - 1], &USED, 2).is_empty());
        assert!(!refused(b"", &USED, 2).is_empty());
    }
}
