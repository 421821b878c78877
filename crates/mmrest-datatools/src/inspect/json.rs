//! JSON that is no folds file.

use serde_json::Value;

use super::{Inspection, Usable};

/// Tells its top level, or where it breaks off.
pub(super) fn inspect(inspection: &mut Inspection) {
    const MOST: u64 = 64 << 20;
    if inspection.bytes > MOST {
        inspection.usable = Usable::no("JSON, too large to be a folds file");
        return;
    }
    let parsed = std::fs::read(&inspection.path)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_slice::<Value>(&text).map_err(|error| error.to_string()));
    match parsed {
        Err(error) => inspection.unreadable(
            format!("JSON that cannot be read: {error}"),
            "mend it where it says, or copy it again",
        ),
        Ok(Value::Object(object)) => {
            let keys: Vec<&str> = object.keys().take(12).map(String::as_str).collect();
            let why = format!("no folds file; its keys are {}", keys.join(", "));
            inspection.usable = Usable::no(why);
        }
        Ok(_) => {
            inspection.usable = Usable::no("no folds file: an object of three lists is expected");
        }
    }
}
