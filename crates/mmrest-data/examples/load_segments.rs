//! Loads a data set: writes labels and audio of three videos, loads them as segments, standardises the audio and pads a
//! batch.
//!
//! ```sh
//! cargo run --release --example load_segments
//! ```

use mmrest_data::csd::{self, Entry, Features};
use mmrest_data::{DataConfig, FeatureStats, Frames, Modality, PaddedFrames, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Three videos of two seconds: a label for each second, four frames of two features.
    let folder = tempfile::tempdir()?;
    let entry = |intervals: Vec<[f64; 2]>, values: Vec<f32>, width| Entry {
        intervals,
        features: Features::Numeric { values, width },
    };
    let labels = entry(vec![[0.0, 1.0], [1.0, 2.0]], vec![-1.5, 2.0], 1);
    let halves = vec![[0.0, 0.5], [0.5, 1.0], [1.0, 1.5], [1.5, 2.0]];
    let audio = entry(halves, vec![0.1, 5.0, 0.2, 6.0, 0.3, 7.0, 0.4, 8.0], 2);
    for (name, entry) in [("labels", labels), ("audio", audio)] {
        let videos = ["a", "b", "c"].map(|video| (video, entry.clone()));
        let path = folder.path().join(name).with_extension("csd");
        csd::write(&path, name, &csd::metadata(name, "an example"), videos)?;
    }
    let folds = r#"{"train": ["a"], "valid": ["b"], "test": ["c"]}"#;
    std::fs::write(folder.path().join("folds.json"), folds)?;

    let config = DataConfig {
        dir: ".".into(),
        modalities: vec![Modality::Audio],
        audio: Some("audio.csd".into()),
        ..DataConfig::default()
    };
    let mut data = load(&config, folder.path())?;
    assert_eq!(
        data.report.to_string(),
        "6 segments of 3 videos: 2 train, 2 valid, 2 test."
    );
    assert_eq!(data.train[1].id, "a[1]");
    assert_eq!(data.train[1].audio.values, [0.3, 7.0, 0.4, 8.0]);

    let stats = FeatureStats::fit(data.train.iter().map(|segment| &segment.audio));
    for segment in &mut data.train {
        stats.apply(&mut segment.audio);
    }
    let audio: Vec<&Frames> = data.train.iter().map(|segment| &segment.audio).collect();
    let batch = PaddedFrames::pad(&audio, data.widths.audio);
    assert_eq!(batch.shape, [2, 2, 2]);
    println!("{}", data.report);
    println!(
        "a batch of {} segments, {} frames, {} features",
        batch.shape[0], batch.shape[1], batch.shape[2]
    );
    println!("standardised: {:?}", batch.values);
    Ok(())
}
