//! Writes the report of a study: `report.html`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::summary::{Summary, SweepSummary, VariantSummary};
use super::tables::{Part, Topic, about, finest, parts, shown};
use crate::report::{Bar, Bars, Cell, Page, Picture, Section, Table};

/// The caption of a picture of a metric.
fn caption(summary: &Summary, figure: &str) -> String {
    format!(
        "{figure} of {}, bootstrap interval over seeds and {}; circles are seeds.",
        split(summary),
        summary.statistics.resample.units()
    )
}

/// What pictures are of.
fn split(summary: &Summary) -> &'static str {
    match (&summary.search, summary.runs.folds) {
        (Some(_), None) => "the validation split",
        (Some(_), Some(_)) => "all segments, each validated in one fold",
        (None, None) => "the test split",
        (None, Some(_)) => "all segments, each tested in one fold",
    }
}

/// Writes `report.html` and its pictures into the study's folder, with further pages, each under its prefix, and with `png`
/// the pictures as PNG too; returns the page's path.
///
/// # Errors
///
/// The folder cannot be written.
pub(crate) fn write_report(
    summary: &Summary,
    pages: Vec<(String, Page)>,
    out: &Path,
    png: bool,
) -> Result<PathBuf> {
    let mut page = page(summary)?;
    for (prefix, other) in pages {
        page.append(other, &prefix);
    }
    page.write(out, png)
}

fn page(summary: &Summary) -> Result<Page> {
    let mut page = Page::new(&summary.title);
    page.note(about(summary));
    if !summary.note.is_empty() {
        page.note(&summary.note);
    }
    for part in parts(summary) {
        let mut section = Section::new(&part.title);
        if !part.lead.is_empty() {
            section.paragraph(&part.lead);
        }
        pictures(summary, &part, &mut section)?;
        if !part.rows.is_empty() {
            section.table(&table(&part));
        }
        for line in part.lines.iter().chain([&part.note]) {
            if !line.is_empty() {
                section.paragraph(line);
            }
        }
        page.add(section);
    }
    Ok(page)
}

fn table(part: &Part) -> Table {
    let mut table = Table::new("", &part.header);
    for row in &part.rows {
        table.row(row.iter().map(Cell::text).collect());
    }
    table
}

/// Adds the pictures of a part.
fn pictures(summary: &Summary, part: &Part, section: &mut Section) -> Result<()> {
    match part.topic {
        Topic::Test if summary.search.is_some() => {}
        Topic::Test | Topic::Valid => {
            for figure in ["mae", finest(summary)] {
                let picture = of_variants(summary, figure)?;
                section.figure(picture, &caption(summary, figure));
            }
        }
        Topic::Sweep(index) => {
            if let Some(sweep) = summary.sweeps.get(index) {
                for figure in ["mae", finest(summary)] {
                    let picture = of_sweep(summary, sweep, figure)?;
                    section.figure(picture, &caption(summary, figure));
                }
            }
        }
        Topic::Cost => {
            section.figure(of_cost(summary)?, "Parameters without the text encoder.");
        }
        Topic::Other => {}
    }
    Ok(())
}

/// The bar of a variant's metric; `None` without a finished run.
fn bar(
    summary: &Summary,
    name: &str,
    variant: &VariantSummary,
    figure: &str,
    group: usize,
) -> Option<Bar> {
    let estimate = shown(summary, variant).get(figure)?;
    (!variant.seeds.is_empty()).then(|| Bar {
        name: name.to_string(),
        value: estimate.mean,
        interval: Some((estimate.low, estimate.high)).filter(|(low, _)| low.is_finite()),
        points: estimate.values.clone(),
        group,
    })
}

/// The value of the reference, if it has one.
fn reference(summary: &Summary, figure: &str) -> Option<f64> {
    let estimate = shown(summary, summary.variant(&summary.reference)?).get(figure)?;
    Some(estimate.mean).filter(|mean| mean.is_finite())
}

/// The variants of the file; those of sweeps have separate pictures.
fn of_variants(summary: &Summary, figure: &str) -> Result<Picture> {
    let points = summary.sweeps.iter().flat_map(|sweep| &sweep.points);
    let swept: Vec<&String> = points.map(|point| &point.variant).collect();
    let own = summary
        .variants
        .iter()
        .filter(|variant| variant.name == summary.reference || !swept.contains(&&variant.name));
    let group = |variant: &VariantSummary| usize::from(variant.name != summary.reference);
    Bars {
        name: file_name(&["variants", figure]),
        title: format!("{figure} by variant"),
        axis: format!("{figure}, {}", split(summary)),
        bars: own
            .filter_map(|variant| bar(summary, &variant.title, variant, figure, group(variant)))
            .collect(),
        reference: reference(summary, figure),
        zoom: true,
        groups: Vec::new(),
    }
    .draw()
}

fn of_sweep(summary: &Summary, sweep: &SweepSummary, figure: &str) -> Result<Picture> {
    let bars = sweep.points.iter().filter_map(|point| {
        let variant = summary.variant(&point.variant)?;
        let group = usize::from(point.variant != summary.reference);
        bar(
            summary,
            &format!("{} = {}", sweep.symbol, point.value),
            variant,
            figure,
            group,
        )
    });
    Bars {
        name: file_name(&[&sweep.key, figure]),
        title: format!("{figure} by {}", sweep.symbol),
        axis: format!("{figure}, {}", split(summary)),
        bars: bars.collect(),
        reference: reference(summary, figure),
        zoom: true,
        groups: Vec::new(),
    }
    .draw()
}

/// What each variant trains besides the text encoder.
fn of_cost(summary: &Summary) -> Result<Picture> {
    let known = summary.variants.iter();
    let known = known.filter_map(|v| Some((v, v.cost.as_ref()?)));
    let bars = known.map(|(variant, cost)| Bar {
        name: variant.title.clone(),
        value: cost.own_parameters as f64 / 1000.0,
        group: usize::from(variant.name != summary.reference),
        ..Bar::default()
    });
    Bars {
        name: "parameters".into(),
        title: "Parameters without text encoder".into(),
        axis: "parameters, in thousands".into(),
        bars: bars.collect(),
        ..Bars::default()
    }
    .draw()
}

/// A picture's file name: lower-case letters, digits and hyphens.
fn file_name(parts: &[&str]) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    parts.join("-").chars().map(plain).collect()
}
