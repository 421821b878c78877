//! One split, predicted by several seeds of one model.

use crate::figures::{FigureSet, Figures};

/// The predictions of several seeds for the same segments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repeated {
    truth: Vec<f32>,
    /// One row a seed, each as long as `truth`.
    predictions: Vec<Vec<f32>>,
}

impl Repeated {
    /// Predictions, one row a seed, against the labels of their segments; none where a row is of another length.
    pub fn new(truth: Vec<f32>, predictions: Vec<Vec<f32>>) -> Option<Self> {
        let fits = predictions.iter().all(|row| row.len() == truth.len());
        fits.then_some(Self { truth, predictions })
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

    /// Every segment's absolute error, mean over the seeds, in the figures' units: CH-SIMS's clamps both sides first.
    pub fn absolute_errors(&self, set: FigureSet) -> Vec<f64> {
        self.each(|prediction, truth| Figures::of(set, &[prediction], &[truth]).mae())
    }

    /// The share of seeds that give a segment its right class, of the set's finest classes.
    pub fn correctness(&self, set: FigureSet) -> Vec<f64> {
        self.each(|prediction, truth| Figures::of(set, &[prediction], &[truth]).finest().1)
    }

    /// Something of every segment, mean over the seeds.
    fn each(&self, of: impl Fn(f32, f32) -> f64) -> Vec<f64> {
        let seeds = self.predictions.len() as f64;
        let segments = self.truth.iter().enumerate();
        let mean = |(segment, &truth): (usize, &f32)| {
            let rows = self.predictions.iter();
            rows.map(|row| of(row[segment], truth)).sum::<f64>() / seeds
        };
        segments.map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_judged_by_the_mean_over_seeds() {
        let rows = vec![vec![1.0, -1.0], vec![2.0, -1.0]];
        let repeated = Repeated::new(vec![1.0, 0.0], rows).unwrap();
        assert_eq!(repeated.absolute_errors(FigureSet::Mosi), [0.5, 1.0]);
        assert_eq!(repeated.correctness(FigureSet::Mosi), [0.5, 0.0]);
        assert_eq!(repeated.absolute_errors(FigureSet::Sims), [0.0, 1.0]);
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
