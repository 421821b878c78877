//! Computational sequences: the CMU-MultimodalSDK's `.csd` files (HDF5).
//!
//! `/<root>/data/<id>/{features,intervals}` and `/<root>/metadata/<key>`, the root being the file's only top group.
//! [`ComputationalSequence`] reads one entry at a time; [`write()`] makes a file of the same layout.
//!
//! ```
//! use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};
//!
//! # fn main() -> mmrest_data::Result<()> {
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("words.csd");
//! let entry = Entry {
//!     intervals: vec![[0.0, 0.5], [0.5, 0.9]],
//!     features: Features::Text(vec!["hello".into(), "world".into()]),
//! };
//! csd::write(&path, "words", &csd::metadata("words", "an example"), [("video", entry.clone())])?;
//!
//! let words = ComputationalSequence::open(&path)?;
//! assert_eq!(words.root(), "words");
//! assert_eq!(words.ids(), ["video"]);
//! assert_eq!(words.read("video")?, entry);
//! # Ok(())
//! # }
//! ```

mod backend;
mod entry;
mod intervals;
mod read;
mod write;

pub use backend::Backend;
pub use entry::{Entry, Features, RowsDiffer};
pub use entry::{merge, split_id};
pub(crate) use intervals::belongs;
pub use intervals::{
    LabelledInterval, TIMING_WIDTH, TOLERANCE, is_too_short, labelled_intervals, other_units,
    overlapping, word_timing,
};
pub use read::ComputationalSequence;
pub use write::{Metadata, metadata, try_write, write, write_at_level};
