//! Further sentences about segments, for a model that reads them: in training, evaluation and prediction.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mmrest_data::{Split, load_unlabelled};
use mmrest_learner::run::{Accepted, evaluate_run, train};
use mmrest_learner::train::Observer;
use mmrest_learner::{Backend, Config, Predictor, open_device};

use crate::fixture::{Fixture, finished, read, turn};

const SMALL: [&str; 9] = [
    "model.name=deva",
    "train.epochs=2",
    "train.patience=2",
    "model.deva.width=4",
    "model.deva.heads=1",
    "model.deva.inner=4",
    "model.deva.hyper_depth=2",
    "model.deva.hyper_heads=1",
    "model.deva.frames=20",
];

/// Keeps what a run says.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.into());
    }
}

fn config(fixture: &Fixture, more: &[&str]) -> Config {
    fixture.config(&[&SMALL, more].concat())
}

/// Predictions by id.
fn predictions(text: &str) -> BTreeMap<String, f32> {
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].to_owned(), cells[3].parse().unwrap())
    });
    rows.collect()
}

#[test]
fn sentences_are_read_in_training_evaluation_and_prediction() {
    let _turn = turn();
    let fixture = Fixture::new();
    let data = fixture.folder.path().join("data/sample");
    let run = |name: &str, more: &[&str]| {
        let notes = Arc::new(Notes::default());
        let mut options = fixture.options(name);
        options.observer = notes.clone();
        finished(train(&config(&fixture, more), &options));
        let notes = notes.0.lock().unwrap().join("\n");
        (predictions(&read(options.folder.predictions())), notes)
    };
    let (without, notes) = run("without", &[]);
    assert!(
        notes.contains("deva reads 2 sentences about each segment, of which the data have none"),
        "{notes}"
    );
    assert!(notes.contains("deva reads at most 20 frames of"), "{notes}");

    // A row for every segment but one; clips count from 1.
    let mut table = String::from("video_id,clip_id,voice,face\n");
    for (place, id) in without.keys().skip(1).enumerate() {
        let (video, piece) = id.trim_end_matches(']').split_once('[').unwrap();
        let clip = piece.parse::<usize>().unwrap() + 1;
        let voice = ["a loud voice", "a low voice"][place % 2];
        table += &format!("{video},{clip},{voice},\"a smile, a blink\"\n");
    }
    std::fs::write(data.join("sentences.csv"), table).unwrap();
    let set = ["data.sentences=sentences.csv"];
    let (with, notes) = run("with", &set);
    assert!(
        notes.contains("Segments without a row in data.sentences: 1."),
        "{notes}"
    );
    assert_ne!(with, without);

    let device = open_device(Backend::Cpu, 0).unwrap();
    let folder = fixture.run_folder("with");
    let root = fixture.folder.path();
    let own = Accepted::default();
    let valid = evaluate_run(&folder, Split::Valid, None, root, &device, &own).unwrap();
    for prediction in &valid.predictions {
        let expected = with[&valid.ids[prediction.row]];
        assert!((prediction.prediction - expected).abs() < 1e-4);
    }
    let segments = load_unlabelled(&config(&fixture, &set).data, &data).unwrap();
    let scored = |predictor: &Predictor| {
        let differs = |p: &mmrest_learner::Prediction| {
            (p.prediction - with[&segments[p.row].id]).abs() >= 1e-4
        };
        let predictions = predictor.predict(&segments).unwrap();
        predictions.iter().filter(|p| differs(p)).count()
    };
    let predictor = Predictor::load(&folder.model(), &device).unwrap();
    assert_eq!(
        predictor.sentences_file(&data),
        Some(data.join("sentences.csv"))
    );
    assert!(scored(&predictor) > 0, "their place is empty");
    let predictor = predictor.with_sentences(&data, root).unwrap();
    assert_eq!(scored(&predictor), 0);

    let more = [&set[..], &["data.sentence_columns=[\"voice\"]"]].concat();
    let overrides = more
        .iter()
        .chain(&SMALL)
        .map(|set| mmrest_learner::config::parse_override(set).unwrap());
    let error = Config::parse("", &overrides.collect::<Vec<_>>()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("name 2 columns of data.sentences"),
        "{error}"
    );
}
