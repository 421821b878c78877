//! `mmrest serve`: scores new data over HTTP.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use mmrest_learner::run::RunFolder;
use mmrest_learner::{Predictor, open_device};
use tokio::sync::watch;

use crate::arguments::ServeArguments;
use crate::commands::predict::interpreter;
use crate::interrupt::{self, say};
use crate::serve::{Access, ClusterMap, Limits, Model, ModelInfo, RECORDING_LIMITS, Server, Token};
use crate::{failure, logging, recording};

/// `mmrest serve`.
pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode> {
    logging::served(arguments.json)?;
    let limits = limits(arguments);
    let access = access(arguments)?;
    // Before the model, which takes a while: an address that is taken is told at once.
    let (listener, address) = listen(arguments)?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let folder = arguments.run.clone();
    let confidence = arguments.confidence;
    let load = move || load(&folder, &device, &limits, confidence);
    if !access.loopback {
        let open = if access.token.is_some() {
            "whoever has the token can use the model, and there is no encryption"
        } else {
            "whoever reaches this machine can use the model, for there is no password and no encryption"
        };
        tracing::warn!("listening on {address}: {open}");
    }
    let server = Arc::new(Server::new(load()?, limits, access)?);
    reload_on_hangup(&server, load)?;
    let (stop, stopped) = watch::channel(false);
    stop_on_signals(stop, limits.drain);
    announce(address);
    if crate::serve::run(&server, listener, stopped)? {
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

/// Who may ask: on loopback everybody on this machine; others with a token, or where that is said to be meant.
fn access(arguments: &ServeArguments) -> Result<Access> {
    let loopback = arguments.host.is_loopback();
    let token = arguments.token_file.as_deref().map(Token::read);
    let token = token.transpose()?;
    if !loopback && token.is_none() && !arguments.insecure {
        bail!(
            "other machines can reach {}: give a token that they must send, by --token-file, or let everybody use the \
             model, by --insecure",
            arguments.host
        );
    }
    Ok(Access { loopback, token })
}

/// Reads the model of a run.
fn load(run: &Path, device: &Device, limits: &Limits, confidence: f64) -> Result<Model> {
    let predictor = Predictor::load(&RunFolder::new(run).model(), device)?;
    let interpreter = interpreter(&predictor, confidence)?;
    let space = predictor.shared_space()?;
    let map = space.as_ref().map(ClusterMap::new).transpose()?;
    let name = run.canonicalize().unwrap_or_default();
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let recordings = recording::inputs(&predictor, run);
    let recordings = recordings.map(|inputs| inputs.within(RECORDING_LIMITS));
    let recordings = recordings.map_err(|error| failure::sentence(&error));
    let saved = predictor.saved_model();
    let info = ModelInfo::new(
        name.into_owned(),
        &saved.config,
        saved.features.widths,
        predictor.bias(),
        (&interpreter, recordings.as_ref().ok()),
        space.as_ref().zip(map.as_ref()),
        limits,
    );
    Ok(Model {
        scorer: Arc::new(predictor),
        interpreter,
        recordings,
        info,
        map,
    })
}

/// Reads the model again at every SIGHUP, which is blocked in all threads; one that cannot be read leaves that in use.
#[cfg(unix)]
fn reload_on_hangup(
    server: &Arc<Server>,
    load: impl Fn() -> Result<Model> + Send + 'static,
) -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    let mut hangup = SigSet::empty();
    hangup.add(Signal::SIGHUP);
    let server = Arc::clone(server);
    let reload = move || {
        while hangup.wait().is_ok() {
            let outcome = load().and_then(|model| server.replace(model));
            server.reloaded(outcome.is_ok());
            match outcome {
                Ok(()) => tracing::info!("the model was read again"),
                Err(error) => tracing::warn!(
                    "the model cannot be read again, the one in use stays: {}",
                    failure::sentence(&error)
                ),
            }
        }
    };
    let thread = thread::Builder::new().name("reload".into());
    thread.spawn(reload).context("cannot start a thread")?;
    Ok(())
}

#[cfg(not(unix))]
fn reload_on_hangup(_: &Arc<Server>, _: impl Fn() -> Result<Model>) -> Result<()> {
    Ok(())
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
