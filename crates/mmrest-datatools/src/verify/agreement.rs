//! Checks that the files of a data set agree on its segments.

use std::collections::BTreeMap;

use super::{Checks, Known, Outcome};
use mmrest_data::cross_check::{same_label, same_text};
use mmrest_data::csd::{ComputationalSequence, Entry, Features};
use mmrest_data::csd::{LabelledInterval, labelled_intervals};
use mmrest_data::overlapping;
use mmrest_data::table::Table;
use mmrest_data::text::{count, few};

/// The pause token of word sequences.
const PAUSE: &str = "sp";

/// Segments whose words differ from the table's text in the files as they are known.
const KNOWN_OTHER_TEXTS: usize = 4;

/// The i-th labelled interval of a video, in the file's order, is clip i + 1 of the table: both give a label.
pub(super) fn labels(checks: &mut Checks, labels: &ComputationalSequence, table: &Table) {
    let (mut compared, mut without) = (0, Vec::new());
    let mut other = Vec::new();
    for video in labels.videos() {
        for (row, reference) in labelled(labels, video) {
            let Some(segment) = table.row(video, row + 1) else {
                without.push(format!("{video}[{row}]"));
                continue;
            };
            if let Some(there) = segment.label {
                compared += 1;
                let here = reference.label;
                if !same_label(here, there) {
                    other.push(format!("{video}[{row}] ({here}, {there} in the table)"));
                }
            }
        }
    }
    let name = "labelled intervals without a row in the table";
    checks.equal(name, without.len(), 0).detail = few(&without, 5);
    let name = format!("labels other than the table's, of {compared}");
    checks.equal(&name, other.len(), 0).detail = few(&other, 3);
}

/// A video that cannot be read has none here: the check of the label sequence says so.
fn labelled(labels: &ComputationalSequence, video: &str) -> BTreeMap<usize, LabelledInterval> {
    labelled_intervals(labels, video, 0).unwrap_or_default()
}

/// At least half of a transcript's words are among those spoken in its interval.
pub(super) fn texts(
    checks: &mut Checks,
    set: Known,
    labels: &ComputationalSequence,
    table: &Table,
    words: Option<&ComputationalSequence>,
) {
    let Some(words) = words else {
        let why = "there is no sequence of words to compare with";
        checks.unknown("texts of the table", "not compared", why);
        return;
    };
    let (mut compared, mut other) = (0, Vec::new());
    for video in labels.videos() {
        let Ok(Some(spoken)) = words.read_video(video) else {
            continue;
        };
        for (row, LabelledInterval { interval, .. }) in labelled(labels, video) {
            let said = said(&spoken, &overlapping(&spoken.intervals, interval));
            let Some(segment) = table.row(video, row + 1).filter(|_| !said.is_empty()) else {
                continue;
            };
            match same_text(&segment.text, &said.join(" ")) {
                Some(true) => compared += 1,
                Some(false) => {
                    compared += 1;
                    other.push(format!("{video}[{row}]"));
                }
                None => {}
            }
        }
    }
    let name = format!("texts other than the words spoken, of {compared}");
    let most = match set {
        Known::MosiWords | Known::Mosi => KNOWN_OTHER_TEXTS,
        _ => compared / 100,
    };
    checks.at_most(&name, other.len(), most).detail = few(&other, 5);
}

fn said<'a>(words: &'a Entry, rows: &[usize]) -> Vec<&'a str> {
    let Features::Text(words) = &words.features else {
        return Vec::new();
    };
    let said = rows.iter().filter_map(|&row| words.get(row));
    let said = said.map(|word| word.trim());
    said.filter(|word| !word.is_empty() && *word != PAUSE)
        .collect()
}

/// Which labelled intervals each sequence has nothing for: aligning drops them, hence the different counts of
/// segments in publications.
pub(super) fn coverage(
    checks: &mut Checks,
    labels: &ComputationalSequence,
    sequences: &[ComputationalSequence],
) {
    let mut all = 0;
    let mut lacking: Vec<Vec<String>> = vec![Vec::new(); sequences.len()];
    let mut kept = 0;
    for video in labels.videos() {
        let tracks: Vec<Option<Entry>> = sequences
            .iter()
            .map(|sequence| sequence.read_video(video).ok().flatten())
            .collect();
        for (row, LabelledInterval { interval, .. }) in labelled(labels, video) {
            all += 1;
            let mut whole = true;
            for (track, lacking) in tracks.iter().zip(&mut lacking) {
                if !track.as_ref().is_some_and(|track| has(track, interval)) {
                    whole = false;
                    lacking.push(format!("{video}[{row}]"));
                }
            }
            kept += usize::from(whole);
        }
    }
    if sequences.is_empty() {
        return;
    }
    let reasons = sequences.iter().zip(&lacking);
    let reasons: Vec<String> = reasons
        .filter(|(_, lacking)| !lacking.is_empty())
        .map(|(sequence, lacking)| {
            let name = sequence.path().file_name().unwrap_or_default();
            let name = name.to_string_lossy();
            format!(
                "{} nothing in {name} ({})",
                with(lacking.len()),
                few(lacking, 5)
            )
        })
        .collect();
    let check = checks.push(
        Outcome::Ok,
        "segments with something in every sequence",
        format!("{kept} of {all}"),
        String::new(),
    );
    check.detail = match reasons.as_slice() {
        [] => "other counts in publications (such as 2,183) come from leaving out segments of no length or without words or frames; here none is left out".to_owned(),
        reasons => format!(
            "{}. Aligning drops such segments: so do other counts in publications (such as 2,183) come about, with other feature files",
            reasons.join("; ")
        ),
    };
}

fn with(number: usize) -> String {
    match number {
        1 => "1 segment has".to_owned(),
        _ => format!("{} have", count(number, "segment")),
    }
}

/// Whether any frame, or any word that is no pause, lies in an interval.
fn has(track: &Entry, interval: [f64; 2]) -> bool {
    let rows = overlapping(&track.intervals, interval);
    match &track.features {
        Features::Numeric { .. } => !rows.is_empty(),
        Features::Text(_) => !said(track, &rows).is_empty(),
    }
}
