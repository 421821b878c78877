//! The CMU-MultimodalSDK's alignment of computational sequences, written as computational sequences again.
//!
//! The SDK's users align words, voice and face to the words (or to the labelled intervals) and go on with the result.
//! [`Aligner`] does the same to files, one video at a time: what it writes, the SDK reads, and goes on with.
//!
//! 1. *Unify*: only ids are kept (the part before `[`) that every sequence has.
//! 2. *Align*: row `i` of the reference, unless it is shorter than [`TOLERANCE`](mmrest_data::TOLERANCE), makes the key
//!    `id[i]`. From each other sequence, whose entries `id[k]` are merged and stably sorted by start, it takes the rows of
//!    [`overlapping`](mmrest_data::overlapping), whole, their intervals cut to its own; a sequence without such rows has no such key.
//! 3. *[Collapse]*, if asked for: the rows of a key become one, from the earliest start to the latest end.
//! 4. *Impute*, if asked for: a key a sequence lacks becomes a row of zeros (an empty word).
//! 5. *Then* the same again, if asked for, to another sequence, which takes no part before: words averaged first, the
//!    labelled intervals cut out of that. This time nothing is collapsed.
//! 6. *Hard unify*, if asked for: only keys are kept that every sequence has.
//! 7. *[Revert](revert)*, if asked for: the keys of an id become one entry again.
//!
//! What differs from the SDK, on purpose: NaN and infinite values are set to 0 before anything else, and counted, instead
//! of spreading through means; ids that merely begin like a removed one stay; words that are imputed are empty, not the
//! number 0; a reference may itself hold entries `id[k]` of one row, which keep their `k`; rows whose end is not after
//! their start are in no interval; features come out as 32-bit floats, intervals as 64-bit ones.
//!
//! ```
//! use mmrest_datatools::align::{AlignConfig, Aligner, Collapse};
//! use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};
//!
//! # fn main() -> mmrest_data::Result<()> {
//! let folder = tempfile::tempdir().unwrap();
//! let words = Entry {
//!     intervals: vec![[0.0, 0.5], [0.5, 1.0]],
//!     features: Features::Text(vec!["good".into(), "film".into()]),
//! };
//! let voice = Entry {
//!     intervals: vec![[0.0, 0.2], [0.2, 0.6], [0.6, 1.0]],
//!     features: Features::Numeric { values: vec![1.0, 2.0, 4.0], width: 1 },
//! };
//! let mut files = Vec::new();
//! for (name, entry) in [("words", words), ("voice", voice)] {
//!     let path = folder.path().join(name).with_extension("csd");
//!     csd::write(&path, name, &csd::metadata(name, "an example"), [("video", entry)])?;
//!     files.push(path);
//! }
//!
//! let config = AlignConfig {
//!     collapse: vec![Collapse::Mean],
//!     ..AlignConfig::to("words")
//! };
//! let aligned = Aligner::open(&files, config)?.write(&folder.path().join("aligned"), false, &mut |_| true)?;
//! assert_eq!(aligned.report.sequences[1].entries, 2);
//!
//! let voice = ComputationalSequence::open(&aligned.files[1])?;
//! assert_eq!(voice.ids(), ["video[0]", "video[1]"]);
//! let second = voice.read("video[1]")?;
//! assert_eq!(second.intervals, [[0.5, 1.0]]);
//! assert_eq!(second.features, Features::Numeric { values: vec![3.0], width: 1 });
//! # Ok(())
//! # }
//! ```

mod aligner;
mod collapse;
mod output;
mod report;
mod sequence;
mod tensors;
mod video;

use serde::{Deserialize, Serialize};

pub use aligner::{Aligned, Aligner};
pub use collapse::{Collapse, UnknownCollapse};
pub use output::Written;
pub use report::{AlignReport, Listed, SequenceReport};
pub use tensors::{Padding, Tensor, revert, tensor};

/// What an alignment does, in the order of the fields; sequences are named by their files' root names.
///
/// ```
/// use mmrest_datatools::align::{AlignConfig, Collapse};
///
/// let config = AlignConfig {
///     collapse: vec![Collapse::Mean],
///     impute: true,
///     then: Some("labels".into()),
///     ..AlignConfig::to("words")
/// };
/// assert_eq!(config.reference, "words");
/// assert!(!config.hard_unify);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignConfig {
    /// The sequence the others are aligned to.
    pub reference: String,
    /// What the rows of a key become; none: they stay as they are. Several stand side by side along the feature axis.
    #[serde(default)]
    pub collapse: Vec<Collapse>,
    /// Whether a key that a sequence lacks becomes a row of zeros.
    #[serde(default)]
    pub impute: bool,
    /// A sequence to align the result to, without collapsing; it takes no part in what comes before.
    #[serde(default)]
    pub then: Option<String>,
    /// Whether only keys are kept that every sequence has.
    #[serde(default)]
    pub hard_unify: bool,
    /// Whether the keys of an id become one entry again; only those that every sequence has.
    #[serde(default)]
    pub revert: bool,
}

impl AlignConfig {
    /// Aligns to `reference`, and no more.
    pub fn to(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            collapse: Vec::new(),
            impute: false,
            then: None,
            hard_unify: false,
            revert: false,
        }
    }
}
