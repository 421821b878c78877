//! The intervals of a run's predictions, against the predictor's own scores of the validation split.

use std::collections::BTreeMap;

use mmrest_data::{Modality, Segment};
use mmrest_learner::CONFIDENCE;

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
