//! Routes requests to their handlers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use serde::Serialize;

use super::error::{HttpError, json};
use super::middleware::observe;
use super::page::{CSS, FILES, file};
use super::predict::predict;
use super::recording::recording;
use super::{
    LIVE, Live, METRICS, MODEL, PALETTE, PREDICT, READY, RECORDING, Server, known, metrics,
};
use crate::palette;

/// The router of all addresses.
pub(super) fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new()
        .route(PREDICT, post(predict))
        .route(RECORDING, post(recording))
        .route(MODEL, get(model))
        .route(LIVE, get(live))
        .route(READY, get(ready))
        .route(METRICS, get(scrape))
        .route(PALETTE, get(|| async { file(CSS, palette::css()) }));
    for (path, kind, content) in FILES {
        router = router.route(path, get(move || async move { file(kind, content) }));
    }
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&server), observe))
        .with_state(server)
}

async fn model(State(server): State<Arc<Server>>) -> Response {
    json(StatusCode::OK, &server.live().model.info)
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
    let live = server.live();
    let queue = &live.queue;
    if queue.is_closed() {
        return HttpError::busy("not ready: the server is stopping").into_response();
    }
    if queue.len() >= queue.capacity() {
        return HttpError::busy("not ready: the queue is full").into_response();
    }
    json(StatusCode::OK, &Status { status: "ready" })
}

async fn scrape(State(server): State<Arc<Server>>) -> Response {
    let Live { model, queue } = &*server.live();
    let labels = model.info.labels();
    let text = server.metrics.text(&labels, queue.len(), queue.capacity());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn nowhere(uri: Uri) -> HttpError {
    let path: String = uri.path().chars().take(100).collect();
    HttpError::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is no {path}: POST {PREDICT} {RECORDING}, or GET / {MODEL} {LIVE} {READY} {METRICS}"
        ),
    )
}

async fn other_method(uri: Uri) -> HttpError {
    let (path, method) = match uri.path() {
        PREDICT => (PREDICT, "POST"),
        RECORDING => (RECORDING, "POST"),
        other => (known(other), "GET"),
    };
    HttpError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} answers only {method}"),
    )
}
