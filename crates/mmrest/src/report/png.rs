//! Pictures as PNG, by resvg and the project's own letters.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Letters of DejaVu Sans; its licence stands beside it.
const FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
/// Pixels of the PNG by those of the SVG: fit for print.
const SCALE: f32 = 2.0;

/// An SVG picture as PNG.
///
/// # Errors
///
/// The picture is none, or too large for memory.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".into(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)?;
    let pixels = |length: f32| (length * SCALE).ceil() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let mut pixmap = Pixmap::new(width, height)
        .ok_or_else(|| anyhow!("a picture of {width} x {height} pixels cannot be made"))?;
    let scale = Transform::from_scale(SCALE, SCALE);
    resvg::render(&tree, scale, &mut pixmap.as_mut());
    Ok(pixmap.encode_png()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_shapes_are_drawn() {
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
