//! A line in: one segment to score.

use mmrest_data::{Frames, Segment};
use serde::Deserialize;

/// One segment to score; every modality may be absent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    vision: Option<Vec<Vec<f32>>>,
    #[serde(default)]
    audio: Option<Vec<Vec<f32>>>,
}

/// Reads one line; without an id it is called by its number.
pub(crate) fn parse_line(line: &str, number: usize) -> Result<Segment, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| format!("not a segment: {e}"))?;
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

fn frames(modality: &str, rows: Option<Vec<Vec<f32>>>) -> Result<Frames, String> {
    let rows = rows.unwrap_or_default();
    let width = rows.first().map_or(0, Vec::len);
    if let Some(odd) = rows.iter().position(|row| row.len() != width) {
        return Err(format!(
            "frame {odd} of {modality} has {} features, frame 0 has {width}",
            rows[odd].len()
        ));
    }
    Ok(Frames {
        values: rows.concat(),
        width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_modalities_are_empty() {
        let segment = parse_line(r#"{"text": "fine", "audio": [[1, 2], [3, 4]]}"#, 7).unwrap();
        assert_eq!(segment.id, "7");
        assert_eq!((segment.audio.width, segment.audio.len()), (2, 2));
        assert!(segment.vision.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let ragged = parse_line(r#"{"audio": [[1], [2, 3]]}"#, 1).unwrap_err();
        assert!(ragged.contains("frame 1 of audio has 2"), "{ragged}");
        let unknown = parse_line(r#"{"txt": "fine"}"#, 1).unwrap_err();
        assert!(unknown.contains("txt"), "{unknown}");
    }
}
