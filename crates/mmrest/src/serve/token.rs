//! The token that clients must send, where the server has one.

use std::path::Path;

use anyhow::{Context, Result, bail};
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

/// The least and the most bytes of a token.
const BYTES: std::ops::RangeInclusive<usize> = 16..=1024;

/// A secret that all requests must carry as `Authorization: Bearer TOKEN`.
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the token that a file consists of.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds something else.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let token = text.trim();
        if !BYTES.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "{}: is no token: write {} to {} letters, digits or signs into it, as by 'openssl rand -hex 32'",
                path.display(),
                BYTES.start(),
                BYTES.end()
            );
        }
        if others_can_read(path) {
            tracing::warn!(
                "{}: other users of this machine can read the token: 'chmod 600' it",
                path.display()
            );
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether a request carries it. How long the comparison takes tells nothing of the token but its length.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(self.0.as_bytes().ct_eq(token))
    }
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let about = path.metadata();
    about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Token> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        Token::read(&path)
    }

    #[test]
    fn a_token_is_the_file_s_only_word_and_of_some_length() {
        let token = read("0123456789abcdef\n").unwrap();
        assert!(!format!("{token:?}").contains("0123"));
        for none in [
            "",
            "\n",
            "too short",
            "0123456789 abcdef",
            "0123456789abcdefä",
        ] {
            let told = read(none).unwrap_err().to_string();
            assert!(told.contains("token: is no token"), "{told}");
        }
        let told = Token::read(Path::new("nowhere")).unwrap_err().to_string();
        assert!(told.contains("nowhere"), "{told}");
    }

    #[test]
    fn a_request_carries_it_whole_and_once() {
        let token = read("0123456789abcdef").unwrap();
        let is_in = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            token.is_in(&headers)
        };
        let good = "Bearer 0123456789abcdef";
        assert!(is_in(&[good]) && is_in(&["bearer 0123456789abcdef"]));
        for bad in [
            &[][..],
            &[good, good],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdeff"],
            &["Bearer 0123456789abcdeF"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
        ] {
            assert!(!is_in(bad), "{bad:?}");
        }
    }
}
