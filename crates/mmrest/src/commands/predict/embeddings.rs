//! Writes the representations of new data: a NumPy archive (.npz), a table (.csv) or safetensors.
//!
//! A table is written row by row. The other two say before their arrays how many rows there are, so each array waits in a
//! file without a name beside the output; memory holds one window of segments.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use mmrest_data::files::NewFile;
use mmrest_learner::Embeddings;
use serde_json::{Map, Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The longest id of an archive, in characters: NumPy gives every id the room of the longest.
const LONGEST_ID: usize = 4096;
/// The largest header of a safetensors file, by its readers' limit.
const LARGEST_HEADER: usize = 100_000_000;
/// Numbers of a prediction, by name.
const SCORES: [&str; 3] = ["prediction", "score", "bias"];

/// How representations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Archive,
    Table,
    Tensors,
}

/// A file of representations that grows; it appears when it is [kept](Self::keep).
pub(super) struct EmbeddingsFile {
    file: NewFile,
    format: Format,
    rows: u64,
    /// Nothing before the first segment.
    columns: Columns,
}

type Table = csv::Writer<BufWriter<File>>;

/// What has been written.
enum Columns {
    None,
    Table(Box<Table>),
    Arrays(Arrays),
}

/// The arrays, each in a file without a name.
struct Arrays {
    /// Each id as its length in bytes, 4 bytes, and its text.
    ids: BufWriter<File>,
    longest_id: usize,
    numbers: Vec<Array>,
}

/// Numbers of all segments: `[rows, width]`, or `[rows]` where there is no width.
struct Array {
    name: String,
    width: Option<usize>,
    file: BufWriter<File>,
}

impl EmbeddingsFile {
    /// Begins a file, whose name says how it is written.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match ending.to_str() {
            Some("npz") => Format::Archive,
            Some("csv") => Format::Table,
            Some("safetensors") => Format::Tensors,
            _ => bail!(
                "--embeddings {}: name the file .npz, .csv or .safetensors",
                path.display()
            ),
        };
        Ok(Self {
            file: NewFile::create(path)?,
            format,
            rows: 0,
            columns: Columns::None,
        })
    }

    /// Adds a segment: row `row` of `embeddings`.
    pub(super) fn push(&mut self, id: &str, embeddings: &Embeddings, row: usize) -> Result<()> {
        if let Columns::None = self.columns {
            self.columns = self.begin(embeddings)?;
        }
        self.rows += 1;
        let written = match &mut self.columns {
            Columns::None => Ok(()),
            Columns::Table(out) => table_row(out, id, embeddings, row),
            Columns::Arrays(arrays) => arrays.push(id, embeddings, row),
        };
        written.with_context(|| self.cannot_write())
    }

    fn begin(&self, embeddings: &Embeddings) -> Result<Columns> {
        let wide = embeddings.representations.iter();
        if self.format == Format::Table {
            let mut out = csv::Writer::from_writer(self.file.writer()?);
            let header = table_header(&mut out, embeddings);
            header.with_context(|| self.cannot_write())?;
            return Ok(Columns::Table(Box::new(out)));
        }
        let spool = || Ok::<_, anyhow::Error>(BufWriter::new(self.file.spool()?));
        let mut numbers = Vec::new();
        let scores = SCORES.map(|name| (name, None));
        let wide = wide.map(|of| (of.name.as_str(), Some(of.width)));
        for (name, width) in scores.into_iter().chain(wide) {
            numbers.push(Array {
                name: name.to_owned(),
                width,
                file: spool()?,
            });
        }
        Ok(Columns::Arrays(Arrays {
            ids: spool()?,
            longest_id: 0,
            numbers,
        }))
    }

    /// Ends the file and puts it in its place.
    pub(super) fn keep(mut self) -> Result<()> {
        if let Columns::None = self.columns {
            self.columns = self.begin(&Embeddings::default())?;
        }
        let about = self.cannot_write();
        let written = match std::mem::replace(&mut self.columns, Columns::None) {
            Columns::Table(mut out) => out.flush().map_err(Into::into),
            Columns::Arrays(arrays) if self.format == Format::Archive => {
                arrays.archive(self.file.writer()?, self.rows)
            }
            Columns::Arrays(arrays) => arrays.tensors(self.file.writer()?, self.rows),
            Columns::None => Ok(()),
        };
        written.context(about)?;
        Ok(self.file.keep()?)
    }

    fn cannot_write(&self) -> String {
        format!("cannot write {}", self.file.path().display())
    }
}

fn table_header(out: &mut Table, embeddings: &Embeddings) -> io::Result<()> {
    let wide = embeddings.representations.iter();
    let wide = wide.flat_map(|of| (0..of.width).map(|place| format!("{}_{place}", of.name)));
    let names = ["id"].into_iter().chain(SCORES).map(str::to_owned);
    Ok(out.write_record(names.chain(wide))?)
}

fn table_row(out: &mut Table, id: &str, embeddings: &Embeddings, row: usize) -> io::Result<()> {
    let numbers = numbers(embeddings, row).flatten();
    let cells = numbers.map(|number| number.to_string());
    Ok(out.write_record([id.to_owned()].into_iter().chain(cells))?)
}

/// The numbers of a segment, array by array.
fn numbers(embeddings: &Embeddings, row: usize) -> impl Iterator<Item = Vec<f32>> {
    let prediction = &embeddings.predictions[row];
    let scores = [prediction.prediction, prediction.score, prediction.bias];
    let wide = embeddings.representations.iter();
    let wide = wide.map(move |of| of.values[row * of.width..(row + 1) * of.width].to_vec());
    scores.map(|score| vec![score]).into_iter().chain(wide)
}

impl Arrays {
    fn push(&mut self, id: &str, embeddings: &Embeddings, row: usize) -> io::Result<()> {
        self.longest_id = self.longest_id.max(id.chars().count());
        self.ids.write_all(&(id.len() as u32).to_le_bytes())?;
        self.ids.write_all(id.as_bytes())?;
        for (array, values) in self.numbers.iter_mut().zip(numbers(embeddings, row)) {
            for value in values {
                array.file.write_all(&value.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes an archive of arrays, as `numpy.load` reads it.
    fn archive(self, out: BufWriter<File>, rows: u64) -> Result<()> {
        if self.longest_id > LONGEST_ID {
            bail!(
                "an id has {} characters, and NumPy gives every id the room of the longest: name the file .csv or .safetensors",
                self.longest_id
            );
        }
        let mut zip = ZipWriter::new(out);
        let stored = SimpleFileOptions::DEFAULT
            .compression_method(zip::CompressionMethod::Stored)
            .large_file(true);
        let width = self.longest_id.max(1);
        zip.start_file("ids.npy", stored)?;
        zip.write_all(&npy_header(&format!("<U{width}"), rows, None))?;
        each_id(self.ids, |id| {
            let mut cell = vec![0; width * 4];
            for (place, letter) in id.chars().enumerate() {
                cell[place * 4..][..4].copy_from_slice(&u32::from(letter).to_le_bytes());
            }
            zip.write_all(&cell)
        })?;
        for array in self.numbers {
            zip.start_file(format!("{}.npy", array.name), stored)?;
            zip.write_all(&npy_header("<f4", rows, array.width))?;
            io::copy(&mut reader(array.file)?, &mut zip)?;
        }
        Ok(zip.finish()?.flush()?)
    }

    /// Writes safetensors: the ids are a JSON array in the metadata, as in a model's `neighbours.safetensors`.
    fn tensors(self, mut out: BufWriter<File>, rows: u64) -> Result<()> {
        let mut ids = Vec::new();
        each_id(self.ids, |id| {
            ids.push(id.to_owned());
            Ok(())
        })?;
        let mut header = Map::new();
        let ids = serde_json::to_string(&ids)?;
        header.insert("__metadata__".into(), json!({ "ids": ids }));
        let mut offset = 0;
        for array in &self.numbers {
            let (width, begin) = (array.width.map(|width| width as u64), offset);
            offset += rows * width.unwrap_or(1) * 4;
            let shape: Vec<u64> = [rows].into_iter().chain(width).collect();
            let about = json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, offset] });
            header.insert(array.name.clone(), about);
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        if header.len() > LARGEST_HEADER {
            bail!(
                "the ids take more than a header of safetensors may hold: name the file .npz or .csv"
            );
        }
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for array in self.numbers {
            io::copy(&mut reader(array.file)?, &mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// What was written, from its beginning.
fn reader(written: BufWriter<File>) -> io::Result<BufReader<File>> {
    let mut file = written
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(BufReader::new(file))
}

fn each_id(
    written: BufWriter<File>,
    mut take: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let mut ids = reader(written)?;
    let mut length = [0; 4];
    while ids.read_exact(&mut length).is_ok() {
        let mut id = vec![0; u32::from_le_bytes(length) as usize];
        ids.read_exact(&mut id)?;
        take(&String::from_utf8_lossy(&id))?;
    }
    Ok(())
}

/// The head of an array in NumPy's format, version 1.0.
fn npy_header(kind: &str, rows: u64, width: Option<usize>) -> Vec<u8> {
    let shape = match width {
        Some(width) => format!("({rows}, {width})"),
        None => format!("({rows},)"),
    };
    let about = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    // The whole head is a multiple of 64 bytes and ends in a new line.
    let length = (10 + about.len() + 1).next_multiple_of(64) - 10;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(format!("{about:<width$}\n", width = length - 1).into_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_s_head_is_numpy_s() {
        let header = npy_header("<f4", 3, Some(16));
        assert_eq!(header.len() % 64, 0);
        assert_eq!(&header[..8], b"\x93NUMPY\x01\x00");
        let length = u16::from_le_bytes([header[8], header[9]]);
        assert_eq!(usize::from(length) + 10, header.len());
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 16), }"));
        assert!(text.ends_with(" \n"));
        assert!(String::from_utf8_lossy(&npy_header("<U4", 0, None)).contains("'shape': (0,), "));
    }
}
