//! A small data set like CMU-MOSEI, read back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use mmrest_data::csd::{ComputationalSequence, Features};
use mmrest_data::{DataConfig, DataError, Modality, Segment, Split, load};
use mmrest_datatools::sample::{LikeMosei, write_like_mosei};

fn small() -> LikeMosei {
    LikeMosei {
        segments: 400,
        audio_rate: 20,
        audio_features: 12,
        vision_rate: 10,
        vision_features: 9,
        ..LikeMosei::default()
    }
}

fn config() -> DataConfig {
    DataConfig {
        dir: ".".into(),
        labels: "CMU_MOSEI_Labels.csd".into(),
        words: Some("CMU_MOSEI_TimestampedWords.csd".into()),
        vision: Some("CMU_MOSEI_VisualFacet42.csd".into()),
        audio: Some("CMU_MOSEI_COVAREP.csd".into()),
        ..DataConfig::default()
    }
}

fn made(size: &LikeMosei, at: &Path) -> Vec<(String, usize, usize)> {
    let mut told = Vec::new();
    let files = write_like_mosei(size, at, &mut |file, done, of| {
        told.push((file.to_owned(), done, of));
        true
    })
    .unwrap();
    assert_eq!(files.len(), 8);
    assert!(files.iter().all(|file| file.is_file()));
    told
}

#[test]
fn it_has_the_files_and_the_shape_of_cmu_mosei() {
    let folder = tempfile::tempdir().unwrap();
    let told = made(&small(), folder.path());
    let videos = small().videos();
    assert_eq!(videos, 56);
    assert_eq!(
        told.len(),
        4 * (videos + 1),
        "every video of four files, and each file's end"
    );
    assert!(told.iter().all(|&(_, done, of)| done <= of && of == videos));

    let labels = ComputationalSequence::open(&folder.path().join("CMU_MOSEI_Labels.csd")).unwrap();
    assert_eq!((labels.root(), labels.ids().len()), ("All Labels", videos));
    let Features::Numeric { values, width } = labels.read("video_00001").unwrap().features else {
        panic!("numbers")
    };
    assert_eq!(width, 7);
    assert!(values.iter().all(|value| (-3.0..=3.0).contains(value)));

    let data = load(&config(), folder.path()).unwrap();
    assert_eq!((data.report.total(), data.report.videos), (400, videos));
    assert!(
        Split::ALL
            .iter()
            .all(|&split| !data.split(split).is_empty())
    );
    assert!(data.train.len() > 2 * data.test.len());
    assert!(data.report.dropped.is_empty() && data.report.absent.is_empty());
    assert_eq!((data.widths.audio, data.widths.vision), (12, 9));
    for segment in data.segments() {
        let seconds = segment.audio.len() as f64 / 20.0;
        let words = segment.text.split(' ').count() as f64;
        assert!(
            words >= 3.0 && (1.5..4.5).contains(&(words / seconds)),
            "{segment:?}"
        );
        assert!(segment.vision.len().abs_diff(segment.audio.len() / 2) <= 2);
    }
}

#[test]
fn every_modality_tells_some_of_the_sentiment() {
    let folder = tempfile::tempdir().unwrap();
    made(&small(), folder.path());
    let data = load(&config(), folder.path()).unwrap();
    let segments: Vec<&Segment> = data.segments().collect();
    let labels: Vec<f64> = segments
        .iter()
        .map(|s| f64::from(s.label.unwrap()))
        .collect();
    for modality in [Modality::Vision, Modality::Audio] {
        // Column 0 rises with the sentiment, column 4 falls; each video shifts both, so their difference is looked at.
        let told = segments.iter().map(|segment| {
            let frames = segment.frames(modality).unwrap();
            let sum: f32 = frames.rows().map(|row| row[0] - row[4]).sum();
            f64::from(sum) / frames.len() as f64
        });
        let told: Vec<f64> = told.collect();
        let found = correlation(&told, &labels);
        assert!((0.15..0.6).contains(&found), "{modality}: {found}");
    }
    let good = |s: &Segment| {
        let of = |words: &[&str]| s.text.split(' ').filter(|w| words.contains(w)).count() as f64;
        of(&["great", "wonderful", "good", "loved"]) - of(&["awful", "terrible", "bad", "hated"])
    };
    let told: Vec<f64> = segments.iter().map(|segment| good(segment)).collect();
    let found = correlation(&told, &labels);
    assert!((0.4..0.8).contains(&found), "text: {found}");
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
}

#[test]
fn the_same_seed_makes_the_same_files() {
    let read = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let size = LikeMosei {
            segments: 5,
            seed,
            ..small()
        };
        made(&size, folder.path());
        let names = [
            "CMU_MOSEI_COVAREP.csd",
            "CMU_MOSEI_Labels.csd",
            "folds.json",
        ];
        names.map(|name| std::fs::read(folder.path().join(name)).unwrap())
    };
    assert_eq!(read(1), read(1));
    assert_ne!(read(1)[0], read(2)[0]);
}

#[test]
fn three_segments_fill_every_split_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let size = LikeMosei {
        segments: 3,
        ..small()
    };
    made(&size, folder.path());
    let data = load(&config(), folder.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| data.split(split).len()), [1, 1, 1]);
    for (nonsense, word) in [
        (
            LikeMosei {
                segments: 2,
                ..small()
            },
            "2 segments",
        ),
        (
            LikeMosei {
                audio_rate: 0,
                ..small()
            },
            "audio",
        ),
        (
            LikeMosei {
                vision_features: 0,
                ..small()
            },
            "vision",
        ),
        (
            LikeMosei {
                vision_rate: 1001,
                ..small()
            },
            "vision",
        ),
    ] {
        let error = write_like_mosei(&nonsense, folder.path(), &mut |_, _, _| true).unwrap_err();
        assert!(
            matches!(error, DataError::Config(_)) && error.to_string().contains(word),
            "{error}"
        );
    }
}

#[test]
fn it_stops_when_told_to_and_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = 0;
    let error = write_like_mosei(&small(), folder.path(), &mut |_, _, _| {
        told += 1;
        told < 60
    });
    assert!(matches!(error, Err(DataError::Stopped)), "{error:?}");
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["CMU_MOSEI_TimestampedWords.csd"]);
}
