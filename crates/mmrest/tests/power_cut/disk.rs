//! A disk as a power cut leaves it: what was recorded, replayed on nodes that know what of them would last.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// What a recorded program did.
pub(crate) enum Record {
    Create(PathBuf, u64),
    Write(u64, usize, Vec<u8>),
    Truncate(u64, usize),
    SyncFile(u64, PathBuf),
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Folder(PathBuf),
    Remove(PathBuf),
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create(path, inode) => write!(f, "create {} ({inode})", path.display()),
            Self::Write(inode, at, data) => write!(f, "write {inode} at {at}: {}", data.len()),
            Self::Truncate(inode, length) => write!(f, "cut {inode} to {length}"),
            Self::SyncFile(inode, path) => write!(f, "sync {inode}, {}", path.display()),
            Self::SyncFolder(path) => write!(f, "sync {}", path.display()),
            Self::Rename(from, to) => write!(f, "rename {} {}", from.display(), to.display()),
            Self::Link(from, to) => write!(f, "link {} {}", from.display(), to.display()),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
        }
    }
}

/// The records of a log.
pub(crate) fn records(log: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let words: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let path = |at: usize| PathBuf::from(words[at]);
        records.push(match words[0] {
            "C" => Record::Create(path(1), number(2)),
            "W" => {
                let (data, after) = rest.split_at(number(3) as usize);
                rest = after;
                Record::Write(number(1), number(2) as usize, data.to_vec())
            }
            "T" => Record::Truncate(number(1), number(2) as usize),
            "S" => Record::SyncFile(number(1), path(2)),
            "D" => Record::SyncFolder(path(1)),
            "R" => Record::Rename(path(1), path(2)),
            "L" => Record::Link(path(1), path(2)),
            "M" => Record::Folder(path(1)),
            "U" => Record::Remove(path(1)),
            other => panic!("no record: {other:?}"),
        });
    }
    records
}

/// What outlasts a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// What was synced, and nothing else: content by its file, names by their folder.
    Synced,
    /// All names, but of contents what was synced: a journal of names only.
    Names,
    /// Everything, as when the program alone is killed.
    All,
}

/// A file or a folder.
#[derive(Debug)]
enum Node {
    File { now: Vec<u8>, synced: Vec<u8> },
    Folder { now: Names, synced: Names },
}

type Names = BTreeMap<String, usize>;

/// A disk with one folder, which is there from the start.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    /// The node that an inode is at present.
    inodes: HashMap<u64, usize>,
}

impl Disk {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            nodes: vec![Self::folder()],
            inodes: HashMap::new(),
        }
    }

    fn folder() -> Node {
        Node::Folder {
            now: Names::new(),
            synced: Names::new(),
        }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The node at a path below the root.
    fn find(&self, path: &Path) -> Option<usize> {
        let inner = path.strip_prefix(&self.root).ok()?;
        inner
            .iter()
            .try_fold(0, |node, name| match &self.nodes[node] {
                Node::Folder { now, .. } => now.get(name.to_str()?).copied(),
                Node::File { .. } => None,
            })
    }

    /// The names in the folder of a path, and the last part of the path.
    fn names(&mut self, path: &Path) -> (&mut Names, String) {
        let folder = self.find(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match &mut self.nodes[folder] {
            Node::Folder { now, .. } => (now, name),
            Node::File { .. } => panic!("{} is in a file", path.display()),
        }
    }

    /// A file's content; none of a file without a name, which nothing leads to.
    fn content(&mut self, inode: u64) -> Option<(&mut Vec<u8>, &mut Vec<u8>)> {
        match &mut self.nodes[*self.inodes.get(&inode)?] {
            Node::File { now, synced } => Some((now, synced)),
            Node::Folder { .. } => None,
        }
    }

    /// Makes up for a rename by a system call that was not recorded: a file has another name when it is synced.
    fn rename_unseen(&mut self, inode: u64, path: &Path) {
        let Some(&node) = self.inodes.get(&inode) else {
            return;
        };
        if self.find(path) != Some(node) {
            let (names, name) = self.names(path);
            names.retain(|_, other| *other != node);
            names.insert(name, node);
        }
    }

    pub(crate) fn replay(&mut self, record: &Record) {
        match record {
            Record::Create(path, inode) => {
                if self.find(path).is_none() {
                    let new = self.add(Node::File {
                        now: Vec::new(),
                        synced: Vec::new(),
                    });
                    let (names, name) = self.names(path);
                    names.insert(name, new);
                    self.inodes.insert(*inode, new);
                }
            }
            Record::Write(inode, at, data) => {
                if let Some((now, _)) = self.content(*inode) {
                    let end = at + data.len();
                    now.resize(now.len().max(end), 0);
                    now[*at..end].copy_from_slice(data);
                }
            }
            Record::Truncate(inode, length) => {
                if let Some((now, _)) = self.content(*inode) {
                    now.resize(*length, 0);
                }
            }
            Record::SyncFile(inode, path) => {
                self.rename_unseen(*inode, path);
                if let Some((now, synced)) = self.content(*inode) {
                    synced.clone_from(now);
                }
            }
            Record::SyncFolder(path) => {
                let folder = self.find(path).unwrap();
                if let Node::Folder { now, synced } = &mut self.nodes[folder] {
                    synced.clone_from(now);
                }
            }
            Record::Rename(from, to) => {
                let (names, name) = self.names(from);
                let node = names.remove(&name).unwrap();
                let (names, name) = self.names(to);
                names.insert(name, node);
            }
            Record::Link(from, to) => {
                let node = self.find(from).unwrap();
                let (names, name) = self.names(to);
                names.insert(name, node);
            }
            Record::Folder(path) => {
                let new = self.add(Self::folder());
                let (names, name) = self.names(path);
                names.insert(name, new);
            }
            Record::Remove(path) => {
                let (names, name) = self.names(path);
                names.remove(&name);
            }
        }
    }

    /// What is left after a cut: every file with its content, every folder without.
    pub(crate) fn left(&self, lasts: Lasts) -> BTreeMap<PathBuf, Option<&[u8]>> {
        let mut left = BTreeMap::new();
        self.collect(0, Path::new(""), lasts, &mut left);
        left
    }

    fn collect<'a>(
        &'a self,
        node: usize,
        path: &Path,
        lasts: Lasts,
        left: &mut BTreeMap<PathBuf, Option<&'a [u8]>>,
    ) {
        match &self.nodes[node] {
            Node::File { now, synced } => {
                let content = if lasts == Lasts::All { now } else { synced };
                left.insert(path.to_path_buf(), Some(content));
            }
            Node::Folder { now, synced } => {
                left.insert(path.to_path_buf(), None);
                let names = if lasts == Lasts::Synced { synced } else { now };
                for (name, &node) in names {
                    self.collect(node, &path.join(name), lasts, left);
                }
            }
        }
    }
}

/// Tells states apart, but for logs and locks, which nothing goes by.
pub(crate) fn hash(left: &BTreeMap<PathBuf, Option<&[u8]>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let counts = |path: &&PathBuf| !path.ends_with("log.jsonl") && !path.ends_with("run.lock");
    for path in left.keys().filter(counts) {
        (path, left[path]).hash(&mut hasher);
    }
    hasher.finish()
}

/// Puts what is left into a folder.
pub(crate) fn write(left: &BTreeMap<PathBuf, Option<&[u8]>>, folder: &Path) {
    for (path, content) in left {
        let path = folder.join(path);
        match content {
            None => std::fs::create_dir_all(path).unwrap(),
            Some(content) => std::fs::write(path, content).unwrap(),
        }
    }
}
