//! How an error that ends the program is told.

use std::io::ErrorKind;

use mmrest_data::DataError;
use mmrest_learner::LearnerError;

/// The error and its causes in one line; a cause that is already told by what stands before it is not told again.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(words) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told += &format!(": {cause}");
        }
    }
    told
}

/// What one error says, with the program's own words for data files that are not there.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let data = match error.downcast_ref() {
        Some(LearnerError::Data(data)) => Some(data),
        _ => error.downcast_ref::<DataError>(),
    };
    match data {
        Some(DataError::Missing(missing)) => crate::commands::data::missing::message(missing),
        _ => error.to_string(),
    }
}

/// Whether an error is that nobody reads the output any more, as in `predict ... | head`: the end, not a failure.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}

/// Whether an error is that the user asked to stop.
pub(crate) fn was_asked_for(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().map(|cause| cause.downcast_ref());
    causes.any(|cause| matches!(cause, Some(DataError::Stopped)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn gone() -> std::io::Error {
        std::io::Error::new(ErrorKind::NotFound, "it is gone")
    }

    #[test]
    fn every_cause_is_told_once() {
        let path = std::path::PathBuf::from("a.csd");
        let data = DataError::Io {
            path: path.clone(),
            source: gone(),
        };
        let own = LearnerError::Io {
            action: "read",
            path,
            source: gone(),
        };
        for (error, told) in [
            (LearnerError::from(data), "a.csd: it is gone"),
            (own, "cannot read a.csd: it is gone"),
        ] {
            assert_eq!(sentence(&error.into()), told);
        }
        let error = Err::<(), _>(gone()).context("cannot start").unwrap_err();
        assert_eq!(sentence(&error), "cannot start: it is gone");
    }

    #[test]
    fn being_stopped_is_known_below_its_context() {
        let stopped = anyhow::Error::from(DataError::Stopped).context("cannot import");
        assert!(was_asked_for(&stopped));
        assert!(!was_asked_for(&gone().into()));
    }

    #[test]
    fn a_closed_pipe_is_known_below_its_context() {
        let broken = std::io::Error::from(ErrorKind::BrokenPipe);
        let error = anyhow::Error::from(broken).context("cannot write the output");
        assert!(reader_is_gone(&error));
        assert!(!reader_is_gone(&gone().into()));
    }
}
