//! The file being written.

use std::io::{self, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::encode::{NOWHERE, Put, aligned};
use super::group::{Group, INTERNAL_K, LEAF_K, Member, Members};
use super::header::{self, Kind, Layout, invalid};
use super::tree::{Level, Shape};

/// Bytes of the superblock.
const SUPERBLOCK: u64 = 96;

/// gzip level where none is chosen, that of the SDK's own files.
const GZIP_LEVEL: u32 = 9;

/// Half the children of a node over chunks: fixed by the format for this version of the superblock.
const CHUNK_K: usize = 32;

/// An HDF5 file that grows: datasets are appended, [`close`](Self::close) writes a group that is complete,
/// [`finish`](Self::finish) the rest. Without `finish` there is no superblock and the file is none.
pub(crate) struct Sink<W> {
    out: W,
    at: u64,
    root: Members,
    /// Where the dataset started by [`begin`](Self::begin) is.
    begun: Option<u64>,
    level: u32,
}

impl<W: Write + Seek> Sink<W> {
    /// Starts a file at the start of `out`.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; SUPERBLOCK as usize])?;
        Ok(Self {
            out,
            at: SUPERBLOCK,
            root: Members::new(),
            begun: None,
            level: GZIP_LEVEL,
        })
    }

    /// The same file with another gzip level, at most 9.
    pub(crate) fn at_level(self, level: u32) -> Self {
        Self { level, ..self }
    }

    /// Writes a dataset as it is; `bytes` are its elements, row-major and little-endian.
    pub(crate) fn dataset(
        &mut self,
        path: &str,
        kind: Kind,
        shape: &[u64],
        bytes: &[u8],
    ) -> io::Result<()> {
        self.begin()?;
        self.append(bytes)?;
        self.end(path, kind, shape)
    }

    /// Starts a dataset whose length is not known yet; nothing else may be written until [`end`](Self::end).
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.begun = Some(self.align()?);
        Ok(())
    }

    /// Writes the next elements of the dataset begun.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    /// Ends the dataset begun.
    pub(crate) fn end(&mut self, path: &str, kind: Kind, shape: &[u64]) -> io::Result<()> {
        let begun = self.begun.take();
        let address = begun.ok_or_else(|| invalid(format!("{path}: never begun")))?;
        let size = self.at - address;
        let expected = bytes_of(kind, shape).ok_or_else(|| invalid(format!("{path}: too long")))?;
        if size != expected {
            let message = format!("{path}: {size} bytes were given, {expected} are its shape's");
            return Err(invalid(message));
        }
        let address = if size == 0 { NOWHERE } else { address };
        let layout = Layout::Contiguous { address, size };
        let header = self.block(&header::dataset(&kind.message(), shape, &layout)?)?;
        self.link(path, header)
    }

    /// Writes a dataset compressed by gzip, in chunks of `rows` whole rows. One without elements has nothing to compress
    /// and is stored as it is.
    pub(crate) fn gzipped(
        &mut self,
        path: &str,
        kind: Kind,
        shape: &[u64],
        rows: u32,
        bytes: &[u8],
    ) -> io::Result<()> {
        let [length, width @ ..] = shape else {
            return self.dataset(path, kind, shape, bytes);
        };
        if bytes.is_empty() || rows == 0 {
            return self.dataset(path, kind, shape, bytes);
        }
        let chunk: Vec<u32> = std::iter::once(Ok(rows))
            .chain(width.iter().map(|&n| u32::try_from(n)))
            .collect::<Result<_, _>>()
            .map_err(|_| invalid(format!("{path}: too wide")))?;
        let dimensions: Vec<u64> = chunk.iter().map(|&n| n.into()).collect();
        let size = bytes_of(kind, &dimensions).filter(|&size| size <= u64::from(u32::MAX));
        let size = size.ok_or_else(|| invalid(format!("{path}: too wide")))?;
        if bytes_of(kind, shape) != Some(bytes.len() as u64) {
            return Err(invalid(format!(
                "{path}: {} bytes for {shape:?}",
                bytes.len()
            )));
        }
        let level = self.chunks(bytes, size as usize, rows, shape.len())?;
        debug_assert_eq!(level.children.len() as u64, length.div_ceil(rows.into()));
        let key = 8 + 8 * (shape.len() + 1);
        let shape_of_tree = Shape {
            kind: 1,
            children: 2 * CHUNK_K,
            key,
        };
        let layout = Layout::Gzip {
            tree: self.tree(shape_of_tree, level)?,
            chunk,
            element: kind.size(),
            level: self.level,
        };
        let header = self.block(&header::dataset(&kind.message(), shape, &layout)?)?;
        self.link(path, header)
    }

    /// Writes the chunks; the last is filled up with zeros. A key is the chunk's compressed size and where it starts.
    fn chunks(&mut self, bytes: &[u8], size: usize, rows: u32, rank: usize) -> io::Result<Level> {
        let mut keys = Vec::new();
        let mut children = Vec::new();
        let mut row: u64 = 0;
        let key = |keys: Vec<u8>, size: u32, row: u64| {
            let zeros = vec![0; 8 * rank];
            keys.u32(size).u32(0).u64(row).put(&zeros)
        };
        for part in bytes.chunks(size) {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(self.level));
            encoder.write_all(part)?;
            encoder.write_all(&vec![0; size - part.len()])?;
            let compressed = encoder.finish()?;
            let length =
                u32::try_from(compressed.len()).map_err(|_| invalid("a chunk over 4 GiB"))?;
            keys = key(keys, length, row);
            children.push(self.block(&compressed)?);
            row += u64::from(rows);
        }
        Ok(Level {
            keys: key(keys, 0, row),
            children,
        })
    }

    /// Writes a group that gets no more members, so that their names need not be remembered.
    pub(crate) fn close(&mut self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match parent.remove(&name) {
            Some(Member::Open(members)) => {
                let group = self.group(members)?;
                let (parent, name) = self.parent(path)?;
                parent.insert(name, Member::Closed(group));
                Ok(())
            }
            Some(other) => {
                parent.insert(name, other);
                Err(invalid(format!("{path} is no open group")))
            }
            None => Err(invalid(format!("there is no group {path}"))),
        }
    }

    /// Writes the groups and then the superblock, which makes the whole a file.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let root = std::mem::take(&mut self.root);
        let root = self.group(root)?;
        let end = self.align()?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&superblock(root, end))?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Remembers the header of a dataset by its path.
    pub(super) fn link(&mut self, path: &str, header: u64) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        if parent.contains_key(&name) {
            return Err(invalid(format!("{path} is there twice")));
        }
        parent.insert(name, Member::Dataset(header));
        Ok(())
    }

    /// The group that holds a path, made where it is not there, and the path's last name.
    fn parent(&mut self, path: &str) -> io::Result<(&mut Members, String)> {
        let absolute = path.strip_prefix('/').unwrap_or(path);
        for name in absolute.split('/') {
            check_name(path, name)?;
        }
        let (groups, name) = absolute.rsplit_once('/').unwrap_or(("", absolute));
        let mut members = &mut self.root;
        for group in groups.split('/').filter(|_| !groups.is_empty()) {
            let member = members.entry(group.to_owned());
            members = match member.or_insert_with(|| Member::Open(Members::new())) {
                Member::Open(members) => members,
                _ => return Err(invalid(format!("{path}: {group:?} is no open group"))),
            };
        }
        Ok((members, name.to_owned()))
    }

    /// Writes bytes at the next address that is a multiple of 8; the address.
    pub(super) fn block(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let address = self.align()?;
        self.put(bytes)?;
        Ok(address)
    }

    /// Goes to the next address that is a multiple of 8.
    pub(super) fn align(&mut self) -> io::Result<u64> {
        let zeros = aligned(self.at) - self.at;
        self.put(&[0; 8][..zeros as usize])?;
        Ok(self.at)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Whether a link can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !(name.is_empty() || name == "." || name.contains(['/', '\0']))
}

fn check_name(path: &str, name: &str) -> io::Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(invalid(format!(
        "{path:?}: {name:?} is no name HDF5 can hold"
    )))
}

/// Bytes of a dataset, unless they are beyond counting.
fn bytes_of(kind: Kind, shape: &[u64]) -> Option<u64> {
    let size = u64::from(kind.size());
    shape
        .iter()
        .try_fold(size, |bytes, &n| bytes.checked_mul(n))
}

fn superblock(root: Group, end: u64) -> Vec<u8> {
    const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
    let sizes_of_addresses_and_lengths = [8, 8, 0];
    SIGNATURE
        .to_vec()
        .put(&[0; 5])
        .put(&sizes_of_addresses_and_lengths)
        .u16(LEAF_K)
        .u16(INTERNAL_K)
        .u32(0)
        .u64(0)
        .u64(NOWHERE)
        .u64(end)
        .u64(NOWHERE)
        .put(&root.entry(0))
}
