//! `mmrest data import`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use mmrest_data::Download;
use mmrest_data::import::{import, import_utterances};
use mmrest_datatools::catalogue;

use crate::{interrupt, project, screen};

/// `mmrest data import`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The pickle: MMSA's, CH-SIMS's, MulT's, MMIM's or MMRest's. Nothing in it is run. Or the folder `data` of the
    /// utterance features of CMU-MOSI by Poria et al. (2017).
    #[arg(value_name = "FILE|DIR")]
    pub(crate) path: PathBuf,
    /// The label.csv of the same release; MulT's, MMIM's and MMRest's pickles hold no words and need it.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Where the packed set goes (HDF5). For utterance features: the folder with CMU-MOSI's labels and words (`data fetch
    /// mosi-words`), which gets the sequences made of them.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) out: PathBuf,
    /// Least and greatest sentiment of the scale, as in -1,1 for CH-SIMS; labels beyond it are clamped and counted.
    #[arg(long, value_name = "MIN,MAX", default_value = "-3,3", allow_hyphen_values = true, value_parser = range)]
    pub(crate) label_range: [f32; 2],
}

/// `mmrest data import`.
pub(crate) fn run(arguments: &ImportArguments) -> Result<ExitCode> {
    if arguments.path.is_dir() {
        return utterances(&arguments.path, arguments);
    }
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

/// Makes the computational sequences of a folder of utterance features.
fn utterances(release: &Path, arguments: &ImportArguments) -> Result<ExitCode> {
    if arguments.labels.is_some() {
        bail!("--labels is for pickles: utterance features have the labels in the folder --out");
    }
    let file = |key: &str| {
        let known = catalogue::find(Download::MosiWords, key);
        let path = arguments.out.join(known.map_or(key, |file| file.name));
        if path.is_file() {
            return Ok(path);
        }
        bail!(
            "{} is not there: '{} data fetch mosi-words --out {}' fetches it",
            path.display(),
            project::program(),
            project::quoted(&arguments.out.to_string_lossy())
        )
    };
    let report = import_utterances(release, &file("labels")?, &file("words")?, &arguments.out)?;
    screen::result(&format!(
        "{} utterances, {} words",
        report.utterances, report.words
    ))?;
    if !report.absent.is_empty() {
        screen::result(&format!(
            "Labelled intervals without features: {}",
            report.absent.join(", ")
        ))?;
    }
    screen::result(
        "The visual features were fitted on the labels of the release's 62 training videos: use them for no figure on the \
         standard split.",
    )?;
    for file in &report.files {
        screen::result(&file.display().to_string())?;
    }
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
