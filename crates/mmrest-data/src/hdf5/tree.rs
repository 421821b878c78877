//! B-trees of version 1, built whole from sorted keys.

use std::io::{self, Seek, Write};

use super::Sink;
use super::encode::{NOWHERE, Put};

/// What a tree is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// 0: a group's names; 1: a dataset's chunks.
    pub(super) kind: u8,
    /// Children of a node at most: twice the K that the superblock, or the format itself, fixes.
    pub(super) children: usize,
    /// Bytes of a key.
    pub(super) key: usize,
}

impl Shape {
    /// Bytes of a node: all have room for as many children as there may be.
    fn node(self) -> usize {
        24 + (self.children + 1) * self.key + self.children * 8
    }
}

/// One level of a tree: `n` children and the `n + 1` keys around them.
pub(super) struct Level {
    pub(super) keys: Vec<u8>,
    pub(super) children: Vec<u64>,
}

impl<W: Write + Seek> Sink<W> {
    /// Writes a tree from its leaves up; the address of its root.
    pub(super) fn tree(&mut self, shape: Shape, mut level: Level) -> io::Result<u64> {
        let mut height = 0;
        loop {
            let above = self.nodes(shape, height, &level)?;
            if let &[root] = above.children.as_slice() {
                return Ok(root);
            }
            level = above;
            height += 1;
        }
    }

    /// Writes the nodes of a level side by side; the level above them.
    fn nodes(&mut self, shape: Shape, height: u8, level: &Level) -> io::Result<Level> {
        let first = self.align()?;
        let size = shape.node();
        let count = level.children.len().div_ceil(shape.children).max(1);
        let address = |i: usize| match i {
            i if i < count => first + (i * size) as u64,
            _ => NOWHERE,
        };
        let mut above = Level {
            keys: Vec::new(),
            children: Vec::new(),
        };
        let mut children = level.children.chunks(shape.children);
        for i in 0..count {
            let children = children.next().unwrap_or_default();
            let keys = level.keys.get(i * shape.children * shape.key..);
            let keys = keys.unwrap_or_default();
            above.keys.extend(keys.iter().take(shape.key));
            above.children.push(address(i));
            let left = i.checked_sub(1).map_or(NOWHERE, address);
            let head = b"TREE".to_vec().u8(shape.kind).u8(height);
            let head = head
                .u16(children.len() as u16)
                .u64(left)
                .u64(address(i + 1));
            self.put(&node(head, keys, children, shape))?;
        }
        let last = level.keys.len().saturating_sub(shape.key);
        above.keys.extend_from_slice(&level.keys[last..]);
        Ok(above)
    }
}

/// Key, child, key, .. child, key, and zeros where there is room for more.
fn node(head: Vec<u8>, keys: &[u8], children: &[u64], shape: Shape) -> Vec<u8> {
    let mut keys = keys.chunks(shape.key);
    let mut key = || keys.next().unwrap_or_default();
    let mut node = head.put(key());
    for &child in children {
        node = node.u64(child).put(key());
    }
    node.resize(shape.node(), 0);
    node
}
