//! Schedules, moving averages and initial weights: of any model, and resumed to the bit.

use std::sync::Arc;

use burn::tensor::Device;
use mmrest_learner::SavedModel;
use mmrest_learner::run::{Accepted, Outcome, train, train_locked};
use mmrest_models::{SelfMm, SelfMmConfig, SentimentModel, published_weights};
use safetensors::tensor::{Dtype, TensorView};

use crate::fixture::*;

/// All that moves rates and weights beside the recipe.
const TUNED: [&str; 4] = [
    "train.schedule=warmup-cosine",
    "train.ema=0.9",
    "train.decoupled_decay=true",
    "train.layer_decay=0.8",
];

#[test]
fn a_tuned_run_resumes_to_the_very_same_end() {
    let _turn = turn();
    let fixture = Fixture::new();
    for model in ["mmrest", "self-mm"] {
        let name = format!("model.name={model}");
        let mut set = TUNED.to_vec();
        set.push(&name);
        set.push(match model {
            "self-mm" => "model.self-mm.accumulate=3",
            _ => "model.mmrest.clusters.refit_every=3", // the resumed epoch is none that clusters
        });
        let whole = format!("whole-{model}");
        fixture.train(&whole, &set);
        let stopped = format!("stopped-{model}");
        let mut options = fixture.options(&stopped);
        options.observer = Arc::new(StopAfter {
            epoch: 2,
            interrupter: options.interrupter.clone(),
        });
        let outcome = train(&fixture.config(&set), &options).unwrap();
        assert!(matches!(outcome, Outcome::Interrupted { epochs: 2 }));
        let mut options = fixture.options(&stopped);
        options.resume = true;
        finished(train(&fixture.config(&set), &options));
        assert_same_run(&fixture.run_folder(&whole), &fixture.run_folder(&stopped));

        let plain = format!("plain-{model}");
        fixture.train(&plain, &[&name]);
        let [whole, plain] = [whole, plain].map(|name| fixture.run_folder(&name));
        assert!(read(whole.predictions()) != read(plain.predictions()));
    }
}

/// Centres of the weights that training has are not where the averaged weights put the training set.
#[test]
fn averaged_weights_are_saved_with_clusters_of_their_own() {
    let _turn = turn();
    let fixture = Fixture::new();
    let set = [
        "preset=ordinal",
        "train.ema=0.9",
        "train.epochs=3",
        "report.geometry=true",
    ];
    fixture.train("run", &set);
    let folder = fixture.run_folder("run").geometry();
    let bytes = std::fs::read(folder.join("selected.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f64> {
        let view = file.tensor(name).unwrap();
        let values = view.data().chunks_exact(4);
        values
            .map(|value| f64::from(f32::from_le_bytes(value.try_into().unwrap())))
            .collect()
    };
    let segments = read(folder.join("segments.csv"));
    let train = segments.lines().filter(|line| line.starts_with("train,"));
    let bins: Vec<&str> = train.map(|line| line.rsplit(',').next().unwrap()).collect();
    let rows = ["text", "vision", "audio"].map(|modality| floats(&format!("train.{modality}")));
    let (clusters, centers) = (floats("cluster_bins"), floats("centers"));
    let dim = centers.len() / clusters.len();
    assert!(clusters.len() > 3 && rows[0].len() == bins.len() * dim);
    for (bin, center) in clusters.iter().zip(centers.chunks_exact(dim)) {
        let (mut mean, mut count) = (vec![0.0; dim], 0.0);
        for (row, of) in rows
            .iter()
            .flat_map(|rows| rows.chunks_exact(dim).zip(&bins))
        {
            if of.parse::<f64>().unwrap() == *bin {
                count += 1.0;
                mean.iter_mut()
                    .zip(row)
                    .for_each(|(mean, value)| *mean += value);
            }
        }
        for (mean, center) in mean.iter().zip(center) {
            assert!(
                (mean / count - center).abs() < 1e-5,
                "bin {bin}: {} and {center}",
                mean / count
            );
        }
    }
}

#[test]
fn a_schedule_over_all_epochs_is_not_stretched_unasked() {
    let _turn = turn();
    let fixture = Fixture::new();
    let set = |epochs: &'static str| [epochs, "train.schedule=warmup-linear"];
    fixture.train("run", &set("train.epochs=2"));
    let mut options = fixture.options("run");
    options.resume = true;
    let longer = fixture.config(&set("train.epochs=3"));
    let refused = train(&longer, &options).unwrap_err().to_string();
    assert!(refused.contains("train.epochs"), "{refused}");
    let accepted = Accepted::parse(&["train.epochs".into()]).unwrap();
    let lock = options.folder.lock().unwrap();
    finished(train_locked(&longer, &options, &accepted, &lock));
    let rates = epoch_columns(&options.folder, |name| name == "learning_rate");
    let [first, last] = [&rates[1][0], &rates[3][0]].map(|rate| rate.parse::<f64>().unwrap());
    assert!(last < first, "{first} then {last}");
}

/// Weights of which each could be one, and that together overflow.
#[test]
fn a_run_that_its_initial_weights_stop_names_their_file() {
    let _turn = turn();
    let fixture = Fixture::new();
    let set = [
        "model.name=self-mm",
        r#"data.modalities=["vision", "audio"]"#,
        "train.epochs=1",
    ];
    fixture.train("drawn", &set);
    let device = Device::flex();
    let model = fixture.run_folder("drawn").model();
    let (saved, _) = SavedModel::load(&model, &device).unwrap();
    let task = saved.config.task(saved.features.widths, 0);
    let model = SelfMm::init(&SelfMmConfig::default(), &task, None, &device).unwrap();
    let weights = published_weights(&model, SelfMm::PUBLISHED_NAMES).unwrap();
    let write = |name: &str, factor: f32| {
        let bytes = |values: &[f32]| -> Vec<u8> {
            let scaled = values.iter().map(|value| value * factor);
            scaled.flat_map(f32::to_le_bytes).collect()
        };
        let tensors = weights
            .iter()
            .map(|(name, (shape, values))| (name, shape.clone(), bytes(values)));
        let tensors: Vec<_> = tensors.collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.unwrap())
        });
        let path = fixture.folder.path().join(name);
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    };
    let begin = |init: &str, factor| {
        let mut options = fixture.options(&format!("from-{init}"));
        options.init = Some(write(init, factor));
        train(&fixture.config(&set), &options)
    };
    finished(begin("sane.safetensors", 1.0));
    let stopped = begin("vast.safetensors", 1e18).unwrap_err().to_string();
    assert!(
        stopped.contains("no epoch is kept; the run began with the weights of")
            && stopped.contains("vast.safetensors"),
        "{stopped}"
    );
}
