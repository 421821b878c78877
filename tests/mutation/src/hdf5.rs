//! HDF5's own checksums.

use hdf5_writer::jenkins_lookup3;

/// Makes the checksums of a superblock of version 2 or 3 and of object headers of version 2 right again: damage that they
/// give away tests nothing but them.
pub(crate) fn repair(input: &mut [u8]) {
    if input.starts_with(b"\x89HDF\r\n\x1a\n") && matches!(input.get(8), Some(2 | 3)) {
        seal(input, 0, 44);
    }
    let headers: Vec<usize> = (0..input.len().saturating_sub(4))
        .filter(|&at| input[at..].starts_with(b"OHDR\x02"))
        .collect();
    for start in headers {
        if let Some(length) = header_length(&input[start..]) {
            seal(input, start, length);
        }
    }
}

/// Writes the checksum of `length` bytes after them.
fn seal(input: &mut [u8], start: usize, length: usize) {
    let Some(end) = start.checked_add(length) else {
        return;
    };
    let Some(sum) = input.get(start..end).map(jenkins_lookup3) else {
        return;
    };
    if let Some(place) = input.get_mut(end..end + 4) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Bytes of an object header's first chunk before its checksum.
fn header_length(header: &[u8]) -> Option<usize> {
    let flags = *header.get(5)?;
    let times = if flags & 0x20 == 0 { 0 } else { 16 };
    let phases = if flags & 0x10 == 0 { 0 } else { 4 };
    let at = 6 + times + phases;
    let width = 1 << (flags & 3);
    let mut size = [0; 8];
    size[..width].copy_from_slice(header.get(at..at + width)?);
    (at + width).checked_add(usize::try_from(u64::from_le_bytes(size)).ok()?)
}

#[cfg(test)]
mod tests {
    use hdf5_writer::{DatasetBuilder, Hdf5Builder, WriteOptions};

    use super::*;

    #[test]
    fn a_whole_file_stays_as_it_is() {
        let dataset = DatasetBuilder::typed_data("a/x", vec![3], &[1.0_f32, 2.0, 3.0]).unwrap();
        let plan = Hdf5Builder::new().dataset(dataset).into_plan().unwrap();
        let file = plan.encode(WriteOptions::default()).unwrap();
        let mut repaired = file.clone();
        repair(&mut repaired);
        assert_eq!(repaired, file);
        let header = (0..file.len())
            .rfind(|&at| file[at..].starts_with(b"OHDR\x02"))
            .unwrap();
        let mut spoilt = file.clone();
        spoilt[header + 8] ^= 1;
        let before = spoilt.clone();
        repair(&mut spoilt);
        assert_ne!(spoilt, before, "the checksum follows the change");
    }
}
