//! The selected model on its way to its place: it waits beside it until the checkpoint that names its epoch is written.
//!
//! Killed at any moment, a run has either both of the new epoch, or both of the one before, once it is taken up again.

use std::path::{Path, PathBuf};

use crate::error::LearnerError;
use crate::files;
use crate::saved_model::{SavedModel, epoch_of, extend};
use crate::trained::TrainedModel;

/// Where the selected model of a run is kept.
#[derive(Clone, Debug)]
pub(crate) struct BestModel {
    folder: PathBuf,
}

impl BestModel {
    /// The selected model, in `folder`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a model waits for its epoch's checkpoint.
    fn next(&self) -> PathBuf {
        files::beside(&self.folder, ".next")
    }

    /// Writes a model that is to be the selected one once its epoch's checkpoint is there.
    pub(crate) fn keep(
        &self,
        saved: &SavedModel,
        model: &dyn TrainedModel,
        epoch: usize,
    ) -> Result<(), LearnerError> {
        saved.save(model, epoch, &self.next())
    }

    /// Puts the model that waits in its place, if one does.
    pub(crate) fn promote(&self) -> Result<(), LearnerError> {
        if self.next().exists() {
            files::replace_folder(&self.next(), &self.folder)?;
        }
        Ok(())
    }

    /// Puts a folder of the same model, and of what `add` writes beside it, in its place.
    pub(crate) fn extend(
        &self,
        add: impl FnOnce(&Path) -> Result<(), LearnerError>,
    ) -> Result<(), LearnerError> {
        extend(&self.folder, &self.next(), add)?;
        self.promote()
    }

    /// Ends what a killed program left half done: `selected` is the epoch that the run's last checkpoint names.
    pub(crate) fn settle(&self, selected: Option<usize>) -> Result<(), LearnerError> {
        let is_selected =
            |folder: &Path| selected.is_some() && epoch_of(folder).ok().flatten() == selected;
        let old = files::beside(&self.folder, ".old");
        if is_selected(&self.next()) && !is_selected(&self.folder) {
            self.promote()?;
        } else if !self.folder.exists() && is_selected(&old) {
            files::rename(&old, &self.folder)?;
        }
        let next = self.next();
        for left in [files::beside(&next, ".growing"), next, old] {
            files::remove_folder(&left)?;
        }
        Ok(())
    }

    /// That the model in its place is of the epoch that was selected.
    pub(crate) fn check(&self, selected: usize) -> Result<(), LearnerError> {
        match epoch_of(&self.folder)? {
            Some(epoch) if epoch == selected => Ok(()),
            found => Err(LearnerError::format(
                &self.folder,
                format!(
                    "holds {}, and epoch {selected} is the selected one: raise train.epochs to train on, or start a new run",
                    found.map_or("no model".into(), |epoch| format!(
                        "the model of epoch {epoch}"
                    ))
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(folder: &Path, epoch: usize) {
        let stamp = serde_json::json!({ "format": 1, "epoch": epoch, "text_fingerprint": null });
        files::write_json(&folder.join("model.json"), &stamp).unwrap();
    }

    /// The folders that are left, and the epoch of `model/`.
    fn left(folder: &Path) -> (usize, Option<usize>) {
        let count = std::fs::read_dir(folder).unwrap().count();
        (count, epoch_of(&folder.join("model")).unwrap())
    }

    #[test]
    fn whatever_was_half_done_is_brought_to_the_checkpoint_s_epoch() {
        // What is there (epochs of model, model.next, model.old), the checkpoint's epoch, and what is to be.
        type Epoch = Option<usize>;
        let cases: [([Epoch; 3], Epoch, Epoch); 8] = [
            ([None, None, None], None, None),
            ([None, Some(1), None], None, None), // killed before the first checkpoint
            ([None, Some(1), None], Some(1), Some(1)), // killed after it
            ([Some(1), Some(3), None], Some(1), Some(1)),
            ([Some(1), Some(3), None], Some(3), Some(3)),
            ([None, Some(3), Some(1)], Some(3), Some(3)), // killed between two renames
            ([Some(3), None, Some(1)], Some(3), Some(3)),
            ([None, None, Some(1)], Some(1), Some(1)),
        ];
        for (there, checkpoint, wanted) in cases {
            let folder = tempfile::tempdir().unwrap();
            for (name, epoch) in ["model", "model.next", "model.old"].into_iter().zip(there) {
                if let Some(epoch) = epoch {
                    model(&folder.path().join(name), epoch);
                }
            }
            std::fs::create_dir(folder.path().join("model.next.growing")).unwrap();
            let selected = BestModel::new(folder.path().join("model"));
            selected.settle(checkpoint).unwrap();
            let expected = (usize::from(wanted.is_some()), wanted);
            assert_eq!(left(folder.path()), expected, "{there:?} {checkpoint:?}");
        }
    }

    #[test]
    fn a_model_of_another_epoch_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let selected = BestModel::new(folder.path().join("model"));
        assert!(
            selected
                .check(2)
                .unwrap_err()
                .to_string()
                .contains("no model")
        );
        model(&folder.path().join("model"), 5);
        selected.check(5).unwrap();
        let refused = selected.check(2).unwrap_err().to_string();
        assert!(
            refused.contains("epoch 5") && refused.contains("epoch 2"),
            "{refused}"
        );
    }
}
