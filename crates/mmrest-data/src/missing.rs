//! The message for files that are not there: all of them, and where they are to be had.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Download;

/// The server of the CMU-MultimodalSDK. It speaks no HTTPS, is slow and often down.
const SERVER: &str = "http://immortal.multicomp.cs.cmu.edu";

/// Folders of the server and what the names of their files contain, after `CMU_MOSI_` or `CMU_MOSEI_`.
const FOLDERS: [(&str, &[&str]); 4] = [
    ("language", &["TimestampedWord", "TimestampedPhones"]),
    ("visual", &["Visual"]),
    ("acoustic", &["COVAREP", "OpenSmile", "openSMILE"]),
    ("labels", &["Label"]),
];

/// Files a configuration names that are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFiles {
    /// All that are missing.
    pub files: Vec<PathBuf>,
    /// The folder the data files belong into.
    pub folder: PathBuf,
    /// The public data set they are part of.
    pub download: Download,
}

impl Download {
    /// Name of the data set and address of its public files.
    fn public(self) -> Option<(&'static str, String)> {
        let name = match self {
            Self::None => return None,
            Self::Mosi | Self::MosiWords => "CMU-MOSI",
            Self::Mosei => "CMU-MOSEI",
        };
        Some((name, format!("{SERVER}/{name}")))
    }

    /// Where on the server a file is, going by its name; none for a file that is not there.
    fn server_folder(self, path: &Path) -> Option<&'static str> {
        let name = path.file_name()?.to_str()?;
        if !name.starts_with("CMU_MOS") {
            return None;
        }
        let known = |&&(_, parts): &&(_, &[&str])| parts.iter().any(|part| name.contains(part));
        let (folder, _) = FOLDERS.iter().find(known)?;
        (self != Self::MosiWords || *folder == "labels").then_some(folder)
    }
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.files.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "{count} data file{s} not found:")?;
        let public = self.download.public();
        for path in &self.files {
            write!(f, "\n  {}", path.display())?;
            if let (Some((_, base)), Some(folder)) = (&public, self.download.server_folder(path)) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                write!(f, "\n    from {base}/{folder}/{name}")?;
            } else if self.download == Download::MosiWords {
                write!(f, "\n    has no public address known to this program")?;
            }
        }
        if let Some((name, base)) = public {
            write!(
                f,
                "\n{name} is public at {base}/; its server is slow and often down."
            )?;
        }
        let folder = self.folder.display();
        if self.download == Download::MosiWords {
            return write!(
                f,
                "\nGive the folder that has them all by --data DIR, or put them into {folder}; docs/src/data.md says what \
                 each holds"
            );
        }
        write!(f, "\nPut data files into {folder}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_mosi_words_only_the_labels_have_an_address() {
        let folder = PathBuf::from("data/mosi-words");
        let names = [
            "CMU_MOSI_Opinion_Labels.csd",
            "CMU_MOSI_ModifiedTimestampedWords.csd",
            "MOSI-label.csv",
            "CMU_MOSI_WordAcoustic.csd",
        ];
        let missing = MissingFiles {
            files: names.map(|name| folder.join(name)).to_vec(),
            folder,
            download: Download::MosiWords,
        };
        let message = missing.to_string();
        assert_eq!(message.matches("    from ").count(), 1, "{message}");
        assert_eq!(message.matches("no public address").count(), 3, "{message}");
        for part in [
            "CMU-MOSI/labels/CMU_MOSI_Opinion_Labels.csd",
            "--data DIR",
            "docs/src/data.md",
        ] {
            assert!(message.contains(part), "{part:?} in {message}");
        }
    }
}
