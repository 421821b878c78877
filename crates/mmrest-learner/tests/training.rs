//! A run from its first file to its last, and the promises about it: resuming, repeating, evaluating, ablating.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::train::Interrupter;
use mmrest_data::sample::{self, SampleConfig};
use mmrest_data::{Frames, Segment, Split};
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{MetricsFile, Outcome, RunFolder, RunOptions, evaluate_run, train};
use mmrest_learner::train::{Observer, Silent};
use mmrest_learner::{Backend, Config, FigureSet, LearnerError, Predictor, open_device};
use mmrest_metric::Clusters;

/// burn's random state is the process's: runs that must repeat to the bit take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A small sample in a folder of its own.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = SampleConfig {
            videos: 12,
            ..SampleConfig::default()
        };
        sample::write(&config, &folder.path().join("data/sample")).unwrap();
        Self { folder }
    }

    fn run_folder(&self, name: &str) -> RunFolder {
        RunFolder::new(self.folder.path().join(name))
    }

    fn config(&self, set: &[&str]) -> Config {
        let text = std::fs::read_to_string(workspace().join("configs/sample.toml")).unwrap();
        let mut overrides = vec![parse_override("train.epochs=4").unwrap()];
        overrides.extend(set.iter().map(|s| parse_override(s).unwrap()));
        Config::parse(&text, &overrides).unwrap()
    }

    fn options(&self, name: &str) -> RunOptions {
        RunOptions {
            folder: self.run_folder(name),
            resume: false,
            backend: Backend::Cpu,
            devices: vec![0],
            root: self.folder.path().to_path_buf(),
            observer: Arc::new(Silent),
            interrupter: Interrupter::new(),
        }
    }

    fn train(&self, name: &str, set: &[&str]) -> MetricsFile {
        finished(train(&self.config(set), &self.options(name)))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn finished(outcome: Result<Outcome, LearnerError>) -> MetricsFile {
    match outcome.unwrap() {
        Outcome::Finished(metrics) => *metrics,
        Outcome::Interrupted { epochs } => panic!("interrupted after {epochs} epochs"),
    }
}

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `epochs.csv` without its column of times.
fn epochs_without_times(folder: &RunFolder) -> Vec<Vec<String>> {
    let text = read(folder.epochs());
    let mut lines = text
        .lines()
        .map(|l| l.split(',').map(String::from).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let time = header
        .iter()
        .position(|name| name == "train_seconds")
        .unwrap();
    lines
        .map(|mut row| {
            row.remove(time);
            row
        })
        .collect()
}

fn assert_same_run(a: &RunFolder, b: &RunFolder) {
    assert!(
        read(a.predictions()) == read(b.predictions()),
        "other predictions"
    );
    assert_eq!(read(a.metrics()), read(b.metrics()));
    assert_eq!(epochs_without_times(a), epochs_without_times(b));
}

/// Stops a run once an epoch is done, in the middle of the next.
struct StopAfter {
    epoch: usize,
    interrupter: Interrupter,
}

impl Observer for StopAfter {
    fn batch(&self, epoch: usize, _: usize, _: usize, _: usize, _: f64) {
        if epoch > self.epoch {
            self.interrupter.stop(Some("test"));
        }
    }
}

#[test]
fn a_run_writes_all_its_files_and_learns() {
    let _turn = turn();
    let bench = Bench::new();
    let metrics = bench.train("run", &["train.epochs=12", "train.batch_size=8"]);
    let folder = bench.run_folder("run");
    for file in [
        folder.config(),
        folder.record(),
        folder.epochs(),
        folder.metrics(),
        folder.predictions(),
        folder.model().join("weights.safetensors"),
        folder.model().join("clusters.json"),
        folder.model().join("features.json"),
        folder.model().join("bert/vocab.txt"),
    ] {
        assert!(file.exists(), "{}", file.display());
    }
    let rows = epochs_without_times(&folder);
    assert_eq!(rows.len(), 12);
    let first: f64 = rows[0][1].parse().unwrap();
    let last: f64 = rows[11][1].parse().unwrap();
    assert!(last < 0.8 * first, "loss {first} -> {last}");
    assert!(metrics.selected_epoch >= 1 && metrics.valid.mae().is_finite());
    let record: serde_json::Value = serde_json::from_str(&read(folder.record())).unwrap();
    assert_eq!(record["data_files"].as_array().unwrap().len(), 5);
    assert_eq!(record["seed"], 1);
    let predictions = read(folder.predictions());
    assert_eq!(
        predictions.lines().next().unwrap(),
        "id,split,label,prediction,score,bias,cluster,second_cluster"
    );
    assert_eq!(predictions.lines().count(), 1 + 120);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let _turn = turn();
    let bench = Bench::new();
    for (name, seed) in [("a", "seed=3"), ("b", "seed=3"), ("c", "seed=4")] {
        bench.train(name, &["train.epochs=2", seed]);
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| bench.run_folder(name));
    assert_same_run(&a, &b);
    assert!(read(a.predictions()) != read(c.predictions()));
}

#[test]
fn a_stopped_run_resumes_to_the_very_same_end() {
    let _turn = turn();
    let bench = Bench::new();
    for preset in ["preset=paper", "preset=official", "preset=ordinal"] {
        let whole = format!("whole-{preset}");
        bench.train(&whole, &[preset]);
        for stop in [0, 1, 3] {
            let name = format!("stopped-{stop}-{preset}");
            let mut options = bench.options(&name);
            options.observer = Arc::new(StopAfter {
                epoch: stop,
                interrupter: options.interrupter.clone(),
            });
            let outcome = train(&bench.config(&[preset]), &options).unwrap();
            assert!(matches!(outcome, Outcome::Interrupted { epochs } if epochs == stop));
            let mut options = bench.options(&name);
            options.resume = true;
            finished(train(&bench.config(&[preset]), &options));
            assert_same_run(&bench.run_folder(&whole), &bench.run_folder(&name));
        }
    }
}

/// The columns of `epochs.csv` whose names `wanted` takes, a row an epoch.
fn epoch_columns(folder: &RunFolder, wanted: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let text = read(folder.epochs());
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells = header.iter().zip(line.split(','));
        let kept = cells.filter(|(name, _)| wanted(name) && **name != "train_seconds");
        kept.map(|(_, cell)| cell.to_string()).collect()
    };
    text.lines().map(row).collect()
}

#[test]
fn recording_the_test_split_changes_nothing_else() {
    let _turn = turn();
    let bench = Bench::new();
    for preset in ["preset=paper", "preset=official", "preset=ordinal"] {
        let [plain, recorded, stopped] = ["plain", "recorded", "stopped"]
            .map(|name| bench.run_folder(&format!("{name}-{preset}")));
        let set = [preset, "train.record_test=true"];
        bench.train(&format!("plain-{preset}"), &[preset]);
        let metrics = bench.train(&format!("recorded-{preset}"), &set);
        assert!(read(plain.predictions()) == read(recorded.predictions()));
        assert_eq!(read(plain.metrics()), read(recorded.metrics()));
        let but_test = |folder| epoch_columns(folder, |name| !name.starts_with("test_"));
        assert_eq!(but_test(&plain), but_test(&recorded));
        let mae = epoch_columns(&recorded, |name| name == "test_mae");
        assert_eq!(mae[0], ["test_mae"]);
        let selected: f64 = mae[metrics.selected_epoch][0].parse().unwrap();
        assert_eq!(selected, metrics.test.mae());

        let mut options = bench.options(&format!("stopped-{preset}"));
        options.observer = Arc::new(StopAfter {
            epoch: 2,
            interrupter: options.interrupter.clone(),
        });
        train(&bench.config(&set), &options).unwrap();
        let mut options = bench.options(&format!("stopped-{preset}"));
        options.resume = true;
        finished(train(&bench.config(&set), &options));
        assert_same_run(&recorded, &stopped);
    }
}

#[test]
fn resuming_refuses_another_configuration_and_starting_refuses_a_used_folder() {
    let _turn = turn();
    let bench = Bench::new();
    bench.train("run", &["train.epochs=1"]);
    let again = train(&bench.config(&[]), &bench.options("run")).unwrap_err();
    assert!(again.to_string().contains("--resume"), "{again}");
    let mut options = bench.options("run");
    options.resume = true;
    let other = train(&bench.config(&["loss.margin=9"]), &options).unwrap_err();
    assert!(other.to_string().contains("margin"), "{other}");
    let folds = bench.folder.path().join("data/sample/folds.json");
    let mut text = read(folds.clone());
    text.push('\n');
    std::fs::write(&folds, text).unwrap();
    let changed = train(&bench.config(&["train.epochs=2"]), &options).unwrap_err();
    assert!(changed.to_string().contains("SHA-256"), "{changed}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let _turn = turn();
    let bench = Bench::new();
    bench.train("whole", &["train.epochs=4"]);
    bench.train("run", &["train.epochs=3"]);
    let folder = bench.run_folder("run");
    let newest = folder.checkpoints().join("epoch-0003/optimizer.bpk");
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let mut options = bench.options("run");
    options.resume = true;
    finished(train(&bench.config(&["train.epochs=4"]), &options));
    assert_same_run(&bench.run_folder("whole"), &folder);
    let less = train(&bench.config(&["train.epochs=2"]), &options).unwrap_err();
    assert!(less.to_string().contains("4 epochs"), "{less}");
}

#[test]
fn the_cache_knows_the_encoder_by_weights_and_configuration() {
    let _turn = turn();
    let bench = Bench::new();
    let set = ["train.epochs=1", "text.freeze=true"];
    bench.train("four-heads", &set);
    let config = bench.folder.path().join("data/sample/bert/config.json");
    let text = read(config.clone());
    let fewer = text.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 2");
    assert_ne!(text, fewer);
    std::fs::write(config, fewer).unwrap();
    bench.train("two-heads", &set);
    let [four, two] = ["four-heads", "two-heads"].map(|n| read(bench.run_folder(n).predictions()));
    assert!(four != two);
    let cached = std::fs::read_dir(bench.folder.path().join("runs/cache")).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let names: Vec<String> = cached
        .map(|e| name(e).to_string_lossy().into_owned())
        .collect();
    let of_text = names.iter().filter(|name| name.starts_with("text-"));
    assert_eq!(of_text.count(), 2 * 3, "{names:?}");
    let packed = names.iter().filter(|name| name.starts_with("data-"));
    assert_eq!(packed.count(), 1, "the same data, packed once: {names:?}");
}

#[test]
fn a_start_that_fails_does_not_take_the_folder() {
    let _turn = turn();
    let bench = Bench::new();
    let wrong = train(&bench.config(&["text.bert=nowhere"]), &bench.options("run")).unwrap_err();
    assert!(wrong.to_string().contains("nowhere"), "{wrong}");
    bench.train("run", &["train.epochs=1"]);
}

#[test]
fn evaluation_repeats_the_figures_to_the_last_digit() {
    let _turn = turn();
    let bench = Bench::new();
    let device = open_device(Backend::Cpu, 0).unwrap();
    for set in [
        &[][..],
        &["preset=official"],
        &["preset=ordinal"],
        &["text.train_layers=1"],
        &["text.freeze=true"],
        &["data.modalities=[\"audio\"]"],
    ] {
        let name = format!("run-{}", set.join("-"));
        let mut all = vec!["train.epochs=2"];
        all.extend(set);
        let metrics = bench.train(&name, &all);
        for (split, figures) in [(Split::Valid, metrics.valid), (Split::Test, metrics.test)] {
            let folder = bench.run_folder(&name);
            let again = evaluate_run(&folder, split, None, bench.folder.path(), &device).unwrap();
            assert_eq!(format!("{:?}", again.figures), format!("{figures:?}"));
            assert!(again.predictions.iter().all(|p| p.near.len() == 2));
        }
    }
}

#[test]
fn the_ordinal_preset_pulls_scores_towards_the_sentiment_of_the_clusters_around() {
    let _turn = turn();
    let bench = Bench::new();
    let device = open_device(Backend::Cpu, 0).unwrap();
    for (name, set) in [
        ("train", &["preset=ordinal", "train.epochs=2"][..]),
        (
            "batch",
            &["preset=ordinal", "train.epochs=2", "clusters.scope=batch"],
        ),
    ] {
        bench.train(name, set);
        let folder = bench.run_folder(name);
        let clusters: Clusters =
            serde_json::from_str(&read(folder.model().join("clusters.json"))).unwrap();
        assert!(clusters.bins.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(clusters.metric, clusters.bins);
        let root = bench.folder.path();
        let test = evaluate_run(&folder, Split::Test, None, root, &device).unwrap();
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
fn another_scale_trains_by_its_own_bins_and_figures() {
    let _turn = turn();
    let bench = Bench::new();
    let set = [
        "train.epochs=2",
        "figures=sims",
        "data.label_range=[-1.0, 1.0]",
        "bins.edges=[-0.7, -0.1, 0.1, 0.7]",
        "bins.labels=[-2, -1, 0, 1, 2]",
        "bins.side=below",
    ];
    let metrics = bench.train("run", &set);
    let names = ["mae", "corr", "acc5", "acc3", "acc2", "f1"];
    assert!(metrics.test.named().map(|(name, _)| name).eq(names));
    let folder = bench.run_folder("run");
    let header = read(folder.epochs()).lines().next().unwrap().to_string();
    assert!(header.contains("valid_acc5,valid_acc3,valid_acc2,valid_f1,learning_rate"));
    let record: serde_json::Value = serde_json::from_str(&read(folder.record())).unwrap();
    assert_eq!(
        record["data_report"]["clamped_to"],
        serde_json::json!([-1.0, 1.0])
    );
    let clusters: Clusters =
        serde_json::from_str(&read(folder.model().join("clusters.json"))).unwrap();
    assert!(clusters.bins.iter().all(|&bin| bin < 5), "{clusters:?}");
    let device = open_device(Backend::Cpu, 0).unwrap();
    let test = evaluate_run(&folder, Split::Test, None, bench.folder.path(), &device).unwrap();
    assert_eq!(test.figures, metrics.test);
    assert!(test.labels.iter().all(|label| label.abs() <= 1.0));
    for near in test.predictions.iter().flat_map(|p| &p.near) {
        assert_eq!(near.sentiment, clusters.bins[near.cluster] as i32 - 2);
    }
    let mut options = bench.options("run");
    options.resume = true;
    let fewer = train(
        &bench.config(&[&set[..], &["bins.side=above"]].concat()),
        &options,
    );
    assert!(fewer.unwrap_err().to_string().contains("side"));
    let again = train(
        &bench.config(&[&set[..], &["train.epochs=3"]].concat()),
        &options,
    );
    assert_eq!(finished(again).test.set(), FigureSet::Sims);
}

#[test]
fn a_run_from_before_bins_and_figures_were_keys_is_read_as_it_was() {
    let _turn = turn();
    let bench = Bench::new();
    let metrics = bench.train("run", &["train.epochs=1"]);
    let folder = bench.run_folder("run");
    for file in [folder.config(), folder.model().join("config.toml")] {
        let mut table: toml::Table = read(file.clone()).parse().unwrap();
        assert!(table.remove("figures").is_some() && table.remove("bins").is_some());
        std::fs::write(file, table.to_string()).unwrap();
    }
    // Nor were there digests.
    std::fs::remove_file(folder.model().join("SHA256SUMS")).unwrap();
    let device = open_device(Backend::Cpu, 0).unwrap();
    let test = evaluate_run(&folder, Split::Test, None, bench.folder.path(), &device).unwrap();
    assert_eq!(test.figures, metrics.test);
    let mut options = bench.options("run");
    options.resume = true;
    finished(train(&bench.config(&["train.epochs=2"]), &options));
}

#[test]
fn every_switch_trains_and_absent_modalities_have_no_parameters() {
    let _turn = turn();
    let bench = Bench::new();
    let train = |set: &[&str]| {
        let mut all = vec!["train.epochs=1"];
        all.extend(set);
        let name = set.join("-").replace(['"', '[', ']'], "");
        bench.train(&format!("run-{name}"), &all)
    };
    let full = train(&[]).parameters;
    assert_eq!(full.metrics, 8 * 64 * 64);
    assert_eq!(full.total, full.text_encoder + full.rest + full.metrics);
    let none = train(&["mmc=false", "bias=false"]).parameters;
    assert_eq!((none.metrics, none.rest), (0, full.rest));
    for set in [
        "mmc=false",
        "bias=false",
        "metric=single",
        "projection.signed=true",
        "loss.means=true",
        "clusters.by=sentiment",
    ] {
        assert_eq!(train(&[set]).parameters.metrics, full.metrics);
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
    let bench = Bench::new();
    bench.train("run", &["train.epochs=2"]);
    let device = open_device(Backend::Cpu, 0).unwrap();
    let predictor = Predictor::load(&bench.run_folder("run").model(), &device).unwrap();
    let widths = predictor.bundle().features.widths;
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
            .contains("vision has 1 features")
    );
}

#[test]
fn several_devices_train_as_one_does() {
    let _turn = turn();
    let bench = Bench::new();
    // Each device draws its own dropout.
    let set = [
        "data.modalities=[\"vision\", \"audio\"]",
        "model.dropout=0.0",
    ];
    bench.train("one", &set);
    for (name, devices) in [("two", vec![0, 0]), ("three", vec![0; 3])] {
        let options = RunOptions {
            devices: devices.clone(),
            ..bench.options(name)
        };
        finished(train(&bench.config(&set), &options));
        let record = read(options.folder.record());
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["devices"], serde_json::json!(devices));
        let one = epochs_without_times(&bench.run_folder("one"));
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
