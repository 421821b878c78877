//! The weights of a BERT: the names of their files, and the header of a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// The names of the file of weights in a directory of a BERT; the first that is there counts.
pub(crate) const NAMES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

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
