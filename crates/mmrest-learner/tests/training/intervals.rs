//! The intervals of a run's predictions, against the predictor's own scores of the validation split.

use std::collections::{BTreeMap, BTreeSet};

use mmrest_data::{Modality, Segment};
use mmrest_learner::CONFIDENCE;
use mmrest_learner::run::calibrate;

use crate::predicting::{Fixture, predictor, read, without};

/// `predictions.csv` by id: split, label, and the rest of the row.
fn rows(csv: &str) -> BTreeMap<String, csv::StringRecord> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| (row[0].to_owned(), row)).collect()
}

/// Every set of modalities.
fn sets() -> Vec<Vec<Modality>> {
    let in_set = |set: usize, modality: Modality| set >> modality as usize & 1 == 1;
    let of = |set| {
        Modality::ALL
            .into_iter()
            .filter(move |&modality| in_set(set, modality))
    };
    (0..8).map(|set| of(set).collect()).collect()
}

/// Another model for each part of the videos that are not for testing: its errors there, all together.
#[test]
fn a_run_is_calibrated_on_models_that_each_part_was_kept_from() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &["model.name=tfn", "train.epochs=2"]);
    let before = read(&run.predictions());
    let options = fixture.options("run");
    let metrics = calibrate(&options, 3).unwrap().unwrap();
    let model = predictor(&run);
    let all = fixture.segments();
    let complete = all
        .iter()
        .filter(|segment| model.missing(segment).is_empty());
    let complete: BTreeSet<&str> = complete.map(|segment| segment.id.as_str()).collect();
    let mut errors = Vec::new();
    let mut segments = BTreeSet::new();
    for number in 1..=3 {
        let part = run.path().join(format!("calibration/part-{number}-of-3"));
        for row in rows(&read(&part.join("predictions.csv"))).values() {
            if &row[1] == "valid" {
                let [label, prediction] = [2, 3].map(|at| row[at].parse::<f32>().unwrap());
                if complete.contains(&row[0]) {
                    errors.push((prediction - label).abs());
                }
                assert!(
                    segments.insert(row[0].to_owned()),
                    "{} is in two parts",
                    &row[0]
                );
            }
        }
    }
    let after = read(&run.predictions());
    let (before, after) = (rows(&before), rows(&after));
    let own = after.values().filter(|row| &row[1] != "test");
    assert!(own.clone().all(|row| segments.contains(&row[0])));
    assert_eq!(own.count(), segments.len());
    errors.sort_by(f32::total_cmp);
    let rank = ((errors.len() + 1) as f64 * CONFIDENCE).ceil() as usize;
    let margin = errors[rank - 1];
    let interpreter = model.interpreter(CONFIDENCE).unwrap();
    let [_, greatest] = interpreter.of(0.0, &[]).interval.unwrap();
    assert!(
        (greatest - margin).abs() < 1e-6,
        "{greatest} is not {margin}"
    );
    let (mut tested, mut inside) = (0.0, 0.0);
    for (row, old) in after.values().zip(before.values()) {
        assert_eq!(&row[3], &old[3], "the model is the same");
        let [label, low, high] = [2, 9, 10].map(|at| row[at].parse::<f32>().unwrap());
        if &row[1] == "test" {
            tested += 1.0;
            inside += f64::from(u8::from(low <= label && label <= high));
        }
    }
    assert_eq!(metrics.intervals.unwrap().coverage, inside / tested);
    // What is there is not trained again.
    let record = run.path().join("calibration/part-1-of-3/run.json");
    let (first, again) = (read(&record), calibrate(&options, 3).unwrap());
    assert_eq!((again.is_some(), read(&record)), (true, first));
    let refused = calibrate(&fixture.options("none"), 3).unwrap_err();
    assert!(
        refused.to_string().contains("is not a run's folder"),
        "{refused}"
    );
}

/// The naive way: take the modalities from the segments, score them as `predict` does, sort the errors.
#[test]
fn an_interval_is_the_quantile_of_errors_without_what_is_missing() {
    let fixture = Fixture::new();
    for (name, set) in [
        ("mmrest", vec!["text.freeze=true"]),
        ("mag_bert", vec!["model.name=mag-bert"]),
        ("self_mm", vec!["model.name=self-mm"]),
    ] {
        let run = fixture.train(name, &set);
        let predictor = predictor(&run);
        let interpreter = predictor.interpreter(CONFIDENCE).unwrap();
        let rows = rows(&read(&run.predictions()));
        let all: Vec<Segment> = fixture.segments();
        let valid: Vec<&Segment> = all.iter().filter(|s| &rows[&s.id][1] == "valid").collect();
        let mut quantiles: BTreeMap<Vec<Modality>, f32> = BTreeMap::new();
        for missing in sets() {
            let bare: Vec<Segment> = valid.iter().map(|s| without(s, &missing)).collect();
            let scored = predictor.predict(&bare).unwrap();
            let each = bare.iter().zip(&scored);
            let of_set = each.filter(|(segment, _)| predictor.missing(segment) == missing);
            let label = |segment: &Segment| rows[&segment.id][2].parse::<f32>().unwrap();
            let errors = of_set.map(|(s, p)| (p.prediction - label(s)).abs());
            let mut errors: Vec<f32> = errors.collect();
            errors.sort_by(f32::total_cmp);
            let rank = ((errors.len() + 1) as f64 * CONFIDENCE).ceil() as usize;
            assert!(rank <= errors.len(), "{name} {missing:?}: {}", errors.len());
            quantiles.insert(missing, errors[rank - 1]);
        }
        for missing in sets() {
            let fewer = |set: &&Vec<Modality>| set.iter().all(|m| missing.contains(m));
            let expected = quantiles.keys().filter(fewer).map(|set| quantiles[set]);
            let expected = expected.fold(0.0, f32::max).min(3.0);
            let [least, greatest] = interpreter.of(0.0, &missing).interval.unwrap();
            assert!(
                (greatest - expected).abs() < 1e-3 && least == -greatest,
                "{name} {missing:?}: {greatest} is not {expected}"
            );
        }
        // What the run wrote is what the model says.
        let complete = |segment: &&Segment| predictor.missing(segment).is_empty();
        for segment in all.iter().filter(complete).take(20) {
            let row = &rows[&segment.id];
            let prediction: f32 = row[3].parse().unwrap();
            let meaning = interpreter.of(prediction, &[]);
            let bounds = meaning.interval.unwrap().map(|bound| bound.to_string());
            assert_eq!(
                [&row[9], &row[10]],
                [&bounds[0], &bounds[1]],
                "{name} {}",
                segment.id
            );
            assert_eq!(&row[8], meaning.polarity.name());
        }
    }
}
