//! What the server answers, by address.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::access::watched;
use super::card::Card;
use super::limits::{Limits, MOST_BODIES};
use super::metrics::{self, Metrics};
use super::page;
use super::plane::Plane;
use super::predict::predict;
use super::queue::Queue;
use super::refusal::{Refusal, json};
use super::worker::Scorer;

/// Where segments are scored.
pub(super) const PREDICT: &str = "/v1/predict";
const MODEL: &str = "/v1/model";
const LIVE: &str = "/healthz";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";

/// What every request can get at.
pub(crate) struct Server {
    pub(super) scorer: Arc<dyn Scorer>,
    pub(super) queue: Arc<Queue>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    /// KiB of bodies that may be held.
    pub(super) bodies: Arc<Semaphore>,
    pub(super) plane: Option<Plane>,
    pub(super) card: Card,
    /// Whether it listens on this machine alone.
    pub(super) loopback: bool,
}

impl Server {
    pub(crate) fn new(
        scorer: Arc<dyn Scorer>,
        card: Card,
        plane: Option<Plane>,
        limits: Limits,
        loopback: bool,
    ) -> Self {
        Self {
            scorer,
            queue: Arc::new(Queue::new(limits.queue)),
            metrics: Arc::new(Metrics::new(&card.labels())),
            limits,
            bodies: Arc::new(Semaphore::new(MOST_BODIES * kibibytes(limits.body))),
            plane,
            card,
            loopback,
        }
    }
}

/// Whole KiB.
pub(super) fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

/// The address as it is logged and counted: one of the server's own, or all others together.
pub(super) fn known(path: &str) -> &'static str {
    let own = [PREDICT, MODEL, LIVE, READY, METRICS];
    let pages = page::FILES.iter().map(|(path, ..)| *path);
    let mut all = own.into_iter().chain(pages);
    all.find(|known| *known == path).unwrap_or("other")
}

/// Everything the server answers.
pub(super) fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new()
        .route(PREDICT, post(predict))
        .route(MODEL, get(model))
        .route(LIVE, get(live))
        .route(READY, get(ready))
        .route(METRICS, get(scrape));
    for (path, kind, content) in page::FILES {
        router = router.route(path, get(move || async move { page::file(kind, content) }));
    }
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&server), watched))
        .with_state(server)
}

async fn model(State(server): State<Arc<Server>>) -> Response {
    json(StatusCode::OK, &server.card)
}

/// The body of `/healthz` and `/readyz`.
#[derive(Serialize)]
struct Status {
    status: &'static str,
}

async fn live() -> Response {
    json(StatusCode::OK, &Status { status: "live" })
}

async fn ready(State(server): State<Arc<Server>>) -> Response {
    let queue = &server.queue;
    if queue.is_closed() {
        return Refusal::busy("not ready: the server stops").into_response();
    }
    if queue.len() >= queue.capacity() {
        return Refusal::busy("not ready: the queue is full").into_response();
    }
    json(StatusCode::OK, &Status { status: "ready" })
}

async fn scrape(State(server): State<Arc<Server>>) -> Response {
    let queue = &server.queue;
    let text = server.metrics.text(queue.len(), queue.capacity());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn nowhere(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(100).collect();
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("there is no {path}: POST {PREDICT}, or GET / {MODEL} {LIVE} {READY} {METRICS}"),
    )
}

async fn other_method(uri: Uri) -> Refusal {
    let (path, method) = match uri.path() {
        PREDICT => (PREDICT, "POST"),
        other => (known(other), "GET"),
    };
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} answers {method} alone"),
    )
}
