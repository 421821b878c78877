//! Packing any source.

use std::path::Path;

use super::{About, PackedWriter};
use crate::{DataError, Result, SegmentSource};

/// Writes all segments of a source into a packed set at `path`, holding one of them in memory at a time; `text` says
/// whether text is in use. The report stored is the source's, whatever `about` has.
///
/// `watch` is told the number of segments written so far, and answers whether to go on.
///
/// ```
/// use mmrest_data::packed::{About, PackedSet, pack};
/// use mmrest_data::{DataConfig, Kind, Modality, Split, SplitFrom, open};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let table = "video_id,clip_id,text,label,mode\na,1,how nice,1.5,train\nb,1,how dull,-2.0,test\n";
/// std::fs::write(folder.path().join("label.csv"), table).unwrap();
/// let config = DataConfig {
///     kind: Kind::Table,
///     dir: ".".into(),
///     table: Some("label.csv".into()),
///     modalities: vec![Modality::Text],
///     split_from: SplitFrom::Table,
///     ..DataConfig::default()
/// };
/// let path = folder.path().join("set.h5");
/// let source = open(&config, folder.path())?;
/// pack(source.as_ref(), true, About::default(), &path, &mut |_| true)?;
/// assert_eq!(PackedSet::open(&path)?.rows(Split::Train).len(), 1);
/// # Ok(())
/// # }
/// ```
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
        let Some(split) = split else {
            let reason = format!("segment {:?} has no split, which it must name", segment.id);
            return Err(DataError::packed(path, reason));
        };
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
