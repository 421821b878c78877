//! What a variant costs, as its own runs measured it: parameters, time, memory.

use mmrest_learner::run::ParameterCounts;
use mmrest_learner::statistics::median;
use serde::Serialize;

use super::runs::RunResult;

/// The cost of a variant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// Sizes of the model.
    pub(crate) parameters: ParameterCounts,
    /// Parameters without the text encoder.
    pub(crate) own_parameters: usize,
    /// Median over all epochs of the training time per batch of all passes, including clustering.
    pub(crate) seconds_per_step: f64,
    /// Median over the runs of the training time of all epochs.
    pub(crate) training_seconds: f64,
    /// Median over the runs of the epochs done.
    pub(crate) epochs: f64,
    /// Most memory that one of the runs held, each a process of its own; null where the system does not report it.
    pub(crate) peak_memory_mib: Option<f64>,
}

impl Cost {
    /// The cost of a variant's finished runs; `None` without any.
    pub(crate) fn of(runs: &[&RunResult], batch_size: usize) -> Option<Self> {
        let first = runs.first()?;
        let seconds = |run: &RunResult| -> Vec<f64> {
            let epochs = run.epochs.iter();
            epochs
                .filter_map(|epoch| epoch.get("train_seconds").copied())
                .collect()
        };
        let a_step = runs.iter().flat_map(|run| {
            // Older versions did not count; all but MMIM have one pass.
            let one_pass = run.train_segments.div_ceil(batch_size).max(1) as f64;
            run.epochs.iter().filter_map(move |epoch| {
                let counted = epoch.get("batches").filter(|&&batches| batches > 0.0);
                Some(epoch.get("train_seconds")? / counted.unwrap_or(&one_pass))
            })
        });
        let a_step: Vec<f64> = a_step.collect();
        let whole: Vec<f64> = runs.iter().map(|run| seconds(run).iter().sum()).collect();
        let epochs: Vec<f64> = runs.iter().map(|run| run.epochs.len() as f64).collect();
        let peaks = runs.iter().filter_map(|run| run.record.peak_memory_mib);
        let parameters = first.metrics.parameters.clone();
        Some(Self {
            own_parameters: parameters.total - parameters.text_encoder,
            parameters,
            seconds_per_step: median(&a_step),
            training_seconds: median(&whole),
            epochs: median(&epochs),
            peak_memory_mib: peaks.reduce(f64::max),
        })
    }
}
