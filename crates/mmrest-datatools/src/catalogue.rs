//! The public files of CMU-MOSI and CMU-MOSEI: where they are and what they hold.
//!
//! ```
//! use mmrest_data::Download;
//! use mmrest_datatools::catalogue;
//!
//! let words = catalogue::find(Download::Mosi, "words").unwrap();
//! assert_eq!(words.name, "CMU_MOSI_TimestampedWords.csd");
//! assert_eq!(
//!     words.url(catalogue::SERVER),
//!     "http://immortal.multicomp.cs.cmu.edu/CMU-MOSI/language/CMU_MOSI_TimestampedWords.csd"
//! );
//! ```

use mmrest_data::Download;

/// The server of the CMU-MultimodalSDK. It speaks no HTTPS, is slow and often down.
pub const SERVER: &str = "http://immortal.multicomp.cs.cmu.edu";

/// A file of a public data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Short name, unique within a data set, such as `facet42`.
    pub key: &'static str,
    /// Folder on the server, such as `CMU-MOSI/visual`.
    pub folder: &'static str,
    /// Name of the file, there and here.
    pub name: &'static str,
    /// Name of its top group; none where it is not known.
    pub root: Option<&'static str>,
    /// What it holds.
    pub about: &'static str,
    /// Its address, where [`SERVER`] does not have it.
    pub elsewhere: Option<&'static str>,
}

impl KnownFile {
    /// Its address: below `base`, which is [`SERVER`] or a mirror laid out as it is; or elsewhere, where the server itself
    /// does not have it.
    pub fn url(&self, base: &str) -> String {
        let base = base.trim_end_matches('/');
        match self.elsewhere {
            Some(address) if base == SERVER => address.to_owned(),
            _ => format!("{base}/{}/{}", self.folder, self.name),
        }
    }
}

/// A file that cannot be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateFile {
    /// Name of the file.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static str,
    /// Where it can be had, or what it is made from, in words.
    pub source: &'static str,
}

const WORDS: &str = "spoken words with their times; sp is a pause";
const PHONES: &str = "spoken phones with their times";
const WORD_VECTORS: &str = "GloVe vectors of the words, 300 features";
const FACET_41: &str = "face by FACET 4.1, frame by frame";
const FACET_42: &str = "face by FACET 4.2, 35 features a frame";
const OPENFACE_1: &str = "face, head pose and gaze by OpenFace 1, frame by frame";
const OPENFACE_2: &str = "face, head pose and gaze by OpenFace 2, frame by frame";
const COVAREP: &str = "voice by COVAREP, 74 features a frame, 100 frames a second";
const OPENSMILE_EB10: &str = "voice by openSMILE, emobase2010 features";
const OPENSMILE_IS09: &str = "voice by openSMILE, Interspeech 2009 features";

/// A file whose top group's name is not known.
const fn file(
    key: &'static str,
    folder: &'static str,
    name: &'static str,
    about: &'static str,
) -> KnownFile {
    KnownFile {
        key,
        folder,
        name,
        root: None,
        about,
        elsewhere: None,
    }
}

/// Sentiment of CMU-MOSI's intervals.
const MOSI_LABELS: KnownFile = KnownFile {
    root: Some("Opinion Segment Labels"),
    ..file(
        "labels",
        "CMU-MOSI/labels",
        "CMU_MOSI_Opinion_Labels.csd",
        "sentiment of every labelled interval, -3 to 3",
    )
};

/// Sentiment and emotions of CMU-MOSEI's intervals.
const MOSEI_LABELS: KnownFile = KnownFile {
    root: Some("All Labels"),
    ..file(
        "labels",
        "CMU-MOSEI/labels",
        "CMU_MOSEI_Labels.csd",
        "sentiment of every labelled interval, -3 to 3, and six emotions",
    )
};

const MOSI: [KnownFile; 11] = [
    MOSI_LABELS,
    file(
        "words",
        "CMU-MOSI/language",
        "CMU_MOSI_TimestampedWords.csd",
        WORDS,
    ),
    file(
        "phones",
        "CMU-MOSI/language",
        "CMU_MOSI_TimestampedPhones.csd",
        PHONES,
    ),
    file(
        "word-vectors",
        "CMU-MOSI/language",
        "CMU_MOSI_TimestampedWordVectors.csd",
        WORD_VECTORS,
    ),
    file(
        "facet41",
        "CMU-MOSI/visual",
        "CMU_MOSI_Visual_Facet_41.csd",
        FACET_41,
    ),
    file(
        "facet42",
        "CMU-MOSI/visual",
        "CMU_MOSI_Visual_Facet_42.csd",
        FACET_42,
    ),
    file(
        "openface1",
        "CMU-MOSI/visual",
        "CMU_MOSI_Visual_OpenFace_1.csd",
        OPENFACE_1,
    ),
    file(
        "openface2",
        "CMU-MOSI/visual",
        "CMU_MOSI_Visual_OpenFace_2.csd",
        OPENFACE_2,
    ),
    file(
        "covarep",
        "CMU-MOSI/acoustic",
        "CMU_MOSI_COVAREP.csd",
        COVAREP,
    ),
    file(
        "opensmile-eb10",
        "CMU-MOSI/acoustic",
        "CMU_MOSI_OpenSmile_EB10.csd",
        OPENSMILE_EB10,
    ),
    file(
        "opensmile-is09",
        "CMU-MOSI/acoustic",
        "CMU_MOSI_openSMILE_IS09.csd",
        OPENSMILE_IS09,
    ),
];

const MOSEI: [KnownFile; 7] = [
    MOSEI_LABELS,
    file(
        "words",
        "CMU-MOSEI/language",
        "CMU_MOSEI_TimestampedWords.csd",
        WORDS,
    ),
    file(
        "phones",
        "CMU-MOSEI/language",
        "CMU_MOSEI_TimestampedPhones.csd",
        PHONES,
    ),
    file(
        "word-vectors",
        "CMU-MOSEI/language",
        "CMU_MOSEI_TimestampedWordVectors.csd",
        WORD_VECTORS,
    ),
    file(
        "facet42",
        "CMU-MOSEI/visual",
        "CMU_MOSEI_VisualFacet42.csd",
        FACET_42,
    ),
    file(
        "openface2",
        "CMU-MOSEI/visual",
        "CMU_MOSEI_VisualOpenFace2.csd",
        OPENFACE_2,
    ),
    file(
        "covarep",
        "CMU-MOSEI/acoustic",
        "CMU_MOSEI_COVAREP.csd",
        COVAREP,
    ),
];

const MOSI_WORDS: [KnownFile; 2] = [
    MOSI_LABELS,
    // An updated copy of the words that comes with the SDK's tutorials.
    KnownFile {
        elsewhere: Some(
            "https://raw.githubusercontent.com/Justin1904/CMU-MultimodalSDK-Tutorials/master/data/\
             CMU_MOSI_ModifiedTimestampedWords.csd",
        ),
        ..file(
            "words",
            "CMU-MOSI/language",
            "CMU_MOSI_ModifiedTimestampedWords.csd",
            WORDS,
        )
    },
];

const MOSI_WORDS_PRIVATE: [PrivateFile; 2] = [
    PrivateFile {
        name: "MOSI-label.csv",
        about: "transcripts, labels and split of 2,199 segments",
        source: "it is the label.csv of CMU-MOSI in MMSA's data sets, on shared drives that \
                 https://github.com/thuiar/MMSA#2-datasets links to",
    },
    PrivateFile {
        name: "CMU_MOSI_WordAcoustic.csd",
        about: "acoustic features, one row a word",
        source: "it is made from the utterance features in \
                 https://github.com/declare-lab/contextual-utterance-level-multimodal-sentiment-analysis",
    },
];

/// The files of a data set that have a public address, labels first.
pub fn public_files(set: Download) -> &'static [KnownFile] {
    match set {
        Download::None => &[],
        Download::Mosi => &MOSI,
        Download::Mosei => &MOSEI,
        Download::MosiWords => &MOSI_WORDS,
    }
}

/// The files of a data set that cannot be fetched.
pub fn private_files(set: Download) -> &'static [PrivateFile] {
    match set {
        Download::MosiWords => &MOSI_WORDS_PRIVATE,
        Download::None | Download::Mosi | Download::Mosei => &[],
    }
}

/// A public file by its key or its name.
///
/// ```
/// use mmrest_data::Download;
/// use mmrest_datatools::catalogue;
///
/// let words = catalogue::find(Download::Mosi, "words").unwrap();
/// assert_eq!(words.name, "CMU_MOSI_TimestampedWords.csd");
/// assert_eq!(catalogue::find(Download::Mosi, words.name), Some(words));
/// assert_eq!(catalogue::find(Download::Mosi, "smell"), None);
/// ```
pub fn find(set: Download, key_or_name: &str) -> Option<&'static KnownFile> {
    let wanted = |file: &&KnownFile| file.key == key_or_name || file.name == key_or_name;
    public_files(set).iter().find(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names_are_unique_and_are_plain_file_names() {
        for set in [Download::Mosi, Download::Mosei, Download::MosiWords] {
            let files = public_files(set);
            for (i, file) in files.iter().enumerate() {
                assert_eq!(
                    std::path::Path::new(file.name).file_name(),
                    Some(file.name.as_ref())
                );
                assert!(
                    files[..i]
                        .iter()
                        .all(|other| other.key != file.key && other.name != file.name)
                );
                assert_eq!(find(set, file.key), Some(file));
                assert_eq!(find(set, file.name), Some(file));
            }
        }
        assert_eq!(find(Download::Mosei, "facet41"), None);
        assert!(public_files(Download::None).is_empty());
    }
}
