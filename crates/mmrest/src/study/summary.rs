//! The results of a study: estimates, paired tests and costs of every variant.
//!
//! Written as `summary.json`, which docs/src/studies.md documents.

use std::collections::BTreeMap;

use mmrest_data::video_of;
use mmrest_learner::FigureSet;
use mmrest_learner::statistics::{
    Bootstrap, Groups, Interval, LEAST_GROUPS, LEAST_SEEDS, PairedTest, Repeated, SignFlips,
    Spread, column_means, holm,
};
use serde::{Serialize, Serializer};

use super::cost::Cost;
use super::plan::{Plan, Variant};
use super::processes::Failure;
use super::runs::{Repeats, RunResult, SeedResult, Segments};
use crate::arguments::Resample;

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
    /// The search, where the study has one.
    pub(crate) search: Option<SearchSummary>,
    pub(crate) published: Vec<Published>,
}

/// What a search came to, judged by validation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SearchSummary {
    /// Whether all its runs are done: until then nothing of the test split is told.
    pub(crate) closed: bool,
    /// The variant of the lowest mean validation error among those whose runs are all finished.
    pub(crate) best: Option<String>,
    /// The command that trains it.
    pub(crate) command: Option<String>,
    /// Points that were dropped before their end.
    pub(crate) dropped: Vec<String>,
}

/// Published figures of a method.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Published {
    pub(crate) method: String,
    pub(crate) source: String,
    pub(crate) chosen: String,
    pub(crate) figures: BTreeMap<String, String>,
}

/// The number of runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Runs {
    pub(crate) seeds: u64,
    /// Folds of the cross-validation; null without one.
    pub(crate) folds: Option<usize>,
    pub(crate) planned: usize,
    pub(crate) finished: usize,
}

/// The settings of the statistics.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Settings {
    /// What is drawn and flipped: videos or segments.
    pub(crate) resample: Resample,
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
    /// Fold of the cross-validation; null without one.
    pub(crate) fold: Option<usize>,
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
    /// One per run: of folds several per seed.
    pub(crate) selected_epochs: Vec<usize>,
    /// Metrics of the test split, of the model selected by validation; of a cross-validation over all segments.
    pub(crate) test: Named<Estimate>,
    /// Metrics of the validation split, of the same model.
    pub(crate) valid: Named<Estimate>,
    /// Metrics of the test split, at the epoch chosen on the test split.
    pub(crate) test_chosen: Named<Chosen>,
    /// The comparison with the reference on the test split; null for the reference itself, and without finished runs of
    /// both.
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
    /// Groups of segments that are drawn and flipped together.
    pub(crate) groups: usize,
    /// Why there is no p; null where there is.
    pub(crate) untested: Option<String>,
    pub(crate) absolute_error: Tested,
    /// The accuracy of the most classes.
    pub(crate) accuracy: Tested,
}

/// A paired test.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Tested {
    /// Variant less reference, mean over the segments.
    pub(crate) difference: f64,
    /// Ends of its bootstrap interval over seeds and groups.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// NaN with too few seeds or groups.
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

/// The finished seeds of every variant, by its name.
pub(crate) type Results = BTreeMap<String, Vec<SeedResult>>;

/// What a summary is made of, beside the results.
#[derive(Debug)]
pub(crate) struct Studied<'a> {
    pub(crate) names: Names,
    pub(crate) plan: &'a Plan,
    /// Names of the variants that were asked for.
    pub(crate) chosen: Vec<&'a str>,
    pub(crate) repeats: Repeats,
    pub(crate) resample: Resample,
    pub(crate) search: Option<SearchSummary>,
}

/// How statistics are computed.
#[derive(Clone, Copy, Debug)]
struct Method {
    set: FigureSet,
    bootstrap: Bootstrap,
    resample: Resample,
}

impl Method {
    /// The groups of some segments.
    fn groups(&self, ids: &[String]) -> Groups {
        match self.resample {
            Resample::Videos => Groups::of(ids.iter().map(|id| video_of(id))),
            Resample::Segments => Groups::singles(ids.len()),
        }
    }
}

impl Summary {
    /// Compares the runs that are finished.
    pub(crate) fn of(studied: Studied<'_>, results: &Results, failures: &[Failure]) -> Self {
        let Studied {
            names,
            plan,
            chosen,
            repeats,
            resample,
            search,
        } = studied;
        let flips = SignFlips::default();
        let of_plan = plan.variants.first();
        let method = Method {
            set: of_plan.map_or(FigureSet::default(), |v| v.config.figures),
            bootstrap: Bootstrap::default(),
            resample,
        };
        let mut results = results.clone();
        if let Some(search) = &search {
            hide_test(&mut results, search, &plan.reference);
        }
        let none = Vec::new();
        let seeds_of = |name: &str| results.get(name).unwrap_or(&none);
        // What was not asked for is not told, but for what the others are compared with.
        let asked = |name: &str| chosen.contains(&name);
        let compared = |name: &String| *name == plan.reference && !seeds_of(name).is_empty();
        let shown = |v: &&Variant| asked(&v.name) || compared(&v.name);
        let shown: Vec<&Variant> = plan.variants.iter().filter(shown).collect();
        let summed = |v: &&Variant| VariantSummary::of(v, seeds_of(&v.name), &method);
        let mut variants: Vec<VariantSummary> = shown.iter().map(summed).collect();
        let reference = seeds_of(&plan.reference);
        let mut compared = Vec::new();
        for (index, variant) in shown.iter().enumerate() {
            if variant.name != plan.reference {
                let tests = compare(&method, seeds_of(&variant.name), reference);
                compared.extend(tests.map(|tests| (index, tests)));
            }
        }
        for (index, comparison) in corrected(&compared) {
            variants[index].comparison = Some(comparison);
        }
        let whole = chosen.len() == plan.variants.len();
        let same = plan
            .same
            .iter()
            .filter(|same| whole || asked(&same.variant));
        let skipped = plan.skipped.iter().filter(|_| whole);
        let runs = shown.iter().flat_map(|variant| seeds_of(&variant.name));
        let runs: usize = runs.map(|seed| seed.runs.len()).sum();
        Self {
            format: 2,
            title: names.title,
            note: names.note,
            study: names.study,
            config: names.config,
            reference: plan.reference.clone(),
            figures: method.set,
            runs: Runs {
                seeds: repeats.seeds,
                folds: repeats.folds,
                planned: shown.len() * repeats.per_variant(),
                finished: runs,
            },
            statistics: Settings {
                resample,
                resamples: method.bootstrap.resamples,
                level: method.bootstrap.level,
                draws: flips.draws,
                seed: method.bootstrap.seed,
            },
            variants,
            sweeps: sweeps(plan, &|variant| shown.iter().any(|v| v.name == variant)),
            same: pairs(same.map(|same| (&same.name, &same.variant))),
            skipped: pairs(skipped.map(|s| (&s.name, &s.reason))),
            failed: failures.iter().map(FailedRun::from).collect(),
            search,
            published: plan
                .published
                .iter()
                .map(|entry| Published {
                    method: entry.method.clone(),
                    source: entry.source.clone(),
                    chosen: entry.chosen.clone(),
                    figures: entry.figures.clone(),
                })
                .collect(),
        }
    }

    /// Whether anything may be told of the test split: not while a search goes on.
    pub(crate) fn shows_test(&self) -> bool {
        self.search.as_ref().is_none_or(|search| search.closed)
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
            fold: failure.fold,
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

/// The sweeps of which a variant is shown.
fn sweeps(plan: &Plan, shown: &dyn Fn(&str) -> bool) -> Vec<SweepSummary> {
    let point = |(value, variant): &(String, String)| SweepPoint {
        value: value.clone(),
        variant: variant.clone(),
    };
    let swept = plan.sweeps.iter().filter(|sweep| {
        let mut variants = sweep.points.iter().map(|(_, variant)| variant);
        variants.any(|variant| *variant != plan.reference && shown(variant))
    });
    let sweeps = swept.map(|sweep| SweepSummary {
        key: sweep.key.clone(),
        symbol: sweep.symbol.clone(),
        note: sweep.note.clone(),
        points: sweep.points.iter().map(point).collect(),
    });
    sweeps.collect()
}

impl VariantSummary {
    fn of(variant: &Variant, seeds: &[SeedResult], method: &Method) -> Self {
        let set = method.set;
        let estimated = |segments: fn(&SeedResult) -> &Segments| {
            let ids = common(seeds.iter().map(segments));
            estimates(method, &ids, seeds.iter().map(segments))
        };
        let runs: Vec<&RunResult> = seeds.iter().flat_map(|seed| &seed.runs).collect();
        let chosen: Vec<Vec<f64>> = seeds
            .iter()
            .filter_map(|seed| seed.chosen_on_test(set))
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
            seeds: seeds.iter().map(|seed| seed.seed).collect(),
            selected_epochs: runs.iter().map(|run| run.metrics.selected_epoch).collect(),
            test: estimated(|seed| &seed.test),
            valid: estimated(|seed| &seed.valid),
            test_chosen: Named(test_chosen.collect()),
            comparison: None,
            cost: Cost::of(&runs, variant.config.train.batch_size),
        }
    }
}

/// Takes away what may not be told yet of the test split: everything while a search goes on; after it all but the reference
/// and the best by validation, so that nobody chooses among its points by test.
fn hide_test(results: &mut Results, search: &SearchSummary, reference: &str) {
    let shown =
        |name: &String| search.closed && (name == reference || search.best.as_ref() == Some(name));
    for (_, seeds) in results.iter_mut().filter(|(name, _)| !shown(name)) {
        for seed in seeds {
            seed.test.clear();
        }
    }
}

/// Every metric of a set over the seeds, with its interval.
fn estimates<'a>(
    method: &Method,
    ids: &[String],
    seeds: impl Iterator<Item = &'a Segments>,
) -> Named<Estimate> {
    let set = method.set;
    let repeated = repeated(ids, seeds);
    let of_seeds = repeated.figures(set);
    let grouped = repeated.grouped(method.groups(ids)).unwrap_or_default();
    let intervals = method.bootstrap.intervals(set, &grouped);
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

/// Two models compared on the segments they have in common.
#[derive(Clone, Debug)]
struct Tests {
    segments: usize,
    groups: usize,
    untested: Option<String>,
    errors: Paired,
    accuracy: Paired,
}

/// A paired test and the interval of its difference.
#[derive(Clone, Copy, Debug)]
struct Paired {
    test: PairedTest,
    interval: Interval,
}

/// Compares a variant's runs with the reference's; none where one has no finished run.
fn compare(method: &Method, variant: &[SeedResult], reference: &[SeedResult]) -> Option<Tests> {
    if variant.is_empty() || reference.is_empty() {
        return None;
    }
    let seeds = variant.len().min(reference.len());
    let ids = common(variant.iter().chain(reference).map(|seed| &seed.test));
    let groups = method.groups(&ids);
    let [variant, reference] =
        [variant, reference].map(|seeds| repeated(&ids, seeds.iter().map(|seed| &seed.test)));
    let untested = untested(seeds, groups.len(), method.resample);
    // Compares measurements of every segment, one row per seed.
    let pair = |one: Vec<Vec<f64>>, other: Vec<Vec<f64>>| -> Option<Paired> {
        let (means, others) = (column_means(&one), column_means(&other));
        let mut test = SignFlips::default().test(&means, &others, &groups)?;
        if untested.is_some() {
            test.p = f64::NAN;
        }
        Some(Paired {
            test,
            interval: method.bootstrap.difference(&one, &other, &groups),
        })
    };
    let set = method.set;
    Some(Tests {
        segments: ids.len(),
        groups: groups.len(),
        errors: pair(variant.absolute_errors(set), reference.absolute_errors(set))?,
        accuracy: pair(variant.hits(set), reference.hits(set))?,
        untested,
    })
}

/// Why so few seeds or groups are not tested; nothing where they are.
fn untested(seeds: usize, groups: usize, resample: Resample) -> Option<String> {
    let unit = resample.unit();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if seeds < LEAST_SEEDS {
        Some(format!(
            "{seeds} seed{}, a test needs at least {LEAST_SEEDS}",
            plural(seeds)
        ))
    } else if groups < LEAST_GROUPS {
        Some(format!(
            "{groups} {unit}{}, a test needs at least {LEAST_GROUPS}",
            plural(groups)
        ))
    } else {
        None
    }
}

/// The comparisons with Holm's correction over all of them, errors and accuracy apart.
fn corrected(compared: &[(usize, Tests)]) -> Vec<(usize, Comparison)> {
    let adjusted = |of: fn(&Tests) -> Paired| {
        let p = compared.iter().map(|(_, tests)| of(tests).test.p);
        let p: Vec<f64> = p.filter(|p| !p.is_nan()).collect();
        let mut p_holm = holm(&p).into_iter();
        let tested = compared.iter().map(|(_, tests)| {
            let tested = of(tests);
            let has_p = !tested.test.p.is_nan();
            let p_holm = if has_p { p_holm.next() } else { None };
            Tested::of(tested, p_holm.unwrap_or(f64::NAN))
        });
        tested.collect::<Vec<_>>()
    };
    let (errors, accuracy) = (
        adjusted(|tests| tests.errors),
        adjusted(|tests| tests.accuracy),
    );
    let both = errors.into_iter().zip(accuracy);
    let comparisons = compared.iter().zip(both);
    comparisons
        .map(|((index, tests), (absolute_error, accuracy))| {
            let comparison = Comparison {
                segments: tests.segments,
                groups: tests.groups,
                untested: tests.untested.clone(),
                absolute_error,
                accuracy,
            };
            (*index, comparison)
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
    fn too_few_seeds_or_videos_are_not_tested() {
        let reason = |seeds, groups| untested(seeds, groups, Resample::Videos);
        assert_eq!(reason(3, 20), None);
        assert_eq!(reason(1, 20).unwrap(), "1 seed, a test needs at least 3");
        assert_eq!(
            reason(5, 19).unwrap(),
            "19 videos, a test needs at least 20"
        );
    }

    #[test]
    fn only_what_has_a_p_is_corrected() {
        let paired = |p| Paired {
            test: PairedTest {
                difference: 0.1,
                p,
                effect: 0.2,
            },
            interval: Interval {
                low: 0.0,
                high: 0.2,
            },
        };
        let tests = |p| Tests {
            segments: 9,
            groups: 3,
            untested: None,
            errors: paired(p),
            accuracy: paired(f64::NAN),
        };
        let compared = [(1, tests(0.01)), (2, tests(f64::NAN)), (4, tests(0.03))];
        let corrected = corrected(&compared);
        let p: Vec<f64> = corrected
            .iter()
            .map(|(_, c)| c.absolute_error.p_holm)
            .collect();
        assert_eq!((p[0], p[2]), (0.02, 0.03));
        assert!(p[1].is_nan() && corrected.iter().all(|(_, c)| c.accuracy.p_holm.is_nan()));
        assert_eq!(corrected[2].0, 4);
    }
}
