//! Writes checks as text, one line per check.

use std::fmt::{self, Display, Formatter};

use super::{Outcome, Verification};

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
