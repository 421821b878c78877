//! Errors and panics that end the program, each reported in one sentence.

use std::any::Any;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use mmrest_data::DataError;
use mmrest_encoders::EncoderError;
use mmrest_learner::{Backend, LearnerError};

use crate::project::{near, program, quoted};

/// The error and its causes in one line; a cause that is already part of the line is not repeated.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(words) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told += &format!(": {cause}");
        }
    }
    told
}

/// What one error says, with the program's options and commands where they help: the libraries know none.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let learner = error.downcast_ref::<LearnerError>();
    let data = match learner {
        Some(LearnerError::Data(data)) => Some(data),
        _ => error.downcast_ref::<DataError>(),
    };
    let encoder = match learner {
        Some(LearnerError::Encoder(encoder)) => Some(encoder),
        _ => error.downcast_ref::<EncoderError>(),
    };
    if let Some(DataError::Missing(missing)) = data {
        return crate::commands::data::missing::message(missing);
    }
    if let Some(missing @ EncoderError::MissingFile { path, .. }) = encoder {
        let folder = path.parent().unwrap_or(path);
        return format!("{missing}. {}", another_bert(folder));
    }
    match learner {
        Some(bert @ (LearnerError::NoBertFolder(folder) | LearnerError::NotBert(folder))) => {
            format!("{bert}. {}", another_bert(folder))
        }
        Some(LearnerError::Override { key, message }) => {
            let option = match key.as_str() {
                "data.dir" => "--data",
                "text.bert" => "--bert",
                "train.epochs" => "--epochs",
                "seed" => "--seed",
                key => return format!("--set {key}: {message}"),
            };
            format!("{option} (or --set {key}): {message}")
        }
        Some(LearnerError::BackendAbsent(backend)) => {
            feature_absent(backend, &format!("--backend {backend}"))
        }
        Some(LearnerError::RunExists(folder)) => format!(
            "{}: already holds a run: add --resume to go on with it, or choose another --out",
            folder.display()
        ),
        Some(LearnerError::ConfigChanged {
            path,
            difference,
            acceptable: Some(key),
        }) => format!(
            "{}: is not the configuration given now ({difference}): resume with the run's own, say by \
             --accept-changed {key} that it is meant, or start a new run",
            path.display()
        ),
        Some(LearnerError::DataChanged { path }) => format!(
            "{}: is not among the files this run began with, or not the same (another SHA-256): restore it, say by \
             --accept-changed data that it is meant, or start a new run",
            path.display()
        ),
        Some(LearnerError::OtherData { path }) => format!(
            "{}: is not among the files the model was trained on, or not the same (another SHA-256): restore it, or say by \
             --accept-changed-data that it is meant",
            path.display()
        ),
        Some(LearnerError::FewerEpochs {
            folder,
            done,
            asked,
        }) => format!(
            "{}: has {done} epochs already, --epochs {asked} is less: leave it out, or raise it",
            folder.display()
        ),
        _ => device_sentence(&error.to_string()),
    }
}

/// An error in one sentence where burn made it of many lines, one for each cause.
fn device_sentence(said: &str) -> String {
    let Some((_, cause)) = said.rsplit_once("Caused by:") else {
        return said.to_owned();
    };
    if lacks_memory(said) {
        return NO_MEMORY.to_owned();
    }
    let [what, cause] = [said, cause].map(first_line);
    format!("{what}: {cause}")
}

/// The first line that says anything.
fn first_line(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// Says that the program was built without the cargo feature that an option needs.
pub(crate) fn feature_absent(feature: &str, option: &str) -> String {
    let build = match program() {
        "mmrest" => format!(
            "build one with it by 'cargo build --release -p mmrest --features mmrest/{feature}' in a checkout of {}",
            env!("CARGO_PKG_REPOSITORY")
        ),
        program => format!("'{program}' builds one with it where {option} is given to it"),
    };
    format!("this program was built without the feature '{feature}', which {option} needs: {build}")
}

/// How to get a BERT: the one that belongs into a folder, or else the usual one.
fn another_bert(folder: &Path) -> String {
    let program = program();
    let (command, downloads) = if folder.file_name() == Some(OsStr::new("minilm")) {
        let out = quoted(&near(folder));
        let name = "sentence-transformers/all-MiniLM-L6-v2";
        (format!("bert:{name} --out {out}"), "downloads this one")
    } else {
        ("bert".to_owned(), "downloads one")
    };
    format!("Give a BERT directory by --bert DIR; '{program} data fetch {command}' {downloads}")
}

/// Whether an error means that nobody reads the output any more, as in `predict ... | head`. That is no failure.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}

/// Whether an error means that the user asked the program to stop.
pub(crate) fn was_asked_for(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().map(|cause| cause.downcast_ref());
    causes.any(|cause| matches!(cause, Some(DataError::Stopped)))
}

/// Runs `work`, and turns a panic into an error with the message of the first panic: with a GPU that often comes from
/// another thread, for which the panicking one waited. `RUST_BACKTRACE` shows every panic where it happens.
pub(crate) fn catch_panic<T>(backend: Backend, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let first: Arc<Mutex<Option<String>>> = Arc::default();
    let heard = Arc::clone(&first);
    let shown = std::env::var_os("RUST_BACKTRACE").map(|_| take_hook());
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        let said = panic_message(panic.payload());
        let place = panic
            .location()
            .map_or(String::new(), |at| format!(" at {at}"));
        tracing::warn!("a thread panicked{place}: {said}");
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
        let said = first.take().unwrap_or_else(|| panic_message(&*payload));
        Err(anyhow!(panic_sentence(backend, &said)))
    })
}

fn panic_sentence(backend: Backend, said: &str) -> String {
    let line = first_line(said);
    match backend {
        Backend::Cpu => format!("internal error: {line}; please report it"),
        _ if lacks_memory(said) => NO_MEMORY.to_owned(),
        gpu => format!(
            "the {gpu} device or its driver failed: {line}; try another driver, or --backend cpu"
        ),
    }
}

/// What is said where a GPU's memory is used up.
const NO_MEMORY: &str = "the GPU has too little memory: lower train.batch_size, data.max_frames or text.max_tokens, end what \
    else uses it, or use --backend cpu";

/// Whether a driver's or burn's message means that a device's memory is used up.
fn lacks_memory(said: &str) -> bool {
    let said = said.to_lowercase().replace(['-', '_'], " ");
    let known = ["out of memory", "out of device memory", "outofmemory"];
    known.iter().any(|known| said.contains(known))
}

/// The message of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it did not say why".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn gone() -> std::io::Error {
        std::io::Error::new(ErrorKind::NotFound, "it is gone")
    }

    #[test]
    fn every_cause_is_told_once() {
        let path = std::path::PathBuf::from("a.csd");
        let data = DataError::Io {
            path: path.clone(),
            source: gone(),
        };
        let own = LearnerError::Io {
            action: "read",
            path,
            source: gone(),
        };
        for (error, told) in [
            (LearnerError::from(data), "a.csd: it is gone"),
            (own, "cannot read a.csd: it is gone"),
        ] {
            assert_eq!(sentence(&error.into()), told);
        }
        let error = Err::<(), _>(gone()).context("cannot start").unwrap_err();
        assert_eq!(sentence(&error), "cannot start: it is gone");
    }

    #[test]
    fn a_missing_bert_is_fetched_into_the_folder_that_lacks_it() {
        let told = |folder: &str| sentence(&LearnerError::NoBertFolder(folder.into()).into());
        let minilm = told("/data/bert/minilm");
        let fetch =
            "data fetch bert:sentence-transformers/all-MiniLM-L6-v2 --out /data/bert/minilm'";
        assert!(minilm.contains(fetch), "{minilm}");
        let usual = told("/data/bert/bert-base-uncased");
        assert!(usual.contains("data fetch bert' downloads one"), "{usual}");
        let lacking = EncoderError::MissingFile {
            path: "/data/bert/minilm/vocab.txt".into(),
            hint: "its vocabulary".into(),
        };
        assert!(sentence(&lacking.into()).contains(fetch));
    }

    #[test]
    fn being_stopped_is_known_below_its_context() {
        let stopped = anyhow::Error::from(DataError::Stopped).context("cannot import");
        assert!(was_asked_for(&stopped));
        assert!(!was_asked_for(&gone().into()));
    }

    #[test]
    fn a_closed_pipe_is_known_below_its_context() {
        let broken = std::io::Error::from(ErrorKind::BrokenPipe);
        let error = anyhow::Error::from(broken).context("cannot write the output");
        assert!(reader_is_gone(&error));
        assert!(!reader_is_gone(&gone().into()));
    }

    #[test]
    fn a_panic_becomes_a_sentence_and_the_first_is_told() {
        let error = catch_panic::<()>(Backend::Wgpu, || {
            let _ = std::thread::spawn(|| panic!("no memory\nat all")).join();
            panic!("a channel is closed")
        });
        let told = error.unwrap_err().to_string();
        assert!(
            told.starts_with("the wgpu device or its driver failed: no memory;"),
            "{told}"
        );
        assert!(catch_panic(Backend::Cpu, || Ok(7)).is_ok_and(|seven| seven == 7));
        for said in [
            "An out-of-memory error happened during launch",
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY)",
            "out of device memory allocating 9 bytes",
            "OutOfMemory { reason: .. }",
        ] {
            let told = panic_sentence(Backend::Cuda, said);
            assert_eq!(told, NO_MEMORY);
        }
    }

    #[test]
    fn an_error_of_a_device_is_one_sentence() {
        let burn = |cause: &str| {
            let launch = "An error happened during execution\nCaused by:\n  A launch error happened\nCaused by:\n  ";
            let said = format!("{launch}{cause}\nBacktrace\n   0: a function\n   1: another\n");
            let read = anyhow!("reading the values from the device: {said}");
            [read, LearnerError::Training(said).into()]
                .map(|error| sentence(&error.context("cannot train")))
        };
        for told in burn("out of device memory allocating 4096 bytes") {
            assert_eq!(told, format!("cannot train: {NO_MEMORY}"));
        }
        let [read, training] = burn("An unknown error happened: 700");
        assert_eq!(
            read,
            "cannot train: reading the values from the device: An error happened during execution: \
             An unknown error happened: 700"
        );
        assert_eq!(
            training,
            "cannot train: training stopped: An error happened during execution: An unknown error happened: 700"
        );
    }
}
