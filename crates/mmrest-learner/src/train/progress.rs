//! How far a run has come: what a checkpoint holds beside the tensors, and the epochs' record.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::schedule::Plateau;
use crate::config::Selection;
use crate::error::LearnerError;
use crate::figures::Figures;
use crate::files;

/// One epoch, a row of `epochs.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// From 1.
    pub epoch: usize,
    /// Time of the training steps, with what the epoch begins and ends with before it is validated.
    pub train_seconds: f64,
    /// The loss, mean over the epoch's segments.
    pub loss: f64,
    /// Its parts likewise, by the names that the model gives them.
    pub losses: Vec<(String, f64)>,
    /// The share of steps in which each part in use was not 0.
    #[serde(default)]
    pub active: Vec<(String, f64)>,
    /// Figures of the validation split.
    pub valid: Figures,
    /// Figures of the test split, where `train.record_test` asks for them; nothing goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Figures>,
    /// Learning rate of each parameter group, by its name; that of the first has none.
    pub learning_rates: Vec<(String, f64)>,
    /// Global norm before clipping of each group of gradients, mean over steps, by its name; that of the first has none.
    pub gradient_norms: Vec<(String, f64)>,
    /// Batches of all passes over the training split; 0 in runs of older versions.
    #[serde(default)]
    pub batches: usize,
    /// Steps that were skipped: a loss or gradient was not finite.
    #[serde(default)]
    pub skipped_steps: usize,
    /// The model's own columns.
    pub model: Vec<(String, f64)>,
    /// Whether this epoch's model was the best so far.
    pub selected: bool,
}

impl EpochRow {
    /// Names and values in the order of `epochs.csv`.
    pub fn columns(&self) -> Vec<(String, String)> {
        let mut columns: Vec<(String, String)> = vec![("epoch".into(), self.epoch.to_string())];
        let mut number = |name: String, value: f64| columns.push((name, value.to_string()));
        number("train_seconds".into(), self.train_seconds);
        number("loss".into(), self.loss);
        for (name, value) in &self.losses {
            number(format!("loss_{name}"), *value);
        }
        for (name, value) in &self.active {
            number(format!("active_{name}"), *value);
        }
        for (name, value) in self.valid.named() {
            number(format!("valid_{name}"), value);
        }
        for (name, value) in self.test.iter().flat_map(Figures::named) {
            number(format!("test_{name}"), value);
        }
        for (name, value) in &self.learning_rates {
            number(prefixed(name, "learning_rate"), *value);
        }
        for (name, value) in &self.gradient_norms {
            number(prefixed(name, "gradient_norm"), *value);
        }
        number("batches".into(), self.batches as f64);
        number("skipped_steps".into(), self.skipped_steps as f64);
        for (name, value) in &self.model {
            number(name.clone(), *value);
        }
        columns.push(("selected".into(), self.selected.to_string()));
        columns
    }

    /// One of the model's own columns.
    pub fn of_model(&self, name: &str) -> Option<f64> {
        let mut columns = self.model.iter();
        columns
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }
}

/// The name of a group's column.
pub(super) fn prefixed(group: &str, what: &str) -> String {
    if group.is_empty() {
        what.into()
    } else {
        format!("{group}_{what}")
    }
}

/// Everything a resumed run needs beside weights, optimiser, schedule and the model's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// One row per finished epoch.
    pub epochs: Vec<EpochRow>,
    /// The plateau schedule.
    pub plateau: Plateau,
    /// Lowest validation MAE so far.
    pub best_valid: Option<f64>,
    /// Epochs since it.
    pub epochs_since_best: usize,
    /// The epoch whose model is kept.
    pub selected_epoch: Option<usize>,
    /// Test MAE of that epoch, where selection looks at it.
    pub selected_test: Option<f64>,
    /// Steps that were not taken since the last that was.
    #[serde(default)]
    pub non_finite_in_a_row: usize,
}

impl Progress {
    /// Takes an epoch's validation MAE and says whether its model is the one to keep. `test_mae` is asked only where
    /// selection looks at the test split.
    ///
    /// # Errors
    ///
    /// Those of `test_mae`.
    pub fn observe(
        &mut self,
        epoch: usize,
        valid_mae: f64,
        selection: Selection,
        test_mae: impl FnOnce() -> Result<f64, LearnerError>,
    ) -> Result<bool, LearnerError> {
        let improves = valid_mae.is_finite() && self.best_valid.is_none_or(|best| valid_mae < best);
        if !improves {
            self.epochs_since_best += 1;
            return Ok(false);
        }
        self.best_valid = Some(valid_mae);
        self.epochs_since_best = 0;
        let keep = match selection {
            Selection::ValidMae => true,
            Selection::TestAmongImproving => {
                let test = test_mae()?;
                let better = test.is_finite() && self.selected_test.is_none_or(|best| test < best);
                if better {
                    self.selected_test = Some(test);
                }
                better
            }
        };
        if keep {
            self.selected_epoch = Some(epoch);
        }
        Ok(keep)
    }

    /// Epochs done.
    pub fn done(&self) -> usize {
        self.epochs.last().map_or(0, |row| row.epoch)
    }

    /// Writes `epochs.csv` whole.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_epochs(&self, path: &Path) -> Result<(), LearnerError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrong = |e: csv::Error| LearnerError::Internal(e.to_string());
        for (index, row) in self.epochs.iter().enumerate() {
            let (names, values): (Vec<_>, Vec<_>) = row.columns().into_iter().unzip();
            if index == 0 {
                writer.write_record(names).map_err(wrong)?;
            }
            writer.write_record(values).map_err(wrong)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|e| LearnerError::Internal(e.to_string()))?;
        files::write(path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_validation_error_is_selected_and_test_is_not_asked() {
        let mut progress = Progress::default();
        let never = || Err(LearnerError::Internal("asked".into()));
        assert!(
            progress
                .observe(1, 1.0, Selection::ValidMae, never)
                .unwrap()
        );
        assert!(
            !progress
                .observe(2, 1.0, Selection::ValidMae, never)
                .unwrap()
        );
        assert!(
            progress
                .observe(3, 0.9, Selection::ValidMae, never)
                .unwrap()
        );
        assert_eq!(progress.selected_epoch, Some(3));
        assert_eq!(progress.epochs_since_best, 0);
    }

    #[test]
    fn an_error_that_is_no_number_is_never_selected() {
        let mut progress = Progress::default();
        let never = || Err(LearnerError::Internal("asked".into()));
        let mode = Selection::ValidMae;
        assert!(!progress.observe(1, f64::NAN, mode, never).unwrap());
        assert!(progress.observe(2, 1.0, mode, never).unwrap());
        assert_eq!(progress.selected_epoch, Some(2));
    }

    #[test]
    fn the_published_selection_asks_test_only_when_validation_improves() {
        let mut progress = Progress::default();
        let mode = Selection::TestAmongImproving;
        assert!(progress.observe(1, 1.0, mode, || Ok(0.8)).unwrap());
        assert!(!progress.observe(2, 0.9, mode, || Ok(0.85)).unwrap());
        assert!(
            !progress
                .observe(3, 0.95, mode, || Err(LearnerError::Internal(
                    "asked".into()
                )))
                .unwrap()
        );
        assert!(progress.observe(4, 0.8, mode, || Ok(0.7)).unwrap());
        assert_eq!(progress.selected_epoch, Some(4));
    }
}
