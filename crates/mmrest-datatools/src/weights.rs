//! The weights of a text encoder: their files, and the header of a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What `model_type` may be in the `config.json` of a text encoder.
pub(crate) const MODEL_TYPES: [&str; 2] = ["bert", "mpnet"];

/// The names of the file of weights in a directory of a text encoder; the first that is there counts.
pub(crate) const NAMES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The files of a directory's weights: one, or the shards that an index names; none where there are no weights.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    for name in NAMES {
        let whole = folder.join(name);
        if whole.is_file() {
            return vec![whole];
        }
        let index = std::fs::read(folder.join(format!("{name}.index.json"))).ok();
        let index = index.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        if let Some(map) = index
            .as_ref()
            .and_then(|index| index["weight_map"].as_object())
        {
            let mut names: Vec<&str> = map.values().filter_map(Value::as_str).collect();
            names.sort_unstable();
            names.dedup();
            return names.into_iter().map(|name| folder.join(name)).collect();
        }
    }
    Vec::new()
}

/// Longest header of a safetensors file: the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// What a file says of its tensors.
pub(crate) struct Header {
    /// Each tensor's entry, by its name.
    pub(crate) tensors: BTreeMap<String, Value>,
    /// Bytes that follow the header.
    pub(crate) data: u64,
}

impl Header {
    /// Reads the header of a file, or says what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let said = |error: std::io::Error| error.to_string();
        let mut file = File::open(path).map_err(said)?;
        let length = file.metadata().map_err(said)?.len();
        let mut size = [0; 8];
        let short = || "it is cut short".to_owned();
        file.read_exact(&mut size).map_err(|_| short())?;
        let size = u64::from_le_bytes(size);
        let rest = length
            .checked_sub(8)
            .and_then(|rest| rest.checked_sub(size));
        let data = rest.ok_or_else(short)?;
        if size > LONGEST_HEADER {
            return Err(format!("its header has {size} bytes"));
        }
        let mut header = Vec::new();
        file.take(size).read_to_end(&mut header).map_err(said)?;
        let mut tensors: BTreeMap<String, Value> = serde_json::from_slice(&header)
            .map_err(|error| format!("its header is not JSON: {error}"))?;
        tensors.remove("__metadata__");
        Ok(Self { tensors, data })
    }
}

/// Where a tensor ends in the data; none where its entry does not say.
pub(crate) fn end(tensor: &Value) -> Option<u64> {
    tensor.get("data_offsets")?.get(1)?.as_u64()
}
