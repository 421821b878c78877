//! A panic below the program, as from a driver, told in one sentence.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use mmrest_learner::Backend;

/// Runs `work`. A panic in it becomes an error that says what was said first: with a GPU that is often another thread,
/// which the panicking one waited for. `RUST_BACKTRACE` shows every panic where it happens.
pub(crate) fn caught<T>(backend: Backend, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let first: Arc<Mutex<Option<String>>> = Arc::default();
    let heard = Arc::clone(&first);
    let shown = std::env::var_os("RUST_BACKTRACE").map(|_| take_hook());
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        let said = message(panic.payload());
        tracing::error!(
            panic = said,
            place = panic.location().map(tracing::field::display)
        );
        let mut first = heard.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(said);
        if let Some(shown) = &shown {
            shown(panic);
        }
    }));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    drop(take_hook());
    outcome.unwrap_or_else(|payload| {
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        let said = first.take().unwrap_or_else(|| message(&*payload));
        Err(anyhow!(sentence(backend, &said)))
    })
}

fn sentence(backend: Backend, said: &str) -> String {
    let said = said.lines().next().unwrap_or_default().trim();
    match backend {
        Backend::Cpu => format!("internal error: {said}; please report it"),
        gpu => format!(
            "the {gpu} device or its driver failed: {said}; try another driver, or --backend cpu"
        ),
    }
}

/// What a panic said.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it did not say why".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_sentence_and_the_first_is_told() {
        let error = caught::<()>(Backend::Wgpu, || {
            let _ = std::thread::spawn(|| panic!("no memory\nat all")).join();
            panic!("a channel is closed")
        });
        let told = error.unwrap_err().to_string();
        assert!(
            told.starts_with("the wgpu device or its driver failed: no memory;"),
            "{told}"
        );
        assert!(caught(Backend::Cpu, || Ok(7)).is_ok_and(|seven| seven == 7));
    }
}
