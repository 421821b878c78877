//! The message for files that are not there: all of them, and where they are to be had.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Download;
use crate::catalogue::{self, SERVER};
use crate::inspect::count;

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
    /// Name of the public data set.
    fn public(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Mosi | Self::MosiWords => Some("CMU-MOSI"),
            Self::Mosei => Some("CMU-MOSEI"),
        }
    }

    /// Its name in configurations and on the command line.
    fn key(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Mosi => "mosi",
            Self::Mosei => "mosei",
            Self::MosiWords => "mosi-words",
        }
    }

    /// Address of a file, going by its name; none for one that has none.
    fn address(self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_str()?;
        catalogue::find(self, name).map(|file| file.url(SERVER))
    }
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not found:", count(self.files.len(), "data file"))?;
        let mut fetchable = false;
        for path in &self.files {
            write!(f, "\n  {}", path.display())?;
            if let Some(address) = self.download.address(path) {
                fetchable = true;
                write!(f, "\n    from {address}")?;
            } else if self.download == Download::MosiWords {
                write!(f, "\n    has no public address known to this program")?;
            }
        }
        if let Some(name) = self.download.public() {
            write!(
                f,
                "\n{name} is public at {SERVER}/{name}/; its server is slow and often down."
            )?;
        }
        if fetchable {
            let key = self.download.key();
            write!(
                f,
                "\nTo download what has an address: cargo xtask data fetch {key}"
            )?;
            if !self.folder.ends_with(Path::new("data").join(key)) {
                write!(f, " --out {}", self.folder.display())?;
            }
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
            "cargo xtask data fetch mosi-words",
            "docs/src/data.md",
        ] {
            assert!(message.contains(part), "{part:?} in {message}");
        }
    }
}
