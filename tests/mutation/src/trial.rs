//! Thousands of damaged inputs through a reader.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Once, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::memory;
use crate::mutator::{Form, generator, mutated};

/// Inputs of each kind. `MMREST_MUTATIONS` sets another number, for a longer search.
pub const INPUTS: u64 = 10_000;

/// An input that takes longer by the clock runs again alone, where it may not take longer in processor time.
const SLOW: Duration = Duration::from_secs(2);

/// After this long an input counts as never coming to an end.
const STUCK: Duration = Duration::from_secs(120);

/// Failures told at most; more of the same tell nothing new.
const TOLD: usize = 12;

/// Inputs run side by side, and one that was slow or large runs again alone: another may have been the cause.
static ALONE: RwLock<()> = RwLock::new(());

/// Digests of the files of a folder, and the files that say that there are some. They give any damage away, so most inputs
/// are read without them, as an older version wrote them.
const DIGESTS: &str = "SHA256SUMS";
const SEALED: [&str; 2] = ["model.json", "progress.json"];

/// A reader: what it says of the folder it is given, from which it reads all that there is.
pub type Reader<'a> = dyn Fn(&Path) -> Result<(), String> + 'a;

/// A file that is damaged.
#[derive(Debug)]
pub struct Subject {
    /// Its path in the folder.
    pub path: PathBuf,
    /// What is known of its structure.
    pub form: Form,
    /// Valid contents, of which the first stands in the folder while another file is damaged.
    pub valid: Vec<Vec<u8>>,
}

impl Subject {
    /// A file of valid contents.
    pub fn new(path: impl Into<PathBuf>, form: Form, valid: Vec<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            form,
            valid,
        }
    }
}

/// One kind of input, and what reads it.
pub struct Trial<'a> {
    /// Names the kind, and with a number an input.
    pub kind: &'static str,
    /// The files that are damaged, one at a time.
    pub subjects: Vec<Subject>,
    /// Files that a reader needs beside them and that stay whole.
    pub beside: Vec<Subject>,
    /// Reads the folder.
    pub read: &'a Reader<'a>,
    /// Whether a refusal says where in the file the fault is, for the files in which there are places.
    pub place: fn(file: &Path, refusal: &str) -> bool,
}

/// How an input fared.
enum Outcome {
    Read,
    Refused(String),
    Failed(String),
}

/// What was counted, and what went wrong.
#[derive(Default)]
struct Tally {
    read: u64,
    refused: u64,
    reasons: BTreeMap<String, u64>,
    failures: BTreeMap<String, (u64, PathBuf)>,
}

impl Trial<'_> {
    /// Runs [`INPUTS`] inputs in a folder of its own below `scratch`, which stays where something went wrong.
    ///
    /// # Panics
    ///
    /// With every failure, the number of the input and where it is kept: a panic, two seconds or 512 MiB exceeded,
    /// a refusal that does not name a file and a place. A reader that refuses everything, or nothing, has not been tried.
    pub fn run(&self, scratch: &Path) {
        let inputs = std::env::var("MMREST_MUTATIONS").ok();
        let inputs = inputs.and_then(|n| n.parse().ok()).unwrap_or(INPUTS);
        let folder = scratch.join("mutation").join(self.kind);
        drop(std::fs::remove_dir_all(&folder));
        for subject in self.subjects.iter().chain(&self.beside) {
            restore(&folder, subject);
        }
        quiet();
        if let Err(refusal) = (self.read)(&folder) {
            panic!("{}: the valid input is refused: {refusal}", self.kind);
        }
        let start = Instant::now();
        let tally = self.watched(inputs, &folder);
        println!("{}: {:.1} s", self.kind, start.elapsed().as_secs_f64());
        self.report(inputs, &tally);
        drop(std::fs::remove_dir_all(&folder));
    }

    /// Runs inputs that were found once, each in the place of the first subject.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn run_found(&self, scratch: &Path, found: &[Vec<u8>]) {
        let folder = scratch.join("regressions").join(self.kind);
        drop(std::fs::remove_dir_all(&folder));
        for subject in self.subjects.iter().chain(&self.beside) {
            restore(&folder, subject);
        }
        quiet();
        self.unseal(&folder);
        let subject = self.subjects.first().expect("a subject");
        for (number, input) in found.iter().enumerate() {
            write(&folder.join(&subject.path), input);
            let outcome = match self.judged(&folder, subject) {
                Outcome::Failed(what) => Some(what),
                _ => self.alone(&folder),
            };
            assert!(
                outcome.is_none(),
                "{}, input {number}: {outcome:?}",
                self.kind
            );
        }
    }

    /// All inputs, under the eye of a thread that ends the program where one never ends: its input is then in the folder.
    fn watched(&self, inputs: u64, folder: &Path) -> Tally {
        let (done, current, kind) = (AtomicBool::new(false), AtomicU64::new(0), self.kind);
        std::thread::scope(|scope| {
            scope.spawn(|| watch(kind, folder, &done, &current));
            let mut tally = Tally::default();
            for number in 0..inputs {
                current.store(number, Relaxed);
                self.one(number, folder, &mut tally);
            }
            done.store(true, Relaxed);
            tally
        })
    }

    fn one(&self, number: u64, folder: &Path, tally: &mut Tally) {
        let mut rng = generator(self.kind, number);
        let subject = self.subjects.choose(&mut rng).expect("a file to damage");
        let kept = subject.path.ends_with(DIGESTS) || rng.random_bool(0.1);
        let input = if kept {
            mutated(&mut rng, subject.form, &subject.valid)
        } else {
            self.unseal(folder);
            let valid: Vec<Vec<u8>> = subject.valid.iter().map(|v| unsealed(v)).collect();
            mutated(&mut rng, subject.form, &valid)
        };
        write(&folder.join(&subject.path), &input);
        match self.judged(folder, subject) {
            Outcome::Read => tally.read += 1,
            Outcome::Refused(reason) => {
                tally.refused += 1;
                *tally.reasons.entry(reason).or_default() += 1;
            }
            Outcome::Failed(what) => {
                let kept = self.keep(folder, subject, number, &input);
                let entry = tally.failures.entry(what).or_insert((0, kept));
                entry.0 += 1;
            }
        }
        if self.subjects.len() > 1 {
            restore(folder, subject);
        }
        if !kept {
            self.sealed().for_each(|other| restore(folder, other));
        }
    }

    /// The files by which damage is told.
    fn sealed(&self) -> impl Iterator<Item = &Subject> {
        let all = self.subjects.iter().chain(&self.beside);
        let sealed = |path: &Path| SEALED.iter().any(|name| path.ends_with(name));
        all.filter(move |file| file.path.ends_with(DIGESTS) || sealed(&file.path))
    }

    /// Makes the folder one in which damage is not told.
    fn unseal(&self, folder: &Path) {
        for file in self.sealed() {
            let path = folder.join(&file.path);
            if file.path.ends_with(DIGESTS) {
                drop(std::fs::remove_file(path));
            } else {
                write(&path, &unsealed(&file.valid[0]));
            }
        }
    }

    /// Reads the folder once, and a second and third time alone where it was slow or large.
    fn judged(&self, folder: &Path, subject: &Subject) -> Outcome {
        let (outcome, suspect) = {
            let _together = ALONE.read().unwrap_or_else(PoisonError::into_inner);
            let (before, start) = (memory::exceeded(), Instant::now());
            let outcome = caught(self.read, folder);
            (
                outcome,
                start.elapsed() > SLOW || memory::exceeded() != before,
            )
        };
        if suspect && let Some(what) = self.alone(folder) {
            return Outcome::Failed(what);
        }
        match outcome {
            Err(panic) => Outcome::Failed(panic),
            Ok(Ok(())) => Outcome::Read,
            Ok(Err(refusal)) => self.refusal(folder, subject, &refusal),
        }
    }

    fn alone(&self, folder: &Path) -> Option<String> {
        let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let start = ProcessTime::now();
            let (_, peak) = memory::peak(|| drop(caught(self.read, folder)));
            if peak > memory::LIMIT {
                return Some(format!("memory: {} MiB", peak >> 20));
            }
            fastest = fastest.min(start.elapsed());
            if fastest <= SLOW {
                return None;
            }
        }
        Some(format!("time: {:.0} s", fastest.as_secs_f64()))
    }

    /// A refusal names one of the files (not always the one that was damaged: two may contradict each other) and the place.
    fn refusal(&self, folder: &Path, subject: &Subject, refusal: &str) -> Outcome {
        let named = self
            .subjects
            .iter()
            .find(|subject| refusal.contains(&folder.join(&subject.path).display().to_string()));
        let reason = shape(&refusal.replace(&folder.display().to_string(), ""));
        match named {
            None => Outcome::Failed(format!("names no file: {reason}")),
            Some(_) if !(self.place)(&subject.path, refusal) => {
                Outcome::Failed(format!("names no place: {reason}"))
            }
            Some(_) => Outcome::Refused(reason),
        }
    }

    /// Puts an input where it stays.
    fn keep(&self, folder: &Path, subject: &Subject, number: u64, input: &[u8]) -> PathBuf {
        let name = subject.path.to_string_lossy().replace('/', "-");
        let kept = folder.with_file_name("found");
        let kept = kept.join(format!("{}-{number}-{name}", self.kind));
        write(&kept, input);
        kept
    }

    fn report(&self, inputs: u64, tally: &Tally) {
        println!(
            "{}: {inputs} inputs, {} read, {} refused for {} reasons",
            self.kind,
            tally.read,
            tally.refused,
            tally.reasons.len()
        );
        if std::env::var_os("MMREST_REASONS").is_some() {
            for (reason, count) in &tally.reasons {
                println!("{count:6}  {reason}");
            }
        }
        let mut told = String::new();
        for (what, (times, kept)) in tally.failures.iter().take(TOLD) {
            let kept = kept.display();
            writeln!(told, "{times} times: {what}\n    {kept}").expect("memory");
        }
        let found = tally.failures.len();
        assert!(told.is_empty(), "{}: {found} faults\n{told}", self.kind);
        assert!(
            tally.read >= inputs / 200 && tally.refused >= inputs / 20,
            "{}: {} read and {} refused of {inputs}: what tries a reader does both",
            self.kind,
            tally.read,
            tally.refused
        );
    }
}

/// Makes a folder, with those below it, one in which damage is not told by digests: what they guard is what is tried.
///
/// # Panics
///
/// Where it cannot be read or written.
pub fn unseal(folder: &Path) {
    for file in crate::seed::files(folder) {
        let path = folder.join(&file);
        if file.ends_with(DIGESTS) {
            std::fs::remove_file(path).expect("a file");
        } else if SEALED.iter().any(|name| file.ends_with(name)) {
            let sealed = std::fs::read(&path).expect("a file");
            write(&path, &unsealed(&sealed));
        }
    }
}

/// A file without the keys of its seal; as it is where it has none.
fn unsealed(valid: &[u8]) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut json)) = serde_json::from_slice(valid) else {
        return valid.to_vec();
    };
    if json.remove("seal").is_none() {
        return valid.to_vec();
    }
    for key in ["files", "sha256sums"] {
        json.remove(key);
    }
    serde_json::Value::Object(json).to_string().into_bytes()
}

/// Ends the program where one input takes for ever.
fn watch(kind: &str, folder: &Path, done: &AtomicBool, current: &AtomicU64) {
    let (mut seen, mut since) = (0, Instant::now());
    while !done.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        let now = current.load(Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() > STUCK {
            eprintln!("{kind}, input {now}: no end; it is in {}", folder.display());
            std::process::abort();
        }
    }
}

fn restore(folder: &Path, subject: &Subject) {
    let valid = subject.valid.first().expect("a valid input");
    write(&folder.join(&subject.path), valid);
}

/// Some file systems write a file through to the disk when it was emptied and filled again: one that is there is filled
/// over.
fn write(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("a folder to write to");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    let mut file = options.open(path).expect("a file to write to");
    file.write_all(bytes).expect("room to write");
    file.set_len(bytes.len() as u64)
        .expect("a file to write to");
}

/// A sentence without what differs from one input to the next: numbers and what is quoted.
fn shape(sentence: &str) -> String {
    let mut shape = String::new();
    let mut quoted = false;
    for letter in sentence.chars() {
        match letter {
            '"' | '`' => {
                quoted = !quoted;
                shape.push(letter);
            }
            _ if quoted => {}
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            _ if shape.len() > 160 => break,
            _ => shape.push(letter),
        }
    }
    shape
}

thread_local! {
    /// Where this thread's last panic was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics off the terminal: they are caught and told with their inputs.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let caught = CATCHING.with(|catching| *catching.borrow());
            if !caught {
                shown(panic);
            }
            let place = panic.location().map(ToString::to_string);
            PLACE.with(|kept| *kept.borrow_mut() = place);
        }));
    });
}

thread_local! {
    /// Whether this thread is reading an input.
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

fn caught(read: &Reader<'_>, folder: &Path) -> Result<Result<(), String>, String> {
    CATCHING.with(|catching| *catching.borrow_mut() = true);
    let outcome = catch_unwind(AssertUnwindSafe(|| read(folder)));
    CATCHING.with(|catching| *catching.borrow_mut() = false);
    outcome.map_err(|payload| {
        let place = PLACE.with(|kept| kept.borrow_mut().take());
        let place = place.unwrap_or_else(|| "another thread".to_owned());
        format!("panic at {place}: {}", shape(&message(&*payload)))
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
