//! The message for data files that are not there: all of them, and where they are to be had.

use std::fmt::Write;
use std::path::Path;

use mmrest_data::text::count;
use mmrest_data::{Download, MissingFiles};
use mmrest_datatools::catalogue::{self, SERVER};

use crate::project::{near, page, program, quoted};

/// Name of a public data set, and the name it has on the command line.
fn names(set: Download) -> Option<(&'static str, &'static str)> {
    match set {
        Download::None => None,
        Download::Mosi => Some(("CMU-MOSI", "mosi")),
        Download::Mosei => Some(("CMU-MOSEI", "mosei")),
        Download::MosiWords => Some(("CMU-MOSI", "mosi-words")),
    }
}

/// Address of a file, going by its name; none for one that has none.
fn address(set: Download, path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    catalogue::find(set, name).map(|file| file.url(SERVER))
}

/// Where a file that cannot be fetched can be had, in words.
fn source(set: Download, path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    let mut files = catalogue::private_files(set).iter();
    files.find(|file| file.name == name).map(|file| file.source)
}

/// Names every missing file, its address where it has one, and the command that downloads it.
pub(crate) fn message(missing: &MissingFiles) -> String {
    let set = missing.download;
    let mut text = format!("{} not found:", count(missing.files.len(), "data file"));
    let mut fetchable = false;
    for path in &missing.files {
        let _ = write!(text, "\n  {}", path.display());
        if let Some(address) = address(set, path) {
            fetchable = true;
            let _ = write!(text, "\n    from {address}");
        } else if let Some(source) = source(set, path) {
            let _ = write!(text, "\n    {source}");
        }
    }
    if let Some((public, key)) = names(set) {
        let _ = write!(
            text,
            "\n{public} is public at {SERVER}/{public}/; its server is slow and often down."
        );
        if fetchable {
            let _ = write!(
                text,
                "\nTo download what has an address: {} data fetch {key}",
                program()
            );
            let _ = write!(text, " --out {}", quoted(&near(&missing.folder)));
        }
    }
    let folder = missing.folder.display();
    if set == Download::MosiWords {
        let _ = write!(
            text,
            "\nGive the folder that has them all by --data DIR, or put them into {folder}; {} says what each \
             holds and how to get it",
            page("data.md")
        );
    } else {
        let _ = write!(text, "\nPut data files into {folder}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn of(folder: &str, names: &[&str], download: Download) -> String {
        let folder = PathBuf::from(folder);
        message(&MissingFiles {
            files: names.iter().map(|name| folder.join(name)).collect(),
            folder,
            download,
        })
    }

    #[test]
    fn of_mosi_words_every_file_is_told_where_it_can_be_had() {
        let names = [
            "CMU_MOSI_Opinion_Labels.csd",
            "CMU_MOSI_ModifiedTimestampedWords.csd",
            "MOSI-label.csv",
            "CMU_MOSI_WordAcoustic.csd",
        ];
        let message = of("data/mosi-words", &names, Download::MosiWords);
        assert_eq!(message.matches("    from ").count(), 2, "{message}");
        assert_eq!(message.matches("    it is ").count(), 2, "{message}");
        for part in [
            "Justin1904/CMU-MultimodalSDK-Tutorials",
            "thuiar/MMSA",
            "declare-lab/contextual-utterance-level",
            "CMU-MOSI/labels/CMU_MOSI_Opinion_Labels.csd",
            "--data DIR",
            "data fetch mosi-words",
            "docs/src/data.md",
        ] {
            assert!(message.contains(part), "{part:?} in {message}");
        }
    }

    #[test]
    fn every_missing_file_is_named_with_where_to_get_it() {
        let names = [
            "CMU_MOSI_Opinion_Labels.csd",
            "CMU_MOSI_TimestampedWords.csd",
            "CMU_MOSI_Visual_Facet_42.csd",
            "CMU_MOSI_COVAREP.csd",
            "label.csv",
        ];
        let message = of("mosi", &names, Download::Mosi);
        for part in [
            "5 data files not found",
            "/CMU-MOSI/labels/CMU_MOSI_Opinion_Labels.csd",
            "/CMU-MOSI/language/CMU_MOSI_TimestampedWords.csd",
            "/CMU-MOSI/visual/CMU_MOSI_Visual_Facet_42.csd",
            "/CMU-MOSI/acoustic/CMU_MOSI_COVAREP.csd",
            "label.csv",
            "data fetch mosi --out mosi",
        ] {
            assert!(message.contains(part), "{part:?} in {message}");
        }
    }
}
