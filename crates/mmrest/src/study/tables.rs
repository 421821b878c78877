//! A study as tables of text, for Markdown (`summary.md`) and HTML.

use super::cost::Cost;
use super::runs::named;
use super::summary::{
    Comparison, Estimate, Named, Published, Summary, SweepPoint, SweepSummary, VariantSummary,
};
use crate::numbers::{NONE, difference, heading, in_table, in_text, is_share, thousands};

/// One field of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Text(String),
    Number(String),
    /// A number with what is known of its uncertainty.
    Estimate {
        mean: String,
        sd: Option<String>,
        /// Ends of the bootstrap interval.
        interval: Option<[String; 2]>,
    },
}

impl Field {
    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Mean, deviation and interval of a metric.
    fn of(metric: &str, mean: f64, sd: f64, ends: [f64; 2]) -> Self {
        let known = |value: f64| value.is_finite().then(|| in_table(metric, value));
        Self::Estimate {
            mean: in_table(metric, mean),
            sd: known(sd).filter(|_| mean.is_finite()),
            interval: known(ends[0]).zip(known(ends[1])).map(<[String; 2]>::from),
        }
    }

    fn estimate(metric: &str, estimate: &Estimate) -> Self {
        Self::of(
            metric,
            estimate.mean,
            estimate.sd,
            [estimate.low, estimate.high],
        )
    }

    /// `0.712 ± 0.005 [0.688, 0.739]`.
    fn written(&self) -> String {
        match self {
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Estimate { mean, sd, interval } => {
                let sd = sd.as_ref().map_or(String::new(), |sd| format!(" ± {sd}"));
                let ends = interval.as_ref();
                let ends = ends.map_or(String::new(), |[low, high]| format!(" [{low}, {high}]"));
                format!("{mean}{sd}{ends}")
            }
        }
    }
}

/// The topic of a part, which decides its pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The figures of the validation split.
    Valid,
    /// The figures of the test split.
    Test,
    /// The sweep of that index.
    Sweep(usize),
    /// What the variants cost.
    Cost,
    /// Anything else.
    #[default]
    Other,
}

/// A table under a heading, or lines where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    pub(crate) topic: Topic,
    pub(crate) title: String,
    /// The paragraph before the table.
    pub(crate) lead: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<Field>>,
    /// The explanation after the table.
    pub(crate) note: String,
    /// Further lines.
    pub(crate) lines: Vec<String>,
}

/// The complete study, part by part; empty parts are left out.
pub(crate) fn parts(summary: &Summary) -> Vec<Part> {
    let over = |split: &str| match summary.runs.folds {
        Some(folds) => format!("All segments, {folds} folds by video, each as {split} of one"),
        None => format!("{} split", capital(split)),
    };
    let test = estimates(
        summary,
        &format!("{}, model chosen by validation", over("test")),
        |v| &v.test.0,
    );
    let note = [Some(test.note.as_str()), chosen_on_tested(summary)];
    let test = Part {
        topic: Topic::Test,
        note: note.into_iter().flatten().collect::<Vec<_>>().join(" "),
        ..test
    };
    let valid = estimates(
        summary,
        &format!("{}, the same models", over("validation")),
        |v| &v.valid.0,
    );
    let mut parts = Vec::new();
    let mut after = None;
    // What a search goes by comes first, and nothing else before it is closed.
    if summary.search.is_some() {
        parts.extend([
            search(summary),
            Part {
                topic: Topic::Valid,
                ..valid
            },
        ]);
    } else {
        after = Some(valid);
    }
    if summary.shows_test() {
        parts.extend([test, comparisons(summary)]);
    }
    let sweeps = summary.sweeps.iter().enumerate();
    parts.extend(sweeps.map(|(index, sweep)| Part {
        topic: Topic::Sweep(index),
        ..of_sweep(summary, sweep)
    }));
    parts.extend(after);
    parts.extend([
        chosen(summary),
        costs(summary),
        published(summary),
        left_out(summary),
    ]);
    parts.retain(|part| !part.rows.is_empty() || !part.lines.is_empty());
    parts
}

/// How a search ends whose runs cannot all be done.
pub(crate) const CANNOT_RUN: &str = "A search ends once all its runs are done: name a point that can never run in `skip` of its [[search]], and take such a \
     variant out of the study";

/// What the test metrics of a search's winner are worth, where it was chosen by the segments that it is tested on.
pub(super) fn chosen_on_tested(summary: &Summary) -> Option<&'static str> {
    let both = summary.search.is_some() && summary.shows_test() && summary.runs.folds.is_some();
    both.then_some(
        "The winner of the search was chosen by its validation error on these same segments, each validated in one fold and \
         tested in another: its test metrics are optimistic.",
    )
}

/// The study in a sentence.
pub(crate) fn about(summary: &Summary) -> String {
    let runs = summary.runs;
    format!(
        "Configuration {}, study {}: {} of {} runs, {}{} per variant.",
        summary.config,
        summary.study,
        runs.finished,
        runs.planned,
        match runs.seeds {
            1 => "one seed".to_string(),
            seeds => format!("{seeds} seeds"),
        },
        match runs.folds {
            Some(folds) => format!(" of {folds} folds"),
            None => String::new(),
        }
    )
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// What a search came to.
fn search(summary: &Summary) -> Part {
    let Some(search) = &summary.search else {
        return Part::default();
    };
    let mut lines = Vec::new();
    let found = search.best.as_ref().and_then(|best| summary.variant(best));
    if let Some(best) = found.and_then(|best| Some((best, best.valid.get("mae")?))) {
        let (variant, mae) = best;
        lines.push(format!(
            "Best by validation{}: {}, mae {}{}",
            if search.closed { "" } else { " so far" },
            variant.name,
            spread(mae.mean, mae.sd),
            match &search.command {
                Some(command) => format!(", train it with: {command}"),
                None => String::new(),
            }
        ));
    }
    if !search.closed {
        lines.push(
            "The search goes on: of the test split nothing is told before all its runs are done."
                .into(),
        );
        if !summary.failed.is_empty() {
            lines.push(format!("{CANNOT_RUN}."));
        }
    }
    if !search.dropped.is_empty() {
        lines.push(format!(
            "Dropped by halving before their end: {}.",
            search.dropped.join(", ")
        ));
    }
    Part {
        title: "The search".into(),
        lines,
        ..Part::default()
    }
}

/// What intervals and tests draw.
fn units(summary: &Summary) -> &'static str {
    summary.statistics.resample.units()
}

/// The accuracy of the most classes.
pub(crate) fn finest(summary: &Summary) -> &'static str {
    mmrest_learner::Figures::of(summary.figures, &[], &[])
        .finest()
        .0
}

/// `0.7123 ± 0.0045`; a deviation of one value is left out.
pub(crate) fn spread(mean: f64, sd: f64) -> String {
    match (mean.is_finite(), sd.is_finite()) {
        (true, true) => format!("{} ± {}", in_text(mean), in_text(sd)),
        _ => in_text(mean),
    }
}

fn number(value: f64, digits: usize) -> Field {
    Field::Number(if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        NONE.into()
    })
}

/// The titles of metrics' columns.
fn headings(summary: &Summary) -> Vec<String> {
    summary.figures.names().map(heading).collect()
}

fn header(first: &[&str], then: impl IntoIterator<Item = String>) -> Vec<String> {
    let first = first.iter().map(ToString::to_string);
    first.chain(then).collect()
}

fn finished(summary: &Summary) -> impl Iterator<Item = &VariantSummary> {
    summary
        .variants
        .iter()
        .filter(|variant| !variant.seeds.is_empty())
}

fn estimates(
    summary: &Summary,
    title: &str,
    of: fn(&VariantSummary) -> &Vec<(String, Estimate)>,
) -> Part {
    let row = |variant: &VariantSummary| {
        let seeds = Field::Number(variant.seeds.len().to_string());
        let mut row = vec![Field::text(&variant.title), seeds];
        let values = of(variant).iter();
        row.extend(values.map(|(name, value)| Field::estimate(name, value)));
        row
    };
    Part {
        title: title.into(),
        header: header(&["variant", "seeds"], headings(summary)),
        rows: finished(summary).map(row).collect(),
        note: format!(
            "Mean ± standard deviation over seeds [{:.0} % bootstrap interval over seeds and {}, {} resamples].",
            100.0 * summary.statistics.level,
            units(summary),
            summary.statistics.resamples
        ),
        ..Part::default()
    }
}

fn comparisons(summary: &Summary) -> Part {
    let finest = finest(summary);
    let compared = summary.variants.iter();
    let compared = compared.filter_map(|v| Some((v, v.comparison.as_ref()?)));
    let row = |(variant, comparison): (&VariantSummary, &Comparison)| {
        let mut row = vec![
            Field::text(&variant.title),
            Field::Number(comparison.segments.to_string()),
            Field::Number(comparison.groups.to_string()),
        ];
        for (name, tested) in [
            ("mae", &comparison.absolute_error),
            (finest, &comparison.accuracy),
        ] {
            let ends = [tested.low, tested.high].map(|end| difference(name, end));
            row.push(Field::Estimate {
                mean: difference(name, tested.difference),
                sd: None,
                interval: tested.low.is_finite().then_some(ends),
            });
            row.extend([tested.p, tested.p_holm].map(|p| number(p, 4)));
            row.push(number(tested.effect, 3));
        }
        row
    };
    let of = |name: &str| {
        let difference = if is_share(name) { "Δ, %" } else { "Δ" };
        [difference, "p", "p (Holm)", "d_z"].map(|what| format!("{name} {what}"))
    };
    let groups = if units(summary) == "segments" {
        "drawn"
    } else {
        units(summary)
    };
    let on = match summary.runs.folds {
        Some(_) => "over all segments",
        None => "on the test split",
    };
    let both = of("mae").into_iter().chain(of(finest));
    let names = header(&["variant", "segments", groups], both);
    let untested = summary.variants.iter().filter_map(|variant| {
        let why = variant.comparison.as_ref()?.untested.as_ref()?;
        Some(format!("No p for {}: {why}.", variant.title))
    });
    Part {
        title: format!("Against {}", summary.reference),
        header: names,
        rows: compared.map(row).collect(),
        note: format!(
            "Δ: variant minus reference, {on} [{:.0} % bootstrap interval over seeds and {units}]. p: paired \
             permutation test over {units}, means over seeds, {} draws: of these trained models on other {units}, not of \
             other seeds. d_z: mean of the segments' paired differences by their standard deviation.",
            100.0 * summary.statistics.level,
            summary.statistics.draws,
            units = units(summary)
        ),
        lines: untested.collect(),
        ..Part::default()
    }
}

/// What pictures and sweeps show of a variant: the test split, or in a search the validation split.
pub(crate) fn shown<'a>(summary: &Summary, variant: &'a VariantSummary) -> &'a Named<Estimate> {
    match &summary.search {
        Some(_) => &variant.valid,
        None => &variant.test,
    }
}

fn of_sweep(summary: &Summary, sweep: &SweepSummary) -> Part {
    let names = ["mae", "corr", finest(summary)];
    let row = |point: &SweepPoint| {
        let variant = summary.variant(&point.variant)?;
        let shown = |name| shown(summary, variant).get(name);
        let cells = names.map(|name| {
            shown(name).map_or(Field::text(NONE), |value| Field::estimate(name, value))
        });
        let mut row = vec![Field::Text(if point.variant == summary.reference {
            format!("{} ({})", point.value, point.variant)
        } else {
            point.value.clone()
        })];
        row.extend(cells);
        (!variant.seeds.is_empty()).then_some(row)
    };
    Part {
        title: if sweep.symbol == sweep.key {
            sweep.key.clone()
        } else {
            format!("{}, {}", sweep.symbol, sweep.key)
        },
        lead: sweep.note.clone(),
        header: header(&[sweep.symbol.as_str()], names.map(heading)),
        rows: sweep.points.iter().filter_map(row).collect(),
        ..Part::default()
    }
}

fn chosen(summary: &Summary) -> Part {
    let row = |variant: &VariantSummary| {
        let mut row = vec![Field::text(&variant.title)];
        let values = variant.test_chosen.0.iter();
        row.extend(
            values.map(|(name, chosen)| Field::of(name, chosen.mean, chosen.sd, [f64::NAN; 2])),
        );
        row
    };
    let recorded = |v: &&VariantSummary| v.test_chosen.0.iter().any(|(_, c)| c.mean.is_finite());
    Part {
        title: "Chosen on test, as the literature reports (not honest)".into(),
        header: header(&["variant"], headings(summary)),
        rows: finished(summary).filter(recorded).map(row).collect(),
        note: "All figures of the epoch whose test MAE is lowest: only for comparison with publications that choose so."
            .into(),
        ..Part::default()
    }
}

fn costs(summary: &Summary) -> Part {
    let row = |(variant, cost): (&VariantSummary, &Cost)| {
        let counts = &cost.parameters;
        let counts = [cost.own_parameters, counts.part("metrics"), counts.total];
        let mut row = vec![Field::text(&variant.title)];
        row.extend(counts.map(|count| Field::Number(thousands(count))));
        row.push(number(1000.0 * cost.seconds_per_step, 1));
        row.push(number(cost.epochs, 0));
        row.push(number(cost.training_seconds, 0));
        row.push(number(cost.peak_memory_mib.unwrap_or(f64::NAN), 0));
        row
    };
    let names = [
        "variant",
        "parameters without text encoder",
        "of these metrics",
        "with text encoder",
        "ms per step",
        "epochs",
        "training, s",
        "peak memory, MiB",
    ];
    let known = summary.variants.iter();
    let known = known.filter_map(|v| Some((v, v.cost.as_ref()?)));
    Part {
        topic: Topic::Cost,
        title: "Cost".into(),
        header: header(&names, []),
        rows: known.map(row).collect(),
        note: "Measured in these runs. A step: median over epochs of training time by steps, with what an epoch begins and ends \
               with. Memory: of the run's own process, the data set included. Runs that share the machine slow one another down."
            .into(),
        ..Part::default()
    }
}

/// Published figures, apart from those that were measured here.
fn published(summary: &Summary) -> Part {
    let names = summary.figures.names();
    let named: Vec<&str> = names
        .filter(|name| {
            summary
                .published
                .iter()
                .any(|p| p.figures.contains_key(*name))
        })
        .collect();
    let row = |published: &Published| {
        let mut row = vec![Field::text(&published.method)];
        let figure = |name: &&str| published.figures.get(*name);
        let figures = named
            .iter()
            .map(|name| figure(name).map_or(NONE, String::as_str));
        row.extend(figures.map(|figure| Field::Number(figure.to_owned())));
        row.extend([&published.chosen, &published.source].map(Field::text));
        row
    };
    let last = ["model chosen by", "source"];
    let titles = named.iter().chain(&last).map(ToString::to_string);
    let header = header(&["method"], titles);
    Part {
        title: "Published figures (not measured here)".into(),
        header,
        rows: summary.published.iter().map(row).collect(),
        note: "As their sources print them: other features, text encoders and protocols than here."
            .into(),
        ..Part::default()
    }
}

fn left_out(summary: &Summary) -> Part {
    let mut lines = Vec::new();
    for (name, variant) in &summary.same.0 {
        lines.push(format!("{name} is the same configuration as {variant}."));
    }
    for (name, reason) in &summary.skipped.0 {
        lines.push(format!("{name} was left out: {reason}."));
    }
    for failed in &summary.failed {
        let run = named(&failed.variant, failed.seed, failed.fold);
        lines.push(format!("{run} failed: {}", failed.error));
    }
    let dropped = |name: &String| {
        let search = summary.search.as_ref();
        search.is_some_and(|search| search.dropped.contains(name))
    };
    let unfinished = summary
        .variants
        .iter()
        .filter(|variant| variant.seeds.is_empty() && !dropped(&variant.name));
    lines.extend(unfinished.map(|variant| format!("{} has no finished run.", variant.name)));
    Part {
        title: "Not in the tables".into(),
        lines,
        ..Part::default()
    }
}

/// The study in Markdown: `summary.md`.
pub(crate) fn markdown(summary: &Summary) -> String {
    let mut paragraphs = vec![
        format!("# {}", summary.title),
        about(summary),
        summary.note.clone(),
    ];
    for part in parts(summary) {
        let lines: Vec<String> = part.lines.iter().map(|line| format!("- {line}")).collect();
        let (title, table) = (format!("## {}", part.title), table(&part));
        paragraphs.extend([title, part.lead, table, lines.join("\n"), part.note]);
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n") + "\n"
}

/// The table of a part; empty without rows.
fn table(part: &Part) -> String {
    if part.rows.is_empty() {
        return String::new();
    }
    let written = |row: &Vec<Field>| row.iter().map(Field::written).collect();
    markdown_table(
        &part.header,
        &part.rows.iter().map(written).collect::<Vec<_>>(),
    )
}

/// A table in Markdown.
pub(super) fn markdown_table(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule = format!("|{}", "---|".repeat(header.len()));
    let mut lines = vec![line(header), rule];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_papers_write_them() {
        assert_eq!(spread(0.5, 0.25), "0.5000 ± 0.2500");
        assert_eq!(spread(0.5, f64::NAN), "0.5000");
        assert_eq!(spread(f64::NAN, f64::NAN), NONE);
        assert_eq!(number(f64::NAN, 2), Field::Number(NONE.into()));
        let written = |metric, sd, low| Field::of(metric, 0.5, sd, [low, 0.6]).written();
        assert_eq!(written("mae", 0.25, 0.4), "0.500 ± 0.250 [0.400, 0.600]");
        assert_eq!(written("acc7", 0.25, f64::NAN), "50.0 ± 25.0");
        assert_eq!(written("f1", f64::NAN, f64::NAN), "50.0");
    }

    #[test]
    fn a_table_keeps_its_columns_apart() {
        let words = |words: [&str; 2]| words.map(String::from);
        let part = Part {
            header: words(["x", "y"]).to_vec(),
            rows: vec![words(["a|b", "1"]).map(Field::Text).to_vec()],
            ..Part::default()
        };
        assert_eq!(table(&part), "| x | y |\n|---|---|\n| a\\|b | 1 |");
        assert_eq!(table(&Part::default()), "");
    }
}
