//! Training curves.

use anyhow::Result;
use plotters::prelude::*;

use super::axes::{Axis, Key, LINE, Mark, axes, ends, grid, key};
use super::{Area, Picture};
use crate::report::paint::{GREY, fault, series, shortened};
use crate::report::run::{Epochs, Run};

/// A panel: title, what is measured, and the columns of `epochs.csv` in it with their names.
type Panel = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const PANELS: [Panel; 6] = [
    (
        "Loss of training",
        "loss",
        &[("loss", "L"), ("loss_task", "L1 (task)")],
    ),
    (
        "Parts of L_MMC, per row",
        "loss, before its weight",
        &[
            ("loss_mmc", "L_MMC"),
            ("loss_intra", "intra"),
            ("loss_inter", "inter"),
            ("loss_frobenius", "Frobenius"),
        ],
    ),
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
        "share correct",
        &[
            ("valid_acc7", "Acc-7"),
            ("valid_acc5", "Acc-5"),
            ("valid_acc3", "Acc-3"),
            ("valid_acc2_non0", "Acc-2"),
            ("valid_acc2", "Acc-2"),
        ],
    ),
    (
        "Gradient norms before clipping",
        "norm",
        &[
            ("gradient_norm", "model"),
            ("metric_gradient_norm", "metrics"),
        ],
    ),
];

/// The curves of one run; the selected epoch is a dashed line.
pub(crate) fn curves(run: &Run) -> Result<Picture> {
    let selected = run.metric(&["selected_epoch"]);
    let title = format!("Training curves of {}", run.name);
    Picture::draw("curves", &title, (1000, 1080), |area| {
        for (area, (title, unit, columns)) in grid(area, 3, 2).iter().zip(PANELS) {
            let lines: Vec<(&str, Vec<(f64, f64)>)> = columns
                .iter()
                .map(|&(column, name)| (name, run.epochs.curve(column)))
                .filter(|(_, line)| !line.is_empty())
                .collect();
            panel(area, title, unit, &lines, selected)?;
        }
        Ok(())
    })
}

/// One column of several runs over each other.
pub(crate) fn compared(runs: &[(String, &Epochs)]) -> Result<Picture> {
    let rows = runs.len().div_ceil(2).max(1) as u32;
    let names: Vec<String> = runs.iter().map(|(name, _)| shortened(name, 44)).collect();
    let size = (1000, 420 + LINE * rows);
    Picture::draw(
        "curves-compared",
        "Training loss and validation error of each run",
        size,
        |area| {
            let keys: Vec<Key<'_>> = names
                .iter()
                .enumerate()
                .map(|(place, name)| (name.as_str(), Mark::Line, series(place).to_rgba()))
                .collect();
            let (above, below) = area.split_vertically(LINE * rows + 6);
            key(&above, 0, &keys)?;
            let panels = [
                ("Loss of training", "loss", "loss"),
                ("Validation error", "MAE (units of the label)", "valid_mae"),
            ];
            for (area, (title, unit, column)) in grid(&below, 1, 2).iter().zip(panels) {
                let lines: Vec<(&str, Vec<(f64, f64)>)> = runs
                    .iter()
                    .map(|(_, epochs)| ("", epochs.curve(column)))
                    .collect();
                panel(area, title, unit, &lines, None)?;
            }
            Ok(())
        },
    )
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
    let mut chart = axes(area, title, u32::from(!named.is_empty()), &x, &y)?;
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
    key(area, 1, &named)
}
