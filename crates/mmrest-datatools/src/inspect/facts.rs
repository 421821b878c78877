//! The result of inspecting a file: facts, findings, and the role it can play.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mmrest_data::text::{count, few};
use mmrest_data::{Split, in_two_splits};
use serde::Serialize;
use serde_json::Value;

use super::{FileKind, Ids, Intervals, Labels, Membership, Percentiles, Values};

/// Everything found out about one file or directory. Serialised, its keys are stable; a part that the kind of file does
/// not have is null or empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The file or directory.
    pub path: PathBuf,
    /// What it is, by its content.
    pub kind: FileKind,
    /// Its size; of a directory the sum of its files.
    pub bytes: u64,
    /// Name of the only top group (computational sequences).
    pub root: Option<String>,
    /// Metadata by key; of a BERT its `config.json`.
    pub metadata: BTreeMap<String, Value>,
    /// Arrays as stored: where, shape, type.
    pub stored: Vec<Stored>,
    /// Ids of its entries, rows or segments.
    pub ids: Option<Ids>,
    /// Its sequences of numbers or words, one for each modality it holds.
    pub sequences: Vec<Sequence>,
    /// Its sentiment labels.
    pub labels: Option<Labels>,
    /// Segments or videos by split, where the file says so itself.
    pub splits: BTreeMap<Split, usize>,
    /// Videos with segments in more than one split, where the file says the splits itself.
    pub videos_in_two_splits: Vec<String>,
    /// How its videos stand in the standard folds.
    pub folds: Vec<Membership>,
    /// What the program would use it as.
    pub usable: Usable,
    /// What is wrong with it, or worth knowing.
    pub findings: Vec<Finding>,
}

/// An array as stored, or many of the same type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Where in the file.
    pub name: String,
    /// `[n, 75]`; `n` where it differs from entry to entry.
    pub shape: String,
    /// `f4`, `f8`, `i8`, `S12`, ...
    pub dtype: String,
    /// How many arrays this stands for.
    pub arrays: usize,
}

/// A sequence of frames or words over several entries (videos or segments).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Sequence {
    /// `features`, or the modality.
    pub name: String,
    /// Entries that have it.
    pub entries: usize,
    /// Rows (frames, words, labelled intervals) of all entries.
    pub rows: usize,
    /// Numbers in a row; 1 for words.
    pub width: usize,
    /// Rows of an entry.
    pub frames: Option<Percentiles>,
    /// Seconds from an entry's first start to its last end.
    pub seconds: Option<Percentiles>,
    /// Rows a second: over entries, of the median of `1 / (end - start)` within each.
    pub rate: Option<Percentiles>,
    /// The intervals, where there are any.
    pub intervals: Option<Intervals>,
    /// The numbers, where it holds numbers.
    pub values: Option<Values>,
    /// The words, where it holds words.
    pub words: Option<Words>,
    /// Rows of each entry, in file order.
    #[serde(skip)]
    pub lengths: Vec<usize>,
    /// Where each video ends in seconds, of a sequence over time.
    #[serde(skip)]
    pub ends: BTreeMap<String, f64>,
    /// Whether all its times are whole numbers, as those of frames or milliseconds are.
    #[serde(skip)]
    pub whole_times: bool,
}

/// Words of a sequence or transcripts of a table, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Words {
    /// Words that are no pause, or transcripts.
    pub count: usize,
    /// Different ones.
    pub distinct: usize,
    /// Pause tokens (`sp`).
    pub pauses: usize,
    /// Empty ones.
    pub empty: usize,
    /// Those with a character in place of bytes that are not UTF-8.
    pub not_utf8: usize,
}

impl Inspection {
    pub(super) fn new(path: PathBuf, kind: FileKind, bytes: u64) -> Self {
        Self {
            path,
            kind,
            bytes,
            root: None,
            metadata: BTreeMap::new(),
            stored: Vec::new(),
            ids: None,
            sequences: Vec::new(),
            labels: None,
            splits: BTreeMap::new(),
            videos_in_two_splits: Vec::new(),
            folds: Vec::new(),
            usable: Usable::default(),
            findings: Vec::new(),
        }
    }

    /// Name of the file without its folder.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Findings that have to be dealt with.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.level == Level::Problem)
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Finds the videos with segments in more than one split, which pickles and packed sets may have.
    pub(super) fn find_in_two_splits<'a>(&mut self, of: impl Iterator<Item = (&'a str, Split)>) {
        let two = in_two_splits(of);
        if two.is_empty() {
            return;
        }
        self.find(Finding::note(
            "video_in_two_splits",
            format!(
                "{} in more than one split: {}",
                count(two.len(), "video"),
                few(&two, 4)
            ),
            "as where a release is split by segment (CH-SIMS): speakers of the test are known from training",
        ));
        self.videos_in_two_splits = two.into_iter().map(str::to_owned).collect();
    }

    /// Notes that the loader refuses the file, and why.
    pub(super) fn refused(&mut self, error: &mmrest_data::DataError) {
        self.unreadable(
            error,
            "the loader refuses it: change the file, or take another",
        );
    }

    /// Notes that nothing of the file can be read, and why.
    pub(super) fn unreadable(&mut self, reason: impl ToString, advice: &str) {
        let found = reason.to_string();
        // The path is the heading already.
        let prefix = format!("{}: ", self.path.display());
        let found = found.strip_prefix(&prefix).unwrap_or(&found).to_owned();
        self.usable = Usable::no(found.clone());
        self.find(Finding::problem("unreadable", found, advice));
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know; nothing has to be done.
    Note,
    /// It changes what is trained on, or makes the file useless.
    Problem,
}

/// One thing that is wrong with a file, or worth knowing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// A stable word for it, such as `not_a_number`.
    pub code: &'static str,
    /// What was found, with counts and the first few ids.
    pub found: String,
    /// What to do about it, or what the program does.
    pub advice: String,
}

impl Finding {
    pub(super) fn problem(
        code: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Problem,
            code,
            found: found.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn note(
        code: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Note,
            ..Self::problem(code, found, advice)
        }
    }
}

/// A part a file can play in a `[data]` or `[text]` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Labelled intervals.
    Labels,
    /// Words with their times.
    Words,
    /// Visual features.
    Vision,
    /// Acoustic features.
    Audio,
    /// Transcripts, labels and splits.
    Table,
    /// Folds by video.
    Folds,
    /// A processed release in a pickle.
    Pickle,
    /// A packed set.
    Packed,
    /// A BERT.
    TextEncoder,
}

impl Role {
    /// The configuration's key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Labels => "data.labels",
            Self::Words => "data.words",
            Self::Vision => "data.vision",
            Self::Audio => "data.audio",
            Self::Table => "data.table",
            Self::Folds => "data.folds",
            Self::Pickle | Self::Packed => "data.file",
            Self::TextEncoder => "text.bert",
        }
    }

    /// The part a sequence of numbers plays, by its file's name or its root's: the SDK's names, and what people call
    /// their own.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["label", "opinion", "sentiment"]) {
            return Some(Self::Labels);
        }
        if has(&["visual", "vision", "facet", "openface", "face", "video"]) {
            return Some(Self::Vision);
        }
        has(&["acoustic", "audio", "covarep", "opensmile", "voice", "mfcc"]).then_some(Self::Audio)
    }
}

/// What the program would use a file as, or why it would not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Usable {
    /// The part it plays; none where it is of no use.
    pub role: Option<Role>,
    /// The configuration's key for it.
    pub key: Option<&'static str>,
    /// How, or why not.
    pub why: String,
}

impl Usable {
    pub(super) fn yes(role: Role, why: impl Into<String>) -> Self {
        Self {
            role: Some(role),
            key: Some(role.key()),
            why: why.into(),
        }
    }

    pub(super) fn no(why: impl Into<String>) -> Self {
        Self {
            role: None,
            key: None,
            why: why.into(),
        }
    }
}
