//! A study as tables: `summary.csv`, `summary.md`.

use anyhow::{Result, anyhow};

use super::cost::Cost;
use super::summary::{Comparison, Estimate, Summary, SweepSummary, VariantSummary};

/// What stands where there is no number.
const NONE: &str = "-";

/// `summary.csv`: a row a variant. A cell without a number is empty.
pub(crate) fn csv(summary: &Summary) -> Result<Vec<u8>> {
    let wrong = |error: csv::Error| anyhow!("cannot make the table: {error}");
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (index, variant) in summary.variants.iter().enumerate() {
        let (names, cells): (Vec<_>, Vec<_>) = columns(summary, variant).into_iter().unzip();
        if index == 0 {
            writer.write_record(names).map_err(wrong)?;
        }
        writer.write_record(cells).map_err(wrong)?;
    }
    writer
        .into_inner()
        .map_err(|error| anyhow!("cannot make the table: {error}"))
}

/// Names and cells of a variant's row.
fn columns(summary: &Summary, variant: &VariantSummary) -> Vec<(String, String)> {
    let mut columns = vec![
        ("variant".to_string(), variant.name.clone()),
        ("title".to_string(), variant.title.clone()),
        ("seeds".to_string(), variant.seeds.len().to_string()),
    ];
    let mut number = |name: String, value: f64| {
        let cell = match value.is_finite() {
            true => value.to_string(),
            false => String::new(),
        };
        columns.push((name, cell));
    };
    for (split, estimates) in [("test", &variant.test), ("valid", &variant.valid)] {
        for (name, estimate) in &estimates.0 {
            number(format!("{split}_{name}_mean"), estimate.mean);
            number(format!("{split}_{name}_sd"), estimate.sd);
            number(format!("{split}_{name}_low"), estimate.low);
            number(format!("{split}_{name}_high"), estimate.high);
        }
    }
    for (name, chosen) in &variant.test_chosen.0 {
        number(format!("test_chosen_{name}_mean"), chosen.mean);
        number(format!("test_chosen_{name}_sd"), chosen.sd);
    }
    let compared = |of: fn(&Comparison) -> f64| variant.comparison.as_ref().map_or(f64::NAN, of);
    let finest = finest(summary);
    number(
        "mae_difference".into(),
        compared(|c| c.absolute_error.difference),
    );
    number("mae_p".into(), compared(|c| c.absolute_error.p));
    number("mae_p_holm".into(), compared(|c| c.absolute_error.p_holm));
    number("mae_effect".into(), compared(|c| c.absolute_error.effect));
    number(
        format!("{finest}_difference"),
        compared(|c| c.accuracy.difference),
    );
    number(format!("{finest}_p"), compared(|c| c.accuracy.p));
    number(format!("{finest}_p_holm"), compared(|c| c.accuracy.p_holm));
    number(format!("{finest}_effect"), compared(|c| c.accuracy.effect));
    let cost = |of: fn(&Cost) -> f64| variant.cost.as_ref().map_or(f64::NAN, of);
    number(
        "parameters_text_encoder".into(),
        cost(|c| c.parameters.text_encoder as f64),
    );
    number("parameters_rest".into(), cost(|c| c.parameters.rest as f64));
    number(
        "parameters_metrics".into(),
        cost(|c| c.parameters.metrics as f64),
    );
    number("seconds_per_step".into(), cost(|c| c.seconds_per_step));
    number("training_seconds".into(), cost(|c| c.training_seconds));
    number("epochs".into(), cost(|c| c.epochs));
    number(
        "peak_memory_mib".into(),
        cost(|c| c.peak_memory_mib.unwrap_or(f64::NAN)),
    );
    columns
}

/// `summary.md`.
pub(crate) fn markdown(summary: &Summary) -> String {
    let mut text = format!("# {}\n\n", summary.title);
    text += &format!(
        "Configuration `{}`, study `{}`: {} of {} runs, {} seed(s) a variant.",
        summary.config,
        summary.study,
        summary.runs.finished,
        summary.runs.planned,
        summary.runs.seeds
    );
    if !summary.note.is_empty() {
        text += &format!("\n\n{}", summary.note);
    }
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            text += &format!("\n\n## {title}\n\n{body}");
        }
    };
    section(
        "Test split, model chosen by validation",
        estimates(summary, |v| &v.test.0),
    );
    section(
        &format!("Against `{}`", summary.reference),
        comparisons(summary),
    );
    for sweep in &summary.sweeps {
        section(
            &format!("{} (`{}`)", sweep.symbol, sweep.key),
            sweep_table(summary, sweep),
        );
    }
    section(
        "Validation split, the same models",
        estimates(summary, |v| &v.valid.0),
    );
    section(
        "Chosen on test, as the literature reports (not honest)",
        chosen(summary),
    );
    section("Cost", costs(summary));
    section("Beside MAG-BERT", gates(summary));
    section("Not in the tables", left_out(summary));
    text.push('\n');
    text
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
        (false, _) => NONE.into(),
        (true, false) => format!("{mean:.4}"),
        (true, true) => format!("{mean:.4} ± {sd:.4}"),
    }
}

/// `0.7123 ± 0.0045 [0.6876, 0.7391]`.
fn estimate(estimate: &Estimate) -> String {
    let spread = spread(estimate.mean, estimate.sd);
    match estimate.low.is_finite() {
        true => format!("{spread} [{:.4}, {:.4}]", estimate.low, estimate.high),
        false => spread,
    }
}

fn number(value: f64, digits: usize) -> String {
    match value.is_finite() {
        true => format!("{value:.digits$}"),
        false => NONE.into(),
    }
}

/// A table of a header and rows; nothing without rows.
fn table(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule = format!("|{}", "---|".repeat(header.len()));
    let mut lines = vec![line(&header), rule];
    lines.extend(rows.iter().map(line));
    lines.join("\n")
}

fn header<'a>(first: &[&'a str], then: impl Iterator<Item = &'a str>) -> Vec<String> {
    let first = first.iter().copied();
    first.chain(then).map(String::from).collect()
}

fn finished(summary: &Summary) -> impl Iterator<Item = &VariantSummary> {
    summary
        .variants
        .iter()
        .filter(|variant| !variant.seeds.is_empty())
}

fn estimates(summary: &Summary, of: fn(&VariantSummary) -> &Vec<(String, Estimate)>) -> String {
    let row = |variant: &VariantSummary| {
        let mut row = vec![variant.title.clone(), variant.seeds.len().to_string()];
        row.extend(of(variant).iter().map(|(_, value)| estimate(value)));
        row
    };
    let rows = finished(summary).map(row).collect();
    let table = table(header(&["variant", "seeds"], summary.figures.names()), rows);
    match table.is_empty() {
        true => table,
        false => format!(
            "{table}\n\nMean ± standard deviation over seeds [{:.0} % bootstrap interval over seeds and segments, {} resamples].",
            100.0 * summary.statistics.level,
            summary.statistics.resamples
        ),
    }
}

fn comparisons(summary: &Summary) -> String {
    let finest = finest(summary);
    let compared = summary.variants.iter();
    let compared = compared.filter_map(|v| Some((v, v.comparison.as_ref()?)));
    let row = |(variant, comparison): (&VariantSummary, &Comparison)| {
        let mut row = vec![variant.title.clone(), comparison.segments.to_string()];
        for tested in [&comparison.absolute_error, &comparison.accuracy] {
            row.push(format!("{:+.4}", tested.difference));
            row.extend([tested.p, tested.p_holm].map(|p| number(p, 4)));
            row.push(number(tested.effect, 3));
        }
        row
    };
    let of = |name: &str| ["Δ", "p", "p (Holm)", "d_z"].map(|what| format!("{name} {what}"));
    let mut names = header(&["variant", "segments"], std::iter::empty());
    names.extend(of("mae").into_iter().chain(of(finest)));
    let table = table(names, compared.map(row).collect());
    match table.is_empty() {
        true => table,
        false => format!(
            "{table}\n\nΔ: variant less reference, on the test split. p: paired permutation test over segments, means over \
             seeds, {} draws. d_z: mean of the paired differences by their standard deviation.",
            summary.statistics.draws
        ),
    }
}

fn sweep_table(summary: &Summary, sweep: &SweepSummary) -> String {
    let finest = finest(summary);
    let names = ["mae", "corr", finest];
    let row = |point: &super::summary::SweepPoint| {
        let variant = summary.variant(&point.variant)?;
        let cells = names.map(|name| variant.test.get(name).map_or(NONE.into(), estimate));
        let mut row = vec![match point.variant == summary.reference {
            true => format!("{} (`{}`)", point.value, point.variant),
            false => point.value.clone(),
        }];
        row.extend(cells);
        (!variant.seeds.is_empty()).then_some(row)
    };
    let rows = sweep.points.iter().filter_map(row).collect();
    let table = table(header(&[sweep.symbol.as_str()], names.into_iter()), rows);
    match (table.is_empty(), sweep.note.is_empty()) {
        (false, false) => format!("{}\n\n{table}", sweep.note),
        _ => table,
    }
}

fn chosen(summary: &Summary) -> String {
    let row = |variant: &VariantSummary| {
        let mut row = vec![variant.title.clone()];
        let values = variant.test_chosen.0.iter();
        row.extend(values.map(|(_, chosen)| spread(chosen.mean, chosen.sd)));
        row
    };
    let rows = finished(summary).map(row).collect();
    let table = table(header(&["variant"], summary.figures.names()), rows);
    match table.is_empty() {
        true => table,
        false => format!(
            "{table}\n\nAll figures of the epoch whose test MAE is lowest: to compare with publications that choose so, and \
             for nothing else."
        ),
    }
}

fn costs(summary: &Summary) -> String {
    let row = |(variant, cost): (&VariantSummary, &Cost)| {
        let counts = cost.parameters;
        let counts = [
            counts.text_encoder,
            counts.rest,
            counts.metrics,
            counts.total,
        ];
        let mut row = vec![variant.title.clone()];
        row.extend(counts.map(thousands));
        row.push(number(1000.0 * cost.seconds_per_step, 1));
        row.push(number(cost.epochs, 0));
        row.push(number(cost.training_seconds, 0));
        row.push(number(cost.peak_memory_mib.unwrap_or(f64::NAN), 0));
        row
    };
    let names = [
        "variant",
        "text encoder",
        "rest",
        "metrics",
        "all parameters",
        "ms a step",
        "epochs",
        "training, s",
        "peak memory, MiB",
    ];
    let known = summary.variants.iter();
    let known = known.filter_map(|v| Some((v, v.cost.as_ref()?)));
    let table = table(header(&names, std::iter::empty()), known.map(row).collect());
    match table.is_empty() {
        true => table,
        false => format!(
            "{table}\n\nA step: median over epochs of training time by steps, clustering included. Runs that share the machine \
             slow one another down."
        ),
    }
}

/// MAG-BERT's module and what takes its place here: everything but the text encoder.
fn gates(summary: &Summary) -> String {
    let row = |whose: &str, parameters: usize| vec![whose.to_string(), thousands(parameters)];
    let gates = summary.mag_bert.iter();
    let mut rows: Vec<Vec<String>> = gates
        .map(|gate| {
            let dimensions = format!("H {}, V {}, A {}", gate.text, gate.vision, gate.audio);
            row(
                &format!("MAG-BERT, {}: {dimensions}", gate.whose),
                gate.parameters,
            )
        })
        .collect();
    if let Some(reference) = summary
        .variant(&summary.reference)
        .and_then(|v| v.cost.as_ref())
    {
        let counts = reference.parameters;
        rows.push(row(
            &format!("`{}`, without metrics", summary.reference),
            counts.rest,
        ));
        let with = counts.rest + counts.metrics;
        rows.push(row(&format!("`{}`, with metrics", summary.reference), with));
    }
    let table = table(
        header(
            &["beside the text encoder", "parameters"],
            std::iter::empty(),
        ),
        rows,
    );
    format!("{table}\n\nMAG-BERT's module: 2 H² + 2 H (V + A) + 6 H.")
}

fn left_out(summary: &Summary) -> String {
    let mut lines = Vec::new();
    for (name, variant) in &summary.same.0 {
        lines.push(format!(
            "- `{name}` is the same configuration as `{variant}`."
        ));
    }
    for (name, reason) in &summary.skipped.0 {
        lines.push(format!("- `{name}` was left out: {reason}."));
    }
    for failed in &summary.failed {
        lines.push(format!(
            "- `{}` seed {} failed: {}",
            failed.variant, failed.seed, failed.error
        ));
    }
    let unfinished = summary
        .variants
        .iter()
        .filter(|variant| variant.seeds.is_empty());
    lines.extend(unfinished.map(|variant| format!("- `{}` has no finished run.", variant.name)));
    lines.join("\n")
}

/// `1,222,656`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_papers_write_them() {
        assert_eq!(thousands(1_222_656), "1,222,656");
        assert_eq!(thousands(999), "999");
        assert_eq!(spread(0.5, 0.25), "0.5000 ± 0.2500");
        assert_eq!(spread(0.5, f64::NAN), "0.5000");
        assert_eq!(spread(f64::NAN, f64::NAN), NONE);
        assert_eq!(number(f64::NAN, 2), NONE);
    }

    #[test]
    fn a_table_keeps_its_columns_apart() {
        let rows = vec![vec!["a|b".to_string(), "1".to_string()]];
        let made = table(header(&["x"], ["y"].into_iter()), rows);
        assert_eq!(made, "| x | y |\n|---|---|\n| a\\|b | 1 |");
    }
}
