//! The JSON lines of `predict` and `serve`: one segment per line in, one score per line out.

use std::fmt;

use mmrest_data::{Frames, Modality, Segment};
use mmrest_learner::{Contributions, Explanation, NearCluster, Neighbour, Prediction};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// One segment to score; every modality may be absent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    vision: Option<Listed>,
    #[serde(default)]
    audio: Option<Listed>,
}

/// Parses one line; a segment without an id gets its number as id.
pub(crate) fn parse_line(line: &str, number: usize) -> Result<Segment, String> {
    if !line.trim_start().starts_with('{') {
        // serde would accept a list in the order of the fields.
        return Err("not a segment: an object is expected, such as {\"text\": \"fine\"}".into());
    }
    let line: Line = serde_json::from_str(line).map_err(|error| {
        // serde counts lines from the start of this text, not of the input.
        let error = error
            .to_string()
            .replace(" at line 1 column ", " at column ");
        format!("not a segment: {error}")
    })?;
    let id = line.id.unwrap_or_else(|| number.to_string());
    Ok(Segment {
        video: id.clone(),
        text: line.text.unwrap_or_default(),
        vision: frames("vision", line.vision)?,
        audio: frames("audio", line.audio)?,
        label: None,
        id,
    })
}

fn frames(modality: &str, listed: Option<Listed>) -> Result<Frames, String> {
    let listed = listed.unwrap_or_default();
    if let Some((frame, features)) = listed.odd {
        return Err(format!(
            "frame {frame} of {modality} has {features} features, frame 0 has {}",
            listed.frames.width
        ));
    }
    Ok(listed.frames)
}

/// A list of lists of numbers, stored in one vector as they are read: many short lists take no more memory than their numbers.
#[derive(Debug, Default)]
struct Listed {
    frames: Frames,
    /// The index and length of the first list whose length differs from that of list 0.
    odd: Option<(usize, usize)>,
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Outer)
    }
}

struct Outer;

impl<'de> Visitor<'de> for Outer {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of frames, each a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lists: A) -> Result<Listed, A::Error> {
        let mut listed = Listed::default();
        let mut index = 0;
        let values = &mut listed.frames.values;
        while let Some(features) = lists.next_element_seed(Inner(values))? {
            if index == 0 {
                listed.frames.width = features;
            } else if features != listed.frames.width && listed.odd.is_none() {
                listed.odd = Some((index, features));
            }
            index += 1;
        }
        Ok(listed)
    }
}

/// Appends one list, and returns its length.
struct Inner<'a>(&'a mut Vec<f32>);

impl<'de> serde::de::DeserializeSeed<'de> for Inner<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame, a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<usize, A::Error> {
        let before = self.0.len();
        while let Some(number) = numbers.next_element()? {
            self.0.push(number);
        }
        Ok(self.0.len() - before)
    }
}

/// One score.
#[derive(Debug, Serialize)]
pub(crate) struct Scored<'a> {
    id: &'a str,
    /// y = y' + gamma bias.
    prediction: f32,
    /// y'.
    score: f32,
    /// gamma bias.
    bias: f32,
    /// The two nearest clusters.
    clusters: &'a [NearCluster],
    /// The modalities that the model uses and the segment lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a [Modality]>,
    /// The explanation, on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explained<'a>>,
}

/// The explanation of a score.
#[derive(Debug, Serialize)]
struct Explained<'a> {
    /// The prediction of a segment without any modality.
    base: f32,
    /// The contribution of each modality.
    contributions: &'a Contributions,
    /// The nearest training segments.
    neighbours: &'a [Neighbour],
}

impl<'a> Scored<'a> {
    pub(crate) fn new(id: &'a str, prediction: &'a Prediction) -> Self {
        Self {
            id,
            prediction: prediction.prediction,
            score: prediction.score,
            bias: prediction.bias,
            clusters: &prediction.near,
            missing: None,
            explanation: None,
        }
    }

    /// A score with its explanation.
    pub(crate) fn explained(id: &'a str, explanation: &'a Explanation) -> Self {
        Self {
            explanation: Some(Explained {
                base: explanation.base,
                contributions: &explanation.contributions,
                neighbours: &explanation.neighbours,
            }),
            ..Self::new(id, &explanation.prediction)
        }
    }

    /// Adds the modalities that were missing, of those that the model uses.
    pub(crate) fn missing(self, missing: &'a [Modality]) -> Self {
        Self {
            missing: Some(missing),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_modalities_are_empty() {
        let segment = parse_line(r#"{"text": "fine", "audio": [[1, 2], [3, 4]]}"#, 7).unwrap();
        assert_eq!(segment.id, "7");
        assert_eq!((segment.audio.width, segment.audio.len()), (2, 2));
        assert_eq!(segment.audio.values, [1.0, 2.0, 3.0, 4.0]);
        assert!(segment.vision.is_empty());
        let null = parse_line(r#"{"text": null, "audio": null, "vision": []}"#, 7).unwrap();
        assert!(null.text.is_empty() && null.audio.is_empty() && null.vision.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            (r#"{"audio": [[1], [2, 3]]}"#, "frame 1 of audio has 2"),
            (
                r#"{"vision": [[1, 2], [2, 3], []]}"#,
                "frame 2 of vision has 0",
            ),
            (r#"{"txt": "fine"}"#, "txt"),
            (r#"{"audio": [1, 2]}"#, "a frame, a list of numbers"),
            (r#"{"audio": 1}"#, "a list of frames"),
            (r#"{"audio": [["1"]]}"#, "string"),
            (r#"{"text": "a", "text": "b"}"#, "duplicate field `text`"),
            (r#"{"text": "fine"} {"#, "trailing"),
            (r#"{"text": "fi"#, "at column 12"),
            ("[]", "not a segment: an object"),
            ("[\"a\", \"fine\"]", "not a segment: an object"),
        ] {
            let error = parse_line(line, 1).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
