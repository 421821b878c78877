//! Verifies that a data set is the published one: counts, folds, checksums, agreement between its files.
//!
//! ```
//! use mmrest_datatools::verify::{Known, Outcome, verify};
//!
//! # fn main() -> mmrest_data::Result<()> {
//! let folder = tempfile::tempdir().unwrap();
//! let verification = verify(Known::from_name("mosi")?, folder.path(), None)?;
//! assert!(!verification.as_known(), "the folder is empty");
//! assert_eq!(verification.checks[0].outcome, Outcome::Differs);
//! # Ok(())
//! # }
//! ```

mod agreement;
mod known;
mod sequences;
mod videos;

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use serde::Serialize;

use mmrest_data::folds::Folds;
use mmrest_data::{DataError, Result};

pub use known::Known;

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As known.
    Ok,
    /// Not as known.
    Differs,
    /// The folder does not hold what is needed, or nothing certain is known.
    CannotBeChecked,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What is here.
    pub found: String,
    /// What is known; empty where nothing is.
    pub expected: String,
    /// Which ids, why, or what to make of it; often empty.
    pub detail: String,
}

/// All checks of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The data set.
    pub set: Known,
    /// Its folder.
    pub dir: PathBuf,
    /// In the order they were made.
    pub checks: Vec<Check>,
}

impl Verification {
    /// Whether nothing differs from what is known.
    pub fn as_known(&self) -> bool {
        self.differences().next().is_none()
    }

    /// The checks that differ.
    pub fn differences(&self) -> impl Iterator<Item = &Check> {
        let checks = self.checks.iter();
        checks.filter(|check| check.outcome == Outcome::Differs)
    }
}

/// Checks a folder.
///
/// ```
/// use mmrest_datatools::verify::{Known, verify};
///
/// let folder = tempfile::tempdir().unwrap(); // without any file of CMU-MOSI
/// let found = verify(Known::Mosi, folder.path(), None)?;
/// assert!(!found.as_known());
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// `folds` are the set's standard folds, where they are at hand ([`Known::folds`] names the file).
///
/// # Errors
///
/// [`DataError::Io`] when the folder cannot be read. A file that is not there or is damaged is a check that differs.
pub fn verify(set: Known, dir: &Path, folds: Option<&Folds>) -> Result<Verification> {
    std::fs::read_dir(dir).map_err(|error| DataError::io(dir, error))?;
    let mut checks = Checks::default();
    match set {
        Known::Mosi | Known::MosiWords | Known::Mosei => {
            sequences::check(&mut checks, set, dir, folds);
        }
        Known::MosiMmsa | Known::MoseiMmsa | Known::Sims => {
            videos::check_release(&mut checks, set, dir, folds);
        }
    }
    Ok(Verification {
        set,
        dir: dir.to_path_buf(),
        checks: checks.0,
    })
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Differs => "differs",
            Self::CannotBeChecked => "cannot be checked",
        })
    }
}

impl Display for Verification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}", self.set.name(), self.dir.display())?;
        for check in &self.checks {
            write!(f, "{:17}  {}: {}", check.outcome, check.name, check.found)?;
            if check.outcome != Outcome::Ok && !check.expected.is_empty() {
                write!(f, ", expected {}", check.expected)?;
            }
            if !check.detail.is_empty() {
                write!(f, " ({})", check.detail)?;
            }
            writeln!(f)?;
        }
        let [ok, differs, open] = [Outcome::Ok, Outcome::Differs, Outcome::CannotBeChecked]
            .map(|outcome| self.checks.iter().filter(|c| c.outcome == outcome).count());
        writeln!(
            f,
            "{ok} as known, {differs} different, {open} that cannot be checked"
        )
    }
}

/// The list being made.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn push(
        &mut self,
        outcome: Outcome,
        name: &str,
        found: String,
        expected: String,
    ) -> &mut Check {
        self.0.push(Check {
            name: name.to_owned(),
            outcome,
            found,
            expected,
            detail: String::new(),
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Ok where both read the same.
    fn equal(&mut self, name: &str, found: impl ToString, expected: impl ToString) -> &mut Check {
        let (found, expected) = (found.to_string(), expected.to_string());
        let outcome = if found == expected {
            Outcome::Ok
        } else {
            Outcome::Differs
        };
        self.push(outcome, name, found, expected)
    }

    /// Ok where there are at most so many.
    fn at_most(&mut self, name: &str, found: usize, most: usize) -> &mut Check {
        let outcome = if found <= most {
            Outcome::Ok
        } else {
            Outcome::Differs
        };
        self.push(outcome, name, found.to_string(), format!("at most {most}"))
    }

    fn differs(&mut self, name: &str, found: impl ToString, expected: impl ToString) {
        let (found, expected) = (found.to_string(), expected.to_string());
        self.push(Outcome::Differs, name, found, expected);
    }

    fn unknown(&mut self, name: &str, found: impl ToString, why: impl ToString) {
        let check = self.push(
            Outcome::CannotBeChecked,
            name,
            found.to_string(),
            String::new(),
        );
        check.detail = why.to_string();
    }
}
