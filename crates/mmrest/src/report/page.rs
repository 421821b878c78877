//! The page of a report: one HTML file that needs no other file, with its pictures also written as files.
//!
//! All text is escaped: markup in names, ids and sentences is shown literally.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mmrest_data::files;

use super::escape;
use super::picture::{Picture, dark_style};
use crate::numbers::{NONE, in_table};
use crate::palette;

/// The page's file in its folder.
const FILE: &str = "report.html";
/// The pictures' folder beside it.
const PICTURES: &str = "pictures";
const STYLE: &str = include_str!("style.css");
/// A page: a title and sections.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    title: String,
    notes: Vec<String>,
    sections: Vec<Section>,
}

/// A part of a page under its own heading.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    title: String,
    body: String,
    pictures: Vec<Picture>,
}

impl Page {
    /// A page without sections.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            notes: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// Adds a sentence below the title.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a section.
    pub(crate) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Adds every section of another page, with `prefix` before its heading.
    pub(crate) fn append(&mut self, other: Page, prefix: &str) {
        self.sections
            .extend(other.sections.into_iter().map(|mut section| {
                section.title.insert_str(0, prefix);
                section
            }));
    }

    /// Every picture, in order.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.sections.iter().flat_map(|section| &section.pictures)
    }

    /// The complete page as HTML.
    pub(crate) fn html(&self) -> String {
        let title = escape(&self.title);
        let notes: String = self
            .notes
            .iter()
            .map(|note| format!("<p class=\"soft\">{}</p>\n", escape(note)))
            .collect();
        let links: String = self
            .sections
            .iter()
            .enumerate()
            .map(|(number, section)| {
                format!("<a href=\"#s{number}\">{}</a>\n", escape(&section.title))
            })
            .collect();
        let sections: String = self
            .sections
            .iter()
            .enumerate()
            .map(|(number, section)| {
                let (title, body) = (escape(&section.title), &section.body);
                format!("<section>\n<h2 id=\"s{number}\">{title}</h2>\n{body}</section>\n")
            })
            .collect();
        let (colours, dark) = (palette::css(), dark_style());
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{colours}{STYLE}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n</style>\n</head>\n<body>\n\
             <h1>{title}</h1>\n{notes}<nav>\n{links}</nav>\n<main>\n{sections}</main>\n</body>\n</html>\n"
        )
    }

    /// Writes `pictures/NAME.png` and `pictures/NAME-dark.png` beside the SVG files.
    #[cfg(feature = "png")]
    fn write_png(&self, folder: &Path) -> Result<()> {
        for picture in self.pictures() {
            for (ending, svg) in [(".png", picture.light()), ("-dark.png", picture.dark())] {
                let file = folder
                    .join(PICTURES)
                    .join(format!("{}{ending}", picture.name));
                files::write(&file, &super::picture::png(&svg)?)?;
            }
        }
        Ok(())
    }

    /// Writes `report.html`, `pictures/NAME.svg` and `pictures/NAME-dark.svg` into a folder; with `png`, and the feature
    /// of that name, also the pictures as PNG. Every file is written completely or not at all. Returns the path of the
    /// page.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or drawing failed.
    pub(crate) fn write(&self, folder: &Path, png: bool) -> Result<PathBuf> {
        if png {
            #[cfg(feature = "png")]
            self.write_png(folder)?;
        }
        for picture in self.pictures() {
            let file = |ending: &str| {
                folder
                    .join(PICTURES)
                    .join(format!("{}{ending}", picture.name))
            };
            files::write(&file(".svg"), picture.light().as_bytes())?;
            files::write(&file("-dark.svg"), picture.dark().as_bytes())?;
        }
        let path = folder.join(FILE);
        files::write(&path, self.html().as_bytes())?;
        Ok(path)
    }
}

impl Section {
    /// A section with nothing in it.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            body: String::new(),
            pictures: Vec::new(),
        }
    }

    /// Adds a paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.body += &format!("<p>{}</p>\n", escape(text));
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, table: &Table) {
        self.body += &table.html();
    }

    /// Adds a table that the reader unfolds.
    pub(crate) fn folded(&mut self, title: &str, table: &Table) {
        let (title, table) = (escape(title), table.html());
        self.body += &format!("<details>\n<summary>{title}</summary>\n{table}</details>\n");
    }

    /// Adds a picture with its caption.
    pub(crate) fn figure(&mut self, picture: Picture, caption: &str) {
        self.body += &figure(&picture, caption);
        self.pictures.push(picture);
    }

    /// Adds pictures beside each other, where the page is wide enough.
    pub(crate) fn figures(&mut self, figures: Vec<(Picture, String)>) {
        self.body += "<div class=\"row\">\n";
        for (picture, caption) in figures {
            self.body += &figure(&picture, &caption);
            self.pictures.push(picture);
        }
        self.body += "</div>\n";
    }
}

fn figure(picture: &Picture, caption: &str) -> String {
    let (svg, caption) = (picture.inline(), escape(caption));
    format!("<figure>\n{svg}\n<figcaption>{caption}</figcaption>\n</figure>\n")
}

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    class: &'static str,
    best: bool,
    /// What the pointer shows.
    told: String,
}

impl Cell {
    /// A cell of text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A cell of sentences, which gets a wide column.
    pub(crate) fn sentence(text: impl Into<String>) -> Self {
        Self {
            class: "text",
            ..Self::text(text)
        }
    }

    /// A cell with a number of `digits` decimals; a dash where it is missing or not finite.
    pub(crate) fn number(value: Option<f64>, digits: usize) -> Self {
        let value = value.filter(|value| value.is_finite());
        Self::written(&value.map_or(NONE.into(), |value| format!("{value:.digits$}")))
    }

    /// A cell with a metric as tables have it.
    pub(crate) fn metric(name: &str, value: Option<f64>) -> Self {
        Self::written(&in_table(name, value.unwrap_or(f64::NAN)))
    }

    /// A cell with a number that is written already.
    pub(crate) fn written(number: &str) -> Self {
        Self {
            class: "number",
            ..Self::text(if number == NONE { "–" } else { number })
        }
    }

    /// Adds what the pointer shows.
    pub(crate) fn told(mut self, told: String) -> Self {
        self.told = told;
        self
    }

    /// Marks the best of a row or column.
    pub(crate) fn marked(mut self, best: bool) -> Self {
        self.best = best;
        self
    }

    fn html(&self) -> String {
        let class = match (self.class, self.best) {
            ("", false) => String::new(),
            (class, false) => format!(" class=\"{class}\""),
            (class, true) => format!(" class=\"{class} best\""),
        };
        let title = match self.told.as_str() {
            "" => String::new(),
            told => format!(" title=\"{}\"", escape(told)),
        };
        format!("<td{class}{title}>{}</td>", escape(&self.text))
    }
}

/// A table with a heading line.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    caption: String,
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows; an empty `caption` is left out.
    pub(crate) fn new<S: AsRef<str>>(caption: &str, header: &[S]) -> Self {
        Self {
            caption: caption.to_owned(),
            header: header.iter().map(|name| name.as_ref().to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether it has no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn html(&self) -> String {
        let numeric = |column: usize| {
            let cells = self.rows.first().and_then(|row| row.get(column));
            cells.is_some_and(|cell| cell.class == "number")
        };
        let head = |(column, name): (usize, &String)| {
            let class = if numeric(column) {
                " class=\"number\""
            } else {
                ""
            };
            format!("<th scope=\"col\"{class}>{}</th>", escape(name))
        };
        let header: String = self.header.iter().enumerate().map(head).collect();
        let line = |row: &Vec<Cell>| {
            let cells: String = row.iter().map(Cell::html).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let rows: String = self.rows.iter().map(line).collect();
        let caption = if self.caption.is_empty() {
            String::new()
        } else {
            format!("<caption>{}</caption>\n", escape(&self.caption))
        };
        format!(
            "<div class=\"wide\" tabindex=\"0\"><table>\n{caption}<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Bar, Bars};

    const EVIL: &str = "<script>alert('1')</script> & \"q\"";

    #[test]
    fn everything_is_escaped_and_written_whole() {
        let bars = Bars {
            name: "bars".into(),
            title: EVIL.into(),
            axis: EVIL.into(),
            bars: vec![Bar {
                name: EVIL.into(),
                value: 1.0,
                ..Bar::default()
            }],
            ..Bars::default()
        };
        let mut table = Table::new(EVIL, &[EVIL]);
        table.row(vec![Cell::text(EVIL)]);
        let mut section = Section::new(EVIL);
        section.paragraph(EVIL);
        section.table(&table);
        section.figure(bars.draw().unwrap(), EVIL);
        section.figures(vec![(bars.draw().unwrap(), EVIL.into())]);
        let mut page = Page::new(EVIL);
        page.note(EVIL);
        page.add(section);
        let html = page.html();
        assert!(
            !html.contains("<script") && !html.contains("alert('1')"),
            "{html}"
        );
        assert_eq!(html.matches("<svg class=\"picture\"").count(), 2);
        assert!(html.contains("&lt;script&gt;"));
        let folder = tempfile::tempdir().unwrap();
        let path = page.write(folder.path(), false).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), html);
        for file in ["bars.svg", "bars-dark.svg"] {
            let svg = std::fs::read_to_string(folder.path().join("pictures").join(file)).unwrap();
            assert!(svg.starts_with("<svg") && !svg.contains("<script"), "{svg}");
        }
    }
}
