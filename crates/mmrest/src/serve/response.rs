//! Writes the scores of a request as JSON: the lines of `mmrest predict`, on request with the geometry behind each score.

use mmrest_data::Modality;
use mmrest_learner::{PlacedRow, Placement};
use serde::Serialize;

use super::Model;
use super::model_info::ClusterMap;
use super::request::Shape;
use crate::lines::{Scored, Spoken};

/// A line of `mmrest predict`, on request with its geometry.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    scored: Scored<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geometry: Option<Vec<Row<'a>>>,
}

/// One modality of a segment in relation to the clusters.
#[derive(Debug, Serialize)]
struct Row<'a> {
    modality: Modality,
    /// On the map of `/v1/model`.
    x: f64,
    y: f64,
    /// To each cluster's centre.
    distances: &'a [f32],
    nearest: usize,
    second: usize,
    /// Its share of the segment's bias; null where the bias is not a mean over modalities.
    bias: Option<f32>,
}

/// What is known about a segment before it is scored.
#[derive(Clone, Debug)]
pub(super) struct SegmentName {
    pub(super) id: String,
    /// The modalities that the model uses and the segment lacks.
    pub(super) missing: Vec<Modality>,
    /// Those with features unlike any that the model was trained on.
    pub(super) beyond_training: Vec<Modality>,
}

/// The body of an answer, on request with the geometry behind each score.
pub(super) fn write(
    shape: Shape,
    names: &[SegmentName],
    placements: &[Placement],
    geometry: bool,
    model: &Model,
) -> serde_json::Result<Vec<u8>> {
    let line = |(name, placement): (&SegmentName, &Placement)| -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Line {
            scored: scored(name, placement, model),
            geometry: geometry.then(|| rows(&placement.rows, model.map.as_ref())),
        })
    };
    let (open, between, close): (&[u8], &[u8], &[u8]) = match shape {
        Shape::One => (b"", b"", b"\n"),
        Shape::Array => (b"[", b",\n", b"]\n"),
        Shape::Lines => (b"", b"\n", b""),
    };
    let mut body = open.to_vec();
    for (place, pair) in names.iter().zip(placements).enumerate() {
        if place > 0 {
            body.extend_from_slice(between);
        }
        body.extend(line(pair)?);
    }
    body.extend_from_slice(close);
    if shape == Shape::Lines && !body.is_empty() {
        body.push(b'\n');
    }
    Ok(body)
}

/// The body of an answer to a recording: its segments, each with its scores and its place, and what of it is odd.
pub(super) fn write_recording<'a>(
    segments: impl Iterator<Item = ((&'a SegmentName, &'a Placement), &'a Spoken)>,
    notes: &[String],
    model: &Model,
) -> serde_json::Result<Vec<u8>> {
    let segment = |((name, placement), spoken)| scored(name, placement, model).spoken(Some(spoken));
    let answer = RecordingAnswer {
        segments: segments.map(segment).collect(),
        notes,
    };
    let mut body = serde_json::to_vec(&answer)?;
    body.push(b'\n');
    Ok(body)
}

/// The answer to a recording.
#[derive(Serialize)]
struct RecordingAnswer<'a> {
    segments: Vec<Scored<'a>>,
    notes: &'a [String],
}

fn scored<'a>(name: &'a SegmentName, placement: &'a Placement, model: &Model) -> Scored<'a> {
    let prediction = &placement.prediction;
    let meaning = model.interpreter.of(prediction.prediction, &name.missing);
    Scored::new(&name.id, prediction, meaning)
        .missing(&name.missing)
        .beyond_training(&name.beyond_training)
}

fn rows<'a>(rows: &'a [PlacedRow], map: Option<&ClusterMap>) -> Vec<Row<'a>> {
    let Some(map) = map else {
        return Vec::new();
    };
    let row = |row: &'a PlacedRow| {
        let [x, y] = map.at(&row.values);
        Row {
            modality: row.modality,
            x,
            y,
            distances: &row.distances,
            nearest: row.near,
            second: row.second,
            bias: row.bias,
        }
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fake, limits, placement};
    use super::*;

    fn written(shape: Shape, scores: &[f32]) -> String {
        let name = |i| SegmentName {
            id: format!("s{i}"),
            missing: vec![Modality::Audio; i],
            beyond_training: Vec::new(),
        };
        let names: Vec<SegmentName> = (0..scores.len()).map(name).collect();
        let placements: Vec<Placement> = scores.iter().map(|&s| placement(s)).collect();
        String::from_utf8(write(shape, &names, &placements, false, &fake(&limits())).unwrap())
            .unwrap()
    }

    #[test]
    fn scores_come_in_the_shape_that_segments_came_in() {
        let line = |id: &str, score: &str, label: &str, missing: &str| {
            format!(
                "{{\"id\":\"{id}\",\"prediction\":{score},\"label\":\"{label}\",\"interval\":null,\"score\":{score},\"bias\":0.0,\
                 \"clusters\":[],\"missing\":[{missing}]}}"
            )
        };
        let (a, b) = (
            line("s0", "0.1", "neutral", ""),
            line("s1", "-2.5", "negative", "\"audio\""),
        );
        assert_eq!(written(Shape::One, &[0.1]), format!("{a}\n"));
        assert_eq!(
            written(Shape::Array, &[0.1, -2.5]),
            format!("[{a},\n{b}]\n")
        );
        assert_eq!(written(Shape::Array, &[]), "[]\n");
        assert_eq!(written(Shape::Lines, &[0.1, -2.5]), format!("{a}\n{b}\n"));
        assert_eq!(written(Shape::Lines, &[]), "");
    }
}
