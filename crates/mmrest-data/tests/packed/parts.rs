//! A packed set made of parts, any of which a test may spoil.

use std::path::Path;

use hdf5_writer::{DatasetBuilder, Hdf5Builder, WriteOptions};
use mmrest_data::packed::PackedSet;
use serde_json::{Value, json};

/// The datasets of a set of two segments.
pub(crate) struct Parts {
    pub(crate) metadata: Value,
    pub(crate) id: Vec<&'static str>,
    pub(crate) video: Vec<&'static str>,
    pub(crate) split: Vec<&'static str>,
    pub(crate) label: Vec<f32>,
    pub(crate) text: Vec<u8>,
    pub(crate) text_offsets: Vec<i64>,
    pub(crate) audio_shape: Vec<u64>,
    pub(crate) audio: Vec<f32>,
    pub(crate) audio_offsets: Vec<i64>,
}

impl Parts {
    pub(crate) fn good() -> Self {
        Self {
            metadata: json!({
                "format": "mmrest packed set",
                "version": 1,
                "key": "",
                "files": [],
                "report": {},
                "label_range": [-3.0, 3.0],
                "sha256": {},
            }),
            id: vec!["v[0]", "v[1]"],
            video: vec!["v", "v"],
            split: vec!["train", "test"],
            label: vec![1.0, f32::NAN],
            text: "né".into(),
            text_offsets: vec![0, 1, 3],
            audio_shape: vec![3, 2],
            audio: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            audio_offsets: vec![0, 1, 3],
        }
    }

    fn datasets(&self) -> Vec<(&str, DatasetBuilder)> {
        let strings = |name: &str, words: &[&str]| {
            DatasetBuilder::fixed_string_data(name, vec![words.len() as u64], words).unwrap()
        };
        let metadata = [self.metadata.to_string()];
        let audio =
            DatasetBuilder::typed_data("audio/values", self.audio_shape.clone(), &self.audio);
        vec![
            (
                "metadata",
                DatasetBuilder::fixed_string_data("metadata", vec![], &metadata).unwrap(),
            ),
            ("id", strings("id", &self.id)),
            ("video", strings("video", &self.video)),
            ("split", strings("split", &self.split)),
            ("label", vector("label", &self.label)),
            ("text/values", vector("text/values", &self.text)),
            ("text/offsets", vector("text/offsets", &self.text_offsets)),
            ("audio/values", audio.unwrap()),
            (
                "audio/offsets",
                vector("audio/offsets", &self.audio_offsets),
            ),
        ]
    }

    /// Writes the parts, with `other` in the place of the dataset of its name (of no dataset where that is none).
    pub(crate) fn write(&self, path: &Path, without: &str, other: Option<DatasetBuilder>) {
        let datasets = self.datasets().into_iter();
        let kept = datasets.filter(|(name, _)| *name != without);
        let builder = kept
            .map(|(_, dataset)| dataset)
            .chain(other)
            .fold(Hdf5Builder::new(), Hdf5Builder::dataset);
        let plan = builder.into_plan().unwrap();
        std::fs::write(path, plan.encode(WriteOptions::default()).unwrap()).unwrap();
    }

    /// The one sentence that refuses the parts.
    pub(crate) fn refusal(&self) -> String {
        self.refusal_with("", None)
    }

    /// The one sentence that refuses the parts with another dataset in place of one.
    pub(crate) fn refusal_with(&self, without: &str, other: Option<DatasetBuilder>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.h5");
        self.write(&path, without, other);
        refusal(&path)
    }
}

pub(crate) fn vector<T: hdf5_writer::H5WriteElement>(name: &str, values: &[T]) -> DatasetBuilder {
    DatasetBuilder::typed_data(name, vec![values.len() as u64], values).unwrap()
}

/// The one sentence that refuses a file, which it names.
pub(crate) fn refusal(path: &Path) -> String {
    let error = PackedSet::open(path).expect_err("a malformed set is refused");
    let message = error.to_string();
    assert!(message.contains(&*path.to_string_lossy()), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}
