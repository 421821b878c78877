//! `mmrest serve`: predictions over HTTP.
//!
//! The way of a request: [`connections`] -> [`middleware`] (host, token, log, metrics) -> [`routes`] -> [`predict`] ->
//! [`body`] -> [`request`], which makes segments of the body -> [`queue`] -> [`worker`], the one thread that uses the
//! model -> [`response`].

mod body;
mod connections;
mod error;
mod metrics;
mod middleware;
mod model_info;
pub(crate) mod page;
mod predict;
mod queue;
mod recording;
mod request;
mod response;
mod routes;
#[cfg(test)]
mod tests;
mod token;
mod worker;

use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::http::Request;
use axum::response::Response;
use body::MAX_BODIES;
use connections::{Admitted, Connection, Connections, Watched};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics::Metrics;
use mmrest_learner::Interpreter;
use mmrest_media::RecordingInputs;
use page::FILES;
use queue::Queue;
use recording::DECODERS;
pub(crate) use recording::LIMITS as RECORDING_LIMITS;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use worker::Scorer;

pub(crate) use model_info::{ClusterMap, ModelInfo};
pub(crate) use token::Token;

/// The most bytes of text of a segment. The text encoder reads only the first tokens, far fewer than fit in here.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// The most frames of one modality of a segment.
const MAX_FRAMES: usize = 20_000;

/// The most frames of a batch after padding to its longest segment: limits the memory of a batch.
const MAX_PADDED_FRAMES: usize = 64_000;

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

/// A model that scores segments, and what clients are told of it.
pub(crate) struct Model {
    pub(crate) scorer: Arc<dyn Scorer>,
    pub(crate) interpreter: Interpreter,
    /// What it takes of a recording, or why it can take none.
    pub(crate) recordings: Result<RecordingInputs, String>,
    pub(crate) info: ModelInfo,
    pub(crate) map: Option<ClusterMap>,
}

/// A model in use, with the queue of what it scores. Whoever has asked it something holds it until the answer; the last one
/// closes the queue, which ends the model's thread.
struct Live {
    model: Model,
    queue: Arc<Queue>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Who may ask a server.
#[derive(Debug)]
pub(crate) struct Access {
    /// Whether only this machine can reach it.
    pub(crate) loopback: bool,
    /// What every request must carry.
    pub(crate) token: Option<Token>,
}

/// The state that all requests share.
pub(crate) struct Server {
    live: RwLock<Arc<Live>>,
    /// The threads of the models that are, or were, in use.
    scorers: Mutex<Vec<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
    limits: Limits,
    connections: Arc<Connections>,
    /// Permits for the KiB of bodies that are held.
    bodies: Arc<Semaphore>,
    /// Permits to decode recordings.
    decoders: Arc<Semaphore>,
    access: Access,
}

impl Server {
    /// A server of a model, whose thread starts.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(crate) fn new(model: Model, limits: Limits, access: Access) -> Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let (live, scorer) = start(model, limits, &metrics)?;
        Ok(Self {
            live: RwLock::new(live),
            scorers: Mutex::new(vec![scorer]),
            metrics,
            limits,
            connections: Arc::default(),
            bodies: Arc::new(Semaphore::new(MAX_BODIES * limits.body.div_ceil(1 << 10))),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            access,
        })
    }

    /// Puts another model in the place of the one in use. What was asked before is answered by that one.
    ///
    /// # Errors
    ///
    /// Its thread cannot be started; the model in use stays.
    pub(crate) fn replace(&self, model: Model) -> Result<()> {
        let (live, scorer) = start(model, self.limits, &self.metrics)?;
        let mut scorers = self.scorers.lock().unwrap_or_else(PoisonError::into_inner);
        scorers.retain(|scorer| !scorer.is_finished());
        scorers.push(scorer);
        let before = {
            let mut place = self.live.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, live)
        };
        drop(before); // outside of the lock
        Ok(())
    }

    /// The model in use.
    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a try to read the model again.
    pub(crate) fn reloaded(&self, succeeded: bool) {
        self.metrics.reloaded(succeeded);
    }
}

/// Starts the thread of a model.
fn start(
    model: Model,
    limits: Limits,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Live>, JoinHandle<()>)> {
    let queue = Arc::new(Queue::new(limits.queue));
    let (scorer, own, counted) = (
        Arc::clone(&model.scorer),
        Arc::clone(&queue),
        Arc::clone(metrics),
    );
    let thread = thread::Builder::new().name("scorer".into());
    let thread = thread.spawn(move || worker::work(&*scorer, &own, &limits, &counted));
    let thread = thread.context("cannot start a thread")?;
    Ok((Arc::new(Live { model, queue }), thread))
}

// The interface for programs.
const PREDICT: &str = "/v1/predict";
const RECORDING: &str = "/v1/recording";
const MODEL: &str = "/v1/model";
const LIVE: &str = "/healthz";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";

/// The page's colours, made by the program: the same as those of reports.
const PALETTE: &str = "/palette.css";

/// The address as it is logged and counted: one of the server's own, or `other`.
fn known(path: &str) -> &'static str {
    let own = [PREDICT, RECORDING, MODEL, LIVE, READY, METRICS, PALETTE];
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
    server: &Arc<Server>,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(THREADS + DECODERS)
        .thread_name("http")
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the server's threads")?;
    let finished = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).context("cannot listen")?;
        Ok::<_, anyhow::Error>(serve(listener, server, stop).await)
    });
    server.live().queue.abandon();
    drop(runtime);
    let scorers = std::mem::take(
        &mut *server
            .scorers
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    for scorer in scorers {
        scorer.join().map_err(|panic| {
            anyhow!(
                "the scoring thread ended: {}",
                crate::failure::panic_message(&*panic)
            )
        })?;
    }
    finished
}

/// The most bytes of the head of a request.
const MAX_HEAD: usize = 64 << 10;

/// The pause after a connection could not be accepted (for want of file handles, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop` becomes true, then accepts no more and lets requests in progress end within the time to
/// drain. Returns whether they did.
async fn serve(
    listener: tokio::net::TcpListener,
    server: &Arc<Server>,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let router = TowerToHyperService::new(routes::router(Arc::clone(server)));
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, client)) => {
                // Where all are being answered there is no room, nor time to say so.
                let Some(admitted) = server.connections.admit(client.ip()) else {
                    tracing::debug!("a connection more than can be answered");
                    continue;
                };
                let connection = open.watch(connect(stream, &admitted, router.clone()));
                let counted = server.metrics.connected();
                tokio::spawn(async move {
                    let Admitted {
                        connection: own, ..
                    } = &admitted;
                    tokio::select! {
                        ended = connection => if let Err(error) = ended {
                            tracing::debug!(%error, "a connection was interrupted");
                        },
                        () = own.has_to_end() => tracing::debug!("a connection was closed for others"),
                    }
                    drop((counted, admitted));
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::time::timeout(server.limits.drain, open.shutdown())
        .await
        .is_ok()
}

/// The routes, for the requests of one connection, which learns of them.
struct Routes {
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
}

impl hyper::service::Service<Request<Incoming>> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let connection = Arc::clone(&self.connection);
        connection.asked();
        request.extensions_mut().insert(Arc::clone(&connection));
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await;
            connection.answered();
            answer
        })
    }
}

fn connect(
    stream: TcpStream,
    admitted: &Admitted,
    router: TowerToHyperService<Router>,
) -> http1::Connection<TokioIo<Watched<TcpStream>>, Routes> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    let connection = Arc::clone(&admitted.connection);
    let stream = Watched::new(stream, Arc::clone(&connection));
    http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), Routes { router, connection })
}
