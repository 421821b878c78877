//! Joins a release to its table: by id, never by the order of rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::ids::Key;
use super::part::Part;
use super::{Place, Release};
use crate::config::Files;
use crate::cross_check::{same_label, same_text};
use crate::table::{Required, Row, Table};
use crate::{DataConfig, DataError, DataReport, Modality, Result};

/// Ids that an error names.
const NAMED: usize = 10;

const WHOLE: Place<'_> = Place {
    view: None,
    key: "id",
};

/// Reads the table; its split too, where it has that column.
pub(super) fn table(config: &DataConfig, files: &Files, wordless: bool) -> Result<Option<Table>> {
    let Some(path) = files.table.as_deref() else {
        return Ok(None);
    };
    let mut required = Required {
        id: true,
        text: wordless && config.uses(Modality::Text),
        label: false,
        split: true,
    };
    let table = match Table::read_with(path, &config.columns, required) {
        Err(DataError::Column { column, .. }) if column == config.columns.split => {
            required.split = false;
            Table::read_with(path, &config.columns, required)
        }
        other => other,
    };
    table.map(Some)
}

/// Gives every segment of the release its row, and the text and clip that the release may lack.
///
/// # Errors
///
/// [`DataError::Release`] naming ids that only one side has (of a release with its own text, that is no error), and one
/// whose split is another in the table.
pub(super) fn join(
    release: &Release,
    config: &DataConfig,
    table: &Table,
    parts: &mut [Part],
    report: &mut DataReport,
) -> Result<()> {
    let stretches = parts
        .iter()
        .flat_map(|part| &part.keys)
        .any(|key| matches!(key, Key::Stretch { .. }));
    let found = if stretches {
        by_time(release, table, parts)?
    } else {
        by_clip(table, parts)
    };
    let wordless = !release.has_text();
    if wordless {
        check_both_sides(release, table, parts, &found)?;
    }
    let used: HashSet<u64> = found
        .iter()
        .flatten()
        .flatten()
        .map(|row| row.line)
        .collect();
    report.table_rows_unused = table.rows().len() - used.len();
    for (part, rows) in parts.iter_mut().zip(&found) {
        check_splits(release, part, rows)?;
        compare(part, rows, report);
        if wordless {
            let text =
                |row: &Option<&Row>| row.map_or_else(String::new, |row| row.text.clone()).into();
            part.texts = config
                .uses(Modality::Text)
                .then(|| rows.iter().map(text).collect());
            let ids = part.keys.iter().zip(rows);
            part.ids = ids
                .map(|(key, row)| row.map_or_else(|| key.id(), Row::id))
                .collect();
        }
    }
    Ok(())
}

/// The row of every segment of every part.
type Rows<'t> = Vec<Vec<Option<&'t Row>>>;

/// Rows by video and clip; a clip that is a number may be written otherwise (`1`, `0001`).
fn by_clip<'t>(table: &'t Table, parts: &[Part]) -> Rows<'t> {
    let rows = table.rows().iter();
    let exact: HashMap<(&str, &str), &Row> = rows
        .map(|row| ((row.video.as_str(), row.clip.as_str()), row))
        .collect();
    let plain = parts.iter().flat_map(|part| &part.keys).any(Key::is_plain);
    let names: Vec<(String, &Row)> = table
        .rows()
        .iter()
        .filter(|_| plain)
        .map(|row| (format!("{}_{}", row.video, row.clip), row))
        .collect();
    let by_name: HashMap<&str, &Row> = names.iter().map(|(id, row)| (id.as_str(), *row)).collect();
    let row = |key: &Key| match key {
        Key::Clip { video, clip } => exact
            .get(&(video.as_str(), clip.as_str()))
            .copied()
            .or_else(|| table.row(video, clip.parse().ok()?)),
        // The SDK counts from 0, tables from 1.
        Key::Piece { video, piece } => table.row(video, piece.checked_add(1)?),
        Key::Plain { id } => by_name.get(id.as_str()).copied(),
        Key::Stretch { .. } => None,
    };
    let rows = parts.iter().map(|part| part.keys.iter().map(row).collect());
    rows.collect()
}

/// Rows by the order of a video's segments in time, which must be proven: as many as the table has of that video, with
/// its labels in the order of its clips.
fn by_time<'t>(release: &Release, table: &'t Table, parts: &[Part]) -> Result<Rows<'t>> {
    let mut rows: Rows<'t> = parts
        .iter()
        .map(|part| vec![None; part.keys.len()])
        .collect();
    for (video, segments) in segments_by_video(parts) {
        let clips: Vec<&Row> = table.clips(video).collect();
        let labels: Vec<f32> = segments.iter().map(|segment| segment.label).collect();
        if clips.is_empty() {
            continue;
        }
        let same =
            |(clip, &label): (&&Row, &f32)| clip.label.is_some_and(|own| same_label(own, label));
        if clips.len() != labels.len() || !clips.iter().zip(&labels).all(same) {
            return Err(unproven(release, video, &labels, &clips));
        }
        for (segment, clip) in segments.iter().zip(clips) {
            let place = rows
                .get_mut(segment.part)
                .and_then(|rows| rows.get_mut(segment.row));
            if let Some(place) = place {
                *place = Some(clip);
            }
        }
    }
    Ok(rows)
}

/// A segment in time.
struct Timed {
    start: f64,
    end: f64,
    label: f32,
    part: usize,
    row: usize,
}

/// The segments of each video in the order of time.
fn segments_by_video(parts: &[Part]) -> BTreeMap<&str, Vec<Timed>> {
    let mut videos: BTreeMap<&str, Vec<Timed>> = BTreeMap::new();
    for (place, part) in parts.iter().enumerate() {
        for (row, (key, &label)) in part.keys.iter().zip(&part.labels).enumerate() {
            if let &Key::Stretch {
                ref video,
                start,
                end,
                ..
            } = key
            {
                let part = place;
                let timed = Timed {
                    start,
                    end,
                    label,
                    part,
                    row,
                };
                videos.entry(video).or_default().push(timed);
            }
        }
    }
    for segments in videos.values_mut() {
        segments.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
    }
    videos
}

fn unproven(release: &Release, video: &str, labels: &[f32], clips: &[&Row]) -> DataError {
    let theirs: Vec<Option<f32>> = clips.iter().map(|clip| clip.label).take(NAMED).collect();
    let ours: Vec<f32> = labels.iter().copied().take(NAMED).collect();
    let reason = format!(
        "its {} segments have the labels {ours:?} in time, but its {} clips in the table {theirs:?}, so that which is which \
         cannot be told; take the label.csv of the same release",
        labels.len(),
        clips.len()
    );
    release.wrong(WHOLE, format!("video {video:?}: {reason}"))
}

/// Refuses ids that only one side has.
fn check_both_sides(
    release: &Release,
    table: &Table,
    parts: &[Part],
    found: &Rows<'_>,
) -> Result<()> {
    let segments = parts
        .iter()
        .zip(found)
        .flat_map(|(part, rows)| part.ids.iter().zip(rows));
    let only_here: Vec<&str> = segments
        .filter(|(_, row)| row.is_none())
        .map(|(id, _)| id.as_str())
        .collect();
    let joined: HashSet<u64> = found
        .iter()
        .flatten()
        .flatten()
        .map(|row| row.line)
        .collect();
    let rows = table
        .rows()
        .iter()
        .filter(|row| !joined.contains(&row.line));
    let only_there: Vec<String> = rows.map(Row::id).collect();
    if only_here.is_empty() && only_there.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "{} of its segments are not in {} ({}), and {} rows of the table are not in it ({})",
        only_here.len(),
        table.path().display(),
        some(&only_here),
        only_there.len(),
        some(&only_there)
    );
    Err(release.wrong(WHOLE, reason))
}

/// The first of some ids.
fn some<T: AsRef<str>>(ids: &[T]) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED).map(AsRef::as_ref).collect();
    match (named.is_empty(), ids.len() > NAMED) {
        (true, _) => "none".to_owned(),
        (false, more) => format!("{}{}", named.join(", "), if more { ", ..." } else { "" }),
    }
}

/// The split is the release's; a table that says otherwise is not the release's.
fn check_splits(release: &Release, part: &Part, rows: &[Option<&Row>]) -> Result<()> {
    for (id, row) in part.ids.iter().zip(rows) {
        let theirs = row.and_then(|row| row.split);
        if let Some(theirs) = theirs.filter(|&theirs| part.split.is_some_and(|own| own != theirs)) {
            let reason = format!("{id:?} is {theirs} in the table");
            let view = Some(part.view);
            return Err(release.wrong(Place { view, key: "" }, reason));
        }
    }
    Ok(())
}

/// Counts labels and transcripts that both sides have, and those that differ.
fn compare(part: &Part, rows: &[Option<&Row>], report: &mut DataReport) {
    for (i, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        if let (Some(&own), Some(theirs)) = (part.labels.get(i), row.label)
            && own.is_finite()
        {
            report.labels_compared += 1;
            report.label_mismatches += usize::from(!same_label(own, theirs));
        }
        let text = part.texts.as_ref().and_then(|texts| texts.get(i));
        if let Some(same) = text.and_then(|text| same_text(&row.text, text)) {
            report.texts_compared += 1;
            report.text_mismatches += usize::from(!same);
        }
    }
}
