//! Training steps and epochs on a device of their own, in a process of their own: `--backend cuda` in each precision.
//!
//! A process computes in one precision, since a device keeps the one that it was opened for. It speaks as
//! benches/torch/device.py does, the other side. Clocks are read when the device has nothing left to do.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use mmrest_encoders::BertConfig;
use mmrest_learner::{Backend, OpenDevice, Precision};
use mmrest_models::MmRestConfig;

use crate::timing::Rounds;
use crate::torch::Torch;
use crate::training::{Sizes, Training, own_peak_memory};
use crate::works::minilm;

/// A line of the device's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceWork {
    /// Its name, here and in device.py.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    /// What of the other side's time it may take at most.
    pub(crate) goal: f64,
    pub(crate) rounds: Rounds,
    /// Whether a whole epoch is one round.
    epoch: bool,
}

const STEPS: Rounds = Rounds {
    least: 5,
    most: 40,
    seconds: 3.0,
};
const EPOCHS: Rounds = Rounds {
    least: 1,
    most: 3,
    seconds: 15.0,
};

/// Every line, by worth: time may end before the last.
pub(crate) const DEVICE_WORKS: [DeviceWork; 5] = [
    DeviceWork {
        name: "step-base",
        what: "one training step, a text encoder of bert-base's size fine-tuned, batch 64, audio by word (CMU-MOSI's lengths)",
        goal: 0.7,
        rounds: STEPS,
        epoch: false,
    },
    DeviceWork {
        name: "step-long",
        what: "one training step, a small text encoder, batch 64, audio of up to 500 frames and vision of up to 300",
        goal: 0.5,
        rounds: STEPS,
        epoch: false,
    },
    DeviceWork {
        name: "step-minilm",
        what: "one training step, MiniLM-L6 fine-tuned, batch 64, audio by word",
        goal: 0.7,
        rounds: STEPS,
        epoch: false,
    },
    DeviceWork {
        name: "mosei-frozen",
        what: "one epoch of CMU-MOSEI's size, 16,326 segments in batches of 128, three modalities by word, the text encoder's output cached; PyTorch: the steps alone",
        goal: 1.0,
        rounds: EPOCHS,
        epoch: true,
    },
    DeviceWork {
        name: "mosei",
        what: "the same with a text encoder of bert-base's size fine-tuned; PyTorch: the steps alone",
        goal: 1.0,
        rounds: EPOCHS,
        epoch: true,
    },
];

/// Segments of CMU-MOSEI's training split.
const MOSEI: usize = 16_326;

impl DeviceWork {
    /// The work of a name.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let found = DEVICE_WORKS.iter().find(|work| work.name == name);
        found.copied().ok_or_else(|| {
            let known = DEVICE_WORKS.map(|work| work.name).join(", ");
            format!("no bench {name:?} of a device; there are {known}")
        })
    }

    /// The same, or a very small work of the same kind.
    fn sizes(&self, precision: Precision, quick: bool) -> Sizes {
        let base = || BertConfig::small(30_522, 768, 12, 12, 3072);
        let small = || BertConfig::small(117, 64, 2, 4, 128);
        let steps = Sizes {
            segments: 1284,
            batch: 64,
            encoder: base(),
            cached: false,
            by_length: false,
            audio: (75, None),
            vision: (0, None),
            precision,
        };
        let mosei = Sizes {
            segments: MOSEI,
            batch: 128,
            audio: (74, None),
            vision: (35, None),
            ..steps.clone()
        };
        let sizes = match self.name {
            "step-minilm" => Sizes {
                encoder: minilm(),
                ..steps
            },
            "step-long" => Sizes {
                encoder: small(),
                audio: (74, Some(500)),
                vision: (35, Some(300)),
                ..steps
            },
            "mosei" => mosei,
            "mosei-frozen" => Sizes {
                cached: true,
                ..mosei
            },
            _ => steps,
        };
        if !quick {
            return sizes;
        }
        let shorter = |(width, longest): (usize, Option<usize>)| (width, longest.map(|_| 20));
        Sizes {
            segments: 32,
            batch: 8,
            encoder: small(),
            audio: shorter(sizes.audio),
            vision: shorter(sizes.vision),
            ..sizes
        }
    }
}

/// A device, and in what it is to compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On {
    pub(crate) backend: Backend,
    pub(crate) index: usize,
    pub(crate) precision: Precision,
    /// Whether very small works stand for the real ones.
    pub(crate) quick: bool,
}

/// The hidden option that makes this program the measured process.
const SERVE: &str = "--serve-work";

impl On {
    /// The arguments that hand this to another process of this program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec![
            format!("--backend={}", self.backend),
            format!("--device={}", self.index),
            format!("--precision={}", self.precision),
        ];
        if self.quick {
            words.push("--quick".into());
        }
        words
    }

    /// Starts the process that does a work here.
    pub(crate) fn start(&self, work: &DeviceWork, patience: Duration) -> Result<Torch, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(own);
        command
            .arg(format!("{SERVE}={}", work.name))
            .args(self.arguments());
        Torch::run(&mut command, work.name, patience)
    }

    /// Starts PyTorch's side of it; `script` is device.py.
    pub(crate) fn start_torch(
        &self,
        work: &DeviceWork,
        (python, script): (&Path, &Path),
        patience: Duration,
    ) -> Result<Torch, String> {
        let device = match self.backend {
            Backend::Cuda => format!("cuda:{}", self.index),
            _ => "cpu".into(),
        };
        let mut command = Command::new(python);
        command
            .arg(script)
            .args([work.name, &device, &self.precision.to_string()]);
        if self.quick {
            command.arg("quick");
        }
        Torch::run(&mut command, work.name, patience)
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<OpenDevice, String> {
        OpenDevice::new(self.backend, self.index, self.precision).map_err(|error| error.to_string())
    }
}

/// Does the work once for every line `go` on the standard input; says its seconds.
pub(crate) fn serve(on: &On, name: &str) -> Result<(), String> {
    let work = DeviceWork::find(name)?;
    let open = on.open()?;
    let device = open.device.clone();
    let sizes = work.sizes(on.precision, on.quick);
    let mut training = Training::of(&device, &sizes, &MmRestConfig::default())?;
    let mut memory = 0.0_f64;
    // Kernels are compiled and compared in the first steps.
    for _ in 0..if on.quick { 1 } else { 6 } {
        training.step();
    }
    finish(&device)?;
    let mut out = std::io::stdout().lock();
    let mut say = |line: &str| {
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(|error| format!("cannot answer: {error}"))
    };
    say("ready")?;
    for line in std::io::stdin().lock().lines() {
        match line.map_err(|error| error.to_string())?.trim() {
            "memory" => say(&memory.max(reserved(&device)?).to_string())?,
            "device" => say(&open
                .adapter
                .as_ref()
                .map_or_else(|| "the CPU".to_owned(), ToString::to_string))?,
            _ => {
                let start = Instant::now();
                if work.epoch {
                    training.epoch();
                } else {
                    training.step();
                }
                finish(&device)?;
                let seconds = start.elapsed().as_secs_f64();
                memory = memory.max(reserved(&device)?);
                say(&seconds.to_string())?;
            }
        }
    }
    Ok(())
}

/// Waits until the device has nothing left to do.
fn finish(device: &Device) -> Result<(), String> {
    device
        .sync()
        .map_err(|error| format!("the device: {error}"))
}

/// What burn holds of the device's memory, in MiB; on the CPU the most memory of this process.
fn reserved(device: &Device) -> Result<f64, String> {
    match device.memory_pool_usage() {
        Some(usage) => Ok(usage.bytes_reserved as f64 / (1 << 20) as f64),
        None => own_peak_memory(),
    }
}
