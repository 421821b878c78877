//! What the bias does: how large it is, and the errors with and without it.

use anyhow::Result;
use plotters::prelude::*;

use super::axes::{Axis, Mark, axes, ends, key};
use super::{Area, Picture};
use crate::report::paint::{BLUE, GREY, VERMILION, fault};
use crate::report::run::Prediction;

/// Bars of the histogram.
const BARS: usize = 40;

/// The distribution of the bias, and of |error| with and without it.
pub(crate) fn bias(predictions: &[Prediction]) -> Result<Picture> {
    let title = "Distribution of the bias, and of the error with and without it";
    Picture::draw("bias", title, (1000, 420), |area| {
        let panels = super::axes::grid(area, 1, 2);
        let [left, right] = &panels[..] else {
            return Ok(());
        };
        histogram(left, predictions)?;
        errors(right, predictions)
    })
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
                BLUE.mix(0.75).filled(),
            )
        });
    chart.draw_series(bars).map_err(fault)?;
    let zero = DashedLineSeries::new([(0.0, 0.0), (0.0, most * 1.06)], 6, 4, GREY.stroke_width(2));
    chart.draw_series(zero).map_err(fault)?;
    key(
        area,
        1,
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
        format!("with: mean {:.4}", mean(&with)),
        format!("without: mean {:.4}", mean(&without)),
    );
    key(
        area,
        1,
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
