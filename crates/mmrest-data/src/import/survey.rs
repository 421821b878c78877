//! A release described as the loader reads it, for those who tell what is in a file.

use std::sync::Arc;

use super::{Padding, Release, ReleaseSource, split_files};
use crate::clean::Purpose;
use crate::config::Files;
use crate::pickle::Pickle;
use crate::{DataConfig, DataReport, Kind, Modality, Result, Split};

/// An open release: everything but its frames has been read and checked as [`load`](crate::load) does.
pub struct Survey {
    source: ReleaseSource,
    modalities: Vec<Modality>,
}

/// One split of a release.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SurveyPart<'a> {
    /// Which split it is.
    pub split: Option<Split>,
    /// What the file calls it.
    pub name: &'a str,
    /// Every segment's id, as the loader makes it.
    pub ids: &'a [String],
    /// Every segment's label, perhaps not a number.
    pub labels: &'a [f32],
    /// Every segment's text, where the release has text.
    pub texts: Option<&'a [Arc<str>]>,
}

/// The frames of one segment as they are stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredFrames {
    /// `[frames, width]`, with the zero frames that fill it up.
    pub values: Vec<f32>,
    /// Features in a frame.
    pub width: usize,
    /// Its stated length.
    pub length: Option<usize>,
    /// Where zero frames are padding.
    pub padding: Padding,
}

impl Survey {
    /// Surveys the open pickle of a release with all modalities that it has of itself; text needs a table where it has none.
    ///
    /// # Errors
    ///
    /// Those of [`open`](crate::open()) with `kind = "mmsa"`.
    pub fn of(pickle: Pickle) -> Result<Self> {
        let path = &pickle.path().to_path_buf();
        let release = Release::of(pickle)?;
        let modalities = release.modalities(false);
        let config = DataConfig {
            kind: Kind::Mmsa,
            file: Some(path.to_string_lossy().into_owned()),
            modalities: modalities.clone(),
            ..DataConfig::default()
        };
        let files = Files::of_release(path, None);
        let source = ReleaseSource::new(release, &config, &files, Purpose::Training)?;
        Ok(Self { source, modalities })
    }

    /// What it has of itself.
    pub fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    /// The files it is in: the pickle, or one for each split.
    pub fn files(&self) -> usize {
        split_files(self.source.release().path()).len()
    }

    /// What is known before any frame is read: videos, what is not used, splits that are not there.
    pub fn report(&self) -> &DataReport {
        self.source.about()
    }

    /// Every modality that is read from another key than the usual one, with that key.
    pub fn renamed(&self) -> Vec<(Modality, &'static str)> {
        let keys = self.modalities.iter().filter_map(|&modality| {
            let key = self.source.release().key(modality)?;
            (key != modality.name() && key != "raw_text").then_some((modality, key))
        });
        keys.collect()
    }

    /// The splits, in the order of use.
    pub fn parts(&self) -> impl Iterator<Item = SurveyPart<'_>> {
        self.source.parts().iter().map(|part| SurveyPart {
            split: part.split,
            name: &part.name,
            ids: &part.ids,
            labels: &part.labels,
            texts: part.texts.as_deref(),
        })
    }

    /// Every segment's video, in the order of the parts and their ids.
    pub fn videos(&self) -> impl Iterator<Item = &str> {
        let parts = self.source.parts().iter();
        parts.flat_map(|part| part.keys.iter().map(super::ids::Key::video))
    }

    /// Gives the frames of every segment, in the order of the parts and their ids.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn visit(&self, modality: Modality, visit: &mut dyn FnMut(StoredFrames)) -> Result<()> {
        self.source.visit_stored(modality, visit)
    }
}
