//! What a variant costs, and MAG-BERT's module beside it.

use mmrest_learner::run::{ParameterCounts, RunFolder};
use mmrest_learner::statistics::median;
use serde::{Deserialize, Serialize};

use super::results::{RunResult, json};

/// The cost of a variant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// Sizes of the model.
    pub(crate) parameters: ParameterCounts,
    /// Median over all epochs of an epoch's training time divided by its steps; clustering is in it.
    pub(crate) seconds_per_step: f64,
    /// Median over the runs of the training time of all epochs.
    pub(crate) training_seconds: f64,
    /// Median over the runs of the epochs done.
    pub(crate) epochs: f64,
    /// The most of any run; null where the system does not tell.
    pub(crate) peak_memory_mib: Option<f64>,
}

impl Cost {
    /// Of a variant's finished runs; none without any.
    pub(crate) fn of(runs: &[RunResult], batch_size: usize) -> Option<Self> {
        let first = runs.first()?;
        let seconds = |run: &RunResult| -> Vec<f64> {
            let epochs = run.epochs.iter();
            epochs
                .filter_map(|epoch| epoch.get("train_seconds").copied())
                .collect()
        };
        let steps = |run: &RunResult| run.train_segments.div_ceil(batch_size).max(1) as f64;
        let a_step: Vec<f64> = runs
            .iter()
            .flat_map(|run| seconds(run).into_iter().map(|time| time / steps(run)))
            .collect();
        let whole: Vec<f64> = runs.iter().map(|run| seconds(run).iter().sum()).collect();
        let epochs: Vec<f64> = runs.iter().map(|run| run.epochs.len() as f64).collect();
        let peaks = runs.iter().filter_map(|run| run.record.peak_memory_mib);
        Some(Self {
            parameters: first.metrics.parameters,
            seconds_per_step: median(&a_step),
            training_seconds: median(&whole),
            epochs: median(&epochs),
            peak_memory_mib: peaks.reduce(f64::max),
        })
    }
}

/// MAG-BERT's multimodal adaptation gate, of some dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Gate {
    /// Whose dimensions they are.
    pub(crate) whose: String,
    /// Width of the text encoder.
    pub(crate) text: usize,
    /// Features of a frame of vision.
    pub(crate) vision: usize,
    /// Features of a frame of audio.
    pub(crate) audio: usize,
    /// Its parameters.
    pub(crate) parameters: usize,
}

impl Gate {
    /// Of `text`, `vision` and `audio` dimensions H, V, A: linear layers H + V -> H, H + A -> H, V -> H and A -> H, and
    /// a layer normalisation of H, which are 2 H^2 + 2 H (V + A) + 6 H parameters (Rahman et al., ACL 2020).
    pub(crate) fn of(whose: &str, text: usize, vision: usize, audio: usize) -> Self {
        let linear = |from: usize| from * text + text;
        let norm = 2 * text;
        let layers = [text + vision, text + audio, vision, audio].map(linear);
        Self {
            whose: whose.to_string(),
            text,
            vision,
            audio,
            parameters: layers.iter().sum::<usize>() + norm,
        }
    }

    /// The two that are published, and that of a run's own dimensions where it has all three modalities.
    pub(crate) fn beside(run: Option<&RunFolder>) -> Vec<Self> {
        let mut gates = vec![
            Self::of("published, vision 20 and audio 5", 768, 20, 5),
            Self::of("published, vision 35 and audio 74", 768, 35, 74),
        ];
        let own = run.and_then(dimensions);
        if let Some([text, vision, audio]) = own.filter(|own| !own.contains(&0)) {
            gates.push(Self::of(
                "of this configuration's dimensions",
                text,
                vision,
                audio,
            ));
            if text != 768 {
                gates.push(Self::of(
                    "of these features and BERT-base",
                    768,
                    vision,
                    audio,
                ));
            }
        }
        gates
    }
}

/// The dimensions of a run's text encoder and features.
fn dimensions(run: &RunFolder) -> Option<[usize; 3]> {
    #[derive(Deserialize)]
    struct Bert {
        hidden_size: usize,
    }
    #[derive(Deserialize)]
    struct Features {
        widths: mmrest_data::Widths,
    }
    let bert: Bert = json(&run.model().join("bert/config.json")).ok()?;
    let features: Features = json(&run.model().join("features.json")).ok()?;
    let config = run.read_config().ok()?;
    let width = |modality, width| if config.uses(modality) { width } else { 0 };
    let vision = width(mmrest_data::Modality::Vision, features.widths.vision);
    let audio = width(mmrest_data::Modality::Audio, features.widths.audio);
    Some([bert.hidden_size, vision, audio])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_counts_follow_from_the_dimensions() {
        let counts: Vec<usize> = Gate::beside(None).iter().map(|g| g.parameters).collect();
        assert_eq!(counts, [1_222_656, 1_351_680]);
    }
}
