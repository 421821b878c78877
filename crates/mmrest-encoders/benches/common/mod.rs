//! Timing two programs against each other: one call of each in turn, so that both meet the same machine.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// A measured part, and what is called to run it once.
pub(crate) type Part<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// Runs all parts `--repeats N` times (default 15) in turn, with PyTorch's in between when `--python PATH` is given, and
/// prints medians, quartiles and the ratio of medians. `lengths` go to `benches/torch/<script>`.
pub(crate) fn compare(script: &str, lengths: &[usize], mut parts: Vec<Part<'_>>) -> Result<()> {
    let mut python = None;
    let mut repeats = 15;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--python" => python = Some(arguments.next().context("--python takes a path")?),
            "--repeats" => {
                repeats = arguments
                    .next()
                    .context("--repeats takes a number")?
                    .parse()?
            }
            "--bench" => {}
            other => bail!("{other}: only --python PATH and --repeats N are known"),
        }
    }
    let mut torch = python
        .map(|path| Torch::start(&path, script, lengths))
        .transpose()?;
    for (name, run) in &mut parts {
        let mut times = (Vec::new(), Vec::new());
        for repeat in 0..repeats + 2 {
            let start = Instant::now();
            run();
            let ours = start.elapsed().as_secs_f64();
            let theirs = torch.as_mut().map(|torch| torch.run(name)).transpose()?;
            if repeat >= 2 {
                times.0.push(ours);
                times.1.extend(theirs);
            }
        }
        let ours = Spread::of(times.0);
        print!("{name}: mmrest {ours}");
        if times.1.is_empty() {
            println!();
        } else {
            let theirs = Spread::of(times.1);
            println!(
                ", PyTorch {theirs}, ratio {:.2}",
                ours.median / theirs.median
            );
        }
    }
    Ok(())
}

struct Spread {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Spread {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |quarter: usize| times.get((times.len() * quarter / 4).min(times.len() - 1));
        let [lower, median, upper] = [1, 2, 3].map(|quarter| at(quarter).copied().unwrap_or(0.0));
        Self {
            lower,
            median,
            upper,
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [lower, median, upper] = [self.lower, self.median, self.upper].map(|time| time * 1e3);
        write!(f, "{median:.1} ms ({lower:.1} to {upper:.1})")
    }
}

/// A Python program that runs a part when it reads its name, and answers with the seconds that took.
struct Torch {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Torch {
    fn start(python: &str, script: &str, lengths: &[usize]) -> Result<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("benches/torch")
            .join(script);
        let lengths: Vec<String> = lengths.iter().map(usize::to_string).collect();
        let mut process = Command::new(python)
            .arg(script)
            .arg(std::thread::available_parallelism()?.to_string())
            .arg(lengths.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{python} does not start"))?;
        let answers = process.stdout.take().context("no answers from Python")?;
        Ok(Self {
            process,
            answers: BufReader::new(answers),
        })
    }

    fn run(&mut self, part: &str) -> Result<f64> {
        let stdin = self.process.stdin.as_mut().context("Python has ended")?;
        writeln!(stdin, "{part}")?;
        stdin.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "Python ended early");
        Ok(answer.trim().parse()?)
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
