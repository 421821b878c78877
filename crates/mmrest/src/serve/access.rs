//! What is done with every request, whatever it asks for: the name it calls the server by, its line in the log, what is
//! counted, headers that keep a browser careful.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;
use super::routes::{Server, known};
use super::{host, page};

/// How many segments an answer has scored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores(pub(super) usize);

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, page::POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Passes a request on, and logs and counts it when it is answered. Neither texts nor ids are logged.
pub(super) async fn watched(
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

/// Whether a request to this machine alone calls it by another's name.
fn refused(server: &Server, request: &Request) -> Option<Refusal> {
    let named = request.headers().get(header::HOST)?;
    let own = named.to_str().is_ok_and(host::is_loopback);
    (server.loopback && !own).then(|| {
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server listens on this machine alone and is called localhost or 127.0.0.1: send one of them as Host",
        )
    })
}
