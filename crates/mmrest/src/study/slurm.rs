//! Writes and submits the jobs of a study for Slurm: an array with one task per run, and a job that collects.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use mmrest_data::files;

use crate::arguments::SlurmArguments;
use crate::project::quoted;

/// Seconds before the time limit at which a run is asked to stop: enough for a batch and a checkpoint.
const NOTICE: u32 = 120;

/// The scripts of a study.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Jobs {
    /// One task per run.
    pub(crate) array: PathBuf,
    /// Collects after all.
    pub(crate) collect: PathBuf,
}

impl Jobs {
    /// Writes `slurm/array.sh` and `slurm/collect.sh` into a study's folder. `tasks` are the indices of the runs that are
    /// not finished; the commands are those of the plan, that of a task without its index, after the folder they run in.
    pub(crate) fn write(
        out: &Path,
        name: &str,
        arguments: &SlurmArguments,
        tasks: &[usize],
        [here, task, collect]: [&str; 3],
    ) -> Result<Self> {
        let folder = out.join("slurm");
        let jobs = Self {
            array: folder.join("array.sh"),
            collect: folder.join("collect.sh"),
        };
        let log = |name: &str| shell(&folder.join(name));
        let array = array_script(name, arguments, tasks, [here, task], &log("%A-%a.log"));
        let collect = collect_script(name, arguments, [here, collect], &log("collect-%j.log"));
        for (path, text) in [(&jobs.array, array), (&jobs.collect, collect)] {
            files::write(path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(jobs)
    }

    /// Submits the array and, to begin when all its tasks have ended, the collecting job; returns their numbers.
    pub(crate) fn submit(&self) -> Result<[String; 2]> {
        let array = sbatch(&[&self.array.display().to_string()])?;
        let after = format!("--dependency=afterany:{array}");
        let collect = sbatch(&[&after, &self.collect.display().to_string()])?;
        Ok([array, collect])
    }

    /// The commands that [`submit`](Self::submit) runs.
    pub(crate) fn commands(&self) -> String {
        format!(
            "id=$(sbatch --parsable {})\nsbatch --dependency=afterany:${{id%%;*}} {}",
            shell(&self.array),
            shell(&self.collect)
        )
    }
}

/// A path as a shell takes it, and sbatch in the lines of a script.
fn shell(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// Submits a script; returns the job's number.
fn sbatch(arguments: &[&str]) -> Result<String> {
    let output = Command::new("sbatch")
        .arg("--parsable")
        .args(arguments)
        .output()
        .context(
            "cannot start sbatch: submit from a machine of the cluster, or leave --submit out",
        )?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("sbatch refused the job: {}", said.trim());
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    // NUMBER, or NUMBER;CLUSTER.
    let id = printed.trim().split(';').next().unwrap_or_default();
    Ok(id.to_string())
}

fn array_script(
    name: &str,
    arguments: &SlurmArguments,
    tasks: &[usize],
    [here, task]: [&str; 2],
    log: &str,
) -> String {
    let parallel = arguments.max_parallel;
    let parallel = parallel.map_or(String::new(), |parallel| format!("%{parallel}"));
    let gpus = arguments
        .gpus
        .map(|gpus| format!("#SBATCH --gpus={gpus}\n"));
    format!(
        "#!/bin/bash\n\
         #SBATCH --job-name={name}\n\
         #SBATCH --array={}{parallel}\n\
         #SBATCH --output={log}\n\
         #SBATCH --open-mode=append\n\
         #SBATCH --requeue\n\
         #SBATCH --signal=B:TERM@{NOTICE}\n\
         {}{}\n\
         # Ahead of the time limit and of preemption Slurm sends TERM: the run keeps its last epoch, and the task is queued\n\
         # again to go on from there.\n\
         cd {here} || exit\n\
         trap 'stopping=1; kill -TERM \"$run\"' TERM\n\
         {task} \"$SLURM_ARRAY_TASK_ID\" &\n\
         run=$!\n\
         wait \"$run\"\n\
         code=$?\n\
         if [ -n \"$stopping\" ]; then\n  \
           wait \"$run\"\n  \
           code=$?\n  \
           if [ \"$code\" -ne 0 ]; then\n    \
             scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"\n  \
           fi\n\
         fi\n\
         exit \"$code\"\n",
        ranges(tasks),
        shared(arguments, arguments.time.as_deref()),
        gpus.unwrap_or_default(),
    )
}

fn collect_script(
    name: &str,
    arguments: &SlurmArguments,
    [here, collect]: [&str; 2],
    log: &str,
) -> String {
    format!(
        "#!/bin/bash\n#SBATCH --job-name={name}-collect\n#SBATCH --output={log}\n{}\ncd {here} || exit\n{collect}\n",
        shared(arguments, None)
    )
}

/// What both jobs ask for.
fn shared(arguments: &SlurmArguments, time: Option<&str>) -> String {
    let line = |key: &str, value: Option<&str>| {
        value.map_or(String::new(), |value| format!("#SBATCH --{key}={value}\n"))
    };
    line("partition", arguments.partition.as_deref()) + &line("time", time)
}

/// Ascending numbers as Slurm writes them: `0-3,7`.
fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let written = ranges.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_asks_for_what_was_given() {
        let arguments = SlurmArguments {
            partition: Some("gpu".into()),
            gpus: Some(1),
            time: Some("2:00:00".into()),
            max_parallel: Some(4),
            submit: false,
        };
        let folder = tempfile::tempdir().unwrap();
        let commands = [
            "/home/me",
            "mmrest ablate x --task",
            "mmrest ablate x --collect",
        ];
        let jobs = Jobs::write(folder.path(), "s-x", &arguments, &[0, 1, 2, 5], commands).unwrap();
        let array = std::fs::read_to_string(&jobs.array).unwrap();
        for line in [
            "#SBATCH --array=0-2,5%4",
            "#SBATCH --partition=gpu",
            "#SBATCH --gpus=1",
            "#SBATCH --time=2:00:00",
            "#SBATCH --signal=B:TERM@120",
            "#SBATCH --requeue",
            "cd /home/me || exit",
            "mmrest ablate x --task \"$SLURM_ARRAY_TASK_ID\" &",
        ] {
            assert!(array.lines().any(|found| found == line), "{line}\n{array}");
        }
        let collect = std::fs::read_to_string(&jobs.collect).unwrap();
        assert!(collect.ends_with("\nmmrest ablate x --collect\n") && !collect.contains("--time"));
        let spaced = folder.path().join("a b");
        let jobs = Jobs::write(&spaced, "s-x", &arguments, &[0], commands).unwrap();
        let array = std::fs::read_to_string(&jobs.array).unwrap();
        let log = format!("#SBATCH --output='{}/slurm/%A-%a.log'", spaced.display());
        assert!(array.lines().any(|found| found == log), "{log}\n{array}");
        let submit = format!("sbatch --parsable '{}/slurm/array.sh'", spaced.display());
        assert!(jobs.commands().contains(&submit), "{}", jobs.commands());
        for script in [&jobs.array, &jobs.collect] {
            let checked = Command::new("bash").arg("-n").arg(script).status().unwrap();
            assert!(checked.success());
        }
    }
}
