//! The report that compares two or more runs.

use std::collections::BTreeSet;

use anyhow::Result;

use super::examples;
use super::one_run::{MEASURES, OVERLAP, SPACES, overlap_split};
use super::page::{Cell, Page, Section, Table};
use super::picture::{self, Bar, Bars, Picture};
use super::run::{Epochs, Run};
use crate::numbers::{heading, in_table};

/// The page of several runs. `pages` are their own reports, in the same order, from which pictures are taken.
///
/// # Errors
///
/// Drawing failed.
pub(crate) fn compare(runs: &[Run], pages: &[Page]) -> Result<Page> {
    let mut page = Page::new(format!("{} runs side by side", runs.len()));
    for (letter, run) in letters(runs) {
        page.note(format!(
            "{letter}: {}, seed {}",
            run.name,
            run.record
                .get("seed")
                .map_or("?".into(), ToString::to_string)
        ));
    }
    page.add(figures(runs)?);
    page.add(configuration(runs));
    let curves: Vec<(String, &Epochs)> = letters(runs)
        .map(|(letter, run)| (format!("{letter}: {}", run.name), &run.epochs))
        .collect();
    let mut training = Section::new("Training");
    training.figure(
        picture::compared(&curves)?,
        "Training loss is comparable only between runs of the same objective.",
    );
    page.add(training);
    page.add(space(runs));
    for (name, title) in [
        ("prediction-label", "Prediction against label"),
        ("confusion", "Confusion matrices"),
        ("bias", "The bias"),
        ("space", "The shared space"),
        ("distances", "Distances"),
        ("cluster-distances", "Distances to cluster centres"),
        ("spectra", "The learned metrics"),
        ("curves", "Training, run by run"),
    ] {
        beside(&mut page, runs, pages, name, title);
    }
    let letters: Vec<String> = letters(runs).map(|(letter, _)| letter).collect();
    if let Some(cases) = examples::compared(runs, &letters) {
        page.add(cases);
    }
    Ok(page)
}

/// Each run with a letter, which stands for its long name.
fn letters(runs: &[Run]) -> impl Iterator<Item = (String, &Run)> {
    let letter = |index: usize| match u8::try_from(index) {
        Ok(index) if index < 26 => char::from(b'A' + index).to_string(),
        _ => format!("R{}", index + 1),
    };
    runs.iter()
        .enumerate()
        .map(move |(index, run)| (letter(index), run))
}

/// The header of a table: `first`, then the runs' letters.
fn header(first: &str, runs: &[Run]) -> Vec<String> {
    let letters = letters(runs).map(|(letter, _)| letter);
    [first.to_owned()].into_iter().chain(letters).collect()
}

/// A row of numbers, with the best marked.
fn row(name: &str, values: &[Option<f64>], least: bool) -> Vec<Cell> {
    let order = |value: &f64| if least { -value } else { *value };
    let best = values
        .iter()
        .flatten()
        .map(order)
        .fold(f64::NEG_INFINITY, f64::max);
    let cells = values.iter().map(|&value| {
        let is_best = value.as_ref().map(order) == Some(best) && values.len() > 1;
        Cell::metric(name, value).marked(is_best)
    });
    [Cell::text(heading(name))]
        .into_iter()
        .chain(cells)
        .collect()
}

fn figures(runs: &[Run]) -> Result<Section> {
    let mut section = Section::new("Metrics");
    let mut names: Vec<String> = Vec::new();
    for name in runs.iter().flat_map(Run::figures) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for split in ["test", "valid"] {
        let mut table = Table::new(
            &format!("{split} split; the best value of each row is marked"),
            &header("metric", runs),
        );
        for name in &names {
            let values: Vec<Option<f64>> =
                runs.iter().map(|run| run.metric(&[split, name])).collect();
            table.row(row(name, &values, name == "mae"));
        }
        section.table(&table);
    }
    let mut figures = Vec::new();
    for (figure, unit) in [
        ("mae", "MAE on the test split (units of the label)"),
        ("corr", "Pearson r on the test split"),
    ] {
        let bars = letters(runs).enumerate().map(|(group, (letter, run))| Bar {
            name: format!("{letter}: {}", run.name),
            value: run.metric(&["test", figure]).unwrap_or(f64::NAN),
            text: in_table(figure, run.metric(&["test", figure]).unwrap_or(f64::NAN)),
            group,
            ..Bar::default()
        });
        let bars = Bars {
            name: format!("figure-{figure}"),
            title: unit.to_owned(),
            axis: unit.to_owned(),
            bars: bars.collect(),
            ..Bars::default()
        };
        let caption =
            "One run per bar: only several seeds show how much of a difference is chance.";
        figures.push((bars.draw()?, caption.to_owned()));
    }
    section.figures(figures);
    Ok(section)
}

fn configuration(runs: &[Run]) -> Section {
    let mut section = Section::new("Configuration");
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.config.keys()).collect();
    let mut table = Table::new("Keys in which the runs differ", &header("key", runs));
    for key in keys {
        let values: Vec<Option<&String>> = runs.iter().map(|run| run.config.get(key)).collect();
        if values.windows(2).any(|pair| pair.first() != pair.last()) {
            let cells = values
                .into_iter()
                .map(|value| Cell::text(value.map_or("–", String::as_str)));
            table.row([Cell::text(key)].into_iter().chain(cells).collect());
        }
    }
    if table.is_empty() {
        section.paragraph("The runs have the same configuration.")
    } else {
        section.table(&table)
    }
    section
}

fn space(runs: &[Run]) -> Section {
    let mut section = Section::new("Overlap of sentiments");
    for (key, name) in MEASURES {
        let mut table = Table::new(name, &header("rows and distances", runs));
        for (rows, distances, space) in SPACES {
            let of = |run: &Run| run.metric(&["overlap", overlap_split(run), rows, distances, key]);
            let values: Vec<Option<f64>> = runs.iter().map(of).collect();
            if values.iter().any(Option::is_some) {
                table.row(row(space, &values, key == "modality_silhouette"));
            }
        }
        if !table.is_empty() {
            section.table(&table);
        }
    }
    section.paragraph(OVERLAP);
    section
}

/// The same picture of each run that has it.
fn beside(page: &mut Page, runs: &[Run], pages: &[Page], name: &str, title: &str) {
    let mut pictures: Vec<(Picture, String)> = Vec::new();
    for ((letter, run), own) in letters(runs).zip(pages) {
        if let Some(picture) = own.pictures().find(|picture| picture.name == name) {
            let mut picture = picture.clone();
            picture.name = format!("{name}-{}", letter.to_lowercase());
            pictures.push((picture, format!("{letter}: {}", run.name)));
        }
    }
    if !pictures.is_empty() {
        let mut section = Section::new(title);
        section.figures(pictures);
        page.add(section);
    }
}
