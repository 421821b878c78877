//! Comparison with what was measured before, perhaps on another machine: as multiples of a calibration loop.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::table::Line;

/// Side of the square matrices of the calibration loop.
const SIDE: usize = 512;
/// How often it is repeated; the median counts.
const REPEATS: usize = 15;

/// The speed of this machine, by burn's matrix product on the CPU.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// Seconds of one product of two 512 x 512 matrices.
    seconds: f64,
    /// Billions of floating point operations per second in it.
    gflops: f64,
}

impl Calibration {
    pub(crate) fn measure() -> Self {
        let device = Device::flex();
        let a = Tensor::<2>::ones([SIDE, SIDE], &device);
        let mut samples: Vec<f64> = (0..=REPEATS)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(a.clone().matmul(a.clone()).into_data());
                start.elapsed().as_secs_f64()
            })
            .skip(1)
            .collect();
        samples.sort_by(f64::total_cmp);
        Self::of(samples[REPEATS / 2])
    }
}

impl Calibration {
    /// The mean of what was measured before and after something.
    pub(crate) fn about(before: &Self, after: &Self) -> Self {
        let seconds = (before.seconds + after.seconds) / 2.0;
        Self::of(seconds)
    }

    fn of(seconds: f64) -> Self {
        Self {
            seconds,
            gflops: 2.0 * (SIDE as f64).powi(3) / seconds / 1e9,
        }
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        write!(
            f,
            "{threads} threads, {:.0} GFLOP/s in a 512 x 512 matrix product",
            self.gflops
        )
    }
}

/// Medians as multiples of the calibration loop.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    calibration: Calibration,
    multiples: BTreeMap<String, f64>,
}

impl Baseline {
    /// Each line by the calibration loop as it went about then: what else runs on a machine changes.
    pub(crate) fn new(lines: &[Line], calibration: &Calibration) -> Self {
        let multiple = |line: &Line| line.ours.median() / line.calibration.seconds;
        Self {
            calibration: calibration.clone(),
            multiples: lines
                .iter()
                .map(|line| (line.name.to_owned(), multiple(line)))
                .collect(),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| {
            format!(
                "{}: no baseline as --save writes it: {error}",
                path.display()
            )
        })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        std::fs::write(path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// What takes more than `1 + tolerance` times what it took before.
    pub(crate) fn slower_than(&self, before: &Self, tolerance: f64) -> Vec<String> {
        let slower = self.multiples.iter().filter_map(|(name, &now)| {
            let before = *before.multiples.get(name)?;
            let ratio = now / before;
            (ratio > 1.0 + tolerance)
                .then(|| format!("{name}: {ratio:.2} times, {tolerance} more is tolerated"))
        });
        slower.collect()
    }
}
