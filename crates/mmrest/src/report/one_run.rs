//! The report of one run.

use anyhow::Result;

use super::distances::{MOST_ROWS, distances, to_centers};
use super::examples;
use super::page::{Cell, Page, Section, Table};
use super::picture::{self, Distances, Picture, Scene};
use super::run::{Geometry, Run, Space};
use super::tsne::{MOST_SEGMENTS, PERPLEXITY, layout};
use crate::numbers::heading;

/// The complete report of a run.
///
/// # Errors
///
/// The run's geometry has values that are not finite, or drawing failed.
pub(crate) fn report(run: &Run) -> Result<Page> {
    let mut page = Page::new(format!("Run {}", run.name));
    page.note(summary(run));
    page.add(metrics_section(run));
    let mut training = Section::new("Training");
    training.figure(
        picture::curves(run)?,
        "Means over each epoch's segments; the dashed line is the selected epoch. The parts of the loss are shown before weighting.",
    );
    page.add(training);
    page.add(predictions(run)?);
    if run.has_shared_space() {
        page.add(bias(run)?);
        page.add(space(run)?);
        page.add(spectra(run)?);
    }
    page.add(examples::section(run));
    Ok(page)
}

/// A run's predictions alone: in pictures, with what its bias changes.
///
/// # Errors
///
/// Drawing failed.
pub(crate) fn predictions_alone(run: &Run) -> Result<Page> {
    let mut page = Page::new(format!("Run {}", run.name));
    page.add(predictions(run)?);
    if run.has_shared_space() {
        page.add(bias(run)?);
    }
    Ok(page)
}

fn summary(run: &Run) -> String {
    let known = |key: &str| {
        run.record
            .get(key)
            .and_then(|v| v.as_str())
            .unwrap_or("unknown")
    };
    let number = |key: &str| run.metric(&[key]).map_or("?".into(), |v| v.to_string());
    format!(
        "{} split, {} segments. Epoch {} of {} was selected. mmrest {}, {}, seed {}.",
        run.split,
        run.predictions.len(),
        number("selected_epoch"),
        run.epochs.len(),
        known("version"),
        known("backend"),
        run.record
            .get("seed")
            .map_or("?".into(), ToString::to_string),
    )
}

fn predictions(run: &Run) -> Result<Section> {
    let mut section = Section::new("Predictions");
    if run.predictions.is_empty() {
        section.paragraph(&format!("The {} split has no segment.", run.split));
        return Ok(section);
    }
    section.figures(vec![
        (
            picture::against_label(&run.predictions, &run.scale)?,
            "A perfect model's points lie on the dashed line. A flat line of squares means that the model stays near the mean.".into(),
        ),
        (
            picture::confusion(&run.predictions, &run.scale)?,
            "Segments by class of label and of prediction; the colour is the share of the row. The framed diagonal is what the accuracy of the most classes counts.".into(),
        ),
    ]);
    Ok(section)
}

fn bias(run: &Run) -> Result<Section> {
    let mut section = Section::new("The bias");
    if !run.has_bias() {
        section.paragraph("This run adds no bias to its predictions: its configuration turns it off, here or at evaluation.");
        return Ok(section);
    }
    let closer = run
        .predictions
        .iter()
        .filter(|p| p.error() < p.error_without_bias());
    let share = 100.0 * closer.count() as f64 / run.predictions.len().max(1) as f64;
    let target = run.config.get("model.mmrest.target");
    let trained = if target.is_some_and(|target| target == "score") {
        "score has a loss of its own, but shares its encoders with L_MMC"
    } else {
        "score was trained together with the bias"
    };
    section.paragraph(&format!(
        "The bias moves {share:.1} % of the segments closer to their label. The {trained}, so this does not show what a model without the bias would do: that needs another run (model.mmrest.bias = false)."
    ));
    section.figure(
        picture::bias(&run.predictions)?,
        "What the bias adds to the score; and the share of segments with a smaller error, where the upper line is better.",
    );
    Ok(section)
}

const NO_GEOMETRY: &str =
    "This run has no geometry/: it was made by an earlier version, or report.geometry is false.";

fn space(run: &Run) -> Result<Section> {
    let mut section = Section::new("The shared space");
    section.table(&overlap_table(run));
    section.paragraph(OVERLAP);
    let Some(geometry) = &run.geometry else {
        section.paragraph(NO_GEOMETRY);
        return Ok(section);
    };
    if geometry.selected.len() < 8 {
        section.paragraph("There are too few rows to draw.");
        return Ok(section);
    }
    section.figure(layouts(run, geometry)?, &layout_caption(run));
    section.figure(between_rows(run, geometry)?, &format!(
        "Distances between pairs of rows (at most {MOST_ROWS} of them, of all modalities) by the sentiment bin of the first. Where sentiments are separated, blue is well below orange. Learned: the root of the squared Mahalanobis distance under M0."
    ));
    if !geometry.selected.centers.is_empty() {
        section.figure(between_rows_and_centers(run, geometry)?, &format!(
            "Distances of rows (at most {MOST_ROWS}, of all modalities) to cluster centres, by the sentiment bin of the row: to the nearest centre of a cluster of that sentiment, and to the nearest of any other. Learned: under the metric M_i of the centre's cluster. A bin without a cluster of its own has no blue."
        ));
    }
    Ok(section)
}

/// The saved states of a run's space, in order, with their names.
fn moments(geometry: &Geometry) -> Vec<(&'static str, &Space)> {
    let before = geometry
        .before
        .iter()
        .map(|space| ("Before training", space));
    before
        .chain([("After training", &geometry.selected)])
        .collect()
}

fn layouts(run: &Run, geometry: &Geometry) -> Result<Picture> {
    let scenes: Result<Vec<Scene<'_>>> = moments(geometry)
        .into_iter()
        .map(|(title, space)| {
            Ok(Scene {
                title,
                layout: layout(space)?,
            })
        })
        .collect();
    picture::layouts("space", &scenes?, &run.scale.labels)
}

fn layout_caption(run: &Run) -> String {
    let mut caption = format!(
        "t-SNE (perplexity {PERPLEXITY}) of up to {MOST_SEGMENTS} segments of the {} split, a mark for each modality of each. Neighbours in the picture are neighbours in the space; the sizes of groups and the distances between them have no meaning.",
        run.split
    );
    caption += if run.clusters.is_empty() {
        " This run has no clusters."
    } else {
        " Rings are the clusters' centres with their sentiment, a box where several overlap."
    };
    caption
}

/// A function that measures distances by bin: of a space, the number of bins, the panel's title, and whether the metric is
/// the learned one.
type Measure = fn(&Space, usize, &str, bool) -> Result<Distances>;

fn between_rows(run: &Run, geometry: &Geometry) -> Result<Picture> {
    let learned = (!geometry.selected.global.is_empty()).then_some("learned (M0)");
    let panels = panels(run, geometry, distances, learned)?;
    picture::distances(
        "distances",
        "Distances within and between sentiment bins",
        ["within the bin", "to rows of other bins"],
        &panels,
        &run.scale.labels,
    )
}

fn between_rows_and_centers(run: &Run, geometry: &Geometry) -> Result<Picture> {
    let learned = (!geometry.selected.own.is_empty()).then_some("learned (M_i)");
    let panels = panels(run, geometry, to_centers, learned)?;
    picture::distances(
        "cluster-distances",
        "Distances to the nearest cluster centre of the own sentiment and of another",
        ["own sentiment", "another sentiment"],
        &panels,
        &run.scale.labels,
    )
}

/// One panel per state with Euclidean distances, then with learned ones, which `learned` names.
fn panels(
    run: &Run,
    geometry: &Geometry,
    measure: Measure,
    learned: Option<&str>,
) -> Result<Vec<Distances>> {
    let bins = run.scale.labels.len();
    let kinds = [(false, Some("Euclidean")), (true, learned)];
    let mut all = Vec::new();
    for (learned, kind) in kinds {
        let Some(kind) = kind else { continue };
        for (title, space) in moments(geometry) {
            all.push(measure(space, bins, &format!("{title}, {kind}"), learned)?);
        }
    }
    Ok(all)
}

fn spectra(run: &Run) -> Result<Section> {
    let mut section = Section::new("The learned metrics");
    match run.geometry.as_ref().map(|geometry| &geometry.spectra) {
        None => section.paragraph(NO_GEOMETRY),
        Some(spectra) if spectra.is_empty() => section.paragraph("This run has no learned metrics."),
        Some(spectra) => section.figure(
            picture::spectra(spectra)?,
            "Eigenvalues at a few epochs' ends, largest first. All begin flat, M0 at 1 and the others at 2, plus the ridge: directions whose eigenvalue grows are stretched, those whose eigenvalue falls to 0 are ignored.",
        ),
    }
    Ok(section)
}

/// The explanation of the table of overlap.
pub(super) const OVERLAP: &str = "Silhouette by sentiment: -1 to 1, 0 where sentiments overlap completely. Scatter: between sentiment bins over within them; larger is better. Nearest centre: the share of rows that are nearest to the centre their sentiment has among the training rows. Silhouette by modality: large where rows are grouped by modality rather than by sentiment.";

/// The metrics on the validation and the test split.
pub(super) fn metrics_section(run: &Run) -> Section {
    let mut section = Section::new("Metrics");
    let mut table = Table::new("", &["metric", "valid", "test"]);
    for name in run.figures() {
        let of = |split: &str| Cell::metric(&name, run.metric(&[split, &name]));
        table.row(vec![Cell::text(heading(&name)), of("valid"), of("test")]);
    }
    section.table(&table);
    section
}

/// The measures of overlap: keys in `metrics.json`, and names.
pub(super) const MEASURES: [(&str, &str); 4] = [
    ("bin_silhouette", "silhouette by sentiment"),
    ("scatter_ratio", "scatter ratio"),
    ("nearest_center_accuracy", "nearest centre"),
    ("modality_silhouette", "silhouette by modality"),
];

/// The rows and distances that are measured: keys, and names.
pub(super) const SPACES: [(&str, &str, &str); 4] = [
    ("all", "euclidean", "all rows, Euclidean"),
    ("all", "learned", "all rows, learned metrics"),
    ("text", "euclidean", "text rows, Euclidean"),
    ("text", "learned", "text rows, learned metrics"),
];

/// The table of overlap between sentiments, on the test split, or on the validation split in its report.
pub(super) fn overlap_table(run: &Run) -> Table {
    let split = overlap_split(run);
    let names = MEASURES.map(|(_, name)| name);
    let header = [&["rows and distances"][..], &names].concat();
    let mut table = Table::new(&format!("Overlap of sentiments, {split} split"), &header);
    for (rows, distances, name) in SPACES {
        let of = |key: &str| run.metric(&["overlap", split, rows, distances, key]);
        let values = MEASURES.map(|(key, _)| of(key));
        if values.iter().any(Option::is_some) {
            let cells = values.into_iter().map(|value| Cell::number(value, 3));
            table.row([Cell::text(name)].into_iter().chain(cells).collect());
        }
    }
    table
}

/// The split whose overlap is shown, since training rows are not measured.
pub(super) fn overlap_split(run: &Run) -> &'static str {
    if run.split == "valid" {
        "valid"
    } else {
        "test"
    }
}
