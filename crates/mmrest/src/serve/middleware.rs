//! What happens to every request: the check of its `Host` header, its line in the log, its metrics, and the security headers
//! of its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::{POLICY, Server, known};

/// The number of segments that an answer scored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores(pub(super) usize);

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Passes a request on, and logs and counts it when it is answered. Texts and ids are never logged.
pub(super) async fn observe(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path = known(request.uri().path());
    let mut response = match refused(&server, &request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    let took = start.elapsed();
    let status = response.status().as_u16();
    server.metrics.request(path, status, took);
    let segments = response.extensions().get::<Scores>().map_or(0, |s| s.0);
    server.metrics.answered(segments as u64);
    tracing::info!(
        target: crate::logging::ACCESS,
        method = method.as_str(),
        path,
        status,
        segments,
        ms = took.as_secs_f64() * 1e3
    );
    for (name, value) in HEADERS {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The error for a request that reaches a server on loopback by the name of another machine.
fn refused(server: &Server, request: &Request) -> Option<HttpError> {
    let named = request.headers().get(header::HOST)?;
    let own = named.to_str().is_ok_and(is_loopback);
    (server.loopback && !own).then(|| {
        HttpError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server listens on this machine alone and is called localhost or 127.0.0.1: send one of them as Host",
        )
    })
}

/// Whether a `Host` header names this machine.
///
/// Any web page can make a browser send requests to this machine. A domain that resolves to it makes them look like requests
/// of the same origin, and the page could read the answers (DNS rebinding); but it cannot change the `Host` header.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_own_names_alone() {
        for own in [
            "localhost",
            "LocalHost:80",
            "mmrest.localhost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "",
            "example.org",
            "localhost.example.org:80",
            "127.0.0.1.example.org",
            "10.0.0.1",
            "[::2]:80",
            "notlocalhost",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
