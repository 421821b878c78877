//! `mmrest serve`: predictions over HTTP.
//!
//! The way of a request: [`middleware`] (host, log, metrics) -> [`routes`] -> [`predict`] -> [`request`], which makes segments
//! of the body -> [`queue`] -> [`worker`], the one thread that uses the model -> [`response`].

mod error;
mod metrics;
mod middleware;
mod model_info;
mod predict;
mod queue;
mod request;
mod response;
mod routes;
#[cfg(test)]
mod tests;
mod worker;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::Metrics;
use queue::Queue;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use worker::Scorer;

pub(crate) use model_info::{ClusterMap, ModelInfo};

/// The most bytes of text of a segment. The text encoder reads only the first tokens, far fewer than fit in here.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// The most frames of one modality of a segment.
const MAX_FRAMES: usize = 20_000;

/// The most frames of a batch after padding to its longest segment: limits the memory of a batch.
const MAX_PADDED_FRAMES: usize = 64_000;

/// The most open connections; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

/// How long the head of a request may take to arrive, and how long a connection may be idle.
const IDLE: Duration = Duration::from_secs(30);

/// How many bodies of the greatest size are held at a time, from the first byte to the answer.
const MAX_BODIES: usize = 8;

/// The limits that the command line sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most segments of a batch.
    pub(crate) batch: usize,
    /// How long a batch that is not full waits for more segments.
    pub(crate) wait: Duration,
    /// The most segments that wait to be scored.
    pub(crate) queue: usize,
    /// The most bytes of a request's body.
    pub(crate) body: usize,
    /// The time from the head of a request to its answer.
    pub(crate) timeout: Duration,
    /// The time from the signal to stop until the end.
    pub(crate) drain: Duration,
}

/// The state that all requests share.
pub(crate) struct Server {
    scorer: Arc<dyn Scorer>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    limits: Limits,
    /// Permits for the KiB of bodies that are held.
    bodies: Arc<Semaphore>,
    map: Option<ClusterMap>,
    info: ModelInfo,
    /// Whether only this machine can reach it.
    loopback: bool,
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
            bodies: Arc::new(Semaphore::new(MAX_BODIES * kibibytes(limits.body))),
            map,
            info,
            loopback,
        }
    }
}

/// Bytes in KiB, rounded up.
fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

// The interface for programs.
const PREDICT: &str = "/v1/predict";
const MODEL: &str = "/v1/model";
const LIVE: &str = "/healthz";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";

/// The page's files: address, content type, content.
const FILES: [(&str, &str, &str); 8] = [
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
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answer with one of the files.
fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

/// The address as it is logged and counted: one of the server's own, or `other`.
fn known(path: &str) -> &'static str {
    let own = [PREDICT, MODEL, LIVE, READY, METRICS];
    let pages = FILES.iter().map(|(path, ..)| *path);
    let mut all = own.into_iter().chain(pages);
    all.find(|known| *known == path).unwrap_or("other")
}

/// Threads that read requests and write answers. The model has its own thread, and burn its own pool.
const THREADS: usize = 2;

/// Serves until `stop` becomes true and the queue is empty, or until the time to drain it is over. Returns whether every
/// request was answered.
///
/// # Errors
///
/// A thread or the listener cannot be started.
pub(crate) fn run(
    server: Server,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) -> Result<bool> {
    let server = Arc::new(server);
    let own = Arc::clone(&server);
    let scorer = thread::Builder::new().name("scorer".into()).spawn(move || {
        worker::work(&*own.scorer, &own.queue, &own.limits, &own.metrics);
    });
    let scorer = scorer.context("cannot start a thread")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(THREADS)
        .thread_name("http")
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the server's threads")?;
    let drain = server.limits.drain;
    let finished = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).context("cannot listen")?;
        let router = routes::router(Arc::clone(&server));
        let metrics = Arc::clone(&server.metrics);
        Ok::<_, anyhow::Error>(serve(listener, router, metrics, stop, drain).await)
    });
    server.queue.abandon();
    drop(runtime);
    let ended = scorer.join();
    ended.map_err(|panic| {
        anyhow!(
            "the scoring thread ended: {}",
            crate::failure::panic_message(&*panic)
        )
    })?;
    finished
}

/// The most bytes of the head of a request.
const MAX_HEAD: usize = 64 << 10;

/// The pause after a connection could not be accepted (for want of file handles, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop` becomes true, then accepts no more and lets requests in progress end within `drain`.
/// Returns whether they did.
async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) -> bool {
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone());
                let connection = open.watch(connection);
                let counted = metrics.connected();
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection was interrupted");
                    }
                    drop((counted, place));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::time::timeout(drain, open.shutdown()).await.is_ok()
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router) -> Connection {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
