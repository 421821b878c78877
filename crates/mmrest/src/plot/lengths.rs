//! How long sequences are.

use anyhow::Result;
use mmrest_datatools::inspect::{Inspection, Sequence};
use plotters::prelude::*;

use super::{Area, BLUE, VERMILION, fault, shortened, small, tick, title};

/// Bars of the histogram at most.
const BARS: usize = 30;

/// A histogram of the rows of an entry, and the median as a line.
pub(super) fn draw(file: &Inspection, sequence: &Sequence, area: &Area<'_>) -> Result<()> {
    let histogram = Histogram::of(&sequence.lengths);
    let most = to_f64(histogram.counts.iter().copied().max().unwrap_or(1));
    let name = match sequence.name.as_str() {
        "features" => file.name(),
        name => format!("{name} of {}", file.name()),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(shortened(&name, 42), title())
        .margin_right(12)
        .x_label_area_size(38)
        .y_label_area_size(56)
        .build_cartesian_2d(histogram.start..histogram.end(), 0.0..most * 1.08)
        .map_err(fault)?;
    let unit = match (&sequence.words, sequence.name.as_str()) {
        (Some(_), "text") => "words of an entry",
        _ => "rows of an entry (frames, words or intervals)",
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(6)
        .x_label_formatter(&|x| tick(*x))
        .x_desc(unit)
        .y_label_formatter(&|y| tick(*y))
        .y_desc("entries")
        .label_style(small())
        .axis_desc_style(small())
        .draw()
        .map_err(fault)?;
    let bars = histogram.counts.iter().enumerate().map(|(bar, &count)| {
        let left = histogram.start + histogram.step * to_f64(bar);
        let corners = [(left, 0.0), (left + histogram.step * 0.92, to_f64(count))];
        Rectangle::new(corners, BLUE.filled())
    });
    chart.draw_series(bars).map_err(fault)?;
    if let Some(spread) = &sequence.frames {
        let median = spread.p50;
        let line = [(median, 0.0), (median, most * 1.08)];
        chart
            .draw_series(LineSeries::new(line, VERMILION.stroke_width(2)))
            .map_err(fault)?
            .label(format!("median {}", tick(median)))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], VERMILION.stroke_width(2)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.9))
            .label_font(small())
            .draw()
            .map_err(fault)?;
    }
    Ok(())
}

/// Counts in bins of equal width.
struct Histogram {
    start: f64,
    step: f64,
    counts: Vec<usize>,
}

impl Histogram {
    fn of(lengths: &[usize]) -> Self {
        let least = lengths.iter().copied().min().unwrap_or(0);
        let most = lengths.iter().copied().max().unwrap_or(0);
        // Whole steps, so that no bar holds more lengths than another.
        let step = (most - least + 1).div_ceil(BARS);
        let mut counts = vec![0; (most - least) / step + 1];
        for &length in lengths {
            if let Some(count) = counts.get_mut((length - least) / step) {
                *count += 1;
            }
        }
        Self {
            start: to_f64(least),
            step: to_f64(step),
            counts,
        }
    }

    fn end(&self) -> f64 {
        self.start + self.step * to_f64(self.counts.len())
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
    fn every_length_is_counted_once() {
        let histogram = Histogram::of(&[3, 3, 4, 100]);
        assert_eq!(histogram.counts.iter().sum::<usize>(), 4);
        assert!(histogram.counts.len() <= BARS && histogram.end() > 100.0);
        assert_eq!(Histogram::of(&[5, 5]).counts, [2]);
    }
}
