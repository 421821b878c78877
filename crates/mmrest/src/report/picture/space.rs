//! Plots of the shared space: its t-SNE layout, and its distances by sentiment.

use std::collections::BTreeSet;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axes::{Axis, Key, LINE, Mark, axes, ends, key, key_lines, place, put};
use super::{Area, PANEL, Picture};
use crate::palette::{BLUE, GREEN, GROUND, INK, ORANGE, fault, placed, sentiment};
use crate::report::tsne::Layout;

/// Name, mark and colour of each modality.
const MODALITIES: [(&str, Mark, RGBColor); 3] = [
    ("text", Mark::Circle, BLUE),
    ("vision", Mark::Triangle, ORANGE),
    ("audio", Mark::Square, GREEN),
];

/// The layout of one state of the space.
pub(crate) struct Scene<'t> {
    /// The name of the state.
    pub(crate) title: &'t str,
    pub(crate) layout: Layout,
}

/// Draws each scene twice: coloured by sentiment and by modality, with the centres of the clusters.
pub(crate) fn layouts(name: &str, scenes: &[Scene<'_>], labels: &[i32]) -> Result<Picture> {
    let title =
        "The shared space by t-SNE: by sentiment and by modality, with the centres of the clusters";
    let names: Vec<String> = labels.iter().map(|label| signed(*label)).collect();
    let bins = labels.len();
    let sentiments = names.iter().enumerate();
    let sentiments = sentiments.map(|(bin, name)| {
        let colour = sentiment(bin, bins).to_rgba();
        (name.as_str(), sign(bin, bins), colour)
    });
    let sentiments: Vec<Key<'_>> = sentiments.collect();
    let drawn = |place: usize| {
        scenes
            .iter()
            .any(|s| s.layout.space.modality.contains(&place))
    };
    let modalities = MODALITIES.iter().enumerate();
    let modalities = modalities.filter(|(place, _)| drawn(*place));
    let modalities = modalities.map(|(_, &(name, mark, colour))| (name, mark, colour.to_rgba()));
    let modalities: Vec<Key<'_>> = modalities.collect();
    let mut picture = Picture::new(name, title, 2);
    for scene in scenes {
        for (by_modality, keys) in [(false, &sentiments), (true, &modalities)] {
            picture.panel((PANEL, PANEL + LINE), |area| {
                one(area, scene, by_modality, labels, keys)
            })?;
        }
    }
    Ok(picture)
}

/// The mark of a sentiment: its shape shows the sign, its colour the strength.
fn sign(bin: usize, bins: usize) -> Mark {
    match (2 * bin + 1).cmp(&bins) {
        std::cmp::Ordering::Less => Mark::Wedge,
        std::cmp::Ordering::Equal => Mark::Circle,
        std::cmp::Ordering::Greater => Mark::Triangle,
    }
}

fn signed(label: i32) -> String {
    match label {
        0 => "0".into(),
        label => format!("{label:+}"),
    }
}

fn one(
    area: &Area<'_>,
    scene: &Scene<'_>,
    by_modality: bool,
    labels: &[i32],
    keys: &[Key<'_>],
) -> Result<()> {
    let layout = &scene.layout;
    let places = || layout.rows.iter().chain(&layout.centers).copied();
    let plain = |title, values: Vec<f64>| {
        let mut axis = Axis::about(title, values.into_iter());
        axis.ticks = 0;
        axis
    };
    let x = plain("t-SNE 1 (no unit)", places().map(|(x, _)| x).collect());
    let y = plain("t-SNE 2", places().map(|(_, y)| y).collect());
    let by = if by_modality {
        "by modality"
    } else {
        "by sentiment"
    };
    let lines = key_lines(area, keys);
    let chart = axes(area, &format!("{}, {by}", scene.title), lines, &x, &y)?;
    key(area, keys)?;
    let bins = labels.len();
    for (row, &at) in layout.rows.iter().enumerate() {
        let (mark, colour) = if by_modality {
            let modality = layout.space.modality.get(row).copied().unwrap_or(0);
            let (_, mark, colour) = MODALITIES[modality.min(2)];
            (mark, colour)
        } else {
            let bin = layout.space.bins.get(row).copied().unwrap_or(0);
            (sign(bin, bins), sentiment(bin, bins))
        };
        put(area, &chart, at, mark, 3, colour.to_rgba())?;
    }
    let centers = layout.centers.iter().zip(&layout.space.center_bins);
    let centers: Vec<((i32, i32), usize)> = centers
        .map(|(&at, &bin)| (place(area, &chart, at), bin))
        .collect();
    heaps(&centers)
        .iter()
        .try_for_each(|heap| mark_centers(area, heap, labels))
}

/// Groups centres whose marks would overlap: the position of the first, and the bins of all.
fn heaps(centers: &[((i32, i32), usize)]) -> Vec<((i32, i32), BTreeSet<usize>)> {
    let mut heaps: Vec<((i32, i32), BTreeSet<usize>)> = Vec::new();
    for &((x, y), bin) in centers {
        let near = |&((a, b), _): &((i32, i32), _)| (x - a).pow(2) + (y - b).pow(2) < RING.pow(2);
        match heaps.iter().position(near) {
            Some(found) => _ = heaps[found].1.insert(bin),
            None => heaps.push(((x, y), BTreeSet::from([bin]))),
        }
    }
    heaps
}

/// Half the width of the mark of a centre.
const RING: i32 = 14;

/// Draws a ring with the sentiment of a centre, or a box with the sentiments of several.
fn mark_centers(
    area: &Area<'_>,
    ((x, y), bins): &((i32, i32), BTreeSet<usize>),
    labels: &[i32],
) -> Result<()> {
    let (ground, line) = (GROUND.mix(0.9).filled(), INK.stroke_width(2));
    let name = sentiments(bins, labels);
    if bins.len() == 1 {
        area.draw(&Circle::new((*x, *y), RING, ground))
            .map_err(fault)?;
        area.draw(&Circle::new((*x, *y), RING, line))
            .map_err(fault)?;
    } else {
        let half = RING + 4 * i32::try_from(name.chars().count()).unwrap_or(8);
        let corners = [(x - half, y - RING), (x + half, y + RING)];
        area.draw(&Rectangle::new(corners, ground)).map_err(fault)?;
        area.draw(&Rectangle::new(corners, line)).map_err(fault)?;
    }
    let centred = placed(HPos::Center, VPos::Center);
    area.draw_text(&name, &centred, (*x, *y)).map_err(fault)
}

/// `+1`, `-1, +2`, or `-3 … +3` for three or more in a row.
fn sentiments(bins: &BTreeSet<usize>, labels: &[i32]) -> String {
    let name = |bin: &usize| {
        labels
            .get(*bin)
            .map_or(String::new(), |label| signed(*label))
    };
    match (bins.first(), bins.last()) {
        (Some(first), Some(last)) if bins.len() > 2 && last - first + 1 == bins.len() => {
            format!("{} … {}", name(first), name(last))
        }
        _ => bins.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// Mean, and 10th and 90th percentile, of distances within and between sentiment bins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) mean: f64,
    pub(crate) high: f64,
}

/// Distances in a space, by bin: to rows or centres of the same sentiment, and of others.
pub(crate) struct Distances {
    /// Its title.
    pub(crate) title: String,
    pub(crate) within: Vec<Option<Spread>>,
    pub(crate) between: Vec<Option<Spread>>,
}

/// Distances within and between sentiments, a panel each; `keys` name the two.
pub(crate) fn distances(
    name: &str,
    title: &str,
    keys: [&str; 2],
    all: &[Distances],
    labels: &[i32],
) -> Result<Picture> {
    let mut picture = Picture::new(name, title, 2);
    for distances in all {
        picture.panel((PANEL, 360), |area| by_bin(area, distances, keys, labels))?;
    }
    Ok(picture)
}

fn by_bin(
    area: &Area<'_>,
    distances: &Distances,
    [within, between]: [&str; 2],
    labels: &[i32],
) -> Result<()> {
    let all = || distances.within.iter().chain(&distances.between).flatten();
    let most = ends(all().map(|spread| spread.high)).map_or(1.0, |(_, most)| most);
    let bins = labels.len();
    let mut x = Axis::new("sentiment bin", -0.5..bins as f64 - 0.5);
    x.ticks = 0;
    let y = Axis::new("distance (mean, 10–90 %)", 0.0..most.max(1e-9) * 1.05);
    let keys = [
        (within, Mark::Circle, BLUE.to_rgba()),
        (between, Mark::Square, ORANGE.to_rgba()),
    ];
    let mut chart = axes(area, &distances.title, key_lines(area, &keys), &x, &y)?;
    let series = [
        (&distances.within, -0.14, BLUE, Mark::Circle),
        (&distances.between, 0.14, ORANGE, Mark::Square),
    ];
    for (spreads, shift, colour, mark) in series {
        for (bin, spread) in spreads.iter().enumerate() {
            let Some(spread) = spread else { continue };
            let at = bin as f64 + shift;
            let line = PathElement::new(
                [(at, spread.low), (at, spread.high)],
                colour.stroke_width(3),
            );
            chart.draw_series([line]).map_err(fault)?;
            put(area, &chart, (at, spread.mean), mark, 6, colour.to_rgba())?;
        }
    }
    for (bin, label) in labels.iter().enumerate() {
        let (x, y) = place(area, &chart, (bin as f64, 0.0));
        let style = placed(HPos::Center, VPos::Top);
        area.draw_text(&signed(*label), &style, (x, y + 4))
            .map_err(fault)?;
    }
    key(area, &keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_that_hide_one_another_share_a_mark() {
        let labels = [-3, -2, -1, 0, 1, 2, 3];
        let centers = [
            ((100, 100), 2),
            ((105, 103), 5),
            ((130, 100), 3),
            ((102, 99), 2),
        ];
        let heaps = heaps(&centers);
        let named: Vec<((i32, i32), String)> = heaps
            .iter()
            .map(|(at, bins)| (*at, sentiments(bins, &labels)))
            .collect();
        let expected = [((100, 100), "-1, +2".into()), ((130, 100), "0".into())];
        assert_eq!(named, expected);
        let all = (0..7).map(|bin| ((5, 5), bin)).collect::<Vec<_>>();
        assert_eq!(sentiments(&super::heaps(&all)[0].1, &labels), "-3 … +3");
    }
}
