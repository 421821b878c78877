//! Compares files of a data set, and suggests the configuration that trains on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use mmrest_data::csd::other_units;
use mmrest_data::files::TempFolder;
use mmrest_data::folds::Folds;
use mmrest_data::text::{count, few, number};
use mmrest_data::{
    DataConfig, DataError, DataReport, Kind, Modality, Result, Split, SplitFrom, TextFrom, open,
};
use serde::Serialize;

use super::{FileKind, Finding, IdStyle, Inspection, Options, Percentiles, Role, Scale};

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
    time_findings(inspections, &mut findings);
    Comparison {
        in_all: every.len() - in_some.len(),
        in_some,
        files,
        config: suggest(inspections, options, &mut findings),
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

/// Sequences whose times are far from those of the labels: other units, or another recording.
fn time_findings(inspections: &[Inspection], found: &mut Vec<Finding>) {
    let ends = |inspection: &'_ Inspection| {
        let mut sequences = inspection.sequences.iter();
        sequences
            .find(|sequence| !sequence.ends.is_empty())
            .cloned()
    };
    let labels = |file: &&Inspection| file.usable.role == Some(Role::Labels);
    let Some(labels) = inspections.iter().find(labels) else {
        return;
    };
    let Some(labelled) = ends(labels) else { return };
    for other in inspections {
        let Some(sequence) = ends(other).filter(|_| other.path != labels.path) else {
            continue;
        };
        let both = sequence.ends.iter().filter_map(|(video, &end)| {
            let reach = labelled.ends.get(video).copied()?;
            Some((end, reach))
        });
        let both: Vec<(f64, f64)> = both.collect();
        // Numbers of frames are whole, and many fewer than milliseconds.
        let whole = |end: f64, reach: f64| {
            sequence.whole_times
                && !labelled.whole_times
                && (end > 4.0 * reach || reach > 4.0 * end)
        };
        let far = both
            .iter()
            .filter(|&&(end, reach)| other_units(end, reach) || whole(end, reach));
        if both.is_empty() || 2 * far.count() <= both.len() {
            continue;
        }
        let median = |of: fn(&(f64, f64)) -> f64| {
            Percentiles::of(both.iter().map(of)).map_or(0.0, |spread| spread.p50)
        };
        let (end, reach) = (median(|both| both.0), median(|both| both.1));
        found.push(Finding::problem(
            "other_units",
            format!(
                "{} reaches to {} s, the labels to {} s (of half of the videos): other units?",
                other.name(),
                number(end),
                number(reach)
            ),
            "times are in seconds everywhere; convert milliseconds or numbers of frames",
        ));
    }
}

/// A `[data]` section, and `[text]` where there is a BERT, that the loader accepts; none where the files do not suffice, or
/// where the loader refuses them, which `found` then says in the loader's words.
pub(super) fn suggest(
    inspections: &[Inspection],
    options: &Options,
    found: &mut Vec<Finding>,
) -> Option<String> {
    let files = Files { inspections };
    let data = files
        .sequences()
        .or_else(|| files.one(Role::Pickle, Kind::Mmsa))
        .or_else(|| files.one(Role::Packed, Kind::Packed))
        .or_else(|| files.table())?;
    let Some(mut data) = data.with_splits() else {
        found.push(Finding::problem(
            "no_splits",
            "no file says which videos are for training, validation and testing",
            "write {\"train\": [..], \"valid\": [..], \"test\": [..]} as folds.json into the folder",
        ));
        return None;
    };
    let mut bins = None;
    let mut read = read_all(&data.config, options);
    if let Err(DataError::Scale { labels, .. }) = &read {
        // The scale that the loader's message asks for.
        bins = labels.suggested_scale();
        if let Some(scale) = &bins {
            data.config.label_range = scale.range;
            read = read_all(&data.config, options);
        }
    }
    match read {
        Ok(report) => {
            let empty = Split::ALL.map(|split| (split, report.segments.get(&split)));
            let empty = empty
                .iter()
                .filter(|(_, count)| count.is_none_or(|&n| n == 0));
            let mut trains = true;
            for &(split, _) in empty {
                let needed = split != Split::Test;
                trains &= !needed;
                let told = inspections
                    .iter()
                    .any(|file| file.findings.iter().any(|f| f.code == "split_absent"));
                if told {
                    continue;
                }
                found.push(Finding::problem(
                    "split_empty",
                    format!("the {split} split has no segment"),
                    if needed {
                        "training needs it"
                    } else {
                        "there will be no test metrics"
                    },
                ));
            }
            if !trains {
                return None;
            }
        }
        Err(error) => {
            found.push(Finding::problem(
                "not_loadable",
                format!("together they cannot be loaded: {error}"),
                "change the files, or give those that belong together",
            ));
            return None;
        }
    }
    let mut text = format!("[data]\n{}", data.section(&files));
    if let Some(scale) = bins {
        let _ = write!(
            text,
            "\n[bins] # classes of the labels' scale: change them as you need\nedges = {:?}\nlabels = {:?}\n",
            scale.edges, scale.labels
        );
    }
    if let Some(bert) = files.first(Role::TextEncoder) {
        let _ = write!(text, "\n[text]\nbert = {}\n", quoted(&bert.path));
        if bert.usable.why.contains("from_scratch") {
            text += "from_scratch = true\n";
        }
    }
    Some(text)
}

/// Reads a data set from beginning to end as training does, and keeps nothing.
pub(super) fn read_all(config: &DataConfig, options: &Options) -> Result<DataReport> {
    let root = Path::new("");
    let read = |config: &DataConfig| open(config, root)?.visit(&mut |_, _| Ok(()));
    // Standard folds need not be there yet: whoever trains has them.
    let standard = options.folds.iter().find(|(name, _)| {
        config.kind == Kind::Sdk
            && config.split_from == SplitFrom::Folds
            && config.folds == standard_folds(name)
            && !config.folds.is_file()
    });
    let Some((_, folds)) = standard else {
        return read(config);
    };
    let folder = TempFolder::within(&std::env::temp_dir(), "mmrest-folds-")?;
    let path = folder.path().join("folds.json");
    std::fs::write(&path, json(folds)).map_err(|error| DataError::io(&path, error))?;
    read(&DataConfig {
        folds: path,
        ..config.clone()
    })
}

/// Folds as their file has them.
fn json(folds: &Folds) -> String {
    let of = |split| -> Vec<&str> {
        let videos = folds.videos().filter(|&(_, of)| of == split);
        videos.map(|(video, _)| video).collect()
    };
    let [train, valid, test] = Split::ALL.map(of);
    serde_json::json!({"train": train, "valid": valid, "test": test}).to_string()
}

/// Where the standard folds of a data set are, from the root folder.
fn standard_folds(name: &str) -> PathBuf {
    Path::new("data/folds").join(format!("{name}.json"))
}

/// The files by the part that each plays.
struct Files<'a> {
    inspections: &'a [Inspection],
}

/// A configuration, and whether something says the splits.
struct Suggestion {
    config: DataConfig,
    has_splits: bool,
}

impl<'a> Files<'a> {
    fn all(&self, role: Role) -> impl Iterator<Item = &'a Inspection> {
        let inspections = self.inspections.iter();
        inspections.filter(move |inspection| inspection.usable.role == Some(role))
    }

    fn first(&self, role: Role) -> Option<&'a Inspection> {
        self.all(role).next()
    }

    /// `kind = "sdk"`: labels, and words, a table or features besides.
    fn sequences(&self) -> Option<Suggestion> {
        let labels = self.first(Role::Labels)?;
        let parts = [Role::Words, Role::Table, Role::Vision, Role::Audio].map(|r| self.first(r));
        let [words, table, vision, audio] = parts;
        let text = words.or(table);
        let modalities: Vec<Modality> = [
            (Modality::Text, text),
            (Modality::Vision, vision),
            (Modality::Audio, audio),
        ]
        .into_iter()
        .filter_map(|(modality, file)| file.map(|_| modality))
        .collect();
        if modalities.is_empty() {
            return None;
        }
        let by_table = table.is_some_and(|table| !table.splits.is_empty());
        let folds = self.first(Role::Folds).filter(|_| !by_table);
        let every = [Some(labels), words, table, vision, audio, folds];
        let files: Vec<&Inspection> = every.into_iter().flatten().collect();
        let folder = common_folder(&files);
        let name = |file: &Inspection| below(file, &folder).to_string_lossy().into_owned();
        let standard = labels
            .folds
            .first()
            .map(|folds| standard_folds(&folds.name));
        let folds = folds.map(|folds| below(folds, &folder).to_path_buf());
        let folds = folds.or(standard);
        let config = DataConfig {
            kind: Kind::Sdk,
            modalities,
            labels: name(labels),
            words: words.map(name),
            table: table.map(name),
            vision: vision.map(name),
            audio: audio.map(name),
            text_from: match table {
                Some(_) => TextFrom::Table,
                None => TextFrom::Words,
            },
            split_from: if by_table {
                SplitFrom::Table
            } else {
                SplitFrom::Folds
            },
            label_range: range(labels),
            ..DataConfig::default()
        };
        Some(Suggestion {
            has_splits: by_table || folds.is_some(),
            config: DataConfig {
                folds: folds.unwrap_or_default(),
                dir: folder,
                ..config
            },
        })
    }

    /// A pickle or a packed set.
    fn one(&self, role: Role, kind: Kind) -> Option<Suggestion> {
        let file = self.first(role)?;
        let table = self.first(Role::Table).filter(|_| kind == Kind::Mmsa);
        let config = of_one(file, kind, table);
        Some(Suggestion {
            config,
            has_splits: true,
        })
    }

    /// A table alone.
    fn table(&self) -> Option<Suggestion> {
        let table = self.first(Role::Table)?;
        let folder = common_folder(&[table]);
        let config = DataConfig {
            kind: Kind::Table,
            modalities: vec![Modality::Text],
            table: Some(below(table, &folder).to_string_lossy().into_owned()),
            split_from: if table.stored.iter().any(|column| column.name == "mode") {
                SplitFrom::Table
            } else {
                SplitFrom::Random
            },
            label_range: range(table),
            dir: folder,
            ..DataConfig::default()
        };
        Some(Suggestion {
            config,
            has_splits: true,
        })
    }

    /// `key = "file"`, and which other files could stand there.
    fn line(&self, role: Role, file: &Option<String>) -> Option<String> {
        let name = file.as_deref()?;
        let key = role.key().trim_start_matches("data.");
        let mut others: Vec<String> = Vec::new();
        others.extend(self.all(role).skip(1).map(Inspection::name));
        let name = quoted(Path::new(name));
        Some(match others.as_slice() {
            [] => format!("{key} = {name}"),
            others => format!("{key} = {name} # or {}", others.join(", ")),
        })
    }
}

/// The configuration of a pickle or a packed set, with a table or without.
pub(super) fn of_one(file: &Inspection, kind: Kind, table: Option<&Inspection>) -> DataConfig {
    let held = |modality: &Modality| {
        let by_table = *modality == Modality::Text && table.is_some();
        let mut sequences = file.sequences.iter();
        by_table || sequences.any(|s| s.name == modality.name() && s.rows > 0)
    };
    let folder = common_folder(&[file]);
    let name = |file: &Inspection| below(file, &folder).to_string_lossy().into_owned();
    DataConfig {
        kind,
        modalities: Modality::ALL.into_iter().filter(held).collect(),
        file: Some(name(file)),
        table: table.map(name),
        label_range: range(file),
        dir: folder.clone(),
        ..DataConfig::default()
    }
}

impl Suggestion {
    fn with_splits(self) -> Option<Self> {
        self.has_splits.then_some(self)
    }

    /// The configuration's keys, but for those that are as they are without being named.
    fn section(&self, files: &Files<'_>) -> String {
        let config = &self.config;
        let sdk = config.kind == Kind::Sdk;
        let modalities: Vec<&str> = config.modalities.iter().map(|m| m.name()).collect();
        let (kind, file_role) = match config.kind {
            Kind::Mmsa => ("mmsa", Role::Pickle),
            Kind::Packed => ("packed", Role::Packed),
            Kind::Table => ("table", Role::Pickle),
            _ => ("sdk", Role::Pickle),
        };
        let mut lines = vec![
            format!("kind = {kind:?}"),
            format!("dir = {}", quoted(&config.dir)),
            format!("modalities = {modalities:?}"),
        ];
        let labels = sdk.then(|| config.labels.clone());
        for (role, name) in [
            (file_role, &config.file),
            (Role::Labels, &labels),
            (Role::Words, &config.words),
            (Role::Table, &config.table),
            (Role::Vision, &config.vision),
            (Role::Audio, &config.audio),
        ] {
            lines.extend(files.line(role, name));
        }
        if sdk && config.uses(Modality::Text) {
            let from = match config.text_from {
                TextFrom::Words => "words",
                TextFrom::Table => "table",
            };
            lines.push(format!("text_from = {from:?}"));
        }
        if config.split_from == SplitFrom::Table {
            lines.push("split_from = \"table\"".to_owned());
        } else if config.split_from == SplitFrom::Random {
            lines.push("split_from = \"random\"".to_owned());
        } else if sdk {
            lines.push("split_from = \"folds\"".to_owned());
            lines.push(format!("folds = {}", quoted(&config.folds)));
        }
        if config.label_range != DataConfig::default().label_range {
            let [least, greatest] = config.label_range;
            lines.push(format!("label_range = [{least:?}, {greatest:?}]"));
        }
        lines.join("\n") + "\n"
    }
}

/// The folder that all given files are below.
fn common_folder(files: &[&Inspection]) -> PathBuf {
    let mut folders = files.iter().map(|file| match file.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    });
    let mut common = folders.next().unwrap_or(Path::new(".")).to_path_buf();
    for folder in folders {
        while !folder.starts_with(&common) {
            if !common.pop() {
                break;
            }
        }
    }
    common
}

/// A file's path from a folder.
fn below<'p>(file: &'p Inspection, folder: &Path) -> &'p Path {
    file.path.strip_prefix(folder).unwrap_or(&file.path)
}

/// The scale that a file's labels were looked at by.
fn range(file: &Inspection) -> [f32; 2] {
    let scale = file.labels.as_ref().map(|labels| labels.scale);
    scale.unwrap_or(Scale::Seven).range()
}

/// A TOML string.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}
