//! Tables.

use super::super::escape;

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    class: &'static str,
    best: bool,
}

impl Cell {
    /// Words.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A whole sentence, which is given room.
    pub(crate) fn sentence(text: impl Into<String>) -> Self {
        Self {
            class: "text",
            ..Self::text(text)
        }
    }

    /// A number with so many digits after the point; a dash where there is none.
    pub(crate) fn number(value: Option<f64>, digits: usize) -> Self {
        let value = value.filter(|value| value.is_finite());
        Self {
            text: value.map_or("–".into(), |value| format!("{value:.digits$}")),
            class: "number",
            best: false,
        }
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
        format!("<td{class}>{}</td>", escape(&self.text))
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
    /// A table without rows. Without a caption it has none.
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
            "<div class=\"wide\"><table>\n{caption}<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }
}
