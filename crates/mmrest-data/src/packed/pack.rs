//! Packing any source.

use std::path::Path;

use super::{About, PackedWriter};
use crate::{DataError, Result, SegmentSource};

/// Writes all segments of a source into a packed set at `path`, holding one of them in memory at a time; `text` says
/// whether text is in use. The report stored is the source's, whatever `about` has.
///
/// `watch` is told the number of segments written so far, and answers whether to go on.
///
/// # Errors
///
/// Those of reading and of [`PackedWriter`]; [`DataError::Stopped`] when `watch` says so. Nothing is left behind then.
pub fn pack(
    source: &dyn SegmentSource,
    text: bool,
    about: About,
    path: &Path,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<()> {
    let mut writer = PackedWriter::create(path, source.widths(), text)?;
    let mut written = 0;
    let report = source.visit(&mut |split, segment| {
        writer.push(split, &segment)?;
        written += 1;
        if watch(written) {
            Ok(())
        } else {
            Err(DataError::Stopped)
        }
    })?;
    writer.finish(About { report, ..about })
}
