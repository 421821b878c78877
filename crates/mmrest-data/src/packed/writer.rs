//! Writes a packed set, segment by segment.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::About;
use super::about::{Checksums, SEAL, encode};
use crate::files::{NewFile, folder, remove_drafts};
use crate::hdf5::{Bytes, Kind, Sink, string_bytes};
use crate::text::hex;
use crate::{DataError, Frames, Modality, Result, Segment, Split, Widths};

/// Ids and names of videos are stored at the length of the longest: none may be so long as to waste a file.
const LONGEST_NAME: usize = 1024;

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// Writes a packed set to `path`, which appears whole at [`finish`](Self::finish) or not at all.
///
/// Frames go to disk at once; ids, texts and labels are kept until the end.
pub struct PackedWriter {
    file: NewFile,
    sink: Sink<BufWriter<File>>,
    widths: Widths,
    in_place: Option<Track>,
    spooled: Option<(Track, BufWriter<File>)>,
    text: Option<Texts>,
    rows: Rows,
    /// Whether a segment was written in part only.
    torn: bool,
}

/// Frames written so far.
struct Track {
    modality: Modality,
    width: usize,
    offsets: Vec<i64>,
    hasher: Sha256,
}

#[derive(Default)]
struct Texts {
    values: Vec<u8>,
    offsets: Vec<i64>,
}

/// What is one value a segment.
#[derive(Default)]
struct Rows {
    ids: Vec<String>,
    seen: HashSet<String>,
    videos: Vec<String>,
    splits: Vec<Split>,
    labels: Vec<f32>,
}

impl PackedWriter {
    /// Starts a set with frames of these widths, 0 for a modality not in use, and with or without text. A file already at
    /// `path` stays until the new one is finished. What killed programs left unfinished in its folder is removed.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] where no file can be created.
    pub fn create(path: &Path, widths: Widths, text: bool) -> Result<Self> {
        let file = NewFile::create(path)?;
        remove_drafts(folder(path))?;
        let wrap = |error| DataError::io(path, error);
        let mut sink = Sink::new(file.writer()?).map_err(wrap)?;
        sink.begin().map_err(wrap)?;
        let track = |modality, width| (width > 0).then(|| Track::new(modality, width));
        // One modality grows inside the file itself, and only the other has to wait beside it.
        let spooled = match track(Modality::Vision, widths.vision) {
            Some(track) => Some((track, BufWriter::with_capacity(PIECE, file.spool()?))),
            None => None,
        };
        Ok(Self {
            file,
            sink,
            widths,
            in_place: track(Modality::Audio, widths.audio),
            spooled,
            text: text.then(|| Texts {
                values: Vec::new(),
                offsets: vec![0],
            }),
            rows: Rows::default(),
            torn: false,
        })
    }

    /// Adds a segment. What it has of a modality not in use is left out; a label that is NaN becomes none.
    ///
    /// # Errors
    ///
    /// [`DataError::Duplicate`] for an id already there; [`DataError::Packed`] for frames of another width, an infinite
    /// label, or an id or video that is too long or holds a NUL; [`DataError::Io`]. After an I/O error the set cannot be
    /// finished; after the others it is as before.
    pub fn push(&mut self, split: Split, segment: &Segment) -> Result<()> {
        self.check(segment)?;
        self.torn = true;
        let wrap = |error| DataError::io(self.file.path(), error);
        if let Some(track) = &mut self.in_place {
            let sink = &mut self.sink;
            track
                .push(&segment.audio, |bytes| sink.append(bytes))
                .map_err(wrap)?;
        }
        if let Some((track, spool)) = &mut self.spooled {
            track
                .push(&segment.vision, |bytes| spool.write_all(bytes))
                .map_err(wrap)?;
        }
        if let Some(text) = &mut self.text {
            text.values.extend_from_slice(segment.text.as_bytes());
            text.offsets.push(text.values.len() as i64);
        }
        self.rows.push(split, segment);
        self.torn = false;
        Ok(())
    }

    fn check(&self, segment: &Segment) -> Result<()> {
        let wrong = |reason: String| {
            let reason = format!("segment {:?}: {reason}", segment.id);
            Err(DataError::packed(self.file.path(), reason))
        };
        if self.rows.seen.contains(&segment.id) {
            return Err(DataError::Duplicate {
                path: self.file.path().to_path_buf(),
                id: segment.id.clone(),
            });
        }
        for (what, name) in [("id", &segment.id), ("video", &segment.video)] {
            if name.len() > LONGEST_NAME {
                return wrong(format!("its {what} is longer than {LONGEST_NAME} bytes"));
            }
            if name.is_empty() || name.contains('\0') {
                return wrong(format!("its {what} {name:?} is empty or holds a NUL"));
            }
        }
        if segment.label.is_some_and(f32::is_infinite) {
            return wrong("its label is infinite".to_owned());
        }
        for (modality, width) in [
            (Modality::Vision, self.widths.vision),
            (Modality::Audio, self.widths.audio),
        ] {
            let frames = segment.frames(modality).filter(|_| width > 0);
            if let Some(reason) = frames.and_then(|frames| fault(frames, width)) {
                return wrong(format!("{modality}: {reason}"));
            }
        }
        Ok(())
    }

    /// Writes what is left and puts the file at its path. `about` is stored with it, of its files the names without
    /// folders: identical segments give identical bytes.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`]; [`DataError::Packed`] when an earlier [`push`](Self::push) failed while writing.
    pub fn finish(mut self, about: About) -> Result<()> {
        if self.torn {
            let reason = "a segment could not be written";
            return Err(DataError::packed(self.file.path(), reason));
        }
        let path = self.file.path().to_path_buf();
        let wrap = |error| DataError::io(&path, error);
        let mut out = Output {
            sink: self.sink,
            checksums: Checksums::new(),
        };
        if let Some(track) = self.in_place {
            out.track(track).map_err(wrap)?;
        }
        if let Some((track, spool)) = self.spooled.take() {
            let mut spool = spool
                .into_inner()
                .map_err(|error| wrap(error.into_error()))?;
            out.copy(&mut spool).map_err(wrap)?;
            out.track(track).map_err(wrap)?;
        }
        if let Some(text) = self.text {
            out.text(&text).map_err(wrap)?;
        }
        out.rows(&self.rows).map_err(wrap)?;
        out.finish(about).map_err(wrap)?;
        self.file.keep()
    }
}

/// What is wrong with frames that should have this width.
fn fault(frames: &Frames, width: usize) -> Option<String> {
    if frames.values.is_empty() {
        return None;
    }
    if frames.width != width {
        return Some(format!("frames of width {}, not {width}", frames.width));
    }
    let rest = frames.values.len() % width;
    (rest != 0).then(|| format!("{rest} values beyond its frames of width {width}"))
}

impl Track {
    fn new(modality: Modality, width: usize) -> Self {
        Self {
            modality,
            width,
            offsets: vec![0],
            hasher: Sha256::new(),
        }
    }

    fn push(
        &mut self,
        frames: &Frames,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let bytes = frames.values.bytes();
        write(&bytes)?;
        self.hasher.update(&bytes);
        self.offsets.push(self.frames() + frames.len() as i64);
        Ok(())
    }

    fn frames(&self) -> i64 {
        self.offsets.last().copied().unwrap_or_default()
    }
}

impl Rows {
    fn push(&mut self, split: Split, segment: &Segment) {
        self.ids.push(segment.id.clone());
        self.seen.insert(segment.id.clone());
        self.videos.push(segment.video.clone());
        self.splits.push(split);
        self.labels.push(segment.label.unwrap_or(f32::NAN));
    }
}

/// The datasets of the set, each with its checksum.
struct Output {
    sink: Sink<BufWriter<File>>,
    checksums: Checksums,
}

impl Output {
    /// Starts a dataset with what was written beside the file.
    fn copy(&mut self, spool: &mut File) -> io::Result<()> {
        self.sink.begin()?;
        spool.seek(SeekFrom::Start(0))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = spool.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            self.sink.append(&piece[..read])?;
        }
    }

    /// Ends the dataset of a modality's values and adds its offsets.
    fn track(&mut self, track: Track) -> io::Result<()> {
        let shape = [track.frames() as u64, track.width as u64];
        let path = format!("/{}/values", track.modality);
        self.sink.end(&path, Kind::F32, &shape)?;
        self.checksums.insert(path, hex(&track.hasher.finalize()));
        self.offsets(track.modality, &track.offsets)
    }

    fn text(&mut self, text: &Texts) -> io::Result<()> {
        let shape = [text.values.len() as u64];
        self.dataset("/text/values", Kind::U8, &shape, &text.values)?;
        self.offsets(Modality::Text, &text.offsets)
    }

    fn offsets(&mut self, modality: Modality, offsets: &[i64]) -> io::Result<()> {
        let path = format!("/{modality}/offsets");
        self.dataset(&path, Kind::I64, &[offsets.len() as u64], &offsets.bytes())
    }

    fn rows(&mut self, rows: &Rows) -> io::Result<()> {
        self.strings("/id", rows.ids.iter().map(String::as_str))?;
        self.strings("/video", rows.videos.iter().map(String::as_str))?;
        self.strings("/split", rows.splits.iter().map(|split| split.name()))?;
        let labels = rows.labels.bytes();
        self.dataset("/label", Kind::F32, &[rows.labels.len() as u64], &labels)
    }

    fn strings<'a>(
        &mut self,
        path: &str,
        words: impl ExactSizeIterator<Item = &'a str> + Clone,
    ) -> io::Result<()> {
        let kind = Kind::text(words.clone())?;
        let count = words.len() as u64;
        let bytes = string_bytes(words, kind.size() as usize);
        self.dataset(path, kind, &[count], &bytes)
    }

    fn dataset(&mut self, path: &str, kind: Kind, shape: &[u64], bytes: &[u8]) -> io::Result<()> {
        let checksum = hex(&Sha256::digest(bytes));
        self.checksums.insert(path.to_owned(), checksum);
        self.sink.dataset(path, kind, shape, bytes)
    }

    fn finish(mut self, about: About) -> io::Result<()> {
        let metadata = encode(about, &self.checksums);
        let kind = Kind::text([metadata.as_str()])?;
        self.sink
            .dataset("/metadata", kind, &[], metadata.as_bytes())?;
        let seal = hex(&Sha256::digest(&metadata));
        let kind = Kind::text([seal.as_str()])?;
        self.sink.dataset(SEAL, kind, &[], seal.as_bytes())?;
        self.sink.finish().map(drop)
    }
}
