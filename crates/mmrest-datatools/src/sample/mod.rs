//! The built-in sample: a small made-up data set in the CMU-MultimodalSDK's layout, for a first run without a download.
//!
//! People review films. Each of 600 segments has a sentiment that text, face and voice carry **together**: with the
//! valence `t` of what is said, `v` of the face and `s` of the voice, uncorrelated and of unit variance,
//!
//! ```text
//! label = round to 0.2 of clamp(text_weight t + vision_weight v + audio_weight s + noise e, -3, 3)
//! ```
//!
//! so no modality alone predicts well, and all three together nearly do. `t` is in sentiment words of graded strength, in
//! "very" and "really", and in "not", which turns the next word; `v` in smiling or frowning with an onset
//! and a long apex; `s` in pitch, energy and voice quality. Every video (its speaker, camera and microphone) shifts
//! the features, and several features mean nothing.
//!
//! A few imperfections of real recordings are there on purpose: see [`generate`].
//!
//! The content is the same on every machine and for every version of `rand`: it needs nothing but raw ChaCha8
//! words, IEEE `+ - * /` and rounding (no logarithm or sine, whose last bit differs between C libraries).
//!
//! ```
//! use mmrest_datatools::sample::{SampleConfig, generate};
//!
//! let sample = generate(&SampleConfig { videos: 3, ..SampleConfig::default() });
//! let segment = &sample.videos[0].segments[0];
//! println!("{:+.1}  {}", segment.label, segment.text);
//! assert_eq!(sample.segments().count(), 30);
//! ```

mod causes;
mod face;
mod files;
mod generate;
mod grammar;
mod mosei;
mod noise;
mod timeline;
mod track;
mod voice;

pub use causes::Causes;
pub use files::{ACOUSTIC, BERT, FOLDS, LABELS, VISION, WORDS, write};
pub use generate::{Sample, SampleConfig, SampleSegment, SampleVideo, generate};
pub use mosei::{LikeMosei, write_like_mosei};

/// The token for silence in the word sequence, as in the SDK's files.
pub const PAUSE: &str = "sp";

/// Names of the vision features, in the order of the columns: facial action units, head pose, gaze.
pub const VISION_FEATURES: [&str; face::WIDTH] = face::NAMES;

/// Names of the acoustic features, in the order of the columns.
pub const ACOUSTIC_FEATURES: [&str; voice::WIDTH] = voice::NAMES;

/// Every word the sample can contain, sorted; [`PAUSE`] is none.
pub fn vocabulary() -> Vec<&'static str> {
    grammar::all()
}
