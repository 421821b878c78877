//! Further sentences about segments, such as what the voice and the face of the speaker are like: cells of a table, by the
//! segments' ids.

use std::collections::HashMap;
use std::path::Path;

use super::{Required, Table};
use crate::csd::split_id;
use crate::{DataConfig, Result};

/// The sentences of a table.
///
/// ```
/// use mmrest_data::{DataConfig, table::Sentences};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("sentences.csv");
/// let table = "video_id,clip_id,voice,face\na,1,a loud voice,\na,2,a low voice,a frown\n";
/// std::fs::write(&path, table).unwrap();
/// let sentences = Sentences::read(&path, &DataConfig::default())?;
/// assert_eq!(sentences.of("a$_$2").unwrap(), ["a low voice", "a frown"]);
/// // Labelled intervals of computational sequences count from 0, clips from 1.
/// assert_eq!(sentences.of("a[1]"), sentences.of("a$_$2"));
/// assert_eq!(sentences.of("b[0]"), None);
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sentences {
    table: Table,
    /// The rows by id.
    by_id: HashMap<String, usize>,
}

impl Sentences {
    /// Reads the table at `path` by the configuration's columns of videos, clips and sentences.
    ///
    /// # Errors
    ///
    /// Those of [`Table::read_more`].
    pub fn read(path: &Path, config: &DataConfig) -> Result<Self> {
        let required = Required {
            id: false,
            text: false,
            label: false,
            split: false,
        };
        let more = &config.sentence_columns;
        let table = Table::read_more(path, &config.columns, required, more)?;
        let rows = table.rows().iter().enumerate();
        let by_id = rows.map(|(place, row)| (row.id(), place)).collect();
        Ok(Self { table, by_id })
    }

    /// The sentences about a segment, in the order of the columns, empty where the cell is; none without a row.
    pub fn of(&self, id: &str) -> Option<&[String]> {
        let row = match self.by_id.get(id) {
            Some(&row) => self.table.rows().get(row),
            None => match split_id(id) {
                (video, Some(piece)) => self.table.row(video, piece + 1),
                _ => None,
            },
        };
        Some(&row?.more)
    }

    /// Every sentence of the table, as often as it is there.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let rows = self.table.rows().iter();
        rows.flat_map(|row| row.more.iter().map(String::as_str))
    }
}
