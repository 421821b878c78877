//! Metadata of what was aligned.

use rand::RngExt;
use serde_json::{Value, json};

use super::{AlignConfig, Aligner};
use mmrest_data::csd::{self, ComputationalSequence, Metadata};
use mmrest_data::text::hex;

impl Aligner {
    /// The file's own metadata, as the SDK carries it over: with a new `uuid` and no `md5`. Keys the SDK asks for are
    /// there; `alignment` says what was done, and by whom.
    pub(super) fn metadata(&self, file: &ComputationalSequence) -> Metadata {
        let root = file.root();
        let mut metadata = csd::metadata(root, "");
        metadata.extend(file.metadata().clone());
        metadata.insert("root name".to_owned(), json!(root));
        metadata.insert("uuid".to_owned(), json!(uuid()));
        metadata.insert("md5".to_owned(), Value::Null);
        metadata.insert("alignment".to_owned(), alignment(&self.config));
        if let Some(Value::Array(dimensions)) = metadata.get_mut("dimension names") {
            *dimensions = dimension_names(dimensions, &self.config);
        }
        metadata
    }
}

fn alignment(config: &AlignConfig) -> Value {
    let mut alignment = json!(config);
    if let Value::Object(alignment) = &mut alignment {
        let creator = json!(concat!("mmrest-data ", env!("CARGO_PKG_VERSION")));
        alignment.insert("creator".to_owned(), creator);
    }
    alignment
}

/// Several functions make a dimension several: `mean pitch`, ..., `max pitch`, ....
fn dimension_names(dimensions: &[Value], config: &AlignConfig) -> Vec<Value> {
    if config.collapse.len() < 2 {
        return dimensions.to_vec();
    }
    let functions = config.collapse.iter();
    let named = functions.flat_map(|function| {
        dimensions.iter().map(move |name| match name {
            Value::String(name) => json!(format!("{function} {name}")),
            other => json!(format!("{function} {other}")),
        })
    });
    named.collect()
}

/// A random UUID (version 4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let (a, b, c, d, e) = (
        &bytes[..4],
        &bytes[4..6],
        &bytes[6..8],
        &bytes[8..10],
        &bytes[10..],
    );
    [a, b, c, d, e].map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::Collapse;

    #[test]
    fn uuids_are_random_and_say_so() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }

    #[test]
    fn dimensions_are_named_by_their_function() {
        let dimensions = [json!("pitch"), json!("energy")];
        let mut config = AlignConfig::to("words");
        assert_eq!(dimension_names(&dimensions, &config), dimensions);
        config.collapse = vec![Collapse::Mean, Collapse::Max];
        let names = ["mean pitch", "mean energy", "max pitch", "max energy"];
        assert_eq!(
            dimension_names(&dimensions, &config),
            names.map(|name| json!(name))
        );
    }
}
