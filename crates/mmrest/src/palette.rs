//! The colours of every page and picture, and the fonts of pictures. Blue is positive sentiment, everywhere.
//!
//! Pictures are drawn in the light colours. Each has a dark counterpart, put in its place by the page's style sheet or in
//! the file of the dark picture; so no other colour may be drawn, but any opacity of these. What is to be read has a
//! contrast of at least 4.5 to its background (WCAG 2), which a test computes.

use std::sync::LazyLock;

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
pub(crate) const GREY: RGBColor = RGBColor(107, 111, 116);
/// This and the next five have the hues of Okabe and Ito, which colour-blind people can tell apart, dark enough to be
/// seen on white.
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const ORANGE: RGBColor = RGBColor(140, 100, 0);
pub(crate) const GREEN: RGBColor = RGBColor(0, 122, 90);
pub(crate) const VERMILION: RGBColor = RGBColor(184, 74, 0);
pub(crate) const PURPLE: RGBColor = RGBColor(160, 70, 125);
pub(crate) const SLATE: RGBColor = RGBColor(60, 74, 90);

/// Colours of series without an order, such as runs.
const SERIES: [RGBColor; 6] = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SLATE];

/// Colours of sentiment, from the most negative (brown) over grey to the most positive (blue), with equal steps of
/// lightness on both sides.
const SENTIMENT: [RGBColor; 7] = [
    RGBColor(127, 39, 4),
    RGBColor(166, 58, 4),
    RGBColor(170, 99, 57),
    RGBColor(112, 112, 116),
    RGBColor(76, 121, 163),
    RGBColor(31, 95, 168),
    RGBColor(8, 48, 107),
];

/// Every light colour of pictures with its dark one.
pub(crate) const PALETTE: [(RGBColor, RGBColor); 17] = [
    (GROUND, RGBColor(22, 25, 29)),
    (INK, RGBColor(228, 230, 232)),
    (FAINT, RGBColor(58, 63, 70)),
    (GREY, RGBColor(154, 160, 167)),
    (BLUE, RGBColor(76, 166, 229)),
    (ORANGE, RGBColor(240, 180, 50)),
    (GREEN, RGBColor(45, 195, 150)),
    (VERMILION, RGBColor(250, 125, 60)),
    (PURPLE, RGBColor(222, 150, 192)),
    (SLATE, RGBColor(200, 210, 220)),
    (SENTIMENT[0], RGBColor(255, 176, 92)),
    (SENTIMENT[1], RGBColor(224, 138, 66)),
    (SENTIMENT[2], RGBColor(185, 133, 90)),
    (SENTIMENT[3], RGBColor(144, 144, 148)),
    (SENTIMENT[4], RGBColor(108, 152, 194)),
    (SENTIMENT[5], RGBColor(111, 177, 236)),
    (SENTIMENT[6], RGBColor(180, 220, 255)),
];

/// Colours that pages have besides those of [`PALETTE`]: their CSS variables, light and dark.
const PAGE: [(&str, RGBColor, RGBColor); 6] = [
    // Secondary text.
    ("soft", RGBColor(91, 97, 104), RGBColor(163, 169, 176)),
    // The background of every second row, and of the best value.
    ("band", RGBColor(243, 245, 247), RGBColor(31, 35, 39)),
    ("best", RGBColor(227, 238, 247), RGBColor(28, 58, 82)),
    // Links and buttons, and text on these.
    ("link", RGBColor(0, 88, 138), RGBColor(124, 192, 240)),
    ("on-link", GROUND, RGBColor(16, 32, 44)),
    // Errors.
    ("wrong", RGBColor(165, 29, 0), RGBColor(255, 154, 130)),
];

/// The colours of every page as CSS variables: `--ground`, `--ink`, `--line`, those of [`PAGE`], and `--tone-0` to
/// `--tone-6` from the most negative sentiment to the most positive; dark on screens of readers who want that.
pub(crate) fn css() -> &'static str {
    static CSS: LazyLock<String> = LazyLock::new(|| {
        let variables = |dark: bool| -> String {
            let variable = |(name, light, of_dark): (String, RGBColor, RGBColor)| {
                format!(" --{name}: {};", hex(if dark { of_dark } else { light }))
            };
            page_colours().into_iter().map(variable).collect()
        };
        format!(
            ":root {{ color-scheme: light dark;{} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{} }} }}\n",
            variables(false),
            variables(true)
        )
    });
    &CSS
}

/// The CSS variables: name, light and dark colour.
fn page_colours() -> Vec<(String, RGBColor, RGBColor)> {
    let dark = |colour: RGBColor| {
        let pair = PALETTE.iter().find(|(light, _)| *light == colour);
        pair.map_or(colour, |&(_, dark)| dark)
    };
    let named = [("ground", GROUND), ("ink", INK), ("line", FAINT)];
    let named = named.map(|(name, light)| (name.to_owned(), light, dark(light)));
    let tones = SENTIMENT.iter().enumerate();
    let tones = tones.map(|(place, &light)| (format!("tone-{place}"), light, dark(light)));
    let own = PAGE.map(|(name, light, dark)| (name.to_owned(), light, dark));
    named.into_iter().chain(own).chain(tones).collect()
}

/// How much of a colour a cell may have whose number is read on it.
pub(crate) const DEEPEST: f64 = 0.55;

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
pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// An error of drawing. Drawing into memory fails only because of a bug.
pub(crate) fn fault(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// The size of a panel's title.
pub(crate) const TITLE: u32 = 18;
/// The size of all other letters.
pub(crate) const SMALL: u32 = 16;

/// The font of a panel's title.
pub(crate) fn title() -> TextStyle<'static> {
    ("sans-serif", TITLE).into_font().color(&INK)
}

/// The font of axes and legends.
pub(crate) fn small() -> TextStyle<'static> {
    ("sans-serif", SMALL).into_font().color(&INK)
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

    /// The contrast of two colours as WCAG 2 defines it.
    fn contrast(a: RGBColor, b: RGBColor) -> f64 {
        let luminance = |colour: RGBColor| {
            let linear = |channel: u8| {
                let channel = f64::from(channel) / 255.0;
                if channel <= 0.04045 {
                    channel / 12.92
                } else {
                    ((channel + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn contrast_is_that_of_the_guideline() {
        assert!((contrast(RGBColor(0, 0, 0), GROUND) - 21.0).abs() < 1e-9);
        // The lightest grey that passes on white.
        let [passes, fails] = [118, 119].map(|v| contrast(RGBColor(v, v, v), GROUND));
        assert!(passes >= 4.5 && fails < 4.5, "{passes} {fails}");
    }

    #[test]
    fn everything_that_is_read_stands_out_from_its_background() {
        let ground = PALETTE[0];
        let drawn = PALETTE
            .iter()
            .filter(|(light, _)| ![GROUND, FAINT].contains(light));
        for &(light, dark) in drawn {
            assert!(contrast(light, ground.0) >= 4.5, "{}", hex(light));
            assert!(contrast(dark, ground.1) >= 4.5, "{}", hex(dark));
        }
        let page = page_colours();
        let of = |name: &str| page.iter().find(|(n, ..)| n == name).unwrap();
        let text =
            ["ink", "soft", "link", "wrong"].map(|text| ["ground", "band"].map(|on| (text, on)));
        let text = text.into_iter().flatten();
        for (text, on) in text.chain([("ink", "best"), ("on-link", "link")]) {
            let (text, on) = (of(text), of(on));
            for contrast in [contrast(text.1, on.1), contrast(text.2, on.2)] {
                assert!(contrast >= 4.5, "{} on {}: {contrast}", text.0, on.0);
            }
        }
    }

    #[test]
    fn numbers_on_the_deepest_cell_can_be_read() {
        let dark = |colour| {
            PALETTE
                .iter()
                .find(|(light, _)| *light == colour)
                .unwrap()
                .1
        };
        for [ink, ground, blue] in [[INK, GROUND, BLUE], [INK, GROUND, BLUE].map(dark)] {
            let mixed = |of: fn(RGBColor) -> u8| {
                let (on, below) = (f64::from(of(blue)), f64::from(of(ground)));
                (DEEPEST * on + (1.0 - DEEPEST) * below).round() as u8
            };
            let cell = RGBColor(mixed(|c| c.0), mixed(|c| c.1), mixed(|c| c.2));
            assert!(contrast(ink, cell) >= 4.5, "{}", hex(cell));
        }
    }

    #[test]
    fn positive_sentiment_is_blue() {
        for (light, dark) in &PALETTE[10..] {
            let place = SENTIMENT.iter().position(|tone| tone == light).unwrap();
            for colour in [light, dark] {
                match place.cmp(&3) {
                    std::cmp::Ordering::Less => assert!(colour.0 > colour.2, "{place}"),
                    std::cmp::Ordering::Equal => assert!(colour.0.abs_diff(colour.2) < 8),
                    std::cmp::Ordering::Greater => assert!(colour.2 > colour.0, "{place}"),
                }
            }
        }
        assert!(css().contains("--tone-6: #08306B;") && css().contains("--tone-6: #B4DCFF;"));
    }

    #[test]
    fn no_two_light_colours_are_the_same() {
        let colours: std::collections::BTreeSet<String> =
            PALETTE.iter().map(|&(light, _)| hex(light)).collect();
        assert_eq!(colours.len(), PALETTE.len());
        assert!(SERIES.iter().all(|&c| colours.contains(&hex(c))));
    }
}
