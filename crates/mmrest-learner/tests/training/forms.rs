//! Runs of other kinds: presets, scales, switches, absent modalities, several devices.

use mmrest_data::{Frames, Segment, Split};
use mmrest_learner::run::{Accepted, RunFolder, RunOptions, evaluate_run, train};
use mmrest_learner::{Backend, FigureSet, Predictor, open_device};
use mmrest_metric::Clusters;
use mmrest_models::ClusterState;

use crate::fixture::*;

/// The clusters of a run's model.
fn clusters(folder: &RunFolder) -> Clusters {
    let state: ClusterState =
        serde_json::from_str(&read(folder.model().join("state.json"))).unwrap();
    state.clusters.unwrap()
}

#[test]
fn the_ordinal_preset_pulls_scores_towards_the_sentiment_of_the_clusters_around() {
    let _turn = turn();
    let fixture = Fixture::new();
    let device = open_device(Backend::Cpu, 0).unwrap();
    for (name, set) in [
        ("train", &["preset=ordinal", "train.epochs=2"][..]),
        (
            "batch",
            &[
                "preset=ordinal",
                "train.epochs=2",
                "model.mmrest.clusters.scope=batch",
            ],
        ),
    ] {
        fixture.train(name, set);
        let folder = fixture.run_folder(name);
        let clusters = clusters(&folder);
        assert!(clusters.bins.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(clusters.metric, clusters.bins);
        let root = fixture.folder.path();
        let test = evaluate_run(
            &folder,
            Split::Test,
            None,
            root,
            &device,
            &Accepted::default(),
        )
        .unwrap();
        let expected = test.predictions.iter().map(|p| p.score + p.bias / 0.5);
        let expected: Vec<f32> = expected.collect();
        assert!(expected.iter().all(|s| (-3.001..3.001).contains(s)));
        // With the scope `batch` the last batch's clusters are left, which may be one.
        let [least, greatest] = [f32::min, f32::max].map(|of| expected.iter().copied().reduce(of));
        assert!(clusters.len() == 1 || greatest.unwrap() > least.unwrap() + 1e-3);
        for p in &test.predictions {
            assert!((p.prediction - p.score - p.bias).abs() < 1e-5);
        }
        let inter = epoch_columns(&folder, |column| column == "loss_inter");
        let mut epochs = inter[1..].iter(); // below the header
        assert!(epochs.all(|row| row[0].parse::<f64>().unwrap() > 0.0));
    }
}

#[test]
fn segments_kept_from_the_steps_are_encoded_once_more_for_the_selected_model() {
    let _turn = turn();
    let fixture = Fixture::new();
    let run = |support: &str| {
        let support = format!("model.mmrest.projection.support={support}");
        let set = ["preset=kernel", "train.epochs=1", &support];
        let metrics = fixture.train(&support, &set);
        (fixture.run_folder(&support), metrics)
    };
    let (encoded, expected) = run("encoded");
    let (steps, found) = run("steps");
    let valid = |folder| epoch_columns(folder, |column| column == "valid_mae");
    assert_ne!(valid(&encoded), valid(&steps), "dropout and older weights");
    assert_eq!(read(encoded.predictions()), read(steps.predictions()));
    assert_eq!(
        (&found.valid, &found.test),
        (&expected.valid, &expected.test)
    );
    let state = |folder: &RunFolder| read(folder.model().join("state.json"));
    assert_eq!(state(&encoded), state(&steps));
    let device = open_device(Backend::Cpu, 0).unwrap();
    let (root, own) = (fixture.folder.path(), Accepted::default());
    let test = evaluate_run(&steps, Split::Test, None, root, &device, &own).unwrap();
    assert_eq!(test.figures, expected.test);
}

#[test]
fn another_scale_trains_by_its_own_bins_and_figures() {
    let _turn = turn();
    let fixture = Fixture::new();
    let set = [
        "train.epochs=2",
        "figures=sims",
        "data.label_range=[-1.0, 1.0]",
        "bins.edges=[-0.7, -0.1, 0.1, 0.7]",
        "bins.labels=[-2, -1, 0, 1, 2]",
        "bins.side=below",
    ];
    let metrics = fixture.train("run", &set);
    let names = ["mae", "corr", "acc5", "acc3", "acc2", "f1"];
    assert!(metrics.test.named().map(|(name, _)| name).eq(names));
    let folder = fixture.run_folder("run");
    let header = read(folder.epochs()).lines().next().unwrap().to_string();
    assert!(header.contains("valid_acc5,valid_acc3,valid_acc2,valid_f1,learning_rate"));
    let record: serde_json::Value = serde_json::from_str(&read(folder.record())).unwrap();
    assert_eq!(
        record["data_report"]["clamped_to"],
        serde_json::json!([-1.0, 1.0])
    );
    let clusters = clusters(&folder);
    assert!(clusters.bins.iter().all(|&bin| bin < 5), "{clusters:?}");
    let device = open_device(Backend::Cpu, 0).unwrap();
    let test = evaluate_run(
        &folder,
        Split::Test,
        None,
        fixture.folder.path(),
        &device,
        &Accepted::default(),
    )
    .unwrap();
    assert_eq!(test.figures, metrics.test);
    assert!(test.labels.iter().all(|label| label.abs() <= 1.0));
    for near in test.predictions.iter().flat_map(|p| &p.near) {
        assert_eq!(near.sentiment, clusters.bins[near.cluster] as i32 - 2);
    }
    let mut options = fixture.options("run");
    options.resume = true;
    let fewer = train(
        &fixture.config(&[&set[..], &["bins.side=above"]].concat()),
        &options,
    );
    assert!(fewer.unwrap_err().to_string().contains("side"));
    let again = train(
        &fixture.config(&[&set[..], &["train.epochs=3"]].concat()),
        &options,
    );
    assert_eq!(finished(again).test.set(), FigureSet::Sims);
}

#[test]
fn a_run_from_before_bins_and_figures_were_keys_is_read_as_it_was() {
    let _turn = turn();
    let fixture = Fixture::new();
    let metrics = fixture.train("run", &["train.epochs=1"]);
    let folder = fixture.run_folder("run");
    for file in [folder.config(), folder.model().join("config.toml")] {
        let mut table: toml::Table = read(file.clone()).parse().unwrap();
        assert!(table.remove("figures").is_some() && table.remove("bins").is_some());
        std::fs::write(file, table.to_string()).unwrap();
    }
    // Nor were there digests.
    unseal(&folder.model());
    let device = open_device(Backend::Cpu, 0).unwrap();
    let test = evaluate_run(
        &folder,
        Split::Test,
        None,
        fixture.folder.path(),
        &device,
        &Accepted::default(),
    )
    .unwrap();
    assert_eq!(test.figures, metrics.test);
    let mut options = fixture.options("run");
    options.resume = true;
    finished(train(&fixture.config(&["train.epochs=2"]), &options));
}

#[test]
fn every_switch_trains_and_absent_modalities_have_no_parameters() {
    let _turn = turn();
    let fixture = Fixture::new();
    let train = |set: &[&str]| {
        let mut all = vec!["train.epochs=1"];
        all.extend(set);
        let name = set.join("-").replace(['"', '[', ']'], "");
        fixture.train(&format!("run-{name}"), &all)
    };
    let full = train(&[]).parameters;
    assert_eq!(full.parts["metrics"], 8 * 64 * 64);
    assert_eq!(
        full.total,
        full.text_encoder + full.rest + full.parts["metrics"]
    );
    let none = train(&["model.mmrest.mmc=false", "model.mmrest.bias=false"]).parameters;
    assert_eq!((none.parts["metrics"], none.rest), (0, full.rest));
    for set in [
        "model.mmrest.mmc=false",
        "model.mmrest.bias=false",
        "model.mmrest.metric=single",
        "model.mmrest.projection.signed=true",
        "model.mmrest.loss.means=true",
        "model.mmrest.clusters.assign=sentiment",
    ] {
        assert_eq!(
            train(&[set]).parameters.parts["metrics"],
            full.parts["metrics"]
        );
    }
    let subsets = [
        "text",
        "vision",
        "audio",
        "text\",\"vision",
        "text\",\"audio",
        "vision\",\"audio",
    ];
    for modalities in subsets {
        let set = format!("data.modalities=[\"{modalities}\"]");
        let parameters = train(&[&set]).parameters;
        assert!(parameters.rest < full.rest);
        assert_eq!(parameters.text_encoder > 0, modalities.contains("text"));
    }
}

#[test]
fn new_segments_are_scored_with_any_modality_absent() {
    let _turn = turn();
    let fixture = Fixture::new();
    fixture.train("run", &["train.epochs=2"]);
    let device = open_device(Backend::Cpu, 0).unwrap();
    let predictor = Predictor::load(&fixture.run_folder("run").model(), &device).unwrap();
    let widths = predictor.saved_model().features.widths;
    let full = Segment {
        id: "new".into(),
        video: "new".into(),
        text: "it was wonderful".into(),
        vision: Frames {
            values: vec![0.5; widths.vision * 3],
            width: widths.vision,
        },
        audio: Frames {
            values: vec![f32::NAN; widths.audio * 2],
            width: widths.audio,
        },
        label: None,
    };
    let bare = Segment {
        text: String::new(),
        vision: Frames::empty(0),
        audio: Frames::empty(0),
        ..full.clone()
    };
    let predictions = predictor
        .predict(&[full.clone(), bare, full.clone()])
        .unwrap();
    assert!(
        predictions
            .iter()
            .all(|p| p.prediction.is_finite() && p.near.len() == 2)
    );
    assert!((predictions[0].prediction - predictions[2].prediction).abs() < 1e-5);
    assert_ne!(predictions[0].prediction, predictions[1].prediction);
    for p in &predictions {
        assert!((p.score + p.bias - p.prediction).abs() < 1e-6);
        assert!(p.near[0].distance <= p.near[1].distance);
    }
    let alone = predictor.predict(std::slice::from_ref(&full)).unwrap();
    assert!((alone[0].prediction - predictions[0].prediction).abs() < 1e-5);
    let narrow = Segment {
        vision: Frames {
            values: vec![1.0],
            width: 1,
        },
        ..full
    };
    assert!(
        predictor
            .check(&narrow)
            .unwrap_err()
            .contains("vision has 1 feature a frame")
    );
}

#[test]
fn several_devices_train_as_one_does() {
    let _turn = turn();
    let fixture = Fixture::new();
    // Each device draws its own dropout.
    let set = [
        "data.modalities=[\"vision\", \"audio\"]",
        "model.mmrest.dropout=0.0",
    ];
    fixture.train("one", &set);
    for (name, devices) in [("two", vec![0, 0]), ("three", vec![0; 3])] {
        let options = RunOptions {
            devices: devices.clone(),
            ..fixture.options(name)
        };
        finished(train(&fixture.config(&set), &options));
        let record = read(options.folder.record());
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["devices"], serde_json::json!(devices));
        let one = epochs_without_times(&fixture.run_folder("one"));
        let several = epochs_without_times(&options.folder);
        assert_eq!(one.len(), several.len());
        for (a, b) in one.iter().flatten().zip(several.iter().flatten()) {
            let number = |text: &str| text.parse::<f64>();
            match (number(a), number(b)) {
                (Ok(a), Ok(b)) => {
                    assert!((a - b).abs() < 1e-3 * a.abs().max(1.0), "{a} and {b}");
                }
                _ => assert_eq!(a, b),
            }
        }
    }
}

#[test]
fn the_weight_of_the_bias_is_that_of_the_least_validation_error() {
    let _turn = turn();
    let fixture = Fixture::new();
    let plain = fixture.train("plain", &["preset=kernel"]);
    assert_eq!(plain.method.gamma, Some(0.75));
    let set = [
        "preset=kernel",
        "model.mmrest.gamma_choices=[0.0, 0.1, 0.4, 1.5]",
    ];
    let chosen = fixture.train("chosen", &set);
    let gamma = chosen.method.gamma.unwrap();
    let rows = |name: &str| -> Vec<(String, [f64; 4])> {
        let path = fixture.run_folder(name).predictions();
        let mut reader = csv::Reader::from_path(path).unwrap();
        let records = reader.records().map(Result::unwrap);
        let numbers = |row: &csv::StringRecord| [2, 3, 4, 5].map(|at| row[at].parse().unwrap());
        records
            .map(|row| (row[1].to_owned(), numbers(&row)))
            .collect()
    };
    let plain_rows = rows("plain");
    let error = |gamma: f64| -> f64 {
        let valid = plain_rows.iter().filter(|(split, _)| split == "valid");
        valid
            .map(|(_, [label, _, score, bias])| (score + gamma / 0.75 * bias - label).abs())
            .sum()
    };
    let all = [0.75, 0.0, 0.1, 0.4, 1.5];
    let least = all.map(error).into_iter().fold(f64::INFINITY, f64::min);
    assert!(error(gamma) < least + 1e-4 && gamma != 0.75, "{gamma}");
    // Nothing but the bias differs, in prediction and by the saved model.
    for ((split, before), (_, after)) in plain_rows.iter().zip(rows("chosen")) {
        let [_, _, score, bias] = before;
        assert_eq!(*score, after[2]);
        let expected = score + gamma / 0.75 * bias;
        assert!((after[1] - expected).abs() < 1e-5, "{split}");
    }
    let device = open_device(Backend::Cpu, 0).unwrap();
    let own = Accepted::default();
    let folder = fixture.run_folder("chosen");
    let again = evaluate_run(
        &folder,
        Split::Test,
        None,
        fixture.folder.path(),
        &device,
        &own,
    );
    assert_eq!(again.unwrap().figures, chosen.test);
    // A run that goes on chooses anew.
    let mut options = fixture.options("chosen");
    options.resume = true;
    let longer = [&set[..], &["train.epochs=6"]].concat();
    let more = finished(train(&fixture.config(&longer), &options));
    let whole = fixture.train("whole", &longer);
    assert_eq!((more.method, more.test), (whole.method, whole.test));
}

/// docs/src/quick-start.md has the sentence; it comes without vision and audio.
#[test]
fn the_quick_starts_sentence_is_positive_and_its_opposite_negative() {
    let _turn = turn();
    let fixture = Fixture::whole();
    let device = open_device(Backend::Cpu, 0).unwrap();
    let text = read(workspace().join("configs/sample.toml"));
    for seed in 1..=4 {
        let seed = mmrest_learner::config::parse_override(&format!("seed={seed}")).unwrap();
        let config = mmrest_learner::Config::parse(&text, std::slice::from_ref(&seed)).unwrap();
        assert_eq!(config.preset, "kernel");
        let name = format!("seed-{}", seed.1);
        finished(train(&config, &fixture.options(&name)));
        let predictor = Predictor::load(&fixture.run_folder(&name).model(), &device).unwrap();
        let [film, opposite] = ["a wonderful film", "a terrible film"].map(|text| Segment {
            id: "mine".into(),
            video: "mine".into(),
            text: text.into(),
            vision: Frames::empty(0),
            audio: Frames::empty(0),
            label: None,
        });
        let scores = predictor.predict(&[film, opposite]).unwrap();
        let scores = [scores[0].prediction, scores[1].prediction];
        assert!(scores[0] > 0.3 && scores[1] < -0.3, "{name}: {scores:?}");
    }
}
