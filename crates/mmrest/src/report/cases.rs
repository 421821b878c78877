//! Cases: the segments that the bias moved most, and the largest errors.

use super::page::{Cell, Section, Table};
use super::run::{Prediction, Run};

/// Segments of each table.
const CASES: usize = 12;

/// Both tables.
pub(super) fn section(run: &Run) -> Section {
    let mut section = Section::new("Cases");
    if run.texts.is_empty() {
        section.paragraph("The run's data are not there, so the texts are not shown: give their folder by --data.");
    }
    if run.has_bias() {
        let table = table(run, "Moved most by the bias", |p| p.bias.abs());
        section.table(&table);
    }
    section.table(&table(run, "Largest errors", Prediction::error));
    section
}

fn table(run: &Run, caption: &str, size: impl Fn(&Prediction) -> f64) -> Table {
    let with_text = !run.texts.is_empty();
    let mut header = vec!["segment"];
    if with_text {
        header.push("text");
    }
    header.extend(["label", "score y'", "bias", "prediction y", "error"]);
    if !run.clusters.is_empty() {
        header.extend(["nearest", "second"]);
    }
    let mut table = Table::new(caption, &header);
    let mut cases: Vec<&Prediction> = run.predictions.iter().collect();
    cases.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.id.cmp(&b.id)));
    for case in cases.into_iter().take(CASES) {
        let mut cells = vec![Cell::text(&case.id)];
        if with_text {
            cells.push(Cell::sentence(
                run.texts.get(&case.id).map_or("", String::as_str),
            ));
        }
        let numbers = [
            case.label,
            case.score,
            case.bias,
            case.prediction,
            case.error(),
        ];
        cells.extend(numbers.map(|number| Cell::number(Some(number), 3)));
        if !run.clusters.is_empty() {
            cells.extend([case.cluster, case.second_cluster].map(|c| Cell::text(cluster(run, c))));
        }
        table.row(cells);
    }
    table
}

/// A cluster's number and sentiment.
fn cluster(run: &Run, cluster: Option<usize>) -> String {
    let Some(cluster) = cluster else {
        return "–".into();
    };
    match run.clusters.get(cluster) {
        Some(class) => format!("{cluster} ({class:+})").replace("(+0)", "(0)"),
        None => cluster.to_string(),
    }
}
