//! Files in their place, and their checksums beside them.

use std::path::Path;

use super::{Fetched, Source, Target};
use mmrest_data::files::{self, beside};
use mmrest_data::{Result, SourceFile};

/// The file a target asks for, if it is there and whole: of the right content, and of the recorded checksum if there is
/// a record. One without gets it.
pub(super) fn present(target: &Target) -> Result<Option<Fetched>> {
    if target.force || !target.path.is_file() {
        return Ok(None);
    }
    if let Err(reason) = target.content.check_file(&target.path, &target.name()) {
        tracing::warn!(path = %target.path.display(), reason, "not whole, fetched again");
        return Ok(None);
    }
    let file = SourceFile::read(&target.path)?;
    let record = recorded(&target.path);
    let expected = target.sha256.as_ref().or(record.as_ref());
    if expected.is_some_and(|expected| *expected != file.sha256) {
        tracing::warn!(path = %target.path.display(), "of another SHA-256, fetched again");
        return Ok(None);
    }
    if record.is_none() {
        record_sha256(&target.path, &file.sha256)?;
    }
    Ok(Some(Fetched {
        path: target.path.clone(),
        url: target.url.clone(),
        bytes: file.bytes,
        sha256: file.sha256,
        source: Source::Present,
    }))
}

/// The checksum that `NAME.sha256` tells of a file, in lowercase.
pub(super) fn recorded(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(beside(path, ".sha256")).ok()?;
    let sha256 = text.split_whitespace().next()?.to_ascii_lowercase();
    is_sha256(&sha256).then_some(sha256)
}

/// Whether a text is a SHA-256 in lowercase hexadecimal.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// Writes `NAME.sha256` as `sha256sum` does, so that `sha256sum -c` checks the file.
pub(super) fn record_sha256(path: &Path, sha256: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("{sha256}  {name}\n");
    files::write(&beside(path, ".sha256"), text.as_bytes())
}
