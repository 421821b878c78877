//! Finds and reads the datasets of a packed set, and refuses files that are none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::datatype::StringSize;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::storage::FileStorage;
use hdf5_reader::{ByteOrder, Datatype, Hdf5File, OpenOptions};

use crate::{DataError, Result};

/// An object header is some hundred bytes.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// Type of the elements a dataset must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    I64,
    U8,
    /// Fixed-length strings of any length.
    Text,
}

/// Where the elements of a dataset are, wholly inside the file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) shape: Vec<u64>,
    /// Bytes of an element.
    pub(super) size: u64,
    pub(super) address: u64,
    pub(super) bytes: u64,
}

/// The structure of a file.
pub(super) struct Structure<'a> {
    path: &'a Path,
    file: &'a File,
    length: u64,
    hdf5: Hdf5File,
    groups: Vec<String>,
    /// Datasets found so far.
    pub(super) places: BTreeMap<String, Place>,
}

impl<'a> Structure<'a> {
    pub(super) fn open(path: &'a Path, file: &'a File) -> Result<Self> {
        let wrap = |error| DataError::io(path, error);
        let about = file.metadata().map_err(wrap)?;
        let wrong = |reason: String| DataError::Hdf5 {
            path: path.to_path_buf(),
            object: String::new(),
            reason,
        };
        if about.is_dir() {
            return Err(wrong("it is a folder".to_owned()));
        }
        let length = about.len();
        if length == 0 {
            return Err(wrong("the file is empty".to_owned()));
        }
        let options = OpenOptions::default().with_max_object_header_bytes(MAX_HEADER_BYTES);
        let storage = FileStorage::from_file(file.try_clone().map_err(wrap)?);
        let storage = storage.map_err(|error| wrong(error.to_string()))?;
        let hdf5 = Hdf5File::from_storage_with_options(Arc::new(storage), options)
            .map_err(|error| wrong(error.to_string()))?;
        let end = hdf5.superblock().eof_address;
        if end > length {
            return Err(wrong(format!(
                "cut short: {length} bytes are left of {end}"
            )));
        }
        let root = hdf5.root_group().and_then(|root| root.member_names());
        let (groups, datasets) = root.map_err(|error| wrong(error.to_string()))?;
        if !datasets.iter().any(|name| name == "metadata") {
            let reason = "it is none, for it has no dataset /metadata";
            return Err(DataError::packed(path, reason));
        }
        Ok(Self {
            path,
            file,
            length,
            hdf5,
            groups,
            places: BTreeMap::new(),
        })
    }

    /// Whether there is a group of this name at the top.
    pub(super) fn has_group(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group == name)
    }

    /// A dataset of this type and rank.
    pub(super) fn find(&mut self, object: &str, element: Element, rank: usize) -> Result<Place> {
        let place = self
            .place(object, element, rank)
            .map_err(|reason| DataError::packed(self.path, format!("{object}: {reason}")))?;
        self.places.insert(object.to_owned(), place.clone());
        Ok(place)
    }

    fn place(&self, object: &str, element: Element, rank: usize) -> Result<Place, String> {
        let dataset = self
            .hdf5
            .dataset(object)
            .map_err(|error| error.to_string())?;
        let size = element_size(dataset.dtype(), element)
            .ok_or_else(|| format!("elements are {:?}, not {element:?}", dataset.dtype()))?;
        let shape = dataset.shape().to_vec();
        if shape.len() != rank {
            return Err(format!("its shape is {shape:?}, not of {rank} dimensions"));
        }
        let bytes = shape
            .iter()
            .try_fold(size, |bytes, &n| bytes.checked_mul(n));
        let bytes = bytes.ok_or_else(|| format!("its shape {shape:?} is beyond counting"))?;
        let header = self.hdf5.get_or_parse_header(dataset.address());
        let header = header.map_err(|error| error.to_string())?;
        let address = address(&header.messages, bytes)?;
        let address = address.checked_add(self.hdf5.superblock().base_address);
        let inside = address.filter(|address| {
            let end = address.checked_add(bytes);
            end.is_some_and(|end| end <= self.length)
        });
        let Some(address) = inside else {
            return Err(format!("its {bytes} bytes lie beyond the end of the file"));
        };
        Ok(Place {
            shape,
            size,
            address,
            bytes,
        })
    }

    /// All bytes of a dataset.
    pub(super) fn read(&self, place: &Place) -> Result<Vec<u8>> {
        let too_long = |_| DataError::packed(self.path, "it is too long for this machine");
        let mut bytes = vec![0; usize::try_from(place.bytes).map_err(too_long)?];
        read_at(self.file, &mut bytes, place.address)
            .map_err(|error| DataError::io(self.path, error))?;
        Ok(bytes)
    }
}

/// Bytes of an element, if it is as expected.
fn element_size(kind: &Datatype, expected: Element) -> Option<u64> {
    match (kind, expected) {
        (
            Datatype::FloatingPoint {
                size: 4,
                byte_order: ByteOrder::LittleEndian,
            },
            Element::F32,
        ) => Some(4),
        (
            Datatype::FixedPoint {
                size: 8,
                signed: true,
                byte_order: ByteOrder::LittleEndian,
            },
            Element::I64,
        ) => Some(8),
        (
            Datatype::FixedPoint {
                size: 1,
                signed: false,
                ..
            },
            Element::U8,
        ) => Some(1),
        (
            Datatype::String {
                size: StringSize::Fixed(size @ 1..),
                ..
            },
            Element::Text,
        ) => Some(u64::from(*size)),
        _ => None,
    }
}

/// Where the elements start; 0 for none of them.
fn address(messages: &[HdfMessage], bytes: u64) -> Result<u64, String> {
    let external = |message: &HdfMessage| matches!(message, HdfMessage::ExternalFiles(_));
    if messages.iter().any(external) {
        return Err("its elements are in another file".to_owned());
    }
    if bytes == 0 {
        return Ok(0);
    }
    let layout = messages.iter().find_map(|message| match message {
        HdfMessage::DataLayout(message) => Some(&message.layout),
        _ => None,
    });
    match layout {
        Some(DataLayout::Contiguous { address, size }) if *size >= bytes => Ok(*address),
        Some(DataLayout::Contiguous { size, .. }) => {
            Err(format!("{size} bytes are stored, not {bytes}"))
        }
        _ => Err("its elements are not stored one after another".to_owned()),
    }
}

/// Fills `bytes` from `offset` on.
#[cfg(unix)]
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(bytes, offset)
}

/// Fills `bytes` from `offset` on.
#[cfg(windows)]
pub(super) fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let read = match file.seek_read(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}
