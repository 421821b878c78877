//! `mmrest data import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use mmrest_data::import::import;

use crate::{interrupt, screen};

/// `mmrest data import`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The pickle: MMSA's, CH-SIMS's, MulT's, MMIM's or MMRest's. Nothing in it is run.
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,
    /// The label.csv of the same release; MulT's, MMIM's and MMRest's pickles hold no words and need it.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Where the packed set goes (HDF5).
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Least and greatest sentiment of the scale, as in -1,1 for CH-SIMS; labels beyond it are clamped and counted.
    #[arg(long, value_name = "MIN,MAX", default_value = "-3,3", allow_hyphen_values = true, value_parser = range)]
    pub(crate) label_range: [f32; 2],
}

/// `mmrest data import`.
pub(crate) fn run(arguments: &ImportArguments) -> Result<ExitCode> {
    let go_on = interrupt::watched();
    let report = import(
        &arguments.path,
        arguments.labels.as_deref(),
        arguments.label_range,
        &arguments.out,
        &mut |_| go_on(),
    )?;
    screen::result(&format!("{report}\n{}", arguments.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// `-1,1` as two ascending numbers.
fn range(text: &str) -> Result<[f32; 2], String> {
    let numbers = text.split_once(',').and_then(|(least, greatest)| {
        Some([least.trim().parse().ok()?, greatest.trim().parse().ok()?])
    });
    let ascending = numbers.filter(|[least, greatest]: &[f32; 2]| {
        least.is_finite() && greatest.is_finite() && least < greatest
    });
    ascending.ok_or_else(|| "not two ascending numbers such as -1,1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_two_ascending_numbers() {
        assert_eq!(range("-1,1"), Ok([-1.0, 1.0]));
        assert_eq!(range("0, 0.5"), Ok([0.0, 0.5]));
        for wrong in ["", "1", "1,1", "1,-1", "a,b", "nan,1", "0,inf", "0,1,2"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
