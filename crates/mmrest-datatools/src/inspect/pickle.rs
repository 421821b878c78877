//! Inspects pickles of processed releases, as the loader reads them.

use super::{
    Finding, Ids, Inspection, Labels, Options, Percentiles, Role, Sequence, Stored, Usable, Values,
    Words,
};
use mmrest_data::import::{Padding, StoredFrames, Survey, unpad};
use mmrest_data::pickle::{Kind as ValueKind, Pickle, Value};
use mmrest_data::text::{count, is_empty_cell};
use mmrest_data::{Modality, Result, Split};

/// Arrays listed at most.
const LISTED: usize = 512;

/// Lists what is stored; then tells of the release what the loader finds in it, or why the loader refuses it.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let pickle = match Pickle::open(&inspection.path) {
        Ok(pickle) => pickle,
        Err(error) => {
            inspection.unreadable(error, "take a release's pickle of arrays, or copy it again");
            return;
        }
    };
    inspection.stored = stored(pickle.root());
    let survey = match Survey::of(pickle) {
        Ok(survey) => survey,
        Err(error) => {
            inspection.refused(&error);
            return;
        }
    };
    if let Err(error) = describe(inspection, &survey, options) {
        inspection.unreadable(error, super::hdf5::AGAIN);
    }
}

/// The arrays of a dictionary and of the dictionaries in it.
fn stored(root: Value<'_>) -> Vec<Stored> {
    let mut all = Vec::new();
    for (name, value) in named(root) {
        match (Split::from_name(name), value.kind()) {
            (Some(split), ValueKind::Dict) => {
                let parts = named(value).into_iter();
                all.extend(parts.map(|(key, value)| array(&format!("{split}/{key}"), value)));
            }
            _ => all.push(array(name, value)),
        }
        if all.len() >= LISTED {
            break;
        }
    }
    all.truncate(LISTED);
    all
}

/// The entries of a dictionary that have a text for a key.
fn named(value: Value<'_>) -> Vec<(&str, Value<'_>)> {
    let entries = value.entries().unwrap_or_default().into_iter();
    let named = entries.filter_map(|(key, value)| Some((key.name()?, value)));
    named.take(LISTED).collect()
}

fn array(name: &str, value: Value<'_>) -> Stored {
    let (shape, dtype) = match (value.kind(), value.count()) {
        (ValueKind::Array(array), _) => {
            let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
            let dtype = array.dtype().to_string();
            let dtype = dtype.trim_start_matches(['<', '|']).to_owned();
            (shape.join(", "), dtype)
        }
        (ValueKind::List | ValueKind::Tuple, Some(items)) => {
            (items.to_string(), value.what().to_owned())
        }
        _ => (String::new(), value.what().to_owned()),
    };
    Stored {
        name: name.to_owned(),
        shape: format!("[{shape}]"),
        dtype,
        arrays: 1,
    }
}

/// Facts of a release that the loader accepts.
fn describe(inspection: &mut Inspection, survey: &Survey, options: &Options) -> Result<()> {
    let mut labels = Labels::new(options.scale);
    let mut texts = Sequence {
        name: "text".to_owned(),
        width: 1,
        words: Some(Words::default()),
        ..Sequence::default()
    };
    let (mut ids, mut splits, mut nan) = (Vec::new(), Vec::new(), 0);
    for part in survey.parts() {
        let Some(split) = part.split else { continue };
        *inspection.splits.entry(split).or_default() += part.ids.len();
        splits.extend(part.ids.iter().map(|_| split));
        for (id, &label) in part.ids.iter().zip(part.labels) {
            labels.push(Some(label), Some(split), || id.clone());
        }
        ids.extend(part.ids.iter().cloned());
        for text in part.texts.unwrap_or_default() {
            nan += usize::from(is_empty_cell(text));
            add_text(&mut texts, text);
        }
    }
    inspection.find_in_two_splits(survey.videos().zip(splits));
    let ids = Ids::of(ids, &|video| options.knows(video));
    inspection.folds = options.memberships(&ids, &mut inspection.findings);
    inspection.ids = Some(ids);
    part_findings(inspection, survey);
    labels.findings(&mut inspection.findings);
    let has_labels = labels.count > 0;
    inspection.labels = Some(labels);
    let has_text = survey.modalities().contains(&Modality::Text);
    if has_text {
        text_findings(&texts, nan, &mut inspection.findings);
        #[allow(clippy::cast_precision_loss)]
        let lengths = texts.lengths.iter().map(|&words| words as f64);
        texts.frames = Percentiles::of(lengths);
        inspection.sequences.push(texts);
    }
    for modality in [Modality::Vision, Modality::Audio] {
        if !survey.modalities().contains(&modality) {
            continue;
        }
        let mut track = Track::new(modality);
        survey.visit(modality, &mut |frames| track.segment(&frames))?;
        track.finish(inspection);
    }
    inspection.usable = match (has_labels, has_text) {
        (false, _) => Usable::no("it has no labels"),
        (true, true) => Usable::yes(Role::Pickle, "a processed release with transcripts"),
        (true, false) => Usable::yes(
            Role::Pickle,
            "a processed release without transcripts: text needs its table (data.table)",
        ),
    };
    Ok(())
}

fn add_text(texts: &mut Sequence, text: &str) {
    let words = text.split_whitespace().count();
    texts.entries += 1;
    texts.rows += words;
    texts.lengths.push(words);
    if let Some(facts) = &mut texts.words {
        facts.count += words;
        facts.empty += usize::from(words == 0);
    }
}

/// What the loader does not read, reads under another name, or lacks.
fn part_findings(inspection: &mut Inspection, survey: &Survey) {
    let report = survey.report();
    for part in &report.unused {
        inspection.find(Finding::note(
            "not_used",
            format!(
                "{part} {} not used",
                if part.starts_with("the arrays") {
                    "are"
                } else {
                    "is"
                }
            ),
            "train, valid and test are read, with their vision, audio, raw_text, id and labels",
        ));
    }
    for (modality, key) in survey.renamed() {
        inspection.find(Finding::note(
            "other_key",
            format!("{modality} is read from the key {key:?}"),
            "",
        ));
    }
    for split in &report.splits_absent {
        let dev = if *split == Split::Valid {
            " (or dev)"
        } else {
            ""
        };
        inspection.find(Finding::problem(
            "split_absent",
            format!("the file has no part {split}{dev}"),
            "training needs a train and a valid part, and its results a test part",
        ));
    }
    if report.videos_unknown {
        inspection.find(Finding::note(
            "videos_unknown",
            "the ids do not say which video a segment is of",
            "one video in two splits cannot be noticed; ids such as video$_$clip or video[3] would tell",
        ));
    }
    if survey.files() > 1 {
        let files = count(survey.files(), "file");
        inspection.find(Finding::note(
            "files_beside",
            format!("read together with the other splits beside it: {files}"),
            "",
        ));
    }
}

/// What is odd about texts: none, or an empty cell's.
pub(super) fn text_findings(texts: &Sequence, nan: usize, found: &mut Vec<Finding>) {
    let empty = texts.words.as_ref().map_or(0, |words| words.empty);
    if empty > 0 {
        found.push(Finding::problem(
            "text_empty",
            format!("{} without text", count(empty, "segment")),
            "they lack a modality (data.missing says what becomes of them)",
        ));
    }
    found.extend(nan_finding(nan));
}

/// Texts that are what pandas writes for an empty cell.
pub(super) fn nan_finding(nan: usize) -> Option<Finding> {
    (nan > 0).then(|| {
        let are = if nan == 1 { "is" } else { "are" };
        Finding::problem(
            "text_nan",
            format!(
                "{} {are} \"nan\" or the like, as pandas writes an empty cell",
                count(nan, "text")
            ),
            "they are encoded as that word; write an empty text where there is none",
        )
    })
}

/// Frames of one modality.
struct Track {
    modality: Modality,
    lengths: Vec<usize>,
    capacity: usize,
    width: usize,
    values: Values,
    /// Segments that begin, and that end, with frames of zeros.
    before: usize,
    after: usize,
    /// Segments with numbers beyond the length that the file gives.
    beyond: usize,
}

impl Track {
    fn new(modality: Modality) -> Self {
        Self {
            modality,
            lengths: Vec::new(),
            capacity: 0,
            width: 0,
            values: Values::default(),
            before: 0,
            after: 0,
            beyond: 0,
        }
    }

    /// One segment: where its padding is, its length, its numbers.
    fn segment(&mut self, stored: &StoredFrames) {
        let (numbers, width) = (stored.values.as_slice(), stored.width);
        let frames = numbers.len() / width.max(1);
        self.capacity = self.capacity.max(frames);
        self.width = self.width.max(width);
        let zero = |frame: &&[f32]| frame.iter().all(|&value| value == 0.0);
        let rows = || numbers.chunks_exact(width.max(1));
        let before = rows().take_while(zero).count();
        let after = rows().rev().take_while(zero).count();
        let empty = before == frames;
        let padded = stored.padding != Padding::None && !empty;
        self.before += usize::from(before > 0 && padded);
        self.after += usize::from(after > 0 && padded);
        let found = unpad(numbers, width, stored.length, stored.padding);
        self.beyond += usize::from(found.contradicted);
        let (start, end) = (found.frames.start, found.frames.end);
        self.lengths.push(end - start);
        let inside = numbers.get(start * width..end * width).unwrap_or(&[]);
        self.values.absorb(Values::of(inside, width));
    }

    fn finish(mut self, inspection: &mut Inspection) {
        if self.lengths.is_empty() {
            return;
        }
        self.values.finish(&[]);
        let found = &mut inspection.findings;
        super::csd::value_findings(&self.values, found);
        let name = self.modality.name();
        if self.before + self.after > 0 {
            let side = if self.before > self.after {
                "before the frames (left)"
            } else {
                "after the frames (right)"
            };
            found.push(Finding::note(
                "padding",
                format!(
                    "{name} is filled up to {} frames with zeros {side}",
                    self.capacity
                ),
                "the program takes the frames themselves",
            ));
        }
        if self.beyond > 0 {
            found.push(Finding::problem(
                "beyond_length",
                format!(
                    "{name}: {} with numbers beyond the length given",
                    count(self.beyond, "segment")
                ),
                "the lengths may be of another file",
            ));
        }
        #[allow(clippy::cast_precision_loss)]
        inspection.sequences.push(Sequence {
            name: name.to_owned(),
            entries: self.lengths.len(),
            rows: self.lengths.iter().sum(),
            width: self.width,
            frames: Percentiles::of(self.lengths.iter().map(|&length| length as f64)),
            values: Some(self.values),
            lengths: self.lengths,
            ..Sequence::default()
        });
    }
}
