//! HDF5 by the system's libhdf5.

use std::path::Path;

use hdf5::types::{
    FixedAscii, FixedUnicode, FloatSize, TypeDescriptor, VarLenAscii, VarLenUnicode,
};
use hdf5::{Dataset, H5Type, LocationType};

use super::{Array, Fault, MAX_READ_BYTES, Members, Source, Values, check_size, most_bytes, text};

/// An open file; the library serialises all calls.
pub(super) struct File {
    file: hdf5::File,
    /// What a dataset may take.
    most: usize,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        Ok(Self {
            most: most_bytes(path)?.min(MAX_READ_BYTES),
            file: hdf5::File::open(path).map_err(reason)?,
        })
    }
}

impl Source for File {
    fn members(&self, group: &str) -> Result<Members, Fault> {
        let group = self.file.group(group).map_err(reason)?;
        let mut members = Members::default();
        for name in group.member_names().map_err(reason)? {
            match group.loc_type_by_name(&name) {
                Ok(LocationType::Group) => members.groups.push(name),
                Ok(LocationType::Dataset) => members.datasets.push(name),
                Ok(_) => {}
                Err(error) => return Err(format!("{name:?}: {error}")),
            }
        }
        Ok(members)
    }

    fn read(&self, dataset: &str) -> Result<Array, Fault> {
        let dataset = self.file.dataset(dataset).map_err(reason)?;
        Ok(Array {
            shape: dataset.shape(),
            values: values(&dataset, self.most)?,
        })
    }
}

fn values(dataset: &Dataset, most: usize) -> Result<Values, Fault> {
    let kind = dataset
        .dtype()
        .and_then(|dtype| dtype.to_descriptor())
        .map_err(reason)?;
    check_size(dataset.size() as u64, cost(&kind), most)?;
    match kind {
        TypeDescriptor::Float(FloatSize::U4) => Ok(Values::F32(raw(dataset)?)),
        TypeDescriptor::Float(FloatSize::U8)
        | TypeDescriptor::Integer(_)
        | TypeDescriptor::Unsigned(_) => Ok(Values::F64(raw(dataset)?)),
        TypeDescriptor::FixedAscii(bytes) => fixed_ascii(dataset, bytes),
        TypeDescriptor::FixedUnicode(bytes) => fixed_unicode(dataset, bytes),
        TypeDescriptor::VarLenAscii => strings::<VarLenAscii>(dataset, |word| word.as_bytes()),
        TypeDescriptor::VarLenUnicode => strings::<VarLenUnicode>(dataset, |word| word.as_bytes()),
        other => Err(format!("elements of type {other} are not known here")),
    }
}

/// Bytes that an element takes once it is read; a byte that is no UTF-8 becomes three.
fn cost(kind: &TypeDescriptor) -> usize {
    match kind {
        TypeDescriptor::Float(FloatSize::U4) => size_of::<f32>(),
        TypeDescriptor::FixedAscii(bytes) | TypeDescriptor::FixedUnicode(bytes) => {
            size_of::<String>() + 3 * bytes
        }
        TypeDescriptor::VarLenAscii | TypeDescriptor::VarLenUnicode => size_of::<String>(),
        _ => size_of::<f64>(),
    }
}

fn raw<T: H5Type>(dataset: &Dataset) -> Result<Vec<T>, Fault> {
    dataset.read_raw::<T>().map_err(reason)
}

fn strings<T: H5Type>(dataset: &Dataset, bytes: impl Fn(&T) -> &[u8]) -> Result<Values, Fault> {
    let words = raw::<T>(dataset)?;
    Ok(Values::Text(
        words.iter().map(|word| text(bytes(word))).collect(),
    ))
}

/// Fixed-length strings are read into the next of a few lengths: the length is a Rust type.
fn fixed_ascii(dataset: &Dataset, bytes: usize) -> Result<Values, Fault> {
    match bytes {
        0..=64 => strings::<FixedAscii<64>>(dataset, |word| word.as_bytes()),
        65..=1024 => strings::<FixedAscii<1024>>(dataset, |word| word.as_bytes()),
        1025..=16384 => strings::<FixedAscii<16384>>(dataset, |word| word.as_bytes()),
        _ => Err(format!("strings of {bytes} bytes")),
    }
}

/// As [`fixed_ascii`]: the library converts lengths, not character sets.
fn fixed_unicode(dataset: &Dataset, bytes: usize) -> Result<Values, Fault> {
    match bytes {
        0..=64 => strings::<FixedUnicode<64>>(dataset, |word| word.as_bytes()),
        65..=1024 => strings::<FixedUnicode<1024>>(dataset, |word| word.as_bytes()),
        1025..=16384 => strings::<FixedUnicode<16384>>(dataset, |word| word.as_bytes()),
        _ => Err(format!("strings of {bytes} bytes")),
    }
}

#[allow(clippy::needless_pass_by_value)]
fn reason(error: hdf5::Error) -> Fault {
    error.to_string()
}
