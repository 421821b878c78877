//! Several files side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{FileKind, Finding, IdStyle, Inspection, Options, Role, config};
use mmrest_data::text::{count, few};

/// Which videos several files share, and how they would be trained on together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The files that have ids.
    pub files: Vec<Compared>,
    /// Videos that every file has.
    pub in_all: usize,
    /// Videos that some file lacks, with the files that lack them.
    pub in_some: BTreeMap<String, Vec<String>>,
    /// What does not fit together.
    pub findings: Vec<Finding>,
    /// A `[data]` section (and `[text]`, where there is a BERT) that trains on the files; none where they do not suffice.
    pub config: Option<String>,
}

/// One file of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// What it would be used as.
    pub role: Option<Role>,
    /// Its videos.
    pub videos: usize,
    /// Videos that others have and it has not.
    pub lacking: usize,
    /// How most of its ids are written.
    pub style: Option<IdStyle>,
    /// Numbers in a row, by sequence.
    pub widths: BTreeMap<String, usize>,
}

/// Puts files side by side: videos in all and in some of them, ways of writing ids, widths, and the configuration.
pub fn compare(inspections: &[Inspection], options: &Options) -> Comparison {
    let plain = plain_videos(inspections);
    let known = |video: &str| plain.contains(video) || options.knows(video);
    let with_ids: Vec<(&Inspection, BTreeSet<&str>)> = inspections
        .iter()
        .filter(|inspection| inspection.kind != FileKind::Bert)
        .filter_map(|inspection| {
            let videos = inspection.ids.as_ref()?.video_names(&known);
            Some((inspection, videos))
        })
        .collect();
    let every: BTreeSet<&str> = with_ids.iter().flat_map(|(_, v)| v).copied().collect();
    let mut in_some = BTreeMap::new();
    for &video in &every {
        let lacking: Vec<String> = with_ids
            .iter()
            .filter(|(_, videos)| !videos.contains(video))
            .map(|(inspection, _)| inspection.name())
            .collect();
        if !lacking.is_empty() {
            in_some.insert(video.to_owned(), lacking);
        }
    }
    let files: Vec<Compared> = with_ids
        .iter()
        .map(|(inspection, videos)| compared(inspection, videos, every.len(), &known))
        .collect();
    let mut findings = Vec::new();
    video_findings(
        &with_ids,
        every.len() - in_some.len(),
        &in_some,
        &mut findings,
    );
    style_findings(&files, &mut findings);
    Comparison {
        in_all: every.len() - in_some.len(),
        in_some,
        files,
        config: config::suggest(inspections, options, &mut findings),
        findings,
    }
}

/// Videos that some file names for certain: as a whole, or before a bracket or `$_$`.
fn plain_videos(inspections: &[Inspection]) -> BTreeSet<String> {
    let ids = inspections.iter().filter_map(|i| i.ids.as_ref());
    // A file of `video_3` alone does not name videos: those with clips in it would all be "videos".
    let certain = ids.filter(|ids| ids.count == ids.videos || ids.style() != Some(IdStyle::Video));
    let videos = certain.flat_map(|ids| ids.all.iter());
    let videos = videos.map(|id| IdStyle::parse(id, &|_| false).0.to_owned());
    let all: BTreeSet<String> = videos.collect();
    let whole = |video: &&String| match video.rsplit_once('_') {
        Some((start, clip)) => !(clip.parse::<usize>().is_ok() && all.contains(start)),
        None => true,
    };
    all.iter().filter(whole).cloned().collect()
}

fn compared(
    inspection: &Inspection,
    videos: &BTreeSet<&str>,
    every: usize,
    known: &dyn Fn(&str) -> bool,
) -> Compared {
    let mut styles: BTreeMap<IdStyle, usize> = BTreeMap::new();
    for id in inspection.ids.iter().flat_map(|ids| &ids.all) {
        *styles.entry(IdStyle::parse(id, known).2).or_default() += 1;
    }
    let most = styles.into_iter().max_by_key(|&(_, count)| count);
    let numeric = inspection.sequences.iter().filter(|s| s.words.is_none());
    Compared {
        name: inspection.name(),
        role: inspection.usable.role,
        videos: videos.len(),
        lacking: every - videos.len(),
        style: most.map(|(style, _)| style),
        widths: numeric.map(|s| (s.name.clone(), s.width)).collect(),
    }
}

fn video_findings(
    files: &[(&Inspection, BTreeSet<&str>)],
    in_all: usize,
    in_some: &BTreeMap<String, Vec<String>>,
    found: &mut Vec<Finding>,
) {
    if files.len() < 2 {
        return;
    }
    if in_all == 0 {
        found.push(Finding::problem(
            "nothing_in_common",
            "no video is in all files",
            "the ids are of different data sets or written differently: compare the first ones above",
        ));
        return;
    }
    for (inspection, _) in files {
        let name = inspection.name();
        let lacking: Vec<&String> = in_some
            .iter()
            .filter(|(_, files)| files.contains(&name))
            .map(|(video, _)| video)
            .collect();
        if !lacking.is_empty() {
            found.push(Finding::problem(
                "videos_lacking",
                format!(
                    "{name} lacks {} that others have: {}",
                    count(lacking.len(), "video"),
                    few(&lacking, 4)
                ),
                "their segments lack what this file holds (data.missing says what becomes of them)",
            ));
        }
    }
}

fn style_findings(files: &[Compared], found: &mut Vec<Finding>) {
    let mut by_style: BTreeMap<IdStyle, Vec<&str>> = BTreeMap::new();
    for file in files {
        match file.style {
            Some(IdStyle::Video) | None => {}
            Some(style) => by_style.entry(style).or_default().push(&file.name),
        }
    }
    if by_style.len() > 1 {
        let styles = by_style.iter();
        let styles: Vec<String> = styles
            .map(|(style, names)| format!("{} ({})", style.example(), names.join(", ")))
            .collect();
        found.push(Finding::note(
            "id_styles",
            format!("segments are named in different ways: {}", styles.join("; ")),
            "a number in brackets counts from 0, as the SDK does; clips of tables count from 1 in CMU-MOSI",
        ));
    }
}
