//! Pictures: drawn once, shown in light and dark colours.

mod axes;
mod bars;
mod curves;
mod predictions_plot;
mod space;

pub(crate) use bars::{Bar, Bars};
pub(crate) use curves::{compared, curves, spectra};
pub(crate) use predictions_plot::{against_label, bias, confusion};
pub(crate) use space::{Distances, Scene, Spread, distances, layouts};

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::escape;
use crate::palette::{GROUND, PALETTE, fault, hex};

/// The area of a picture.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Width of a panel in pixels: its letters are of 11 or more where it is squeezed into a phone of 400.
pub(crate) const PANEL: u32 = 420;

/// A picture of panels, each an SVG without a background in the light colours of [`palette`](crate::palette). A page sets
/// them beside each other as far as it is wide; a file has them in a grid.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// Its file's name, without ending: lower-case letters, digits and hyphens.
    pub(crate) name: String,
    /// What it shows, for screen readers.
    pub(crate) title: String,
    /// Panels beside each other in a file.
    columns: u32,
    panels: Vec<Panel>,
}

#[derive(Clone, Debug)]
struct Panel {
    svg: String,
    size: (u32, u32),
}

impl Picture {
    /// A picture without panels.
    pub(crate) fn new(name: &str, title: &str, columns: u32) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            columns: columns.max(1),
            panels: Vec::new(),
        }
    }

    /// Adds a panel of a size in pixels.
    ///
    /// # Errors
    ///
    /// Those of `draw`.
    pub(crate) fn panel(
        &mut self,
        size: (u32, u32),
        draw: impl FnOnce(&Area<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            draw(&area.margin(6, 6, 6, 6))?;
            area.present().map_err(fault)?;
        }
        self.panels.push(Panel { svg, size });
        Ok(())
    }

    /// A picture of one panel.
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
        let mut picture = Self::new(name, title, 1);
        picture.panel(size, draw)?;
        Ok(picture)
    }

    /// The picture as part of a page, whose style sheet makes it dark where the reader wants that.
    pub(super) fn inline(&self) -> String {
        let opening = "<svg class=\"picture\" aria-hidden=\"true\"";
        let panels = self.panels.iter();
        let panels = panels.map(|panel| panel.svg.trim().replacen("<svg", opening, 1));
        let panels: Vec<String> = panels.collect();
        let (title, columns) = (escape(&self.title), self.columns);
        format!(
            "<div class=\"panels of-{columns}\" role=\"img\" aria-label=\"{title}\">\n{}\n</div>",
            panels.join("\n")
        )
    }

    /// All panels in one SVG.
    fn whole(&self) -> String {
        let columns = self.columns as usize;
        let mut inside = String::new();
        let (mut width, mut top) = (0, 0);
        for row in self.panels.chunks(columns) {
            let mut left = 0;
            for panel in row {
                let opening = format!("<svg x=\"{left}\" y=\"{top}\"");
                inside += &panel.svg.trim().replacen("<svg", &opening, 1);
                inside.push('\n');
                left += panel.size.0;
            }
            width = width.max(left);
            top += row.iter().map(|panel| panel.size.1).max().unwrap_or(0);
        }
        format!(
            "<svg width=\"{width}\" height=\"{top}\" viewBox=\"0 0 {width} {top}\" xmlns=\"http://www.w3.org/2000/svg\">\n{inside}</svg>\n"
        )
    }

    /// The picture as a file, on white.
    pub(super) fn light(&self) -> String {
        let ground = hex(GROUND);
        let title = escape(&self.title);
        let more = format!(
            "><title>{title}</title><rect width=\"100%\" height=\"100%\" fill=\"{ground}\"/>"
        );
        self.whole().replacen('>', &more, 1)
    }

    /// The picture as a file, on a dark background.
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

/// The style sheet that makes inline pictures dark.
pub(super) fn dark_style() -> String {
    let rule = |&(light, dark): &(RGBColor, RGBColor)| {
        let (light, dark) = (hex(light), hex(dark));
        format!(
            ".picture [fill=\"{light}\"]{{fill:{dark}}}.picture [stroke=\"{light}\"]{{stroke:{dark}}}\n"
        )
    };
    PALETTE.iter().map(rule).collect()
}

/// The font of pictures as PNG; its licence is beside it.
#[cfg(feature = "png")]
const FONT: &[u8] = include_bytes!("../../../assets/DejaVuSans-subset.ttf");
/// Pixels of the PNG per pixel of the SVG, enough for print.
#[cfg(feature = "png")]
const SCALE: f32 = 2.0;

/// Renders an SVG picture as PNG, by resvg and the program's own font.
///
/// # Errors
///
/// `svg` is not an SVG picture, or it is too large for memory.
#[cfg(feature = "png")]
pub(super) fn png(svg: &str) -> Result<Vec<u8>> {
    use resvg::tiny_skia::{Pixmap, Transform};
    use resvg::usvg::{Options, Tree, fontdb};

    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: std::sync::Arc::new(fonts),
        font_family: "DejaVu Sans".into(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)?;
    let pixels = |length: f32| (length * SCALE).ceil() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let mut pixmap = Pixmap::new(width, height)
        .ok_or_else(|| anyhow::anyhow!("a picture of {width} x {height} pixels cannot be made"))?;
    let scale = Transform::from_scale(SCALE, SCALE);
    resvg::render(&tree, scale, &mut pixmap.as_mut());
    Ok(pixmap.encode_png()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::palette::{BLUE, small};

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
        assert!(inline.contains("<svg class=\"picture\""), "{inline}");
        assert!(inline.contains("aria-label=\"one &amp; &lt;two&gt;\""));
        assert!(!inline.contains("<b>"));
        let (light, dark) = (picture.light(), picture.dark());
        assert!(light.contains("fill=\"#0072B2\"") && light.contains("fill=\"#FFFFFF\""));
        assert!(!dark.contains("fill=\"#0072B2\"") && !dark.contains('@'));
        assert!(dark.contains("#0072B2"), "letters stay");
        assert!(light.contains("width=\"100\" height=\"50\" viewBox=\"0 0 100 50\""));
        assert!(dark_style().contains(".picture [fill=\"#0072B2\"]"));
    }

    #[test]
    fn panels_stand_in_a_grid() {
        let mut picture = Picture::new("a", "three", 2);
        for _ in 0..3 {
            picture.panel((100, 50), |_| Ok(())).unwrap();
        }
        let light = picture.light();
        assert!(light.contains("viewBox=\"0 0 200 100\""), "{light}");
        for place in ["x=\"0\" y=\"0\"", "x=\"100\" y=\"0\"", "x=\"0\" y=\"50\""] {
            assert!(light.contains(&format!("<svg {place}")), "{light}");
        }
        assert_eq!(
            picture.inline().matches("<svg class=\"picture\"").count(),
            3
        );
    }

    /// The page leaves 360 pixels of a phone of 400 to a panel.
    #[test]
    fn letters_are_large_enough_on_a_phone() {
        let picture = Picture::draw("a", "letters", (PANEL, 50), |area| {
            area.draw_text("small", &small(), (5, 5)).map_err(fault)
        })
        .unwrap();
        let light = picture.light();
        let size = light
            .split("font-size=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let size: f64 = size.unwrap().parse().unwrap();
        assert!(size * 360.0 / f64::from(PANEL) >= 11.0, "{size}");
    }

    #[cfg(feature = "png")]
    #[test]
    fn letters_and_shapes_are_drawn_as_png() {
        let svg = |inside: &str| {
            format!(
                "<svg width=\"60\" height=\"20\" xmlns=\"http://www.w3.org/2000/svg\">{inside}</svg>"
            )
        };
        let empty = png(&svg("")).unwrap();
        let text = png(&svg(
            "<text x=\"2\" y=\"15\" font-family=\"sans-serif\" font-size=\"12\">Ab</text>",
        ))
        .unwrap();
        assert!(empty.starts_with(b"\x89PNG") && text.len() > empty.len());
        assert!(png("no picture").is_err());
    }
}
