//! What a run's model says of new segments, why, and how training prepares it for missing modalities.

use std::path::Path;
use std::sync::{Arc, MutexGuard};

use burn::train::Interrupter;
use mmrest_data::{Frames, Modality, Segment, load_unlabelled};
use mmrest_learner::run::{Outcome, RunFolder, RunOptions, train};
use mmrest_learner::train::Observer;
use mmrest_learner::{Backend, Config, LearnerError, Predictor, open_device};

use crate::fixture::{self, turn};

/// A small sample in a folder of its own, and short runs on it, one at a time.
pub(crate) struct Fixture {
    fixture: fixture::Fixture,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let turn = turn();
        Self {
            fixture: fixture::Fixture::new(),
            _turn: turn,
        }
    }

    fn run(&self, name: &str) -> RunFolder {
        self.fixture.run_folder(name)
    }

    pub(crate) fn options(&self, name: &str) -> RunOptions {
        self.fixture.options(name)
    }

    fn config(&self, set: &[&str]) -> Config {
        self.fixture.config(&[&["train.epochs=2"], set].concat())
    }

    /// A finished run.
    pub(crate) fn train(&self, name: &str, set: &[&str]) -> RunFolder {
        let outcome = train(&self.config(set), &self.options(name)).unwrap();
        assert!(matches!(outcome, Outcome::Finished(_)));
        self.run(name)
    }

    /// All segments of the sample, as new data.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        load_unlabelled(
            &self.config(&[]).data,
            &self.fixture.folder.path().join("data/sample"),
        )
        .unwrap()
    }
}

pub(crate) fn predictor(run: &RunFolder) -> Predictor {
    let device = open_device(Backend::Cpu, 0).unwrap();
    Predictor::load(&run.model(), &device).unwrap()
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A segment without some of its modalities.
pub(crate) fn without(segment: &Segment, lacking: &[Modality]) -> Segment {
    let mut bare = segment.clone();
    for modality in lacking {
        match modality {
            Modality::Text => bare.text.clear(),
            Modality::Vision => bare.vision = Frames::default(),
            Modality::Audio => bare.audio = Frames::default(),
        }
    }
    bare
}

/// Stops a run in the middle of its second epoch.
struct StopInSecond(Interrupter);

impl Observer for StopInSecond {
    fn batch(&self, epoch: usize, _: usize, _: usize, _: usize, _: f64) {
        if epoch > 1 {
            self.0.stop(Some("test"));
        }
    }
}

#[test]
fn modality_dropout_changes_training_and_a_resumed_run_draws_the_same() {
    let fixture = Fixture::new();
    let plain = fixture.train("plain", &[]);
    for (name, text) in [
        ("trained", "text.freeze=false"),
        ("frozen", "text.freeze=true"),
        ("upper", "text.train_layers=1"),
    ] {
        let set = [text, "train.modality_dropout=0.4"];
        let whole = fixture.train(&format!("{name}-whole"), &set);
        assert!(
            read(&whole.predictions()) != read(&plain.predictions()),
            "{name}"
        );
        let stopped = format!("{name}-stopped");
        let mut options = fixture.options(&stopped);
        options.observer = Arc::new(StopInSecond(options.interrupter.clone()));
        let outcome = train(&fixture.config(&set), &options).unwrap();
        assert!(matches!(outcome, Outcome::Interrupted { epochs: 1 }));
        let mut options = fixture.options(&stopped);
        options.resume = true;
        train(&fixture.config(&set), &options).unwrap();
        let resumed = fixture.run(&stopped);
        assert!(
            read(&resumed.predictions()) == read(&whole.predictions()),
            "{name}"
        );
        assert!(predictor(&resumed).knows_missing());
    }
    assert!(!predictor(&plain).knows_missing());
    // Of one modality there is nothing to take.
    let one = ["data.modalities=[\"audio\"]", "train.modality_dropout=0.4"];
    let (with, without) = (fixture.train("one", &one), fixture.train("bare", &one[..1]));
    assert_eq!(read(&with.predictions()), read(&without.predictions()));
}

#[test]
fn contributions_add_up_and_a_missing_modality_has_none() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &[]);
    let predictor = predictor(&run).with_neighbours().unwrap();
    let all = fixture.segments();
    let mut segments: Vec<Segment> = all.iter().take(40).cloned().collect();
    let lacking = [
        vec![Modality::Text],
        vec![Modality::Vision, Modality::Audio],
        Modality::ALL.to_vec(),
    ];
    segments.extend(lacking.iter().map(|lacking| without(&all[0], lacking)));
    let explained = predictor.explain(&segments, 3).unwrap();
    let predicted = predictor.predict(&segments).unwrap();
    assert_eq!(explained.len(), segments.len());
    for ((segment, explanation), prediction) in segments.iter().zip(&explained).zip(&predicted) {
        let own = &explanation.prediction;
        assert_eq!(own.row, prediction.row);
        assert!((own.prediction - prediction.prediction).abs() < 1e-4);
        let sum = explanation.base + explanation.contributions.total();
        assert!((sum - own.prediction).abs() < 1e-5, "{}: {sum}", segment.id);
        let missing = predictor.missing(segment);
        for modality in Modality::ALL {
            let has = explanation.contributions.of(modality).is_some();
            assert_eq!(has, !missing.contains(&modality), "{modality}");
        }
        assert!((explanation.base - explained[0].base).abs() < 1e-5);
    }
    let bare = &explained[segments.len() - 1];
    assert!((bare.base - bare.prediction.prediction).abs() < 1e-6);
    assert!(bare.neighbours.is_empty());
    // One modality alone adds all the difference.
    let text = &explained[segments.len() - 2];
    let alone = text.prediction.prediction - text.base;
    assert!((text.contributions.text.unwrap() - alone).abs() < 1e-5);
    // By hand, for the two modalities that the first of the lacking has.
    let of = |lacking: &[Modality]| {
        let segment = without(&all[0], lacking);
        f64::from(predictor.predict(&[segment]).unwrap()[0].prediction)
    };
    use Modality::{Audio, Text, Vision};
    let [both, vision, audio, none] = [
        of(&[Text]),
        of(&[Text, Audio]),
        of(&[Text, Vision]),
        of(&Modality::ALL),
    ];
    let by_hand = (vision - none + both - audio) / 2.0;
    let found = explained[40].contributions.vision.unwrap();
    assert!((f64::from(found) - by_hand).abs() < 1e-4);
}

#[test]
fn a_training_segment_is_its_own_nearest_neighbour() {
    let fixture = Fixture::new();
    for (name, set) in [
        ("run", vec![]),
        ("kernel", vec!["preset=kernel"]),
        (
            "bare",
            vec!["model.mmrest.mmc=false", "model.mmrest.bias=false"],
        ),
    ] {
        let run = fixture.train(name, &set);
        let predictor = predictor(&run).with_neighbours().unwrap();
        assert!(predictor.has_neighbours());
        let csv = read(&run.predictions());
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let known: std::collections::BTreeMap<String, f32> = reader
            .records()
            .map(Result::unwrap)
            .filter(|row| &row[1] == "train")
            .map(|row| (row[0].to_string(), row[2].parse().unwrap()))
            .collect();
        let mut trained = fixture.segments();
        trained.retain(|segment| known.contains_key(&segment.id));
        assert!(trained.len() > 20);
        let complete = |segment: &Segment| predictor.missing(segment).is_empty();
        for (segment, explanation) in trained.iter().zip(predictor.explain(&trained, 4).unwrap()) {
            let near = &explanation.neighbours;
            assert_eq!(near.len(), 4);
            assert!(near.is_sorted_by(|a, b| a.distance <= b.distance));
            assert!(near.iter().all(|near| known[&near.id] == near.label));
            if complete(segment) {
                assert!(near[0].distance < 1e-3, "{}: {near:?}", segment.id);
                let own = near.iter().find(|near| near.id == segment.id);
                assert!(own.is_some_and(|own| own.distance < 1e-3), "{}", segment.id);
            }
        }
        assert!(
            predictor.explain(&trained[..1], 0).unwrap()[0]
                .neighbours
                .is_empty()
        );
    }
}

#[test]
fn a_kernels_neighbours_are_what_its_prediction_is_made_of() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &["preset=kernel"]);
    let predictor = predictor(&run).with_neighbours().unwrap();
    let mut segments = fixture.segments();
    segments.truncate(12);
    segments.push(without(&segments[0], &[Modality::Text]));
    segments.push(without(&segments[1], &[Modality::Vision, Modality::Audio]));
    for explanation in predictor.explain(&segments, 5000).unwrap() {
        let near = &explanation.neighbours;
        let weights = near.iter().map(|near| f64::from(-near.distance).exp());
        let weights: Vec<f64> = weights.collect();
        let labels = near.iter().map(|near| f64::from(near.label));
        let sum: f64 = weights.iter().zip(labels).map(|(w, label)| w * label).sum();
        let around = sum / weights.iter().sum::<f64>();
        // bias = gamma (k - y'), gamma = 0.75
        let own = &explanation.prediction;
        let expected = f64::from(own.score + own.bias / 0.75);
        assert!((around - expected).abs() < 1e-3, "{around} and {expected}");
    }
}

#[test]
fn a_model_without_neighbours_predicts_and_a_resumed_run_has_them_again() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &[]);
    let file = run.model().join("neighbours.safetensors");
    let whole = std::fs::read(&file).unwrap();
    crate::fixture::unseal(&run.model());
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let segments = fixture.segments();
    assert_eq!(
        predictor(&run).predict(&segments).unwrap().len(),
        segments.len()
    );
    let error = predictor(&run).with_neighbours().unwrap_err();
    assert!(matches!(error, LearnerError::Format { .. }));
    assert!(
        error.to_string().contains("neighbours.safetensors"),
        "{error}"
    );
    std::fs::remove_file(&file).unwrap();
    let bare = predictor(&run).with_neighbours().unwrap();
    assert!(!bare.has_neighbours());
    let explained = bare.explain(&segments[..2], 5).unwrap();
    assert!(explained[0].neighbours.is_empty() && explained[0].contributions.text.is_some());
    let mut options = fixture.options("run");
    options.resume = true;
    train(&fixture.config(&[]), &options).unwrap();
    assert!(std::fs::read(&file).unwrap() == whole);
}

#[test]
fn predictions_do_not_depend_on_what_is_predicted_with_them() {
    let fixture = Fixture::new();
    let run = fixture.train("run", &[]);
    let predictor = predictor(&run);
    let mut segments = fixture.segments();
    let forward = predictor.predict(&segments).unwrap();
    segments.reverse();
    segments.push(without(&segments[0], &[Modality::Audio]));
    let backward = predictor.predict(&segments).unwrap();
    let places: Vec<usize> = backward.iter().map(|prediction| prediction.row).collect();
    assert_eq!(places, (0..segments.len()).collect::<Vec<_>>());
    for (a, b) in forward.iter().rev().zip(&backward) {
        assert!((a.prediction - b.prediction).abs() < 1e-4);
    }
    let long = |frames: usize, text: usize| Segment {
        text: "a".repeat(text),
        audio: Frames {
            values: vec![0.0; segments[0].audio.width * frames],
            width: segments[0].audio.width,
        },
        ..segments[0].clone()
    };
    let said = |segment: &Segment| predictor.check(segment).unwrap_err();
    assert!(said(&long(mmrest_learner::MOST_FRAMES + 1, 0)).contains("audio has 100001 frames"));
    assert!(said(&long(1, mmrest_learner::MOST_TEXT + 1)).contains("text has 1048577 bytes"));
    assert_eq!(
        predictor.check(&long(mmrest_learner::MOST_FRAMES, 9)),
        Ok(())
    );
}
