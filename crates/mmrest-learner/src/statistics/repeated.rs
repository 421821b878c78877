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
pub fn column_means(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut means = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += value / rows.len() as f64;
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

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
