//! HDF5 by `hdf5-reader`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{
    ByteOrder, Dataset, Datatype, H5Type, Hdf5File, OpenOptions, StringPadding, StringSize,
    VarLenKind,
};

use super::{
    Array, Fault, MAX_READ_BYTES, Members, Source, Values, check_size, lzf, most_bytes, text,
};

/// An open file. No data are cached: every dataset is read once.
pub(super) struct File {
    file: Hdf5File,
    /// What a dataset may take.
    most: usize,
    /// What has been read, and what may be read still.
    read: Mutex<Budget>,
    /// Groups by path, from the listing of the group above. Finding one of 23,000 from its name means going through all
    /// of them in some layouts.
    groups: RwLock<HashMap<String, Group>>,
}

/// What a file of its size can hold, less what was read of it: one dataset may have a thousand names (hard links).
struct Budget {
    left: usize,
    /// Datasets that were read. One that is read again costs nothing more.
    known: HashSet<String>,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let all = most_bytes(path)?;
        let most = all.min(MAX_READ_BYTES);
        let options = OpenOptions::default()
            .with_filter_registry(lzf::filters(most))
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(most)
            .with_max_read_bytes(most);
        Ok(Self {
            most,
            read: Mutex::new(Budget {
                left: all,
                known: HashSet::new(),
            }),
            file: Hdf5File::open_with_options(path, options).map_err(reason)?,
            groups: RwLock::default(),
        })
    }

    fn group(&self, path: &str) -> Result<Group, Fault> {
        let known = self.groups.read().ok();
        if let Some(group) = known.and_then(|groups| groups.get(path).cloned()) {
            return Ok(group);
        }
        self.file.group(path).map_err(reason)
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that are read, or refuses them.
    fn charge(&self, bytes: usize) -> Result<(), Fault> {
        let mut read = self.budget();
        let left = read.left.checked_sub(bytes);
        read.left = left.ok_or_else(|| {
            format!(
                "with its {bytes} bytes the datasets take more than a file of this size can hold; \
                 they may be one under many names"
            )
        })?;
        Ok(())
    }

    /// Keeps the groups below `path`.
    fn keep(&self, path: &str, below: Vec<Group>) {
        if let Ok(mut groups) = self.groups.write() {
            let path = path.trim_end_matches('/');
            let below = below.into_iter();
            groups.extend(below.map(|group| (format!("{path}/{}", group.name()), group)));
        }
    }
}

impl Source for File {
    fn members(&self, group: &str) -> Result<Members, Fault> {
        let above = self.group(group)?;
        let (groups, datasets) = above.member_names().map_err(reason)?;
        // With datasets among them, listing the groups would open those, and fail where one of them is damaged.
        if datasets.is_empty() {
            self.keep(group, above.groups().map_err(reason)?);
        }
        Ok(Members { groups, datasets })
    }

    fn read(&self, dataset: &str) -> Result<Array, Fault> {
        let path = dataset;
        let (group, name) = path.rsplit_once('/').unwrap_or(("/", path));
        let dataset = self.group(group)?.dataset(name).map_err(reason)?;
        let shape = dataset
            .shape()
            .iter()
            .map(|&n| usize::try_from(n).map_err(|_| format!("a dimension of {n}")))
            .collect::<Result<_, _>>()?;
        let elements = dataset.num_elements().map_err(reason)?;
        let bytes = check_size(elements, cost(dataset.dtype()), self.most)?;
        let known = self.budget().known.contains(path);
        let charge = |bytes| if known { Ok(()) } else { self.charge(bytes) };
        charge(bytes)?;
        let values = values(&dataset, self.most, &charge)?;
        self.budget().known.insert(path.to_owned());
        Ok(Array { shape, values })
    }
}

/// The elements of a dataset whose size was checked; `charge` counts what they take beyond it.
fn values(
    dataset: &Dataset,
    most: usize,
    charge: &dyn Fn(usize) -> Result<(), Fault>,
) -> Result<Values, Fault> {
    match dataset.dtype() {
        Datatype::FloatingPoint { size: 4, .. } => Ok(Values::F32(numbers::<f32>(dataset)?)),
        Datatype::FloatingPoint { size: 8, .. } => Ok(Values::F64(numbers::<f64>(dataset)?)),
        Datatype::FloatingPoint {
            size: 2,
            byte_order,
        } => half(dataset, *byte_order),
        // h5py writes truth values so.
        Datatype::Enum { base, .. } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            let bytes = dataset.read_raw_bytes().map_err(reason)?;
            Ok(Values::F32(bytes.into_iter().map(f32::from).collect()))
        }
        Datatype::FixedPoint { size, signed, .. } => integers(dataset, *size, *signed),
        Datatype::String {
            size: StringSize::Fixed(bytes),
            padding,
            ..
        } => fixed_text(dataset, *bytes as usize, *padding),
        Datatype::String {
            size: StringSize::Variable,
            ..
        }
        | Datatype::VarLen {
            kind: VarLenKind::String,
            ..
        } => variable_text(dataset, most, charge),
        Datatype::FloatingPoint { size, .. } => Err(format!(
            "{}-bit floating-point numbers are not read; write 32-bit ones",
            8 * usize::from(*size)
        )),
        other => Err(format!(
            "elements of type {} are not read; write numbers or strings",
            type_name(other)
        )),
    }
}

/// Bytes that an element takes once it is read; a byte that is no UTF-8 becomes three.
fn cost(kind: &Datatype) -> usize {
    match kind {
        Datatype::FloatingPoint { size: 2 | 4, .. } | Datatype::Enum { .. } => size_of::<f32>(),
        Datatype::FloatingPoint { .. } | Datatype::FixedPoint { .. } => size_of::<f64>(),
        Datatype::String {
            size: StringSize::Fixed(bytes),
            ..
        } => size_of::<String>() + 3 * *bytes as usize,
        _ => size_of::<String>(),
    }
}

/// Half precision, which the reader has no type for.
fn half(dataset: &Dataset, order: ByteOrder) -> Result<Values, Fault> {
    let bytes = dataset.read_raw_bytes().map_err(reason)?;
    let (elements, _) = bytes.as_chunks::<2>();
    let number = |&bytes: &[u8; 2]| match order {
        ByteOrder::LittleEndian => half::f16::from_le_bytes(bytes),
        ByteOrder::BigEndian => half::f16::from_be_bytes(bytes),
    };
    Ok(Values::F32(
        elements
            .iter()
            .map(|bytes| number(bytes).to_f32())
            .collect(),
    ))
}

/// What a type is, in a word.
fn type_name(kind: &Datatype) -> &'static str {
    match kind {
        Datatype::Compound { .. } => "compound",
        Datatype::Reference { .. } => "reference",
        Datatype::Enum { .. } => "enumeration",
        Datatype::VarLen { .. } => "list",
        Datatype::Array { .. } => "array",
        Datatype::Opaque { .. } => "opaque",
        _ => "another kind",
    }
}

/// 64-bit integers lose what an f64 cannot hold; features have no such values.
#[allow(clippy::cast_precision_loss)]
fn integers(dataset: &Dataset, size: u8, signed: bool) -> Result<Values, Fault> {
    let values = match (size, signed) {
        (1, true) => numbers::<i8>(dataset)?.into_iter().map(f64::from).collect(),
        (1, false) => numbers::<u8>(dataset)?.into_iter().map(f64::from).collect(),
        (2, true) => numbers::<i16>(dataset)?
            .into_iter()
            .map(f64::from)
            .collect(),
        (2, false) => numbers::<u16>(dataset)?
            .into_iter()
            .map(f64::from)
            .collect(),
        (4, true) => numbers::<i32>(dataset)?
            .into_iter()
            .map(f64::from)
            .collect(),
        (4, false) => numbers::<u32>(dataset)?
            .into_iter()
            .map(f64::from)
            .collect(),
        (8, true) => numbers::<i64>(dataset)?
            .into_iter()
            .map(|value| value as f64)
            .collect(),
        (8, false) => numbers::<u64>(dataset)?
            .into_iter()
            .map(|value| value as f64)
            .collect(),
        _ => return Err(format!("integers of {size} bytes")),
    };
    Ok(Values::F64(values))
}

/// The array's own memory, where its order is the file's, as it is: going through its elements costs more than inflating
/// them.
fn numbers<T: H5Type>(dataset: &Dataset) -> Result<Vec<T>, Fault> {
    let array = dataset.read_array::<T>().map_err(reason)?;
    if array.is_standard_layout() {
        let count = array.len();
        let (values, first) = array.into_raw_vec_and_offset();
        if values.len() == count && first.unwrap_or(0) == 0 {
            return Ok(values);
        }
        return Err("an array with gaps".to_owned());
    }
    Ok(array.into_iter().collect())
}

fn fixed_text(dataset: &Dataset, bytes: usize, padding: StringPadding) -> Result<Values, Fault> {
    if bytes == 0 {
        return Err("strings of 0 bytes".to_owned());
    }
    let raw = dataset.read_raw_bytes().map_err(reason)?;
    let trim = |text: String| match padding {
        StringPadding::SpacePad => text.trim_end_matches(' ').to_owned(),
        _ => text,
    };
    Ok(Values::Text(
        raw.chunks_exact(bytes).map(|raw| trim(text(raw))).collect(),
    ))
}

/// Many references may lead to one long string: what they make together is counted.
fn variable_text(
    dataset: &Dataset,
    most: usize,
    charge: &dyn Fn(usize) -> Result<(), Fault>,
) -> Result<Values, Fault> {
    let raw = dataset.read_raw_bytes().map_err(reason)?;
    let mut made = 0_u64;
    let strings = raw
        .chunks_exact(dataset.vlen_reference_size().max(1))
        .map(|reference| {
            let bytes = dataset
                .resolve_vlen_reference_bytes(reference, 1)
                .map_err(reason)?;
            made += bytes.len() as u64;
            check_size(made, 1, most)?;
            charge(bytes.len())?;
            Ok(text(&bytes))
        })
        .collect::<Result<_, Fault>>()?;
    Ok(Values::Text(strings))
}

#[allow(clippy::needless_pass_by_value)]
fn reason(error: Error) -> Fault {
    error.to_string()
}
