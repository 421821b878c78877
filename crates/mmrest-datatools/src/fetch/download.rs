//! One file, from asking for it to having it.

use super::answer::receive;
use super::client::Client;
use super::part::Part;
use super::place::{present, record_sha256, recorded};
use super::{Fetched, Policy, Progress, Source, Target};
use mmrest_data::{DataError, Result, SourceFile};

/// Downloads files.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub(super) client: Client,
    pub(super) policy: Policy,
}

impl Fetcher {
    /// With this much patience. Proxies are those of the environment (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    pub fn new(policy: Policy) -> Self {
        Self {
            client: Client::new(policy),
            policy,
        }
    }

    /// Gets a file, unless it is there: of the right content, and of the SHA-256 in `NAME.sha256` if there is one.
    ///
    /// # Errors
    ///
    /// [`DataError::Fetch`] where the server does not give it, or gives something else; what has arrived stays in
    /// `NAME.part` when trying again may help. [`DataError::Io`] where it cannot be written.
    pub fn fetch(&self, target: &Target, progress: &dyn Progress) -> Result<Fetched> {
        if let Some(fetched) = present(target)? {
            return Ok(fetched);
        }
        let mut part = Part::open(target)?;
        let received = self.policy.retry(&target.url, progress, || {
            if part.is_complete() {
                return (part.len(), Ok(()));
            }
            let outcome = receive(&self.client, target, &mut part, progress);
            (part.len(), outcome)
        });
        if let Err(error) = received {
            if part.len() == 0 {
                part.discard();
            }
            return Err(error);
        }
        progress.check(&target.name());
        keep(target, part)
    }
}

/// Checks what has arrived and puts it in its place.
fn keep(target: &Target, part: Part) -> Result<Fetched> {
    let wrong = |reason: String| {
        Err(DataError::Fetch {
            url: target.url.clone(),
            reason,
        })
    };
    part.sync()?;
    if let Err(reason) = target.content.check_file(part.path(), &target.name()) {
        part.discard();
        return wrong(reason);
    }
    let file = SourceFile::read(part.path())?;
    if let Some(expected) = target
        .sha256
        .as_ref()
        .filter(|sha256| **sha256 != file.sha256)
    {
        part.discard();
        return wrong(format!(
            "what arrived has the SHA-256 {}, not {expected}",
            file.sha256
        ));
    }
    let record = recorded(&target.path).filter(|_| !target.force && target.sha256.is_none());
    if let Some(record) = record.filter(|record| *record != file.sha256) {
        return wrong(format!(
            "what arrived has the SHA-256 {}, and {}.sha256 says {record}; it is kept as {}: fetch it by force, or remove the \
             .sha256 file if the server's file has changed",
            file.sha256,
            target.path.display(),
            part.path().display()
        ));
    }
    part.rename(&target.path)?;
    record_sha256(&target.path, &file.sha256)?;
    Ok(Fetched {
        path: target.path.clone(),
        url: target.url.clone(),
        bytes: file.bytes,
        sha256: file.sha256,
        source: Source::Server,
    })
}
