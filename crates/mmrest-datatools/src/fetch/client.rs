//! Sends HTTP requests and classifies their failures.

use std::io;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder, Timeout};

use super::Policy;
use super::policy::Stop;

/// Sends requests as a policy has it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    following: Agent,
    staying: Agent,
    policy: Policy,
}

impl Client {
    pub(super) fn new(policy: Policy) -> Self {
        let agent = |redirects: u32| -> Agent {
            Agent::config_builder()
                .user_agent(concat!("mmrest/", env!("CARGO_PKG_VERSION")))
                // What is compressed on the way has no length to check and nothing to resume at.
                .accept_encoding("identity")
                .http_status_as_error(false)
                .max_redirects(redirects)
                .max_redirects_will_error(redirects > 0)
                .redirect_auth_headers(RedirectAuthHeaders::Never)
                .max_idle_connections(0)
                .timeout_resolve(Some(policy.connect_timeout))
                .timeout_connect(Some(policy.connect_timeout))
                .timeout_per_read(Some(policy.read_timeout))
                .timeout_per_write(Some(policy.read_timeout))
                .timeout_recv_response(Some(policy.read_timeout))
                .build()
                .into()
        };
        Self {
            following: agent(policy.redirects),
            staying: agent(0),
            policy,
        }
    }

    /// A request that follows redirects.
    pub(super) fn get(&self, url: &str, token: Option<&str>) -> RequestBuilder<WithoutBody> {
        with_token(self.following.get(url), token)
    }

    /// A request that does not.
    pub(super) fn get_here(&self, url: &str, token: Option<&str>) -> RequestBuilder<WithoutBody> {
        with_token(self.staying.get(url), token)
    }

    /// Sends a request.
    pub(super) fn call(
        &self,
        request: RequestBuilder<WithoutBody>,
    ) -> Result<Response<Body>, Stop> {
        request.call().map_err(|error| self.stop(&error))
    }

    /// What a failed read of an answer's body means.
    pub(super) fn broken(&self, error: &io::Error) -> Stop {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(error) => self.stop(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => ended_early(),
            None => Stop::passing(format!("the connection broke: {error}")),
        }
    }

    fn stop(&self, error: &ureq::Error) -> Stop {
        use ureq::Error;
        match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => Stop::passing(format!(
                "no connection within {}",
                seconds(self.policy.connect_timeout)
            )),
            Error::Timeout(_) => Stop::passing(format!(
                "the server sent nothing for {}",
                seconds(self.policy.read_timeout)
            )),
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => ended_early(),
            Error::Io(error) => Stop::passing(error.to_string()),
            Error::HostNotFound => Stop::passing("no such server, or no network"),
            Error::TooManyRedirects => Stop::Refused(format!(
                "the server redirects more than {} times",
                self.policy.redirects
            )),
            Error::ConnectionFailed | Error::Protocol(_) | Error::Decompress(..) => {
                Stop::passing(error.to_string())
            }
            other => Stop::Refused(other.to_string()),
        }
    }
}

fn ended_early() -> Stop {
    Stop::passing("the connection ended early")
}

fn with_token(
    request: RequestBuilder<WithoutBody>,
    token: Option<&str>,
) -> RequestBuilder<WithoutBody> {
    match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// What an answer means that holds no file.
pub(super) fn no_file(status: StatusCode, headers: &HeaderMap) -> Stop {
    let code = status.as_u16();
    match code {
        404 | 410 => Stop::Refused(format!("the server has no such file ({code})")),
        401 | 403 => Stop::Refused(format!(
            "the server does not give it to everyone ({code}), or there is no such file"
        )),
        408 | 429 | 500..=599 => Stop::Passing {
            reason: format!("the server answered {status}"),
            wait: text(headers, header::RETRY_AFTER)
                .and_then(|wait| wait.trim().parse().ok())
                .map(Duration::from_secs),
        },
        _ => Stop::Refused(format!("the server answered {status}")),
    }
}

/// A header that is text.
pub(super) fn text(
    headers: &HeaderMap,
    name: impl ureq::http::header::AsHeaderName,
) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
