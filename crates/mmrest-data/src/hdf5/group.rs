//! Groups as symbol tables: names in a local heap, members in nodes of a few, a B-tree over those.

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};

use super::Sink;
use super::encode::{Put, aligned, padded};
use super::header;
use super::tree::{Level, Shape};

/// Half the members of a node, and half the children of a tree's node: the superblock says so. Smaller than the usual 4
/// and 16, for nodes are always stored at full size and most groups have two members.
pub(super) const LEAF_K: u16 = 2;
pub(super) const INTERNAL_K: u16 = 4;

/// The offset of the empty name, which every heap starts with.
const NO_NAME: u64 = 0;

/// Members of a group by name, in the order HDF5 sorts names in: by bytes.
pub(super) type Members = BTreeMap<String, Member>;

/// What a name stands for.
pub(super) enum Member {
    /// A dataset: the address of its header.
    Dataset(u64),
    /// A group that may still get members.
    Open(Members),
    /// A group that is written.
    Closed(Group),
}

/// Where a written group is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) header: u64,
    pub(super) tree: u64,
    pub(super) heap: u64,
}

impl Group {
    /// A symbol table's entry for it: the addresses are repeated there, to spare readers a look at the header.
    pub(super) fn entry(self, name: u64) -> Vec<u8> {
        let entry = Vec::new().u64(name).u64(self.header).u32(1).u32(0);
        entry.u64(self.tree).u64(self.heap)
    }
}

impl<W: Write + Seek> Sink<W> {
    /// Writes a group, and those below it first.
    pub(super) fn group(&mut self, members: Members) -> io::Result<Group> {
        let mut names = vec![0; 8];
        let mut entries = Vec::with_capacity(members.len());
        for (name, member) in members {
            let at = names.len() as u64;
            names = padded(names.put(name.as_bytes()).u8(0));
            let entry = match member {
                Member::Dataset(header) => {
                    let entry = Vec::new().u64(at).u64(header).u32(0).u32(0);
                    entry.u64(0).u64(0)
                }
                Member::Open(members) => self.group(members)?.entry(at),
                Member::Closed(group) => group.entry(at),
            };
            entries.push((at, entry));
        }
        let heap = self.heap(&names)?;
        let level = self.symbol_nodes(&entries)?;
        let shape = Shape {
            kind: 0,
            children: usize::from(INTERNAL_K) * 2,
            key: 8,
        };
        let tree = self.tree(shape, level)?;
        let header = self.block(&header::group(tree, heap)?)?;
        Ok(Group { header, tree, heap })
    }

    /// A local heap without free space: its head, then the names.
    fn heap(&mut self, names: &[u8]) -> io::Result<u64> {
        const NOTHING_FREE: u64 = 1;
        let address = self.align()?;
        let head = b"HEAP".to_vec().u32(0).u64(names.len() as u64);
        let head = head.u64(NOTHING_FREE).u64(aligned(address + 32));
        self.block(&head)?;
        self.block(names)?;
        Ok(address)
    }

    /// The members, a few a node; the key after a node is its last name.
    fn symbol_nodes(&mut self, entries: &[(u64, Vec<u8>)]) -> io::Result<Level> {
        const ENTRY: usize = 40;
        let most = usize::from(LEAF_K) * 2;
        let mut keys = Vec::new().u64(NO_NAME);
        let mut children = Vec::new();
        for few in entries.chunks(most) {
            let head = b"SNOD".to_vec().u8(1).u8(0).u16(few.len() as u16);
            let mut node = few.iter().fold(head, |node, (_, entry)| node.put(entry));
            node.resize(8 + most * ENTRY, 0);
            children.push(self.block(&node)?);
            keys = keys.u64(few.last().map_or(NO_NAME, |(name, _)| *name));
        }
        Ok(Level { keys, children })
    }
}
