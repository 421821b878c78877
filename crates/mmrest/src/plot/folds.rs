//! Which videos are in which fold.

use anyhow::Result;
use mmrest_data::Split;
use mmrest_datatools::inspect::{Inspection, Membership};
use plotters::prelude::*;

use super::{Area, GREY, INK, ORANGE, VERMILION, colour, fault, shortened, small, title};

/// Height of a bar with the gap below it.
const BAR: i32 = 26;
/// Where bars begin: file names stand before.
const LEFT: i32 = 300;

/// A bar a file: videos in each fold, in none, and of a fold but not here.
pub(super) fn draw(files: &[&Inspection], area: &Area<'_>) -> Result<()> {
    area.draw_text("Videos by standard fold", &title(), (LEFT, 4))
        .map_err(fault)?;
    legend(area)?;
    let (width, _) = area.dim_in_pixel();
    let space = i32::try_from(width).unwrap_or(1000) - LEFT - 60;
    for (row, file) in files.iter().enumerate() {
        let Some(membership) = file.folds.first() else {
            continue;
        };
        let top = 58 + BAR * i32::try_from(row).unwrap_or(0);
        let name = format!("{} ({})", shortened(&file.name(), 38), membership.name);
        area.draw_text(&name, &small(), (4, top + 2))
            .map_err(fault)?;
        bar(area, &parts(membership), top, space)?;
    }
    Ok(())
}

fn legend(area: &Area<'_>) -> Result<()> {
    let mut x = LEFT;
    for (name, colour, _) in parts_named() {
        let corners = [(x, 32), (x + 12, 42)];
        area.draw(&Rectangle::new(corners, colour.filled()))
            .map_err(fault)?;
        area.draw_text(name, &small(), (x + 16, 31))
            .map_err(fault)?;
        x += 34 + 7 * i32::try_from(name.len()).unwrap_or(10);
    }
    Ok(())
}

type Part = (&'static str, RGBColor, usize);

fn parts_named() -> [Part; 5] {
    let split = |split: Split| (split.name(), colour(split), 0);
    [
        split(Split::Train),
        split(Split::Valid),
        split(Split::Test),
        ("in no fold", GREY, 0),
        ("of a fold, but not here", VERMILION, 0),
    ]
}

fn parts(membership: &Membership) -> [Part; 5] {
    let mut parts = parts_named();
    let here = Split::ALL.map(|split| membership.here.get(&split).copied().unwrap_or(0));
    let missing = membership.missing.values().map(Vec::len).sum();
    let [train, valid, test] = here;
    let counts = [train, valid, test, membership.in_none.len(), missing];
    for (part, count) in parts.iter_mut().zip(counts) {
        part.2 = count;
    }
    parts
}

/// Parts in proportion; each says its number where there is room. The sum stands behind.
fn bar(area: &Area<'_>, parts: &[Part], top: i32, space: i32) -> Result<()> {
    let all: usize = parts.iter().map(|part| part.2).sum();
    let mut done = 0;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let place = |done: usize| LEFT + (done as f64 / all.max(1) as f64 * f64::from(space)) as i32;
    for &(_, colour, count) in parts {
        let (left, right) = (place(done), place(done + count));
        done += count;
        if count == 0 {
            continue;
        }
        let corners = [(left, top), (right.max(left + 2), top + BAR - 8)];
        area.draw(&Rectangle::new(corners, colour.filled()))
            .map_err(fault)?;
        let text = count.to_string();
        if right - left > 9 * i32::try_from(text.len()).unwrap_or(9) {
            // White cannot be read on orange.
            let ink = if colour == ORANGE { INK } else { WHITE };
            let style = ("sans-serif", 12).into_font().color(&ink);
            area.draw_text(&text, &style, (left + 4, top + 3))
                .map_err(fault)?;
        }
    }
    let sum = ("sans-serif", 12).into_font().color(&INK);
    area.draw_text(&format!("{all} videos"), &sum, (place(all) + 4, top + 3))
        .map_err(fault)
}
