//! `mmrest data sample --like mosei`: made-up data of a real data set's size.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mmrest_data::files;
use mmrest_datatools::sample::{BERT, LikeMosei, write_like_mosei};

use super::SampleArguments;
use crate::interrupt;

/// The data sets whose like can be made.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Like {
    /// CMU-MOSEI: 23,000 segments of 3,200 videos, some gigabytes.
    Mosei,
}

/// Options of a data set like a real one.
#[derive(Debug, Args)]
pub(super) struct LikeArguments {
    /// Make data of the size and in the files of a real data set instead: some gigabytes, unless made smaller by the
    /// options below.
    #[arg(long, value_name = "NAME")]
    like: Option<Like>,
    /// Labelled segments [default: 23000].
    #[arg(long, value_name = "N", requires = "like")]
    segments: Option<usize>,
    /// Acoustic frames a second [default: 100].
    #[arg(long, value_name = "HZ", requires = "like")]
    audio_rate: Option<u32>,
    /// Vision frames a second [default: 30].
    #[arg(long, value_name = "HZ", requires = "like")]
    vision_rate: Option<u32>,
    /// Features of an acoustic frame [default: 74].
    #[arg(long, value_name = "N", requires = "like")]
    audio_features: Option<usize>,
    /// Features of a vision frame [default: 35].
    #[arg(long, value_name = "N", requires = "like")]
    vision_features: Option<usize>,
    /// Write a config.toml beside the data that trains on them.
    #[arg(long, requires = "like")]
    config: bool,
}

impl LikeArguments {
    /// Whether such data were asked for.
    pub(super) fn wanted(&self) -> bool {
        self.like.is_some()
    }

    fn size(&self, seed: Option<u64>) -> LikeMosei {
        let usual = LikeMosei::default();
        LikeMosei {
            segments: self.segments.unwrap_or(usual.segments),
            seed: seed.unwrap_or(usual.seed),
            audio_rate: self.audio_rate.unwrap_or(usual.audio_rate),
            vision_rate: self.vision_rate.unwrap_or(usual.vision_rate),
            audio_features: self.audio_features.unwrap_or(usual.audio_features),
            vision_features: self.vision_features.unwrap_or(usual.vision_features),
        }
    }
}

/// Writes the data and returns the files' paths.
pub(super) fn write(arguments: &SampleArguments) -> Result<Vec<PathBuf>> {
    let size = arguments.like.size(arguments.seed);
    let go_on = interrupt::watched();
    let mut progress = Progress::default();
    let mut files = write_like_mosei(&size, &arguments.out, &mut |file, done, videos| {
        progress.tell(file, done, videos);
        go_on()
    })?;
    if arguments.like.config {
        files.push(write_config(&arguments.out)?);
    }
    Ok(files)
}

/// On a terminal a bar for the file being written, elsewhere a line when it is there.
#[derive(Default)]
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn tell(&mut self, file: &str, done: usize, videos: usize) {
        let bar = self.bar.get_or_insert_with(|| bar(file, videos));
        bar.set_position(done as u64);
        if done == videos {
            bar.finish_and_clear();
            self.bar = None;
            let _ = writeln!(std::io::stderr(), "{file}: {videos} videos");
        }
    }
}

fn bar(file: &str, videos: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} videos, {eta} left");
    ProgressBar::with_draw_target(Some(videos as u64), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(file.to_string())
}

/// Writes a configuration that trains on the data in `folder`: a small BERT from scratch, so that nothing need be
/// downloaded.
fn write_config(folder: &Path) -> Result<PathBuf> {
    let folder = absolute(folder).with_context(|| format!("{}", folder.display()))?;
    let string = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned());
    let text = format!(
        "# Made-up data like CMU-MOSEI's, and a small BERT trained from scratch.

[data]
dir = {}
labels = \"CMU_MOSEI_Labels.csd\"
words = \"CMU_MOSEI_TimestampedWords.csd\"
vision = \"CMU_MOSEI_VisualFacet42.csd\"
audio = \"CMU_MOSEI_COVAREP.csd\"
folds = \"folds.json\"
max_frames = 500

[text]
bert = {}
from_scratch = true

[train]
epochs = 5
batch_size = 128
learning_rate = 1e-3
text_learning_rate = 1e-3

[model.mmrest]
metric_learning_rate = 1e-3
",
        string(&folder),
        string(&folder.join(BERT)),
    );
    let path = folder.join("config.toml");
    files::write(&path, text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_learner::Config;

    #[test]
    fn the_configuration_finds_the_data() {
        let folder = tempfile::tempdir().unwrap();
        let size = LikeMosei {
            segments: 12,
            audio_rate: 10,
            audio_features: 6,
            vision_rate: 5,
            vision_features: 3,
            ..LikeMosei::default()
        };
        write_like_mosei(&size, folder.path(), &mut |_, _, _| true).unwrap();
        let config = Config::load(&write_config(folder.path()).unwrap(), &[]).unwrap();
        let data = mmrest_data::load(&config.data, Path::new("elsewhere")).unwrap();
        assert_eq!(data.report.total(), 12);
        assert!(config.text.bert.join("vocab.txt").is_file());
    }
}
