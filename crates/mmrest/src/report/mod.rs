//! Reports: HTML pages with pictures, light and dark.

mod page;
pub(crate) mod paint;
mod picture;

pub(crate) use page::{Cell, Page, Section, Table};
pub(crate) use picture::{Bar, Bars, Picture};

/// Text as HTML and SVG hold it, in attributes too.
fn escape(text: &str) -> String {
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
