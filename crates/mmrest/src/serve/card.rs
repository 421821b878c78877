//! What the model in use takes and is made of: `/v1/model`.

use mmrest_data::{Modality, Widths};
use mmrest_learner::config::{Preset, ProjectionKind};
use mmrest_learner::{Config, SharedSpace};
use serde::Serialize;

use super::limits::{Limits, MOST_FRAMES, MOST_TEXT};
use super::plane::Plane;

/// The answer of `/v1/model`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Card {
    /// Of mmrest.
    version: &'static str,
    /// The run's folder, by its last name.
    run: String,
    preset: Preset,
    modalities: Vec<Modality>,
    /// Features a frame; 0 where not in use.
    features: Widths,
    /// Least and greatest label.
    label_range: [f32; 2],
    /// The sentiment classes.
    labels: Vec<i32>,
    /// Whether training has shown the model segments that lack a modality.
    knows_missing: bool,
    bias: Bias,
    limits: Taken,
    /// Shares of the centres' variance that the two axes of the plane have; null without clusters.
    explained: Option<[f64; 2]>,
    clusters: Vec<Place>,
}

/// What the bias is.
#[derive(Clone, Debug, Serialize)]
struct Bias {
    /// Whether it is added.
    on: bool,
    kind: ProjectionKind,
    gamma: f64,
}

/// What a request may hold.
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

impl Card {
    pub(crate) fn new(
        run: String,
        config: &Config,
        widths: Widths,
        space: Option<(&SharedSpace, &Plane)>,
        limits: &Limits,
    ) -> Self {
        let used = Modality::ALL.into_iter().filter(|&m| config.uses(m));
        let clusters = space.map(|(space, plane)| places(space, plane));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            run,
            preset: config.preset,
            modalities: used.collect(),
            features: widths,
            label_range: config.data.label_range,
            labels: config.bins.labels.clone(),
            knows_missing: config.train.modality_dropout > 0.0,
            bias: Bias {
                on: config.bias && config.projection.at_evaluation && space.is_some(),
                kind: config.projection.kind,
                gamma: config.projection.gamma,
            },
            limits: Taken {
                body_bytes: limits.body,
                segments: limits.queue,
                frames: MOST_FRAMES,
                text_bytes: MOST_TEXT,
            },
            explained: space.map(|(_, plane)| plane.explained),
            clusters: clusters.unwrap_or_default(),
        }
    }

    /// The names that tell the model from others in the metrics.
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

fn places(space: &SharedSpace, plane: &Plane) -> Vec<Place> {
    let place = |(cluster, &sentiment): (usize, &i32)| {
        let [x, y] = plane.at(space.clusters.center(cluster));
        Place {
            cluster,
            sentiment,
            x,
            y,
        }
    };
    space.sentiments.iter().enumerate().map(place).collect()
}
