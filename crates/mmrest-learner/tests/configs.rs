//! The project's own configurations.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mmrest_learner::config::ModelConfig;
use mmrest_learner::{Config, FigureSet, Figures};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn config(name: &str) -> Config {
    Config::load(&folder().join(format!("{name}.toml")), &[]).unwrap()
}

/// Studies are the program's.
fn is_study(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    let table: toml::Table = text.parse().unwrap();
    table.contains_key("variant") || table.contains_key("sweep")
}

#[test]
fn every_configuration_can_be_read_and_does_not_contradict_itself() {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if is_study(&path) {
            continue;
        }
        let config = Config::load(&path, &[]).unwrap();
        config.data.check().unwrap();
        let again = Config::parse(&config.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(again, config, "{}", path.display());
        names.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    let known = [
        "media",
        "mosei",
        "mosei-mmsa",
        "mosi",
        "mosi-mmsa",
        "mosi-text",
        "mosi-timing",
        "mosi-words",
        "sample",
        "sims",
    ];
    for name in known {
        assert!(names.contains(name), "{name}");
    }
}

/// CH-SIMS has eleven labels; its bins are the classes of its five-class accuracy.
#[test]
fn the_bins_of_ch_sims_are_the_classes_of_its_finest_accuracy() {
    let config = config("sims");
    assert_eq!(config.figures, FigureSet::Sims);
    let ModelConfig::MmRest { config: mmrest } = &config.model else {
        panic!("another model");
    };
    assert_eq!(mmrest.clusters.clusters, config.bins.labels.len());
    let bins = config.bins.bins().unwrap();
    let values: Vec<f32> = (-10..=10).map(|tenths| tenths as f32 / 10.0).collect();
    for &a in &values {
        for &b in &values {
            let same = Figures::of(FigureSet::Sims, &[a], &[b]).finest().1 == 1.0;
            assert_eq!(bins.bin(a) == bins.bin(b), same, "{a} {b}");
        }
    }
}
