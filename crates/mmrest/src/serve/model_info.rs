//! `/v1/model`: what the model takes and consists of, and its clusters in two dimensions.

use mmrest_data::{Modality, Widths};
use mmrest_learner::{BiasInfo, Config, Interpreter, SharedSpace};
use mmrest_media::{RecordingInputs, TableSet};
use mmrest_metric::{EuclideanMap, MetricError, Pca};
use serde::Serialize;

use super::{Limits, MAX_FRAMES, MAX_TEXT_BYTES, RECORDING_LIMITS};

/// The answer of `/v1/model`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelInfo {
    /// The version of mmrest.
    version: &'static str,
    /// The last part of the path of the run's folder.
    run: String,
    /// The name of the model.
    model: &'static str,
    preset: String,
    modalities: Vec<Modality>,
    /// Features per frame; 0 where a modality is not used.
    features: Widths,
    /// The least and the greatest label.
    label_range: [f32; 2],
    /// The sentiment classes.
    labels: Vec<i32>,
    /// Whether the model was trained on segments that lack a modality.
    knows_missing: bool,
    /// The confidence of the scores' intervals; null for a model without them.
    confidence: Option<f64>,
    /// What it takes of a recording; null where it can take none.
    recordings: Option<Recordings>,
    /// How the bias is computed; null for a model without one.
    bias: Option<BiasInfo>,
    limits: Taken,
    /// Shares of the centres' variance that the two axes of the map have; null without clusters.
    explained: Option<[f64; 2]>,
    clusters: Vec<Place>,
}

/// What a model takes of a recording.
#[derive(Clone, Copy, Debug, Serialize)]
struct Recordings {
    /// Whether its sound; otherwise its transcript, and perhaps tables.
    sound: bool,
    /// The longest.
    seconds: f64,
    /// A table of visual features that another program wrote of it; null where none is taken.
    vision: Option<TakenTable>,
    /// Such a table of audio features.
    audio_table: Option<TakenTable>,
}

/// What is taken of another program's table.
#[derive(Clone, Copy, Debug, Serialize)]
struct TakenTable {
    /// The program.
    tool: &'static str,
    /// How many columns.
    columns: usize,
}

impl Recordings {
    fn new(inputs: &RecordingInputs) -> Self {
        let table = |set: &Option<TableSet>| {
            set.as_ref().map(|set| TakenTable {
                tool: set.tool.name(),
                columns: set.columns.len(),
            })
        };
        let config = inputs.config();
        Self {
            sound: inputs.needs_sound(),
            seconds: RECORDING_LIMITS.seconds,
            vision: table(&config.vision),
            audio_table: table(&config.audio_table),
        }
    }
}

/// The limits of a request.
#[derive(Clone, Copy, Debug, Serialize)]
struct Taken {
    body_bytes: usize,
    segments: usize,
    frames: usize,
    text_bytes: usize,
}

/// A cluster in the plane.
#[derive(Clone, Debug, Serialize)]
struct Place {
    cluster: usize,
    sentiment: i32,
    x: f64,
    y: f64,
}

impl ModelInfo {
    pub(crate) fn new(
        run: String,
        config: &Config,
        widths: Widths,
        bias: Option<BiasInfo>,
        (interpreter, recordings): (&Interpreter, Option<&RecordingInputs>),
        space: Option<(&SharedSpace, &ClusterMap)>,
        limits: &Limits,
    ) -> Self {
        let used = Modality::ALL.into_iter().filter(|&m| config.uses(m));
        let clusters = space.map(|(space, map)| places(space, map));
        let calibrated = interpreter.no_interval().is_none();
        let confidence = calibrated.then(|| interpreter.confidence());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            run,
            model: config.model.name(),
            preset: config.preset.clone(),
            modalities: used.collect(),
            features: widths,
            label_range: config.data.label_range,
            labels: config.bins.labels.clone(),
            knows_missing: config.train.modality_dropout > 0.0,
            confidence,
            recordings: recordings.map(Recordings::new),
            bias,
            limits: Taken {
                body_bytes: limits.body,
                segments: limits.queue,
                frames: MAX_FRAMES,
                text_bytes: MAX_TEXT_BYTES,
            },
            explained: space.map(|(_, map)| map.explained),
            clusters: clusters.unwrap_or_default(),
        }
    }

    /// The labels that identify the model in the metrics.
    pub(crate) fn labels(&self) -> Vec<(&'static str, String)> {
        let modalities: Vec<String> = self.modalities.iter().map(ToString::to_string).collect();
        vec![
            ("version", self.version.to_string()),
            ("run", self.run.clone()),
            ("modalities", modalities.join("+")),
            ("clusters", self.clusters.len().to_string()),
        ]
    }
}

fn places(space: &SharedSpace, map: &ClusterMap) -> Vec<Place> {
    let place = |(cluster, &sentiment): (usize, &i32)| {
        let [x, y] = map.at(space.clusters.center(cluster));
        Place {
            cluster,
            sentiment,
            x,
            y,
        }
    };
    space.sentiments.iter().enumerate().map(place).collect()
}

/// A map through the shared space.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterMap {
    /// What a row is multiplied with: `[2, dim]`.
    axes: [Vec<f64>; 2],
    /// The coordinates of the centres' mean before it is made the origin.
    origin: [f64; 2],
    /// Each axis' share of the centres' variance.
    pub(super) explained: [f64; 2],
}

impl ClusterMap {
    /// The map in which the centres lie apart most. The first axis points towards the positive.
    ///
    /// With `L^T L = M0`, distances under `M0` are Euclidean distances between `L c`; with their principal components `a`,
    /// the axes are `a^T L`.
    ///
    /// # Errors
    ///
    /// The global metric is not positive semidefinite.
    pub(crate) fn new(space: &SharedSpace) -> Result<Self, MetricError> {
        let (dim, count) = (space.clusters.dim, space.clusters.len());
        let euclidean = EuclideanMap::new(&space.global, dim)?;
        let centers: Vec<&[f32]> = (0..count).map(|i| space.clusters.center(i)).collect();
        let there = centers.iter().flat_map(|center| {
            let center: Vec<f64> = center.iter().map(|&x| f64::from(x)).collect();
            euclidean.point(&center)
        });
        let pca = Pca::fit(&there.collect::<Vec<f64>>(), dim)?;
        let components = [0, 1].map(|index| pca.component(index));
        let mut map = Self {
            axes: components.each_ref().map(|axis| euclidean.pull_back(axis)),
            origin: components.each_ref().map(|axis| dot(axis, &pca.mean)),
            explained: [0, 1].map(|index| pca.explained(index)),
        };
        map.turn(&centers, &space.sentiments);
        Ok(map)
    }

    /// The coordinates of a row of the shared space.
    pub(super) fn at(&self, row: &[f32]) -> [f64; 2] {
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        [0, 1].map(|place| dot(&self.axes[place], &row) - self.origin[place])
    }

    /// Points the first axis towards the greater sentiments, since the sign of a component is arbitrary.
    fn turn(&mut self, centers: &[&[f32]], sentiments: &[i32]) {
        let mean =
            sentiments.iter().map(|&s| f64::from(s)).sum::<f64>() / sentiments.len().max(1) as f64;
        let along = centers.iter().zip(sentiments);
        let slope: f64 = along
            .map(|(c, &s)| self.at(c)[0] * (f64::from(s) - mean))
            .sum();
        if slope < 0.0 {
            self.axes[0].iter_mut().for_each(|x| *x = -*x);
            self.origin[0] = -self.origin[0];
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_metric::Clusters;

    fn space(centers: Vec<f32>, sentiments: Vec<i32>, global: Vec<f64>) -> SharedSpace {
        let count = sentiments.len();
        SharedSpace {
            clusters: Clusters {
                dim: centers.len() / count,
                centers,
                bins: vec![0; count],
                metric: (0..count).collect(),
            },
            sentiments,
            global,
        }
    }

    fn identity(dim: usize) -> Vec<f64> {
        let one = |i| if i % (dim + 1) == 0 { 1.0 } else { 0.0 };
        (0..dim * dim).map(one).collect()
    }

    /// In three dimensions, of which the last is the same for all, nothing is lost: distances in the plane are those of M0.
    #[test]
    fn distances_between_centres_are_those_of_the_global_metric() {
        let global = vec![4.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0];
        let centers = vec![0.0, 0.0, 5.0, 3.0, -1.0, 5.0, 1.0, 2.0, 5.0, -2.0, 1.5, 5.0];
        let space = space(centers, vec![-3, 3, 0, 1], global.clone());
        let map = ClusterMap::new(&space).unwrap();
        for (i, j) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
            let (a, b) = (space.clusters.center(i), space.clusters.center(j));
            let u: Vec<f64> = a.iter().zip(b).map(|(a, b)| f64::from(a - b)).collect();
            let expected: f64 = global
                .chunks_exact(3)
                .zip(&u)
                .map(|(row, x)| x * dot(row, &u))
                .sum();
            let ([ax, ay], [bx, by]) = (map.at(a), map.at(b));
            let found = (ax - bx).powi(2) + (ay - by).powi(2);
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
        assert!((map.explained[0] + map.explained[1] - 1.0).abs() < 1e-12);
        assert!(map.explained[0] >= map.explained[1]);
    }

    #[test]
    fn the_first_axis_points_towards_the_positive() {
        for sentiments in [vec![-2, 1, 3], vec![3, 1, -2]] {
            let space = space(vec![0.0, 0.0, 5.0, 0.1, 9.0, 0.0], sentiments, identity(2));
            let map = ClusterMap::new(&space).unwrap();
            let x: Vec<f64> = (0..3)
                .map(|i| map.at(space.clusters.center(i))[0])
                .collect();
            assert_eq!(x[2] > x[0], space.sentiments[2] > space.sentiments[0]);
        }
    }

    #[test]
    fn one_centre_has_no_direction() {
        let map = ClusterMap::new(&space(vec![1.0, 2.0], vec![1], identity(2))).unwrap();
        assert_eq!(map.at(&[7.0, 9.0]), [0.0, 0.0]);
        assert_eq!(map.explained, [0.0, 0.0]);
    }
}
