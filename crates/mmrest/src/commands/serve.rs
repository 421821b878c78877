//! `mmrest serve`: scores new data over HTTP.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mmrest_learner::run::RunFolder;
use mmrest_learner::{Predictor, open_device};
use tokio::sync::watch;

use crate::arguments::ServeArguments;
use crate::interrupt::{self, say};
use crate::logging;
use crate::serve::{ClusterMap, Limits, ModelInfo, Server};

/// `mmrest serve`.
pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode> {
    logging::served()?;
    let limits = limits(arguments);
    // Before the model, which takes a while: an address that is taken is told at once.
    let (listener, address) = listen(arguments)?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let predictor = Predictor::load(&RunFolder::new(&arguments.run).model(), &device)?;
    let server = serve(predictor, arguments, limits, address.ip().is_loopback())?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            "listening on {address}: whoever reaches this machine can use the model, for there is no password and no \
             encryption"
        );
    }
    let (stop, stopped) = watch::channel(false);
    stop_on_signals(stop, limits.drain);
    announce(address);
    if crate::serve::run(server, listener, stopped)? {
        tracing::info!("stopped; every request was answered")
    } else {
        tracing::warn!(
            "stopped after {} s with requests unanswered",
            limits.drain.as_secs()
        )
    }
    Ok(ExitCode::SUCCESS)
}

fn limits(arguments: &ServeArguments) -> Limits {
    Limits {
        batch: arguments.batch,
        wait: Duration::from_millis(arguments.wait),
        queue: arguments.queue,
        body: arguments.max_body << 20,
        timeout: Duration::from_secs(arguments.timeout),
        drain: Duration::from_secs(arguments.drain),
    }
}

fn listen(arguments: &ServeArguments) -> Result<(TcpListener, SocketAddr)> {
    let wanted = SocketAddr::new(arguments.host, arguments.port);
    let told = || {
        format!(
            "cannot listen on {wanted}: choose another by --host and --port (0: any that is free)"
        )
    };
    let listener = TcpListener::bind(wanted).with_context(told)?;
    listener.set_nonblocking(true).with_context(told)?;
    let address = listener.local_addr().with_context(told)?;
    Ok((listener, address))
}

/// The server of a model.
fn serve(
    predictor: Predictor,
    arguments: &ServeArguments,
    limits: Limits,
    loopback: bool,
) -> Result<Server> {
    let space = predictor.shared_space()?;
    let map = space.as_ref().map(ClusterMap::new).transpose()?;
    let run = arguments.run.canonicalize().unwrap_or_default();
    let run = run.file_name().unwrap_or_default().to_string_lossy();
    let saved = predictor.saved_model();
    let info = ModelInfo::new(
        run.into_owned(),
        &saved.config,
        saved.features.widths,
        predictor.bias(),
        space.as_ref().zip(map.as_ref()),
        &limits,
    );
    Ok(Server::new(
        Arc::new(predictor),
        info,
        map,
        limits,
        loopback,
    ))
}

/// The first signal lets requests in progress end, the second stops at once.
fn stop_on_signals(stop: watch::Sender<bool>, drain: Duration) {
    let seconds = drain.as_secs();
    interrupt::gently(
        move || {
            say(&format!(
                "stopping: what is asked for is answered, for {seconds} s at most; once more to stop at once"
            ));
            let _ = stop.send(true);
        },
        || say("interrupted"),
    );
}

/// Prints the address; errors are ignored, since the server works even if nobody reads it.
fn announce(address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    tracing::info!("listening on http://{address}");
}
