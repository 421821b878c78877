//! What happens to every request: the check of its `Host` header, its line in the log, its metrics, and the security headers
//! of its answer.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::discard;
use super::error::HttpError;
use super::page::{FILES, POLICY};
use super::{LIVE, MAX_HEAD, PALETTE, PREDICT, READY, RECORDING, Server, known};

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
    mut request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path = known(request.uri().path());
    let refusal = refused(&server, &request);
    if refusal.is_some() || method != Method::POST || ![PREDICT, RECORDING].contains(&path) {
        // Nobody else reads it.
        let body = std::mem::take(request.body_mut());
        discard(request.headers(), body, server.limits.body);
    }
    let mut response = match refusal {
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
        ms = (took.as_secs_f64() * 1e6).round() / 1e3
    );
    for (name, value) in HEADERS {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request is refused before anybody looks at it: its `Host`, or the lack of a token.
fn refused(server: &Server, request: &Request) -> Option<HttpError> {
    let headers = request.headers();
    let head: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if head > MAX_HEAD {
        return Some(HttpError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the head has more than {MAX_HEAD} bytes: send fewer headers"),
        ));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() || (named.is_none() && request.version() >= Version::HTTP_11) {
        return Some(HttpError::bad(
            "a request has one Host header, the name of this server",
        ));
    }
    let own = named.is_none_or(|host| host.to_str().is_ok_and(is_loopback))
        && request
            .uri()
            .authority()
            .is_none_or(|authority| is_loopback(authority.as_str()));
    if server.access.loopback && !own {
        return Some(HttpError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server listens on this machine alone and is called localhost or 127.0.0.1: send one of them as Host",
        ));
    }
    let open = is_open(request.uri().path());
    let token = server.access.token.as_ref().filter(|_| !open)?;
    (!token.is_in(request.headers())).then(|| {
        HttpError::new(
            StatusCode::UNAUTHORIZED,
            "this server asks for its token: send it as 'Authorization: Bearer TOKEN'",
        )
    })
}

/// Whether an address needs no token: those of the page, which asks for it, and those that tell whether the server is well.
fn is_open(path: &str) -> bool {
    [LIVE, READY, PALETTE].contains(&path) || FILES.iter().any(|(own, ..)| *own == path)
}

/// Whether a `Host` header names this machine.
///
/// Any web page can make a browser send requests to this machine. A domain that resolves to it makes them look like requests
/// of the same origin, and the page could read the answers (DNS rebinding); but it cannot change the `Host` header.
pub(super) fn is_loopback(host: &str) -> bool {
    let (name, rest) = match host.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some(parts) => parts,
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if port.len() > 5
        || !port.bytes().all(|byte| byte.is_ascii_digit())
        || (rest == port && !rest.is_empty())
    {
        return false;
    }
    if host.starts_with('[') {
        return name.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback());
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
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
            "[::1]evil",
            "[::1]:80evil",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "localhost:evil",
            "localhost:80:80",
            "localhost:1234567",
            "127.0.0.1evil",
            "evil@localhost:80",
            "localhost..",
            "notlocalhost",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
