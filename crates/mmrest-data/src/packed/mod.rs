//! Packed sets: all segments of a data set in one HDF5 file, read by the segment.
//!
//! Values of all segments lie one after another, with the offsets at which segments start:
//!
//! | dataset | elements | shape |
//! |---|---|---|
//! | `/vision/values`, `/audio/values` | f4 | `[frames, width]` |
//! | `/vision/offsets`, `/audio/offsets` | i8 | `[segments + 1]`, in frames |
//! | `/text/values` | u1 (UTF-8) | `[bytes]` |
//! | `/text/offsets` | i8 | `[segments + 1]`, in bytes |
//! | `/id`, `/video` | S | `[segments]` |
//! | `/split` | S5: `train`, `valid` or `test` | `[segments]` |
//! | `/label` | f4, NaN for none | `[segments]` |
//! | `/metadata` | S, JSON | scalar |
//! | `/sha256` | S, SHA-256 of the metadata, which have those of the other datasets | scalar |
//!
//! A modality that is not in use has no group. All datasets are contiguous, so that a segment's frames are one stretch of
//! the file. Any HDF5 reader opens it; the frames of segment `i` in Python:
//!
//! ```python
//! with h5py.File("set.h5") as f:
//!     start, end = f["audio/offsets"][i : i + 2]
//!     audio = f["audio/values"][start:end]  # [frames, width]
//! ```
//!
//! [`PackedWriter`] takes segments one after another, [`pack`] those of any [`SegmentSource`](crate::SegmentSource);
//! neither holds more than one segment's frames in memory. [`PackedSet`] keeps ids, texts, labels and offsets in memory
//! and reads frames when asked, from as many threads as like to.
//!
//! ```
//! use mmrest_data::packed::{About, PackedSet, PackedWriter};
//! use mmrest_data::{Frames, Modality, Segment, Split, Widths};
//!
//! # fn main() -> mmrest_data::Result<()> {
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("set.h5");
//! let segment = Segment {
//!     id: "video[0]".to_owned(),
//!     video: "video".to_owned(),
//!     text: "how nice".to_owned(),
//!     vision: Frames::default(),
//!     audio: Frames { values: vec![0.5, 1.0, 1.5, 2.0], width: 2 },
//!     label: Some(1.8),
//! };
//! let widths = Widths { vision: 0, audio: 2 };
//! let mut writer = PackedWriter::create(&path, widths, true)?;
//! writer.push(Split::Train, &segment)?;
//! writer.finish(About::default())?;
//!
//! let set = PackedSet::open(&path)?;
//! assert_eq!(set.rows(Split::Train), [0]);
//! assert_eq!(set.text(0), "how nice");
//! assert_eq!(set.frames(Modality::Audio, 0)?.len(), 2);
//! assert_eq!(set.segment(0)?, segment);
//! # Ok(())
//! # }
//! ```

mod about;
mod open;
mod set;
mod source;
mod writer;

pub use about::About;
pub(crate) use about::VERSION;
pub use set::PackedSet;
pub(crate) use source::Chosen;
pub use source::pack;
pub use writer::PackedWriter;
