//! Inspects tables of transcripts, labels and splits.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Finding, Ids, Inspection, Labels, Options, Percentiles, Role, Sequence, Stored, Usable, Words,
};
use mmrest_data::Columns;
use mmrest_data::Split;
use mmrest_data::in_two_splits;
use mmrest_data::table::{Required, Sheet, Table, number};
use mmrest_data::text::{count, few, is_empty_cell};

/// Columns the program reads: ids, text and label, split.
const COLUMNS: [&str; 5] = ["video_id", "clip_id", "text", "label", "mode"];

/// Reads the table leniently, row by row, to tell all that is wrong at once; then as the program would.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let mut rows = Rows::new(options);
    let sheet = match Sheet::read(&inspection.path) {
        Ok(sheet) => sheet,
        Err(error) => {
            inspection.unreadable(error, "");
            return;
        }
    };
    let headers = match read(&sheet, &mut rows, options) {
        Ok(headers) => headers,
        Err(error) => {
            inspection.unreadable(error.to_string(), "");
            return;
        }
    };
    let stored = headers.iter().map(|name| Stored {
        name: name.clone(),
        shape: format!("[{}]", rows.count),
        dtype: "text".to_owned(),
        arrays: 1,
    });
    inspection.stored = stored.collect();
    let has = |column: &str| headers.iter().any(|header| header == column);
    let required = Required {
        id: false,
        text: true,
        label: false,
        split: has("mode"),
    };
    inspection.usable = match Table::read_with(&inspection.path, &Columns::default(), required) {
        Ok(_) if !has("label") => Usable::yes(Role::Table, "transcripts, to be predicted"),
        Ok(_) if !has("mode") => Usable::yes(Role::Table, "transcripts and labels"),
        Ok(_) => Usable::yes(Role::Table, "transcripts, labels and splits"),
        Err(error) => Usable::no(error.to_string()),
    };
    let missing = COLUMNS.into_iter().filter(|column| !has(column));
    let (needed, spared): (Vec<&str>, Vec<&str>) =
        missing.partition(|column| matches!(*column, "text" | "label"));
    let told = |columns: &[&str]| {
        format!(
            "no column {}; there are {}",
            columns.join(", "),
            headers.join(", ")
        )
    };
    if !needed.is_empty() {
        inspection.find(Finding::problem(
            "column_missing",
            told(&needed),
            "rename the columns, or name them in [data.columns]",
        ));
    }
    if !spared.is_empty() {
        inspection.find(Finding::note(
            "column_spared",
            told(&spared),
            "rows without video and clip are segments of their own, and without mode they are split at random",
        ));
    }
    rows.finish(inspection, options);
}

fn read(sheet: &Sheet, rows: &mut Rows, options: &Options) -> Result<Vec<String>, csv::Error> {
    let mut lines = sheet.lines();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .flexible(true)
        .delimiter(sheet.separator())
        .from_reader(sheet.text());
    let headers = reader.byte_headers()?.clone();
    let headers: Vec<String> = headers
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let place = COLUMNS.map(|column| headers.iter().position(|header| header == column));
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let line = record.position().map_or(1, |at| lines.line(at.byte()));
        let mut cells = place.iter().map(|&place| {
            let cell = place.and_then(|place| record.get(place));
            rows.latin |= cell.is_some_and(|cell| std::str::from_utf8(cell).is_err());
            cell.map(|cell| String::from_utf8_lossy(cell).trim().to_owned())
        });
        let mut cell = || cells.next().flatten();
        let cells = [cell(), cell(), cell(), cell(), cell()];
        if record.len() != headers.len() {
            rows.ragged.push(line);
        }
        rows.push(cells, line, options);
    }
    Ok(headers)
}

/// What is summed up over rows.
struct Rows {
    count: usize,
    ids: Vec<String>,
    labels: Labels,
    has_labels: bool,
    splits: BTreeMap<Split, usize>,
    modes: BTreeMap<String, usize>,
    /// Of each row that has one.
    split_of: Vec<(String, Split)>,
    texts: HashMap<String, usize>,
    empty_texts: usize,
    nan_texts: usize,
    words: Vec<usize>,
    vocabulary: HashSet<String>,
    ragged: Vec<u64>,
    no_number: Vec<u64>,
    latin: bool,
}

impl Rows {
    fn new(options: &Options) -> Self {
        Self {
            count: 0,
            ids: Vec::new(),
            labels: Labels::new(options.scale),
            has_labels: false,
            splits: BTreeMap::new(),
            modes: BTreeMap::new(),
            split_of: Vec::new(),
            texts: HashMap::new(),
            empty_texts: 0,
            nan_texts: 0,
            words: Vec::new(),
            vocabulary: HashSet::new(),
            ragged: Vec::new(),
            no_number: Vec::new(),
            latin: false,
        }
    }

    fn push(&mut self, cells: [Option<String>; 5], line: u64, options: &Options) {
        let [video, clip, text, label, mode] = cells;
        self.count += 1;
        let split = mode.as_deref().and_then(Split::from_name);
        match (split, mode) {
            (Some(split), _) => *self.splits.entry(split).or_default() += 1,
            (None, Some(mode)) => *self.modes.entry(mode).or_default() += 1,
            (None, None) => {}
        }
        let video = video.unwrap_or_default();
        self.split_of
            .extend(split.map(|split| (video.clone(), split)));
        let id = match clip {
            Some(clip) => format!("{video}$_${clip}"),
            None if video.is_empty() => self.count.to_string(),
            None => format!("{video}$_${}", self.count),
        };
        if let Some(label) = label {
            self.has_labels = true;
            let number = number(&label);
            if number.is_none() && !label.is_empty() {
                self.no_number.push(line);
            }
            let split = split.or_else(|| options.split(&video));
            self.labels.push(number, split, || id.clone());
        }
        self.ids.push(id);
        if let Some(text) = text {
            self.see_text(text);
        }
    }

    fn see_text(&mut self, text: String) {
        if text.is_empty() {
            self.empty_texts += 1;
        } else {
            self.nan_texts += usize::from(is_empty_cell(&text));
            let words = text.split_whitespace();
            self.words.push(words.clone().count());
            self.vocabulary.extend(words.map(str::to_lowercase));
            *self.texts.entry(text).or_default() += 1;
        }
    }

    fn finish(self, inspection: &mut Inspection, options: &Options) {
        let ids = Ids::of(self.ids.clone(), &|video| options.knows(video));
        self.findings(&ids, inspection);
        inspection.folds = options.memberships(&ids, &mut inspection.findings);
        inspection.ids = Some(ids);
        inspection.splits = self.splits;
        if self.has_labels {
            self.labels.findings(&mut inspection.findings);
            inspection.labels = Some(self.labels);
        }
        if !self.words.is_empty() {
            #[allow(clippy::cast_precision_loss)]
            inspection.sequences.push(Sequence {
                name: "text".to_owned(),
                entries: self.words.len(),
                rows: self.words.iter().sum(),
                width: 1,
                frames: Percentiles::of(self.words.iter().map(|&words| words as f64)),
                words: Some(Words {
                    count: self.words.iter().sum(),
                    distinct: self.vocabulary.len(),
                    pauses: 0,
                    empty: self.empty_texts,
                    not_utf8: 0,
                }),
                lengths: self.words,
                ..Sequence::default()
            });
        }
    }

    fn findings(&self, ids: &Ids, inspection: &mut Inspection) {
        let found = &mut inspection.findings;
        if !ids.duplicates.is_empty() {
            found.push(Finding::problem(
                "id_twice",
                format!(
                    "{} twice: {}",
                    count(ids.duplicates.len(), "segment"),
                    few(&ids.duplicates, 4)
                ),
                "the program refuses the table: keep one row of each",
            ));
        }
        let of = self.split_of.iter();
        let in_two = in_two_splits(of.map(|(video, split)| (video.as_str(), *split)));
        if !in_two.is_empty() {
            found.push(Finding::problem(
                "video_in_two_splits",
                format!(
                    "{} in more than one split: {}",
                    count(in_two.len(), "video"),
                    few(&in_two, 4)
                ),
                "the speaker would be known at test: put each video into one split",
            ));
        }
        inspection.videos_in_two_splits = in_two.into_iter().map(str::to_owned).collect();
        if !self.modes.is_empty() {
            let modes: Vec<String> = self
                .modes
                .iter()
                .map(|(m, n)| format!("{m:?} ({n})"))
                .collect();
            found.push(Finding::problem(
                "mode_unknown",
                format!("modes that are no split: {}", few(&modes, 4)),
                "write train, valid (or dev) or test",
            ));
        }
        for (code, lines, what) in [
            (
                "ragged",
                &self.ragged,
                "with more or fewer cells than the header",
            ),
            (
                "label_no_number",
                &self.no_number,
                "whose label is no number",
            ),
        ] {
            if !lines.is_empty() {
                found.push(Finding::problem(
                    code,
                    format!(
                        "{} {what}: lines {}",
                        count(lines.len(), "row"),
                        few(lines, 6)
                    ),
                    "the program refuses the table: mend or remove them",
                ));
            }
        }
        if self.latin {
            found.push(Finding::problem(
                "not_utf8",
                "a table that is not UTF-8",
                "save it as UTF-8 (in Excel: CSV UTF-8)",
            ));
        }
        self.text_findings(found);
    }

    fn text_findings(&self, found: &mut Vec<Finding>) {
        if self.empty_texts > 0 {
            found.push(Finding::problem(
                "text_empty",
                format!("{} without text", count(self.empty_texts, "row")),
                "their segments have no text",
            ));
        }
        found.extend(super::pickle::nan_finding(self.nan_texts));
        let repeated: usize = self.texts.values().filter(|&&times| times > 1).sum();
        if repeated > 0 {
            found.push(Finding::note(
                "text_repeated",
                format!("{} share their text with another", count(repeated, "row")),
                "short exclamations do; long texts would be doubles",
            ));
        }
    }
}
