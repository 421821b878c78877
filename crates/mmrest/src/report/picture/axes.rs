//! Axes and legends, the same in every picture.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::Area;
use crate::palette::{FAINT, GREY, fault, small, tick, title};

/// A chart to draw on.
pub(crate) type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What an axis shows.
#[derive(Clone, Debug)]
pub(crate) struct Axis<'t> {
    pub(crate) title: &'t str,
    pub(crate) range: Range<f64>,
    /// The approximate number of ticks; 0 for none.
    pub(crate) ticks: usize,
}

impl<'t> Axis<'t> {
    pub(crate) fn new(title: &'t str, range: Range<f64>) -> Self {
        let range = if range.start < range.end {
            range
        } else {
            // A single value has room on both sides.
            range.start - 0.5..range.start + 0.5
        };
        Self {
            title,
            range,
            ticks: 6,
        }
    }

    /// An axis that fits values, with some margin; 0 to 1 without values.
    pub(crate) fn about(title: &'t str, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values).unwrap_or((0.0, 1.0));
        let room = 0.05 * (high - low);
        Self::new(title, low - room..high + room)
    }
}

/// The least and the greatest of the numbers among values.
pub(crate) fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut numbers = values.filter(|value| value.is_finite());
    let first = numbers.next()?;
    Some(numbers.fold((first, first), |(low, high), v| (low.min(v), high.max(v))))
}

/// The height of a panel's title, and of a line of its legend.
pub(crate) const LINE: u32 = 26;

/// Draws the title of a panel, and its axes below `keys` free lines for a legend.
pub(crate) fn axes<'a, 'b>(
    area: &'a Area<'b>,
    caption: &str,
    keys: u32,
    x: &Axis<'_>,
    y: &Axis<'_>,
) -> Result<Chart<'a, 'b>> {
    area.draw_text(caption, &title(), (4, 2)).map_err(fault)?;
    let above = i32::try_from(LINE * (keys + 1)).unwrap_or(30);
    let mut chart = ChartBuilder::on(area)
        .margin_top(above + 4)
        .margin_right(14)
        .x_label_area_size(if x.ticks > 0 { 50 } else { 46 })
        .y_label_area_size(if y.ticks > 0 { 62 } else { 26 })
        .build_cartesian_2d(x.range.clone(), y.range.clone())
        .map_err(fault)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(x.ticks)
        .y_labels(y.ticks)
        .x_label_formatter(&|value| tick(*value))
        .y_label_formatter(&|value| tick(*value))
        .x_desc(x.title)
        .y_desc(y.title)
        .bold_line_style(FAINT)
        .light_line_style(FAINT.mix(0.0))
        .max_light_lines(0)
        .axis_style(GREY)
        .label_style(small())
        .axis_desc_style(small());
    if x.ticks == 0 {
        mesh.disable_x_mesh();
    }
    if y.ticks == 0 {
        mesh.disable_y_mesh();
    }
    mesh.draw().map_err(fault)?;
    Ok(chart)
}

/// The mark of a point or series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Line,
    Dashed,
    Square,
    Circle,
    Triangle,
    /// A triangle that points down.
    Wedge,
}

/// An entry of a legend.
pub(crate) type Key<'t> = (&'t str, Mark, RGBAColor);

/// Where each entry of a legend stands: its distance from the left, and its line from 0. Entries that do not fit go into
/// further lines.
fn key_places(area: &Area<'_>, names: &[Key<'_>]) -> Vec<(i32, u32)> {
    let (width, _) = area.dim_in_pixel();
    let width = i32::try_from(width).unwrap_or(1000);
    let (mut x, mut line) = (8, 0);
    let mut places = Vec::new();
    for (name, _, _) in names {
        let long = 28 + 7 * i32::try_from(name.chars().count()).unwrap_or(20);
        if x > 8 && x + long > width {
            (x, line) = (8, line + 1);
        }
        places.push((x, line));
        x += long + 6;
    }
    places
}

/// The number of lines that a legend takes.
pub(crate) fn key_lines(area: &Area<'_>, names: &[Key<'_>]) -> u32 {
    key_places(area, names)
        .last()
        .map_or(0, |(_, line)| line + 1)
}

/// Draws a legend below the title.
pub(crate) fn key(area: &Area<'_>, names: &[Key<'_>]) -> Result<()> {
    for (&(name, mark, colour), (x, line)) in names.iter().zip(key_places(area, names)) {
        let y = i32::try_from(LINE * (line + 1)).unwrap_or(0) + 4;
        area.draw(&marked(mark, (x + 8, y + 7), 6, colour))
            .map_err(fault)?;
        area.draw_text(name, &small(), (x + 21, y)).map_err(fault)?;
    }
    Ok(())
}

/// A mark centred at a point in pixels.
pub(crate) fn marked<'a, 'b>(
    mark: Mark,
    (x, y): (i32, i32),
    size: i32,
    colour: RGBAColor,
) -> DynElement<'a, SVGBackend<'b>, (i32, i32)>
where
    'b: 'a,
{
    let filled = colour.filled();
    match mark {
        Mark::Line => PathElement::new(
            [(x - size - 2, y), (x + size + 2, y)],
            colour.stroke_width(3),
        )
        .into_dyn(),
        Mark::Dashed => {
            let dash =
                |from, to| PathElement::new([(x + from, y), (x + to, y)], colour.stroke_width(3));
            (EmptyElement::at((0, 0)) + dash(-size - 4, -2) + dash(2, size + 3)).into_dyn()
        }
        Mark::Square => {
            Rectangle::new([(x - size, y - size), (x + size, y + size)], filled).into_dyn()
        }
        Mark::Circle => Circle::new((x, y), size, filled).into_dyn(),
        Mark::Triangle => Polygon::new(
            [(x, y - size), (x + size, y + size), (x - size, y + size)],
            filled,
        )
        .into_dyn(),
        Mark::Wedge => Polygon::new(
            [(x, y + size), (x + size, y - size), (x - size, y - size)],
            filled,
        )
        .into_dyn(),
    }
}

/// Draws a mark at a place of a chart on `area`.
pub(crate) fn put(
    area: &Area<'_>,
    chart: &Chart<'_, '_>,
    at: (f64, f64),
    mark: Mark,
    size: i32,
    colour: RGBAColor,
) -> Result<()> {
    area.draw(&marked(mark, place(area, chart, at), size, colour))
        .map_err(fault)
}

/// A place of a chart in pixels of `area`.
pub(crate) fn place(area: &Area<'_>, chart: &Chart<'_, '_>, at: (f64, f64)) -> (i32, i32) {
    let ((x, y), (left, top)) = (chart.backend_coord(&at), area.get_base_pixel());
    (x - left, y - top)
}
