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

/// `3 intervals`, `1 interval`.
pub(crate) fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => match one.strip_suffix('y') {
            Some(stem) => format!("{number} {stem}ies"),
            None => format!("{number} {one}s"),
        },
    }
}

/// The first few of many: `a, b, c, ... (7 more)`.
pub(crate) fn few<T: ToString>(items: &[T], most: usize) -> String {
    let mut listed: Vec<String> = items.iter().take(most).map(ToString::to_string).collect();
    if items.len() > most {
        listed.push(format!("... ({} more)", items.len() - most));
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_lists_read_well() {
        assert_eq!(count(1, "entry"), "1 entry");
        assert_eq!(count(2, "entry"), "2 entries");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(few(&["a", "b", "c"], 2), "a, b, ... (1 more)");
        assert_eq!(few(&["a"], 2), "a");
    }
}
