//! The end of a run: figures and predictions of the selected model; and the same figures later, by `eval`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use mmrest_data::files::same_file;
use mmrest_data::{SourceFile, Split, Widths, prepare};
use mmrest_models::{ModelError, Prediction, SentimentModel};
use serde::{Deserialize, Serialize};

use super::changes::{Accepted, DATA};
use super::folder::RunFolder;
use super::method::MethodReport;
use super::prepare::{Splits, locate};
use super::record::RunRecord;
use crate::calibration::Calibration;
use crate::config::{Config, Selection};
use crate::device::Precision;
use crate::error::{LearnerError, batch_error};
use crate::figures::{FigureSet, Figures, figures};
use crate::files;
use crate::model_card;
use crate::predict::{CONFIDENCE, Interpretation, Interpreter, IntervalCoverage, neighbours};
use crate::saved_model::SavedModel;
use crate::space::{Moment, Overlap, Snapshots, SplitRows, overlap};
use crate::train::{BestModel, EpochRow};
use crate::trained::{ParameterCounts, TrainedModel, predict};

/// Keeps the shared space before the first step, with the clusters of the first epoch, where the model has such a space
/// and they are not kept yet. A run does so when it ends: until then nobody looks at them. `model` is the one that training
/// began with, without autodiff; `state` what it began with beside it.
pub(crate) fn keep_start<M: SentimentModel>(
    snapshots: &Snapshots,
    splits: &Splits,
    model: M,
    mut state: M::State,
    seed: u64,
    device: &Device,
    stop: &dyn Fn() -> bool,
) -> Result<(), LearnerError> {
    if snapshots.has(Moment::Before) || model.geometry(&state).is_none() {
        return Ok(());
    }
    let begins = model.epoch_stage(1).is_some();
    if begins || model.epoch_end_stage().is_some() {
        let train = splits.loader(Split::Train, device);
        let mut batches = train.pass().map(|batch| {
            if stop() {
                return Err(ModelError::Interrupted);
            }
            batch.map_err(batch_error)
        });
        // Where an epoch makes its clusters at its end, those of the first weights are made so too.
        if begins {
            model.begin_epoch(&mut state, 1, &mut batches)?;
        } else {
            model.end_epoch(&mut state, &mut batches)?;
        }
    }
    let Some(space) = model.geometry(&state) else {
        return Ok(());
    };
    let encode = |split| SplitRows::encode(&*space, &splits.loader(split, device), split, stop);
    let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(encode);
    snapshots.write(&*space, &[train?, valid?, test?], Moment::Before, seed)
}

/// `metrics.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetricsFile {
    /// The epoch whose model was selected.
    pub selected_epoch: usize,
    /// How it was selected.
    pub selection: Selection,
    /// Figures on the validation split.
    pub valid: Figures,
    /// Figures on the test split.
    pub test: Figures,
    /// How often the intervals of test predictions hold the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<IntervalCoverage>,
    /// Sizes of the model.
    pub parameters: ParameterCounts,
    /// How far sentiments overlap in the shared space, where the model has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// What the method did.
    #[serde(default)]
    pub method: MethodReport,
}

/// A split's predictions and figures.
#[derive(Clone, Debug)]
pub struct EvaluatedSplit {
    /// Which split.
    pub split: Split,
    /// Ids, in the split's own order.
    pub ids: Vec<String>,
    /// Labels, likewise.
    pub labels: Vec<f32>,
    /// Predictions, likewise.
    pub predictions: Vec<Prediction>,
    /// What they mean, with intervals at [`CONFIDENCE`]; those of the training and the validation split, which the model has
    /// seen, promise nothing.
    pub interpretations: Vec<Interpretation>,
    /// Their figures.
    pub figures: Figures,
}

impl EvaluatedSplit {
    /// How often the intervals hold the label; none of a model without intervals, and of the splits that it has seen.
    pub fn interval_coverage(&self) -> Option<IntervalCoverage> {
        if self.split != Split::Test {
            return None;
        }
        let intervals = self.predictions.iter().zip(&self.interpretations);
        let intervals =
            intervals.map(|(prediction, of)| (of.interval, self.labels[prediction.row]));
        IntervalCoverage::of(CONFIDENCE, intervals)
    }
}

/// The predictions of a split, in its own order, compared with its labels.
fn evaluated(
    predictions: Vec<Prediction>,
    (set, interpreter): (FigureSet, &Interpreter),
    splits: &Splits,
    split: Split,
) -> EvaluatedSplit {
    let labels = splits.labels(split);
    let lacking = splits.lacking(split);
    let interpret = |p: &Prediction| interpreter.of_subset(p.prediction, lacking[p.row]);
    EvaluatedSplit {
        split,
        interpretations: predictions.iter().map(interpret).collect(),
        ids: splits.ids(split),
        figures: figures(set, &predictions, &labels),
        labels,
        predictions,
    }
}

/// Evaluates a split with the model a run has kept: the same figures as the run wrote. `device` is one of
/// [`open_device`](crate::open_device); `data` takes the place of the configured folder. The files must be those of
/// `run.json`, unless `data` are among the changes that are accepted.
///
/// ```no_run
/// use mmrest_data::Split;
/// use mmrest_learner::run::{Accepted, RunFolder, evaluate_run};
/// use mmrest_learner::{Backend, open_device};
///
/// let device = open_device(Backend::Cpu, 0)?;
/// let folder = RunFolder::new("runs/first");
/// let own = Accepted::default();
/// let valid = evaluate_run(&folder, Split::Valid, None, ".".as_ref(), &device, &own)?;
/// println!("MAE {:.3}", valid.figures.mae());
/// # Ok::<(), mmrest_learner::LearnerError>(())
/// ```
///
/// # Errors
///
/// The run has no model yet, or its data are not there, or are others ([`LearnerError::OtherData`]).
pub fn evaluate_run(
    folder: &RunFolder,
    split: Split,
    data: Option<&Path>,
    root: &Path,
    device: &Device,
    accepted: &Accepted,
) -> Result<EvaluatedSplit, LearnerError> {
    let device = (device, Precision::F32);
    let run = OpenRun::of(folder, data, root, device, accepted)?;
    if run.splits.labels(split).is_empty() {
        return Err(LearnerError::EmptySplit {
            folder: run.saved.config.data.folder(root),
            split,
        });
    }
    let calibration = Calibration::of_model(&folder.model())?;
    let interpreter = Interpreter::new(&run.saved.config, calibration.as_ref(), CONFIDENCE)?;
    let of = (run.saved.config.figures, &interpreter);
    let predictions = predict(&*run.model, &run.splits.loader(split, device.0))?;
    Ok(evaluated(predictions, of, &run.splits, split))
}

/// The model of a run, and its data.
pub(crate) struct OpenRun {
    pub saved: SavedModel,
    pub model: Box<dyn TrainedModel>,
    pub splits: Splits,
}

impl OpenRun {
    /// Opens both, as [`evaluate_run`] does; `device` with the precision that it was opened for.
    ///
    /// # Errors
    ///
    /// Those of [`evaluate_run`], but for an empty split.
    pub(crate) fn of(
        folder: &RunFolder,
        data: Option<&Path>,
        root: &Path,
        (device, precision): (&Device, Precision),
        accepted: &Accepted,
    ) -> Result<Self, LearnerError> {
        let (mut saved, model) = SavedModel::load(&folder.model(), device)?;
        if let Some(data) = data {
            saved.config.data.dir = data.to_path_buf();
        }
        let prepared = prepare(&saved.config.data, root, &mut |_| true)?;
        if !accepted.has(DATA) {
            check_data(folder, &prepared.files)?;
        }
        let set = Arc::new(prepared.set);
        check_widths(&saved, set.widths())?;
        let encoder = model.text_encoder();
        let splits = Splits::prepare(&set, &saved, encoder, precision, root, &|| false)?;
        Ok(Self {
            saved,
            model,
            splits,
        })
    }
}

/// Evaluates the predictions of all splits (train, valid, test), with intervals by a calibration, and writes
/// `predictions.csv`.
///
/// # Errors
///
/// The file cannot be written.
pub(crate) fn evaluate_splits(
    folder: &RunFolder,
    config: &Config,
    splits: &Splits,
    predictions: [Vec<Prediction>; 3],
    calibration: &Calibration,
) -> Result<[EvaluatedSplit; 3], LearnerError> {
    let interpreter = Interpreter::new(config, Some(calibration), CONFIDENCE)?;
    let of = (config.figures, &interpreter);
    let [train, valid, test] = predictions;
    let all = [
        evaluated(train, of, splits, Split::Train),
        evaluated(valid, of, splits, Split::Valid),
        evaluated(test, of, splits, Split::Test),
    ];
    files::write(&folder.predictions(), &predictions_csv(&all)?)?;
    Ok(all)
}

/// That data are those a run's model was trained on, by `run.json`; true where a model was copied without it.
///
/// # Errors
///
/// [`LearnerError::OtherData`]; `run.json` is damaged.
pub fn check_data(folder: &RunFolder, files: &[SourceFile]) -> Result<(), LearnerError> {
    let record = RunRecord::of(folder)?;
    match record
        .as_ref()
        .and_then(|record| record.changed_file(files))
    {
        None => Ok(()),
        Some(changed) => Err(LearnerError::OtherData {
            path: changed.path.clone(),
        }),
    }
}

/// Compares files that are to be scored with those of the run that made the model: one that is of the run, by its path, must
/// be what the model was trained on. New data are none of the run's files. `root` is the project's.
///
/// # Errors
///
/// [`LearnerError::OtherData`]; `run.json` is damaged, or a file cannot be read.
pub fn check_own_files(
    folder: &RunFolder,
    files: &[PathBuf],
    root: &Path,
) -> Result<(), LearnerError> {
    let Some(record) = RunRecord::of(folder)? else {
        return Ok(());
    };
    for path in files {
        let same = |own: &&SourceFile| same_file(&locate(root, &own.path), path);
        if let Some(own) = record.data_files.iter().find(same)
            && own.sha256 != SourceFile::read(path)?.sha256
        {
            return Err(LearnerError::OtherData { path: path.clone() });
        }
    }
    Ok(())
}

fn check_widths(saved: &SavedModel, data: Widths) -> Result<(), LearnerError> {
    let model = saved.features.widths;
    if model == data {
        Ok(())
    } else {
        Err(LearnerError::format(
            &saved.config.data.dir,
            format!(
                "has {} vision and {} audio features a frame, the model was trained on {} and {}: give the data it was trained on",
                data.vision, data.audio, model.vision, model.audio
            ),
        ))
    }
}

/// Writes `predictions.csv` and `metrics.json` of the model a run has kept, and what the model folder has beside the model.
/// `root` is the project's.
pub(crate) fn finish(
    folder: &RunFolder,
    splits: &Splits,
    (selected_epoch, epochs): (usize, &[EpochRow]),
    root: &Path,
    device: &Device,
) -> Result<MetricsFile, LearnerError> {
    let (saved, mut model) = SavedModel::load(&folder.model(), device)?;
    let [train, valid] = [Split::Train, Split::Valid].map(|split| splits.loader(split, device));
    if model.end_run(&train, &valid)? {
        let kept = BestModel::new(folder.model());
        kept.keep(&saved, &*model, selected_epoch)?;
        kept.promote()?;
    }
    let space = model.geometry();
    let mut rows = Vec::new();
    let mut pass = |split| {
        let loader = splits.loader(split, device);
        let Some(space) = &space else {
            return predict(&*model, &loader);
        };
        let (of_split, predictions) = SplitRows::predict(&**space, &loader, split)?;
        rows.push(of_split);
        Ok(predictions)
    };
    let predictions = [pass(Split::Train)?, pass(Split::Valid)?, pass(Split::Test)?];
    let calibration = Calibration::of(&*model, splits, &predictions[1], device)?;
    let evaluated = evaluate_splits(folder, &saved.config, splits, predictions, &calibration)?;
    let [_, valid, test] = &evaluated;
    let seed = saved.config.seed;
    let overlap = match (&space, &rows[..]) {
        (Some(space), [train, valid, test]) => {
            if let Some(snapshots) = folder.snapshots(&saved.config) {
                snapshots.write(&**space, &rows, Moment::Selected, seed)?;
            }
            Some(overlap(&**space, [train, valid, test], seed)?)
        }
        _ => None,
    };
    let metrics = MetricsFile {
        method: MethodReport::of(epochs, &*model, valid)?,
        selected_epoch,
        selection: saved.config.train.selection,
        valid: valid.figures.clone(),
        test: test.figures.clone(),
        intervals: test.interval_coverage(),
        parameters: model.parameter_counts(),
        overlap,
    };
    let card = model_card::text(
        &saved,
        RunRecord::of(folder)?.as_ref(),
        &metrics,
        model_card::licence_of(&locate(root, &saved.config.text.bert)).as_deref(),
    );
    BestModel::new(folder.model()).extend(|model| {
        if let Some(train) = rows.first() {
            neighbours::write(train, seed, model)?;
        }
        calibration.write(model)?;
        files::write(&model.join(model_card::FILE), card.as_bytes())
    })?;
    files::write_json(&folder.metrics(), &metrics)?;
    Ok(metrics)
}

/// `id,split,label,prediction,score,bias,cluster,second_cluster,polarity,lower,upper`; the clusters are empty where neither
/// L_MMC nor the bias is in use, the bounds where the model has no interval.
fn predictions_csv(splits: &[EvaluatedSplit]) -> Result<Vec<u8>, LearnerError> {
    let header = [
        "id",
        "split",
        "label",
        "prediction",
        "score",
        "bias",
        "cluster",
        "second_cluster",
        "polarity",
        "lower",
        "upper",
    ];
    let rows = splits.iter().flat_map(|split| {
        let each = split.predictions.iter().zip(&split.interpretations);
        each.map(move |(p, of)| {
            let bound = |n: usize| of.interval.map(|interval| interval[n].to_string());
            let near = |n: usize| p.near.get(n).map(|near| near.cluster.to_string());
            [
                split.ids[p.row].clone(),
                split.split.to_string(),
                split.labels[p.row].to_string(),
                p.prediction.to_string(),
                p.score.to_string(),
                p.bias.to_string(),
                near(0).unwrap_or_default(),
                near(1).unwrap_or_default(),
                of.polarity.to_string(),
                bound(0).unwrap_or_default(),
                bound(1).unwrap_or_default(),
            ]
        })
    });
    files::csv(header, rows)
}
