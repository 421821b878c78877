//! Parses the body of a request: one segment, an array of segments, or one segment per line.

use axum::http::StatusCode;
use mmrest_data::{Modality, Segment};
use serde::de::IgnoredAny;

use super::error::HttpError;
use super::{MAX_FRAMES, MAX_TEXT_BYTES};
use crate::lines::{parse_line, without_nan};

/// The format of a body, from its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFormat {
    /// JSON.
    Json,
    /// One JSON object per line.
    Lines,
}

/// How segments are laid out in the body; scores are laid out likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Array,
    Lines,
}

impl BodyFormat {
    /// The format that a content type names.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, HttpError> {
        let named = content_type.unwrap_or_default();
        let essence = named.split(';').next().unwrap_or_default();
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/jsonl" => Ok(Self::Lines),
            _ => Err(HttpError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "the content type is '{named}': send application/json (an object or an array of them) or \
                     application/x-ndjson (an object per line)"
                ),
            )),
        }
    }
}

/// Parses at most `most` segments from a body; the first segment that is wrong fails the request.
pub(super) fn read(
    kind: BodyFormat,
    body: &[u8],
    most: usize,
    check: impl Fn(&Segment) -> Result<(), String>,
) -> Result<(Shape, Vec<Segment>), HttpError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        HttpError::bad(format!(
            "the body is not UTF-8 from byte {at} on: send JSON as UTF-8"
        ))
    })?;
    let text = &*without_nan(text);
    let shape = match (kind, text.trim_start().chars().next()) {
        (BodyFormat::Lines, _) => Shape::Lines,
        (BodyFormat::Json, Some('[')) => Shape::Array,
        (BodyFormat::Json, Some(_)) => Shape::One,
        (BodyFormat::Json, None) => {
            return Err(HttpError::bad(
                "the body is empty: send a segment, such as {\"text\": \"a wonderful film\"}",
            ));
        }
    };
    let mut segments = Vec::new();
    let mut take = |place: &str, number: usize, json: &str| {
        if segments.len() == most {
            let message =
                format!("there are more than {most} segments: send them in several requests");
            return Err(HttpError::large(message));
        }
        let named = |message| HttpError::bad(format!("{place}{message}"));
        if !json.trim_start().starts_with('{') {
            let message =
                "not a segment: an object such as {\"text\": \"a wonderful film\"} is expected";
            return Err(named(message.to_string()));
        }
        let segment = parse_line(json, number).map_err(named)?;
        let segment = sized(segment, place)?;
        check(&segment).map_err(named)?;
        segments.push(segment);
        Ok(())
    };
    match shape {
        Shape::One => take("", 1, text)?,
        Shape::Array => elements(text, |number, json| {
            take(&format!("element {number}: "), number, json)
        })?,
        Shape::Lines => {
            for (number, line) in (1..).zip(text.lines()) {
                if !line.trim().is_empty() {
                    take(&format!("line {number}: "), number, line)?;
                }
            }
        }
    }
    Ok((shape, segments))
}

/// The segment, unless it is too large.
pub(super) fn sized(segment: Segment, place: &str) -> Result<Segment, HttpError> {
    let bytes = segment.text.len();
    if bytes > MAX_TEXT_BYTES {
        return Err(HttpError::large(format!(
            "{place}the text has {bytes} bytes: at most {MAX_TEXT_BYTES} are taken, and the model reads fewer"
        )));
    }
    for modality in [Modality::Vision, Modality::Audio] {
        let frames = segment.frames(modality).map_or(0, mmrest_data::Frames::len);
        if frames > MAX_FRAMES {
            return Err(HttpError::large(format!(
                "{place}{modality} has {frames} frames: at most {MAX_FRAMES} are taken, so cut the segment or average its \
                 frames"
            )));
        }
    }
    Ok(segment)
}

/// Calls `each` with the number, from 1, and the text of every element of a JSON array.
fn elements(
    array: &str,
    mut each: impl FnMut(usize, &str) -> Result<(), HttpError>,
) -> Result<(), HttpError> {
    let open = |found: &str| {
        let found = found
            .chars()
            .next()
            .map_or("its end".to_string(), |c| format!("'{c}'"));
        HttpError::bad(format!(
            "the array is not JSON: ',' or ']' expected, found {found}"
        ))
    };
    let mut rest = array
        .trim_start()
        .strip_prefix('[')
        .unwrap_or_default()
        .trim_start();
    let mut number = 0;
    if !rest.starts_with(']') {
        loop {
            number += 1;
            let end = end_of_value(rest);
            each(number, &rest[..end])?;
            rest = rest[end..].trim_start();
            match rest.strip_prefix(',') {
                Some(next) => rest = next.trim_start(),
                None => break,
            }
        }
    }
    match rest.strip_prefix(']').map(str::trim) {
        Some("") => Ok(()),
        Some(_) => Err(HttpError::bad(
            "there is text after the array: send one array",
        )),
        None => Err(open(rest)),
    }
}

/// The end of the JSON value at the start of `text`; the end of the text where it is not valid JSON, which the parser then
/// reports.
fn end_of_value(text: &str) -> usize {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => values.byte_offset(),
        _ => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(kind: BodyFormat, body: &str) -> Result<(Shape, Vec<Segment>), HttpError> {
        read(kind, body.as_bytes(), 3, |segment| {
            match segment.audio.width {
                0 | 2 => Ok(()),
                width => Err(format!("audio has {width} features")),
            }
        })
    }

    fn ids(kind: BodyFormat, body: &str) -> (Shape, Vec<String>) {
        let (shape, segments) = read_all(kind, body).unwrap();
        (shape, segments.into_iter().map(|s| s.id).collect())
    }

    #[test]
    fn every_shape_is_read_and_numbered() {
        let strings = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ids(BodyFormat::Json, " {} "), (Shape::One, strings(&["1"])));
        let array = r#" [ {"text": "],}{\"[" } ,{"id": "b"}, {"audio": [[1, 2]]}] "#;
        assert_eq!(
            ids(BodyFormat::Json, array),
            (Shape::Array, strings(&["1", "b", "3"]))
        );
        assert_eq!(ids(BodyFormat::Json, "[]"), (Shape::Array, strings(&[])));
        let lines = "{}\n\n{\"id\": \"x\"}\r\n";
        assert_eq!(
            ids(BodyFormat::Lines, lines),
            (Shape::Lines, strings(&["1", "x"]))
        );
        assert_eq!(ids(BodyFormat::Lines, ""), (Shape::Lines, strings(&[])));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (kind, body, said) in [
            (BodyFormat::Json, "", "the body is empty"),
            (BodyFormat::Json, "{", "EOF"),
            (BodyFormat::Json, "{} {}", "trailing"),
            (BodyFormat::Json, "7", "not a segment"),
            (BodyFormat::Json, "[{}, 7]", "element 2: not a segment"),
            (
                BodyFormat::Json,
                "[{}, {\"txt\": 1}]",
                "element 2: not a segment: unknown field `txt`",
            ),
            (BodyFormat::Json, "[{}, {\"text\": ]", "element 2"),
            (
                BodyFormat::Json,
                "[{} {}]",
                "',' or ']' expected, found '{'",
            ),
            (BodyFormat::Json, "[{}", "found its end"),
            (BodyFormat::Json, "[{},]", "element 2"),
            (BodyFormat::Json, "[{}] x", "after the array"),
            (
                BodyFormat::Json,
                "[{\"audio\": [[1]]}]",
                "element 1: audio has 1 features",
            ),
            (BodyFormat::Lines, "{}\n\n[]", "line 3: not a segment"),
        ] {
            let refusal = read_all(kind, body).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{body}");
            assert!(
                refusal.message.contains(said),
                "{body}: {}",
                refusal.message
            );
        }
        let odd = read(BodyFormat::Json, b"{\"text\": \"\xff\"}", 3, |_| Ok(())).unwrap_err();
        assert!(odd.message.contains("byte 10"), "{}", odd.message);
        let deep = "[".repeat(100_000);
        assert_eq!(
            read_all(BodyFormat::Json, &deep).unwrap_err().status,
            StatusCode::BAD_REQUEST
        );
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let text = format!("{{\"text\": \"{}\"}}", "a".repeat(MAX_TEXT_BYTES + 1));
        let frames = format!("{{\"audio\": [{}[0, 0]]}}", "[0, 0],".repeat(MAX_FRAMES));
        for body in [text.as_str(), &frames, "[{}, {}, {}, {}]"] {
            let refusal = read_all(BodyFormat::Json, body).unwrap_err();
            assert_eq!(
                refusal.status,
                StatusCode::PAYLOAD_TOO_LARGE,
                "{}",
                refusal.message
            );
        }
    }

    /// Ten thousand damaged bodies: each is read or refused in a sentence.
    #[test]
    fn damaged_bodies_are_refused_in_a_sentence() {
        let whole = r#"[{"id": "ä\u00e9", "text": "a \"film\"", "vision": [[0.1, -2e3]], "audio": null}, {"text": ""}]"#;
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let mut refused = 0;
        for round in 0..10_000 {
            let mut body = whole.as_bytes().to_vec();
            for _ in 0..=draw(4) {
                let at = draw(body.len());
                match draw(5) {
                    0 => body[at] ^= 1 << draw(8),
                    1 => body[at] = br#"[]{},:"\0e-"#[draw(11)],
                    2 => drop(body.drain(at..(at + 1 + draw(9)).min(body.len()))),
                    3 => body.extend_from_within(at..),
                    _ => body.truncate(at.max(1)),
                }
                if body.is_empty() {
                    body.push(b'[');
                }
            }
            let kind = [BodyFormat::Json, BodyFormat::Lines][round % 2];
            if let Err(refusal) = read(kind, &body, 3, |_| Ok(())) {
                let known = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE];
                assert!(known.contains(&refusal.status), "{refusal:?}");
                assert!(!refusal.message.is_empty() && !refusal.message.contains('\n'));
                refused += 1;
            }
        }
        assert!((5_000..10_000).contains(&refused), "{refused}");
    }

    #[test]
    fn content_types_are_known_by_their_essence() {
        assert_eq!(
            BodyFormat::of(Some("Application/JSON; charset=utf-8")),
            Ok(BodyFormat::Json)
        );
        assert_eq!(
            BodyFormat::of(Some("application/x-ndjson")),
            Ok(BodyFormat::Lines)
        );
        for other in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let status = BodyFormat::of(other).unwrap_err().status;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }
}
