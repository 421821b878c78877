//! Ranges of features, and where they are missing.

use anyhow::Result;
use mmrest_datatools::inspect::{Column, Values};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, BLUE, GREY, ORANGE, VERMILION, fault, small, tick, title};

/// Height of the strip of shares below the ranges.
const STRIP: u32 = 78;

/// Least to greatest of every feature, mean and deviation; below, which share of its values is 0 or not a number.
///
/// The scale is asinh: linear about 0, logarithmic far from it, so that features of any size fit.
pub(super) fn draw(values: &Values, area: &Area<'_>) -> Result<()> {
    let (_, height) = area.dim_in_pixel();
    let (above, below) = area.split_vertically(height.saturating_sub(STRIP));
    ranges(values, &above)?;
    shares(values, &below)
}

fn ranges(values: &Values, area: &Area<'_>) -> Result<()> {
    let finite = |value: Option<f32>| value.map(|value| f64::from(value).asinh());
    let ends = values
        .columns
        .iter()
        .flat_map(|c| [finite(c.min), finite(c.max)]);
    let ends: Vec<f64> = ends.flatten().collect();
    let least = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, greatest) = if least <= greatest {
        (least - 0.2, greatest + 0.2)
    } else {
        (-1.0, 1.0)
    };
    let width = to_f64(values.columns.len());
    let mut chart = ChartBuilder::on(area)
        .caption("Values by feature: range, mean ± deviation", title())
        .margin_right(12)
        .x_label_area_size(4)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..width, least..greatest)
        .map_err(fault)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(0)
        .y_labels(0)
        .y_desc("value (asinh scale)")
        .axis_desc_style(small())
        .draw()
        .map_err(fault)?;
    for value in round_values(least, greatest) {
        let line = PathElement::new([(0.0, value), (width, value)], GREY.mix(0.35));
        chart.draw_series([line]).map_err(fault)?;
        let at = chart.backend_coord(&(0.0, value));
        left_of(area, &tick(rounded(value.sinh())), at)?;
    }
    let bars = values
        .columns
        .iter()
        .enumerate()
        .filter_map(|(index, column)| {
            let (low, high) = (finite(column.min)?, finite(column.max)?);
            let style = if low == high {
                GREY.filled()
            } else {
                BLUE.mix(0.35).filled()
            };
            let x = to_f64(index);
            // A constant feature is a thin line.
            let high = high.max(low + 0.02);
            Some(Rectangle::new([(x + 0.12, low), (x + 0.88, high)], style))
        });
    chart.draw_series(bars).map_err(fault)?;
    let middles = values.columns.iter().enumerate().map(|(index, column)| {
        let x = to_f64(index);
        let low = (column.mean - column.deviation).asinh();
        let high = (column.mean + column.deviation).asinh().max(low + 0.02);
        Rectangle::new([(x + 0.28, low), (x + 0.72, high)], BLUE.filled())
    });
    chart.draw_series(middles).map_err(fault)?;
    Ok(())
}

/// 0 and powers of ten within asinh ends: all, or where they are many every second, third, ...
fn round_values(least: f64, greatest: f64) -> Vec<f64> {
    let inside = |value: &f64| (least..=greatest).contains(value);
    let powers: Vec<i32> = (-1..=38)
        .filter(|&power| {
            let value = 10f64.powi(power).asinh();
            inside(&value) || inside(&-value)
        })
        .collect();
    let step = powers.len().div_ceil(5).max(1);
    let chosen = powers.iter().step_by(step);
    let ends = chosen.flat_map(|&power| [10f64.powi(power), -(10f64.powi(power))]);
    let far = |value: &f64| value.abs() > 0.5 || greatest - least < 2.0;
    let mut values: Vec<f64> = ends
        .filter(far)
        .map(f64::asinh)
        .chain([0.0])
        .filter(inside)
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

/// What asinh and back has shifted in the last digits.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Two rows of cells: the share of 0, and of NaN and infinities.
fn shares(values: &Values, area: &Area<'_>) -> Result<()> {
    type Share = fn(&Column) -> usize;
    let rows: [(&str, RGBColor, Share); 2] = [
        ("NaN, inf", VERMILION, |column| column.not_finite),
        ("0", ORANGE, |column| column.zeros),
    ];
    let width = to_f64(values.columns.len());
    let mut chart = ChartBuilder::on(area)
        .margin_right(12)
        .x_label_area_size(38)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..width, 0.0..2.0)
        .map_err(fault)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .y_labels(0)
        .x_labels(10)
        .x_label_formatter(&|x| tick(*x))
        .x_desc("feature (column); below: share of its values, light none, full all")
        .label_style(small())
        .axis_desc_style(small())
        .draw()
        .map_err(fault)?;
    for (row, (name, colour, of)) in rows.iter().enumerate() {
        let low = to_f64(1 - row);
        let cells = values.columns.iter().enumerate().map(|(index, column)| {
            let x = to_f64(index);
            let share = opacity(of(column), column.count + column.not_finite);
            Rectangle::new(
                [(x, low + 0.08), (x + 1.0, low + 0.92)],
                colour.mix(share).filled(),
            )
        });
        chart.draw_series(cells).map_err(fault)?;
        left_of(area, name, chart.backend_coord(&(0.0, low + 0.5)))?;
    }
    Ok(())
}

/// A text that ends just left of a place in the whole picture.
fn left_of(area: &Area<'_>, text: &str, (x, y): (i32, i32)) -> Result<()> {
    let (left, top) = area.get_base_pixel();
    let style = small().pos(Pos::new(HPos::Right, VPos::Center));
    area.draw_text(text, &style, (x - left - 6, y - top))
        .map_err(fault)
}

/// None is barely a tint; a single value can be seen.
fn opacity(count: usize, of: usize) -> f64 {
    match count {
        0 => 0.06,
        _ => 0.3 + 0.7 * to_f64(count) / to_f64(of.max(1)),
    }
}

#[allow(clippy::cast_precision_loss)]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let values = round_values((-20f64).asinh(), 400f64.asinh());
        let shown: Vec<String> = values.iter().map(|v| tick(rounded(v.sinh()))).collect();
        assert_eq!(shown, ["-10", "-1", "0", "1", "10", "100"]);
        assert!(round_values(-80.0, 80.0).len() < 14);
    }
}
