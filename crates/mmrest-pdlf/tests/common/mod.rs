//! Rows, clusters and metrics as plain numbers, and the definition of the projection as a loop over them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_metric::{Clusters, MultiMetric, MultiMetricConfig};
use mmrest_pdlf::{Projection, projection};
pub(crate) use mmrest_testing::host;

pub(crate) const DIM: usize = 3;
pub(crate) const RIDGE: f64 = 0.01;

/// Rows, centres and metrics, as plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rows: Vec<f32>,
    pub(crate) centers: Vec<f32>,
    pub(crate) global: Vec<f32>,
    pub(crate) local: Vec<f32>,
    /// The local metric of each cluster.
    pub(crate) which: Vec<usize>,
}

impl Case {
    pub(crate) fn clusters(&self) -> Clusters {
        let bins = (0..self.which.len()).collect();
        Clusters {
            dim: DIM,
            centers: self.centers.clone(),
            bins,
            metric: self.which.clone(),
        }
    }

    pub(crate) fn metric(&self, device: &Device) -> MultiMetric {
        let clusters = self.local.len() / (DIM * DIM);
        let mut metric = MultiMetricConfig {
            dim: DIM,
            clusters,
            ridge: RIDGE,
        }
        .init(device);
        let global = TensorData::new(self.global.clone(), [DIM, DIM]);
        let local = TensorData::new(self.local.clone(), [clusters, DIM, DIM]);
        metric.global = Param::from_tensor(Tensor::from_data(global, device));
        metric.local = Param::from_tensor(Tensor::from_data(local, device));
        metric
    }

    pub(crate) fn rows(&self, device: &Device) -> Tensor<2> {
        let shape = [self.rows.len() / DIM, DIM];
        Tensor::from_data(TensorData::new(self.rows.clone(), shape), device)
    }

    pub(crate) fn project(&self) -> Projection {
        let device = Device::flex();
        projection(self.rows(&device), &self.clusters(), &self.metric(&device)).unwrap()
    }

    pub(crate) fn values(&self) -> Vec<f32> {
        host(self.project().value)
    }

    /// Both metrics the identity: the geometry is Euclid's.
    pub(crate) fn euclidean(mut self) -> Self {
        let identity = |i: usize| {
            if (i % (DIM * DIM)).is_multiple_of(DIM + 1) {
                1.0
            } else {
                0.0
            }
        };
        self.global = (0..self.global.len()).map(identity).collect();
        self.local = (0..self.local.len()).map(identity).collect();
        self
    }

    /// Every point of the space moved.
    pub(crate) fn moved(mut self, by: impl Fn([f64; DIM]) -> [f64; DIM]) -> Self {
        for values in [&mut self.rows, &mut self.centers] {
            for point in values.as_chunks_mut::<DIM>().0 {
                *point = by(point.map(f64::from)).map(|value| value as f32);
            }
        }
        self
    }
}

/// `a^T M b` of one matrix.
pub(crate) fn product(a: &[f64], matrix: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for i in 0..DIM {
        for j in 0..DIM {
            sum += a[i] * matrix[i * DIM + j] * b[j];
        }
    }
    sum
}

pub(crate) fn difference(a: &[f32], b: &[f32]) -> Vec<f64> {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) - f64::from(*b))
        .collect()
}

/// The definition, one row at a time in f64: r and the squared distances.
pub(crate) fn naive(case: &Case) -> (Vec<f64>, Vec<Vec<f64>>) {
    let centers: Vec<&[f32]> = case.centers.chunks_exact(DIM).collect();
    let global: Vec<f64> = case.global.iter().map(|&value| f64::from(value)).collect();
    let metric = |cluster: usize| -> Vec<f64> {
        let local = &case.local[case.which[cluster] * DIM * DIM..][..DIM * DIM];
        let ridge = |i: usize| {
            if i.is_multiple_of(DIM + 1) {
                RIDGE
            } else {
                0.0
            }
        };
        (0..DIM * DIM)
            .map(|i| global[i] + f64::from(local[i]) + ridge(i))
            .collect()
    };
    let (mut values, mut all) = (Vec::new(), Vec::new());
    for row in case.rows.chunks_exact(DIM) {
        let distances: Vec<f64> = (0..centers.len())
            .map(|cluster| {
                let u = difference(row, centers[cluster]);
                product(&u, &metric(cluster), &u)
            })
            .collect();
        let mut order: Vec<usize> = (0..centers.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        let u = difference(row, centers[order[0]]);
        let v = difference(centers[order[1]], centers[order[0]]);
        values.push(product(&u, &global, &v) / product(&v, &global, &v).max(1e-12).sqrt());
        all.push(distances);
    }
    (values, all)
}
