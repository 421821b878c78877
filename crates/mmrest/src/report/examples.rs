//! Examples: the segments that the bias changed most and those with the largest errors; for several runs, those on which
//! they differ most.

use std::collections::BTreeMap;

use super::page::{Cell, Section, Table};
use super::run::{Prediction, Run};

/// The number of segments in each table.
const EXAMPLES: usize = 12;

/// Both tables.
pub(super) fn section(run: &Run) -> Section {
    let mut section = Section::new("Cases");
    if run.texts.is_empty() {
        section.paragraph(
            "The run's data were not found, so texts are not shown: give their folder with --data.",
        );
    }
    if run.has_bias() {
        let table = table(run, "Changed most by the bias", |p| p.bias.abs());
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
    for case in cases.into_iter().take(EXAMPLES) {
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

/// The segments whose errors differ most between runs, of those that all runs have; `None` without any.
pub(super) fn compared(runs: &[Run], letters: &[String]) -> Option<Section> {
    let (first, others) = runs.split_first()?;
    let others: Vec<BTreeMap<&str, &Prediction>> = others.iter().map(by_id).collect();
    let mut cases: Vec<(f64, Vec<&Prediction>)> = first
        .predictions
        .iter()
        .filter_map(|own| of_all(own, &others))
        .map(|row| (apart(&row), row))
        .collect();
    cases.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1[0].id.cmp(&b.1[0].id)));
    cases.truncate(EXAMPLES);
    let text = |id: &str| runs.iter().find_map(|run| run.texts.get(id));
    let with_text = cases.iter().any(|(_, row)| text(&row[0].id).is_some());
    let mut header = vec!["segment"];
    header.extend(with_text.then_some("text"));
    header.push("label");
    header.extend(letters.iter().map(String::as_str));
    let mut table = Table::new(
        "Predictions whose errors differ most; the nearest to the label is marked",
        &header,
    );
    for (_, row) in cases {
        let (id, label) = (&row[0].id, row[0].label);
        let mut cells = vec![Cell::text(id)];
        cells.extend(with_text.then(|| Cell::sentence(text(id).map_or("", String::as_str))));
        cells.push(Cell::number(Some(label), 3));
        let least = row.iter().map(|p| p.error()).fold(f64::INFINITY, f64::min);
        let predicted = row.iter().map(|p| {
            let cell = Cell::number(Some(p.prediction), 3);
            cell.marked(p.error() == least)
        });
        cells.extend(predicted);
        table.row(cells);
    }
    let mut section = Section::new("Cases");
    section.table(&table);
    (!table.is_empty()).then_some(section)
}

/// The prediction of a segment by each run; `None` if one lacks it.
fn of_all<'a>(
    own: &'a Prediction,
    others: &[BTreeMap<&str, &'a Prediction>],
) -> Option<Vec<&'a Prediction>> {
    let of_others = others.iter().map(|run| run.get(own.id.as_str()).copied());
    [Some(own)].into_iter().chain(of_others).collect()
}

fn by_id(run: &Run) -> BTreeMap<&str, &Prediction> {
    let predictions = run.predictions.iter();
    predictions.map(|p| (p.id.as_str(), p)).collect()
}

/// The difference between the greatest and the least error.
fn apart(row: &[&Prediction]) -> f64 {
    let errors = || row.iter().map(|p| p.error());
    errors().fold(f64::NEG_INFINITY, f64::max) - errors().fold(f64::INFINITY, f64::min)
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
