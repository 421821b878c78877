//! Inspects pickles of processed releases.

use std::path::Path;

use super::hdf5::AGAIN;
use super::{
    Finding, IdStyle, Ids, Inspection, Labels, Options, Percentiles, Role, Sequence, Stored,
    Usable, Values, Words,
};
use mmrest_data::import::{self, Layout, Padding, unpad};
use mmrest_data::pickle::{Array, Kind as ValueKind, Pickle, Value};
use mmrest_data::text::count;
use mmrest_data::{Kind, Modality, Split};

/// Numbers of a modality in memory at a time.
const AT_A_TIME: usize = 1 << 22;

/// Reads structure, ids and labels whole, and the frames a block at a time.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let pickle = match Pickle::open(&inspection.path) {
        Ok(pickle) => pickle,
        Err(error) => {
            inspection.unreadable(error, "take a release's pickle of arrays, or copy it again");
            return;
        }
    };
    let mut pass = Pass::new(options);
    for (name, value) in named(pickle.root()) {
        match (Split::from_name(&name), value.kind()) {
            (Some(split), ValueKind::Dict) => pass.split(inspection, split, value),
            _ => inspection.stored.extend(stored(&name, value)),
        }
    }
    if inspection.splits.is_empty() {
        inspection.usable = Usable::no(format!(
            "{}, where a dictionary of train, valid and test is expected",
            pickle.root().what()
        ));
        return;
    }
    pass.finish(inspection, options);
}

/// The entries of a dictionary that have a text for a key.
fn named(value: Value<'_>) -> Vec<(String, Value<'_>)> {
    let entries = value.entries().unwrap_or_default().into_iter();
    let named = entries.filter_map(|(key, value)| Some((key.text().ok()??, value)));
    named.collect()
}

fn stored(name: &str, value: Value<'_>) -> Option<Stored> {
    let (shape, dtype) = match (value.kind(), value.items()) {
        (ValueKind::Array(array), _) => {
            let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
            let dtype = array.dtype().to_string();
            let dtype = dtype.trim_start_matches(['<', '|']).to_owned();
            (shape.join(", "), dtype)
        }
        (_, Some(items)) => (items.len().to_string(), value.what().to_owned()),
        _ => (String::new(), value.what().to_owned()),
    };
    Some(Stored {
        name: name.to_owned(),
        shape: format!("[{shape}]"),
        dtype,
        arrays: 1,
    })
}

/// What is summed up over splits.
struct Pass {
    ids: Vec<String>,
    /// Of each id.
    splits: Vec<Split>,
    labels: Labels,
    has_text: bool,
    texts: Sequence,
    frames: [Track; 2],
    unreadable: Vec<String>,
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

    /// Frames of one split, `[segments, frames, width]`.
    fn read(
        &mut self,
        array: &Array,
        lengths: Option<&[f64]>,
        padding: Padding,
    ) -> mmrest_data::Result<()> {
        let &[rows, capacity, width] = array.shape() else {
            return Ok(());
        };
        self.capacity = self.capacity.max(capacity);
        self.width = width;
        let step = (AT_A_TIME / (capacity * width).max(1)).max(1);
        for start in (0..rows).step_by(step) {
            let block = start..rows.min(start + step);
            let numbers = array.rows_f32(block.clone())?;
            let segments = numbers.chunks_exact((capacity * width).max(1));
            for (row, segment) in block.zip(segments) {
                let given = lengths.and_then(|lengths| lengths.get(row).copied());
                self.segment(segment, width, given, padding);
            }
        }
        Ok(())
    }

    /// One segment: where its padding is, its length, its numbers.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn segment(&mut self, numbers: &[f32], width: usize, given: Option<f64>, padding: Padding) {
        let frames = numbers.len() / width.max(1);
        let zero = |frame: &&[f32]| frame.iter().all(|&value| value == 0.0);
        let rows = || numbers.chunks_exact(width.max(1));
        let before = rows().take_while(zero).count();
        let after = rows().rev().take_while(zero).count();
        let empty = before == frames;
        self.before += usize::from(before > 0 && !empty);
        self.after += usize::from(after > 0 && !empty);
        let given = given.map(|length| length.max(0.0) as usize);
        let found = unpad(numbers, width, given, padding);
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

impl Pass {
    fn new(options: &Options) -> Self {
        Self {
            ids: Vec::new(),
            splits: Vec::new(),
            labels: Labels::new(options.scale),
            has_text: false,
            texts: Sequence {
                name: "text".to_owned(),
                width: 1,
                words: Some(Words::default()),
                ..Sequence::default()
            },
            frames: [Track::new(Modality::Vision), Track::new(Modality::Audio)],
            unreadable: Vec::new(),
        }
    }

    fn split(&mut self, inspection: &mut Inspection, split: Split, value: Value<'_>) {
        for (name, value) in named(value) {
            let name = format!("{}/{name}", split.name());
            inspection.stored.extend(stored(&name, value));
        }
        let layout = Layout::of(value).unwrap_or(Layout::Mmsa);
        let ids = value.get(import::ID).map(rows_of_text).unwrap_or_default();
        let labels = value.get(layout.labels());
        let labels = labels.map(numbers).unwrap_or_default();
        let segments = ids.len().max(labels.len());
        *inspection.splits.entry(split).or_default() += segments;
        for (row, &label) in labels.iter().enumerate() {
            let place = || match ids.get(row) {
                Some(id) => id.clone(),
                None => format!("row {row} of {split}"),
            };
            #[allow(clippy::cast_possible_truncation)]
            self.labels.push(Some(label as f32), Some(split), place);
        }
        self.splits.extend(ids.iter().map(|_| split));
        self.ids.extend(ids);
        if let Some(texts) = value.get(import::TEXT) {
            self.has_text = true;
            rows_of_text(texts).iter().for_each(|text| self.text(text));
        }
        for track in &mut self.frames {
            let lengths = value.get(&import::lengths(track.modality)).map(numbers);
            let array = value.get(track.modality.name()).and_then(Value::array);
            let Some(array) = array else { continue };
            if let Err(error) = track.read(array, lengths.as_deref(), layout.padding()) {
                self.unreadable.push(error.to_string());
            }
        }
    }

    fn text(&mut self, text: &str) {
        let words = text.split_whitespace().count();
        self.texts.entries += 1;
        self.texts.rows += words;
        self.texts.lengths.push(words);
        if let Some(facts) = &mut self.texts.words {
            facts.count += words;
            facts.empty += usize::from(words == 0);
        }
    }

    fn finish(mut self, inspection: &mut Inspection, options: &Options) {
        let ids = Ids::of(self.ids, &|video| options.knows(video));
        if !ids.duplicates.is_empty() {
            inspection.find(Finding::problem(
                "id_twice",
                format!(
                    "{} twice: {}",
                    count(ids.duplicates.len(), "segment"),
                    mmrest_data::text::few(&ids.duplicates, 4)
                ),
                "one segment in two places; in different splits it leaks",
            ));
        }
        let knows = |video: &str| options.knows(video);
        let videos = ids.all.iter().map(|id| IdStyle::parse(id, &knows).0);
        inspection.find_in_two_splits(videos.zip(self.splits));
        if let Some(first) = self.unreadable.first() {
            inspection.find(Finding::problem("unreadable", first.clone(), AGAIN));
        }
        inspection.folds = options.memberships(&ids, &mut inspection.findings);
        inspection.ids = Some(ids);
        self.labels.findings(&mut inspection.findings);
        inspection.labels = Some(self.labels);
        if self.has_text {
            #[allow(clippy::cast_precision_loss)]
            let lengths = self.texts.lengths.iter().map(|&words| words as f64);
            self.texts.frames = Percentiles::of(lengths);
            inspection.sequences.push(self.texts);
        }
        for track in self.frames {
            track.finish(inspection);
        }
        let labels = inspection.labels.as_ref().map_or(0, |labels| labels.count);
        inspection.usable = match (loadable(inspection), self.has_text, labels) {
            (_, _, 0) => Usable::no("it has no labels"),
            (Err(error), ..) => {
                inspection.refused(&error);
                return;
            }
            (Ok(()), true, _) => Usable::yes(Role::Pickle, "a processed release with transcripts"),
            (Ok(()), false, _) => Usable::yes(
                Role::Pickle,
                "a processed release without transcripts: text needs its table (data.table)",
            ),
        };
    }
}

/// Whether the loader takes the release, with what it holds of itself; all but its frames is read.
fn loadable(inspection: &Inspection) -> mmrest_data::Result<()> {
    let config = super::compare::of_one(inspection, Kind::Mmsa, None);
    mmrest_data::open(&config, Path::new("")).map(drop)
}

/// One text a row: of several columns (video, start, end) `video[start:end]`.
fn rows_of_text(value: Value<'_>) -> Vec<String> {
    if let Some(items) = value.items() {
        return items.into_iter().map(text_of).collect();
    }
    let Some(array) = value.array() else {
        return Vec::new();
    };
    let texts = array.texts().unwrap_or_default();
    texts
        .chunks(array.row_elements().max(1))
        .map(joined)
        .collect()
}

fn text_of(value: Value<'_>) -> String {
    match value.items() {
        Some(items) => joined(&items.into_iter().map(text_of).collect::<Vec<_>>()),
        None => match (value.text(), value.as_f64()) {
            (Ok(Some(text)), _) => text,
            (_, Some(number)) => number.to_string(),
            _ => rows_of_array(value),
        },
    }
}

fn rows_of_array(value: Value<'_>) -> String {
    let texts = value.array().and_then(|array| array.texts().ok());
    joined(&texts.unwrap_or_default())
}

fn joined(cells: &[String]) -> String {
    match cells {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}[{}]", rest.join(":")),
    }
}

/// The first number of each row.
fn numbers(value: Value<'_>) -> Vec<f64> {
    if let Some(items) = value.items() {
        let number = |item: Value<'_>| item.as_f64().unwrap_or(f64::NAN);
        return items.into_iter().map(number).collect();
    }
    let Some(array) = value.array().filter(|array| array.row_elements() <= 16) else {
        return Vec::new();
    };
    let numbers = array.rows_f64(0..array.rows()).unwrap_or_default();
    let rows = numbers.chunks(array.row_elements().max(1));
    rows.filter_map(|row| row.first().copied()).collect()
}
