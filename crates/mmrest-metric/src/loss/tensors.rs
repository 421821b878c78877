//! `L_MMC` by burn's own operations: on any device.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{FieldPairs, MmcLoss, Setting};
use crate::{MultiMetric, distance};

/// The loss, on the device of the rows.
pub(super) fn forward(rows: Tensor<2>, metric: &MultiMetric, setting: &Setting<'_>) -> MmcLoss {
    let (config, clusters) = (setting.config, setting.clusters);
    let device = rows.device();
    let divisors = setting.divisors();
    let shape = [clusters.len(), clusters.dim];
    let batch = Batch {
        rows,
        centers: Tensor::from_data(TensorData::new(clusters.centers.clone(), shape), &device),
        metrics: metric.metrics(&clusters.metric),
        device,
    };
    let intra = batch
        .intra(&setting.pairs, config.margin)
        .div_scalar(divisors[0]);
    let inter = batch.inter(setting.assignment, &setting.margins);
    let inter = inter.div_scalar(divisors[1]);
    let frobenius = metric.global.val().square().sum().div_scalar(divisors[2]);
    let total = intra.clone()
        + inter.clone().mul_scalar(config.inter_weight)
        + frobenius.clone().mul_scalar(config.frobenius_weight);
    MmcLoss {
        total,
        intra,
        inter,
        frobenius,
    }
}

/// The tensors of one call.
struct Batch {
    /// `[rows, dim]`
    rows: Tensor<2>,
    /// `[clusters, dim]`
    centers: Tensor<2>,
    /// `[clusters, dim, dim]`
    metrics: Tensor<3>,
    device: Device,
}

impl Batch {
    /// `sum_i max(0, <L_i X_i, X_i M_i> + margin)` over the fields, which are sorted from large to small.
    ///
    /// Fields are padded to the largest of their group, and a group ends where padding would double a field.
    fn intra(&self, pairs: &[FieldPairs<'_>], margin: f64) -> Tensor<1> {
        const SMALL: usize = 32;
        let mut sum = Tensor::<1>::zeros([1], &self.device);
        let mut rest = pairs;
        while let Some(largest) = rest.first() {
            let size = largest.rows.len();
            let padded = |pairs: &FieldPairs<'_>| size <= SMALL.max(2 * pairs.rows.len());
            let end = rest.partition_point(padded);
            let (group, smaller) = rest.split_at(end);
            sum = sum + relu(self.signed_sums(group, size).add_scalar(margin)).sum();
            rest = smaller;
        }
        sum
    }

    /// `sum_same d - sum_other d = <L X, X M>` of each field of a group: `[fields]`.
    ///
    /// `X` is taken relative to the centre: `L` does not see a shift, f32 does. Padding repeats row 0, which
    /// nothing in `L` refers to.
    fn signed_sums(&self, group: &[FieldPairs<'_>], size: usize) -> Tensor<1> {
        let count = group.len();
        let mut indices = vec![0; count * size];
        let mut laplacians = vec![0.0; count * size * size];
        for (at, field) in group.iter().enumerate() {
            let len = field.rows.len();
            indices[at * size..at * size + len].copy_from_slice(field.rows);
            let target = laplacians[at * size * size..].chunks_exact_mut(size);
            for (target, row) in target.zip(field.laplacian.chunks_exact(len)) {
                target[..len].copy_from_slice(row);
            }
        }
        let which: Vec<usize> = group.iter().map(|field| field.cluster).collect();
        let which = self.indices(&which);
        let dim = self.rows.dims()[1];
        let data = TensorData::new(laplacians, [count, size, size]);
        let laplacians = Tensor::<3>::from_data(data, &self.device);

        let centers = self.centers.clone().select(0, which.clone());
        let rows = self.rows.clone().select(0, self.indices(&indices));
        let x = rows.reshape([count, size, dim]) - centers.unsqueeze_dim::<3>(1);
        let weighted = x.clone().matmul(self.metrics.clone().select(0, which));
        (laplacians.matmul(x) * weighted)
            .reshape([count, size * dim])
            .sum_dim(1)
            .squeeze_dim::<1>(1)
    }

    /// `sum_{i != j} sum_{n in i} max(0, d_i(n) - d_j(n) + margin_ij)`; the terms `i = j` are 0 by themselves.
    fn inter(&self, assignment: &[usize], margins: &[f32]) -> Tensor<1> {
        let (rows, centers) = (self.rows.clone(), self.centers.clone());
        let all = distance::by_tensors(rows, centers, self.metrics.clone()); // [N, K]
        let count = all.dims()[1];
        let margins: Vec<f32> = assignment
            .iter()
            .flat_map(|&i| &margins[i * count..(i + 1) * count])
            .copied()
            .collect();
        let margins = Tensor::from_data(TensorData::new(margins, all.dims()), &self.device);
        let own = self.indices(assignment).unsqueeze_dim::<2>(1);
        let own = all.clone().gather(1, own); // [N, 1]
        relu(own - all + margins).sum()
    }

    fn indices(&self, indices: &[usize]) -> Tensor<1, Int> {
        let values: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        Tensor::from_data(TensorData::new(values, [indices.len()]), &self.device)
    }
}
