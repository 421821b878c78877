//! A set made by hand, and what became of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mmrest_data::Result;
use mmrest_data::csd::{ComputationalSequence, Entry, Features};
use mmrest_datatools::align::{AlignConfig, AlignReport, Aligner, Collapse};

use crate::common::{numbers, words, write};

/// Words, voice and labels of these ids: `vidA` (rows out of order, of no length, over borders), `vidB` (no voice), `vidBX`
/// (begins like it; its voice is elsewhere), `alone` (words only).
pub(crate) struct Toy(pub(crate) tempfile::TempDir);

impl Toy {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            ([1.0, 2.0], "b"),
            ([0.0, 1.0], "a"),
            ([2.0, 2.0], "zero"),
            ([2.0, 2.5], "c"),
            ([2.5, 2.5 + 9e-6], "nearly"),
        ];
        let word = |word| words(&[([0.0, 1.0], word)]);
        let all = [
            ("alone", word("w")),
            ("vidA", words(&rows)),
            ("vidB", word("x")),
            ("vidBX", word("y")),
        ];
        write(folder.path(), "words.csd", &all);
        let later: [([f64; 2], &[f32]); 4] = [
            ([2.0 - 2e-5, 2.3], &[4.0, 40.0]),
            ([1.4, 2.0 + 5e-6], &[3.0, f32::NAN]),
            ([0.6, 1.4], &[2.0, 20.0]),
            ([2.4, 2.4], &[5.0, f32::NEG_INFINITY]),
        ];
        let voice = [
            ("vidA[0]", numbers(&later)),
            ("vidA[1]", numbers(&[([0.0, 0.6], &[1.0, 10.0])])),
            ("vidBX", numbers(&[([5.0, 6.0], &[7.0, 70.0])])),
        ];
        write(folder.path(), "voice.csd", &voice);
        let labels = [
            (
                "vidA",
                numbers(&[([0.0, 1.5], &[1.0]), ([1.5, 2.5], &[-1.0])]),
            ),
            ("vidB", numbers(&[([0.0, 1.0], &[0.0])])),
            ("vidBX", numbers(&[([0.0, 0.5], &[2.0])])),
        ];
        write(folder.path(), "labels.csd", &labels);
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn files(&self, names: &[&str]) -> Vec<PathBuf> {
        names
            .iter()
            .map(|name| self.path(&format!("{name}.csd")))
            .collect()
    }

    /// Aligns these sequences; writes them, and reads them back.
    pub(crate) fn align(
        &self,
        names: &[&str],
        config: AlignConfig,
    ) -> Result<(AlignReport, Outcome)> {
        let out = self.path("aligned");
        let written =
            Aligner::open(&self.files(names), config)?.write(&out, true, &mut |_| true)?;
        println!("{}", written.report);
        let read = |file: &PathBuf| {
            let sequence = ComputationalSequence::open(file).unwrap();
            let ids = sequence.ids().iter();
            let entries = ids.map(|id| (id.clone(), sequence.read(id).unwrap()));
            (sequence.root().to_owned(), entries.collect())
        };
        let outcome = written.files.iter().map(read).collect();
        Ok((written.report, Outcome(outcome)))
    }
}

/// Entries by sequence and key.
pub(crate) struct Outcome(BTreeMap<String, BTreeMap<String, Entry>>);

impl Outcome {
    pub(crate) fn keys(&self, root: &str) -> Vec<&str> {
        self.0[root].keys().map(String::as_str).collect()
    }

    pub(crate) fn times(&self, root: &str, key: &str) -> &[[f64; 2]] {
        &self.0[root][key].intervals
    }

    pub(crate) fn values(&self, root: &str, key: &str) -> &[f32] {
        match &self.0[root][key].features {
            Features::Numeric { values, .. } => values,
            Features::Text(words) => panic!("{words:?}"),
        }
    }

    pub(crate) fn words(&self, key: &str) -> &[String] {
        match &self.0["words"][key].features {
            Features::Text(words) => words,
            Features::Numeric { values, .. } => panic!("{values:?}"),
        }
    }
}

/// To the words, average and greatest side by side.
pub(crate) fn summed() -> AlignConfig {
    AlignConfig {
        collapse: vec![Collapse::Mean, Collapse::Max],
        ..AlignConfig::to("words")
    }
}
