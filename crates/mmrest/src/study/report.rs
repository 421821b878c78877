//! Writes the report of a study: `report.html`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::summary::{Summary, SweepSummary, VariantSummary};
use super::tables::{Field, Part, Topic, about, finest, parts, shown};
use crate::numbers::{NONE, heading, in_table, is_share};
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
            let level = summary.statistics.level;
            section.table(&table(&part, level));
            if let Some(table) = uncertainties(&part, level) {
                section.folded("Deviations and intervals", &table);
            }
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

/// The table of a part, one number a cell: deviation and interval are told under the pointer.
fn table(part: &Part, level: f64) -> Table {
    let mut table = Table::new("", &part.header);
    for row in &part.rows {
        table.row(row.iter().map(|field| cell(field, level)).collect());
    }
    table
}

fn cell(field: &Field, level: f64) -> Cell {
    match field {
        Field::Text(text) => Cell::text(text),
        Field::Number(number) => Cell::written(number),
        Field::Estimate { mean, sd, interval } => {
            let sd = sd.iter().map(|sd| format!("± {sd}"));
            let ends = interval.iter();
            let ends = ends.map(|[low, high]| format!("{:.0} %: {low} to {high}", 100.0 * level));
            let told: Vec<String> = sd.chain(ends).collect();
            Cell::written(mean).told(told.join("; "))
        }
    }
}

/// The same for readers without a pointer: a row for each number that has a deviation or an interval.
fn uncertainties(part: &Part, level: f64) -> Option<Table> {
    let interval = format!("{:.0} % interval", 100.0 * level);
    let header = [
        part.header.first()?.as_str(),
        "metric",
        "mean",
        "deviation",
        &interval,
    ];
    let mut table = Table::new("", &header);
    for row in &part.rows {
        let name = row.first().map_or(String::new(), |first| match first {
            Field::Text(text) | Field::Number(text) | Field::Estimate { mean: text, .. } => {
                text.clone()
            }
        });
        for (title, field) in part.header.iter().zip(row) {
            let Field::Estimate { mean, sd, interval } = field else {
                continue;
            };
            let ends = interval
                .as_ref()
                .map(|[low, high]| format!("{low} to {high}"));
            let known = |text: &Option<String>| Cell::written(text.as_deref().unwrap_or(NONE));
            if sd.is_some() || ends.is_some() {
                let cells = [known(&Some(mean.clone())), known(sd), known(&ends)];
                let names = [Cell::text(&name), Cell::text(title)];
                table.row(names.into_iter().chain(cells).collect());
            }
        }
    }
    (!table.is_empty()).then_some(table)
}

/// Adds the pictures of a part.
fn pictures(summary: &Summary, part: &Part, section: &mut Section) -> Result<()> {
    match part.topic {
        Topic::Test if summary.search.is_some() => {}
        Topic::Test | Topic::Valid => {
            let both = ["mae", finest(summary)]
                .map(|figure| Ok((of_variants(summary, figure)?, caption(summary, figure))));
            section.figures(both.into_iter().collect::<Result<_>>()?);
        }
        Topic::Sweep(index) => {
            if let Some(sweep) = summary.sweeps.get(index) {
                let both = ["mae", finest(summary)].map(|figure| {
                    let picture = of_sweep(summary, sweep, figure)?;
                    Ok((picture, caption(summary, figure)))
                });
                section.figures(both.into_iter().collect::<Result<_>>()?);
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
    let scale = scale(figure);
    (!variant.seeds.is_empty()).then(|| Bar {
        name: name.to_string(),
        text: in_table(figure, estimate.mean),
        value: scale * estimate.mean,
        interval: Some((scale * estimate.low, scale * estimate.high))
            .filter(|(low, _)| low.is_finite()),
        points: estimate.values.iter().map(|value| scale * value).collect(),
        group,
    })
}

/// The value of the reference, if it has one.
fn reference(summary: &Summary, figure: &str) -> Option<f64> {
    let estimate = shown(summary, summary.variant(&summary.reference)?).get(figure)?;
    Some(scale(figure) * estimate.mean).filter(|mean| mean.is_finite())
}

/// What a metric is multiplied by: shares are drawn as percentages.
fn scale(figure: &str) -> f64 {
    if is_share(figure) { 100.0 } else { 1.0 }
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
        axis: format!("{}, {}", heading(figure), split(summary)),
        bars: own
            .filter_map(|variant| bar(summary, &variant.title, variant, figure, group(variant)))
            .collect(),
        reference: reference(summary, figure),
        zoom: true,
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
        axis: format!("{}, {}", heading(figure), split(summary)),
        bars: bars.collect(),
        reference: reference(summary, figure),
        zoom: true,
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
