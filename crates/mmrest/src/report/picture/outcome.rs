//! Predictions against labels, and as classes.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axes::{Axis, Mark, axes, ends, key};
use super::{Area, Picture};
use crate::report::paint::{BLUE, GREY, GROUND, INK, VERMILION, fault, placed, small, title};
use crate::report::run::{Prediction, Scale};

/// Each segment's prediction over its label, and the mean prediction of each class of labels.
pub(crate) fn against_label(predictions: &[Prediction], scale: &Scale) -> Result<Picture> {
    Picture::draw(
        "prediction-label",
        "Prediction against label",
        (640, 640),
        |area| {
            let area = area.margin(6, 6, 6, 6);
            let (low, high) = scale.range;
            let room = 0.06 * (high - low);
            let drawn = predictions.iter().map(|p| p.prediction).chain([low, high]);
            let (least, most) = ends(drawn).unwrap_or((low, high));
            let x = Axis::new("label (sentiment)", low - room..high + room);
            let y = Axis::new("prediction (sentiment)", least - room..most + room);
            let mut chart = axes(&area, "Prediction against label", 1, &x, &y)?;
            let equal =
                DashedLineSeries::new([(low, low), (high, high)], 8, 5, GREY.stroke_width(2));
            chart.draw_series(equal).map_err(fault)?;
            let dots = predictions
                .iter()
                .map(|p| Circle::new((p.label, p.prediction), 3, BLUE.mix(0.45).filled()));
            chart.draw_series(dots).map_err(fault)?;
            let means = means(predictions, scale);
            let line = LineSeries::new(means.iter().copied(), VERMILION.stroke_width(2));
            chart.draw_series(line).map_err(fault)?;
            let squares = means.iter().map(|&at| {
                EmptyElement::at(at) + Rectangle::new([(-5, -5), (5, 5)], VERMILION.filled())
            });
            chart.draw_series(squares).map_err(fault)?;
            let keys = [
                ("segment", Mark::Circle, BLUE.to_rgba()),
                (
                    "mean of a class of labels",
                    Mark::Square,
                    VERMILION.to_rgba(),
                ),
                ("equal", Mark::Dashed, GREY.to_rgba()),
            ];
            key(&area, 1, &keys)
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

/// How often labels of one class (row) were predicted as another (column).
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

/// The matrix of classes: counts, and the share of each row as depth of colour.
pub(crate) fn confusion(predictions: &[Prediction], scale: &Scale) -> Result<Picture> {
    let counts = counts(predictions, scale);
    Picture::draw(
        "confusion",
        "Confusion matrix of sentiment classes",
        (640, 640),
        |area| {
            let area = area.margin(6, 6, 6, 6);
            area.draw_text("Confusion matrix: segments, depth by row", &title(), (4, 2))
                .map_err(fault)?;
            matrix(&area, &counts, &scale.labels)
        },
    )
}

fn matrix(area: &Area<'_>, counts: &[Vec<usize>], labels: &[i32]) -> Result<()> {
    const LEFT: i32 = 70;
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
            let colour = BLUE.mix(0.05 + 0.95 * share);
            area.draw(&Rectangle::new(corners, colour.filled()))
                .map_err(fault)?;
            if row == column {
                area.draw(&Rectangle::new(corners, INK.stroke_width(2)))
                    .map_err(fault)?;
            }
            let ink = if share > 0.7 { GROUND } else { INK };
            let middle = (x + across / 2, y + down / 2);
            area.draw_text(&count.to_string(), &centred.color(&ink), middle)
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
