//! Most memory that training holds at one time: a process of its own for each side.

use std::path::Path;
use std::process::Command;

use burn::tensor::Device;

use crate::torch::Torch;
use crate::training::Training;

/// Steps after which the memory does not grow any more.
const STEPS: usize = 8;

/// The hidden option that makes this program the measured process.
pub(crate) const OPTION: &str = "--peak-memory";

/// Takes some steps and says the most memory this process held, in MiB.
pub(crate) fn child(device: &Device) -> Result<f64, String> {
    let mut training = Training::new(device, Some(true))?;
    for _ in 0..STEPS {
        training.step();
    }
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("this system does not tell a process's memory: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| "this system does not tell a process's memory".to_owned())
}

/// Ours and, where there is another side, its, in MiB.
pub(crate) fn measure(python: Option<&Path>, threads: usize) -> Result<(f64, Option<f64>), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(own)
        .arg(OPTION)
        .output()
        .map_err(|error| format!("cannot start the measured process: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ours = text.trim().parse().map_err(|_| {
        let message = String::from_utf8_lossy(&output.stderr);
        format!("the measured process says {:?}", message.trim())
    })?;
    let theirs = match python {
        Some(python) => {
            let mut torch = Torch::start::<&str>(python, "step-bucketed", threads, &[])?;
            for _ in 0..STEPS {
                torch.round()?;
            }
            Some(torch.memory()?)
        }
        None => None,
    };
    Ok((ours, theirs))
}
