//! Scoring texts with a saved model, as `predict` does.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mmrest_data::{Frames, Segment};
use mmrest_learner::run::{RunFolder, RunOptions, train};
use mmrest_learner::{Config, Predictor};

use crate::lengths;
use crate::works::{Once, keep, minilm, scratch, vocabulary, word};

/// Texts that are scored.
const TEXTS: usize = 2048;
/// Texts that `predict` holds at a time.
const WINDOW: usize = 512;
/// Words that are tokens.
const WORDS: u64 = 30_000;

/// The texts and the vocabulary, where both sides read them.
pub(crate) fn files() -> Result<[PathBuf; 2], String> {
    let folder = scratch()?;
    let mut mix = lengths::Mix(13);
    let text = |tokens: usize| {
        let words = (2..tokens).map(|_| word(mix.next() % WORDS));
        words.collect::<Vec<_>>().join(" ")
    };
    let texts: Vec<String> = lengths::tokens(TEXTS, 14).into_iter().map(text).collect();
    let files = [folder.join("texts.txt"), folder.join("vocab.txt")];
    write(&files[0], &texts.join("\n"))?;
    write(&files[1], &vocabulary(WORDS).join("\n"))?;
    Ok(files)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Scores the texts in the order of the file.
pub(crate) fn predict_texts(device: &Device) -> Result<Once, String> {
    let [texts, vocabulary] = files()?;
    let folder = vocabulary.parent().unwrap_or(Path::new("."));
    let predictor = model(folder, device)?;
    let texts = std::fs::read_to_string(&texts).map_err(|error| error.to_string())?;
    let segment = |(place, text): (usize, &str)| Segment {
        id: place.to_string(),
        video: place.to_string(),
        text: text.to_owned(),
        vision: Frames::empty(0),
        audio: Frames::empty(0),
        label: None,
    };
    let segments: Vec<Segment> = texts.lines().enumerate().map(segment).collect();
    Ok(Box::new(move || {
        for window in segments.chunks(WINDOW) {
            keep(predictor.predict(window).map_err(|error| error.to_string()));
        }
    }))
}

/// A model of MiniLM's size that was trained for a step.
fn model(folder: &Path, device: &Device) -> Result<Predictor, String> {
    let wrong = |error: mmrest_learner::LearnerError| error.to_string();
    let bert = serde_json::to_string(&minilm()).map_err(|error| error.to_string())?;
    write(&folder.join("config.json"), &bert)?;
    let mut table = String::from("video_id,clip_id,text,label,mode\n");
    for row in 0..48 {
        let split = ["train", "train", "valid", "test"][row % 4];
        let (text, label) = (word(row as u64), (row % 7) as f32 - 3.0);
        let _ = writeln!(table, "{split}{row},1,{text},{label},{split}");
    }
    write(&folder.join("label.csv"), &table)?;
    let folder_name = toml::Value::from(folder.display().to_string());
    let config = format!(
        "data = {{ kind = 'table', dir = {folder_name}, table = 'label.csv', split_from = 'table', modalities = ['text'] }}
         text = {{ bert = {folder_name}, from_scratch = true }}
         train = {{ epochs = 1 }}
         report = {{ geometry = false }}"
    );
    let config = Config::parse(&config, &[]).map_err(|error| error.to_string())?;
    let options = RunOptions::new(RunFolder::new(folder.join("run")), folder);
    train(&config, &options).map_err(wrong)?;
    Predictor::load(&options.folder.model(), device).map_err(wrong)
}
