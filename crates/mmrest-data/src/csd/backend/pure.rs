//! HDF5 by `hdf5-reader`.

use std::path::Path;

use hdf5_reader::error::Error;
use hdf5_reader::{
    Dataset, Datatype, H5Type, Hdf5File, OpenOptions, StringPadding, StringSize, VarLenKind,
};

use super::{Array, Fault, MAX_READ_BYTES, Members, Source, Values, lzf, text};

/// An open file. Nothing is cached: every dataset is read once.
pub(super) struct File(Hdf5File);

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let options = OpenOptions::default()
            .with_filter_registry(lzf::filters())
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(MAX_READ_BYTES)
            .with_max_read_bytes(MAX_READ_BYTES);
        Ok(Self(
            Hdf5File::open_with_options(path, options).map_err(reason)?,
        ))
    }
}

impl Source for File {
    fn members(&self, group: &str) -> Result<Members, Fault> {
        let group = self.0.group(group).map_err(reason)?;
        let (groups, datasets) = group.member_names().map_err(reason)?;
        Ok(Members { groups, datasets })
    }

    fn read(&self, dataset: &str) -> Result<Array, Fault> {
        let (group, name) = dataset.rsplit_once('/').unwrap_or(("/", dataset));
        let dataset = self
            .0
            .group(group)
            .and_then(|group| group.dataset(name))
            .map_err(reason)?;
        let shape = dataset
            .shape()
            .iter()
            .map(|&n| usize::try_from(n).map_err(|_| format!("a dimension of {n}")))
            .collect::<Result<_, _>>()?;
        let values = values(&dataset)?;
        Ok(Array { shape, values })
    }
}

fn values(dataset: &Dataset) -> Result<Values, Fault> {
    match dataset.dtype() {
        Datatype::FloatingPoint { size: 4, .. } => {
            Ok(Values::F32(numbers::<f32>(dataset)?.collect()))
        }
        Datatype::FloatingPoint { size: 8, .. } => {
            Ok(Values::F64(numbers::<f64>(dataset)?.collect()))
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
        } => variable_text(dataset),
        other => Err(format!("elements of type {other:?} are not known here")),
    }
}

/// 64-bit integers lose what an f64 cannot hold; features have no such values.
#[allow(clippy::cast_precision_loss)]
fn integers(dataset: &Dataset, size: u8, signed: bool) -> Result<Values, Fault> {
    let values = match (size, signed) {
        (1, true) => numbers::<i8>(dataset)?.map(f64::from).collect(),
        (1, false) => numbers::<u8>(dataset)?.map(f64::from).collect(),
        (2, true) => numbers::<i16>(dataset)?.map(f64::from).collect(),
        (2, false) => numbers::<u16>(dataset)?.map(f64::from).collect(),
        (4, true) => numbers::<i32>(dataset)?.map(f64::from).collect(),
        (4, false) => numbers::<u32>(dataset)?.map(f64::from).collect(),
        (8, true) => numbers::<i64>(dataset)?.map(|value| value as f64).collect(),
        (8, false) => numbers::<u64>(dataset)?.map(|value| value as f64).collect(),
        _ => return Err(format!("integers of {size} bytes")),
    };
    Ok(Values::F64(values))
}

fn numbers<T: H5Type>(dataset: &Dataset) -> Result<impl Iterator<Item = T>, Fault> {
    Ok(dataset.read_array::<T>().map_err(reason)?.into_iter())
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

fn variable_text(dataset: &Dataset) -> Result<Values, Fault> {
    let raw = dataset.read_raw_bytes().map_err(reason)?;
    let strings = raw
        .chunks_exact(dataset.vlen_reference_size())
        .map(|reference| {
            let bytes = dataset
                .resolve_vlen_reference_bytes(reference, 1)
                .map_err(reason)?;
            Ok(text(&bytes))
        })
        .collect::<Result<_, Fault>>()?;
    Ok(Values::Text(strings))
}

#[allow(clippy::needless_pass_by_value)]
fn reason(error: Error) -> Fault {
    error.to_string()
}
