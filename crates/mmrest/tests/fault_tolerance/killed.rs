//! A run that is killed at any moment and resumed gives the same results as one that was not killed.

use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Fixture, below};
use crate::succeed;

const EPOCHS: usize = 4;
/// The number of kills that must hit a running run.
const KILLS: usize = 25;
/// How many of them must hit a checkpoint's writing.
const IN_CHECKPOINT: usize = 5;
/// How many of them must find a model waiting.
const AT_MODEL: usize = 2;
/// The most attempts: some runs end before they are killed, and a busy machine is not met at every moment.
const CASES: usize = 200;
/// No run of a second takes so long, whatever else the machine has to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// When a run is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After a share of the time that an unbroken run takes, in thousandths.
    Share(usize),
    /// While a checkpoint is written: the n-th that this start writes.
    Checkpoint(usize),
    /// While the selected model is written, or waits for its checkpoint.
    Model,
}

impl Moment {
    fn draw(random: &mut Random, case: usize) -> Self {
        match case % 5 {
            0 | 1 => Self::Checkpoint(1 + random.below(EPOCHS)),
            2 => Self::Model,
            3 => Self::Share(random.below(1000)),
            _ => Self::Share(random.below(250)), // before or soon after the run begins
        }
    }

    /// Waits for it, or for the end of the run.
    fn wait(self, child: &mut Child, run: &Path, whole: Duration) {
        let began = Instant::now();
        let mut seen = Vec::new();
        loop {
            let reached = match self {
                Self::Share(share) => began.elapsed() >= whole * share as u32 / 1000,
                Self::Model => {
                    run.join("model.next").exists() || run.join("model.next.growing").exists()
                }
                Self::Checkpoint(number) => {
                    let growing = growing(run);
                    seen.extend(growing.filter(|name| !seen.contains(name)));
                    seen.len() >= number
                }
            };
            if reached || child.try_wait().unwrap().is_some() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{self:?}: nothing happens");
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// The checkpoint that is being written, if one is.
fn growing(run: &Path) -> Option<String> {
    let entries = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let mut names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("growing-"))
}

/// How often kills hit which state.
#[derive(Default)]
struct Met {
    alive: AtomicUsize,
    growing: AtomicUsize,
    model: AtomicUsize,
    before: AtomicUsize,
}

impl Met {
    fn counts(&self) -> [usize; 4] {
        [&self.alive, &self.growing, &self.model, &self.before].map(|n| n.load(Ordering::Relaxed))
    }

    fn enough(&self) -> bool {
        let [alive, growing, model, _] = self.counts();
        alive >= KILLS && growing >= IN_CHECKPOINT && model >= AT_MODEL
    }
}

/// One case: killed once or twice, taken up again, compared.
fn case(fixture: &Fixture, number: usize, whole: Duration, expected: &[String; 2], met: &Met) {
    let mut random = Random::new(number as u64);
    let name = format!("run-{number}");
    let run = fixture.path(&name);
    let epochs = EPOCHS.to_string();
    let start = || {
        // What a person does: --resume, unless the run was killed before it had a folder.
        let entered = run.join("run.lock").exists();
        let resume = ["--epochs", &epochs, "--resume"];
        fixture.train(&name, &resume[..2 + usize::from(entered)])
    };
    for kill in 0..1 + usize::from(number.is_multiple_of(3)) {
        let moment = Moment::draw(&mut random, number + kill);
        let mut child = start().spawn().unwrap();
        moment.wait(&mut child, &run, whole);
        let alive = child.try_wait().unwrap().is_none();
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        let count = |counter: &AtomicUsize, yes: bool| {
            counter.fetch_add(usize::from(yes), Ordering::Relaxed);
        };
        count(&met.alive, alive);
        count(&met.growing, growing(&run).is_some());
        count(&met.model, run.join("model.next").exists());
        count(&met.before, !run.join("config.toml").exists());
    }
    succeed(&mut start());
    assert!(
        fixture.results(&name) == *expected,
        "case {number} ends otherwise"
    );
    for path in below(&run) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let draft = name.starts_with(".tmp") || name.starts_with("growing-");
        let half = [".next", ".growing", ".old"]
            .iter()
            .any(|end| name.ends_with(end));
        assert!(!draft && !half, "case {number} leaves {}", path.display());
    }
    std::fs::remove_dir_all(run).unwrap();
}

#[test]
fn a_run_killed_at_any_moment_ends_as_one_that_was_not() {
    let fixture = Fixture::small();
    let epochs = EPOCHS.to_string();
    succeed(&mut fixture.train("first", &["--epochs", &epochs])); // packs the data
    let began = Instant::now();
    succeed(&mut fixture.train("whole", &["--epochs", &epochs]));
    let whole = began.elapsed();
    let expected = fixture.results("whole");
    assert!(fixture.results("first") == expected);
    let (met, next) = (Met::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= CASES || met.enough() {
                        return;
                    }
                    case(&fixture, number, whole, &expected, &met);
                }
            });
        }
    });
    let [alive, growing, model, before] = met.counts();
    println!(
        "{alive} kills: {growing} in a checkpoint's writing, {model} with a model waiting, {before} before the run began"
    );
    assert!(met.enough(), "in {CASES} cases not enough");
}

#[test]
fn a_run_killed_before_it_began_begins_when_it_is_resumed() {
    let fixture = Fixture::small();
    std::fs::create_dir(fixture.path("run")).unwrap();
    for left in ["run.lock", "log.jsonl", ".tmpAbCdEf.tmp"] {
        std::fs::write(fixture.path("run").join(left), "").unwrap();
    }
    succeed(&mut fixture.train("run", &["--epochs", "1", "--resume"]));
    assert!(!fixture.path("run/.tmpAbCdEf.tmp").exists());
    // The record is written before the configuration, which makes the run.
    std::fs::create_dir(fixture.path("half")).unwrap();
    for file in ["run.lock", "run.json"] {
        std::fs::copy(
            fixture.path("run").join(file),
            fixture.path("half").join(file),
        )
        .unwrap();
    }
    succeed(&mut fixture.train("half", &["--epochs", "1", "--resume"]));
    assert!(fixture.results("half") == fixture.results("run"));
}

/// Numbers that are the same in every run of a test.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
