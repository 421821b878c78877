//! Inspects HDF5 files: their kind, tree, and the types of their arrays.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions, StringSize, VarLenKind};

use super::{FileKind, Finding, Inspection, Stored, Usable};

/// Groups within groups are followed this far.
const DEPTH: usize = 16;

/// Arrays listed at most.
const ARRAYS: usize = 10_000;

/// Members of groups looked at, all together.
const MEMBERS: usize = 100_000;

/// Advice for files that break off or were damaged.
pub(super) const AGAIN: &str =
    "compare its size with the original's, and download or copy it again";

/// Datasets that a packed set has at its top.
const PACKED: [&str; 4] = ["id", "video", "split", "metadata"];

pub(super) fn open(path: &Path) -> Result<Hdf5File, Error> {
    Hdf5File::open_with_options(path, OpenOptions::default().with_chunk_cache_bytes(0))
}

/// Which kind of HDF5 a file is; one that cannot be opened is [`FileKind::Hdf5`].
pub(super) fn kind(path: &Path) -> FileKind {
    let of = || -> Result<FileKind, Error> {
        let file = open(path)?;
        let (groups, datasets) = file.group("/")?.member_names()?;
        if PACKED.iter().all(|name| datasets.iter().any(|d| d == name)) {
            return Ok(FileKind::Packed);
        }
        let ([root], []) = (groups.as_slice(), datasets.as_slice()) else {
            return Ok(FileKind::Hdf5);
        };
        let (groups, _) = file.group(&format!("/{root}"))?.member_names()?;
        Ok(if groups.iter().any(|name| name == "data") {
            FileKind::Sequence
        } else {
            FileKind::Hdf5
        })
    };
    of().unwrap_or(FileKind::Hdf5)
}

/// Lists the tree of a file that is neither a computational sequence nor a packed set.
pub(super) fn inspect(inspection: &mut Inspection) {
    let file = match open(&inspection.path) {
        Ok(file) => file,
        Err(error) => {
            inspection.unreadable(format!("cannot be read as HDF5: {error}"), AGAIN);
            return;
        }
    };
    let mut walk = Walk::default();
    match file.root_group() {
        Ok(root) => walk.group("", &root, 0),
        Err(error) => walk.faults.push(error.to_string()),
    }
    inspection.usable = Usable::no(
        "not laid out as a computational sequence (/<root>/data/<id>/{features,intervals}, /<root>/metadata) or a packed set",
    );
    if let Some(first) = walk.faults.first() {
        inspection.find(Finding::problem("unreadable", first.clone(), AGAIN));
    }
    if walk.left_out > 0 {
        inspection.find(Finding::note(
            "tree_cut",
            format!("{} more arrays are not listed", walk.left_out),
            "",
        ));
    }
    inspection.stored = walk.stored;
}

#[derive(Default)]
struct Walk {
    stored: Vec<Stored>,
    faults: Vec<String>,
    left_out: usize,
    members: usize,
    /// Groups that were listed, by their addresses: hard links give one many names, and can form a circle.
    groups: HashSet<u64>,
}

impl Walk {
    fn group(&mut self, name: &str, group: &Group, depth: usize) {
        if !self.groups.insert(group.address()) {
            return;
        }
        let (groups, datasets) = match group.members() {
            Ok(members) => members,
            Err(error) => {
                self.faults.push(format!("group {name:?}: {error}"));
                return;
            }
        };
        self.members += groups.len() + datasets.len();
        for dataset in datasets {
            if self.stored.len() == ARRAYS {
                self.left_out += 1;
                continue;
            }
            self.stored.push(Stored {
                name: format!("{name}/{}", dataset.name().trim_start_matches('/')),
                shape: shape(dataset.shape()),
                dtype: dtype(dataset.dtype()),
                arrays: 1,
            });
        }
        for member in groups {
            let below = format!("{name}/{}", member.name().trim_start_matches('/'));
            if depth == DEPTH || self.members > MEMBERS {
                self.faults.push(format!(
                    "{below:?} is beyond {DEPTH} levels or {MEMBERS} members, and is not listed"
                ));
                return;
            }
            self.group(&below, &member, depth + 1);
        }
    }
}

/// `features` and `intervals` of all entries by type and shape, the first dimension written `n`.
pub(super) fn stored_of_entries(path: &Path, root: &str, ids: &[String]) -> Vec<Stored> {
    let Ok(file) = open(path) else {
        return Vec::new();
    };
    let mut counts: BTreeMap<(&str, String, String), usize> = BTreeMap::new();
    for id in ids {
        let Ok(group) = file.group(&format!("/{root}/data/{id}")) else {
            continue;
        };
        for name in ["features", "intervals"] {
            if let Ok(dataset) = group.dataset(name) {
                let (shape, dtype) = (entry_shape(&dataset), dtype(dataset.dtype()));
                *counts.entry((name, shape, dtype)).or_default() += 1;
            }
        }
    }
    let stored = counts.into_iter();
    let stored = stored.map(|((name, shape, dtype), arrays)| Stored {
        name: name.to_owned(),
        shape,
        dtype,
        arrays,
    });
    joined(stored.collect())
}

/// Fixed strings of many lengths as one line, `S9-S17`: each entry's are as long as its longest word.
fn joined(stored: Vec<Stored>) -> Vec<Stored> {
    let length = |stored: &Stored| stored.dtype.strip_prefix('S')?.parse::<usize>().ok();
    let mut ends: BTreeMap<(String, String), (usize, usize, usize)> = BTreeMap::new();
    let (words, mut rest): (Vec<_>, Vec<_>) = stored.into_iter().partition(|s| length(s).is_some());
    for stored in words {
        let bytes = length(&stored).unwrap_or(0);
        let known = ends
            .entry((stored.name, stored.shape))
            .or_insert((bytes, bytes, 0));
        *known = (
            known.0.min(bytes),
            known.1.max(bytes),
            known.2 + stored.arrays,
        );
    }
    rest.extend(
        ends.into_iter()
            .map(|((name, shape), (least, most, arrays))| {
                let dtype = if least == most {
                    format!("S{least}")
                } else {
                    format!("S{least}-S{most}")
                };
                Stored {
                    name,
                    shape,
                    dtype,
                    arrays,
                }
            }),
    );
    rest.sort_by(|a, b| (&a.name, &a.shape).cmp(&(&b.name, &b.shape)));
    rest
}

fn shape(shape: &[u64]) -> String {
    let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
    format!("[{}]", shape.join(", "))
}

fn entry_shape(dataset: &Dataset) -> String {
    let mut shape: Vec<String> = dataset.shape().iter().map(u64::to_string).collect();
    if let Some(rows) = shape.first_mut() {
        "n".clone_into(rows);
    }
    format!("[{}]", shape.join(", "))
}

/// numpy's short name of a type.
fn dtype(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FixedPoint { size, signed, .. } => {
            format!("{}{size}", if *signed { 'i' } else { 'u' })
        }
        Datatype::FloatingPoint { size, .. } => format!("f{size}"),
        Datatype::String {
            size: StringSize::Fixed(bytes),
            ..
        } => format!("S{bytes}"),
        Datatype::String { .. }
        | Datatype::VarLen {
            kind: VarLenKind::String,
            ..
        } => "string".to_owned(),
        Datatype::VarLen { base, .. } => format!("list of {}", dtype(base)),
        Datatype::Array { base, dims } => format!("{}{}", dtype(base), shape(dims)),
        Datatype::Enum { base, .. } => format!("enum of {}", dtype(base)),
        Datatype::Compound { .. } => "compound".to_owned(),
        Datatype::Reference { .. } => "reference".to_owned(),
        Datatype::Opaque { size, .. } => format!("V{size}"),
        _ => "other".to_owned(),
    }
}
