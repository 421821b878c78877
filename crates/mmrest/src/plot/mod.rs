//! Pictures, as SVG files that need nothing else: light ground, colours that the colour-blind tell apart (Okabe and Ito's).

mod folds;
mod labels;
mod lengths;
mod values;

use std::path::Path;

use anyhow::{Result, anyhow};
use mmrest_data::Split;
use mmrest_data::files;
use mmrest_datatools::inspect::{Inspection, Sequence};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::palette::{BLUE, GREEN, GREY, INK, ORANGE, VERMILION, fault, shortened, tick};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 1000;
const MARGIN: u32 = 14;

/// The colour of a split, the same everywhere.
const fn colour(split: Split) -> RGBColor {
    match split {
        Split::Train => BLUE,
        Split::Valid => ORANGE,
        Split::Test => GREEN,
    }
}

/// One strip of the picture.
enum Panel<'a> {
    Labels(&'a Inspection),
    Folds(Vec<&'a Inspection>),
    Sequence(&'a Inspection, &'a Sequence),
}

impl Panel<'_> {
    fn height(&self) -> u32 {
        match self {
            Self::Labels(_) => 280,
            Self::Folds(files) => 84 + 26 * u32::try_from(files.len()).unwrap_or(40),
            Self::Sequence(..) => 280,
        }
    }

    fn draw(&self, area: &Area<'_>) -> Result<()> {
        let area = area.margin(6, 6, 4, 4);
        match self {
            Self::Labels(file) => labels::draw(file, &area),
            Self::Folds(files) => folds::draw(files, &area),
            Self::Sequence(file, sequence) => {
                let (left, right) = area.split_horizontally((WIDTH - 2 * MARGIN) * 2 / 5);
                lengths::draw(file, sequence, &left)?;
                match &sequence.values {
                    // One column is the labels, drawn by class.
                    Some(values) if values.columns.len() > 1 => values::draw(values, &right),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Draws labels, folds, lengths and values of files into an SVG file, which appears whole or not at all.
pub(crate) fn inspection(files: &[Inspection], path: &Path) -> Result<()> {
    let panels = panels(files);
    if panels.is_empty() {
        return Err(anyhow!(
            "there is nothing to draw: none of the files has labels, folds or sequences"
        ));
    }
    let height = panels.iter().map(Panel::height).sum::<u32>() + 2 * MARGIN;
    let mut svg = String::new();
    {
        let backend = SVGBackend::with_string(&mut svg, (WIDTH, height));
        let root = backend.into_drawing_area();
        root.fill(&WHITE).map_err(fault)?;
        let mut rest = root.margin(MARGIN, MARGIN, MARGIN, MARGIN);
        for panel in &panels {
            let (area, below) = rest.split_vertically(panel.height());
            panel.draw(&area)?;
            rest = below;
        }
        root.present().map_err(fault)?;
    }
    Ok(files::write(path, svg.as_bytes())?)
}

fn panels(files: &[Inspection]) -> Vec<Panel<'_>> {
    let mut panels = Vec::new();
    let labelled = files.iter().filter(|file| file.labels.is_some());
    panels.extend(labelled.map(Panel::Labels));
    let in_folds: Vec<&Inspection> = files.iter().filter(|f| !f.folds.is_empty()).collect();
    if !in_folds.is_empty() {
        panels.push(Panel::Folds(in_folds));
    }
    for file in files {
        let sequences = file.sequences.iter().filter(|s| !s.lengths.is_empty());
        panels.extend(sequences.map(|sequence| Panel::Sequence(file, sequence)));
    }
    panels
}

/// A title's font.
fn title() -> TextStyle<'static> {
    ("sans-serif", 15).into_font().color(&INK)
}

/// The font of axes and legends.
fn small() -> TextStyle<'static> {
    ("sans-serif", 12).into_font().color(&INK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_datatools::inspect::{self, Options};
    use mmrest_datatools::sample::{self, SampleConfig};

    #[test]
    fn the_sample_is_drawn_whole_and_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a<b> & c");
        let config = SampleConfig {
            videos: 3,
            ..SampleConfig::default()
        };
        sample::write(&config, &data).unwrap();
        std::fs::rename(data.join(sample::LABELS), data.join("a<b>&_Labels.csd")).unwrap();
        let folds = mmrest_data::folds::Folds::read(&data.join(sample::FOLDS)).unwrap();
        let options = Options {
            folds: vec![("own".into(), folds)],
            ..Options::default()
        };
        let files: Vec<Inspection> = inspect::expand(&data)
            .unwrap()
            .iter()
            .map(|file| inspect::inspect(file, &options).unwrap())
            .collect();
        let path = folder.path().join("picture.svg");
        inspection(&files, &path).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("a&lt;b&gt;&amp;_Labels.csd"), "{svg}");
        assert!(!svg.contains("<b>") && !svg.contains("=\"NaN"));
        for part in ["segments", "videos", "rows of an entry", "feature"] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(inspection(&[], &folder.path().join("none.svg")).is_err());
    }
}
