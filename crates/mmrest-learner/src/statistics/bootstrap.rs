//! Bootstrap intervals over seeds and segments.

use rand::RngExt;
use rayon::prelude::*;

use super::repeated::Repeated;
use super::spread::{quantile, sorted};
use crate::figures::{FigureSet, Figures};
use crate::seed;

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
            let none = Interval {
                low: f64::NAN,
                high: f64::NAN,
            };
            return vec![none; names];
        }
        let resamples = (0..self.resamples).into_par_iter();
        let values: Vec<Vec<f64>> = resamples
            .map(|resample| self.resample(set, repeated, resample))
            .collect();
        let tail = (1.0 - self.level) / 2.0;
        let interval = |figure: usize| {
            let of_figure: Vec<f64> = values.iter().map(|values| values[figure]).collect();
            let ascending = sorted(&of_figure);
            Interval {
                low: quantile(&ascending, tail),
                high: quantile(&ascending, 1.0 - tail),
            }
        };
        (0..names).map(interval).collect()
    }

    /// A resample's figures, means over its seeds.
    fn resample(&self, set: FigureSet, repeated: &Repeated, resample: usize) -> Vec<f64> {
        let (truth, rows) = (repeated.truth(), repeated.predictions());
        let mut rng = seed::rng(self.seed, &[RESAMPLES, resample as u64]);
        let segments: Vec<usize> = truth
            .iter()
            .map(|_| rng.random_range(0..truth.len()))
            .collect();
        let mut drawn = vec![0_u32; rows.len()];
        for _ in rows {
            drawn[rng.random_range(0..rows.len())] += 1;
        }
        let labels: Vec<f32> = segments.iter().map(|&segment| truth[segment]).collect();
        let mut means = vec![0.0; set.names().len()];
        for (row, &times) in rows.iter().zip(&drawn).filter(|&(_, &times)| times > 0) {
            let predictions: Vec<f32> = segments.iter().map(|&segment| row[segment]).collect();
            let figures = Figures::of(set, &predictions, &labels);
            for (mean, (_, value)) in means.iter_mut().zip(figures.named()) {
                *mean += value * f64::from(times) / rows.len() as f64;
            }
        }
        means
    }
}
