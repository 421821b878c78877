//! `mmrest serve`: predict over HTTP.
//!
//! A request's way: [`connections`] -> [`access`] (name, log, counts) -> [`routes`] -> [`predict`] -> [`body`] to segments ->
//! [`queue`] -> [`worker`], the one thread that uses the model -> [`ticket`], which waits for all segments of a request ->
//! [`answer`].

mod access;
mod answer;
mod body;
mod card;
mod connections;
mod host;
mod limits;
mod memory;
mod metrics;
mod page;
mod plane;
mod predict;
mod queue;
mod refusal;
mod routes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod ticket;
mod worker;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use tokio::sync::watch;

pub(crate) use card::Card;
pub(crate) use limits::Limits;
pub(crate) use plane::Plane;
pub(crate) use routes::Server;

#[cfg(test)]
use ticket::Answer;

/// Threads that read requests and write answers; the model has one of its own, and burn its pool.
const THREADS: usize = 2;

/// Serves until `stop` says so and what is queued is finished, or its time is up. Returns whether all was finished.
///
/// # Errors
///
/// The system gives no threads, or cannot listen.
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
        Ok::<_, anyhow::Error>(connections::serve(listener, router, metrics, stop, drain).await)
    });
    server.queue.abandon();
    drop(runtime);
    let ended = scorer.join();
    ended.map_err(|panic| {
        anyhow!(
            "the scoring thread ended: {}",
            crate::crash::message(&*panic)
        )
    })?;
    finished
}
