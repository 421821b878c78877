//! Writes `summary.csv`: a study as one table for further computation.

use anyhow::{Result, anyhow};

use super::cost::Cost;
use super::summary::{Summary, Tested, VariantSummary};
use super::tables::finest;

/// `summary.csv`: a row per variant. A cell without a number is empty.
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
        let cell = if value.is_finite() {
            value.to_string()
        } else {
            String::new()
        };
        columns.push((name, cell));
    };
    let splits = [("test", &variant.test), ("valid", &variant.valid)];
    let told = splits
        .into_iter()
        .filter(|(split, _)| *split == "valid" || summary.shows_test());
    for (split, estimates) in told {
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
    let compared = variant.comparison.as_ref();
    let errors = compared.map(|c| c.absolute_error).unwrap_or(Tested::NONE);
    let accuracy = compared.map(|c| c.accuracy).unwrap_or(Tested::NONE);
    for (name, tested) in [("mae", errors), (finest(summary), accuracy)] {
        number(format!("{name}_difference"), tested.difference);
        number(format!("{name}_difference_low"), tested.low);
        number(format!("{name}_difference_high"), tested.high);
        number(format!("{name}_p"), tested.p);
        number(format!("{name}_p_holm"), tested.p_holm);
        number(format!("{name}_effect"), tested.effect);
    }
    let cost = |of: fn(&Cost) -> f64| variant.cost.as_ref().map_or(f64::NAN, of);
    number(
        "parameters_text_encoder".into(),
        cost(|c| c.parameters.text_encoder as f64),
    );
    number("parameters_own".into(), cost(|c| c.own_parameters as f64));
    number(
        "parameters_metrics".into(),
        cost(|c| c.parameters.part("metrics") as f64),
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
