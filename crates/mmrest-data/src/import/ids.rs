//! What the ids of a release name: clips of videos, pieces of videos, stretches of time, or nothing but themselves.

use std::collections::HashSet;

use super::cells::{Cell, Column};
use crate::csd::split_id;
use crate::table::Table;

/// What stands between video and clip in MMSA's ids.
const SEPARATOR: &str = "$_$";

/// No id is longer.
const LONGEST: usize = 1024;

/// A segment as a release names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// A clip of a video.
    Clip { video: String, clip: String },
    /// The SDK's `video[k]`: the piece of this number, from 0.
    Piece { video: String, piece: usize },
    /// A stretch of a video, from start to end in seconds, as written and as numbers.
    Stretch {
        video: String,
        start: f64,
        end: f64,
        written: String,
    },
    /// A number, or a text of no form that is known: its video is unknown.
    Plain { id: String },
}

impl Key {
    /// The video; of an id that names none, the id.
    pub(super) fn video(&self) -> &str {
        match self {
            Self::Clip { video, .. } | Self::Piece { video, .. } | Self::Stretch { video, .. } => {
                video
            }
            Self::Plain { id } => id,
        }
    }

    /// `video$_$clip`, or `video$_$start_end` of a stretch; others as they are written.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Clip { video, clip } => format!("{video}{SEPARATOR}{clip}"),
            Self::Piece { video, piece } => format!("{video}[{piece}]"),
            Self::Stretch { video, written, .. } => format!("{video}{SEPARATOR}{written}"),
            Self::Plain { id } => id.clone(),
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }
}

/// The ids of one split, as stored.
pub(super) struct Stored<'a> {
    /// What the file calls the split.
    pub(super) part: &'a str,
    pub(super) column: &'a Column,
}

/// Reads the ids of all splits of a file. What they name is decided for all together: `video_clip` only where every id ends
/// so, the first of three columns as `video_clip` where the table knows one of them, or, without a table, where no two are
/// the same. Numbers that begin anew in every split are told apart by its name.
///
/// Says which split's ids are wrong, and why.
pub(super) fn keys(
    parts: &[Stored<'_>],
    table: Option<&Table>,
    file: u64,
) -> Result<Vec<Vec<Key>>, (usize, String)> {
    let mut bytes = 0_u64;
    for (place, part) in parts.iter().enumerate() {
        check(part.column, file, &mut bytes).map_err(|reason| (place, reason))?;
    }
    let all: Vec<&[Cell]> = parts.iter().flat_map(|part| rows(part.column)).collect();
    let is_clip = |row: &&[Cell]| {
        row.first()
            .and_then(Cell::text)
            .is_some_and(|id| is_clip(id))
    };
    let clips = all.iter().all(is_clip) && named_by_clip(&all, table);
    let anew = repeat(parts);
    let key = |part: &Stored<'_>, row: &[Cell]| match row {
        [Cell::Number(number)] if anew => Ok(Key::Plain {
            id: format!("{}/{number}", part.part),
        }),
        [Cell::Number(number)] if number.is_finite() => Ok(Key::Plain {
            id: number.to_string(),
        }),
        [Cell::Text(id)] | [Cell::Text(id), _, _] if row.len() == 1 || clips => {
            Ok(of_text(id, clips))
        }
        [Cell::Text(video), start, end] => stretch(video, start, end),
        _ => Err(format!("{} is no id", shown(row))),
    };
    let mut keys = Vec::with_capacity(parts.len());
    for (place, part) in parts.iter().enumerate() {
        let wrong = |(row, reason)| (place, format!("row {row}: {reason}"));
        let of_part = rows(part.column)
            .enumerate()
            .map(|(row, cells)| key(part, cells).map_err(|reason| (row, reason)));
        keys.push(of_part.collect::<Result<_, _>>().map_err(wrong)?);
    }
    Ok(keys)
}

fn rows(column: &Column) -> std::slice::ChunksExact<'_, Cell> {
    column.cells.chunks_exact(column.width().max(1))
}

/// Refuses a shape that no ids have, ids that are long, and more text than the file holds: ids are all different.
fn check(column: &Column, file: u64, bytes: &mut u64) -> Result<(), String> {
    if column.shape.is_empty() || !matches!(column.width(), 1 | 3) && column.rows() > 0 {
        return Err(format!(
            "shape {}, not one id or (video, start, end) a row",
            column.shape_text()
        ));
    }
    for text in column.cells.iter().filter_map(Cell::text) {
        if text.len() > LONGEST {
            return Err(format!("an id of {} bytes", text.len()));
        }
        *bytes += text.len() as u64;
        if *bytes > file.saturating_mul(2) {
            return Err("ids that are there again and again".to_owned());
        }
    }
    Ok(())
}

/// Whether an id is a name, an underscore and a number.
fn is_clip(id: &str) -> bool {
    let clip = |(video, clip): (&str, &str)| {
        !video.is_empty() && !clip.is_empty() && clip.bytes().all(|byte| byte.is_ascii_digit())
    };
    let named = |(video, clip): (&str, &str)| !video.is_empty() && !clip.is_empty();
    id.split_once(SEPARATOR).is_some_and(named) || id.rsplit_once('_').is_some_and(clip)
}

/// Whether the first column, whose ids all look like `video_clip`, is to be taken so.
fn named_by_clip(rows: &[&[Cell]], table: Option<&Table>) -> bool {
    if rows.iter().all(|row| row.len() == 1) {
        return true;
    }
    let ids = || rows.iter().filter_map(|row| row.first()?.text());
    if let Some(table) = table {
        let in_table = |id: &str| {
            let (video, clip) = id.rsplit_once('_')?;
            table.row(video, clip.parse().ok()?)
        };
        if ids().any(|id| in_table(id).is_some()) {
            return true;
        }
        if ids().any(|id| table.clips(id).next().is_some()) {
            return false;
        }
    }
    let mut seen = HashSet::new();
    ids().all(|id| seen.insert(id))
}

/// Whether ids that are numbers are there in more than one split.
fn repeat(parts: &[Stored<'_>]) -> bool {
    let mut known: HashSet<u64> = HashSet::new();
    for part in parts {
        let numbers = part.column.cells.iter().filter_map(Cell::number);
        let own: HashSet<u64> = numbers.map(f64::to_bits).collect();
        if part.column.width() == 1 && own.iter().any(|number| known.contains(number)) {
            return true;
        }
        known.extend(own);
    }
    false
}

/// An id by its form.
fn of_text(id: &str, clips: bool) -> Key {
    let clip = |(video, clip): (&str, &str)| {
        let named = !video.is_empty() && !clip.is_empty();
        named.then(|| Key::Clip {
            video: video.to_owned(),
            clip: clip.to_owned(),
        })
    };
    if let Some(key) = id.split_once(SEPARATOR).and_then(clip) {
        return key;
    }
    if let (video, Some(piece)) = split_id(id)
        && id.ends_with(']')
        && !video.is_empty()
    {
        let video = video.to_owned();
        return Key::Piece { video, piece };
    }
    let by_underscore = id.rsplit_once('_').filter(|_| clips).and_then(clip);
    by_underscore.unwrap_or_else(|| Key::Plain { id: id.to_owned() })
}

fn stretch(video: &str, start: &Cell, end: &Cell) -> Result<Key, String> {
    let seconds = |cell: &Cell| match cell {
        Cell::Number(number) => Some((*number, number.to_string())),
        Cell::Text(text) => Some((text.trim().parse().ok()?, text.trim().to_owned())),
        Cell::Nothing => None,
    };
    match seconds(start).zip(seconds(end)) {
        Some(((start, from), (end, to))) if start.is_finite() && end.is_finite() => {
            Ok(Key::Stretch {
                video: video.to_owned(),
                start,
                end,
                written: format!("{from}_{to}"),
            })
        }
        _ => {
            let row = [Cell::Text(video.into()), start.clone(), end.clone()];
            Err(format!("{} is not (video, start, end)", shown(&row)))
        }
    }
}

/// The cells of a row as Python writes a list.
fn shown(row: &[Cell]) -> String {
    let cells = row.iter().map(|cell| match cell {
        Cell::Text(text) => format!("{text:?}"),
        Cell::Number(number) => number.to_string(),
        Cell::Nothing => "None".to_owned(),
    });
    let cells: Vec<String> = cells.collect();
    match cells.as_slice() {
        [one] => one.clone(),
        _ => format!("[{}]", cells.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(texts: &[&str], shape: Vec<usize>) -> Column {
        let cells = texts.iter().map(|&text| Cell::Text(text.into()));
        Column {
            shape,
            cells: cells.collect(),
        }
    }

    fn ids(texts: &[&str]) -> Vec<String> {
        let column = column(texts, vec![texts.len(), 1]);
        let stored = Stored {
            part: "train",
            column: &column,
        };
        let keys = keys(&[stored], None, 1 << 20).unwrap();
        keys[0].iter().map(Key::id).collect()
    }

    #[test]
    fn ids_are_what_their_form_says_and_that_of_the_others() {
        assert_eq!(ids(&["a_b-_7", "a_1"]), ["a_b-$_$7", "a$_$1"]);
        assert_eq!(ids(&["a_b$_$7"]), ["a_b$_$7"]);
        assert_eq!(ids(&["video_0001$_$0003"]), ["video_0001$_$0003"]);
        assert_eq!(ids(&["a_1[3]", "b[0]"]), ["a_1[3]", "b[0]"]);
        // One that is no clip, and none is.
        assert_eq!(ids(&["a_b", "a_1"]), ["a_b", "a_1"]);
        for plain in ["a", "_1", "a_", "$_$", "[3]", "a[b]", "a[1]x"] {
            assert_eq!(ids(&[plain]), [plain]);
        }
    }

    #[test]
    fn numbers_that_begin_anew_in_each_split_are_told_apart() {
        let numbers = |of: &[f64]| Column {
            shape: vec![of.len()],
            cells: of.iter().map(|&number| Cell::Number(number)).collect(),
        };
        let (train, test, other) = (numbers(&[0.0, 1.0]), numbers(&[0.0]), numbers(&[7.0]));
        let of = |columns: [&Column; 2]| {
            let [one, two] = columns;
            let stored = [("train", one), ("test", two)];
            let stored = stored.map(|(part, column)| Stored { part, column });
            let keys = keys(&stored, None, 1 << 20).unwrap();
            keys.concat().iter().map(Key::id).collect::<Vec<_>>()
        };
        assert_eq!(of([&train, &test]), ["train/0", "train/1", "test/0"]);
        assert_eq!(of([&train, &other]), ["0", "1", "7"]);
    }

    #[test]
    fn three_columns_are_clips_or_stretches() {
        let of = |cells: &[&str]| {
            let column = column(cells, vec![cells.len() / 3, 3]);
            let stored = Stored {
                part: "train",
                column: &column,
            };
            keys(&[stored], None, 1 << 20).map(|keys| keys[0].iter().map(Key::id).collect())
        };
        let clips: Vec<String> = of(&["a_1", "0", "2", "a_2", "2", "4"]).unwrap();
        assert_eq!(clips, ["a$_$1", "a$_$2"]);
        // The same name twice: a video that ends in a number.
        let stretches = of(&["a_1", "0", "2", "a_1", "2", "4"]).unwrap();
        assert_eq!(stretches, ["a_1$_$0_2", "a_1$_$2_4"]);
        let (_, wrong) = of(&["a", "0", "end"]).unwrap_err();
        assert!(
            wrong.contains("row 0: [\"a\", \"0\", \"end\"] is not"),
            "{wrong}"
        );
    }
}
