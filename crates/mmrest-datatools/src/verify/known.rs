//! Known facts of published data sets.

use serde::Serialize;

use mmrest_data::{DataError, Result};

/// A data set something is known of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Known {
    /// CMU-MOSI, the SDK's computational sequences.
    Mosi,
    /// The same with transcripts and splits from the processed release's table.
    MosiWords,
    /// CMU-MOSEI, the SDK's computational sequences.
    Mosei,
    /// CMU-MOSI as MMSA released it.
    MosiMmsa,
    /// CMU-MOSEI as MMSA released it.
    MoseiMmsa,
    /// CH-SIMS as MMSA released it.
    Sims,
}

/// A released file and the SHA-256 of its bytes.
pub(super) type Release = (&'static str, &'static str);

impl Known {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Mosi,
        Self::MosiWords,
        Self::Mosei,
        Self::MosiMmsa,
        Self::MoseiMmsa,
        Self::Sims,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mosi => "mosi",
            Self::MosiWords => "mosi-words",
            Self::Mosei => "mosei",
            Self::MosiMmsa => "mosi-mmsa",
            Self::MoseiMmsa => "mosei-mmsa",
            Self::Sims => "sims",
        }
    }

    /// The data set of this name.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownSet`], naming those there are.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|set| set.name() == name);
        known.ok_or_else(|| DataError::UnknownSet {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }

    /// Name of its standard folds (`mosi` for `data/folds/mosi.json`), where it has some.
    pub const fn folds(self) -> Option<&'static str> {
        match self {
            Self::Mosi | Self::MosiWords | Self::MosiMmsa => Some("mosi"),
            Self::Mosei | Self::MoseiMmsa => Some("mosei"),
            Self::Sims => None,
        }
    }

    /// The label sequence.
    pub(super) const fn labels(self) -> &'static str {
        match self {
            Self::Mosei | Self::MoseiMmsa => "CMU_MOSEI_Labels.csd",
            _ => "CMU_MOSI_Opinion_Labels.csd",
        }
    }

    /// Videos of its label sequence, and labelled intervals.
    pub(super) const fn labelled(self) -> Option<[usize; 2]> {
        match self {
            Self::Mosi | Self::MosiWords => Some([93, 2199]),
            _ => None,
        }
    }

    /// Labelled intervals that are known to have no length.
    pub(super) const fn zero_length(self) -> &'static [&'static str] {
        match self {
            Self::Mosi | Self::MosiWords => &["2WGyTLYerpo[43]"],
            _ => &[],
        }
    }

    /// Segments of the processed release: train, valid, test.
    pub(super) const fn released(self) -> [usize; 3] {
        match self {
            Self::Mosi | Self::MosiWords | Self::MosiMmsa => [1284, 229, 686],
            Self::Mosei | Self::MoseiMmsa => [16_326, 1871, 4659],
            Self::Sims => [1368, 456, 457],
        }
    }

    /// Videos of its standard folds: train, valid, test.
    pub(super) const fn fold_sizes(self) -> Option<[usize; 3]> {
        match self {
            Self::Mosi | Self::MosiWords | Self::MosiMmsa => Some([52, 10, 31]),
            Self::Mosei | Self::MoseiMmsa => Some([2249, 300, 678]),
            Self::Sims => None,
        }
    }

    /// The released pickles.
    pub(super) const fn pickles(self) -> &'static [Release] {
        match self {
            Self::MosiMmsa => &[
                (
                    "unaligned_50.pkl",
                    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524",
                ),
                (
                    "aligned_50.pkl",
                    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9",
                ),
            ],
            Self::MoseiMmsa => &[
                (
                    "unaligned_50.pkl",
                    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f",
                ),
                (
                    "aligned_50.pkl",
                    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791",
                ),
            ],
            Self::Sims => &[(
                "unaligned_39.pkl",
                "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f",
            )],
            _ => &[],
        }
    }

    /// What is known of who speaks in which video.
    pub(super) const fn speakers(self) -> &'static str {
        match self {
            Self::Mosi | Self::MosiWords | Self::MosiMmsa => {
                "its authors count 89 speakers in 93 videos, but no file says which videos share one: here a video is taken for a speaker, so that keeping videos apart is all that can be checked"
            }
            _ => "no file says who speaks: keeping videos apart is all that can be checked",
        }
    }
}
