//! Eigenvalues of the metrics over the epochs.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::*;

use super::axes::{Axis, Key, LINE, Mark, axes, ends, grid, key};
use super::{Area, Picture};
use crate::report::paint::{BLUE, VERMILION, fault};
use crate::report::run::Spectrum;

/// Epochs whose spectra are drawn, at most.
const EPOCHS: usize = 5;

/// Eigenvalues of one metric, largest first, by epoch.
type Spectra<'t> = BTreeMap<&'t str, BTreeMap<usize, Vec<f64>>>;

/// The spectrum of each metric at a few epochs: early ones light, the last in another colour.
pub(crate) fn spectra(values: &[Spectrum]) -> Result<Picture> {
    let spectra = by_metric(values);
    let last = values.iter().map(|value| value.epoch).max().unwrap_or(1);
    let first = values.iter().map(|value| value.epoch).min().unwrap_or(1);
    let epochs = chosen(first, last);
    let rows = spectra.len().div_ceil(3).max(1);
    let height = 300 * u32::try_from(rows).unwrap_or(1) + LINE + 12;
    let title = "Eigenvalues of the metrics over the epochs";
    Picture::draw("spectra", title, (1000, height), |area| {
        let (above, below) = area.split_vertically(LINE + 12);
        let names: Vec<String> = epochs
            .iter()
            .map(|epoch| format!("epoch {epoch}"))
            .collect();
        let keys: Vec<Key<'_>> = names
            .iter()
            .enumerate()
            .map(|(place, name)| (name.as_str(), Mark::Line, shade(place, epochs.len())))
            .collect();
        key(&above, 0, &keys)?;
        for ((name, spectra), panel) in spectra.iter().zip(grid(&below, rows, 3)) {
            one(&panel, &named(name), spectra, &epochs)?;
        }
        Ok(())
    })
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

/// Words of `spectra.csv` as a title.
fn named(metric: &str) -> String {
    match metric.strip_prefix("local-") {
        Some(local) => format!("M of local metric {local}"),
        None => "M0, the global metric".into(),
    }
}

/// Epochs at about equal steps, first and last among them.
fn chosen(first: usize, last: usize) -> Vec<usize> {
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
    if place + 1 == of {
        VERMILION.to_rgba()
    } else {
        BLUE.mix(0.3 + 0.7 * (place + 1) as f64 / of.max(2) as f64)
    }
}

fn one(
    area: &Area<'_>,
    title: &str,
    spectra: &BTreeMap<usize, Vec<f64>>,
    epochs: &[usize],
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
    let mut chart = axes(area, title, 0, &x, &y)?;
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_epoch_are_always_drawn() {
        assert_eq!(chosen(1, 1), [1]);
        assert_eq!(chosen(1, 3), [1, 2, 3]);
        assert_eq!(chosen(1, 101), [1, 26, 51, 76, 101]);
    }
}
