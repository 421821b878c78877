//! Labels by class and split.

use anyhow::Result;
use mmrest_data::Split;
use mmrest_datatools::inspect::{Inspection, Labels};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, GREY, colour, fault, small, tick, title};

/// Bars beside each other: one a split in each class.
pub(super) fn draw(file: &Inspection, area: &Area<'_>) -> Result<()> {
    let Some(labels) = &file.labels else {
        return Ok(());
    };
    let groups = groups(labels);
    let counts = groups.iter().flat_map(|(_, _, counts)| counts);
    let most = to_f64(counts.copied().max().unwrap_or(0)).max(1.0);
    let classes = labels.bins.len();
    let mut chart = ChartBuilder::on(area)
        .caption(format!("Sentiment labels: {}", file.name()), title())
        .margin_right(12)
        .x_label_area_size(38)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..to_f64(classes), 0.0..most * 1.1)
        .map_err(fault)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .light_line_style(WHITE)
        .x_desc("class of the label (sentiment)")
        .y_label_formatter(&|y| tick(*y))
        .y_desc("segments")
        .label_style(small())
        .axis_desc_style(small())
        .draw()
        .map_err(fault)?;
    let width = 0.84 / to_f64(groups.len().max(1));
    for (place, (name, colour, counts)) in groups.iter().enumerate() {
        let bars = counts.iter().enumerate().map(|(class, &count)| {
            let left = to_f64(class) + 0.08 + width * to_f64(place);
            let corners = [(left, 0.0), (left + width * 0.94, to_f64(count))];
            Rectangle::new(corners, colour.filled())
        });
        let colour = *colour;
        chart
            .draw_series(bars)
            .map_err(fault)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.9))
        .label_font(small())
        .draw()
        .map_err(fault)?;
    name_classes(labels, area, &chart)
}

/// The classes' names, each under the middle of its bars.
fn name_classes<'a>(
    labels: &Labels,
    area: &Area<'a>,
    chart: &ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
) -> Result<()> {
    let (left, top) = area.get_base_pixel();
    for (class, bin) in labels.bins.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(to_f64(class) + 0.5, 0.0));
        let style = small().pos(Pos::new(HPos::Center, VPos::Top));
        area.draw_text(bin.class, &style, (x - left, y - top + 6))
            .map_err(fault)?;
    }
    Ok(())
}

/// Name, colour and counts by class: of each split, or of all where no split is known.
fn groups(labels: &Labels) -> Vec<(&'static str, RGBColor, Vec<usize>)> {
    let of = |split: Split| -> Vec<usize> {
        let bins = labels.bins.iter();
        bins.map(|bin| bin.by_split.get(&split).copied().unwrap_or(0))
            .collect()
    };
    let splits: Vec<_> = Split::ALL
        .into_iter()
        .map(|split| (split.name(), colour(split), of(split)))
        .filter(|(_, _, counts)| counts.iter().any(|&count| count > 0))
        .collect();
    if splits.is_empty() {
        let all = labels.bins.iter().map(|bin| bin.count).collect();
        return vec![("all", GREY, all)];
    }
    splits
}

#[allow(clippy::cast_precision_loss)]
fn to_f64(count: usize) -> f64 {
    count as f64
}
