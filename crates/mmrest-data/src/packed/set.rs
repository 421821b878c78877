//! Opens a packed set and reads its segments.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::About;
use super::about::{Checksums, SEAL, decode};
use super::open::read_at;
use super::open::{Element, Place, Structure};
use crate::text::hex;
use crate::{DataError, Frames, Modality, Result, Segment, Split, Widths};

/// Bytes checksummed at a time.
const PIECE: u64 = 1 << 20;

/// An open packed set: ids, texts, labels and offsets in memory, frames read when asked. Rows count from 0, in the order
/// of writing. May be used from several threads at once.
pub struct PackedSet {
    path: PathBuf,
    file: File,
    about: About,
    checksums: Checksums,
    places: BTreeMap<String, Place>,
    ids: Vec<String>,
    videos: Vec<String>,
    splits: Vec<Split>,
    labels: Vec<f32>,
    rows: [Vec<usize>; 3],
    text: Option<Text>,
    vision: Option<Track>,
    audio: Option<Track>,
}

struct Text {
    values: String,
    offsets: Vec<u64>,
}

/// Frames of one modality, in the file.
struct Track {
    width: usize,
    address: u64,
    offsets: Vec<u64>,
}

impl fmt::Debug for PackedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedSet")
            .field("path", &self.path)
            .field("len", &self.len())
            .field("widths", &self.widths())
            .finish_non_exhaustive()
    }
}

impl PackedSet {
    /// Opens a set and checks its structure: format and version, types and lengths of all datasets, offsets, splits,
    /// labels, ids, the checksum of the metadata. Values are not looked at; [`verify`](Self::verify) does that.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when the file cannot be opened; [`DataError::Hdf5`] when it is empty, cut short or no HDF5;
    /// [`DataError::Packed`], naming the dataset, when it is no packed set or one that contradicts itself;
    /// [`DataError::Duplicate`] for an id that occurs twice.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| DataError::io(path, error))?;
        let mut reader = Reader {
            path,
            structure: Structure::open(path, &file)?,
        };
        let (about, checksums) = reader.metadata()?;
        let ids = reader.strings("/id")?;
        let rows = ids.len();
        reader.check_unique(&ids)?;
        let videos = reader.strings("/video")?;
        reader.check_rows("/video", videos.len(), rows)?;
        let splits = reader.splits(rows)?;
        let labels = reader.labels(rows)?;
        let text = reader.text(rows)?;
        let vision = reader.track(Modality::Vision, rows)?;
        let audio = reader.track(Modality::Audio, rows)?;
        let places = reader.structure.places;
        if let Some(gone) = checksums
            .keys()
            .find(|object| !places.contains_key(*object))
        {
            return Err(DataError::packed(path, format!("{gone}: it is not there")));
        }
        let of = |split| (0..rows).filter(|&row| splits[row] == split).collect();
        Ok(Self {
            path: path.to_path_buf(),
            rows: Split::ALL.map(of),
            about,
            checksums,
            places,
            ids,
            videos,
            splits,
            labels,
            text,
            vision,
            audio,
            file,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of segments.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no segment.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Features in a frame of each modality; 0 for one that the set does not have.
    pub fn widths(&self) -> Widths {
        let width = |track: &Option<Track>| track.as_ref().map_or(0, |track| track.width);
        Widths {
            vision: width(&self.vision),
            audio: width(&self.audio),
        }
    }

    /// Whether the set has a modality at all.
    pub fn has(&self, modality: Modality) -> bool {
        match modality {
            Modality::Text => self.text.is_some(),
            _ => self.track(modality).is_some(),
        }
    }

    /// Where the set comes from.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Rows of a split, ascending.
    pub fn rows(&self, split: Split) -> &[usize] {
        &self.rows[split as usize]
    }

    /// Puts every segment into another split, by row.
    pub(crate) fn set_splits(&mut self, splits: Vec<Split>) {
        debug_assert_eq!(splits.len(), self.len());
        let of = |split| {
            (0..splits.len())
                .filter(|&row| splits[row] == split)
                .collect()
        };
        self.rows = Split::ALL.map(of);
        self.splits = splits;
    }

    /// The videos of all segments, by row.
    pub(crate) fn videos(&self) -> &[String] {
        &self.videos
    }

    /// The segment's id.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`len`](Self::len), as indexing a slice does.
    pub fn id(&self, row: usize) -> &str {
        &self.ids[row]
    }

    /// The video that the segment is of.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`len`](Self::len).
    pub fn video(&self, row: usize) -> &str {
        &self.videos[row]
    }

    /// What is said; empty in a set without text.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`len`](Self::len).
    pub fn text(&self, row: usize) -> &str {
        let Some(text) = &self.text else {
            return "";
        };
        &text.values[text.offsets[row] as usize..text.offsets[row + 1] as usize]
    }

    /// The segment's sentiment, if it has one.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`len`](Self::len).
    pub fn label(&self, row: usize) -> Option<f32> {
        Some(self.labels[row]).filter(|label| !label.is_nan())
    }

    /// The split that the segment belongs to.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`len`](Self::len).
    pub fn split_of(&self, row: usize) -> Split {
        self.splits[row]
    }

    /// Number of frames the segment has of a modality; 0 for text and for one that the set does not have.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`len`](Self::len).
    pub fn frame_count(&self, modality: Modality, row: usize) -> usize {
        let track = self.track(modality);
        track.map_or(0, |track| {
            (track.offsets[row + 1] - track.offsets[row]) as usize
        })
    }

    /// Reads the segment's frames of a modality, `[frames, width]`, by one look at the file; of width 0 for text and for
    /// one that the set does not have.
    ///
    /// # Errors
    ///
    /// [`DataError::Packed`] when there is no such row; [`DataError::Io`].
    pub fn frames(&self, modality: Modality, row: usize) -> Result<Frames> {
        if row >= self.len() {
            let reason = format!("it has no row {row}, only {}", self.len());
            return Err(DataError::packed(&self.path, reason));
        }
        let Some(track) = self.track(modality) else {
            return Ok(Frames::default());
        };
        let Range { start, end } = track.offsets[row]..track.offsets[row + 1];
        let size = 4 * track.width as u64;
        let mut bytes = vec![0; ((end - start) * size) as usize];
        read_at(&self.file, &mut bytes, track.address + start * size)
            .map_err(|error| DataError::io(&self.path, error))?;
        let (values, _) = bytes.as_chunks::<4>();
        Ok(Frames {
            values: values
                .iter()
                .map(|&value| f32::from_le_bytes(value))
                .collect(),
            width: track.width,
        })
    }

    /// Reads a whole segment.
    ///
    /// # Errors
    ///
    /// Those of [`frames`](Self::frames).
    pub fn segment(&self, row: usize) -> Result<Segment> {
        let vision = self.frames(Modality::Vision, row)?;
        let audio = self.frames(Modality::Audio, row)?;
        Ok(Segment {
            id: self.id(row).to_owned(),
            video: self.video(row).to_owned(),
            text: self.text(row).to_owned(),
            vision,
            audio,
            label: self.label(row),
        })
    }

    /// Opens a set as [`open`](Self::open) does and [verifies](Self::verify) it: for whoever goes by its values.
    ///
    /// # Errors
    ///
    /// Those of both.
    pub fn open_verified(path: &Path) -> Result<Self> {
        let set = Self::open(path)?;
        set.verify()?;
        Ok(set)
    }

    /// Reads every value and compares its checksum with the one recorded when the set was written. Datasets are read side
    /// by side; with SHA-256 in the processor a gigabyte takes about a second.
    ///
    /// # Errors
    ///
    /// [`DataError::Packed`], naming the first dataset that is not as it was written or has no checksum;
    /// [`DataError::Io`].
    pub fn verify(&self) -> Result<()> {
        let values = |object: &str| object != "/metadata" && object != SEAL;
        let places: Vec<_> = self.places.iter().filter(|(o, _)| values(o)).collect();
        let checked = places.into_par_iter().map(|(object, place)| {
            let wrong = |reason: &str| DataError::packed(&self.path, format!("{object}: {reason}"));
            let Some(expected) = self.checksums.get(object) else {
                return Err(wrong("it has no checksum"));
            };
            if &self.checksum(place)? != expected {
                return Err(wrong("its values are not those that were written"));
            }
            Ok(())
        });
        let checked: Vec<Result<()>> = checked.collect();
        checked.into_iter().collect()
    }

    fn checksum(&self, place: &Place) -> Result<String> {
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE.min(place.bytes) as usize];
        let end = place.address + place.bytes;
        let mut at = place.address;
        while at < end {
            let length = PIECE.min(end - at);
            let piece = &mut piece[..length as usize];
            read_at(&self.file, piece, at).map_err(|error| DataError::io(&self.path, error))?;
            hasher.update(piece);
            at += length;
        }
        Ok(hex(&hasher.finalize()))
    }

    fn track(&self, modality: Modality) -> Option<&Track> {
        match modality {
            Modality::Text => None,
            Modality::Vision => self.vision.as_ref(),
            Modality::Audio => self.audio.as_ref(),
        }
    }
}

/// Reads the datasets that are kept in memory, and checks them.
struct Reader<'a> {
    path: &'a Path,
    structure: Structure<'a>,
}

impl Reader<'_> {
    fn wrong(&self, object: &str, reason: impl fmt::Display) -> DataError {
        DataError::packed(self.path, format!("{object}: {reason}"))
    }

    fn metadata(&mut self) -> Result<(About, Checksums)> {
        let place = self.structure.find("/metadata", Element::Text, 0)?;
        let bytes = self.structure.read(&place)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| self.wrong("/metadata", error))?;
        let text = text.trim_end_matches('\0');
        let (about, checksums, sealed) =
            decode(text).map_err(|reason| DataError::packed(self.path, reason))?;
        if sealed {
            let place = self.structure.find(SEAL, Element::Text, 0)?;
            if self.structure.read(&place)? != hex(&Sha256::digest(text)).into_bytes() {
                return Err(self.wrong("/metadata", "it is not what was written"));
            }
        }
        Ok((about, checksums))
    }

    fn strings(&mut self, object: &str) -> Result<Vec<String>> {
        let place = self.structure.find(object, Element::Text, 1)?;
        let bytes = self.structure.read(&place)?;
        let rows = bytes.chunks_exact(place.size as usize).enumerate();
        rows.map(|(row, bytes)| {
            let text = std::str::from_utf8(bytes)
                .map_err(|error| self.wrong(object, format!("row {row}: {error}")))?;
            Ok(text.trim_end_matches('\0').to_owned())
        })
        .collect()
    }

    fn check_unique(&self, ids: &[String]) -> Result<()> {
        let mut seen = HashSet::with_capacity(ids.len());
        match ids.iter().find(|id| !seen.insert(id.as_str())) {
            None => Ok(()),
            Some(id) => Err(DataError::Duplicate {
                path: self.path.to_path_buf(),
                id: id.clone(),
            }),
        }
    }

    fn check_rows(&self, object: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let reason = format!("its length is {found}, not {expected} as the ids' demands");
        Err(self.wrong(object, reason))
    }

    fn splits(&mut self, rows: usize) -> Result<Vec<Split>> {
        let names = self.strings("/split")?;
        self.check_rows("/split", names.len(), rows)?;
        let split = |(row, name): (usize, &String)| {
            let found = Split::ALL.into_iter().find(|split| split.name() == name);
            found.ok_or_else(|| self.wrong("/split", format!("row {row} is {name:?}")))
        };
        names.iter().enumerate().map(split).collect()
    }

    fn labels(&mut self, rows: usize) -> Result<Vec<f32>> {
        let place = self.structure.find("/label", Element::F32, 1)?;
        let bytes = self.structure.read(&place)?;
        let (labels, _) = bytes.as_chunks::<4>();
        self.check_rows("/label", labels.len(), rows)?;
        let labels: Vec<f32> = labels
            .iter()
            .map(|&label| f32::from_le_bytes(label))
            .collect();
        match labels.iter().position(|label| label.is_infinite()) {
            None => Ok(labels),
            Some(row) => Err(self.wrong("/label", format!("row {row} is infinite"))),
        }
    }

    /// Offsets of all rows into `length` elements.
    fn offsets(&mut self, object: &str, rows: usize, length: u64) -> Result<Vec<u64>> {
        let place = self.structure.find(object, Element::I64, 1)?;
        let bytes = self.structure.read(&place)?;
        let (offsets, _) = bytes.as_chunks::<8>();
        self.check_rows(object, offsets.len(), rows + 1)?;
        let offsets: Vec<u64> = offsets
            .iter()
            .map(|&offset| u64::from_le_bytes(offset))
            .collect();
        if offsets.first() != Some(&0) {
            return Err(self.wrong(object, "the first is not 0"));
        }
        if let Some(row) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(self.wrong(object, format!("row {row} ends before it starts")));
        }
        match offsets.last() {
            Some(&last) if last == length => Ok(offsets),
            last => {
                let last = last.copied().unwrap_or_default();
                Err(self.wrong(
                    object,
                    format!("the last is {last}, not the {length} values"),
                ))
            }
        }
    }

    fn text(&mut self, rows: usize) -> Result<Option<Text>> {
        if !self.structure.has_group("text") {
            return Ok(None);
        }
        let place = self.structure.find("/text/values", Element::U8, 1)?;
        let offsets = self.offsets("/text/offsets", rows, place.bytes)?;
        let values = String::from_utf8(self.structure.read(&place)?)
            .map_err(|error| self.wrong("/text/values", error))?;
        let boundary = |&offset: &u64| values.is_char_boundary(offset as usize);
        if let Some(row) = offsets.iter().position(|offset| !boundary(offset)) {
            let reason = format!("row {row} starts inside a character");
            return Err(self.wrong("/text/offsets", reason));
        }
        Ok(Some(Text { values, offsets }))
    }

    fn track(&mut self, modality: Modality, rows: usize) -> Result<Option<Track>> {
        if !self.structure.has_group(modality.name()) {
            return Ok(None);
        }
        let object = format!("/{modality}/values");
        let place = self.structure.find(&object, Element::F32, 2)?;
        let (frames, width) = (place.shape[0], place.shape[1]);
        if width == 0 {
            return Err(self.wrong(&object, "its frames are of width 0"));
        }
        let width = usize::try_from(width).map_err(|error| self.wrong(&object, error))?;
        let offsets = self.offsets(&format!("/{modality}/offsets"), rows, frames)?;
        Ok(Some(Track {
            width,
            address: place.address,
            offsets,
        }))
    }
}
