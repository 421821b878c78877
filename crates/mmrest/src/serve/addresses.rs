//! The addresses that the server answers: those of its interface, and the files of its page.

use axum::http::header;
use axum::response::{IntoResponse, Response};

// The interface for programs.
pub(super) const PREDICT: &str = "/v1/predict";
pub(super) const MODEL: &str = "/v1/model";
pub(super) const LIVE: &str = "/healthz";
pub(super) const READY: &str = "/readyz";
pub(super) const METRICS: &str = "/metrics";

/// The page's files: address, content type, content.
pub(super) const FILES: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/app.css", CSS, include_str!("page/app.css")),
    ("/app.js", JS, include_str!("page/app.js")),
    ("/frames.js", JS, include_str!("page/frames.js")),
    ("/draw.js", JS, include_str!("page/draw.js")),
    ("/map.js", JS, include_str!("page/map.js")),
    ("/results.js", JS, include_str!("page/results.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The content security policy: the page may load its own files and send requests to its own server, nothing else.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answer with one of the files.
pub(super) fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

/// The address as it is logged and counted: one of the server's own, or `other`.
pub(super) fn known(path: &str) -> &'static str {
    let own = [PREDICT, MODEL, LIVE, READY, METRICS];
    let pages = FILES.iter().map(|(path, ..)| *path);
    let mut all = own.into_iter().chain(pages);
    all.find(|known| *known == path).unwrap_or("other")
}
