//! Keys that have another name now, most of them of version 0.1.0: refused in configurations people write, read in those of
//! old runs.

use mmrest_models::ConfigError;
use toml::{Table, Value};

use super::layers::set;

/// Old key, new key.
const RENAMED: &[(&str, &str)] = &[
    ("mmc", "model.mmrest.mmc"),
    ("bias", "model.mmrest.bias"),
    ("metric", "model.mmrest.metric"),
    ("model.representation", "model.mmrest.representation"),
    ("model.channels", "model.mmrest.channels"),
    ("model.joint", "model.mmrest.joint"),
    ("model.hidden", "model.mmrest.hidden"),
    ("model.dropout", "model.mmrest.dropout"),
    ("clusters.by", "model.mmrest.clusters.assign"),
    ("clusters.count", "model.mmrest.clusters.clusters"),
    ("clusters.scope", "model.mmrest.clusters.scope"),
    ("clusters.momentum", "model.mmrest.clusters.momentum"),
    ("clusters.restarts", "model.mmrest.clusters.restarts"),
    (
        "clusters.max_iterations",
        "model.mmrest.clusters.max_iterations",
    ),
    (
        "clusters.receptive_field",
        "model.mmrest.clusters.receptive_field",
    ),
    ("clusters.nearest", "model.mmrest.clusters.nearest"),
    ("clusters.temperature", "model.mmrest.clusters.temperature"),
    ("loss.form", "model.mmrest.loss.kind"),
    ("loss.task", "model.mmrest.target"),
    ("loss.mmc_weight", "model.mmrest.mmc_weight"),
    ("loss.ridge", "model.mmrest.ridge"),
    ("loss.means", "model.mmrest.loss.means"),
    ("loss.smoothing", "model.mmrest.loss.smoothing"),
    ("loss.inter_weight", "model.mmrest.loss.inter_weight"),
    (
        "loss.frobenius_weight",
        "model.mmrest.loss.frobenius_weight",
    ),
    ("loss.margin", "model.mmrest.loss.margin"),
    ("loss.margin_scale", "model.mmrest.loss.margin_scale"),
    ("loss.max_pairs", "model.mmrest.loss.max_pairs"),
    ("projection.kind", "model.mmrest.projection.kind"),
    ("projection.gamma", "model.mmrest.gamma"),
    (
        "projection.at_evaluation",
        "model.mmrest.bias_at_evaluation",
    ),
    ("projection.signed", "model.mmrest.projection.signed"),
    ("train.clip", "train.max_grad_norm"),
    ("train.metric_clip", "model.mmrest.max_metric_grad_norm"),
    (
        "train.metric_learning_rate",
        "model.mmrest.metric_learning_rate",
    ),
    ("model.dmd.step_at_end", "model.dmd.flush_rest"),
];

/// Whether version 0.1.0 has written a configuration: it named no model.
pub(super) fn is_old(stored: &str) -> bool {
    let table: Option<Table> = stored.parse().ok();
    table.is_some_and(|table| {
        let model = table.get("model").and_then(Value::as_table);
        table.contains_key("mmc") && model.is_none_or(|model| !model.contains_key("name"))
    })
}

/// Refuses keys that have another name now.
pub(super) fn refuse(explicit: &Table) -> Result<(), ConfigError> {
    match RENAMED.iter().find(|(old, _)| get(explicit, old).is_some()) {
        None => Ok(()),
        Some((old, new)) => Err(ConfigError(format!("{old} was renamed to {new}"))),
    }
}

/// Brings a configuration that version 0.1.0 has written to the keys of today; any other stays as it is.
pub(super) fn upgrade(mut stored: Table) -> Table {
    for (old, new) in RENAMED {
        if let Some(value) = take(&mut stored, old) {
            // A path below a value cannot come about: every new key's parents are tables.
            let _ = set(&mut stored, new, value);
        }
    }
    for emptied in ["clusters", "loss", "projection"] {
        if matches!(stored.get(emptied), Some(Value::Table(table)) if table.is_empty()) {
            stored.remove(emptied);
        }
    }
    // Old tables held the fields of every kind.
    if let Some(loss) = table(&mut stored, "model.mmrest.loss") {
        if loss.get("kind").and_then(Value::as_str) == Some("ordinal") {
            let anchor = loss.remove("frobenius_weight");
            loss.retain(|key, _| matches!(key, "kind" | "smoothing" | "anchor_weight"));
            if let Some(anchor) = anchor {
                loss.insert("anchor_weight".into(), anchor);
            }
        } else {
            loss.remove("smoothing");
        }
    }
    if let Some(projection) = table(&mut stored, "model.mmrest.projection")
        && projection.get("kind").and_then(Value::as_str) == Some("expectation")
    {
        projection.remove("signed");
    }
    stored
}

/// The table at a dotted key.
fn table<'a>(root: &'a mut Table, key: &str) -> Option<&'a mut Table> {
    key.split('.')
        .try_fold(root, |table, name| table.get_mut(name)?.as_table_mut())
}

/// Other names of keys: they are read as the key itself.
const ALIASES: &[(&str, &str)] = &[("data.split", "data.split_from")];

/// Brings the other names of keys to the keys themselves.
pub(super) fn without_aliases(mut layer: Table) -> Table {
    for (alias, key) in ALIASES {
        if get(&layer, key).is_none()
            && let Some(value) = take(&mut layer, alias)
        {
            // The key stands beside its other name.
            let _ = set(&mut layer, key, value);
        }
    }
    layer
}

/// The new names of keys that were renamed, by their old ones.
pub(super) fn old_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    RENAMED.iter().copied()
}

/// The value at a dotted key; tables do not count.
fn get<'a>(root: &'a Table, key: &str) -> Option<&'a Value> {
    let (tables, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut table = root;
    for part in tables.split('.').filter(|part| !part.is_empty()) {
        table = table.get(part)?.as_table()?;
    }
    table.get(name).filter(|value| !value.is_table())
}

/// Removes the value at a dotted key.
fn take(root: &mut Table, key: &str) -> Option<Value> {
    get(root, key)?;
    match key.rsplit_once('.') {
        None => root.remove(key),
        Some((tables, name)) => table(root, tables)?.remove(name),
    }
}

#[cfg(test)]
mod tests {
    use mmrest_models::{LossConfig, ModelConfig, OrdinalConfig};

    use super::super::{Config, parse_override};
    use super::*;

    #[test]
    fn every_old_key_is_refused_by_its_new_name() {
        for (old, new) in RENAMED {
            let set = [(old.to_string(), Value::Boolean(true))];
            let error = Config::parse("", &set).unwrap_err().to_string();
            assert_eq!(error, format!("{old} was renamed to {new}"));
            // The new key exists: it is refused for its value, if at all.
            let set = [parse_override(&format!("{new}=[true]")).unwrap()];
            let paper = "preset = \"paper\"";
            let error = Config::parse(paper, &set).unwrap_err().to_string();
            assert!(
                !error.contains("unknown field") || new.contains("smoothing"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_configuration_of_an_old_run_is_read() {
        let old = "preset = \"ordinal\"\nmmc = true\nbias = false\nmetric = \"learned\"\n\
                   [model]\nrepresentation = 32\n[clusters]\nby = \"sentiment\"\ncount = 7\n\
                   [loss]\nform = \"ordinal\"\ntask = \"score\"\nmeans = false\nsmoothing = 0.5\nmargin = 3.0\n\
                   frobenius_weight = 0.25\n[projection]\nkind = \"expectation\"\nsigned = false\n[train]\nclip = 2.0";
        let config = Config::parse_stored(old).unwrap();
        assert_eq!(config.train.max_grad_norm, 2.0);
        let ModelConfig::MmRest { config } = &config.model else {
            panic!("another model");
        };
        assert!(config.mmc && !config.bias);
        assert_eq!(config.representation, 32);
        let loss = OrdinalConfig {
            smoothing: 0.5,
            anchor_weight: 0.25,
        };
        assert_eq!(config.loss, LossConfig::Ordinal(loss));
    }
}
