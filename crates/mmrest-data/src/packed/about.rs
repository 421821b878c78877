//! The metadata of a packed set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{DataReport, SourceFile};

/// What makes the metadata those of a packed set.
const FORMAT: &str = "mmrest packed set";

/// The layout that is written, and the one that is read.
pub(crate) const VERSION: u64 = 1;

/// Where a packed set comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What the set was made from and how, in short: whoever looks for one that can be used again compares it.
    pub key: String,
    /// The files it was made from. Of their paths the names alone are stored.
    pub files: Vec<SourceFile>,
    /// What was met on the way.
    pub report: DataReport,
    /// Least and greatest sentiment of the scale.
    pub label_range: [f32; 2],
}

impl Default for About {
    /// Nothing known, and the scale of CMU-MOSI and CMU-MOSEI: -3 to 3.
    fn default() -> Self {
        Self {
            key: String::new(),
            files: Vec::new(),
            report: DataReport::default(),
            label_range: [-3.0, 3.0],
        }
    }
}

/// SHA-256 of datasets in lowercase hexadecimal, by path.
pub(super) type Checksums = BTreeMap<String, String>;

/// The dataset with the SHA-256 of the metadata, which say whether there is one: older sets have none.
pub(super) const SEAL: &str = "/sha256";

/// The metadata as they are stored.
pub(super) fn encode(mut about: About, checksums: &Checksums) -> String {
    for file in &mut about.files {
        if let Some(name) = file.path.file_name() {
            file.path = PathBuf::from(name);
        }
    }
    let metadata = json!({
        "format": FORMAT,
        "version": VERSION,
        "key": about.key,
        "files": about.files,
        "report": about.report,
        "label_range": about.label_range,
        "sha256": checksums,
        "sealed": true,
    });
    metadata.to_string()
}

/// The metadata of a file, with the checksums and whether they have one themselves; or what is wrong with them.
pub(super) fn decode(text: &str) -> Result<(About, Checksums, bool), String> {
    let mut metadata: Value =
        serde_json::from_str(text).map_err(|error| format!("/metadata is no JSON: {error}"))?;
    if metadata["format"] != FORMAT {
        return Err(format!("/metadata does not say format {FORMAT:?}"));
    }
    if metadata["version"] != VERSION {
        return Err(format!(
            "version {} of the layout; this program knows version {VERSION} only: make the set again",
            metadata["version"]
        ));
    }
    let wrong = |error: serde_json::Error| format!("/metadata is not as expected: {error}");
    let checksums = serde_json::from_value(metadata["sha256"].take()).map_err(wrong)?;
    let sealed = metadata["sealed"] == true;
    let report = completed(metadata["report"].take());
    metadata["report"] = report;
    let about: About = serde_json::from_value(metadata).map_err(wrong)?;
    let [least, greatest] = about.label_range;
    if least.is_finite() && greatest.is_finite() && least < greatest {
        return Ok((about, checksums, sealed));
    }
    Err(format!("/metadata has label_range [{least}, {greatest}]"))
}

/// A report with what it lacks set to zero: one written before a count was added to it is still one.
fn completed(report: Value) -> Value {
    let Value::Object(counts) = report else {
        return report;
    };
    let mut whole = json!(DataReport::default());
    if let Value::Object(whole) = &mut whole {
        whole.extend(counts);
    }
    whole
}
