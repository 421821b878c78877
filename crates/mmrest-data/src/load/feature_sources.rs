//! Words, vision and audio of a data set, opened together and read a video at a time.

use std::path::Path;

use super::features::{FrameSource, VideoFrames, VideoWords};
use crate::csd::ComputationalSequence;
use crate::{Result, Widths};

/// The sequences that segments are cut from; one that is not in use, or not there, is none.
pub(super) struct FeatureSources {
    pub(super) words: Option<ComputationalSequence>,
    pub(super) vision: Option<FrameSource>,
    pub(super) audio: Option<FrameSource>,
}

/// What the sequences hold of one id.
#[derive(Debug)]
pub(super) struct VideoFeatures {
    pub(super) words: Option<VideoWords>,
    pub(super) vision: Option<VideoFrames>,
    pub(super) audio: Option<VideoFrames>,
}

impl FeatureSources {
    pub(super) fn open(
        words: Option<&Path>,
        vision: Option<&Path>,
        audio: Option<&Path>,
    ) -> Result<Self> {
        let sequence = |path: Option<&Path>| path.map(ComputationalSequence::open).transpose();
        let frames = |path| sequence(path)?.map(FrameSource::new).transpose();
        Ok(Self {
            words: sequence(words)?,
            vision: frames(vision)?,
            audio: frames(audio)?,
        })
    }

    /// Those that are there.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &ComputationalSequence> {
        let frames = [&self.vision, &self.audio].into_iter().flatten();
        self.words.iter().chain(frames.map(FrameSource::sequence))
    }

    /// Features in a frame, 0 where there is no sequence.
    pub(super) fn widths(&self) -> Widths {
        let width = |source: &Option<FrameSource>| source.as_ref().map_or(0, FrameSource::width);
        Widths {
            vision: width(&self.vision),
            audio: width(&self.audio),
        }
    }

    /// Reads a video whole: its entries, or their pieces merged.
    pub(super) fn video(&self, video: &str) -> Result<VideoFeatures> {
        let words = self.words.as_ref();
        let frames = |source: &Option<FrameSource>| {
            let source = source.as_ref();
            source.map(|source| source.read(video)).transpose()
        };
        Ok(VideoFeatures {
            words: words
                .map(|words| VideoWords::read(words, video))
                .transpose()?,
            vision: frames(&self.vision)?,
            audio: frames(&self.audio)?,
        })
    }

    /// Reads the entries of exactly this id.
    pub(super) fn entry(&self, id: &str) -> Result<VideoFeatures> {
        let words = self.words.as_ref();
        let frames = |source: &Option<FrameSource>| {
            let source = source.as_ref();
            source.map(|source| source.read_entry(id)).transpose()
        };
        Ok(VideoFeatures {
            words: words
                .map(|words| VideoWords::read_entry(words, id))
                .transpose()?,
            vision: frames(&self.vision)?,
            audio: frames(&self.audio)?,
        })
    }
}
