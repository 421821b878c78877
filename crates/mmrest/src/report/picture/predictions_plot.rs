//! Plots of predictions: against labels, as a confusion matrix, and what the bias changes.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axes::{Axis, Mark, axes, ends, key, key_lines};
use super::{Area, PANEL, Picture};
use crate::numbers::in_table;
use crate::palette::{BLUE, DEEPEST, GREY, INK, VERMILION, fault, placed, small, title};
use crate::report::run::{Prediction, Scale};

/// Plots predictions over labels, with the mean prediction of each class of labels.
pub(crate) fn against_label(predictions: &[Prediction], scale: &Scale) -> Result<Picture> {
    Picture::draw(
        "prediction-label",
        "Prediction against label",
        (PANEL, PANEL),
        |area| {
            let (low, high) = scale.range;
            let room = 0.06 * (high - low);
            let drawn = predictions.iter().map(|p| p.prediction).chain([low, high]);
            let (least, most) = ends(drawn).unwrap_or((low, high));
            let x = Axis::new("label (sentiment)", low - room..high + room);
            let y = Axis::new("prediction (sentiment)", least - room..most + room);
            let keys = [
                ("segment", Mark::Circle, BLUE.to_rgba()),
                ("mean of a class", Mark::Square, VERMILION.to_rgba()),
                ("equal", Mark::Dashed, GREY.to_rgba()),
            ];
            let lines = key_lines(area, &keys);
            let mut chart = axes(area, "Prediction against label", lines, &x, &y)?;
            let equal =
                DashedLineSeries::new([(low, low), (high, high)], 8, 5, GREY.stroke_width(2));
            chart.draw_series(equal).map_err(fault)?;
            let dots = predictions
                .iter()
                .map(|p| Circle::new((p.label, p.prediction), 3, BLUE.stroke_width(1)));
            chart.draw_series(dots).map_err(fault)?;
            let means = means(predictions, scale);
            let line = LineSeries::new(means.iter().copied(), VERMILION.stroke_width(2));
            chart.draw_series(line).map_err(fault)?;
            let squares = means.iter().map(|&at| {
                EmptyElement::at(at) + Rectangle::new([(-5, -5), (5, 5)], VERMILION.filled())
            });
            chart.draw_series(squares).map_err(fault)?;
            key(area, &keys)
        },
    )
}

/// Mean label and mean prediction of each class of labels.
fn means(predictions: &[Prediction], scale: &Scale) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0, 0.0); scale.labels.len()];
    for p in predictions {
        if let Some(sum) = sums.get_mut(scale.class(p.label)) {
            *sum = (sum.0 + p.label, sum.1 + p.prediction, sum.2 + 1.0);
        }
    }
    let full = sums.into_iter().filter(|&(_, _, count)| count > 0.0);
    full.map(|(x, y, count)| (x / count, y / count)).collect()
}

/// The confusion matrix: how often labels of one class (row) were predicted as another (column).
pub(crate) fn counts(predictions: &[Prediction], scale: &Scale) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; scale.labels.len()]; scale.labels.len()];
    for p in predictions {
        let row = counts.get_mut(scale.class(p.label));
        if let Some(count) = row.and_then(|row| row.get_mut(scale.class(p.prediction))) {
            *count += 1;
        }
    }
    counts
}

/// Draws the confusion matrix; the depth of colour is the share of the row.
pub(crate) fn confusion(predictions: &[Prediction], scale: &Scale) -> Result<Picture> {
    let counts = counts(predictions, scale);
    Picture::draw(
        "confusion",
        "Confusion matrix of sentiment classes",
        (PANEL, PANEL),
        |area| {
            area.draw_text("Confusion matrix, depth by row", &title(), (4, 2))
                .map_err(fault)?;
            matrix(area, &counts, &scale.labels)
        },
    )
}

fn matrix(area: &Area<'_>, counts: &[Vec<usize>], labels: &[i32]) -> Result<()> {
    const LEFT: i32 = 62;
    const TOP: i32 = 34;
    const BELOW: i32 = 58;
    let (width, height) = area.dim_in_pixel();
    let size = labels.len().max(1);
    let step = |space: i32| space / i32::try_from(size).unwrap_or(7);
    let across = step(i32::try_from(width).unwrap_or(600) - LEFT - 6);
    let down = step(i32::try_from(height).unwrap_or(600) - TOP - BELOW);
    let at = |column: usize, row: usize| {
        let number = |n: usize| i32::try_from(n).unwrap_or(0);
        (LEFT + across * number(column), TOP + down * number(row))
    };
    let centred = placed(HPos::Center, VPos::Center);
    for (row, line) in counts.iter().enumerate() {
        let all: usize = line.iter().sum();
        for (column, &count) in line.iter().enumerate() {
            let (x, y) = at(column, row);
            let share = count as f64 / all.max(1) as f64;
            let corners = [(x + 1, y + 1), (x + across - 1, y + down - 1)];
            let colour = BLUE.mix(0.05 + (DEEPEST - 0.05) * share);
            area.draw(&Rectangle::new(corners, colour.filled()))
                .map_err(fault)?;
            if row == column {
                area.draw(&Rectangle::new(corners, INK.stroke_width(2)))
                    .map_err(fault)?;
            }
            let middle = (x + across / 2, y + down / 2);
            area.draw_text(&count.to_string(), &centred, middle)
                .map_err(fault)?;
        }
    }
    for (place, label) in labels.iter().enumerate() {
        let ((x, _), (_, y)) = (at(place, 0), at(0, place));
        let name = format!("{label:+}").replace("+0", "0");
        area.draw_text(&name, &centred, (x + across / 2, at(0, size).1 + 14))
            .map_err(fault)?;
        area.draw_text(&name, &centred, (LEFT - 18, y + down / 2))
            .map_err(fault)?;
    }
    let below = (
        LEFT + across * i32::try_from(size).unwrap_or(7) / 2,
        at(0, size).1 + 40,
    );
    area.draw_text("predicted class", &centred, below)
        .map_err(fault)?;
    let turned = small().transform(FontTransform::Rotate270);
    let turned = turned.pos(plotters::style::text_anchor::Pos::new(
        HPos::Center,
        VPos::Center,
    ));
    let beside = (16, TOP + down * i32::try_from(size).unwrap_or(7) / 2);
    area.draw_text("class of the label", &turned, beside)
        .map_err(fault)
}

/// The number of bars of the histogram.
const BARS: usize = 40;

/// Plots the distribution of the bias, and of |error| with and without it.
pub(crate) fn bias(predictions: &[Prediction]) -> Result<Picture> {
    let title = "Distribution of the bias, and of the error with and without it";
    let mut picture = Picture::new("bias", title, 2);
    picture.panel((PANEL, 370), |area| histogram(area, predictions))?;
    picture.panel((PANEL, 370), |area| errors(area, predictions))?;
    Ok(picture)
}

fn histogram(area: &Area<'_>, predictions: &[Prediction]) -> Result<()> {
    let values: Vec<f64> = predictions.iter().map(|p| p.bias).collect();
    // 0 is always seen: most of the question is on which side the bias lies.
    let (low, high) = ends(values.iter().copied().chain([0.0])).unwrap_or((0.0, 1.0));
    let step = ((high - low) / BARS as f64).max(1e-9);
    let mut counts = [0_usize; BARS];
    for value in &values {
        let place = (((value - low) / step) as usize).min(BARS - 1);
        counts[place] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1) as f64;
    let x = Axis::new(
        "gamma times the bias (units of the label)",
        low..low + step * BARS as f64,
    );
    let y = Axis::new("segments", 0.0..most * 1.06);
    let mut chart = axes(area, "The bias", 1, &x, &y)?;
    let bars = counts
        .iter()
        .enumerate()
        .filter(|&(_, &count)| count > 0)
        .map(|(place, &count)| {
            let left = low + step * place as f64;
            Rectangle::new(
                [(left, 0.0), (left + 0.92 * step, count as f64)],
                BLUE.filled(),
            )
        });
    chart.draw_series(bars).map_err(fault)?;
    let zero = DashedLineSeries::new([(0.0, 0.0), (0.0, most * 1.06)], 6, 4, GREY.stroke_width(2));
    chart.draw_series(zero).map_err(fault)?;
    key(
        area,
        &[
            ("segments", Mark::Square, BLUE.to_rgba()),
            ("no bias", Mark::Dashed, GREY.to_rgba()),
        ],
    )
}

fn errors(area: &Area<'_>, predictions: &[Prediction]) -> Result<()> {
    let sorted = |of: fn(&Prediction) -> f64| {
        let mut errors: Vec<f64> = predictions.iter().map(of).collect();
        errors.sort_by(f64::total_cmp);
        errors
    };
    let (with, without) = (
        sorted(Prediction::error),
        sorted(Prediction::error_without_bias),
    );
    let most = ends(with.iter().chain(&without).copied()).map_or(1.0, |(_, most)| most);
    let x = Axis::new("|error| (units of the label)", 0.0..most.max(1e-9) * 1.02);
    let y = Axis::new("share of segments below", 0.0..1.0);
    let mut chart = axes(area, "Errors with and without the bias", 1, &x, &y)?;
    let lines = [(&without, VERMILION, true), (&with, BLUE, false)];
    for (errors, colour, dashed) in lines {
        let steps = steps(errors);
        if dashed {
            chart
                .draw_series(DashedLineSeries::new(steps, 8, 5, colour.stroke_width(3)))
                .map_err(fault)?
        } else {
            chart
                .draw_series(LineSeries::new(steps, colour.stroke_width(2)))
                .map_err(fault)?
        };
    }
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    let (with, without) = (
        format!("with: mean {}", in_table("mae", mean(&with))),
        format!("without: mean {}", in_table("mae", mean(&without))),
    );
    key(
        area,
        &[
            (&with, Mark::Line, BLUE.to_rgba()),
            (&without, Mark::Dashed, VERMILION.to_rgba()),
        ],
    )
}

/// The cumulative distribution, at most some hundreds of points of it.
fn steps(sorted: &[f64]) -> Vec<(f64, f64)> {
    let each = sorted.len().div_ceil(300).max(1);
    let chosen = sorted.iter().enumerate().skip(each - 1).step_by(each);
    let share = |place: usize| (place + 1) as f64 / sorted.len() as f64;
    let points = chosen.map(|(place, &error)| (error, share(place)));
    let last = sorted.last().map(|&error| (error, 1.0));
    [(0.0, 0.0)].into_iter().chain(points).chain(last).collect()
}
