//! Python pickles of NumPy data, read without Python.
//!
//! A pickle is a program for a small stack machine, and Python's own reader runs whatever the program asks for. This
//! reader knows the values that data sets are made of (none, booleans, numbers, text, bytes, lists, tuples, dictionaries,
//! NumPy arrays, scalars and dtypes) and a few names, those NumPy's own pickles use and Python's dictionaries
//! (`OrderedDict`, `defaultdict`); anything else is refused by name and byte offset, and nothing is ever executed.
//! Protocols 2 to 5 of NumPy 1 and 2 are read, also compressed by gzip or xz.
//!
//! Files may be larger than memory: the bytes of large arrays stay in the file and are read when
//! [asked for](Array::rows_f32). No size is believed before it is compared with the file's.

mod array;
mod convert;
mod dtype;
mod globals;
mod input;
mod machine;
mod opcode;
mod payload;
mod store;
mod strided;
mod value;

use std::path::Path;
use std::sync::Arc;

pub use array::Array;
pub use dtype::{ByteOrder, DType, Element};
pub(crate) use value::Id;
pub use value::{Kind, Value};

use crate::Result;
use store::Store;
use value::Node;

/// A pickle, its structure in memory and its large arrays still in the file.
///
/// ```
/// use mmrest_data::pickle::Pickle;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("a.pkl");
/// // pickle.dumps({"a": [1, 2.5]}, protocol=2)
/// std::fs::write(&path, b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00es.").unwrap();
/// let pickle = Pickle::open(&path).unwrap();
/// let items = pickle.root().get("a").unwrap().items().unwrap();
/// assert_eq!(items[0].as_i64(), Some(1));
/// assert_eq!(items[1].as_f64(), Some(2.5));
///
/// // What a pickle of another kind asks for is refused, not run.
/// std::fs::write(&path, b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").unwrap();
/// let error = Pickle::open(&path).unwrap_err().to_string();
/// assert!(error.contains("os.system"), "{error}");
/// ```
#[derive(Debug)]
pub struct Pickle {
    store: Arc<Store>,
    nodes: Vec<Node>,
    root: Id,
}

impl Pickle {
    /// Reads the structure of a pickle; what follows its end in the file is ignored, as Python does.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`](crate::DataError::Io); [`DataError::Pickle`](crate::DataError::Pickle) with the byte offset for a
    /// file that is cut short, damaged, of another protocol, or asks for anything but data.
    pub fn open(path: &Path) -> Result<Self> {
        let store = Arc::new(Store::open(path)?);
        let (nodes, root) = machine::run(&store)?;
        Ok(Self { store, nodes, root })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The value that was pickled.
    pub fn root(&self) -> Value<'_> {
        self.value(self.root)
    }

    /// A measure of what it can hold: its size in bytes, unpacked, but at most four times the file's.
    pub fn bytes(&self) -> u64 {
        self.store.worth()
    }

    pub(crate) fn value(&self, id: Id) -> Value<'_> {
        Value { pickle: self, id }
    }

    fn node(&self, id: Id) -> &Node {
        // Ids come from the machine, which never forgets a node.
        self.nodes.get(id.index()).unwrap_or(&Node::None)
    }
}
