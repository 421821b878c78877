//! New data to score, from small folders made here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[allow(dead_code)]
mod made;

use std::fs;
use std::path::Path;

use common::{mosi_config, numbers, shared_data, words, workspace, write};
use made::{array, dict, list, pickle, text};
use mmrest_data::csd::Entry;
use mmrest_data::{
    AudioFrom, DataConfig, DataError, FramesOf, Kind, Modality, Segment, Split, TextFrom, load,
    load_unlabelled, open_unlabelled, visit_unlabelled,
};
use tempfile::TempDir;

const TABLE: &str = "video_id,clip_id,text,label,mode\n\
    a,2,second clip,,test\na,1,first clip,,test\nb,4,a late one,,test\n";

/// The names of a training configuration, whose other parts are to be ignored.
fn config() -> DataConfig {
    DataConfig {
        dir: "nowhere".into(),
        words: Some("words.csd".into()),
        table: Some("label.csv".into()),
        text_from: TextFrom::Table,
        vision: Some("vision.csd".into()),
        audio: Some("audio.csd".into()),
        ..DataConfig::default()
    }
}

/// Video "a" with words and sound, a piece of "b" with sound only, "c" with words only; nothing is seen.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spoken = [
        ("c", words(&[([0.0, 1.0], "sp")])),
        (
            "a",
            // Out of order.
            words(&[
                ([1.0, 1.5], "good"),
                ([0.0, 0.5], " very "),
                ([0.5, 1.0], "sp"),
                ([1.5, 2.0], "indeed"),
            ]),
        ),
    ];
    write(folder.path(), "words.csd", &spoken);
    let heard = [
        ("b[10]", numbers(&[([9.0, 9.5], &[0.0, 1.0])])),
        ("b[3]", numbers(&[([5.0, 5.5], &[7.0, f32::INFINITY])])),
        (
            "a",
            numbers(&[
                ([1.0, 2.0], &[3.0, f32::NAN]),
                ([0.0, 1.0], &[1.0, 2.0]),
                ([2.0, 3.0], &[5.0, 6.0]),
            ]),
        ),
    ];
    write(folder.path(), "audio.csd", &heard);
    folder
}

fn ids(segments: &[Segment]) -> Vec<&str> {
    segments.iter().map(|segment| segment.id.as_str()).collect()
}

fn texts(segments: &[Segment]) -> Vec<&str> {
    segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect()
}

#[test]
fn without_labels_every_id_is_one_whole_segment() {
    let folder = folder();
    // The words come first: this table is not looked at.
    fs::write(folder.path().join("label.csv"), TABLE).unwrap();
    let segments = load_unlabelled(&config(), folder.path()).unwrap();
    assert_eq!(ids(&segments), ["a", "b[3]", "b[10]", "c"]);
    assert_eq!(texts(&segments), ["very good indeed", "", "", ""]);
    let videos: Vec<_> = segments.iter().map(|segment| &segment.video).collect();
    assert_eq!(videos, ["a", "b", "b", "c"]);
    assert_eq!(segments[0].audio.values, [1.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
    assert_eq!(segments[1].audio.values, [7.0, 0.0]);
    assert_eq!((segments[3].audio.len(), segments[3].audio.width), (0, 2));
    for segment in &segments {
        assert_eq!(segment.label, None);
        assert_eq!((segment.vision.len(), segment.vision.width), (0, 0));
    }
}

#[test]
fn a_visit_hands_over_in_order_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..50).map(|number| format!("v[{number}]")).collect();
    let entry = |name: &String| (name.clone(), numbers(&[([0.0, 1.0], &[1.0, 2.0])]));
    let entries: Vec<_> = names.iter().rev().map(entry).collect();
    let entries: Vec<_> = entries
        .iter()
        .map(|(n, e)| (n.as_str(), e.clone()))
        .collect();
    write(folder.path(), "audio.csd", &entries);
    let segments = load_unlabelled(&config(), folder.path()).unwrap();
    assert_eq!(ids(&segments), names);
    let mut seen = 0;
    let stopped = visit_unlabelled(&config(), folder.path(), &mut |_| {
        seen += 1;
        match seen {
            20 => Err(DataError::Stopped),
            _ => Ok(()),
        }
    });
    assert!(matches!(stopped, Err(DataError::Stopped)));
    assert_eq!(seen, 20);
}

#[test]
fn long_sequences_are_averaged_down() {
    let folder = folder();
    let config = DataConfig {
        max_frames: Some(1),
        ..config()
    };
    let segments = load_unlabelled(&config, folder.path()).unwrap();
    let mean = &segments[0].audio;
    assert_eq!((mean.len(), mean.row(0)[0]), (1, 3.0));
    assert!((mean.row(0)[1] - 8.0 / 3.0).abs() < 1e-6);
}

#[test]
fn labelled_intervals_are_the_segments_and_keep_valid_labels() {
    let folder = folder();
    let at = folder.path();
    let labels = [
        (
            "a",
            numbers(&[
                ([1.0, 2.0], &[-3.5]),
                ([0.0, 1.0], &[f32::NAN]),
                ([2.0, 2.0], &[1.0]),
                ([2.0, 3.0], &[0.5]),
            ]),
        ),
        ("z", numbers(&[([0.0, 1.0], &[1.0])])),
    ];
    write(at, "labels.csd", &labels);
    let segments = load_unlabelled(&config(), at).unwrap();
    assert_eq!(ids(&segments), ["a[0]", "a[1]", "a[3]", "z[0]"]);
    assert_eq!(texts(&segments), ["good indeed", "very", "", ""]);
    let known: Vec<_> = segments.iter().map(|segment| segment.label).collect();
    assert_eq!(known, [Some(-3.0), None, Some(0.5), Some(1.0)]);
    assert_eq!(segments[0].audio.values, [3.0, 0.0]);
    assert!(segments[3].audio.is_empty());

    // An interval of no length has nothing but its transcript.
    let table =
        "video_id,clip_id,text,label,mode\na,1,never read,,test\na,3,no time at all,,test\n";
    fs::write(at.join("label.csv"), table).unwrap();
    let segments = load_unlabelled(&config(), at).unwrap();
    assert_eq!(ids(&segments), ["a[0]", "a[1]", "a[2]", "a[3]", "z[0]"]);
    let said = ["good indeed", "very", "no time at all", "", ""];
    assert_eq!(texts(&segments), said);
    assert!(segments[2].audio.is_empty());
}

#[test]
fn without_words_the_table_tells_the_text() {
    let folder = folder();
    let at = folder.path();
    fs::remove_file(at.join("words.csd")).unwrap();
    let silent = load_unlabelled(&config(), at).unwrap();
    assert_eq!(texts(&silent), ["", "", ""]);
    fs::write(at.join("label.csv"), TABLE).unwrap();
    let whole = load_unlabelled(&config(), at).unwrap();
    assert_eq!(ids(&whole), ["a", "b[3]", "b[10]"]);
    assert_eq!(texts(&whole), ["first clip second clip", "a late one", ""]);

    let labels = [("a", numbers(&[([0.0, 1.0], &[1.0]), ([1.0, 2.0], &[1.0])]))];
    write(at, "labels.csd", &labels);
    let cut = load_unlabelled(&config(), at).unwrap();
    assert_eq!(texts(&cut), ["first clip", "second clip"]);

    fs::remove_file(at.join("labels.csd")).unwrap();
    fs::remove_file(at.join("audio.csd")).unwrap();
    let rows = load_unlabelled(&config(), at).unwrap();
    assert_eq!(ids(&rows), ["a[1]", "a[0]", "b[3]"]);
    assert_eq!(texts(&rows), ["second clip", "first clip", "a late one"]);
}

#[test]
fn only_modalities_in_use_are_read() {
    let folder = folder();
    let text = DataConfig {
        modalities: vec![Modality::Text],
        words: Some("words.csd".into()),
        ..config()
    };
    let segments = load_unlabelled(&text, folder.path()).unwrap();
    assert_eq!(ids(&segments), ["a", "c"]);
    assert!(segments.iter().all(|segment| segment.audio.width == 0));
    let audio = DataConfig {
        modalities: vec![Modality::Audio],
        ..config()
    };
    let segments = load_unlabelled(&audio, folder.path()).unwrap();
    assert_eq!(texts(&segments), ["", "", ""]);
}

#[test]
fn a_folder_without_any_of_the_files_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: &DataConfig, dir: &Path| load_unlabelled(config, dir).unwrap_err();
    for dir in [folder.path(), &folder.path().join("none")] {
        let error = refused(&config(), dir);
        assert!(matches!(error, DataError::Missing(_)), "{error}");
        for name in ["words.csd", "label.csv", "vision.csd", "audio.csd"] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    // Labels alone hold nothing to score.
    write(
        folder.path(),
        "labels.csd",
        &[("a", numbers(&[([0.0, 1.0], &[1.0])]))],
    );
    let error = refused(&config(), folder.path());
    assert!(matches!(error, DataError::Missing(_)), "{error}");
    let nameless = refused(&DataConfig::default(), folder.path());
    assert!(matches!(nameless, DataError::Config(_)), "{nameless}");
}

#[test]
fn files_that_cannot_be_joined_are_refused() {
    let folder = folder();
    let at = folder.path();
    let refused = || load_unlabelled(&config(), at).unwrap_err();
    write(
        at,
        "vision.csd",
        &[("a[0]", numbers(&[([0.0, 1.0], &[1.0])]))],
    );
    let pieces = refused();
    assert!(
        matches!(&pieces, DataError::Entry { id, .. } if id == "a[0]"),
        "{pieces}"
    );
    // With intervals to cut by, both serve.
    let label = |interval| [("a", numbers(&[(interval, &[1.0])]))];
    write(at, "labels.csd", &label([0.0, 1.0]));
    let segments = load_unlabelled(&config(), at).unwrap();
    assert_eq!(segments[0].vision.values, [1.0]);
    assert_eq!(segments[0].audio.values, [1.0, 2.0]);

    write(at, "labels.csd", &label([1.0, 1.0]));
    assert!(matches!(refused(), DataError::Empty { .. }));
    fs::write(at.join("vision.csd"), "").unwrap();
    assert!(matches!(refused(), DataError::Hdf5 { .. }));
}

/// Two people of video "v" who speak at once: what each says and how it sounds is a piece of its own, as labels are.
fn overlapping_speech(times: [[f64; 2]; 2]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let pieces = |of: [Entry; 2]| {
        let [first, second] = of;
        [("v[0]", first), ("v[1]", second)]
    };
    let said = [
        words(&[
            ([0.0, 0.5], "how"),
            ([1.0, 1.0], "very"),
            ([1.5, 2.5], "good"),
        ]),
        words(&[([0.8, 1.4], "oh"), ([1.6, 1.8], "no")]),
    ];
    write(at, "words.csd", &pieces(said));
    let heard = [
        numbers(&[([0.0, 1.0], &[1.0, 0.0]), ([1.0, 2.5], &[2.0, 0.0])]),
        numbers(&[([0.5, 1.5], &[3.0, 0.0]), ([1.5, 2.0], &[4.0, 0.0])]),
    ];
    write(at, "audio.csd", &pieces(heard));
    let label = |interval, label: f32| numbers(&[(interval, &[label])]);
    let labels = [label(times[0], 1.0), label(times[1], -1.0)];
    write(at, "labels.csd", &pieces(labels));
    fs::write(
        at.join("folds.json"),
        r#"{"train": ["v"], "valid": [], "test": []}"#,
    )
    .unwrap();
    folder
}

/// Text, frames and timing of every segment, trained on and predicted with and without labels.
#[test]
fn people_who_speak_at_once_have_words_and_frames_of_their_own() {
    let folder = overlapping_speech([[0.0, 2.5], [0.5, 2.0]]);
    let at = folder.path();
    let frames = DataConfig {
        dir: ".".into(),
        text_from: TextFrom::Words,
        table: None,
        modalities: vec![Modality::Text, Modality::Audio],
        ..config()
    };
    let timing = DataConfig {
        audio: None,
        audio_from: AudioFrom::WordTiming,
        ..frames.clone()
    };
    let by_word = DataConfig {
        frames: FramesOf::Word,
        ..frames.clone()
    };
    let read = |config: &DataConfig| {
        let data = load(config, at).unwrap();
        let labelled = load_unlabelled(config, at).unwrap();
        fs::rename(at.join("labels.csd"), at.join("away")).unwrap();
        let bare = load_unlabelled(config, at).unwrap();
        fs::rename(at.join("away"), at.join("labels.csd")).unwrap();
        for other in [&labelled, &bare] {
            assert_eq!(texts(other), texts(&data.train));
            for (own, other) in data.train.iter().zip(other) {
                assert_eq!((&own.id, &own.audio), (&other.id, &other.audio));
            }
        }
        data.train
    };
    let segments = read(&frames);
    assert_eq!(texts(&segments), ["how very good", "oh no"]);
    assert_eq!(segments[0].audio.values, [1.0, 0.0, 2.0, 0.0]);
    assert_eq!(segments[1].audio.values, [3.0, 0.0, 4.0, 0.0]);
    let segments = read(&by_word);
    assert_eq!(segments[1].audio.values, [3.0, 0.0, 4.0, 0.0]);
    // A pause is since anybody's last word.
    let pauses = |segment: &Segment| -> Vec<f32> {
        let rows = segment.audio.values.chunks_exact(2);
        rows.map(|row| (row[1] * 100.0).round()).collect()
    };
    let segments = read(&timing);
    assert_eq!(pauses(&segments[0]), [0.0, 0.0, 10.0]);
    assert_eq!(pauses(&segments[1]), [30.0, 0.0]);
}

/// Files whose pieces are not the labelled intervals are cut by times, as before.
#[test]
fn pieces_of_other_cuts_are_joined_and_cut_by_times() {
    let folder = overlapping_speech([[3.0, 4.0], [0.0, 1.2]]);
    let config = DataConfig {
        text_from: TextFrom::Words,
        table: None,
        modalities: vec![Modality::Text, Modality::Audio],
        ..config()
    };
    let segments = load_unlabelled(&config, folder.path()).unwrap();
    assert_eq!(texts(&segments), ["", "how oh"]);
    assert_eq!(segments[1].audio.values, [1.0, 0.0, 3.0, 0.0, 2.0, 0.0]);
}

#[test]
fn cmu_mosi_scored_as_new_data_has_the_segments_it_was_loaded_with() {
    let Some(dir) = shared_data("mosi") else {
        return;
    };
    let config = mosi_config(&dir);
    let data = load(&config, &workspace()).unwrap();
    let new = load_unlabelled(&config, &dir).unwrap();
    assert_eq!(new.len(), 2199);
    for segment in data.segments() {
        let same = new.iter().find(|new| new.id == segment.id).unwrap();
        assert_eq!((&same.audio, same.label), (&segment.audio, segment.label));
    }
}

/// The keys of two segments in a pickle, without labels.
fn unlabelled_part(first: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("raw_text", list(&[text("a"), text("b")])),
        ("id", list(&[text(first), text("v$_$2")])),
        ("vision", array(&[2, 2, 1], &[1.0, 2.0, 3.0, 0.0])),
        ("audio", array(&[2, 1, 2], &[1.0, f32::NAN, 3.0, 4.0])),
    ]
}

/// What a pickle of these bytes gives, and why it cannot be trained on.
fn from_pickle(bytes: &[u8]) -> (Vec<(Option<Split>, Segment)>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("new.pkl"), pickle(bytes)).unwrap();
    let config = DataConfig {
        kind: Kind::Mmsa,
        dir: folder.path().to_path_buf(),
        file: Some("new.pkl".into()),
        ..DataConfig::default()
    };
    let mut segments = Vec::new();
    let source = open_unlabelled(&config, folder.path()).unwrap();
    let report = source.visit(&mut |split, segment| {
        segments.push((split, segment));
        Ok(())
    });
    assert_eq!(report.unwrap().total(), segments.len());
    let refused = load(&config, Path::new("."));
    let refused = refused.err().map(|error| error.to_string());
    (segments, refused.unwrap_or_default())
}

#[test]
fn a_pickle_without_labels_is_read_whole_and_cannot_be_trained_on() {
    let part = dict(&unlabelled_part("v$_$1"));
    let (segments, refused) = from_pickle(&dict(&[("test", part.clone())]));
    assert_eq!(segments.len(), 2);
    for (split, segment) in &segments {
        assert_eq!((*split, segment.label), (Some(Split::Test), None));
    }
    assert_eq!(segments[0].1.audio.values, [1.0, 0.0]);
    assert_eq!(segments[1].1.vision.values, [3.0]);
    assert!(refused.contains("2 without a label"), "{refused}");
    // Without splits: the keys at the top.
    let (undivided, refused) = from_pickle(&part);
    assert_eq!(undivided.len(), 2);
    assert!(undivided.iter().all(|(split, _)| split.is_none()));
    let of = |segments: &[(Option<Split>, Segment)]| -> Vec<Segment> {
        segments
            .iter()
            .map(|(_, segment)| segment.clone())
            .collect()
    };
    assert_eq!(of(&undivided), of(&segments));
    assert!(refused.contains("of train, valid and test"), "{refused}");
}

#[test]
fn labels_that_a_pickle_has_are_kept_and_segments_without_one_too() {
    let mut part = unlabelled_part("v$_$1");
    part.push(("regression_labels", array(&[2], &[5.0, f32::NAN])));
    let (segments, _) = from_pickle(&dict(&[("valid", dict(&part))]));
    let labels: Vec<_> = segments.iter().map(|(_, segment)| segment.label).collect();
    assert_eq!(labels, [Some(3.0), None]);
}

#[test]
fn a_table_without_labels_and_splits_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let table = "video_id,clip_id,text\na,1,how nice\na,2,\n";
    fs::write(folder.path().join("new.csv"), table).unwrap();
    let config = DataConfig {
        kind: Kind::Table,
        table: Some("new.csv".into()),
        modalities: vec![Modality::Text],
        ..DataConfig::default()
    };
    let segments = load_unlabelled(&config, folder.path()).unwrap();
    assert_eq!(ids(&segments), ["a$_$1", "a$_$2"]);
    assert!(segments.iter().all(|segment| segment.label.is_none()));
}
