//! The JSON lines of `predict` and `serve`: one segment per line in, one score per line out.

use std::borrow::Cow;
use std::fmt;

use mmrest_data::text::count;
use mmrest_data::{Frames, Modality, Segment};
use mmrest_learner::{
    Contributions, Explanation, Interpretation, NearCluster, Neighbour, Polarity, Prediction,
};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
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
    /// Plays no part in a score.
    #[serde(default, rename = "label")]
    _label: IgnoredAny,
}

/// Parses one line; a segment without an id gets its number as id.
pub(crate) fn parse_line(line: &str, number: usize) -> Result<Segment, String> {
    if !line.trim_start().starts_with('{') {
        // serde would accept a list in the order of the fields.
        return Err("not a segment: an object is expected, such as {\"text\": \"fine\"}".into());
    }
    let line: Line = serde_json::from_str(&without_nan(line)).map_err(|error| {
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

/// JSON with `null` for each `NaN`, `Infinity` and `-Infinity` outside of texts: JSON has no such numbers, but Python
/// writes them.
pub(crate) fn without_nan(json: &str) -> Cow<'_, str> {
    if !json.contains("NaN") && !json.contains("Infinity") {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len());
    for (place, part) in texts_apart(json).into_iter().enumerate() {
        if place % 2 == 1 {
            plain.push_str(part);
        } else {
            let part = part
                .replace("-Infinity", "null")
                .replace("Infinity", "null");
            plain.push_str(&part.replace("NaN", "null"));
        }
    }
    Cow::Owned(plain)
}

/// The parts of a JSON text: what is outside of quotes, and the quoted texts between, in turn.
fn texts_apart(json: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => {
                parts.push(&json[start..at]);
                (start, quoted) = (at, !quoted);
            }
            _ => {}
        }
    }
    parts.push(&json[start..]);
    parts
}

/// Why a segment whose score is not finite has none.
pub(crate) fn not_finite(segment: &Segment) -> String {
    let largest = |frames: &Frames| frames.values.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let (modality, largest) = [
        (Modality::Vision, largest(&segment.vision)),
        (Modality::Audio, largest(&segment.audio)),
    ]
    .into_iter()
    .max_by(|a, b| a.1.total_cmp(&b.1))
    .unwrap_or((Modality::Audio, 0.0));
    format!(
        "its score is not a finite number: the largest value of {modality}, {largest:e}, is far from what the model was \
         trained on"
    )
}

fn frames(modality: &str, listed: Option<Listed>) -> Result<Frames, String> {
    let listed = listed.unwrap_or_default();
    if let Some((frame, features)) = listed.odd {
        return Err(format!(
            "frame {frame} of {modality} has {}, frame 0 has {}",
            count(features, "feature"),
            listed.frames.width
        ));
    }
    Ok(listed.frames)
}

/// A list of lists of numbers, stored in one vector as they are read: many short lists take no more memory than their
/// numbers.
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
        while let Some(number) = numbers.next_element::<Option<f32>>()? {
            // What is no number is set to 0 where frames are cleaned.
            self.0.push(number.unwrap_or(f32::NAN));
        }
        Ok(self.0.len() - before)
    }
}

/// One score.
#[derive(Debug, Serialize)]
pub(crate) struct Scored<'a> {
    id: &'a str,
    /// Where it lies in its recording, and what is said there.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    spoken: Option<&'a Spoken>,
    /// y = y' + gamma bias.
    prediction: f32,
    /// What that is.
    label: Polarity,
    /// Where the true sentiment lies, at the confidence asked for; null where the model gives none.
    interval: Option<[f32; 2]>,
    /// y'.
    score: f32,
    /// gamma bias.
    bias: f32,
    /// The two nearest clusters.
    clusters: &'a [NearCluster],
    /// The modalities that the model uses and the segment lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a [Modality]>,
    /// The modalities with features unlike any that the model was trained on.
    #[serde(skip_serializing_if = "<[Modality]>::is_empty")]
    beyond_training: &'a [Modality],
    /// The explanation, on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explained<'a>>,
}

/// A stretch of a recording.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Spoken {
    /// Seconds.
    pub(crate) start: f64,
    /// Seconds.
    pub(crate) end: f64,
    /// What is said.
    pub(crate) text: String,
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
    pub(crate) fn new(id: &'a str, prediction: &'a Prediction, meaning: Interpretation) -> Self {
        Self {
            id,
            spoken: None,
            prediction: prediction.prediction,
            label: meaning.polarity,
            interval: meaning.interval,
            score: prediction.score,
            bias: prediction.bias,
            clusters: &prediction.near,
            missing: None,
            beyond_training: &[],
            explanation: None,
        }
    }

    /// A score with its explanation.
    pub(crate) fn explained(
        id: &'a str,
        explanation: &'a Explanation,
        meaning: Interpretation,
    ) -> Self {
        Self {
            explanation: Some(Explained {
                base: explanation.base,
                contributions: &explanation.contributions,
                neighbours: &explanation.neighbours,
            }),
            ..Self::new(id, &explanation.prediction, meaning)
        }
    }

    /// Adds where a segment of a recording lies.
    pub(crate) fn spoken(self, spoken: Option<&'a Spoken>) -> Self {
        Self { spoken, ..self }
    }

    /// The score as a subtitle: its number from 1, its time, its text after the score.
    pub(crate) fn subtitle(&self, number: usize) -> String {
        let [start, end] = match self.spoken {
            Some(spoken) => [spoken.start, spoken.end],
            None => [0.0; 2],
        };
        let text = self.spoken.map_or("", |spoken| &spoken.text);
        format!(
            "{number}\n{} --> {}\n[{:+.2}] {text}\n\n",
            subtitle_time(start),
            subtitle_time(end),
            self.prediction
        )
    }

    /// Adds the modalities with features far from those of training.
    pub(crate) fn beyond_training(self, beyond_training: &'a [Modality]) -> Self {
        Self {
            beyond_training,
            ..self
        }
    }

    /// The columns of a table of scores; more of recordings' segments and with explanations.
    pub(crate) fn columns(spoken: bool, explained: bool) -> Vec<&'static str> {
        let mut columns = vec!["id"];
        if spoken {
            columns.extend(["start", "end", "said"]);
        }
        columns.extend([
            "prediction",
            "label",
            "lower",
            "upper",
            "score",
            "bias",
            "cluster",
            "sentiment",
            "distance",
            "second_cluster",
            "second_sentiment",
            "second_distance",
            "missing",
            "beyond_training",
        ]);
        if explained {
            columns.extend(["base", "text", "vision", "audio", "neighbours"]);
        }
        columns
    }

    /// The score as a row of such a table; lists are separated by spaces.
    pub(crate) fn cells(&self) -> Vec<String> {
        let near = |place: usize| match self.clusters.get(place) {
            Some(near) => [
                near.cluster.to_string(),
                near.sentiment.to_string(),
                near.distance.to_string(),
            ],
            None => Default::default(),
        };
        let names = |modalities: &[Modality]| {
            let names: Vec<&str> = modalities.iter().map(|modality| modality.name()).collect();
            names.join(" ")
        };
        let bound = |place: usize| self.interval.map(|interval| interval[place].to_string());
        let mut cells = vec![self.id.to_owned()];
        if let Some(spoken) = self.spoken {
            cells.extend([spoken.start, spoken.end].map(|seconds| seconds.to_string()));
            cells.push(spoken.text.clone());
        }
        cells.extend([
            self.prediction.to_string(),
            self.label.to_string(),
            bound(0).unwrap_or_default(),
            bound(1).unwrap_or_default(),
            self.score.to_string(),
            self.bias.to_string(),
        ]);
        cells.extend(near(0));
        cells.extend(near(1));
        cells.push(names(self.missing.unwrap_or_default()));
        cells.push(names(self.beyond_training));
        if let Some(explained) = &self.explanation {
            cells.push(explained.base.to_string());
            let of = |modality| explained.contributions.of(modality);
            cells.extend(
                Modality::ALL.map(|modality| of(modality).map_or(String::new(), |c| c.to_string())),
            );
            let ids = explained.neighbours.iter();
            let ids: Vec<&str> = ids.map(|neighbour| neighbour.id.as_str()).collect();
            cells.push(ids.join(" "));
        }
        cells
    }

    /// Adds the modalities that were missing, of those that the model uses.
    pub(crate) fn missing(self, missing: &'a [Modality]) -> Self {
        Self {
            missing: Some(missing),
            ..self
        }
    }
}

/// `hh:mm:ss,mmm`, as SubRip writes times.
fn subtitle_time(seconds: f64) -> String {
    let milliseconds = (seconds.max(0.0) * 1000.0).round();
    let (whole, rest) = ((milliseconds / 1000.0).floor(), milliseconds % 1000.0);
    let (hours, minutes) = ((whole / 3600.0).floor(), (whole / 60.0).floor() % 60.0);
    format!("{hours:02}:{minutes:02}:{:02},{rest:03}", whole % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtitle_has_number_time_score_and_text() {
        let prediction = Prediction {
            row: 0,
            prediction: -0.456,
            score: 0.0,
            bias: 0.0,
            near: Vec::new(),
        };
        let spoken = Spoken {
            start: 3661.2,
            end: 3662.9996,
            text: "not bad".into(),
        };
        let meaning = Interpretation {
            polarity: Polarity::Neutral,
            interval: None,
        };
        let scored = Scored::new("a[0]", &prediction, meaning).spoken(Some(&spoken));
        assert_eq!(
            scored.subtitle(7),
            "7\n01:01:01,200 --> 01:01:03,000\n[-0.46] not bad\n\n"
        );
        assert_eq!(
            scored.cells()[..4],
            ["a[0]", "3661.2", "3662.9996", "not bad"]
        );
        assert_eq!(scored.cells().len(), Scored::columns(true, false).len());
        let line = serde_json::to_string(&scored).unwrap();
        assert!(
            line.starts_with(
                r#"{"id":"a[0]","start":3661.2,"end":3662.9996,"text":"not bad","prediction":"#
            ),
            "{line}"
        );
    }

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
    fn what_python_writes_for_nan_is_no_number_and_no_more() {
        let line = r#"{"text": "NaN \"Infinity\"", "label": NaN, "audio": [[NaN, -Infinity], [Infinity, null]]}"#;
        let segment = parse_line(line, 1).unwrap();
        assert_eq!(segment.text, "NaN \"Infinity\"");
        assert!(segment.audio.values.iter().all(|value| value.is_nan()));
        assert_eq!(segment.audio.len(), 2);
        assert!(matches!(without_nan("{\"text\": 1}"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_row_has_a_cell_a_column() {
        let prediction = Prediction {
            row: 0,
            prediction: 0.5,
            score: 0.25,
            bias: 0.25,
            near: vec![NearCluster {
                cluster: 4,
                sentiment: 1,
                distance: 2.5,
            }],
        };
        let missing = [Modality::Vision, Modality::Audio];
        let meaning = Interpretation {
            polarity: Polarity::Positive,
            interval: Some([-1.0, 2.0]),
        };
        let scored = Scored::new("a, b", &prediction, meaning).missing(&missing);
        let cells = scored.cells();
        assert_eq!(cells.len(), Scored::columns(false, false).len());
        let expected = [
            "a, b",
            "0.5",
            "positive",
            "-1",
            "2",
            "0.25",
            "0.25",
            "4",
            "1",
            "2.5",
            "",
            "",
            "",
            "vision audio",
            "",
        ];
        assert_eq!(cells, expected);
        let explanation = Explanation {
            prediction,
            base: 1.0,
            contributions: Contributions::default(),
            neighbours: Vec::new(),
        };
        let cells = Scored::explained("a", &explanation, meaning).cells();
        assert_eq!(cells.len(), Scored::columns(false, true).len());
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
