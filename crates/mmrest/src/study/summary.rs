//! The results of a study: estimates, paired tests and costs of every variant.
//!
//! Written as `summary.json`, which docs/src/studies.md documents.

use std::collections::BTreeMap;

use mmrest_learner::FigureSet;
use mmrest_learner::run::{ParameterCounts, RunFolder};
use mmrest_learner::statistics::{
    Bootstrap, Interval, PairedTest, Repeated, SignFlips, Spread, column_means, holm, median,
};
use serde::{Deserialize, Serialize, Serializer};

use super::plan::{Plan, Variant};
use super::processes::Failure;
use super::runs::{RunResult, Segments};
use crate::report::run::read_json;

/// `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Version of this layout.
    pub(crate) format: u32,
    pub(crate) title: String,
    pub(crate) note: String,
    /// Names of the study and of the configuration.
    pub(crate) study: String,
    pub(crate) config: String,
    /// Name of the variant that the others are compared with.
    pub(crate) reference: String,
    pub(crate) figures: FigureSet,
    pub(crate) runs: Runs,
    pub(crate) statistics: Settings,
    pub(crate) variants: Vec<VariantSummary>,
    pub(crate) sweeps: Vec<SweepSummary>,
    /// Variants that are another's configuration, with that one's name.
    pub(crate) same: Named<String>,
    /// Variants that were left out, with the reason.
    pub(crate) skipped: Named<String>,
    pub(crate) failed: Vec<FailedRun>,
    pub(crate) mag_bert: Vec<Gate>,
}

/// The number of runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Runs {
    pub(crate) seeds: u64,
    pub(crate) planned: usize,
    pub(crate) finished: usize,
}

/// The settings of the statistics.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) resamples: usize,
    pub(crate) level: f64,
    pub(crate) draws: usize,
    pub(crate) seed: u64,
}

/// A run that failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FailedRun {
    pub(crate) variant: String,
    pub(crate) seed: u64,
    pub(crate) error: String,
}

/// A key whose values were varied.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SweepSummary {
    pub(crate) key: String,
    pub(crate) symbol: String,
    pub(crate) note: String,
    /// Each value and the variant that has it.
    pub(crate) points: Vec<SweepPoint>,
}

/// A value of a key.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SweepPoint {
    pub(crate) value: String,
    pub(crate) variant: String,
}

/// The results of a variant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VariantSummary {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) note: String,
    /// What it changes.
    pub(crate) set: Named<toml::Value>,
    /// The seeds that are finished; the lists below are in their order.
    pub(crate) seeds: Vec<u64>,
    pub(crate) selected_epochs: Vec<usize>,
    /// Metrics of the test split, of the model selected by validation.
    pub(crate) test: Named<Estimate>,
    /// Metrics of the validation split, of the same model.
    pub(crate) valid: Named<Estimate>,
    /// Metrics of the test split, at the epoch chosen on the test split.
    pub(crate) test_chosen: Named<Chosen>,
    /// The comparison with the reference on the test split; null for the reference itself, and without finished runs of both.
    pub(crate) comparison: Option<Comparison>,
    pub(crate) cost: Option<Cost>,
}

/// A metric over the seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) sd: f64,
    /// Ends of the bootstrap interval.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// One per seed.
    pub(crate) values: Vec<f64>,
}

/// A metric at the epochs chosen on the test split.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chosen {
    pub(crate) mean: f64,
    pub(crate) sd: f64,
    pub(crate) values: Vec<f64>,
}

/// A variant compared with the reference, segment by segment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    /// Segments that both have.
    pub(crate) segments: usize,
    pub(crate) absolute_error: Tested,
    /// The accuracy of the most classes.
    pub(crate) accuracy: Tested,
}

/// A paired test.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Tested {
    /// Variant less reference, mean over the segments.
    pub(crate) difference: f64,
    /// Ends of its bootstrap interval over seeds and segments.
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) p: f64,
    /// p after Holm's correction over the study's variants.
    pub(crate) p_holm: f64,
    /// Cohen's d_z.
    pub(crate) effect: f64,
}

/// The names of a study and its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) study: String,
    pub(crate) config: String,
}

/// The finished runs of every variant, by its name.
pub(crate) type Results = BTreeMap<String, Vec<RunResult>>;

impl Summary {
    /// Compares the runs that are finished.
    pub(crate) fn of(
        names: Names,
        plan: &Plan,
        seeds: u64,
        results: &Results,
        failures: &[Failure],
        gates: Vec<Gate>,
    ) -> Self {
        let (bootstrap, flips) = (Bootstrap::default(), SignFlips::default());
        let figures = plan
            .variants
            .first()
            .map_or(FigureSet::default(), |v| v.config.figures);
        let none = Vec::new();
        let runs_of = |name: &str| results.get(name).unwrap_or(&none);
        let summed = |v: &Variant| VariantSummary::of(v, runs_of(&v.name), figures, &bootstrap);
        let mut variants: Vec<VariantSummary> = plan.variants.iter().map(summed).collect();
        let reference = runs_of(&plan.reference);
        let mut compared = Vec::new();
        for (index, variant) in plan.variants.iter().enumerate() {
            if variant.name != plan.reference {
                let tests = compare(figures, runs_of(&variant.name), reference);
                compared.extend(tests.map(|tests| (index, tests)));
            }
        }
        for (index, comparison) in corrected(&compared) {
            variants[index].comparison = Some(comparison);
        }
        Self {
            format: 1,
            title: names.title,
            note: names.note,
            study: names.study,
            config: names.config,
            reference: plan.reference.clone(),
            figures,
            runs: Runs {
                seeds,
                planned: plan.variants.len() * usize::try_from(seeds).unwrap_or(usize::MAX),
                finished: results.values().map(Vec::len).sum(),
            },
            statistics: Settings {
                resamples: bootstrap.resamples,
                level: bootstrap.level,
                draws: flips.draws,
                seed: bootstrap.seed,
            },
            variants,
            sweeps: sweeps(plan),
            same: pairs(plan.same.iter().map(|same| (&same.name, &same.variant))),
            skipped: pairs(plan.skipped.iter().map(|s| (&s.name, &s.reason))),
            failed: failures.iter().map(FailedRun::from).collect(),
            mag_bert: gates,
        }
    }

    /// The variant of a name.
    pub(crate) fn variant(&self, name: &str) -> Option<&VariantSummary> {
        self.variants.iter().find(|variant| variant.name == name)
    }
}

impl From<&Failure> for FailedRun {
    fn from(failure: &Failure) -> Self {
        Self {
            variant: failure.variant.clone(),
            seed: failure.seed,
            error: failure.error.clone(),
        }
    }
}

fn pairs<'a>(from: impl Iterator<Item = (&'a String, &'a String)>) -> Named<String> {
    Named(
        from.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn sweeps(plan: &Plan) -> Vec<SweepSummary> {
    let point = |(value, variant): &(String, String)| SweepPoint {
        value: value.clone(),
        variant: variant.clone(),
    };
    let sweeps = plan.sweeps.iter().map(|sweep| SweepSummary {
        key: sweep.key.clone(),
        symbol: sweep.symbol.clone(),
        note: sweep.note.clone(),
        points: sweep.points.iter().map(point).collect(),
    });
    sweeps.collect()
}

impl VariantSummary {
    fn of(variant: &Variant, runs: &[RunResult], set: FigureSet, bootstrap: &Bootstrap) -> Self {
        let estimated = |segments: fn(&RunResult) -> &Segments| {
            let ids = common(runs.iter().map(segments));
            estimates(set, &repeated(&ids, runs.iter().map(segments)), bootstrap)
        };
        let chosen: Vec<Vec<f64>> = runs
            .iter()
            .filter_map(|run| run.chosen_on_test(set))
            .collect();
        let test_chosen = set.names().enumerate().map(|(figure, name)| {
            let values: Vec<f64> = chosen.iter().map(|values| values[figure]).collect();
            let Spread { mean, sd } = Spread::of(&values);
            (name.to_string(), Chosen { mean, sd, values })
        });
        Self {
            name: variant.name.clone(),
            title: variant.title.clone(),
            note: variant.note.clone(),
            set: Named(variant.set.clone()),
            seeds: runs.iter().map(|run| run.seed).collect(),
            selected_epochs: runs.iter().map(|run| run.metrics.selected_epoch).collect(),
            test: estimated(|run| &run.test),
            valid: estimated(|run| &run.valid),
            test_chosen: Named(test_chosen.collect()),
            comparison: None,
            cost: Cost::of(runs, variant.config.train.batch_size),
        }
    }
}

/// Every metric of a set over the seeds, with its interval.
fn estimates(set: FigureSet, repeated: &Repeated, bootstrap: &Bootstrap) -> Named<Estimate> {
    let of_seeds = repeated.figures(set);
    let intervals = bootstrap.intervals(set, repeated);
    let estimates = set.names().zip(intervals).map(|(name, interval)| {
        let values: Vec<f64> = of_seeds
            .iter()
            .filter_map(|figures| figures.get(name))
            .collect();
        let Spread { mean, sd } = Spread::of(&values);
        let estimate = Estimate {
            mean,
            sd,
            low: interval.low,
            high: interval.high,
            values,
        };
        (name.to_string(), estimate)
    });
    Named(estimates.collect())
}

/// The ids that all have, in their order.
fn common<'a>(mut of: impl Iterator<Item = &'a Segments>) -> Vec<String> {
    let mut ids: Vec<String> = of
        .next()
        .into_iter()
        .flat_map(Segments::keys)
        .cloned()
        .collect();
    for other in of {
        ids.retain(|id| other.contains_key(id));
    }
    ids
}

/// The predictions of several runs for some segments.
fn repeated<'a>(ids: &[String], runs: impl Iterator<Item = &'a Segments>) -> Repeated {
    let mut truth = Vec::new();
    let mut predictions = Vec::new();
    for run in runs {
        let (labels, row): (Vec<f32>, Vec<f32>) =
            ids.iter().filter_map(|id| run.get(id)).copied().unzip();
        truth = labels;
        predictions.push(row);
    }
    Repeated::new(truth, predictions).unwrap_or_default()
}

/// Two models compared on the segments they have in common: the number of segments, errors, accuracy.
type Tests = (usize, Paired, Paired);

/// A paired test and the interval of its difference.
#[derive(Clone, Copy, Debug)]
struct Paired {
    test: PairedTest,
    interval: Interval,
}

/// Compares a variant's runs with the reference's; none where one has no finished run.
fn compare(set: FigureSet, variant: &[RunResult], reference: &[RunResult]) -> Option<Tests> {
    if variant.is_empty() || reference.is_empty() {
        return None;
    }
    let ids = common(variant.iter().chain(reference).map(|run| &run.test));
    let [variant, reference] =
        [variant, reference].map(|runs| repeated(&ids, runs.iter().map(|run| &run.test)));
    let errors = pair(variant.absolute_errors(set), reference.absolute_errors(set))?;
    let accuracy = pair(variant.hits(set), reference.hits(set))?;
    Some((ids.len(), errors, accuracy))
}

/// Compares measurements of every segment, one row per seed.
fn pair(one: Vec<Vec<f64>>, other: Vec<Vec<f64>>) -> Option<Paired> {
    let flips = SignFlips::default();
    Some(Paired {
        test: flips.test(&column_means(&one), &column_means(&other))?,
        interval: Bootstrap::default().difference(&one, &other),
    })
}

/// The comparisons with Holm's correction over all of them, errors and accuracy apart.
fn corrected(compared: &[(usize, Tests)]) -> Vec<(usize, Comparison)> {
    let adjusted = |of: fn(&Tests) -> Paired| {
        let p: Vec<f64> = compared.iter().map(|(_, tests)| of(tests).test.p).collect();
        let tested = compared.iter().zip(holm(&p));
        tested
            .map(|((_, tests), p_holm)| Tested::of(of(tests), p_holm))
            .collect::<Vec<_>>()
    };
    let (errors, accuracy) = (adjusted(|tests| tests.1), adjusted(|tests| tests.2));
    let both = errors.into_iter().zip(accuracy);
    let comparisons = compared.iter().zip(both);
    comparisons
        .map(|(&(index, (segments, ..)), (absolute_error, accuracy))| {
            let comparison = Comparison {
                segments,
                absolute_error,
                accuracy,
            };
            (index, comparison)
        })
        .collect()
}

impl Tested {
    /// No test.
    pub(crate) const NONE: Self = Self {
        difference: f64::NAN,
        low: f64::NAN,
        high: f64::NAN,
        p: f64::NAN,
        p_holm: f64::NAN,
        effect: f64::NAN,
    };

    fn of(paired: Paired, p_holm: f64) -> Self {
        let Paired { test, interval } = paired;
        Self {
            difference: test.difference,
            low: interval.low,
            high: interval.high,
            p: test.p,
            p_holm,
            effect: test.effect,
        }
    }
}

/// The cost of a variant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// Sizes of the model.
    pub(crate) parameters: ParameterCounts,
    /// Median over all epochs of the training time per step, including clustering.
    pub(crate) seconds_per_step: f64,
    /// Median over the runs of the training time of all epochs.
    pub(crate) training_seconds: f64,
    /// Median over the runs of the epochs done.
    pub(crate) epochs: f64,
    /// The maximum over the runs; null where the system does not report it.
    pub(crate) peak_memory_mib: Option<f64>,
}

impl Cost {
    /// The cost of a variant's finished runs; `None` without any.
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
            parameters: first.metrics.parameters.clone(),
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
    let bert: Bert = read_json(&run.model().join("bert/config.json")).ok()?;
    let features: Features = read_json(&run.model().join("features.json")).ok()?;
    let config = run.read_config().ok()?;
    let width = |modality, width| if config.uses(modality) { width } else { 0 };
    let vision = width(mmrest_data::Modality::Vision, features.widths.vision);
    let audio = width(mmrest_data::Modality::Audio, features.widths.audio);
    Some([bert.hidden_size, vision, audio])
}

/// Names and values, which keep their order in JSON. NaN and infinities become null.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

impl<T> Named<T> {
    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
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
