//! Ids of entries and segments, and the ways they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// How an id is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdStyle {
    /// `video`: all of a video.
    Video,
    /// `video[3]`: the SDK's pieces, from 0.
    Brackets,
    /// `video$_$3`: the processed releases' clips.
    Dollar,
    /// `video_3`: clips as MulT's pickles write them.
    Underscore,
}

impl IdStyle {
    /// An example of it.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Brackets => "video[3]",
            Self::Dollar => "video$_$3",
            Self::Underscore => "video_3",
        }
    }

    /// The video of an id, its number and the style. Names of videos may end in `_3` themselves: that is taken for a clip
    /// only where `known` knows what stands before it as a video, and not the whole.
    pub fn parse<'a>(id: &'a str, known: &dyn Fn(&str) -> bool) -> (&'a str, Option<usize>, Self) {
        if let Some((video, clip)) = id.split_once("$_$") {
            return (video, clip.parse().ok(), Self::Dollar);
        }
        if let Some((video, piece)) = id.strip_suffix(']').and_then(|id| id.split_once('[')) {
            return (video, piece.parse().ok(), Self::Brackets);
        }
        if !known(id)
            && let Some((video, clip)) = id.rsplit_once('_')
            && let Ok(clip) = clip.parse()
            && known(video)
        {
            return (video, Some(clip), Self::Underscore);
        }
        (id, None, Self::Video)
    }
}

/// Ids of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ids {
    /// How many.
    pub count: usize,
    /// Different videos.
    pub videos: usize,
    /// How many are written in which way.
    pub styles: BTreeMap<IdStyle, usize>,
    /// Ids that occur more than once.
    pub duplicates: Vec<String>,
    /// All, in the file's order.
    pub all: Vec<String>,
}

impl Ids {
    /// Sees how ids are written; `known` says which videos exist for certain.
    pub(super) fn of(all: Vec<String>, known: &dyn Fn(&str) -> bool) -> Self {
        let mut styles = BTreeMap::new();
        let mut videos = BTreeSet::new();
        let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for id in &all {
            let (video, _, style) = IdStyle::parse(id, known);
            *styles.entry(style).or_default() += 1;
            videos.insert(video);
            if !seen.insert(id) {
                twice.insert(id.clone());
            }
        }
        Self {
            count: all.len(),
            videos: videos.len(),
            styles,
            duplicates: twice.into_iter().collect(),
            all,
        }
    }

    /// The commonest way of writing.
    pub fn style(&self) -> Option<IdStyle> {
        let most = self.styles.iter().max_by_key(|&(_, &count)| count);
        most.map(|(&style, _)| style)
    }

    /// Every video, once, by name.
    pub fn video_names<'a>(&'a self, known: &dyn Fn(&str) -> bool) -> BTreeSet<&'a str> {
        let ids = self.all.iter();
        ids.map(|id| IdStyle::parse(id, known).0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_known() {
        let known = |video: &str| ["a_1", "b"].contains(&video);
        let parse = |id: &'static str| IdStyle::parse(id, &known);
        assert_eq!(parse("b$_$12"), ("b", Some(12), IdStyle::Dollar));
        assert_eq!(parse("b[3]"), ("b", Some(3), IdStyle::Brackets));
        assert_eq!(parse("b_3"), ("b", Some(3), IdStyle::Underscore));
        assert_eq!(parse("a_1"), ("a_1", None, IdStyle::Video));
        assert_eq!(parse("a_1_2"), ("a_1", Some(2), IdStyle::Underscore));
        assert_eq!(parse("c_3"), ("c_3", None, IdStyle::Video));
    }

    #[test]
    fn doubles_are_named_once() {
        let ids = Ids::of(["a", "a", "a", "b[0]"].map(String::from).to_vec(), &|_| {
            false
        });
        assert_eq!((ids.count, ids.videos), (4, 2));
        assert_eq!(ids.duplicates, ["a"]);
        assert_eq!(ids.style(), Some(IdStyle::Video));
    }
}
