//! What is wrong or worth knowing.

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know; nothing has to be done.
    Note,
    /// It changes what is trained on, or makes the file useless.
    Problem,
}

/// One thing that is wrong with a file, or worth knowing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// A stable word for it, such as `not_a_number`.
    pub code: &'static str,
    /// What was found, with counts and the first few ids.
    pub found: String,
    /// What to do about it, or what the program does.
    pub advice: String,
}

impl Finding {
    pub(super) fn problem(
        code: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Problem,
            code,
            found: found.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn note(
        code: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Note,
            ..Self::problem(code, found, advice)
        }
    }
}
