//! Strings of any length, in one global heap collection.

use std::io::{self, Seek, Write};

use super::Sink;
use super::encode::{Put, padded};
use super::header::{self, Layout, REFERENCE, invalid};

/// A collection is not smaller.
const SMALLEST: usize = 4096;

/// Bytes before the first object, and before each.
const HEAD: usize = 16;

impl<W: Write + Seek> Sink<W> {
    /// Writes datasets of one UTF-8 string each, shape (1,), by path.
    pub(crate) fn strings<'a>(
        &mut self,
        items: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> io::Result<()> {
        let mut objects = Vec::new();
        let mut datasets = Vec::new();
        for (path, text) in items {
            let number = u16::try_from(datasets.len() + 1)
                .map_err(|_| invalid("more than 65,535 strings"))?;
            let length = u32::try_from(text.len()).map_err(|_| invalid("a string over 4 GiB"))?;
            let object = objects.u16(number).u16(0).u32(0).u64(length.into());
            objects = padded(object.put(text.as_bytes()));
            datasets.push((path, length, number));
        }
        if datasets.is_empty() {
            return Ok(());
        }
        let collection = self.block(&collection(&objects))?;
        for (path, length, number) in datasets {
            let reference = Vec::new().u32(length).u64(collection).u32(number.into());
            let address = self.block(&reference)?;
            let layout = Layout::Contiguous {
                address,
                size: REFERENCE.into(),
            };
            let header = self.block(&header::dataset(&header::variable_text(), &[1], &layout)?)?;
            self.link(path, header)?;
        }
        Ok(())
    }
}

/// The objects between the collection's head and the object numbered 0, which is the free space.
fn collection(objects: &[u8]) -> Vec<u8> {
    let size = (HEAD + objects.len() + HEAD).max(SMALLEST);
    let free = size - HEAD - objects.len();
    let head = b"GCOL".to_vec().u32(1).u64(size as u64);
    let mut collection = head.put(objects).u64(0).u64(free as u64);
    collection.resize(size, 0);
    collection
}
