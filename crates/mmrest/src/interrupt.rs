//! Ctrl-C: what is being written is removed, and the program ends with exit code 130.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use mmrest_data::files::remove_unfinished;

/// The exit code of what Ctrl-C ended, as shells know it.
const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed.
static ASKED: AtomicBool = AtomicBool::new(false);

/// What to do before the program is ended.
static STOP: Mutex<Option<Stop>> = Mutex::new(None);

/// How work is stopped that does not have to be cut off.
struct Stop {
    /// At the first Ctrl-C: asks the work to end.
    ask: Box<dyn Fn() + Send>,
    /// At the second, which ends the program: the last words.
    last: Box<dyn Fn() + Send>,
}

/// Listens for Ctrl-C. It ends the program at once, unless the work at hand [can be asked to end](gently).
pub(crate) fn listen() -> Result<()> {
    ctrlc::set_handler(pressed).context("cannot listen for Ctrl-C")
}

/// The first Ctrl-C asks the work to end, the second ends the program after its last words.
pub(crate) fn gently(ask: impl Fn() + Send + 'static, last: impl Fn() + Send + 'static) {
    *STOP.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stop {
        ask: Box::new(ask),
        last: Box::new(last),
    });
}

/// As [`gently`], for work that asks now and then whether to go on: by the function returned.
pub(crate) fn watched() -> impl Fn() -> bool + Copy {
    gently(
        || say("stopping; once more to stop at once"),
        || say("interrupted"),
    );
    || !ASKED.load(Ordering::Relaxed)
}

/// The exit code of work that ended because it was asked to.
pub(crate) fn code() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

/// A line on standard error, if anybody reads it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
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
