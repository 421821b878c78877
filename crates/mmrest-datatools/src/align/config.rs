//! The configuration of an alignment.

use serde::{Deserialize, Serialize};

use super::Collapse;

/// What an alignment does, in the order of the fields; sequences are named by their files' root names.
///
/// ```
/// use mmrest_datatools::align::{AlignConfig, Collapse};
///
/// let config = AlignConfig {
///     collapse: vec![Collapse::Mean],
///     impute: true,
///     then: Some("labels".into()),
///     ..AlignConfig::to("words")
/// };
/// assert_eq!(config.reference, "words");
/// assert!(!config.hard_unify);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignConfig {
    /// The sequence the others are aligned to.
    pub reference: String,
    /// What the rows of a key become; none: they stay as they are. Several stand side by side along the feature axis.
    #[serde(default)]
    pub collapse: Vec<Collapse>,
    /// Whether a key that a sequence lacks becomes a row of zeros.
    #[serde(default)]
    pub impute: bool,
    /// A sequence to align the result to, without collapsing; it takes no part in what comes before.
    #[serde(default)]
    pub then: Option<String>,
    /// Whether only keys are kept that every sequence has.
    #[serde(default)]
    pub hard_unify: bool,
    /// Whether the keys of an id become one entry again; only those that every sequence has.
    #[serde(default)]
    pub revert: bool,
}

impl AlignConfig {
    /// Aligns to `reference`, and no more.
    pub fn to(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            collapse: Vec::new(),
            impute: false,
            then: None,
            hard_unify: false,
            revert: false,
        }
    }
}
