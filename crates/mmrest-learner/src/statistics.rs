//! Statistics of runs: means and deviations over seeds, bootstrap intervals, paired tests, effect sizes.
//!
//! Segments of one video are alike, so intervals and tests draw videos: [`Groups`] of segments that are kept together.
//! Taken as independent, the 10 to 43 segments of a video in CMU-MOSI would make intervals up to 1.4 times too narrow.
//!
//! Everything random takes a seed, and gives the same numbers whatever the number of threads.

use std::collections::BTreeMap;

use mmrest_models::seed;
use rand::Rng;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::figures::{FigureSet, Figures};

/// Mean and standard deviation of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Their mean; NaN of none.
    pub mean: f64,
    /// Their sample standard deviation (divided by n - 1); NaN of fewer than two.
    pub sd: f64,
}

impl Spread {
    /// Of `values`.
    ///
    /// ```
    /// use mmrest_learner::statistics::Spread;
    ///
    /// let spread = Spread::of(&[1.0, 2.0, 3.0]);
    /// assert_eq!((spread.mean, spread.sd), (2.0, 1.0));
    /// assert!(Spread::of(&[1.0]).sd.is_nan());
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = match values.len() {
            0 | 1 => f64::NAN,
            _ => (squares / (count - 1.0)).sqrt(),
        };
        Self { mean, sd }
    }
}

/// The median of the values that are numbers; of an even number of them the mean of the middle two; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// The values that are numbers, ascending.
fn sorted(values: &[f64]) -> Vec<f64> {
    let numbers = values.iter().copied().filter(|value| !value.is_nan());
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// The `share` quantile of ascending values; NaN of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    mmrest_data::quantile(sorted, share).unwrap_or(f64::NAN)
}

/// Segments that are resampled together because they are not independent, such as those of a video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    /// The segments of each group, by their place.
    members: Vec<Vec<usize>>,
}

impl Groups {
    /// Every segment by itself.
    pub fn singles(segments: usize) -> Self {
        Self {
            members: (0..segments).map(|segment| vec![segment]).collect(),
        }
    }

    /// One group per key: segments with the same key belong together. Groups are in the order of their first segments.
    ///
    /// ```
    /// use mmrest_learner::statistics::Groups;
    ///
    /// let groups = Groups::of(["a", "b", "a"]);
    /// assert_eq!((groups.len(), groups.segments()), (2, 3));
    /// assert_eq!(Groups::of(["a", "b"]), Groups::singles(2));
    /// ```
    pub fn of<K: Ord>(keys: impl IntoIterator<Item = K>) -> Self {
        let mut places = BTreeMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (segment, key) in keys.into_iter().enumerate() {
            let place = *places.entry(key).or_insert(members.len());
            match members.get_mut(place) {
                Some(group) => group.push(segment),
                None => members.push(vec![segment]),
            }
        }
        Self { members }
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Number of segments in all groups.
    pub fn segments(&self) -> usize {
        self.members.iter().map(Vec::len).sum()
    }

    /// The sum over each group of something measured on every segment.
    fn sums(&self, values: &[f64]) -> Vec<f64> {
        let sum = |group: &Vec<usize>| group.iter().map(|&segment| values[segment]).sum();
        self.members.iter().map(sum).collect()
    }
}

/// The predictions of several seeds for the same segments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repeated {
    truth: Vec<f32>,
    /// One row a seed, each as long as `truth`.
    predictions: Vec<Vec<f32>>,
    groups: Groups,
}

impl Repeated {
    /// Predictions, one row a seed, against the labels of their segments, which are taken as independent; none where a row
    /// is of another length.
    pub fn new(truth: Vec<f32>, predictions: Vec<Vec<f32>>) -> Option<Self> {
        let groups = Groups::singles(truth.len());
        let fits = predictions.iter().all(|row| row.len() == truth.len());
        fits.then_some(Self {
            truth,
            predictions,
            groups,
        })
    }

    /// The same with segments in groups; none where the groups are of other segments.
    pub fn grouped(self, groups: Groups) -> Option<Self> {
        (groups.segments() == self.truth.len()).then_some(Self { groups, ..self })
    }

    /// Labels.
    pub fn truth(&self) -> &[f32] {
        &self.truth
    }

    /// Predictions, one row a seed.
    pub fn predictions(&self) -> &[Vec<f32>] {
        &self.predictions
    }

    /// The figures of each seed.
    pub fn figures(&self, set: FigureSet) -> Vec<Figures> {
        let rows = self.predictions.iter();
        rows.map(|row| Figures::of(set, row, &self.truth)).collect()
    }

    /// Every segment's absolute error, one row a seed, in the figures' units: CH-SIMS's clamps both sides first.
    pub fn absolute_errors(&self, set: FigureSet) -> Vec<Vec<f64>> {
        self.each(|prediction, truth| Figures::of(set, &[prediction], &[truth]).mae())
    }

    /// Whether every segment gets its right class, 1 or 0, one row a seed; of the set's finest classes.
    pub fn hits(&self, set: FigureSet) -> Vec<Vec<f64>> {
        self.each(|prediction, truth| Figures::of(set, &[prediction], &[truth]).finest().1)
    }

    /// Something of every segment, one row a seed.
    fn each(&self, of: impl Fn(f32, f32) -> f64) -> Vec<Vec<f64>> {
        let of_row = |row: &Vec<f32>| {
            let segments = row.iter().zip(&self.truth);
            segments
                .map(|(&prediction, &truth)| of(prediction, truth))
                .collect()
        };
        self.predictions.iter().map(of_row).collect()
    }
}

/// The mean of every column of rows of one length: of every segment over the seeds.
pub fn column_means(rows: &[impl AsRef<[f64]>]) -> Vec<f64> {
    let mut means = vec![0.0; rows.first().map_or(0, |row| row.as_ref().len())];
    for row in rows {
        for (mean, value) in means.iter_mut().zip(row.as_ref()) {
            *mean += value / rows.len() as f64;
        }
    }
    means
}

/// Purpose of the generator of resamples.
const RESAMPLES: u64 = 100;

/// The percentile bootstrap over seeds and groups of segments.
///
/// A resample draws as many seeds as there are, with replacement, and as many groups, with replacement and the same for
/// all its seeds; its value is a figure of all segments of the drawn groups, mean over the drawn seeds. The interval leaves
/// out equal shares of the resamples' values at either end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How many resamples.
    pub resamples: usize,
    /// The share of resamples that an interval holds.
    pub level: f64,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 2000,
            level: 0.95,
            seed: 1,
        }
    }
}

/// The ends of an interval; NaN where no resample has the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// No interval.
    const NONE: Self = Self {
        low: f64::NAN,
        high: f64::NAN,
    };
}

impl Bootstrap {
    /// The interval of every figure of a set, in the set's order. Resamples in which a figure is undefined are left out.
    ///
    /// ```
    /// use mmrest_learner::FigureSet;
    /// use mmrest_learner::statistics::{Bootstrap, Repeated};
    ///
    /// let truth: Vec<f32> = (0..100).map(|i| (i % 7) as f32 - 3.0).collect();
    /// let seed = |shift: f32| truth.iter().map(|&t| t + shift).collect::<Vec<f32>>();
    /// let repeated = Repeated::new(truth.clone(), vec![seed(0.1), seed(0.3)]).unwrap();
    /// let mae = Bootstrap::default().intervals(FigureSet::Mosi, &repeated)[0];
    /// assert!((mae.low - 0.1).abs() < 1e-6 && (mae.high - 0.3).abs() < 1e-6);
    /// ```
    pub fn intervals(&self, set: FigureSet, repeated: &Repeated) -> Vec<Interval> {
        let names = set.names().len();
        if repeated.truth().is_empty() || repeated.predictions().is_empty() {
            return vec![Interval::NONE; names];
        }
        let resamples = (0..self.resamples).into_par_iter();
        let values: Vec<Vec<f64>> = resamples
            .map(|resample| self.resample(set, repeated, resample))
            .collect();
        let of_figure = |figure: usize| values.iter().map(|values| values[figure]).collect();
        (0..names)
            .map(|figure| self.interval(of_figure(figure)))
            .collect()
    }

    /// The interval of a difference of means: `one` less `other`, each one row a seed, of something measured on every
    /// segment. The groups drawn are the same for both, the seeds of each are drawn by themselves.
    ///
    /// Nothing to draw from, or rows of another length than the groups' segments, have no interval.
    pub fn difference(&self, one: &[Vec<f64>], other: &[Vec<f64>], groups: &Groups) -> Interval {
        let segments = groups.segments();
        let mut rows = one.iter().chain(other);
        if segments == 0
            || one.is_empty()
            || other.is_empty()
            || rows.any(|row| row.len() != segments)
        {
            return Interval::NONE;
        }
        let sums = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
            rows.iter().map(|row| groups.sums(row)).collect()
        };
        let (one, other) = (sums(one), sums(other));
        let resamples = (0..self.resamples).into_par_iter();
        let difference = |resample| {
            let mut draws = Draws::new(self.seed, resample, groups.len());
            let sizes = draws
                .groups
                .iter()
                .map(|&group| groups.members[group].len());
            let drawn_segments = sizes.sum::<usize>() as f64;
            let mut mean = |rows: &[Vec<f64>]| {
                let times = draws.seeds(rows.len());
                let drawn = rows.iter().zip(times).filter(|&(_, times)| times > 0);
                let sums = drawn.map(|(row, times)| {
                    let groups = draws.groups.iter();
                    f64::from(times) * groups.map(|&group| row[group]).sum::<f64>()
                });
                sums.sum::<f64>() / (rows.len() as f64 * drawn_segments)
            };
            mean(&one) - mean(&other)
        };
        self.interval(resamples.map(difference).collect())
    }

    /// What lies between equal tails of the values.
    fn interval(&self, values: Vec<f64>) -> Interval {
        let ascending = sorted(&values);
        let tail = (1.0 - self.level) / 2.0;
        Interval {
            low: quantile(&ascending, tail),
            high: quantile(&ascending, 1.0 - tail),
        }
    }

    /// A resample's figures, means over its seeds.
    fn resample(&self, set: FigureSet, repeated: &Repeated, resample: usize) -> Vec<f64> {
        let (truth, rows) = (repeated.truth(), repeated.predictions());
        let groups = &repeated.groups.members;
        let mut draws = Draws::new(self.seed, resample, groups.len());
        let times = draws.seeds(rows.len());
        let drawn = draws.groups.iter();
        let segments: Vec<usize> = drawn.flat_map(|&group| &groups[group]).copied().collect();
        let labels: Vec<f32> = segments.iter().map(|&segment| truth[segment]).collect();
        let mut means = vec![0.0; set.names().len()];
        for (row, times) in rows.iter().zip(times).filter(|&(_, times)| times > 0) {
            let predictions: Vec<f32> = segments.iter().map(|&segment| row[segment]).collect();
            let figures = Figures::of(set, &predictions, &labels);
            for (mean, (_, value)) in means.iter_mut().zip(figures.named()) {
                *mean += value * f64::from(times) / rows.len() as f64;
            }
        }
        means
    }
}

/// What a resample draws: its groups first, which are so the same for all that have as many.
struct Draws {
    rng: ChaCha8Rng,
    groups: Vec<usize>,
}

impl Draws {
    fn new(seed: u64, resample: usize, groups: usize) -> Self {
        let mut rng = seed::rng(seed, &[RESAMPLES, resample as u64]);
        let groups = (0..groups).map(|_| rng.random_range(0..groups)).collect();
        Self { rng, groups }
    }

    /// How often each of `count` seeds is drawn.
    fn seeds(&mut self, count: usize) -> Vec<u32> {
        let mut times = vec![0; count];
        for _ in 0..count {
            times[self.rng.random_range(0..count)] += 1;
        }
        times
    }
}

/// Purpose of the generator of sign flips.
const FLIPS: u64 = 101;
/// How far a mean may fall short of the observed one, as a share of it, and count as no smaller: sums round.
const SLACK: f64 = 1e-12;

/// Seeds of either side that a test needs at least: with fewer, a difference may be that of two lucky seeds.
pub const LEAST_SEEDS: usize = 3;
/// Groups that a test needs at least: with fewer, flips and resamples are too few and too coarse.
pub const LEAST_GROUPS: usize = 20;

/// A two-sided paired permutation test of whether the mean of paired differences is 0.
///
/// Under the hypothesis the differences of a group are as likely as their opposites. The signs of whole groups are flipped
/// at random `draws` times, and p = (1 + draws whose mean is at least as far from 0) / (1 + draws) (Phipson and Smyth 2010).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignFlips {
    /// Random flips of the groups' signs.
    pub draws: usize,
    /// Seed of the flips.
    pub seed: u64,
}

impl Default for SignFlips {
    fn default() -> Self {
        Self {
            draws: 10_000,
            seed: 1,
        }
    }
}

/// The outcome of a paired test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedTest {
    /// Mean of the differences.
    pub difference: f64,
    /// The probability of a mean at least as far from 0, were there no difference.
    pub p: f64,
    /// Cohen's d_z: the mean of the segments' differences divided by their standard deviation; NaN where they do not vary.
    pub effect: f64,
}

impl SignFlips {
    /// Tests `one - other`, segment by segment; none without segments or where their numbers differ.
    ///
    /// ```
    /// use mmrest_learner::statistics::{Groups, SignFlips};
    ///
    /// let worse = [0.9, 0.8, 1.1, 0.7, 1.0, 0.9, 1.2, 0.6];
    /// let better = [0.5, 0.4, 0.8, 0.2, 0.7, 0.5, 0.9, 0.3];
    /// let test = SignFlips::default().test(&worse, &better, &Groups::singles(8)).unwrap();
    /// assert!(test.difference > 0.3 && test.p < 0.02 && test.effect > 1.0);
    /// let videos = Groups::of([1, 1, 1, 1, 2, 2, 2, 2]);
    /// assert!(SignFlips::default().test(&worse, &better, &videos).unwrap().p > 0.4);
    /// ```
    pub fn test(&self, one: &[f64], other: &[f64], groups: &Groups) -> Option<PairedTest> {
        if one.is_empty() || one.len() != other.len() || one.len() != groups.segments() {
            return None;
        }
        let pairs = one.iter().zip(other);
        let differences: Vec<f64> = pairs.map(|(one, other)| one - other).collect();
        let spread = Spread::of(&differences);
        let sums = groups.sums(&differences);
        let observed = sums.iter().sum::<f64>().abs();
        let least = observed * (1.0 - SLACK);
        let draws = (0..self.draws).into_par_iter();
        let as_far = draws.filter(|&draw| self.flipped(&sums, draw).abs() >= least);
        let as_far = as_far.count();
        Some(PairedTest {
            difference: spread.mean,
            p: (1 + as_far) as f64 / (1 + self.draws) as f64,
            effect: if spread.sd > 0.0 {
                spread.mean / spread.sd
            } else {
                f64::NAN
            },
        })
    }

    /// The sum of the differences under one draw of signs.
    fn flipped(&self, differences: &[f64], draw: usize) -> f64 {
        let mut rng = seed::rng(self.seed, &[FLIPS, draw as u64]);
        let mut sum = 0.0;
        for block in differences.chunks(64) {
            let mut signs: u64 = rng.next_u64();
            for &difference in block {
                sum += match signs & 1 {
                    0 => difference,
                    _ => -difference,
                };
                signs >>= 1;
            }
        }
        sum
    }
}

/// Holm's step-down adjustment of p-values, in their own order: the i-th smallest of m times (m - i + 1), made ascending
/// and at most 1. Rejecting what is at most 0.05 then errs in any of the tests with probability at most 0.05 (Holm 1979).
///
/// ```
/// let adjusted = mmrest_learner::statistics::holm(&[0.01, 0.04, 0.03]);
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![f64::NAN; p_values.len()];
    let mut least = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        least = least.max((factor * p_values[index]).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        let values = sorted(&[4.0, f64::NAN, 1.0, 3.0, 2.0]);
        // numpy.quantile([1, 2, 3, 4], [0.025, 0.5, 0.975])
        for (share, expected) in [(0.025, 1.075), (0.5, 2.5), (0.975, 3.925), (1.0, 4.0)] {
            assert!(
                (quantile(&values, share) - expected).abs() < 1e-12,
                "{share}"
            );
        }
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn nothing_has_no_mean() {
        assert!(Spread::of(&[]).mean.is_nan() && Spread::of(&[]).sd.is_nan());
    }

    #[test]
    fn segments_are_judged_one_by_one_and_by_their_means_over_seeds() {
        let rows = vec![vec![1.0, -1.0], vec![2.0, -1.0]];
        let repeated = Repeated::new(vec![1.0, 0.0], rows).unwrap();
        let errors = |set| column_means(&repeated.absolute_errors(set));
        assert_eq!(errors(FigureSet::Mosi), [0.5, 1.0]);
        assert_eq!(errors(FigureSet::Sims), [0.0, 1.0]);
        assert_eq!(repeated.hits(FigureSet::Mosi), [[1.0, 0.0], [0.0, 0.0]]);
        let mae: f64 = repeated
            .figures(FigureSet::Mosi)
            .iter()
            .map(Figures::mae)
            .sum();
        assert_eq!(mae / 2.0, 0.75);
    }

    #[test]
    fn a_row_of_another_length_is_refused() {
        assert_eq!(Repeated::new(vec![1.0, 0.0], vec![vec![1.0]]), None);
    }
}
