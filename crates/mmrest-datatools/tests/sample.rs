//! The built-in sample: the same everywhere, as imperfect as it says, and worth fusing three modalities for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "sample/linear.rs"]
mod linear;

use std::collections::BTreeMap;

use linear::{median_error, test_error};
use mmrest_data::csd::{ComputationalSequence, Entry, Features};
use mmrest_data::{DataConfig, Modality, Split, overlapping};
use mmrest_datatools::sample::{self, Sample, SampleConfig, SampleSegment, SampleVideo, generate};

fn small() -> SampleConfig {
    SampleConfig {
        videos: 4,
        segments_per_video: 3,
        ..SampleConfig::default()
    }
}

fn values(entry: &Entry) -> (&[f32], usize) {
    match &entry.features {
        Features::Numeric { values, width } => (values, *width),
        Features::Text(_) => panic!("text where numbers should be"),
    }
}

fn words(entry: &Entry) -> &[String] {
    match &entry.features {
        Features::Text(words) => words,
        Features::Numeric { .. } => panic!("numbers where text should be"),
    }
}

/// Every number of the sample as bits, so that NaN equals NaN, with all text.
fn bits(sample: &Sample) -> Vec<u64> {
    let entry = |entry: &Entry| -> Vec<u64> {
        let times = entry
            .intervals
            .as_flattened()
            .iter()
            .map(|time| time.to_bits());
        match &entry.features {
            Features::Numeric { values, .. } => times
                .chain(values.iter().map(|value| u64::from(value.to_bits())))
                .collect(),
            Features::Text(words) => times.chain(words.concat().bytes().map(u64::from)).collect(),
        }
    };
    let of_video = |video: &SampleVideo| {
        let all = [
            &video.words,
            &video.vision,
            &video.acoustic,
            &video.labels(),
        ];
        [vec![video.split as u64]]
            .into_iter()
            .chain(all.map(entry))
            .flatten()
            .collect::<Vec<_>>()
    };
    sample.videos.iter().flat_map(of_video).collect()
}

/// FNV-1a over the bytes.
fn fingerprint(sample: &Sample) -> u64 {
    let bytes = bits(sample).into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn same_seed_same_sample() {
    assert_eq!(bits(&generate(&small())), bits(&generate(&small())));
    let other = SampleConfig { seed: 8, ..small() };
    assert_ne!(bits(&generate(&small())), bits(&generate(&other)));
}

/// The default sample's numbers are known: a change here changes every figure measured on the sample.
#[test]
fn the_default_sample_is_the_one_we_know() {
    assert_eq!(
        format!("{:016x}", fingerprint(&generate(&SampleConfig::default()))),
        "da5152f33bdfe38b"
    );
}

#[test]
fn sizes_and_labels() {
    let sample = generate(&SampleConfig::default());
    let videos = Split::ALL.map(|s| sample.videos.iter().filter(|v| v.split == s).count());
    assert_eq!(videos, [36, 8, 16]);
    assert_eq!(sample.segments().count(), 600);

    let labels: Vec<f32> = sample.segments().map(|segment| segment.label).collect();
    let mean = labels.iter().sum::<f32>() / 600.0;
    let deviation = (labels.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / 600.0).sqrt();
    assert!((1.3..1.6).contains(&deviation), "{deviation}");
    for label in &labels {
        assert!(
            (label * 5.0 - (label * 5.0).round()).abs() < 1e-5,
            "{label} is no multiple of 0.2"
        );
    }
    for bin in -3..=3 {
        #[allow(clippy::cast_possible_truncation)]
        let count = labels
            .iter()
            .filter(|y| y.round_ties_even().clamp(-3.0, 3.0) as i32 == bin)
            .count();
        assert!(count >= 24, "{count} segments of sentiment {bin}");
    }
    for segment in sample.segments() {
        let [start, end] = segment.interval;
        assert!((1.49..5.6).contains(&(end - start)), "{}", end - start);
    }
}

#[test]
fn every_word_is_seen_often_enough_to_be_learnt() {
    let sample = generate(&SampleConfig::default());
    let vocabulary = sample::vocabulary();
    assert!(
        (60..=90).contains(&vocabulary.len()),
        "{}",
        vocabulary.len()
    );
    let mut seen = BTreeMap::<&str, usize>::new();
    for segment in sample
        .videos
        .iter()
        .filter(|v| v.split == Split::Train)
        .flat_map(|v| &v.segments)
    {
        for word in segment.text.split(' ') {
            assert!(vocabulary.binary_search(&word).is_ok(), "{word}");
            *seen.entry(word).or_default() += 1;
        }
    }
    for (word, count) in vocabulary.iter().map(|word| (word, seen.get(word))) {
        assert!(count.is_some_and(|&count| count >= 5), "{word}: {count:?}");
    }
    for word in "awful terrible bad boring dull weak okay decent nice good great wonderful hated disliked liked loved \
                 very really not".split(' ')
    {
        assert!(seen[word] >= 24, "{word}: {}", seen[word]);
    }
}

#[test]
fn imperfections_are_there_and_rare() {
    let sample = generate(&SampleConfig::default());
    let acoustic = |test: fn(&f32) -> bool| {
        sample
            .videos
            .iter()
            .flat_map(|v| values(&v.acoustic).0)
            .filter(|x| test(x))
            .count()
    };
    let (infinite, nan) = (
        acoustic(|x| *x == f32::NEG_INFINITY),
        acoustic(|x| x.is_nan()),
    );
    assert!(
        (10..200).contains(&infinite) && (10..200).contains(&nan),
        "{infinite} {nan}"
    );

    for (split, expected) in Split::ALL.into_iter().zip([2, 1, 1]) {
        let mute = |v: &&SampleVideo| {
            v.segments
                .iter()
                .any(|s| overlapping(&v.acoustic.intervals, s.interval).is_empty())
        };
        let count = sample
            .videos
            .iter()
            .filter(|v| v.split == split)
            .filter(mute)
            .count();
        assert_eq!(count, expected, "{split}");
    }
    let seen = |v: &SampleVideo| {
        v.segments
            .iter()
            .all(|s| !overlapping(&v.vision.intervals, s.interval).is_empty())
    };
    assert!(sample.videos.iter().all(seen));

    let stopped = |v: &SampleVideo| v.vision.intervals.iter().filter(|[s, e]| s == e).count();
    assert_eq!(sample.videos.iter().map(stopped).sum::<usize>(), 1);

    let beyond: Vec<f32> = sample
        .segments()
        .map(|s| s.label)
        .filter(|y| y.abs() > 3.0)
        .collect();
    assert_eq!(beyond, [3.4]);
}

#[test]
fn pauses_and_words_over_a_boundary() {
    let sample = generate(&SampleConfig::default());
    let (mut pauses, mut thinking, mut straddling) = (0, 0, 0);
    for video in &sample.videos {
        assert!(
            video
                .words
                .intervals
                .windows(2)
                .all(|pair| pair[0][1] <= pair[1][0] + 1e-9)
        );
        for (word, [start, end]) in words(&video.words).iter().zip(&video.words.intervals) {
            let boundary =
                |s: &SampleSegment| *start < s.interval[0] - 1e-3 && *end > s.interval[0] + 1e-3;
            let after = video.segments.iter().skip(1).zip(&video.segments);
            let touching = after.filter(|(s, previous)| s.interval[0] == previous.interval[1]);
            let inside = |s: &SampleSegment| s.interval[0] < *start && *end < s.interval[1];
            if word == sample::PAUSE {
                pauses += 1;
                thinking += usize::from(end - start > 0.95 && video.segments.iter().any(inside));
            } else {
                straddling += touching.filter(|(s, _)| boundary(s)).count();
            }
        }
    }
    assert!(pauses > 600, "{pauses}");
    assert!((5..40).contains(&thinking), "{thinking}");
    assert_eq!(straddling, 3);
}

#[test]
fn text_is_what_is_said_in_the_interval() {
    for video in &generate(&SampleConfig::default()).videos {
        let said = words(&video.words);
        for (i, segment) in video.segments.iter().enumerate() {
            let rows = overlapping(&video.words.intervals, segment.interval);
            let spoken: Vec<&str> = rows
                .iter()
                .map(|&row| said[row].as_str())
                .filter(|w| *w != sample::PAUSE)
                .collect();
            let spoken = spoken.join(" ");
            // A word over the boundary is said in both segments.
            let next = video
                .segments
                .get(i + 1)
                .and_then(|next| next.text.split(' ').next());
            let with_next = next.map(|next| format!("{} {next}", segment.text));
            assert!(
                spoken == segment.text || Some(&spoken) == with_next.as_ref(),
                "{spoken} / {}",
                segment.text
            );
        }
    }
}

#[test]
fn files_hold_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("sample");
    let files = sample::write(&SampleConfig::default(), &dir).unwrap();
    let bytes: u64 = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(bytes < 3 << 20, "{bytes}");
    let left: usize = std::fs::read_dir(&dir).unwrap().count()
        + std::fs::read_dir(dir.join(sample::BERT)).unwrap().count();
    assert_eq!(left, files.len() + 1, "temporary files were left behind");

    let sample = generate(&SampleConfig::default());
    let open = |name: &str| ComputationalSequence::open(&dir.join(name)).unwrap();
    let all = [
        sample::WORDS,
        sample::VISION,
        sample::ACOUSTIC,
        sample::LABELS,
    ]
    .map(open);
    for video in &sample.videos {
        let [words, vision, acoustic, labels] =
            all.each_ref().map(|file| file.read(&video.id).unwrap());
        let read = SampleVideo {
            words,
            vision,
            acoustic,
            ..video.clone()
        };
        assert_eq!(labels, video.labels());
        assert_eq!(
            bits(&Sample { videos: vec![read] }),
            bits(&Sample {
                videos: vec![video.clone()]
            })
        );
    }
    let folds: BTreeMap<String, Vec<String>> =
        serde_json::from_slice(&std::fs::read(dir.join(sample::FOLDS)).unwrap()).unwrap();
    assert_eq!(
        ["train", "valid", "test"].map(|split| folds[split].len()),
        [36, 8, 16]
    );
}

#[test]
fn loading_finds_every_segment_and_counts_the_imperfections() {
    let folder = tempfile::tempdir().unwrap();
    sample::write(&SampleConfig::default(), folder.path()).unwrap();
    let config = DataConfig {
        dir: folder.path().to_path_buf(),
        labels: sample::LABELS.into(),
        words: Some(sample::WORDS.into()),
        vision: Some(sample::VISION.into()),
        audio: Some(sample::ACOUSTIC.into()),
        folds: sample::FOLDS.into(),
        ..DataConfig::default()
    };
    let dataset = mmrest_data::load(&config, folder.path()).unwrap();
    assert_eq!(
        Split::ALL.map(|split| dataset.split(split).len()),
        [360, 80, 160]
    );
    assert_eq!((dataset.widths.vision, dataset.widths.audio), (12, 10));
    assert_eq!(dataset.report.labels_clamped, 1);
    assert_eq!(dataset.report.absent.get(&Modality::Audio), Some(&4));
    assert!(dataset.report.non_finite[&Modality::Audio] > 5);
    assert!(
        dataset
            .report
            .non_finite
            .get(&Modality::Vision)
            .is_none_or(|&count| count == 0)
    );
}

#[test]
fn the_bert_folder_spells_every_word() {
    let folder = tempfile::tempdir().unwrap();
    sample::write(&small(), folder.path()).unwrap();
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join(sample::BERT).join(name)).unwrap();
    let vocabulary = read("vocab.txt");
    let tokens: Vec<&str> = vocabulary.lines().collect();
    assert_eq!(tokens[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    assert!(
        sample::vocabulary()
            .iter()
            .all(|word| tokens.contains(word))
    );
    assert!(('a'..='z').all(|c| tokens.contains(&format!("##{c}").as_str())));
    assert_eq!(
        tokens
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        tokens.len()
    );
    let config: serde_json::Value = serde_json::from_str(&read("config.json")).unwrap();
    assert_eq!(config["vocab_size"], tokens.len());
    assert!(read("tokenizer_config.json").contains("\"do_lower_case\": true"));
}

#[test]
fn degenerate_sizes() {
    for (videos, segments_per_video) in [(0, 3), (1, 0), (1, 1), (2, 2)] {
        let config = SampleConfig {
            videos,
            segments_per_video,
            ..SampleConfig::default()
        };
        assert_eq!(
            generate(&config).segments().count(),
            videos * segments_per_video
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = SampleConfig {
        videos: 0,
        ..SampleConfig::default()
    };
    assert!(
        sample::write(&empty, folder.path())
            .unwrap_err()
            .to_string()
            .contains("0 videos")
    );
}

#[test]
fn each_modality_helps_and_all_three_are_best() {
    let mut report = String::new();
    for seed in [7, 8, 9] {
        let sample = generate(&SampleConfig {
            seed,
            ..SampleConfig::default()
        });
        let median = median_error(&sample);
        let alone = Modality::ALL.map(|modality| test_error(&sample, &[modality]));
        let all = test_error(&sample, &Modality::ALL);
        report += &format!("seed {seed}: median {median:.3}, alone {alone:.3?}, all {all:.3}\n");
        for error in alone {
            assert!(error < 0.95 * median, "{report}");
            assert!(all < 0.6 * error, "{report}");
        }
        assert!(all < 0.5 * median, "{report}");
    }
    println!("{report}");
}

/// The best that can be done, given the causes themselves.
#[test]
fn text_alone_is_not_enough() {
    let config = SampleConfig::default();
    let sample = generate(&config);
    let error = |predict: &dyn Fn(&SampleSegment) -> f64| {
        let errors = sample
            .segments()
            .map(|s| (predict(s) - f64::from(s.label)).abs());
        errors.sum::<f64>() / 600.0
    };
    let text = error(&|s| config.text_weight * s.causes.text);
    let all = error(&|s| {
        let known = sample::Causes {
            noise: 0.0,
            ..s.causes
        };
        known.sentiment(&config)
    });
    println!("ideal from text {text:.3}, from all {all:.3}");
    assert!(text > 0.75 && all < 0.25, "{text} {all}");
}
