//! Writes the table of a paper, in the field's form: `table.tex` (booktabs) and `table.md`.

use mmrest_learner::FigureSet;

use super::summary::{Estimate, Named, Summary, VariantSummary};
use super::tables::{chosen_on_tested, markdown_table};
use crate::numbers::in_table;

/// A column: its title, the figures that share it, and how they are written.
struct Column {
    title: &'static str,
    figures: &'static [&'static str],
    form: Form,
}

/// How a figure is written, and which values of it are better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Percent with one digit; larger is better.
    Percent,
    /// Three digits; smaller is better.
    Error,
    /// Three digits; larger is better.
    Correlation,
}

const fn column(title: &'static str, figures: &'static [&'static str], form: Form) -> Column {
    Column {
        title,
        figures,
        form,
    }
}

const MOSI: &[Column] = &[
    column("Acc-2", &["acc2_has0", "acc2_non0"], Form::Percent),
    column("F1", &["f1_has0", "f1_non0"], Form::Percent),
    column("Acc-5", &["acc5"], Form::Percent),
    column("Acc-7", &["acc7"], Form::Percent),
    column("MAE", &["mae"], Form::Error),
    column("Corr", &["corr"], Form::Correlation),
];

const SIMS: &[Column] = &[
    column("Acc-2", &["acc2"], Form::Percent),
    column("F1", &["f1"], Form::Percent),
    column("Acc-3", &["acc3"], Form::Percent),
    column("Acc-5", &["acc5"], Form::Percent),
    column("MAE", &["mae"], Form::Error),
    column("Corr", &["corr"], Form::Correlation),
];

impl Form {
    fn number(self, value: f64) -> String {
        in_table(if self == Self::Percent { "acc" } else { "mae" }, value)
    }

    /// Which way larger values are better.
    fn arrow(self) -> (&'static str, &'static str) {
        match self {
            Self::Error => ("↓", "$\\downarrow$"),
            Self::Percent | Self::Correlation => ("↑", "$\\uparrow$"),
        }
    }

    /// The best of some values as they are written: what looks equal is equal.
    fn best(self, values: impl Iterator<Item = f64>) -> Option<String> {
        let finite = values.filter(|value| value.is_finite());
        let best = match self {
            Self::Error => finite.reduce(f64::min),
            Self::Percent | Self::Correlation => finite.reduce(f64::max),
        };
        best.map(|best| self.number(best))
    }
}

/// How a language of tables writes a cell.
struct Writer {
    bold: fn(&str) -> String,
    spread: fn(&str, &str) -> String,
}

const MARKDOWN: Writer = Writer {
    bold: |text| format!("**{text}**"),
    spread: |mean, sd| format!("{mean} ± {sd}"),
};

const LATEX: Writer = Writer {
    bold: |text| format!("\\textbf{{{text}}}"),
    spread: |mean, sd| format!("{mean}\\,$\\pm$\\,{sd}"),
};

/// The split whose metrics are shown: test, or validation as long as a search may not say anything of test.
fn split<'a>(summary: &Summary, variant: &'a VariantSummary) -> &'a Named<Estimate> {
    if summary.shows_test() {
        &variant.test
    } else {
        &variant.valid
    }
}

/// The variants that have results, a row each.
fn finished(summary: &Summary) -> Vec<&VariantSummary> {
    let finished = |variant: &&VariantSummary| {
        let mae = split(summary, variant).get("mae");
        mae.is_some_and(|mae| mae.mean.is_finite())
    };
    summary.variants.iter().filter(finished).collect()
}

/// The rows: a method each, with the cells of all columns.
fn rows(summary: &Summary, writer: &Writer) -> Vec<(String, Vec<String>)> {
    let variants = finished(summary);
    let figure =
        |variant: &'_ VariantSummary, name: &str| split(summary, variant).get(name).cloned();
    let row = |variant: &&VariantSummary| {
        let cells = columns(summary.figures).iter().map(|column| {
            let parts = column.figures.iter().map(|name| {
                let all = variants.iter().filter_map(|variant| figure(variant, name));
                let best = column.form.best(all.map(|estimate| estimate.mean));
                figure(variant, name).map_or("-".into(), |estimate| {
                    cell(&estimate, column.form, best.as_deref(), writer)
                })
            });
            parts.collect::<Vec<_>>().join(" / ")
        });
        (variant.title.clone(), cells.collect())
    };
    variants.iter().map(row).collect()
}

fn cell(estimate: &Estimate, form: Form, best: Option<&str>, writer: &Writer) -> String {
    if !estimate.mean.is_finite() {
        return "-".into();
    }
    let mean = form.number(estimate.mean);
    let bold = best == Some(mean.as_str());
    let shown = if bold { (writer.bold)(&mean) } else { mean };
    if estimate.sd.is_finite() {
        (writer.spread)(&shown, &form.number(estimate.sd))
    } else {
        shown
    }
}

fn columns(set: FigureSet) -> &'static [Column] {
    match set {
        FigureSet::Mosi => MOSI,
        FigureSet::Sims => SIMS,
    }
}

/// Over how many seeds the rows are, by title and number; those with another number than the study's are named.
fn over<'a>(seeds: u64, rows: impl Iterator<Item = (&'a str, u64)>) -> String {
    let others = rows.filter(|(_, number)| *number != seeds);
    let others: Vec<String> = others
        .map(|(title, number)| format!("{number} of {title}"))
        .collect();
    let said = match seeds {
        1 => "One seed".to_string(),
        seeds => format!("Mean ± standard deviation over {seeds} seeds"),
    };
    if others.is_empty() {
        said
    } else {
        format!("{said} ({})", others.join("; "))
    }
}

/// What the table shows, in a sentence.
fn caption(summary: &Summary) -> String {
    let rows = finished(summary).into_iter();
    let rows = rows.map(|variant| (variant.title.as_str(), variant.seeds.len() as u64));
    let seeds = over(summary.runs.seeds, rows);
    let split = match (summary.runs.folds, summary.shows_test()) {
        (Some(folds), true) => {
            format!("all segments by {folds}-fold cross-validation over videos")
        }
        (Some(folds), false) => {
            format!("all segments, each as validation of one of {folds} folds by video")
        }
        (None, true) => "the test split".to_string(),
        (None, false) => "the validation split".to_string(),
    };
    let two = match summary.figures {
        FigureSet::Mosi => " Acc-2 and F1: negative/non-negative and negative/positive.",
        FigureSet::Sims => "",
    };
    let chosen = chosen_on_tested(summary).map_or(String::new(), |said| format!(" {said}"));
    format!("{seeds} on {split}; models chosen by validation MAE.{chosen}{two} Best in bold.")
}

/// `table.md`.
pub(crate) fn markdown(summary: &Summary) -> String {
    let columns = columns(summary.figures).iter();
    let titles = columns.map(|column| format!("{} {}", column.title, column.form.arrow().0));
    let header: Vec<String> = ["Method".to_string()].into_iter().chain(titles).collect();
    let rows: Vec<Vec<String>> = rows(summary, &MARKDOWN)
        .into_iter()
        .map(|(title, cells)| [title].into_iter().chain(cells).collect())
        .collect();
    format!(
        "{}\n\n{}\n",
        markdown_table(&header, &rows),
        caption(summary)
    )
}

/// `table.tex`.
pub(crate) fn latex(summary: &Summary) -> String {
    let columns = columns(summary.figures);
    let titles = columns.iter();
    let titles = titles.map(|column| format!("{} {}", column.title, column.form.arrow().1));
    let titles: Vec<String> = titles.collect();
    let rows: String = rows(summary, &LATEX)
        .into_iter()
        .map(|(title, cells)| format!("{} & {} \\\\\n", escaped(&title), cells.join(" & ")))
        .collect();
    let caption = escaped(&caption(summary)).replace('±', "$\\pm$");
    format!(
        "% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\
         \\begin{{tabular}}{{l{}}}\n\\toprule\nMethod & {} \\\\\n\\midrule\n{rows}\\bottomrule\n\
         \\end{{tabular}}\n\\end{{table}}\n",
        "c".repeat(columns.len()),
        titles.join(" & ")
    )
}

/// Text as LaTeX takes it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '\\' => escaped += "\\textbackslash{}",
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(mean: f64, sd: f64) -> Estimate {
        Estimate {
            mean,
            sd,
            low: f64::NAN,
            high: f64::NAN,
            values: vec![mean],
        }
    }

    #[test]
    fn cells_are_written_as_papers_write_them() {
        let best = Form::Percent.best([0.4212, 0.4214, f64::NAN].into_iter());
        let shown = |estimate: &Estimate| cell(estimate, Form::Percent, best.as_deref(), &MARKDOWN);
        // Equal as they are written, so both are best.
        assert_eq!(shown(&estimate(0.4212, 0.0093)), "**42.1** ± 0.9");
        assert_eq!(shown(&estimate(0.4214, f64::NAN)), "**42.1**");
        assert_eq!(shown(&estimate(f64::NAN, f64::NAN)), "-");
        assert_eq!(Form::Error.best([0.71, 0.69].into_iter()).unwrap(), "0.690");
        let mae = cell(&estimate(0.7123, 0.01), Form::Error, None, &LATEX);
        assert_eq!(mae, "0.712\\,$\\pm$\\,0.010");
        assert_eq!(escaped("without L_MMC & 5 %"), "without L\\_MMC \\& 5 \\%");
    }

    #[test]
    fn rows_of_other_numbers_of_seeds_are_named() {
        let rows = |numbers: [u64; 3]| ["MMRest", "ALMT", "DMD"].into_iter().zip(numbers);
        assert_eq!(over(1, rows([1, 1, 1])), "One seed");
        let said = "Mean ± standard deviation over 5 seeds";
        assert_eq!(over(5, rows([5, 5, 5])), said);
        let some = format!("{said} (2 of ALMT; 1 of DMD)");
        assert_eq!(over(5, rows([5, 2, 1])), some);
    }

    #[test]
    fn every_column_is_a_figure_of_its_set() {
        for set in FigureSet::ALL {
            let mut known = set.names();
            let names = columns(set).iter().flat_map(|column| column.figures);
            for name in names {
                assert!(set.names().any(|known| known == *name), "{name}");
            }
            assert!(known.any(|name| name == "mae"));
        }
    }
}
