//! The runs of a study one by one, for schedulers: the plan, a run alone, and the jobs of Slurm.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mmrest_data::files;
use mmrest_learner::Backend;
use serde_json::json;

use super::{Study, make_sample, with_states};
use crate::display::{Style, print_json};
use crate::interrupt::{self, say};
use crate::project::quoted;
use crate::screen;
use crate::study::processes::Children;
use crate::study::progress::Progress;
use crate::study::runs::{Ended, Run, State};
use crate::study::slurm::Jobs;

impl Study<'_> {
    /// The runs in the order of the plan; a halving has none, for it decides as it goes.
    fn planned(&self) -> Result<Vec<Run<'_>>> {
        if self
            .plan
            .searches
            .iter()
            .any(|search| search.halving.is_some())
        {
            bail!(
                "a search by halving decides as it goes which runs go on: start it without --plan, --task and --slurm, with --jobs"
            );
        }
        Ok(self.repeats.runs(&self.out, &self.chosen()?))
    }

    /// How far a run is; with `--fresh` one of another configuration is to be run anew.
    fn state(&self, run: &Run) -> Result<State> {
        match run.state() {
            Err(_) if self.arguments.fresh => Ok(State::New),
            state => state,
        }
    }

    /// `--plan`: one JSON line per run.
    pub(super) fn print_plan(&self) -> Result<ExitCode> {
        let runs = self.planned()?;
        make_sample(&self.config, &self.plan)?;
        let task = format!("cd {} && {}", quoted(&here()), self.command("--task"));
        for (index, run) in runs.iter().enumerate() {
            let state = match self.state(run)? {
                State::New => "new",
                State::Begun => "begun",
                State::Finished => "finished",
            };
            let line = json!({
                "index": index,
                "variant": run.variant.name,
                "seed": run.seed,
                "fold": run.fold.map(|fold| fold.number),
                "state": state,
                "folder": run.folder.path(),
                "command": format!("{task} {index}"),
            });
            screen::out_whole(&line.to_string());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// `--task N`: that run alone, from its start or from where it was.
    pub(super) fn task(&self, index: usize) -> Result<ExitCode> {
        let runs = self.planned()?;
        let count = runs.len();
        let Some(run) = runs.into_iter().nth(index) else {
            bail!(
                "--task {index}: the study has runs 0 to {}",
                count.saturating_sub(1)
            );
        };
        make_sample(&self.config, &self.plan)?;
        let Some((run, state)) = with_states(vec![run], self.arguments.fresh)?.pop() else {
            return Ok(ExitCode::SUCCESS);
        };
        if state == State::Finished {
            self.note(&format!("{} is finished already", run.name()));
            return Ok(ExitCode::SUCCESS);
        }
        let children = Arc::new(Children::default());
        let [first, second] = [Arc::clone(&children), Arc::clone(&children)];
        interrupt::gently(
            move || {
                say("stopping; once more to stop at once");
                first.stop();
            },
            move || second.stop(),
        );
        run.write_config()?;
        let most = run.variant.config.train.epochs;
        let listed = [(run, state)];
        let [(run, _)] = &listed;
        // A line per epoch, or events.
        let style = match self.style() {
            Style::Json => Style::Json,
            _ => Style::Quiet,
        };
        let progress = Progress::new(&listed, 1, style, self.plan.searches.is_empty());
        let shown = |epoch| {
            progress.epoch(run, epoch);
            self.say(&format!("{} epoch {epoch}/{most}", run.name()));
        };
        let launch = self.launch(1, None);
        let device = launch.device(index);
        progress.begin(run);
        let ended = children.run(run, state == State::Begun, &launch, device, shown)?;
        progress.end(run, &ended);
        match ended {
            Ended::Finished => {
                self.say(&format!("{} is finished", run.name()));
                Ok(ExitCode::SUCCESS)
            }
            Ended::Interrupted | Ended::Paused => {
                say("interrupted; the same command goes on");
                Ok(interrupt::code())
            }
            Ended::Failed(error) => bail!("{} failed: {error}", run.name()),
        }
    }

    /// `--slurm`: writes the jobs, and submits them where that is asked for.
    pub(super) fn slurm(&self) -> Result<ExitCode> {
        let runs = self.planned()?;
        make_sample(&self.config, &self.plan)?;
        let mut tasks = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            if self.state(run)? != State::Finished {
                tasks.push(index);
            }
        }
        if tasks.is_empty() {
            self.note("all runs are finished: --collect makes the tables");
            return Ok(ExitCode::SUCCESS);
        }
        let options = &self.arguments.slurm_options;
        let backend = self.arguments.device.backend;
        if options.gpus.is_some() && backend == Backend::Cpu {
            self.note("the runs compute on the CPU and leave the GPUs idle: add --backend cuda, or leave --gpus out");
        }
        files::make_folder(&self.out)?;
        let out = std::path::absolute(&self.out).context("cannot tell the current folder")?;
        let name = format!("{}-{}", self.names.study, self.names.config);
        let commands = [here(), self.command("--task"), self.command("--collect")];
        let [here, task, collect] = &commands;
        let here = quoted(here);
        let commands = [here.as_str(), task.as_str(), collect.as_str()];
        let jobs = Jobs::write(&out, &name, options, &tasks, commands)?;
        if options.submit {
            let [array, collect] = jobs.submit()?;
            if self.style() == Style::Json {
                let submitted = json!({
                    "event": "submitted", "runs": tasks.len(), "array": array, "collect": collect,
                });
                print_json(&submitted);
            }
            self.say(&format!(
                "submitted {} runs as job {array}, and job {collect} that collects after them",
                tasks.len()
            ));
        } else if self.style() == Style::Json {
            let (array, collect) = (&jobs.array, &jobs.collect);
            let written = json!({
                "event": "written", "runs": tasks.len(), "array": array, "collect": collect,
            });
            print_json(&written);
        } else {
            self.say(&format!(
                "wrote the jobs of {} runs; submit them with:",
                tasks.len()
            ));
            screen::out_whole(&jobs.commands());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// This study's command with another last option, as a shell line.
    fn command(&self, last: &str) -> String {
        let arguments = self.arguments;
        let program = std::env::current_exe().unwrap_or_else(|_| "mmrest".into());
        let mut words = vec![program.display().to_string(), "ablate".into()];
        words.push(arguments.config.clone());
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("study", arguments.study.clone());
        option("seeds", self.repeats.seeds.to_string());
        option("out", self.out.display().to_string());
        option("resample", arguments.resample.units().into());
        let folds = arguments.folds.map(|folds| ("folds", folds));
        let epochs = arguments.epochs.map(|epochs| ("epochs", epochs));
        for (name, number) in [folds, epochs].into_iter().flatten() {
            option(name, number.to_string());
        }
        let folders = [("data", &arguments.data), ("bert", &arguments.bert)];
        for (name, folder) in folders {
            if let Some(folder) = folder {
                option(name, folder.display().to_string());
            }
        }
        for set in &arguments.set {
            option("set", set.clone());
        }
        if !arguments.only.is_empty() {
            option("only", arguments.only.join(","));
        }
        let devices: Vec<String> = arguments.devices().iter().map(usize::to_string).collect();
        option("backend", arguments.device.backend.to_string());
        option("devices", devices.join(","));
        // A run of another configuration is thrown away by its task, once: then it has the study's.
        let own = match last {
            "--task" => arguments.fresh.then_some("--fresh"),
            _ => arguments.png.then_some("--png"),
        };
        words.extend(own.map(String::from));
        words.push(last.into());
        words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The current folder, which relative paths on the command line are meant from.
fn here() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    here.display().to_string()
}
