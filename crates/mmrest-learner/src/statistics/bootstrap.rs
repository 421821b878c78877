//! Bootstrap intervals over seeds and segments.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::repeated::Repeated;
use super::spread::{quantile, sorted};
use crate::figures::{FigureSet, Figures};
use mmrest_models::seed;

/// Purpose of the generator of resamples.
const RESAMPLES: u64 = 100;

/// The percentile bootstrap over seeds and segments.
///
/// A resample draws as many seeds as there are, with replacement, and as many segments, with replacement and the same for
/// all its seeds; its value is a figure's mean over the drawn seeds. The interval leaves out equal shares of the resamples'
/// values at either end.
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
    /// segment. The segments drawn are the same for both, the seeds of each are drawn by themselves.
    ///
    /// Nothing to draw from, or rows of several lengths, have no interval.
    pub fn difference(&self, one: &[Vec<f64>], other: &[Vec<f64>]) -> Interval {
        let segments = one.first().map_or(0, Vec::len);
        let mut rows = one.iter().chain(other);
        if segments == 0 || other.is_empty() || rows.any(|row| row.len() != segments) {
            return Interval::NONE;
        }
        let resamples = (0..self.resamples).into_par_iter();
        let difference = |resample| {
            let mut draws = Draws::new(self.seed, resample, segments);
            let mut mean = |rows: &[Vec<f64>]| {
                let times = draws.seeds(rows.len());
                let drawn = rows.iter().zip(times).filter(|&(_, times)| times > 0);
                let sums = drawn.map(|(row, times)| {
                    let segments = draws.segments.iter();
                    f64::from(times) * segments.map(|&segment| row[segment]).sum::<f64>()
                });
                sums.sum::<f64>() / (rows.len() * segments) as f64
            };
            mean(one) - mean(other)
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
        let mut draws = Draws::new(self.seed, resample, truth.len());
        let times = draws.seeds(rows.len());
        let segments = &draws.segments;
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

/// What a resample draws: its segments first, which are so the same for all that have as many.
struct Draws {
    rng: ChaCha8Rng,
    segments: Vec<usize>,
}

impl Draws {
    fn new(seed: u64, resample: usize, segments: usize) -> Self {
        let mut rng = seed::rng(seed, &[RESAMPLES, resample as u64]);
        let segments = (0..segments)
            .map(|_| rng.random_range(0..segments))
            .collect();
        Self { rng, segments }
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
