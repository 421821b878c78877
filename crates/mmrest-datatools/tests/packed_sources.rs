//! From a source into a packed set, and from there to segments again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use mmrest_data::packed::{About, PackedSet, PackedWriter, pack};
use mmrest_data::{
    DataConfig, DataError, DropReason, Kind, Missing, Modality, Segment, SegmentSource, Split,
    Widths, load, open,
};
use mmrest_datatools::sample::{self, SampleConfig};

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|name| name.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// The sample's files in a folder, and what loads them.
fn sample_in(folder: &Path) -> DataConfig {
    let config = SampleConfig {
        videos: 12,
        segments_per_video: 4,
        ..SampleConfig::default()
    };
    sample::write(&config, &folder.join("sample")).unwrap();
    DataConfig {
        dir: "sample".into(),
        labels: sample::LABELS.into(),
        words: Some(sample::WORDS.into()),
        vision: Some(sample::VISION.into()),
        audio: Some(sample::ACOUSTIC.into()),
        folds: Path::new("sample").join(sample::FOLDS),
        ..DataConfig::default()
    }
}

/// A folder with the sample packed, what loads the files, and what loads the set.
fn packed() -> (tempfile::TempDir, DataConfig, DataConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = sample_in(folder.path());
    let source = open(&config, folder.path()).unwrap();
    let path = folder.path().join("set.h5");
    let mut counts = Vec::new();
    let mut watch = |count| {
        counts.push(count);
        true
    };
    pack(source.as_ref(), true, About::default(), &path, &mut watch).unwrap();
    assert_eq!(counts, (1..=counts.len()).collect::<Vec<_>>());
    let from_set = DataConfig {
        kind: Kind::Packed,
        dir: ".".into(),
        file: Some("set.h5".into()),
        ..DataConfig::default()
    };
    (folder, config, from_set)
}

fn visited(source: &dyn SegmentSource) -> Vec<(Option<Split>, Segment)> {
    let mut visited = Vec::new();
    let report = source.visit(&mut |split, segment| {
        visited.push((split, segment));
        Ok(())
    });
    assert_eq!(report.unwrap().total(), visited.len());
    visited
}

#[test]
fn a_packed_source_gives_the_same_segments_and_report() {
    let (folder, config, from_set) = packed();
    let source = open(&config, folder.path()).unwrap();
    let set = PackedSet::open(&folder.path().join("set.h5")).unwrap();
    set.verify().unwrap();
    assert_eq!(SegmentSource::widths(&set), source.widths());
    assert_eq!(visited(&set), visited(source.as_ref()));

    let direct = load(&config, folder.path()).unwrap();
    let again = load(&from_set, folder.path()).unwrap();
    assert_eq!(set.about().report, direct.report);
    assert_eq!(again.report, direct.report);
    assert_eq!(again.widths, direct.widths);
    for split in Split::ALL {
        assert_eq!(again.split(split), direct.split(split));
    }
    assert!(direct.report.total() > 40);
}

#[test]
fn a_configuration_chooses_and_mends() {
    let (folder, config, from_set) = packed();
    let chosen = |change: &dyn Fn(&mut DataConfig)| {
        let (mut of_files, mut of_set) = (config.clone(), from_set.clone());
        change(&mut of_files);
        change(&mut of_set);
        let direct = load(&of_files, folder.path()).unwrap();
        let again = load(&of_set, folder.path()).unwrap();
        assert_eq!(again.widths, direct.widths);
        for split in Split::ALL {
            assert_eq!(again.split(split), direct.split(split));
        }
        assert_eq!(again.report.segments, direct.report.segments);
        assert_eq!(again.report.absent, direct.report.absent);
        assert_eq!(again.report.shortened, direct.report.shortened);
        assert_eq!(again.report.non_finite, direct.report.non_finite);
        again
    };
    let audio = chosen(&|config| config.modalities = vec![Modality::Audio]);
    assert_eq!(audio.widths.vision, 0);
    assert!(audio.segments().all(|segment| segment.text.is_empty()));
    let short = chosen(&|config| config.max_frames = Some(5));
    assert!(short.report.shortened[&Modality::Vision] > 0);
    let narrow = chosen(&|config| config.label_range = [-0.5, 0.5]);
    assert!(narrow.report.labels_clamped > 0);
    let dropped = chosen(&|config| config.missing = Missing::Drop);
    let missing = dropped.report.dropped.get(&DropReason::MissingModality);
    assert_eq!(
        missing,
        load(&config, folder.path()).map(|_| missing).unwrap()
    );
}

#[test]
fn a_modality_that_the_set_lacks_is_an_error_naming_it() {
    let (folder, mut config, from_set) = packed();
    config.modalities = vec![Modality::Text];
    let source = open(&config, folder.path()).unwrap();
    let path = folder.path().join("set.h5");
    pack(source.as_ref(), true, About::default(), &path, &mut |_| {
        true
    })
    .unwrap();
    let message = load(&from_set, folder.path()).unwrap_err().to_string();
    assert!(message.contains("it has no vision"), "{message}");
}

#[test]
fn whoever_watches_may_stop_and_nothing_is_left() {
    let (folder, config, _) = packed();
    let source = open(&config, folder.path()).unwrap();
    let path = folder.path().join("new/set.h5");
    let stopped = pack(
        source.as_ref(),
        true,
        About::default(),
        &path,
        &mut |count| count < 3,
    );
    assert!(matches!(stopped, Err(DataError::Stopped)));
    assert!(names(&folder.path().join("new")).is_empty());

    let old = folder.path().join("set.h5");
    let before = fs::read(&old).unwrap();
    let stopped = pack(source.as_ref(), true, About::default(), &old, &mut |_| {
        false
    });
    assert!(matches!(stopped, Err(DataError::Stopped)));
    assert_eq!(fs::read(&old).unwrap(), before);
}

#[test]
fn an_empty_set_is_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let writer = PackedWriter::create(&path, Widths::default(), true).unwrap();
    writer.finish(About::default()).unwrap();
    let set = PackedSet::open(&path).unwrap();
    let report = set.visit(&mut |_, _| Ok(()));
    assert!(matches!(report, Err(DataError::Empty { .. })));
}
