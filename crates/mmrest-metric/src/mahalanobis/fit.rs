//! Learns a Mahalanobis metric from labelled rows.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::adam::Moments;
use crate::mining::{Triplet, TripletRanks};
use crate::{MahalanobisMatrix, MetricError, PsdAdamConfig, Rows, project_psd_f64};

/// How a metric is learned from rows with labels.
///
/// ```text
/// loss = mean of max(0, margin + d(anchor, positive)^2 - d(anchor, negative)^2)
/// ```
///
/// over triplets drawn anew for each step: rows of one label near, others farther by a margin (Weinberger & Saul 2009).
/// Each step of Adam ([`PsdAdamConfig`]) is followed by the projection to PSD matrices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MahalanobisConfig {
    /// How many steps are taken.
    pub steps: usize,
    /// Of the optimiser.
    pub learning_rate: f64,
    /// In squared distance, where the mean squared distance of two rows is 1 before the first step.
    pub margin: f64,
    /// At most so many triplets a step.
    pub max_triplets: usize,
}

impl Default for MahalanobisConfig {
    fn default() -> Self {
        Self {
            steps: 200,
            learning_rate: 0.02,
            margin: 1.0,
            max_triplets: 1000,
        }
    }
}

impl MahalanobisConfig {
    /// Learns a metric in which rows of one label are nearer to each other than to those of others.
    ///
    /// Columns may be of any scale: learning goes on standardised ones, and the result is for the rows as they are. A
    /// constant column has no part in it. The same rows, labels and seed give the same metric. A step costs about
    /// `4 triplets dim^2` operations and one projection, `9 dim^3`, all in f64.
    ///
    /// ```
    /// use mmrest_metric::{MahalanobisConfig, Rows};
    ///
    /// // Column 0 tells the labels apart; column 1 is a hundred times as large, and noise.
    /// let noise = |row: usize| 100.0 * ((row * row) as f32).sin();
    /// let labels: Vec<usize> = (0..60).map(|row| row % 2).collect();
    /// let table: Vec<f32> = (0..60).flat_map(|row| [labels[row] as f32, noise(row)]).collect();
    ///
    /// let metric = MahalanobisConfig::default().fit(Rows::new(&table, 2)?, &labels, 1)?;
    /// let learned = metric.values();
    /// assert!(learned[0] > 1e5 * learned[3], "{learned:?}");
    /// # Ok::<(), mmrest_metric::MetricError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when there is not one label a row; [`MetricError::Empty`] without two rows of one label and
    /// one of another; [`MetricError::NonFiniteMetric`] when a step led nowhere, as with too large a learning rate.
    pub fn fit(
        &self,
        rows: Rows<'_>,
        labels: &[usize],
        seed: u64,
    ) -> Result<MahalanobisMatrix, MetricError> {
        MetricError::check_length("labels of the rows", labels.len(), rows.len())?;
        let ranks = TripletRanks::new(labels);
        if ranks.count() == 0 || self.max_triplets == 0 {
            let what = "triplets of two rows of one label and one of another";
            return Err(MetricError::Empty { what });
        }
        let dim = rows.dim();
        let scales = scales(rows);
        let scaled = |row: &[f32]| -> Vec<f64> {
            let columns = row.iter().zip(&scales);
            columns.map(|(&x, scale)| f64::from(x) * scale).collect()
        };
        let table: Vec<f64> = rows.iter().flat_map(scaled).collect();
        let mut metric = vec![0.0; dim * dim];
        metric.iter_mut().step_by(dim + 1).for_each(|x| *x = 1.0);
        let (adam, mut moments) = (PsdAdamConfig::default(), Moments::new(dim * dim));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..self.steps {
            let drawn = ranks.thinned(self.max_triplets, &mut rng);
            let gradient = self.gradient(&metric, &table, dim, &drawn);
            moments.step(&adam, self.learning_rate, &mut metric, &gradient);
            project_psd_f64(&mut metric, dim)?;
        }
        for (at, value) in metric.iter_mut().enumerate() {
            *value *= scales[at / dim] * scales[at % dim];
        }
        MahalanobisMatrix::new(metric, dim)
    }

    /// The gradient of the loss: the mean of `(a - p)(a - p)^T - (a - n)(a - n)^T` over all triplets, where those without a
    /// loss count as 0. `metric` is symmetric.
    fn gradient(
        &self,
        metric: &[f64],
        table: &[f64],
        dim: usize,
        triplets: &[Triplet],
    ) -> Vec<f64> {
        let row = |at: usize| &table[at * dim..(at + 1) * dim];
        let count = triplets.len();
        // Of each triplet the difference to the positive and that to the negative.
        let differences: Vec<f64> = triplets
            .iter()
            .flat_map(|of| [(of.anchor, of.positive), (of.anchor, of.negative)])
            .flat_map(|(a, b)| row(a).iter().zip(row(b)).map(|(a, b)| a - b))
            .collect();
        let all = MatRef::from_row_major_slice(&differences, 2 * count, dim);
        let mut slopes = vec![0.0; differences.len()];
        matmul(
            MatMut::from_row_major_slice_mut(&mut slopes, 2 * count, dim),
            Accum::Replace,
            all,
            MatRef::from_row_major_slice(metric, dim, dim),
            1.0,
            Par::Seq,
        );
        // Each slope becomes what its difference is weighted with.
        for (slope, difference) in slopes
            .chunks_exact_mut(2 * dim)
            .zip(differences.chunks_exact(2 * dim))
        {
            let squared = |which: usize| -> f64 {
                let range = which * dim..(which + 1) * dim;
                let terms = slope[range.clone()].iter().zip(&difference[range]);
                terms.map(|(a, b)| a * b).sum()
            };
            let loss = self.margin + squared(0) - squared(1);
            let weight = if loss > 0.0 { 1.0 / count as f64 } else { 0.0 };
            for (at, (slope, x)) in slope.iter_mut().zip(difference).enumerate() {
                *slope = x * if at < dim { weight } else { -weight };
            }
        }
        let mut gradient = vec![0.0; dim * dim];
        matmul(
            MatMut::from_row_major_slice_mut(&mut gradient, dim, dim),
            Accum::Replace,
            MatRef::from_row_major_slice(&slopes, 2 * count, dim).transpose(),
            all,
            1.0,
            Par::Seq,
        );
        gradient
    }
}

/// What each column is multiplied by for a mean squared distance of 1, every column having the same part in it; 0 for
/// a constant one.
fn scales(rows: Rows<'_>) -> Vec<f64> {
    let (count, dim) = (rows.len() as f64, rows.dim());
    let column = |at: usize| rows.iter().map(move |row| f64::from(row[at]));
    let variances: Vec<f64> = (0..dim)
        .map(|at| {
            let mean = column(at).sum::<f64>() / count;
            column(at).map(|value| (value - mean).powi(2)).sum::<f64>() / count
        })
        .collect();
    let varying = variances.iter().filter(|&&variance| variance > 0.0).count();
    let scale = |&variance: &f64| {
        if variance > 0.0 {
            (2.0 * variance * varying as f64).sqrt().recip()
        } else {
            0.0
        }
    };
    variances.iter().map(scale).collect()
}

#[cfg(test)]
mod tests;
