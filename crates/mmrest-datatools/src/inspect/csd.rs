//! Inspects computational sequences, entry by entry.

use std::collections::{BTreeMap, HashMap, HashSet};

use mmrest_data::csd::{Backend, ComputationalSequence, Entry, Features, split_id};
use mmrest_data::text::{count, few, words_not_utf8};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::hdf5::{AGAIN, stored_of_entries};
use super::{
    Finding, Ids, Inspection, Intervals, Labels, Options, Percentiles, Role, Sequence, Usable,
    Values, Words,
};

/// Entries in memory at a time.
const AT_A_TIME: usize = 32;

/// Reads every entry once, several side by side; in pure Rust, whatever the default: the file may be damaged.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let sequence = match ComputationalSequence::open_with(&inspection.path, Backend::Rust) {
        Ok(sequence) => sequence,
        Err(error) => {
            inspection.unreadable(error, AGAIN);
            return;
        }
    };
    inspection.root = Some(sequence.root().to_owned());
    inspection.metadata = sequence.metadata().clone();
    let ids = Ids::of(sequence.ids().to_vec(), &|video| options.knows(video));
    let pass = Pass::over(&sequence, role(&sequence), options);
    inspection.stored = stored_of_entries(&inspection.path, sequence.root(), sequence.ids());
    metadata_findings(inspection);
    inspection.usable = usable(&pass, &inspection.name());
    inspection.folds = options.memberships(&ids, &mut inspection.findings);
    inspection.ids = Some(ids);
    pass.finish(inspection);
}

/// By the file's or the root's name; or else by the first entry that can be read.
fn role(sequence: &ComputationalSequence) -> Option<Role> {
    let name = sequence.path().file_stem().unwrap_or_default();
    let name = name.to_string_lossy();
    let mut entries = sequence.ids().iter().map(|id| sequence.read(id));
    let width = match entries.find_map(Result::ok)?.features {
        Features::Text(_) => return Some(Role::Words),
        Features::Numeric { width, .. } => width,
    };
    let by_name = Role::by_name(&name).or_else(|| Role::by_name(sequence.root()));
    by_name.or((width == 1).then_some(Role::Labels))
}

/// What is summed up over entries.
struct Pass {
    role: Option<Role>,
    rows: usize,
    entries: usize,
    widths: BTreeMap<usize, usize>,
    lengths: Vec<usize>,
    seconds: Vec<f64>,
    rates: Vec<f64>,
    ends: BTreeMap<String, f64>,
    whole_times: bool,
    intervals: Intervals,
    values: Option<Values>,
    words: Option<Words>,
    distinct: HashSet<String>,
    labels: Labels,
    by_digest: HashMap<[u8; 32], Vec<String>>,
    empty: Vec<String>,
    unreadable: Vec<String>,
}

impl Pass {
    fn over(sequence: &ComputationalSequence, role: Option<Role>, options: &Options) -> Self {
        let mut pass = Self {
            role,
            rows: 0,
            entries: 0,
            widths: BTreeMap::new(),
            lengths: Vec::new(),
            seconds: Vec::new(),
            rates: Vec::new(),
            ends: BTreeMap::new(),
            whole_times: true,
            intervals: Intervals::default(),
            values: None,
            words: None,
            distinct: HashSet::new(),
            labels: Labels::new(options.scale),
            by_digest: HashMap::new(),
            empty: Vec::new(),
            unreadable: Vec::new(),
        };
        let labels = role == Some(Role::Labels);
        for ids in sequence.ids().chunks(AT_A_TIME) {
            let facts: Vec<_> = ids
                .par_iter()
                .map(|id| Ok(EntryFacts::of(id, &sequence.read(id)?, labels)))
                .collect::<Vec<mmrest_data::Result<_>>>();
            for facts in facts {
                match facts {
                    Ok(facts) => pass.absorb(facts, options),
                    Err(error) => pass.unreadable.push(error.to_string()),
                }
            }
        }
        pass
    }

    fn absorb(&mut self, facts: EntryFacts, options: &Options) {
        self.entries += 1;
        self.rows += facts.rows;
        self.lengths.push(facts.rows);
        self.seconds.extend(facts.seconds);
        self.rates.extend(facts.rate);
        self.whole_times &= facts.whole_times;
        if let Some(end) = facts.end {
            let known = self.ends.entry(split_id(&facts.id).0.to_owned());
            let known = known.or_insert(end);
            *known = known.max(end);
        }
        self.intervals.absorb(facts.intervals);
        if facts.rows == 0 {
            self.empty.push(facts.id);
            return;
        }
        *self.widths.entry(facts.width).or_default() += 1;
        let split = options.split(split_id(&facts.id).0);
        for (row, &label) in facts.labels.iter().enumerate() {
            let place = || format!("{}[{row}]", facts.id);
            self.labels.push(Some(label), split, place);
        }
        if let Some(values) = facts.values {
            self.values
                .get_or_insert_with(Values::default)
                .absorb(values);
        }
        if let Some(words) = facts.words {
            let sum = self.words.get_or_insert_with(Words::default);
            sum.count += facts.rows - words.pauses - words.empty;
            sum.pauses += words.pauses;
            sum.empty += words.empty;
            sum.not_utf8 += words.not_utf8;
            self.distinct.extend(words.distinct);
        }
        self.by_digest
            .entry(facts.digest)
            .or_default()
            .push(facts.id);
    }

    fn width(&self) -> usize {
        let most = self.widths.iter().max_by_key(|&(_, &count)| count);
        most.map_or(0, |(&width, _)| width)
    }

    fn finish(mut self, inspection: &mut Inspection) {
        let names = dimension_names(inspection);
        if let Some(values) = &mut self.values {
            values.finish(&names);
        }
        if let Some(words) = &mut self.words {
            words.distinct = self.distinct.len();
        }
        self.entry_findings(&mut inspection.findings);
        let is_label = self.role == Some(Role::Labels);
        interval_findings(&self.intervals, is_label, &mut inspection.findings);
        if let (Some(values), false) = (&self.values, is_label) {
            value_findings(values, &mut inspection.findings);
        }
        if is_label {
            self.labels.findings(&mut inspection.findings);
            inspection.labels = Some(self.labels.clone());
        }
        #[allow(clippy::cast_precision_loss)]
        inspection.sequences.push(Sequence {
            name: "features".to_owned(),
            entries: self.entries,
            rows: self.rows,
            width: self.width(),
            frames: Percentiles::of(self.lengths.iter().map(|&rows| rows as f64)),
            seconds: Percentiles::of(self.seconds),
            rate: Percentiles::of(self.rates),
            intervals: Some(self.intervals),
            values: self.values,
            words: self.words,
            lengths: self.lengths,
            ends: self.ends,
            whole_times: self.whole_times,
        });
    }

    fn entry_findings(&self, found: &mut Vec<Finding>) {
        if let Some(first) = self.unreadable.first() {
            found.push(Finding::problem(
                "entry_unreadable",
                format!(
                    "{} cannot be read: {first}",
                    count(self.unreadable.len(), "entry")
                ),
                "the program refuses the file; repair or remove them",
            ));
        }
        let not_utf8 = self.words.as_ref().map_or(0, |words| words.not_utf8);
        if not_utf8 > 0 {
            let are = if not_utf8 == 1 { "is" } else { "are" };
            found.push(Finding::problem(
                "not_utf8",
                format!("{} {are} not UTF-8", count(not_utf8, "word")),
                "their letters are lost to a replacement character: write the file anew with text encoded as UTF-8",
            ));
        }
        if !self.empty.is_empty() {
            found.push(Finding::problem(
                "entry_empty",
                format!(
                    "{} without a row: {}",
                    count(self.empty.len(), "entry"),
                    few(&self.empty, 4)
                ),
                "their segments lack this modality (data.missing says what becomes of them)",
            ));
        }
        if self.widths.len() > 1 {
            let widths: Vec<_> = self.widths.iter().collect();
            let widths: Vec<String> = widths.iter().map(|(w, n)| format!("{w} ({n})")).collect();
            found.push(Finding::problem(
                "widths_differ",
                format!("rows of different widths (entries): {}", widths.join(", ")),
                "the program refuses the file: keep the entries of one width",
            ));
        }
        let mut same: Vec<String> = self
            .by_digest
            .values()
            .filter(|ids| ids.len() > 1)
            .map(|ids| ids.join(" = "))
            .collect();
        same.sort();
        if !same.is_empty() {
            found.push(Finding::problem(
                "entries_identical",
                format!(
                    "{} of identical content: {}",
                    count(same.len(), "group"),
                    few(&same, 3)
                ),
                "one recording under several ids; in different folds it leaks from training into testing",
            ));
        }
    }
}

fn metadata_findings(inspection: &mut Inspection) {
    if inspection.metadata.is_empty() {
        inspection.find(Finding::note(
            "no_metadata",
            "no metadata",
            "it is not needed here; the SDK warns about it",
        ));
    }
    let named = inspection
        .metadata
        .get("root name")
        .and_then(|v| v.as_str());
    let root = inspection.root.as_deref();
    if let (Some(named), Some(root)) = (named, root)
        && named != root
    {
        let found = format!("metadata calls the root {named:?}, it is {root:?}");
        inspection.find(Finding::note("root_renamed", found, ""));
    }
}

/// Names of the columns, as the metadata has them.
fn dimension_names(inspection: &Inspection) -> Vec<String> {
    let names = inspection.metadata.get("dimension names");
    let names = names.and_then(|names| names.as_array());
    let names = names.into_iter().flatten();
    names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn interval_findings(facts: &Intervals, is_label: bool, found: &mut Vec<Finding>) {
    if facts.zero_length > 0 {
        let finding = if is_label {
            Finding::problem
        } else {
            Finding::note
        };
        found.push(finding(
            "zero_length",
            format!(
                "{} of no length: {}",
                count(facts.zero_length, "interval"),
                few(&facts.zero_length_at, 4)
            ),
            if is_label {
                "no word or frame lies in one: it is kept only where its text comes from a table"
            } else {
                "as in the SDK's alignment, such a row belongs to no segment"
            },
        ));
    }
    if facts.backwards > 0 {
        found.push(Finding::problem(
            "backwards",
            format!(
                "{} ending before beginning: {}",
                count(facts.backwards, "interval"),
                few(&facts.backwards_at, 4)
            ),
            "nothing lies in them; exchange start and end in the file if that is what was meant",
        ));
    }
    if facts.not_finite > 0 {
        found.push(Finding::problem(
            "time_not_a_number",
            format!(
                "{} with a time that is NaN or infinite",
                count(facts.not_finite, "interval")
            ),
            "nothing can be aligned to them",
        ));
    }
    if facts.negative > 0 {
        found.push(Finding::note(
            "negative_time",
            format!("{} before second 0", count(facts.negative, "interval")),
            "a shifted time line misaligns the modalities: compare with the other files",
        ));
    }
    if facts.duplicates > 0 {
        found.push(Finding::problem(
            "interval_twice",
            format!(
                "{} twice in an entry: {}",
                count(facts.duplicates, "interval"),
                few(&facts.duplicates_at, 4)
            ),
            "the same moment counts twice",
        ));
    }
    if facts.unsorted_entries > 0 {
        found.push(Finding::note(
            "unsorted",
            format!(
                "{} not in order of time: {}",
                count(facts.unsorted_entries, "entry"),
                few(&facts.unsorted_at, 4)
            ),
            "rows are sorted by start when they are read",
        ));
    }
    if facts.overlapping > 0 {
        found.push(Finding::note(
            "overlapping",
            format!(
                "{} overlapping the one before, in {}: {}",
                count(facts.overlapping, "interval"),
                count(facts.overlapping_entries, "entry"),
                few(&facts.overlapping_at, 4)
            ),
            "a frame in two segments belongs to both",
        ));
    }
}

pub(super) fn value_findings(values: &Values, found: &mut Vec<Finding>) {
    if values.not_finite() > 0 {
        let columns = values.columns.iter().enumerate();
        let columns: Vec<usize> = columns
            .filter(|(_, column)| column.not_finite > 0)
            .map(|(index, _)| index)
            .collect();
        found.push(Finding::problem(
            "not_a_number",
            format!(
                "{} NaN, {} -inf, {} +inf, in columns {}",
                values.nan,
                values.minus_infinity,
                values.plus_infinity,
                few(&columns, 12)
            ),
            "they are set to 0 when read; the SDK would spread them through its means",
        ));
    }
    if !values.constant.is_empty() {
        found.push(Finding::note(
            "constant_feature",
            format!(
                "{} with one value throughout: columns {}",
                count(values.constant.len(), "feature"),
                few(&values.constant, 12)
            ),
            "it tells nothing; standardising only shifts it to 0",
        ));
    }
    if values.zero_entries > 0 {
        found.push(Finding::problem(
            "zero_entry",
            format!("{} all zero", count(values.zero_entries, "entry")),
            "extraction failed there: the modality is as good as missing",
        ));
    }
    if values.zero_frames > 0 {
        found.push(Finding::note(
            "zero_frame",
            format!(
                "{} zero in every feature",
                count(values.zero_frames, "frame")
            ),
            "no face was found, silence, or padding",
        ));
    }
}

fn usable(pass: &Pass, name: &str) -> Usable {
    let lower = name.to_ascii_lowercase();
    let width = pass.width();
    match pass.role {
        Some(Role::Words) if lower.contains("phone") => {
            Usable::no("phones, where the program reads words: take the file of words")
        }
        Some(Role::Words) => Usable::yes(Role::Words, "words with their times"),
        _ if lower.contains("wordvector") => Usable::no(
            "vectors of words, where the program encodes text itself: take the file of words",
        ),
        Some(Role::Labels) if width == 1 => Usable::yes(Role::Labels, "labelled intervals"),
        Some(Role::Labels) => Usable::yes(
            Role::Labels,
            format!("labelled intervals of {width} columns, of which label_column = 0 is read"),
        ),
        Some(role) => Usable::yes(role, format!("features of width {width}")),
        None if pass.entries == 0 => Usable::no("no entry of it can be read"),
        None => Usable::no(format!(
            "features of width {width}; its name does not tell whether they are visual or acoustic: name it as data.vision or data.audio"
        )),
    }
}

/// The token of a pause in word sequences.
const PAUSE: &str = "sp";

/// Facts of one entry, small whatever the entry's size.
pub(super) struct EntryFacts {
    pub(super) id: String,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) seconds: Option<f64>,
    /// The last end.
    pub(super) end: Option<f64>,
    /// Whether every time is a whole number.
    pub(super) whole_times: bool,
    /// Median of rows a second.
    pub(super) rate: Option<f64>,
    pub(super) intervals: Intervals,
    pub(super) values: Option<Values>,
    pub(super) words: Option<WordFacts>,
    /// The first column, where it was asked for.
    pub(super) labels: Vec<f32>,
    /// Of all it holds.
    pub(super) digest: [u8; 32],
}

/// Words of one entry.
pub(super) struct WordFacts {
    pub(super) pauses: usize,
    pub(super) empty: usize,
    pub(super) not_utf8: usize,
    pub(super) distinct: HashSet<String>,
}

impl EntryFacts {
    pub(super) fn of(id: &str, entry: &Entry, labels: bool) -> Self {
        let (values, words, labels) = match &entry.features {
            Features::Numeric { values, width } => {
                let column = values.chunks_exact((*width).max(1));
                let column = column.filter_map(|row| row.first().copied());
                let labels = if labels { column.collect() } else { Vec::new() };
                (Some(Values::of(values, *width)), None, labels)
            }
            Features::Text(words) => (None, Some(WordFacts::of(words)), Vec::new()),
        };
        Self {
            id: id.to_owned(),
            rows: entry.len(),
            width: entry.features.width(),
            seconds: span(&entry.intervals),
            end: entry
                .intervals
                .iter()
                .map(|times| times[1])
                .reduce(f64::max),
            whole_times: entry
                .intervals
                .as_flattened()
                .iter()
                .all(|time| time.fract() == 0.0),
            rate: rate(&entry.intervals),
            intervals: Intervals::of(id, &entry.intervals),
            values,
            words,
            labels,
            digest: digest(entry),
        }
    }
}

impl WordFacts {
    fn of(words: &[String]) -> Self {
        let count = |wanted: &str| words.iter().filter(|word| word.trim() == wanted).count();
        let spoken = words.iter().map(|word| word.trim());
        let spoken = spoken.filter(|word| !word.is_empty() && *word != PAUSE);
        Self {
            pauses: count(PAUSE),
            empty: count(""),
            not_utf8: words.iter().map(|word| words_not_utf8(word)).sum(),
            distinct: spoken.map(str::to_lowercase).collect(),
        }
    }
}

/// From the first start to the last end.
fn span(intervals: &[[f64; 2]]) -> Option<f64> {
    let start = intervals.iter().map(|times| times[0]).reduce(f64::min)?;
    let end = intervals.iter().map(|times| times[1]).reduce(f64::max)?;
    let span = end - start;
    span.is_finite().then_some(span)
}

fn rate(intervals: &[[f64; 2]]) -> Option<f64> {
    let lengths = intervals.iter().map(|[start, end]| end - start);
    let median = Percentiles::of(lengths.filter(|&length| length > mmrest_data::TOLERANCE))?.p50;
    Some(1.0 / median)
}

fn digest(entry: &Entry) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for time in entry.intervals.as_flattened() {
        hasher.update(time.to_bits().to_le_bytes());
    }
    match &entry.features {
        Features::Numeric { values, .. } => {
            for value in values {
                hasher.update(value.to_bits().to_le_bytes());
            }
        }
        Features::Text(words) => {
            for word in words {
                hasher.update(word.as_bytes());
                hasher.update([0]);
            }
        }
    }
    hasher.finalize().into()
}
