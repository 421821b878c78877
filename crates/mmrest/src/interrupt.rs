//! Handles Ctrl-C: removes files that are not finished, and ends the program with exit code 130.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use mmrest_data::files::remove_unfinished;

use crate::screen;

/// The exit code of a program that Ctrl-C ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed.
static ASKED: AtomicBool = AtomicBool::new(false);

/// What to do before the program ends.
static STOP: Mutex<Option<Stop>> = Mutex::new(None);

/// How work is stopped that can end in good order.
struct Stop {
    /// At the first Ctrl-C: asks the work to end.
    ask: Box<dyn Fn() + Send>,
    /// At the second, which ends the program: prints the last message.
    last: Box<dyn Fn() + Send>,
}

/// Blocks signals for the threads that start from now on: SIGXFSZ, so that a file over the system's limit is an error of its
/// writing, which names it; and SIGHUP where it is waited for, by a server.
#[cfg(unix)]
pub(crate) fn block(hangup: bool) {
    use nix::sys::signal::{SigSet, Signal};
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    if hangup {
        blocked.add(Signal::SIGHUP);
    }
    // Without it the system ends the program as it always has.
    let _ = blocked.thread_block();
}

#[cfg(not(unix))]
pub(crate) fn block(_: bool) {}

/// Ends the program at once when the program that started it does, however that ends: it holds the other end of standard
/// input, which is of no other use then.
pub(crate) fn end_with_parent() -> Result<()> {
    let watch = || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        remove_unfinished();
        say("the program that started this one has ended");
        std::process::exit(i32::from(INTERRUPTED));
    };
    let thread = std::thread::Builder::new().name("parent".into());
    thread.spawn(watch).context("cannot start a thread")?;
    Ok(())
}

/// Listens for Ctrl-C, which ends the program at once unless the current work [can end in good order](gently).
pub(crate) fn listen() -> Result<()> {
    ctrlc::set_handler(pressed).context("cannot listen for Ctrl-C")
}

/// The first Ctrl-C calls `ask`, which asks the work to end; the second calls `last` and ends the program.
pub(crate) fn gently(ask: impl Fn() + Send + 'static, last: impl Fn() + Send + 'static) {
    *STOP.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stop {
        ask: Box::new(ask),
        last: Box::new(last),
    });
}

/// Like [`gently`], for work that calls the returned function now and then to ask whether it should go on.
pub(crate) fn watched() -> impl Fn() -> bool + Copy {
    gently(
        || say("stopping; once more to stop at once"),
        || say("interrupted"),
    );
    || !ASKED.load(Ordering::Relaxed)
}

/// The exit code of work that ended on request.
pub(crate) fn code() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

/// Prints a line on standard error; errors are ignored.
pub(crate) fn say(line: &str) {
    screen::err(line);
}

fn pressed() {
    let first = !ASKED.swap(true, Ordering::Relaxed);
    let stop = STOP.lock().unwrap_or_else(PoisonError::into_inner);
    match &*stop {
        Some(stop) if first => (stop.ask)(),
        stop => {
            remove_unfinished();
            match stop {
                Some(stop) => (stop.last)(),
                None => say("interrupted"),
            }
            std::process::exit(i32::from(INTERRUPTED));
        }
    }
}
