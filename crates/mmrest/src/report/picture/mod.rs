//! A picture: drawn once, shown light and dark.

mod axes;
mod bars;
mod bias;
mod curves;
mod outcome;
mod space;
mod spectra;

pub(crate) use bars::{Bar, Bars};
pub(crate) use bias::bias;
pub(crate) use curves::{compared, curves};
pub(crate) use outcome::{against_label, confusion};
pub(crate) use space::{Distances, Scene, Spread, distances, layouts};
pub(crate) use spectra::spectra;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::escape;
use super::paint::{GROUND, PALETTE, fault, hex};

/// Where a picture is drawn.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An SVG picture on no ground of its own, in the light colours of [`paint`](super::paint).
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// Its file's name, without ending: lower-case letters, digits and hyphens.
    pub(crate) name: String,
    /// What it shows, for those who cannot see it.
    pub(crate) title: String,
    svg: String,
}

impl Picture {
    /// Draws a picture of a size in pixels.
    ///
    /// # Errors
    ///
    /// Those of `draw`.
    pub(crate) fn draw(
        name: &str,
        title: &str,
        size: (u32, u32),
        draw: impl FnOnce(&Area<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            draw(&area)?;
            area.present().map_err(fault)?;
        }
        Ok(Self {
            name: name.to_owned(),
            title: title.to_owned(),
            svg,
        })
    }

    /// The picture as part of a page, whose style sheet turns it dark where the reader wants that.
    pub(super) fn inline(&self) -> String {
        let title = escape(&self.title);
        let opening = format!("<svg class=\"picture\" role=\"img\" aria-label=\"{title}\"");
        self.svg.trim().replacen("<svg", &opening, 1)
    }

    /// The picture as a file of its own, on white.
    pub(super) fn light(&self) -> String {
        let ground = hex(GROUND);
        let title = escape(&self.title);
        let more = format!(
            "><title>{title}</title><rect width=\"100%\" height=\"100%\" fill=\"{ground}\"/>"
        );
        self.svg.replacen('>', &more, 1)
    }

    /// The same on a dark ground.
    pub(super) fn dark(&self) -> String {
        let mut svg = self.light();
        // A dark colour that is also a light one must not be replaced again.
        for (index, (light, _)) in PALETTE.iter().enumerate() {
            svg = svg.replace(
                &format!("=\"{}\"", hex(*light)),
                &format!("=\"#@{index}@\""),
            );
        }
        for (index, (_, dark)) in PALETTE.iter().enumerate() {
            svg = svg.replace(&format!("=\"#@{index}@\""), &format!("=\"{}\"", hex(*dark)));
        }
        svg
    }
}

/// The style sheet that turns inline pictures dark.
pub(super) fn dark_style() -> String {
    let rule = |&(light, dark): &(RGBColor, RGBColor)| {
        let (light, dark) = (hex(light), hex(dark));
        format!(
            ".picture [fill=\"{light}\"]{{fill:{dark}}}.picture [stroke=\"{light}\"]{{stroke:{dark}}}\n"
        )
    };
    PALETTE.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::paint::{BLUE, small};

    #[test]
    fn a_picture_has_a_light_and_a_dark_side() {
        let picture = Picture::draw("a", "one & <two>", (100, 50), |area| {
            let square = Rectangle::new([(0, 0), (9, 9)], BLUE.filled());
            area.draw(&square).map_err(fault)?;
            area.draw_text("<b> #0072B2", &small(), (5, 5))
                .map_err(fault)
        })
        .unwrap();
        let inline = picture.inline();
        assert!(inline.starts_with("<svg class=\"picture\""), "{inline}");
        assert!(inline.contains("aria-label=\"one &amp; &lt;two&gt;\""));
        assert!(!inline.contains("<b>"));
        let (light, dark) = (picture.light(), picture.dark());
        assert!(light.contains("fill=\"#0072B2\"") && light.contains("fill=\"#FFFFFF\""));
        assert!(!dark.contains("fill=\"#0072B2\"") && !dark.contains('@'));
        assert!(dark.contains("#0072B2"), "letters stay");
        assert!(dark_style().contains(".picture [fill=\"#0072B2\"]"));
    }
}
