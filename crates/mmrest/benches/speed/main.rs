//! `cargo xtask bench`: how long the work takes, alone, beside PyTorch, or beside what it took before.

mod agree;
mod baseline;
mod check;
mod device;
mod growth;
mod lengths;
mod predicting;
mod systems;
mod table;
mod timing;
mod torch;
mod training;
mod works;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use burn::tensor::Device;
use clap::Parser;
use mmrest_learner::{Backend, Precision, open_device};

use baseline::{Baseline, Calibration};
use check::Check;
use device::On;
use table::Line;
use timing::measure;
use torch::{Peer, Torch};
use works::{WORKS, Work};

/// Time the work that training and prediction consist of.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// What to measure: names as the table shows them, all but the models where none is given. `models`: a training step of
    /// every model.
    names: Vec<String>,
    /// Do the same work in PyTorch in turn, or let MMSA train the models that it has, and print the ratios.
    #[arg(long, value_enum)]
    against: Option<Peer>,
    /// The Python that has PyTorch, or MMSA [default: target/torch/bin/python, target/mmsa/bin/python].
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Compare with a saved file, as multiples of a calibration loop; exit code 1 where something is slower.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How much slower than the baseline something may be, as a share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.25)]
    tolerance: f64,
    /// Save what was measured, for --baseline.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Measure how cost grows with sizes instead, print a Markdown table and draw it into this SVG file.
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["names", "against", "baseline", "save", "json"])]
    growth: Option<PathBuf>,
    /// Measure training steps and epochs on a device of this backend instead: cpu, wgpu or cuda. With the name gpu-check,
    /// compare the figures of the sample with the CPU's first.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["growth", "baseline", "save"])]
    backend: Option<Backend>,
    /// The device, by its number.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "backend")]
    device: usize,
    /// In what matrix products are computed: f32, tf32, bf16 [default: all that the backend computes in].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = precision, requires = "backend")]
    precision: Vec<Precision>,
    /// Measure very small works: to see that everything runs.
    #[arg(long, requires = "backend")]
    quick: bool,
    /// Keep the device's table and numbers in this folder, line by line.
    #[arg(long, value_name = "FOLDER", requires = "backend")]
    out: Option<PathBuf>,
    /// Seconds after which the device's table ends.
    #[arg(long, value_name = "N", default_value_t = 3600, requires = "backend")]
    limit: u64,
    /// Do this device's work when told to.
    #[arg(long, hide = true, value_name = "NAME", requires = "backend")]
    serve_work: Option<String>,
    /// Train the sample on this device.
    #[arg(long, hide = true, requires = "backend")]
    train_sample: bool,
    /// Measure this process's memory instead.
    #[arg(long, hide = true)]
    peak_memory: bool,
    /// Measure this process's memory of a model's training steps instead.
    #[arg(long, hide = true, value_name = "MODEL")]
    peak_memory_of: Option<String>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A precision by its name in configurations.
fn precision(name: &str) -> Result<Precision, String> {
    let name = serde_json::Value::String(name.to_owned());
    serde_json::from_value(name).map_err(|_| "choose f32, tf32 or bf16".to_owned())
}

/// Where relative paths are meant from: cargo starts a benchmark from its package's folder.
const CALLED_FROM: &str = "MMREST_CALLED_FROM";

fn main() -> ExitCode {
    mmrest_learner::keep_freed_memory();
    if let Some(folder) = std::env::var_os(CALLED_FROM)
        && let Err(error) = std::env::set_current_dir(&folder)
    {
        eprintln!(
            "error: cannot go to {}: {error}",
            Path::new(&folder).display()
        );
        return ExitCode::FAILURE;
    }
    let outcome = run(&Arguments::parse());
    works::remove_scratch();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints, compares; whether nothing is slower than it may be.
fn run(arguments: &Arguments) -> Result<bool, String> {
    if let Some(backend) = arguments.backend {
        return on_device(arguments, backend);
    }
    let device = open_device(Backend::Cpu, 0).map_err(|error| error.to_string())?;
    if arguments.peak_memory {
        println!("{}", training::peak_memory(&device)?);
        return Ok(true);
    }
    if let Some(name) = &arguments.peak_memory_of {
        println!("{}", systems::peak_memory(&device, name)?);
        return Ok(true);
    }
    if let Some(path) = &arguments.growth {
        let curves = growth::measure(&device)?;
        print!("{}\n\n{}", Calibration::measure(), growth::table(&curves));
        growth::plot(&curves, path)?;
        return Ok(true);
    }
    let models = models(arguments)?;
    let works = match (models.is_empty(), arguments.against) {
        (true, _) | (_, Some(Peer::Torch)) => chosen(&arguments.names)?,
        _ => Vec::new(),
    };
    let only = match works[..] {
        [work] => work.name,
        _ => "",
    };
    let python = interpreter(arguments, only)?;
    let before = arguments.baseline.as_deref().map(Baseline::read);
    let before = before.transpose()?;
    let calibration = Calibration::measure();
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    let mut measured = |name: &str, outcome: Result<Line, String>| match outcome {
        Ok(line) => {
            eprintln!("{line}");
            lines.push(line);
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            failures.push(name.to_owned());
        }
    };
    for work in works {
        measured(work.name, line(work, &device, python.as_deref()));
    }
    let mut memories = Vec::new();
    for name in &models {
        measured(name, model_line(name, &device, python.as_deref()));
        let theirs = python.as_deref().map(|python| their_memory(python, name));
        memories.push((*name, systems::memory(name)?, theirs.transpose()?));
    }
    let alone = models.is_empty();
    let asked = arguments.names.is_empty() || arguments.names.iter().any(|n| n == MEMORY);
    let memory = if alone && asked {
        eprintln!("{MEMORY} ...");
        Some(training::compare_memory(python.as_deref(), threads())?)
    } else {
        None
    };
    let now = Baseline::new(&lines, &calibration);
    let slower = before
        .map(|before| now.slower_than(&before, arguments.tolerance))
        .unwrap_or_default();
    if let Some(path) = &arguments.save {
        now.write(path)?;
    }
    if arguments.json {
        println!("{}", table::json(&lines, &calibration, memory, &memories)?)
    } else {
        print!("{}", table::text(&lines, &calibration, memory, &memories))
    }
    for slow in &slower {
        eprintln!("slower than the baseline: {slow}");
    }
    match failures.is_empty() {
        true => Ok(slower.is_empty()),
        false => Err(format!("not measured: {}", failures.join(", "))),
    }
}

/// The device's table, or a process of it.
fn on_device(arguments: &Arguments, backend: Backend) -> Result<bool, String> {
    let on = On {
        backend,
        index: arguments.device,
        precision: arguments.precision.first().copied().unwrap_or_default(),
        quick: arguments.quick,
    };
    if let Some(name) = &arguments.serve_work {
        return device::serve(&on, name).map(|()| true);
    }
    if arguments.train_sample {
        return agree::train_here(&on).map(|()| true);
    }
    if arguments.against == Some(Peer::Mmsa) {
        return Err("MMSA's trainers are compared on the CPU: leave --backend out".into());
    }
    let python = interpreter(arguments, "")?;
    check::run(&Check {
        backend,
        index: arguments.device,
        quick: arguments.quick,
        names: &arguments.names,
        precisions: &arguments.precision,
        python: python.as_deref(),
        out: arguments.out.as_deref(),
        limit: Duration::from_secs(arguments.limit),
        json: arguments.json,
    })
}

/// The other side's Python for a work, or for several (by no name), where there is another side.
fn interpreter(arguments: &Arguments, work: &str) -> Result<Option<PathBuf>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap_or(root);
    let python = arguments.python.as_deref();
    let of = |peer| torch::interpreter(peer, work, python, &root);
    match (arguments.against, arguments.backend) {
        (Some(Peer::Torch), Some(_)) => torch::device_interpreter(python, &root).map(Some),
        (Some(peer), _) => of(peer).map(Some),
        (None, _) => Ok(None),
    }
}

/// The line that is no time: the most memory training holds.
const MEMORY: &str = "memory";

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The models whose training steps are measured.
fn models(arguments: &Arguments) -> Result<Vec<&'static str>, String> {
    let known = systems::names(arguments.against);
    let all = arguments.names.iter().any(|name| name == MODELS);
    if all || (arguments.names.is_empty() && arguments.against == Some(Peer::Mmsa)) {
        return Ok(known);
    }
    let asked = |name: &&str| arguments.names.iter().any(|asked| asked == name);
    let found: Vec<_> = known.iter().copied().filter(asked).collect();
    if arguments.against == Some(Peer::Mmsa) && found.len() < arguments.names.len() {
        return Err(format!("MMSA has {}", known.join(", ")));
    }
    if found.is_empty() || found.len() == arguments.names.len() {
        return Ok(found);
    }
    Err("measure models and other work one after the other".into())
}

/// Every model.
const MODELS: &str = "models";

/// The line of a model's training steps.
fn model_line(name: &'static str, device: &Device, python: Option<&Path>) -> Result<Line, String> {
    let mut ours = systems::step(device, name)?;
    let mut torch = match python {
        Some(python) => Some(Torch::start::<&str>(
            Peer::Mmsa,
            python,
            name,
            threads(),
            &[],
        )?),
        None => None,
    };
    let before = Calibration::measure();
    let (ours, theirs) = measure(&mut *ours, torch.as_mut(), systems::ROUNDS)?;
    let calibration = Calibration::about(&before, &Calibration::measure());
    Ok(Line {
        name,
        what: "one training step",
        goal: systems::GOAL,
        ours,
        theirs,
        calibration,
    })
}

fn their_memory(python: &Path, name: &str) -> Result<f64, String> {
    let mut torch = Torch::start::<&str>(Peer::Mmsa, python, name, threads(), &[])?;
    for _ in 0..3 {
        torch.round()?;
    }
    torch.memory()
}

fn chosen(names: &[String]) -> Result<Vec<&'static Work>, String> {
    let known = || {
        let works = WORKS.iter().map(|work| work.name);
        works.chain([MEMORY]).collect::<Vec<_>>()
    };
    if let Some(unknown) = names.iter().find(|name| !known().contains(&name.as_str())) {
        return Err(format!(
            "no bench {unknown:?}; there are {}",
            known().join(", ")
        ));
    }
    let wanted = |work: &&Work| names.is_empty() || names.iter().any(|name| name == work.name);
    Ok(WORKS.iter().filter(wanted).collect())
}

/// One line of the table.
fn line(work: &Work, device: &Device, python: Option<&Path>) -> Result<Line, String> {
    let mut ours = (work.set_up)(device)?;
    let mut torch = match python {
        Some(python) => Some(start(work, python)?),
        None => None,
    };
    let before = Calibration::measure();
    let (ours, theirs) = measure(&mut *ours, torch.as_mut(), work.rounds)?;
    let calibration = Calibration::about(&before, &Calibration::measure());
    Ok(Line {
        name: work.name,
        what: work.what,
        goal: work.goal,
        ours,
        theirs,
        calibration,
    })
}

fn start(work: &Work, python: &Path) -> Result<Torch, String> {
    let files = match work.name {
        "tokenize" => works::tokenizer_files()?.to_vec(),
        "sims33" => works::sound_files()?.to_vec(),
        "predict-texts" => predicting::files()?.to_vec(),
        _ => Vec::new(),
    };
    Torch::start(Peer::Torch, python, work.name, threads(), &files)
}
