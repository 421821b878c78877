//! Calibrates the intervals of a finished run anew, on all videos that it was trained or validated on.
//!
//! Errors on one validation part are those of its few speakers. Here the data that are not for testing are dealt into parts
//! by video, and for each part a model is trained on the others with the run's configuration, the part choosing its epoch
//! as the validation split does. The errors of all parts together take the place of the run's own (cross-conformal
//! prediction: Vovk 2015; CV+: Barber et al. 2021): each is of a model that has not been trained on the segment's video.

use mmrest_data::{Fold, Split};

use super::changes::Accepted;
use super::finish::{MetricsFile, OpenRun, evaluate_splits};
use super::folder::RunFolder;
use super::record::RunRecord;
use super::start::{Outcome, RunOptions, train};
use crate::calibration::Calibration;
use crate::config::Config;
use crate::device::{Backend, OpenDevice, Precision};
use crate::error::LearnerError;
use crate::files;
use crate::train::BestModel;
use crate::trained::predict;

/// Trains a model for each of `parts` parts of the videos of a finished run, in the run's folder `calibration`, and puts the
/// errors on all parts into its model; its predictions and metrics get intervals by them. Models that are there already are
/// kept. None where it was stopped.
///
/// # Errors
///
/// The run is not finished, or its data are others now; those of [`train`].
pub fn calibrate(options: &RunOptions, parts: usize) -> Result<Option<MetricsFile>, LearnerError> {
    let folder = &options.folder;
    let config = folder.read_config()?;
    if !folder.metrics().exists() {
        return Err(LearnerError::format(
            folder.path(),
            "the run is not finished: resume it first",
        ));
    }
    if config.data.fold.is_some() {
        return Err(LearnerError::format(
            &folder.config(),
            "is a fold of a cross-validation: calibrate a run with the data's own splits",
        ));
    }
    let lock = folder.lock()?;
    let first = RunRecord::of(folder)?.and_then(|record| record.initial_weights);
    let mut pooled = Calibration::default();
    for number in 1..=parts {
        let part = part(&config, number, parts)?;
        let own = folder.path().join("calibration");
        let own = RunFolder::new(own.join(format!("part-{number}-of-{parts}")));
        let there = own.metrics().exists() && own.read_config()? == part;
        if !there {
            options
                .observer
                .note(&format!("Model {number} of {parts} for the intervals"));
            let options = RunOptions {
                folder: own.clone(),
                resume: own.exists(),
                init: first.as_ref().map(|file| file.path.clone()),
                ..options.clone()
            };
            if let Outcome::Interrupted { .. } = train(&part, &options)? {
                return Ok(None);
            }
        }
        pooled.absorb(Calibration::of_model(&own.model())?.unwrap_or_default());
    }
    lock.check()?;
    BestModel::new(folder.model()).extend(|model| pooled.write(model))?;
    let number = options.devices.first().copied().unwrap_or(0);
    // As the models above: a CUDA device keeps the precision that it was opened for.
    let precision = match options.backend {
        Backend::Cuda => config.train.precision,
        Backend::Cpu | Backend::Wgpu => Precision::F32,
    };
    let device = OpenDevice::new(options.backend, number, precision)?.device;
    let opened = (&device, precision);
    let run = OpenRun::of(folder, None, &options.root, opened, &Accepted::default())?;
    let config = &run.saved.config;
    let [train, valid, test] = [Split::Train, Split::Valid, Split::Test]
        .map(|split| predict(&*run.model, &run.splits.loader(split, &device)));
    let predictions = [train?, valid?, test?];
    let [.., test] = evaluate_splits(folder, config, &run.splits, predictions, &pooled)?;
    let mut metrics: MetricsFile = files::read_json(&folder.metrics())?;
    metrics.intervals = test.interval_coverage();
    lock.check()?;
    files::write_json(&folder.metrics(), &metrics)?;
    Ok(Some(metrics))
}

/// The configuration of the model that a part of the videos is kept from.
fn part(config: &Config, number: usize, of: usize) -> Result<Config, LearnerError> {
    let fold = Fold {
        number,
        of,
        keep_test: true,
    };
    fold.check().map_err(LearnerError::Data)?;
    let mut part = config.clone();
    part.data.fold = Some(fold);
    part.report.geometry = false;
    Ok(part)
}
