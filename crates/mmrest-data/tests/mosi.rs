//! CMU-MOSI itself, where it is there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{mosi_config, shared_data, workspace};
use mmrest_data::{DataConfig, FeatureStats, Modality, SplitFrom, TextFrom, load};

#[test]
fn the_standard_split_comes_out_and_ids_join() {
    let Some(dir) = shared_data("mosi") else {
        return;
    };
    let data = load(&mosi_config(&dir), &workspace()).unwrap();
    println!("{}", data.report);
    assert_eq!(
        (data.train.len(), data.valid.len(), data.test.len()),
        (1284, 229, 686)
    );
    assert_eq!((data.widths.audio, data.widths.vision), (75, 0));
    let report = &data.report;
    assert_eq!((report.labels_compared, report.label_mismatches), (2199, 0));
    assert_eq!(report.table_rows_unused, 0);
    assert_eq!((report.texts_compared, report.text_mismatches), (2198, 4));
    assert_eq!(
        (report.empty_intervals, report.absent[&Modality::Audio]),
        (1, 1)
    );
    assert!(data.segments().all(|segment| !segment.text.is_empty()));

    let stats = FeatureStats::fit(data.train.iter().map(|segment| &segment.audio));
    let mut frames: Vec<_> = data
        .train
        .iter()
        .map(|segment| segment.audio.clone())
        .collect();
    frames.iter_mut().for_each(|frames| stats.apply(frames));
    let again = FeatureStats::fit(&frames);
    assert!(
        again.mean.iter().all(|mean| mean.abs() < 1e-3),
        "{:?}",
        again.mean
    );
    assert!(
        again.scale.iter().all(|scale| (scale - 1.0).abs() < 1e-3),
        "{:?}",
        again.scale
    );
}

#[test]
fn folds_and_words_alone_give_the_same_segments() {
    let Some(dir) = shared_data("mosi") else {
        return;
    };
    let table = load(&mosi_config(&dir), &workspace()).unwrap();
    let config = DataConfig {
        table: None,
        text_from: TextFrom::Words,
        split_from: SplitFrom::Folds,
        vision: Some("CMU_MOSI_UtteranceVisual.csd".into()),
        modalities: Modality::ALL.to_vec(),
        ..mosi_config(&dir)
    };
    let folds = load(&config, &workspace()).unwrap();
    println!("{}", folds.report);
    assert_eq!(folds.widths.vision, 100);
    let ids = |data: &mmrest_data::Dataset| -> Vec<String> {
        data.segments().map(|segment| segment.id.clone()).collect()
    };
    // One labelled interval has no length: it has a transcript, but no words of its own.
    let without: Vec<String> = ids(&table)
        .into_iter()
        .filter(|id| id != "2WGyTLYerpo[43]")
        .collect();
    assert_eq!((ids(&table).len(), without.len()), (2199, 2198));
    assert_eq!(ids(&folds), without);
    assert!(folds.segments().all(|segment| !segment.vision.is_empty()));
}
