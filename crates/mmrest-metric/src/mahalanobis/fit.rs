//! A Mahalanobis metric learned from a table of rows with labels.

use burn::optim::GradientsParams;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Mahalanobis;
use crate::mining::{Triplet, TripletRanks};
use crate::{MetricError, PsdAdamConfig, Rows, host};

/// How a metric is learned from rows with labels.
///
/// ```text
/// loss = mean of max(0, margin + d(anchor, positive)^2 - d(anchor, negative)^2)
/// ```
///
/// over triplets drawn anew for each step: rows of one label near, others farther by a margin (Weinberger & Saul 2009).
/// Each step of [`PsdAdam`](crate::PsdAdam) is followed by the projection to PSD matrices.
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
    /// constant column has no part in it. The same rows, labels and seed give the same metric.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use mmrest_metric::{MahalanobisConfig, Rows};
    ///
    /// // Column 0 tells the labels apart; column 1 is a hundred times as large, and noise.
    /// let noise = |row: usize| 100.0 * ((row * row) as f32).sin();
    /// let labels: Vec<usize> = (0..60).map(|row| row % 2).collect();
    /// let table: Vec<f32> = (0..60).flat_map(|row| [labels[row] as f32, noise(row)]).collect();
    ///
    /// let metric = MahalanobisConfig::default().fit(Rows::new(&table, 2)?, &labels, 1, &Device::flex())?;
    /// let learned: Vec<f32> = metric.matrix.val().into_data().try_to_vec()?;
    /// assert!(learned[0] > 1e5 * learned[3], "{learned:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when there is not one label a row; [`MetricError::Empty`] without two rows of one label and
    /// one of another; [`MetricError::NonFiniteMetric`] when a step led nowhere, as with too large a learning rate, or when a
    /// column varies by less than about 1e-19, for which f32 has no weight; and [`MetricError::Read`].
    pub fn fit(
        &self,
        rows: Rows<'_>,
        labels: &[usize],
        seed: u64,
        device: &Device,
    ) -> Result<Mahalanobis, MetricError> {
        MetricError::check_length("labels of the rows", labels.len(), rows.len())?;
        let ranks = TripletRanks::new(labels);
        if ranks.count() == 0 || self.max_triplets == 0 {
            let what = "triplets of two rows of one label and one of another";
            return Err(MetricError::Empty { what });
        }
        let scales = scales(rows);
        let table = scaled(rows, &scales, &device.clone().autodiff());
        let mut metric = Mahalanobis::identity(rows.dim(), &table.device());
        let mut optimizer = PsdAdamConfig::default().init();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..self.steps {
            let drawn = ranks.thinned(self.max_triplets, &mut rng);
            let loss = self.loss(&metric, &table, &drawn);
            let gradients = GradientsParams::from_grads(loss.backward(), &metric);
            metric = optimizer
                .step(self.learning_rate, metric, gradients)
                .try_project_psd()?;
        }
        unscaled(&metric, &scales, device)
    }

    fn loss(&self, metric: &Mahalanobis, table: &Tensor<2>, triplets: &[Triplet]) -> Tensor<1> {
        let select = |row: fn(&Triplet) -> usize| {
            let indices: Vec<i64> = triplets.iter().map(|of| row(of) as i64).collect();
            let data = TensorData::new(indices, [triplets.len()]);
            let indices = Tensor::<1, Int>::from_data(data, &table.device());
            table.clone().select(0, indices)
        };
        let anchors = select(|of| of.anchor);
        let near = metric.squared_pair_distances(anchors.clone(), select(|of| of.positive));
        let far = metric.squared_pair_distances(anchors, select(|of| of.negative));
        relu((near - far).add_scalar(self.margin)).mean()
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
    let scale = |&variance: &f64| match variance > 0.0 {
        true => (2.0 * variance * varying as f64).sqrt().recip(),
        false => 0.0,
    };
    variances.iter().map(scale).collect()
}

fn scaled(rows: Rows<'_>, scales: &[f64], device: &Device) -> Tensor<2> {
    let scaled = |row: &[f32]| -> Vec<f32> {
        let columns = row.iter().zip(scales);
        columns
            .map(|(&value, scale)| (f64::from(value) * scale) as f32)
            .collect()
    };
    let values: Vec<f32> = rows.iter().flat_map(scaled).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows.dim()]), device)
}

/// The metric of the rows as they were.
fn unscaled(
    metric: &Mahalanobis,
    scales: &[f64],
    device: &Device,
) -> Result<Mahalanobis, MetricError> {
    let dim = scales.len();
    let values = host::read("metric", metric.matrix.val().detach())?;
    let values: Vec<f32> = values
        .iter()
        .enumerate()
        .map(|(at, &value)| (f64::from(value) * scales[at / dim] * scales[at % dim]) as f32)
        .collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(MetricError::NonFiniteMetric { index: 0 });
    }
    Mahalanobis::new(Tensor::from_data(
        TensorData::new(values, [dim, dim]),
        device,
    ))
}
