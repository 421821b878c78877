//! The state that all requests share, the limits of the server, and its addresses.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use super::model_info::{ClusterMap, ModelInfo};
use super::queue::Queue;
use super::worker::Scorer;

// The addresses of the interface.
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

/// What the page may load and do: its own files and requests to its own server, nothing else.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One of the files.
pub(super) fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

/// Bytes of text a segment may have: the text encoder reads the first tokens alone, and far fewer than these hold.
pub(crate) const MOST_TEXT: usize = 64 << 10;

/// Frames of one modality a segment may have.
pub(crate) const MOST_FRAMES: usize = 20_000;

/// Frames that a batch may come to when its segments are padded to the longest: bounds its memory.
pub(super) const MOST_PADDED: usize = 64_000;

/// Connections that are open at one time; more wait to be taken up.
pub(super) const MOST_CONNECTIONS: usize = 512;

/// How long the head of a request may take to come, and a connection stay idle.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// Bodies of the greatest size that are held at one time, from the first byte to the answer.
pub(super) const MOST_BODIES: usize = 8;

/// What may be chosen on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Segments a batch.
    pub(crate) batch: usize,
    /// How long a batch that is not full waits for more.
    pub(crate) wait: Duration,
    /// Segments that wait to be scored.
    pub(crate) queue: usize,
    /// Bytes of a request's body.
    pub(crate) body: usize,
    /// From the head of a request to its answer.
    pub(crate) timeout: Duration,
    /// From being asked to stop to the end.
    pub(crate) drain: Duration,
}

/// What every request can get at.
pub(crate) struct Server {
    pub(super) scorer: Arc<dyn Scorer>,
    pub(super) queue: Arc<Queue>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    /// KiB of bodies that may be held.
    pub(super) bodies: Arc<Semaphore>,
    pub(super) map: Option<ClusterMap>,
    pub(super) info: ModelInfo,
    /// Whether it listens on this machine alone.
    pub(super) loopback: bool,
}

impl Server {
    pub(crate) fn new(
        scorer: Arc<dyn Scorer>,
        info: ModelInfo,
        map: Option<ClusterMap>,
        limits: Limits,
        loopback: bool,
    ) -> Self {
        Self {
            scorer,
            queue: Arc::new(Queue::new(limits.queue)),
            metrics: Arc::new(Metrics::new(&info.labels())),
            limits,
            bodies: Arc::new(Semaphore::new(MOST_BODIES * kibibytes(limits.body))),
            map,
            info,
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
    let pages = FILES.iter().map(|(path, ..)| *path);
    let mut all = own.into_iter().chain(pages);
    all.find(|known| *known == path).unwrap_or("other")
}
