//! What a file is by its first bytes: the containers that data sets come in or are mistaken for.

use std::io::{self, BufReader, Read, Write};

/// A file that is not the data itself: compressed, an archive, or another program's format.
///
/// ```
/// use mmrest_data::container::Container;
///
/// let found = Container::of(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0d\0\0\0xl/styles.xml").unwrap();
/// assert_eq!(found.what(), "an Excel workbook");
/// assert_eq!(Container::of(b"video_id,clip_id"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// Compressed by gzip.
    Gzip,
    /// Compressed by xz.
    Xz,
    /// Compressed by bzip2.
    Bzip2,
    /// Compressed by Zstandard.
    Zstd,
    /// A 7z archive.
    SevenZip,
    /// A RAR archive.
    Rar,
    /// A ZIP archive.
    Zip,
    /// Written by `torch.save`: a ZIP archive, or the pickles of PyTorch before 1.6.
    Torch,
    /// NumPy's `.npy` or `.npz`.
    Numpy,
    /// A workbook: `.xlsx`, or the older `.xls`.
    Workbook,
    /// HDF5.
    Hdf5,
    /// Parquet.
    Parquet,
    /// MATLAB before 7.3.
    Matlab,
    /// Git LFS's stand-in for a large file.
    LfsPointer,
    /// A web page.
    WebPage,
    /// Text in UTF-16.
    Utf16,
    /// A video or sound recording.
    Recording,
}

/// The magic number that PyTorch before 1.6 begins its files with, as a pickle of protocol 2.
const OLD_TORCH: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Bytes that decide.
pub const HEAD: usize = 4096;

impl Container {
    /// Tells by the first bytes, up to [`HEAD`] of them.
    pub fn of(head: &[u8]) -> Option<Self> {
        let begins = |with: &[u8]| head.starts_with(with);
        let known: [(&[u8], Self); 18] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"BZh", Self::Bzip2),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (b"7z\xbc\xaf\x27\x1c", Self::SevenZip),
            (b"Rar!\x1a\x07", Self::Rar),
            (OLD_TORCH, Self::Torch),
            (b"\x93NUMPY", Self::Numpy),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Self::Workbook),
            (b"\x89HDF\r\n\x1a\n", Self::Hdf5),
            (b"PAR1", Self::Parquet),
            (b"MATLAB 5.0", Self::Matlab),
            (b"version https://git-lfs", Self::LfsPointer),
            (b"\xff\xfe", Self::Utf16),
            (b"\xfe\xff", Self::Utf16),
            (b"OggS", Self::Recording),
            (b"ID3", Self::Recording),
            (b"fLaC", Self::Recording),
        ];
        if let Some(&(_, found)) = known.iter().find(|(with, _)| begins(with)) {
            return Some(found);
        }
        if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") {
            return Some(zip(head));
        }
        let kind = head.get(8..12);
        if head.get(4..8) == Some(b"ftyp")
            || begins(b"RIFF") && matches!(kind, Some(b"WAVE" | b"AVI "))
            || begins(b"\x1a\x45\xdf\xa3")
        {
            return Some(Self::Recording);
        }
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let start = head.get(..head.len().min(200)).unwrap_or_default();
        let start = start.trim_ascii_start().to_ascii_lowercase();
        let page = start.starts_with(b"<!doctype html") || start.starts_with(b"<html");
        page.then_some(Self::WebPage)
    }

    /// The first bytes of what a gzip or xz file holds; of any other file nothing.
    ///
    /// # Errors
    ///
    /// Those of reading and unpacking.
    pub fn peek(self, packed: impl Read) -> io::Result<Vec<u8>> {
        let packed = BufReader::with_capacity(1 << 16, packed);
        let mut head = Vec::new();
        let most = HEAD as u64;
        match self {
            Self::Gzip => flate2::bufread::MultiGzDecoder::new(packed)
                .take(most)
                .read_to_end(&mut head)?,
            Self::Xz => lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_KIB)
                .take(most)
                .read_to_end(&mut head)?,
            _ => 0,
        };
        Ok(head)
    }

    /// What it is, to follow "is" or stand alone.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Gzip => "compressed by gzip",
            Self::Xz => "compressed by xz",
            Self::Bzip2 => "compressed by bzip2",
            Self::Zstd => "compressed by Zstandard",
            Self::SevenZip => "a 7z archive",
            Self::Rar => "a RAR archive",
            Self::Zip => "a ZIP archive",
            Self::Torch => "saved by torch.save",
            Self::Numpy => "saved by numpy.save or numpy.savez",
            Self::Workbook => "an Excel workbook",
            Self::Hdf5 => "an HDF5 file",
            Self::Parquet => "a Parquet file",
            Self::Matlab => "a MATLAB file",
            Self::LfsPointer => "Git LFS's pointer to the file, not the file",
            Self::WebPage => "a web page, saved under this name",
            Self::Utf16 => "text in UTF-16",
            Self::Recording => "a recording, not features of one",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Gzip => "unpack it first: gunzip -k FILE (of a .tar.gz: tar xzf FILE)",
            Self::Xz => "unpack it first: xz -dk FILE (of a .tar.xz: tar xJf FILE)",
            Self::Bzip2 => "unpack it first: bunzip2 -k FILE",
            Self::Zstd => "unpack it first: zstd -d FILE",
            Self::SevenZip => "unpack it first: 7z x FILE",
            Self::Rar => "unpack it first: unrar x FILE",
            Self::Zip => "unpack it first: unzip FILE",
            Self::Torch => {
                "load it with torch and write its arrays (tensor.numpy()) with pickle.dump(..., protocol=4)"
            }
            Self::Numpy => {
                "load it with numpy and write its arrays with pickle.dump(..., protocol=4)"
            }
            Self::Workbook => "save it as CSV UTF-8",
            Self::Hdf5 => {
                "a packed set is of kind \"packed\", computational sequences of kind \"sdk\""
            }
            Self::Parquet => "load it with pandas and write it with to_csv",
            Self::Matlab => {
                "load it with scipy.io.loadmat and write its arrays with pickle.dump(..., protocol=4)"
            }
            Self::LfsPointer => "run 'git lfs pull' where it was cloned",
            Self::WebPage => {
                "download the file again; its server answered with a page (an error, or a question to confirm)"
            }
            Self::Utf16 => "save it as UTF-8 (in Excel: CSV UTF-8)",
            Self::Recording => {
                "extract features from it first (words with times, facial and acoustic features)"
            }
        }
    }

    /// Both in one sentence.
    pub fn sentence(self) -> String {
        format!("{}: {}", self.what(), self.advice())
    }
}

/// Tells ZIP archives apart by the names of their first entries.
fn zip(head: &[u8]) -> Container {
    let holds = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    if holds(b"xl/") || holds(b"[Content_Types].xml") {
        return Container::Workbook;
    }
    if holds(b"/data.pkl") || holds(b"/.format_version") {
        return Container::Torch;
    }
    let length = match (head.get(26), head.get(27)) {
        (Some(&low), Some(&high)) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let first = head.get(30..30 + length).unwrap_or_default();
    if first.ends_with(b".npy") {
        return Container::Numpy;
    }
    Container::Zip
}

/// How many times its size a compressed file may unpack to; features compress to a half, padding to much less.
const EXPANSION: u64 = 256;

/// KiB that a decoder may hold: the dictionary of `xz -9` is 64 MiB.
const XZ_KIB: u32 = 96 << 10;

/// Unpacks a gzip or xz file of `bytes` bytes; anything else is none.
///
/// Refuses what becomes more than 256 times as long.
pub(crate) fn unpack(
    container: Container,
    packed: impl Read,
    bytes: u64,
    into: &mut impl Write,
) -> io::Result<bool> {
    let packed = BufReader::with_capacity(1 << 16, packed);
    let most = bytes.saturating_mul(EXPANSION);
    let unpacked = match container {
        Container::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(packed);
            io::copy(&mut decoder.take(most + 1), into)?
        }
        Container::Xz => {
            let decoder = lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_KIB);
            io::copy(&mut decoder.take(most + 1), into)?
        }
        _ => return Ok(false),
    };
    if unpacked > most {
        let reason = format!("it unpacks to more than {EXPANSION} times its size");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(name: &str) -> Vec<u8> {
        let mut head = b"PK\x03\x04".to_vec();
        head.extend([0; 22]);
        head.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        head.extend([0; 2]);
        head.extend(name.bytes());
        head.extend([0; 100]);
        head
    }

    #[test]
    fn archives_are_told_apart_by_what_is_in_them() {
        for (name, kind) in [
            ("archive/data.pkl", Container::Torch),
            ("vision.npy", Container::Numpy),
            ("[Content_Types].xml", Container::Workbook),
            ("MOSI/label.csv", Container::Zip),
        ] {
            assert_eq!(Container::of(&archive(name)), Some(kind), "{name}");
        }
        assert_eq!(Container::of(b"PK\x05\x06"), Some(Container::Zip));
        assert_eq!(Container::of(OLD_TORCH), Some(Container::Torch));
        assert_eq!(
            Container::of(b"\0\0\0\x20ftypisom"),
            Some(Container::Recording)
        );
        assert_eq!(Container::of(b"\x80\x04\x95"), None);
    }

    #[test]
    fn what_grows_without_measure_is_refused() {
        let mut packed = Vec::new();
        let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::best());
        encoder.write_all(&vec![0; 4 << 20]).unwrap();
        encoder.finish().unwrap();
        let bytes = packed.len() as u64;
        let refused = unpack(Container::Gzip, packed.as_slice(), bytes, &mut io::sink());
        assert!(refused.unwrap_err().to_string().contains("256 times"));
        let mut out = Vec::new();
        assert!(!unpack(Container::Zip, packed.as_slice(), bytes, &mut out).unwrap());
        assert!(unpack(Container::Xz, packed.as_slice(), bytes, &mut out).is_err());
    }
}
