//! Bar charts with intervals.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axes::{Chart, ends};
use super::{Area, PANEL, Picture};
use crate::palette::{FAINT, GROUND, INK, fault, placed, series, shortened, small, tick, title};

/// One bar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bar {
    /// Its name.
    pub(crate) name: String,
    /// Its value as it is written; nothing for the ticks' form.
    pub(crate) text: String,
    /// Its length. A value that is not finite is shown as "none".
    pub(crate) value: f64,
    /// An interval about it.
    pub(crate) interval: Option<(f64, f64)>,
    /// Single values behind it, such as those of seeds; drawn as small circles.
    pub(crate) points: Vec<f64>,
    /// Its group, which decides its colour.
    pub(crate) group: usize,
}

/// Horizontal bars, first on top.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bars {
    /// The picture's file name, without ending.
    pub(crate) name: String,
    /// Its title.
    pub(crate) title: String,
    /// What is measured, with its unit and what the interval is.
    pub(crate) axis: String,
    /// The bars.
    pub(crate) bars: Vec<Bar>,
    /// The position of a line, such as the value of the full method.
    pub(crate) reference: Option<f64>,
    /// Whether the axis begins near the least value rather than at 0. Since lengths would then mislead, only the ends are
    /// drawn, as dots.
    pub(crate) zoom: bool,
}

/// A row: the name, and the bar below it.
const ROW: u32 = 46;
/// Above the bars: the title.
const TOP: u32 = 34;
/// Below them: ticks and what is measured.
const BOTTOM: u32 = 56;
/// Letters of a name, at most.
const NAME: usize = 48;
/// Right of the bars: the value.
const VALUE: u32 = 76;
/// Where in a row the bar is, and half of its height.
const MIDDLE: f64 = 0.7;
const HALF: f64 = 0.2;

impl Bars {
    /// Draws the bars.
    ///
    /// # Errors
    ///
    /// Drawing failed.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let rows = u32::try_from(self.bars.len()).unwrap_or(1).max(1);
        let size = (PANEL, TOP + ROW * rows + BOTTOM + 12);
        Picture::draw(&self.name, &self.title, size, |area| {
            area.draw_text(&self.title, &title(), (2, 2))
                .map_err(fault)?;
            self.plot(&area.margin(TOP, 0, 0, VALUE))
        })
    }

    /// The range of the values, with some margin.
    fn range(&self) -> (f64, f64) {
        let values = self.bars.iter().flat_map(|bar| {
            let ends = bar.interval.map(|(low, high)| [low, high]);
            let ends = ends.into_iter().flatten();
            ends.chain(bar.points.iter().copied()).chain([bar.value])
        });
        let (low, high) = match (ends(values.chain(self.reference)), self.zoom) {
            (None, _) => (0.0, 1.0),
            (Some(ends), true) => ends,
            (Some((low, high)), false) => (low.min(0.0), high.max(0.0)),
        };
        let room = 0.04 * (high - low).max(1e-9);
        if self.zoom {
            (low - 2.0 * room, high + 2.0 * room)
        } else {
            (if low < 0.0 { low - room } else { 0.0 }, high + room)
        }
    }

    fn plot(&self, area: &Area<'_>) -> Result<()> {
        let (low, high) = self.range();
        let rows = self.bars.len().max(1) as f64;
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(10)
            .build_cartesian_2d(low..high, rows..0.0)
            .map_err(fault)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_labels(6)
            .x_label_formatter(&|x| tick(*x))
            .x_desc(&self.axis)
            .bold_line_style(FAINT)
            .light_line_style(FAINT.mix(0.0))
            .axis_style(FAINT)
            .label_style(small())
            .axis_desc_style(small())
            .draw()
            .map_err(fault)?;
        if let Some(at) = self.reference {
            let line = PathElement::new([(at, 0.0), (at, rows)], INK.mix(0.8).stroke_width(1));
            chart.draw_series([line]).map_err(fault)?;
        }
        let (left, top) = area.get_base_pixel();
        for (row, bar) in self.bars.iter().enumerate() {
            let middle = row as f64 + MIDDLE;
            let (_, above) = chart.backend_coord(&(low, row as f64 + 0.26));
            let name = shortened(&bar.name, NAME);
            let style = placed(HPos::Left, VPos::Center);
            let above = above - top;
            // Names are read, not the lines behind them.
            let wide = 8 + 7 * i32::try_from(name.chars().count()).unwrap_or(0);
            let behind = Rectangle::new([(0, above - 9), (wide, above + 9)], GROUND.filled());
            area.draw(&behind).map_err(fault)?;
            area.draw_text(&name, &style, (2, above)).map_err(fault)?;
            let (_, y) = chart.backend_coord(&(low, middle));
            marks(&mut chart, bar, middle, self.zoom)?;
            let end = bar
                .interval
                .map_or(bar.value, |(_, high)| high.max(bar.value));
            let end = bar.points.iter().copied().fold(end, f64::max);
            let (x, _) = chart.backend_coord(&(if end.is_finite() { end } else { low }, middle));
            let text = match bar.text.as_str() {
                _ if !bar.value.is_finite() => "none".to_owned(),
                "" => tick(bar.value),
                text => text.to_owned(),
            };
            let style = placed(HPos::Left, VPos::Center);
            // Right of the plot there is no other area: letters may run out into it.
            area.draw_text(&text, &style, (x - left + 8, y - top))
                .map_err(fault)?;
        }
        Ok(())
    }
}

/// The bar or dot, its interval, and single values.
fn marks(chart: &mut Chart<'_, '_>, bar: &Bar, middle: f64, zoom: bool) -> Result<()> {
    let colour = series(bar.group);
    if bar.value.is_finite() {
        if zoom {
            let dot = Circle::new((bar.value, middle), 6, colour.filled());
            chart.draw_series([dot]).map_err(fault)?;
        } else {
            let corners = [(0.0, middle - HALF), (bar.value, middle + HALF)];
            let bar = Rectangle::new(corners, colour.filled());
            chart.draw_series([bar]).map_err(fault)?;
        }
    }
    let points = bar.points.iter().filter(|point| point.is_finite());
    let dots = points.map(|&point| Circle::new((point, middle), 3, INK.mix(0.7)));
    chart.draw_series(dots).map_err(fault)?;
    let Some((low, high)) = bar.interval.filter(|(a, b)| a.is_finite() && b.is_finite()) else {
        return Ok(());
    };
    let strokes = [
        [(low, middle), (high, middle)],
        [(low, middle - HALF / 2.0), (low, middle + HALF / 2.0)],
        [(high, middle - HALF / 2.0), (high, middle + HALF / 2.0)],
    ];
    let strokes = strokes.map(|ends| PathElement::new(ends, INK.stroke_width(2)));
    chart.draw_series(strokes).map_err(fault)?;
    Ok(())
}
