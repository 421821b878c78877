//! Plots over the epochs: training curves, and the eigenvalues of the learned metrics.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::*;

use super::axes::{Axis, Key, LINE, Mark, axes, ends, key, key_lines};
use super::{Area, PANEL, Picture};
use crate::palette::{BLUE, GREEN, GREY, ORANGE, SLATE, VERMILION, fault, series, shortened};
use crate::report::run::{Epochs, Run, Spectrum};

/// A column of `epochs.csv` with its name in the plot.
type Column<'a> = (&'a str, &'a str);

/// The unit of shares, which are drawn as percentages.
const PERCENT: &str = "% correct";

/// Columns of every run, whatever its model.
const VALIDATION: [(&str, &str, &[Column<'_>]); 3] = [
    (
        "Validation: error",
        "MAE (units of the label)",
        &[("valid_mae", "MAE")],
    ),
    (
        "Validation: correlation",
        "Pearson r",
        &[("valid_corr", "r")],
    ),
    (
        "Validation: accuracy",
        PERCENT,
        &[
            ("valid_acc7", "Acc-7"),
            ("valid_acc5", "Acc-5"),
            ("valid_acc3", "Acc-3"),
            ("valid_acc2_non0", "Acc-2"),
            ("valid_acc2", "Acc-2"),
        ],
    ),
];

/// The training curves of one run; a dashed line marks the selected epoch. The parts of the loss and the groups of gradients
/// are those that the model names.
pub(crate) fn curves(run: &Run) -> Result<Picture> {
    let selected = run.metric(&["selected_epoch"]);
    let title = format!("Training curves of {}", run.name);
    let part = |name: &'_ str| name.starts_with("loss_");
    let parts: Vec<Column<'_>> = run
        .epochs
        .names(part)
        .into_iter()
        .map(|name| (name, name.trim_start_matches("loss_")))
        .collect();
    let norms: Vec<Column<'_>> = run
        .epochs
        .names(|name| name.ends_with("gradient_norm"))
        .into_iter()
        .map(|name| match name.strip_suffix("_gradient_norm") {
            Some(group) => (name, group),
            None => (name, "model"),
        })
        .collect();
    let loss: &[Column<'_>] = &[("loss", "loss")];
    let mut panels = vec![
        ("Loss of training", "loss", loss),
        ("Parts of the loss", "loss, before its weight", &parts),
    ];
    panels.extend(VALIDATION);
    panels.push(("Gradient norms before clipping", "norm", &norms));
    let mut picture = Picture::new("curves", &title, 2);
    for (title, unit, columns) in panels {
        let scale = if unit == PERCENT { 100.0 } else { 1.0 };
        let scaled = |curve: Vec<(f64, f64)>| curve.into_iter().map(|(x, y)| (x, scale * y));
        let lines: Vec<(&str, Vec<(f64, f64)>)> = columns
            .iter()
            .map(|&(column, name)| (name, scaled(run.epochs.curve(column)).collect()))
            .filter(|(_, line): &(_, Vec<_>)| !line.is_empty())
            .collect();
        picture.panel((PANEL, 330), |area| {
            panel(area, title, unit, &lines, selected)
        })?;
    }
    Ok(picture)
}

/// The training curves of several runs in one picture.
pub(crate) fn compared(runs: &[(String, &Epochs)]) -> Result<Picture> {
    let names: Vec<String> = runs.iter().map(|(name, _)| shortened(name, 44)).collect();
    let height = 380 + LINE * u32::try_from(names.len()).unwrap_or(1);
    let title = "Training loss and validation error of each run";
    let mut picture = Picture::new("curves-compared", title, 2);
    for (title, unit, column) in [
        ("Loss of training", "loss", "loss"),
        ("Validation error", "MAE (units of the label)", "valid_mae"),
    ] {
        let names = names.iter().map(String::as_str);
        let curves = runs.iter().map(|(_, epochs)| epochs.curve(column));
        let lines: Vec<(&str, Vec<(f64, f64)>)> = names.zip(curves).collect();
        picture.panel((PANEL, height), |area| {
            panel(area, title, unit, &lines, None)
        })?;
    }
    Ok(picture)
}

fn panel(
    area: &Area<'_>,
    title: &str,
    unit: &str,
    lines: &[(&str, Vec<(f64, f64)>)],
    selected: Option<f64>,
) -> Result<()> {
    let points = || lines.iter().flat_map(|(_, line)| line.iter().copied());
    let (_, last) = ends(points().map(|(x, _)| x)).unwrap_or((1.0, 2.0));
    // A short run has no ticks between its epochs.
    let x = Axis {
        ticks: (last as usize).clamp(2, 6),
        ..Axis::new("epoch", 1.0..last.max(2.0))
    };
    let y = Axis::about(unit, points().map(|(_, y)| y));
    let named: Vec<Key<'_>> = lines
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| !name.is_empty())
        .map(|(place, &(name, _))| (name, Mark::Line, series(place).to_rgba()))
        .collect();
    let mut chart = axes(area, title, key_lines(area, &named), &x, &y)?;
    if let Some(at) = selected {
        let ends = [(at, y.range.start), (at, y.range.end)];
        let line = DashedLineSeries::new(ends, 6, 4, GREY.stroke_width(2));
        chart.draw_series(line).map_err(fault)?;
    }
    for (place, (_, line)) in lines.iter().enumerate() {
        let colour = series(place);
        chart
            .draw_series(LineSeries::new(
                line.iter().copied(),
                colour.stroke_width(2),
            ))
            .map_err(fault)?;
        // A short run's epochs can be told apart.
        if line.len() <= 30 {
            let dots = line
                .iter()
                .map(|&point| Circle::new(point, 3, colour.filled()));
            chart.draw_series(dots).map_err(fault)?;
        }
    }
    key(area, &named)
}

/// The most epochs whose spectra are drawn.
const EPOCHS: usize = 5;

/// Eigenvalues of one metric, largest first, by epoch.
type Spectra<'t> = BTreeMap<&'t str, BTreeMap<usize, Vec<f64>>>;

/// The spectrum of each metric at a few epochs, the last in another colour.
pub(crate) fn spectra(values: &[Spectrum]) -> Result<Picture> {
    let spectra = by_metric(values);
    let last = values.iter().map(|value| value.epoch).max().unwrap_or(1);
    let first = values.iter().map(|value| value.epoch).min().unwrap_or(1);
    let epochs = chosen_epochs(first, last);
    let names: Vec<String> = epochs
        .iter()
        .map(|epoch| format!("epoch {epoch}"))
        .collect();
    let keys: Vec<Key<'_>> = names
        .iter()
        .enumerate()
        .map(|(place, name)| (name.as_str(), Mark::Line, shade(place, epochs.len())))
        .collect();
    let title = "Eigenvalues of the metrics over the epochs";
    let mut picture = Picture::new("spectra", title, 3);
    for (name, spectra) in &spectra {
        picture.panel((340, 360), |area| {
            spectrum_panel(area, &metric_title(name), spectra, &epochs, &keys)
        })?;
    }
    Ok(picture)
}

fn by_metric(values: &[Spectrum]) -> Spectra<'_> {
    let mut spectra = Spectra::new();
    for value in values {
        let of_metric = spectra.entry(&value.metric).or_default();
        of_metric
            .entry(value.epoch)
            .or_default()
            .push(value.eigenvalue);
    }
    for spectrum in spectra.values_mut().flat_map(BTreeMap::values_mut) {
        spectrum.sort_by(|a, b| b.total_cmp(a));
    }
    spectra
}

/// The title of a metric in `spectra.csv`.
fn metric_title(metric: &str) -> String {
    match metric.strip_prefix("local-") {
        Some(local) => format!("M of local metric {local}"),
        None => "M0, the global metric".into(),
    }
}

/// Epochs at about equal steps, including the first and the last.
fn chosen_epochs(first: usize, last: usize) -> Vec<usize> {
    let span = last.saturating_sub(first);
    let steps = EPOCHS.min(span + 1).max(1) - 1;
    let mut epochs: Vec<usize> = (0..=steps)
        .map(|step| first + step * span / steps.max(1))
        .collect();
    epochs.dedup();
    epochs
}

/// The colour of the epoch at a place.
fn shade(place: usize, of: usize) -> RGBAColor {
    let before = [SLATE, GREEN, ORANGE, BLUE];
    let last = place + 1 == of;
    let colour = if last {
        VERMILION
    } else {
        before[place % before.len()]
    };
    colour.to_rgba()
}

fn spectrum_panel(
    area: &Area<'_>,
    title: &str,
    spectra: &BTreeMap<usize, Vec<f64>>,
    epochs: &[usize],
    keys: &[Key<'_>],
) -> Result<()> {
    let drawn = || epochs.iter().filter_map(|epoch| spectra.get(epoch));
    let size = drawn().map(Vec::len).max().unwrap_or(1);
    let x = Axis {
        ticks: 4,
        ..Axis::new("index, largest first", 0.0..(size as f64).max(1.0))
    };
    let (_, most) = ends(drawn().flatten().copied()).unwrap_or((0.0, 1.0));
    let y = Axis {
        ticks: 5,
        ..Axis::new("eigenvalue", 0.0..most.max(1e-9) * 1.06)
    };
    let mut chart = axes(area, title, key_lines(area, keys), &x, &y)?;
    for (place, epoch) in epochs.iter().enumerate() {
        let Some(values) = spectra.get(epoch) else {
            continue;
        };
        let colour = shade(place, epochs.len());
        let points = values
            .iter()
            .enumerate()
            .map(|(index, &value)| (index as f64 + 0.5, value));
        let line = LineSeries::new(points, colour.stroke_width(2));
        chart.draw_series(line).map_err(fault)?;
    }
    key(area, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_epoch_are_always_drawn() {
        assert_eq!(chosen_epochs(1, 1), [1]);
        assert_eq!(chosen_epochs(1, 3), [1, 2, 3]);
        assert_eq!(chosen_epochs(1, 101), [1, 26, 51, 76, 101]);
    }
}
