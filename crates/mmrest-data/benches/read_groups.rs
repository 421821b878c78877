//! Reading a computational sequence of CMU-MOSEI's size, 23,000 groups, against h5py on the same file in the same run.
//!
//! ```text
//! cargo bench -p mmrest-data --bench read_groups -- --python PATH
//! ```
//!
//! `--python PATH` (or the variable `MMREST_PYTHON`) is a Python interpreter with h5py; without one only this crate is
//! measured. `--groups N`, `--longest ROWS` and `--repeats N` make it smaller, `--file PATH` keeps the file and uses it
//! again. The two read in turn, after one reading each that does not count, so that both find the file in memory; CPU time
//! is that of all threads (Linux only), opening included, starting Python and importing h5py not. The goal is a third of
//! h5py's.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};

/// Features of a frame, as of COVAREP.
const WIDTH: usize = 74;
/// Rows of the shortest entry.
const SHORTEST: usize = 40;
/// Clock ticks a second in `/proc`, the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Options {
    python: Option<PathBuf>,
    groups: usize,
    longest: usize,
    repeats: usize,
    file: Option<PathBuf>,
}

impl Options {
    fn parse() -> Outcome<Self> {
        let mut options = Self {
            python: std::env::var_os("MMREST_PYTHON").map(PathBuf::from),
            groups: 23_000,
            longest: 700,
            repeats: 5,
            file: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--bench" {
                continue; // cargo's own
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--python" => options.python = Some(value.into()),
                "--file" => options.file = Some(value.into()),
                "--groups" => options.groups = value.parse()?,
                "--longest" => options.longest = value.parse()?,
                "--repeats" => options.repeats = value.parse()?,
                _ => return Err(format!("no option {name}").into()),
            }
        }
        if options.repeats == 0 || options.longest < SHORTEST {
            return Err(format!("at least 1 repeat, and {SHORTEST} rows").into());
        }
        Ok(options)
    }
}

/// What one reading found and took.
#[derive(Clone, Copy)]
struct Reading {
    entries: usize,
    values: usize,
    cpu: f64,
    wall: f64,
}

fn main() -> Outcome<()> {
    let options = Options::parse()?;
    let folder = tempfile::tempdir()?;
    let path = match &options.file {
        Some(path) => path.clone(),
        None => folder.path().join("groups.csd"),
    };
    if !path.is_file() {
        write(&path, &options)?;
    }
    println!(
        "{}: {:.0} MB",
        path.display(),
        std::fs::metadata(&path)?.len() as f64 / 1e6
    );
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for repeat in 0..=options.repeats {
        let mine = read(&path)?;
        let other = options
            .python
            .as_deref()
            .map(|python| read_by_h5py(python, &path));
        let other = other.transpose()?;
        if let Some(other) = other
            && (mine.entries, mine.values) != (other.entries, other.values)
        {
            return Err(format!(
                "{} entries with {} values, h5py found {} with {}",
                mine.entries, mine.values, other.entries, other.values
            )
            .into());
        }
        if repeat > 0 {
            own.push(mine);
            theirs.extend(other);
        }
    }
    report(&own, &theirs);
    Ok(())
}

/// Writes the file. Most entries are short, as segments are; values have all their digits, and one in four is 0, as where
/// nobody speaks.
fn write(path: &Path, options: &Options) -> Outcome<()> {
    let start = Instant::now();
    let mut state = 7_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let span = (options.longest - SHORTEST) as f64;
    let entries = (0..options.groups).map(|group| {
        let share = f64::from(random() % 10_000) / 10_000.0;
        let rows = SHORTEST + (span * share * share * share) as usize;
        let value = |word: u32| match word % 4 {
            0 => 0.0,
            _ => word as f32 / (1_u32 << 29) as f32 - 2.0,
        };
        let values = (0..rows * WIDTH).map(|_| value(random())).collect();
        let at = |row: usize| row as f64 / 100.0;
        let entry = Entry {
            intervals: (0..rows).map(|row| [at(row), at(row + 1)]).collect(),
            features: Features::Numeric {
                values,
                width: WIDTH,
            },
        };
        (format!("video_{:05}[{}]", group / 7, group % 7), entry)
    });
    csd::write(
        path,
        "COVAREP",
        &csd::metadata("COVAREP", "a benchmark"),
        entries,
    )?;
    println!(
        "wrote {} groups in {:.0} s",
        options.groups,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn read(path: &Path) -> Outcome<Reading> {
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    let sequence = ComputationalSequence::open(path)?;
    let (mut entries, mut values) = (0, 0);
    for id in sequence.ids() {
        let entry = sequence.read(id)?;
        values += entry.len() * (entry.features.width() + 2);
        entries += 1;
    }
    Ok(Reading {
        entries,
        values,
        cpu: cpu_seconds()? - cpu,
        wall: wall.elapsed().as_secs_f64(),
    })
}

fn read_by_h5py(python: &Path, path: &Path) -> Outcome<Reading> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/read_groups.py");
    let output = Command::new(python).arg(script).arg(path).output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let told: Vec<f64> = told
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [entries, values, cpu, wall] = told[..] else {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {errors}", python.display()).into());
    };
    Ok(Reading {
        entries: entries as usize,
        values: values as usize,
        cpu,
        wall,
    })
}

/// CPU seconds of this process so far, its threads and the kernel's work for it included.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field, the program's name in parentheses, may hold anything; user and system time are the 14th and 15th.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    match fields.get(11..13) {
        Some([user, system]) => Ok((user.parse::<f64>()? + system.parse::<f64>()?) / TICKS),
        _ => Err("/proc/self/stat has no times".into()),
    }
}

fn report(own: &[Reading], theirs: &[Reading]) {
    let median = |readings: &[Reading], of: fn(&Reading) -> f64| {
        let mut times: Vec<f64> = readings.iter().map(of).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    };
    for (name, readings) in [("mmrest-data", own), ("h5py", theirs)] {
        if let (Some(cpu), Some(wall)) = (median(readings, |r| r.cpu), median(readings, |r| r.wall))
        {
            let each: Vec<String> = readings.iter().map(|r| format!("{:.2}", r.cpu)).collect();
            println!(
                "{name:12} {cpu:6.2} s CPU, {wall:6.2} s wall (medians; CPU of each: {})",
                each.join(" ")
            );
        }
    }
    match (median(own, |r| r.cpu), median(theirs, |r| r.cpu)) {
        (Some(own), Some(theirs)) if theirs > 0.0 => {
            let ratio = own / theirs;
            let goal = if ratio <= 1.0 / 3.0 { "met" } else { "missed" };
            println!("ratio {ratio:.2}: the goal of a third is {goal}");
        }
        _ => println!("h5py was not measured: --python PATH gives an interpreter that has it"),
    }
}
