//! The colours and fonts of every picture.
//!
//! Pictures are drawn in the light colours. Each has a dark counterpart, put in its place by the page's style sheet or in
//! the file of the dark picture; so no other colour may be drawn, but any opacity of these.

use anyhow::anyhow;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The background.
pub(crate) const GROUND: RGBColor = RGBColor(255, 255, 255);
/// Text and axes.
pub(crate) const INK: RGBColor = RGBColor(40, 40, 40);
/// Grid lines.
pub(crate) const FAINT: RGBColor = RGBColor(217, 220, 224);
/// Secondary lines.
pub(crate) const GREY: RGBColor = RGBColor(153, 153, 153);
/// This and the next five are Okabe and Ito's colours, which colour-blind people can tell apart.
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(crate) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(crate) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(crate) const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub(crate) const SKY: RGBColor = RGBColor(86, 180, 233);

/// Colours of series without an order, such as runs.
const SERIES: [RGBColor; 6] = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY];

/// Colours of sentiment, from the most negative over grey to the most positive, with equal steps of lightness on both sides.
const SENTIMENT: [RGBColor; 7] = [
    RGBColor(8, 69, 148),
    RGBColor(49, 130, 189),
    RGBColor(124, 179, 217),
    RGBColor(154, 154, 158),
    RGBColor(240, 168, 96),
    RGBColor(217, 106, 22),
    RGBColor(150, 56, 4),
];

/// Every light colour with its dark one.
pub(super) const PALETTE: [(RGBColor, RGBColor); 17] = [
    (GROUND, RGBColor(22, 25, 29)),
    (INK, RGBColor(228, 230, 232)),
    (FAINT, RGBColor(58, 63, 70)),
    (GREY, RGBColor(150, 155, 162)),
    (BLUE, RGBColor(76, 166, 229)),
    (ORANGE, RGBColor(240, 180, 50)),
    (GREEN, RGBColor(45, 195, 150)),
    (VERMILION, RGBColor(250, 125, 60)),
    (PURPLE, RGBColor(222, 150, 192)),
    (SKY, RGBColor(140, 205, 245)),
    (SENTIMENT[0], RGBColor(110, 185, 255)),
    (SENTIMENT[1], RGBColor(74, 144, 208)),
    (SENTIMENT[2], RGBColor(62, 108, 152)),
    (SENTIMENT[3], RGBColor(128, 128, 132)),
    (SENTIMENT[4], RGBColor(156, 108, 66)),
    (SENTIMENT[5], RGBColor(212, 132, 58)),
    (SENTIMENT[6], RGBColor(255, 176, 92)),
];

/// The colour of series `index`.
pub(crate) fn series(index: usize) -> RGBColor {
    SERIES[index % SERIES.len()]
}

/// The colour of sentiment bin `bin` of `bins`; the middle one of an odd number is grey.
pub(crate) fn sentiment(bin: usize, bins: usize) -> RGBColor {
    let steps = bins.saturating_sub(1).max(1);
    let last = SENTIMENT.len() - 1;
    let place = bin.min(steps) * last;
    // Away from the middle is towards the ends, alike on both sides.
    let place = if 2 * place < last * steps {
        place.div_ceil(steps)
    } else {
        place / steps
    };
    SENTIMENT[place.min(last)]
}

/// A colour in the notation of SVG and CSS.
pub(super) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// An error of drawing. Drawing into memory fails only because of a bug.
pub(crate) fn fault(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// The font of a panel's title.
pub(crate) fn title() -> TextStyle<'static> {
    ("sans-serif", 19).into_font().color(&INK)
}

/// The font of axes and legends.
pub(crate) fn small() -> TextStyle<'static> {
    ("sans-serif", 16).into_font().color(&INK)
}

/// [`small`], anchored at a point.
pub(crate) fn placed(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    small().pos(Pos::new(horizontal, vertical))
}

/// Formats a number for an axis.
pub(crate) fn tick(value: f64) -> String {
    let short = |digits: &str| {
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        digits.to_owned()
    };
    match value.abs() {
        // An axis adds up its steps: what should be 0 is off by a rounding.
        size if size < 1e-12 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => {
            let text = format!("{value:.2e}");
            let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{}e{power}", short(digits))
        }
        _ => short(&format!("{value:.3}")),
    }
}

/// A name cut to `letters` characters.
pub(crate) fn shortened(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    let start: String = name.chars().take(letters.saturating_sub(1)).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        let shown = [0.0, -1.5, 1e6, -0.000_1, -0.0, 20.0].map(tick);
        assert_eq!(shown, ["0", "-1.5", "1e6", "-1e-4", "0", "20"]);
        // As axes come to them: by adding up steps.
        let shown = [-6.9e-18, 3.0 * 1e-4, -0.2 + 0.2 + 1e-17].map(tick);
        assert_eq!(shown, ["0", "3e-4", "0"]);
        assert_eq!(shortened("abcdef", 4), "abc…");
    }

    #[test]
    fn bins_are_ordered_alike_on_both_sides() {
        let of = |bins: usize| -> Vec<usize> {
            let place = |bin| SENTIMENT.iter().position(|&c| c == sentiment(bin, bins));
            (0..bins).filter_map(place).collect()
        };
        assert_eq!(of(7), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(of(5), [0, 2, 3, 4, 6]);
        assert_eq!(of(3), [0, 3, 6]);
        assert_eq!(of(2), [0, 6]);
        assert_eq!(of(1), [0]);
    }

    #[test]
    fn no_two_light_colours_are_the_same() {
        let colours: std::collections::BTreeSet<String> =
            PALETTE.iter().map(|&(light, _)| hex(light)).collect();
        assert_eq!(colours.len(), PALETTE.len());
        assert!(SERIES.iter().all(|&c| colours.contains(&hex(c))));
    }
}
