//! Reports: HTML pages with pictures, in light and dark colours.

mod compare;
mod distances;
mod examples;
mod one_run;
mod page;
mod picture;
pub(crate) mod run;
mod tsne;

pub(crate) use compare::compare;
pub(crate) use one_run::{predictions_alone, report};
pub(crate) use page::{Cell, Page, Section, Table};
pub(crate) use picture::{Bar, Bars, Picture};
pub(crate) use run::{Run, Scale, lacks_split};

/// Escapes text for HTML and SVG, including attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // No document may hold these.
            letter if letter.is_control() && !"\t\n\r".contains(letter) => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
