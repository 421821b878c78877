//! Asks the Hugging Face hub about a file without downloading it.

use ureq::http::{HeaderMap, StatusCode, header};

use super::client::{no_file, text};
use super::policy::Stop;
use super::target::is_sha256;
use super::{Fetcher, Progress};
use mmrest_data::Result;

/// Most redirects within the hub, as for a renamed model.
const REDIRECTS: usize = 5;

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// Where on the hub the file is, after redirects within it: those are followed with the token, others never.
    pub(super) url: String,
    /// Version of the model the file belongs to (`x-repo-commit`).
    pub(super) commit: Option<String>,
    /// SHA-256 of a large file (`x-linked-etag`).
    pub(super) sha256: Option<String>,
}

impl Known {
    fn note(&mut self, headers: &HeaderMap) {
        let value = |name: &str| text(headers, name).map(|text| text.trim().trim_matches('"'));
        let plain = |text: &&str| text.bytes().all(|c| c.is_ascii_alphanumeric());
        if let Some(commit) = value("x-repo-commit").filter(plain) {
            self.commit = Some(commit.to_owned());
        }
        if let Some(sha256) = value("x-linked-etag").filter(|tag| is_sha256(tag)) {
            self.sha256 = Some(sha256.to_owned());
        }
    }
}

/// Asks for a file's first byte. The hub answers itself, or redirects to where the file is stored and tells then what
/// it knows; redirects within the hub are followed, others are not. None: there is no such file.
pub(super) fn probe(
    fetcher: &Fetcher,
    url: &str,
    token: Option<&str>,
    progress: &dyn Progress,
) -> Result<Option<Known>> {
    fetcher
        .policy
        .retry(url, progress, || (0, ask(fetcher, url, token)))
}

fn ask(fetcher: &Fetcher, url: &str, token: Option<&str>) -> Result<Option<Known>, Stop> {
    let mut known = Known {
        url: url.to_owned(),
        ..Known::default()
    };
    for _ in 0..=REDIRECTS {
        let request = fetcher.client.get_here(&known.url, token);
        let answer = fetcher
            .client
            .call(request.header(header::RANGE, "bytes=0-0"))?;
        let headers = answer.headers();
        known.note(headers);
        match answer.status() {
            // An empty file has no first byte.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                return Ok(Some(known));
            }
            StatusCode::NOT_FOUND => return Ok(None),
            status if status.is_redirection() => {
                let Some(location) = text(headers, header::LOCATION) else {
                    return Err(Stop::Refused("the server redirects to nowhere".to_owned()));
                };
                match within(&known.url, location) {
                    Some(next) => known.url = next,
                    None => return Ok(Some(known)),
                }
            }
            status => return Err(no_file(status, headers)),
        }
    }
    Err(Stop::Refused(format!(
        "the server redirects more than {REDIRECTS} times"
    )))
}

/// The address of a redirect that names no host.
fn within(url: &str, location: &str) -> Option<String> {
    if !location.starts_with('/') || location.starts_with("//") {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    Some(format!("{scheme}://{host}{location}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_would_lead_out_of_its_folder_is_none() {
        for name in ["../x", "a/b", "a\\b", "/etc", "C:", "..", "%2e%2e", "a b"] {
            let mut headers = HeaderMap::new();
            headers.insert("x-repo-commit", name.parse().unwrap());
            headers.insert("x-linked-etag", name.parse().unwrap());
            let mut known = Known::default();
            known.note(&headers);
            assert_eq!(known, Known::default(), "{name}");
        }
    }

    #[test]
    fn only_redirects_without_a_host_are_within() {
        let url = "http://hub:80/a/b";
        assert_eq!(
            within(url, "/c?d=1").as_deref(),
            Some("http://hub:80/c?d=1")
        );
        for other in ["//evil/c", "http://evil/c", "c", ""] {
            assert_eq!(within(url, other), None, "{other}");
        }
    }
}
