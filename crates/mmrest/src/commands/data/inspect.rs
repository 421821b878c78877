//! `mmrest data inspect`.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mmrest_data::text::count;
use mmrest_datatools::inspect::{self, Comparison, Inspection, Options, Scale};
use serde_json::json;

use crate::{plot, project, screen, shipped};

/// `mmrest data inspect`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Files, or folders of files (not the folders in them, except of a BERT).
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Print everything as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw labels, lengths, values and folds into an SVG file.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// The scale of the labels: -3,3 (seven classes) or -1,1 (CH-SIMS's five).
    #[arg(long, value_name = "LEAST,GREATEST", default_value = "-3,3", value_parser = parse_scale, allow_hyphen_values = true)]
    pub(crate) label_range: Scale,
    /// Compute the checksums of packed sets and compare them; a damaged one is an error.
    #[arg(long)]
    pub(crate) check: bool,
}

/// `mmrest data inspect`.
pub(crate) fn run(arguments: &InspectArguments) -> Result<ExitCode> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let folds = shipped::folds(&project::root(&here)).into_iter();
    let options = Options {
        // Folds that cannot be read are told of when they are looked at themselves.
        folds: folds
            .filter_map(|(name, folds)| Some((name.to_owned(), folds.ok()?)))
            .collect(),
        scale: arguments.label_range,
        check: arguments.check,
        text_encoder: Some(|folder| {
            mmrest_learner::run::check_text_encoder(folder).map_err(|error| error.to_string())
        }),
    };
    let files = files(&arguments.paths)?;
    let inspections = files.iter().map(|file| inspect::inspect(file, &options));
    let inspections: Vec<Inspection> = inspections.collect::<Result<_, _>>()?;
    let comparison = inspect::compare(&inspections, &options);
    if let Some(file) = &arguments.plot {
        plot::inspection(&inspections, file)?;
    }
    if arguments.json {
        let all = json!({ "files": inspections, "together": comparison });
        writeln!(std::io::stdout(), "{all:#}").context("cannot write the output")?;
    } else {
        told(&inspections, &comparison)?;
    }
    let damaged = |inspection: &&Inspection| {
        let mut problems = inspection.problems();
        problems.any(|found| ["checksum", "unreadable"].contains(&found.code))
    };
    let damaged = inspections.iter().filter(damaged).map(Inspection::name);
    let damaged: Vec<String> = damaged.filter(|_| arguments.check).collect();
    if !damaged.is_empty() {
        bail!(
            "damaged: {}; get another copy, or make it anew from its sources",
            damaged.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of all paths, each of them given once.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        for file in inspect::expand(path)? {
            // What leads nowhere is told of when it is looked at.
            if file.canonicalize().is_ok_and(|same| !seen.insert(same)) {
                bail!(
                    "{} is given twice: name each file once, or the folder it is in",
                    file.display()
                );
            }
            files.push(file);
        }
    }
    Ok(files)
}

/// Prints every file, then all together, then the sum of problems. The configuration is to be pasted: its lines stay whole.
fn told(inspections: &[Inspection], comparison: &Comparison) -> Result<()> {
    let width = screen::width();
    for inspection in inspections {
        screen::result(&format!("{inspection:width$}\n"))?;
        screen::out_whole("");
    }
    let config = comparison.config.as_deref().unwrap_or_default();
    let together = format!("{comparison:width$}");
    let together = together.trim_end().strip_suffix(config.trim_end());
    let together = together.unwrap_or_default();
    if !together.is_empty() {
        screen::result(together)?;
    }
    if !config.is_empty() {
        screen::out_whole(config);
    }
    let with_problems: Vec<String> = inspections
        .iter()
        .filter(|inspection| inspection.problems().next().is_some())
        .map(|inspection| format!("{} ({})", inspection.name(), inspection.problems().count()))
        .collect();
    let problems: usize = inspections.iter().map(|i| i.problems().count()).sum();
    screen::result(&match problems {
        0 => "no problems".to_owned(),
        problems => format!(
            "{}, marked ! above: {}",
            count(problems, "problem"),
            with_problems.join(", ")
        ),
    })
}

fn parse_scale(text: &str) -> Result<Scale> {
    let ends: Vec<f32> = text
        .trim_matches(['[', ']'])
        .split(',')
        .map(|end| end.trim().parse())
        .collect::<Result<_, _>>()
        .context("two numbers are expected, such as -1,1")?;
    let scale = match ends.as_slice() {
        &[least, greatest] => Scale::of_range([least, greatest]),
        _ => None,
    };
    match scale {
        Some(scale) => Ok(scale),
        None => bail!("known scales are -3,3 (seven classes) and -1,1 (five classes)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_named_by_their_ends() {
        assert_eq!(parse_scale("-1, 1").unwrap(), Scale::Five);
        assert_eq!(parse_scale("[-3,3]").unwrap(), Scale::Seven);
        assert!(parse_scale("0,5").unwrap_err().to_string().contains("-3,3"));
        assert!(parse_scale("a").is_err());
    }
}
