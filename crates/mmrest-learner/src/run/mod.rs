//! A run: its folder, from the first file to the last.
//!
//! docs/src/runs.md lists what a run's folder holds.

mod admission;
mod calibrate;
mod changes;
mod finish;
mod folder;
mod lock;
mod method;
pub(crate) mod prepare;
mod record;
mod start;

pub use crate::trained::ParameterCounts;
pub use calibrate::calibrate;
pub use changes::{Accepted, Change, first_difference};
pub use finish::{EvaluatedSplit, MetricsFile, check_data, check_own_files, evaluate_run};
pub use folder::RunFolder;
pub use lock::FolderLock;
pub use method::{Active, MethodReport, MetricsMoved};
pub(crate) use prepare::load_text;
pub use prepare::{check_files, check_text_encoder};
pub use record::{Computer, Resumption, RunRecord};
pub use start::{Outcome, RunOptions, default_folder, train, train_locked};
