//! Downloads one file: request, answer, resumption, checks.

use std::io::Read;

use mmrest_data::{DataError, Result, SourceFile};
use ureq::http::{HeaderMap, StatusCode, header};

use super::client::{Client, no_file, text};
use super::part::{Note, Part};
use super::policy::Stop;
use super::target::{present, record_sha256, recorded};
use super::{Fetched, Policy, Progress, Source, Target};

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

/// Bytes taken at a time.
const PIECE: usize = 1 << 16;

/// Bytes the content is judged by before anything is thrown away for it.
const HEAD: usize = 512;

/// Asks for the file, or for the rest of it, and adds what comes. Without an error all of it is there.
pub(super) fn receive(
    client: &Client,
    target: &Target,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), Stop> {
    let mut request = client.get(&target.url, target.token.as_deref());
    let resumed = part.resumption().is_some();
    if let Some((start, validator)) = part.resumption() {
        request = request
            .header(header::RANGE, format!("bytes={start}-"))
            .header(header::IF_RANGE, validator);
    }
    let answer = client.call(request)?;
    let (parts, body) = answer.into_parts();
    let length = body.content_length();
    let mut reader = body.into_reader();
    let mut first = Vec::new();
    match parts.status {
        StatusCode::PARTIAL_CONTENT if resumed => {
            if let Err(reason) = check_rest(&parts.headers, length, part) {
                part.restart(Note::default())?;
                return Err(Stop::at_once(reason));
            }
        }
        StatusCode::OK => {
            first = head(client, &mut reader)?;
            target.content.check_head(&first).map_err(Stop::Refused)?;
            part.restart(note(&target.url, &parts.headers, length))?;
        }
        StatusCode::RANGE_NOT_SATISFIABLE if resumed => {
            part.restart(Note::default())?;
            return Err(Stop::at_once("the server could not go on (416)"));
        }
        status => return Err(no_file(status, &parts.headers)),
    }
    progress.begin(&target.name(), part.len(), part.note().total);
    part.append(&first)?;
    progress.advance(part.len());
    copy(client, &mut reader, part, progress)?;
    match part.note().total {
        Some(total) if total != part.len() => Err(Stop::passing(format!(
            "the connection ended after {} of {total} bytes",
            part.len()
        ))),
        _ => Ok(()),
    }
}

/// The first bytes of a body, fewer only where it has no more.
fn head(client: &Client, reader: &mut impl Read) -> Result<Vec<u8>, Stop> {
    let mut head = Vec::with_capacity(HEAD);
    let read = reader.take(HEAD as u64).read_to_end(&mut head);
    read.map_err(|error| client.broken(&error))?;
    Ok(head)
}

fn copy(
    client: &Client,
    reader: &mut impl Read,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), Stop> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) => return Err(client.broken(&error)),
        };
        part.append(piece.get(..read).unwrap_or_default())?;
        progress.advance(part.len());
    }
}

fn note(url: &str, headers: &HeaderMap, total: Option<u64>) -> Note {
    let owned = |name| text(headers, name).map(str::to_owned);
    Note {
        url: url.to_owned(),
        etag: owned(header::ETAG),
        last_modified: owned(header::LAST_MODIFIED),
        total,
    }
}

/// Refuses a rest that does not begin where the file ends, or is of another file.
fn check_rest(headers: &HeaderMap, length: Option<u64>, part: &Part) -> Result<(), &'static str> {
    let range = text(headers, header::CONTENT_RANGE).and_then(parse_range);
    let fits = range.is_some_and(|(start, end, total)| {
        start == part.len()
            && Some(total) == part.note().total
            && end.checked_add(1) == Some(total)
            && length.is_none_or(|length| Some(length) == total.checked_sub(start))
    });
    if !fits {
        return Err("the server sent another part than was asked for");
    }
    let etag = text(headers, header::ETAG);
    match (etag, &part.note().etag) {
        (Some(now), Some(then)) if now != then => Err("the file changed on the server"),
        _ => Ok(()),
    }
}

/// `bytes 5-9/10` as (5, 9, 10).
fn parse_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse().ok();
    Some((number(start)?, number(end)?, number(total)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_whole_or_not_at_all() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, 9, 10)));
        for other in [
            "",
            "bytes */10",
            "bytes 5-9/*",
            "5-9/10",
            "bytes -9/10",
            "bytes 5-9",
        ] {
            assert_eq!(parse_range(other), None, "{other}");
        }
    }
}
