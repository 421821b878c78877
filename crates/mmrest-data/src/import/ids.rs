//! The ids of the releases.

use super::cells::{Cell, Column};

/// What stands between video and clip in MMSA's ids.
const SEPARATOR: &str = "$_$";

/// A segment as a release names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// A clip of a video.
    Clip { video: String, clip: String },
    /// A stretch of a video, from start to end in seconds, as written and as numbers.
    Stretch {
        video: String,
        start: f64,
        end: f64,
        written: String,
    },
}

impl Key {
    pub(super) fn video(&self) -> &str {
        match self {
            Self::Clip { video, .. } | Self::Stretch { video, .. } => video,
        }
    }

    /// `video$_$clip`, or `video$_$start_end` of a stretch.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Clip { video, clip } => format!("{video}{SEPARATOR}{clip}"),
            Self::Stretch { video, written, .. } => format!("{video}{SEPARATOR}{written}"),
        }
    }

    /// MMSA's `video$_$clip`; MulT's `video_clip`, which is split at the last underscore, or (video, start, end).
    /// Says why not.
    pub(super) fn read(column: &Column, mult: bool) -> Result<Vec<Self>, String> {
        let width = column.width();
        let rows = column.cells.chunks_exact(width.max(1));
        match (column.shape.is_empty(), width, mult) {
            (false, 1, _) => rows.map(|row| clip(row, mult)).collect(),
            (false, 3, true) => rows.map(stretch).collect(),
            _ => {
                let shapes = if mult { "(N, 1) or (N, 3)" } else { "(N,)" };
                Err(format!("shape {}, not {shapes}", column.shape_text()))
            }
        }
    }
}

fn clip(row: &[Cell], mult: bool) -> Result<Key, String> {
    let Some(id) = row.first().and_then(Cell::text) else {
        return Err("an id that is not text".to_owned());
    };
    let parts = match id.split_once(SEPARATOR) {
        None if mult => id.rsplit_once('_'),
        parts => parts,
    };
    match parts {
        Some((video, clip)) if !video.is_empty() && !clip.is_empty() => Ok(Key::Clip {
            video: video.to_owned(),
            clip: clip.to_owned(),
        }),
        _ => {
            let form = if mult { "video_clip" } else { "video$_$clip" };
            Err(format!("{id:?} is not of the form {form}"))
        }
    }
}

fn stretch(row: &[Cell]) -> Result<Key, String> {
    let [video, start, end] = row else {
        return Err("an id of less than three parts".to_owned());
    };
    let seconds = |cell: &Cell| match cell {
        Cell::Number(number) => Some((*number, number.to_string())),
        Cell::Text(text) => Some((text.trim().parse().ok()?, text.trim().to_owned())),
    };
    let times = seconds(start).zip(seconds(end));
    match (video.text(), times) {
        (Some(video), Some(((start, from), (end, to)))) if start.is_finite() && end.is_finite() => {
            Ok(Key::Stretch {
                video: video.to_owned(),
                start,
                end,
                written: format!("{from}_{to}"),
            })
        }
        _ => Err(format!("{row:?} is not (video, start, end)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str], mult: bool) -> Result<Vec<String>, String> {
        let cells = texts.iter().map(|&text| Cell::Text(text.to_owned()));
        let column = Column {
            shape: vec![texts.len(), 1],
            cells: cells.collect(),
        };
        let keys = Key::read(&column, mult)?;
        Ok(keys.iter().map(Key::id).collect())
    }

    #[test]
    fn a_video_may_hold_the_separators() {
        assert_eq!(ids(&["a_b-_7"], true).unwrap(), ["a_b-$_$7"]);
        assert_eq!(ids(&["a_b$_$7"], true).unwrap(), ["a_b$_$7"]);
        assert_eq!(
            ids(&["video_0001$_$0003"], false).unwrap(),
            ["video_0001$_$0003"]
        );
        for (wrong, mult) in [("a", true), ("_1", true), ("a_", true), ("a_1", false)] {
            assert!(ids(&[wrong], mult).unwrap_err().contains(wrong));
        }
    }
}
