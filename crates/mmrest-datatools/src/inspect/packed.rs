//! Inspects packed sets.

use serde_json::json;

use super::hdf5::AGAIN;
use super::{
    Finding, Ids, Inspection, Labels, Options, Percentiles, Role, Sequence, Usable, Values, Words,
};
use mmrest_data::packed::PackedSet;
use mmrest_data::text::count;
use mmrest_data::{Modality, Result};

/// Reads one segment at a time; with `check` compares checksums too.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    super::hdf5::inspect(inspection);
    inspection.findings.clear();
    let set = match PackedSet::open(&inspection.path) {
        Ok(set) => set,
        Err(error) => {
            inspection.unreadable(error, "make it anew from its sources");
            return;
        }
    };
    inspection.usable = Usable::yes(Role::Packed, "a packed set");
    metadata(inspection, &set);
    if options.check
        && let Err(error) = set.verify()
    {
        inspection.find(Finding::problem(
            "checksum",
            error.to_string(),
            "make it anew from its sources",
        ));
    }
    rows(inspection, &set, options);
    if set.has(Modality::Text) {
        inspection.sequences.push(texts(&set));
    }
    for modality in [Modality::Vision, Modality::Audio] {
        if !set.has(modality) {
            continue;
        }
        match frames(&set, modality) {
            Ok(sequence) => {
                if let Some(values) = &sequence.values {
                    super::csd::value_findings(values, &mut inspection.findings);
                }
                let empty = sequence.lengths.iter().filter(|&&rows| rows == 0).count();
                if empty > 0 {
                    inspection.find(Finding::note(
                        "absent",
                        format!("{} without {modality}", count(empty, "segment")),
                        "a batch has one frame of zeros there",
                    ));
                }
                inspection.sequences.push(sequence);
            }
            Err(error) => {
                inspection.find(Finding::problem("unreadable", error.to_string(), AGAIN));
            }
        }
    }
}

fn metadata(inspection: &mut Inspection, set: &PackedSet) {
    let about = set.about();
    let files = about.files.iter().map(|file| {
        let path = file.path.to_string_lossy();
        format!("{path} (SHA-256 {})", file.sha256)
    });
    let files: Vec<String> = files.collect();
    let report = about.report.to_string();
    for (key, value) in [
        ("made from", json!(files)),
        ("label_range", json!(about.label_range)),
        ("report", json!(report)),
    ] {
        inspection.metadata.insert(key.to_owned(), value);
    }
}

/// Ids, splits and labels.
fn rows(inspection: &mut Inspection, set: &PackedSet, options: &Options) {
    let mut labels = Labels::new(options.scale);
    let mut ids = Vec::with_capacity(set.len());
    for row in 0..set.len() {
        let split = set.split_of(row);
        *inspection.splits.entry(split).or_default() += 1;
        labels.push(set.label(row), Some(split), || set.id(row).to_owned());
        ids.push(set.id(row).to_owned());
    }
    let ids = Ids::of(ids, &|video| options.knows(video));
    let rows = 0..set.len();
    inspection.find_in_two_splits(rows.map(|row| (set.video(row), set.split_of(row))));
    inspection.folds = options.memberships(&ids, &mut inspection.findings);
    labels.findings(&mut inspection.findings);
    inspection.labels = Some(labels);
    inspection.ids = Some(ids);
}

#[allow(clippy::cast_precision_loss)]
fn spread(lengths: &[usize]) -> Option<Percentiles> {
    Percentiles::of(lengths.iter().map(|&length| length as f64))
}

fn texts(set: &PackedSet) -> Sequence {
    let texts = (0..set.len()).map(|row| set.text(row));
    let lengths: Vec<usize> = texts.map(|text| text.split_whitespace().count()).collect();
    Sequence {
        name: "text".to_owned(),
        entries: set.len(),
        rows: lengths.iter().sum(),
        width: 1,
        frames: spread(&lengths),
        words: Some(Words {
            count: lengths.iter().sum(),
            empty: lengths.iter().filter(|&&words| words == 0).count(),
            ..Words::default()
        }),
        lengths,
        ..Sequence::default()
    }
}

fn frames(set: &PackedSet, modality: Modality) -> Result<Sequence> {
    let mut values = Values::default();
    let mut lengths = Vec::with_capacity(set.len());
    let mut width = 0;
    for row in 0..set.len() {
        let frames = set.frames(modality, row)?;
        width = width.max(frames.width);
        lengths.push(frames.len());
        values.absorb(Values::of(&frames.values, frames.width));
    }
    values.finish(&[]);
    Ok(Sequence {
        name: modality.to_string(),
        entries: set.len(),
        rows: lengths.iter().sum(),
        width,
        frames: spread(&lengths),
        values: Some(values),
        lengths,
        ..Sequence::default()
    })
}
