//! Figures and measures as tables.

use super::page::{Cell, Section, Table};
use super::run::Run;

/// What the table of overlap says.
pub(super) const OVERLAP: &str = "Silhouette by sentiment: -1 to 1, 0 where sentiments overlap wholly. Scatter: between sentiment bins over within them; larger is better. Nearest centre: the share of rows that are nearest to the centre their sentiment has among the training rows. Silhouette by modality: large where rows lie by modality rather than by sentiment.";

/// Figures on validation and test split.
pub(super) fn section(run: &Run) -> Section {
    let mut section = Section::new("Figures");
    let mut table = Table::new("", &["figure", "valid", "test"]);
    for name in run.figures() {
        let of = |split: &str| Cell::number(run.metric(&[split, &name]), 4);
        table.row(vec![Cell::text(&name), of("valid"), of("test")]);
    }
    section.table(&table);
    section
}

/// The measures, with their keys in `metrics.json` and their names.
pub(super) const MEASURES: [(&str, &str); 4] = [
    ("bin_silhouette", "silhouette by sentiment"),
    ("scatter_ratio", "scatter ratio"),
    ("nearest_center_accuracy", "nearest centre"),
    ("modality_silhouette", "silhouette by modality"),
];

/// Rows and distances that are measured, with their keys and names.
pub(super) const SPACES: [(&str, &str, &str); 4] = [
    ("all", "euclidean", "all rows, Euclidean"),
    ("all", "learned", "all rows, learned metrics"),
    ("text", "euclidean", "text rows, Euclidean"),
    ("text", "learned", "text rows, learned metrics"),
];

/// How far sentiments overlap on the test split, or on the validation split where the report is of that.
pub(super) fn overlap(run: &Run) -> Table {
    let split = overlap_split(run);
    let names = MEASURES.map(|(_, name)| name);
    let header = [&["rows and distances"][..], &names].concat();
    let mut table = Table::new(&format!("Overlap of sentiments, {split} split"), &header);
    for (rows, distances, name) in SPACES {
        let of = |key: &str| run.metric(&["overlap", split, rows, distances, key]);
        let values = MEASURES.map(|(key, _)| of(key));
        if values.iter().any(Option::is_some) {
            let cells = values.into_iter().map(|value| Cell::number(value, 4));
            table.row([Cell::text(name)].into_iter().chain(cells).collect());
        }
    }
    table
}

/// The split whose overlap is shown: training rows are not measured.
pub(super) fn overlap_split(run: &Run) -> &'static str {
    if run.split == "valid" {
        "valid"
    } else {
        "test"
    }
}
