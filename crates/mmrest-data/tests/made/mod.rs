//! Pickles by hand: values as protocol 2 and 3 write them.

pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [b"X", length.as_slice(), text.as_bytes()].concat()
}

pub(crate) fn number(number: f64) -> Vec<u8> {
    [b"G".as_slice(), &number.to_be_bytes()].concat()
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [b"](".to_vec(), items.concat(), b"e".to_vec()].concat()
}

pub(crate) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = items
        .iter()
        .map(|(key, value)| [text(key), value.clone()].concat());
    [
        b"}(".to_vec(),
        items.collect::<Vec<_>>().concat(),
        b"u".to_vec(),
    ]
    .concat()
}

/// f4 values of a shape.
pub(crate) fn array(shape: &[u32], values: &[f32]) -> Vec<u8> {
    let extent = |extent: &u32| [b"J".as_slice(), &extent.to_le_bytes()].concat();
    let extents: Vec<u8> = shape.iter().flat_map(extent).collect();
    let data: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut bytes =
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01("
            .to_vec();
    bytes.extend(extents);
    bytes.extend(b"tcnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B");
    bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(data);
    bytes.extend(b"tb");
    bytes
}

pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x03".as_slice(), value, b"."].concat()
}
