//! `L_MMC` against loops written naively, and what must not change it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::prelude::*;
use burn::tensor::{Tensor, TensorData};
use mmrest_metric::{
    Clusters, MetricError, MmcLoss, MmcLossConfig, MultiMetric, MultiMetricConfig, ReceptiveField,
    Rows, assign, receptive_fields,
};
use mmrest_testing::{host, relative};
use proptest::prelude::*;

/// A batch on the host.
#[derive(Clone, Debug)]
struct Case {
    dim: usize,
    rows: Vec<f32>,
    bins: Vec<usize>,
    clusters: Clusters,
    global: Vec<f32>,
    local: Vec<f32>,
    field: ReceptiveField,
    offset: f32,
}

impl Case {
    fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.dim..(index + 1) * self.dim]
    }

    fn assignment(&self) -> Vec<usize> {
        self.clusters
            .assign(Rows::new(&self.rows, self.dim).unwrap())
    }

    fn fields(&self) -> Vec<Vec<usize>> {
        let rows = Rows::new(&self.rows, self.dim).unwrap();
        receptive_fields(rows, &self.clusters.centers, &self.assignment(), self.field)
    }

    fn metric(&self, device: &Device) -> MultiMetric {
        let (dim, clusters) = (self.dim, self.local.len() / self.dim.pow(2));
        let config = MultiMetricConfig {
            dim,
            clusters,
            ridge: 0.01,
        };
        let mut metric = config.init(device);
        let global = TensorData::new(self.global.clone(), [dim, dim]);
        let local = TensorData::new(self.local.clone(), [clusters, dim, dim]);
        metric.global = metric.global.map(|_| Tensor::from_data(global, device));
        metric.local = metric.local.map(|_| Tensor::from_data(local, device));
        metric
    }

    fn loss(&self, config: &MmcLossConfig) -> MmcLoss {
        let device = Device::flex();
        let shape = [self.bins.len(), self.dim];
        let rows = Tensor::from_data(TensorData::new(self.rows.clone(), shape), &device);
        let (assignment, fields) = (self.assignment(), self.fields());
        let metric = self.metric(&device);
        let clusters = &self.clusters;
        config
            .forward(rows, &self.bins, &assignment, &fields, clusters, &metric, 5)
            .unwrap()
    }

    /// `d_Mi(p, q)` in f64 by the formula.
    fn distance(&self, cluster: usize, p: &[f32], q: &[f32]) -> f64 {
        let (dim, which) = (self.dim, self.clusters.metric[cluster]);
        let mut sum = 0.0;
        for i in 0..dim {
            for j in 0..dim {
                let shared = f64::from(self.global[i * dim + j]);
                let own = f64::from(self.local[which * dim * dim + i * dim + j]);
                let ridge = if i == j { 0.01 } else { 0.0 };
                let difference = |k: usize| f64::from(p[k]) - f64::from(q[k]);
                sum += difference(i) * (shared + own + ridge) * difference(j);
            }
        }
        sum
    }

    /// Intra and inter part by loops over pairs.
    fn naive(&self, config: &MmcLossConfig) -> (f64, f64) {
        let (mut intra, mut inter) = (0.0, 0.0);
        for (cluster, field) in self.fields().iter().enumerate() {
            let (mut sum, mut pairs) = (0.0, 0);
            for (at, &p) in field.iter().enumerate() {
                for &q in &field[at + 1..] {
                    let sign = if self.bins[p] == self.bins[q] {
                        1.0
                    } else {
                        -1.0
                    };
                    sum += sign * self.distance(cluster, self.row(p), self.row(q));
                    pairs += 1;
                }
            }
            if pairs > 0 {
                intra += (sum + config.margin).max(0.0);
            }
        }
        for (row, &i) in self.assignment().iter().enumerate() {
            for j in (0..self.clusters.len()).filter(|&j| j != i) {
                let (own, other) = (self.clusters.center(i), self.clusters.center(j));
                let apart: f64 = own
                    .iter()
                    .zip(other)
                    .map(|(a, b)| f64::from(a - b).powi(2))
                    .sum();
                let near = self.distance(i, self.row(row), own);
                let far = self.distance(j, self.row(row), other);
                inter += (near - far + config.margin_scale * apart).max(0.0);
            }
        }
        let count = self.bins.len() as f64;
        (intra / count, inter / count)
    }
}

fn case() -> impl Strategy<Value = Case> {
    (1_usize..6, 1_usize..40, 1_usize..6, 0_usize..12).prop_flat_map(
        |(dim, rows, clusters, near)| {
            let numbers = |count: usize| prop::collection::vec(-2.0..2.0_f32, count);
            let field = match near {
                0 => ReceptiveField::Cell,
                count => ReceptiveField::Nearest(count),
            };
            (
                numbers(rows * dim),
                prop::collection::vec(0_usize..3, rows),
                numbers(clusters * dim),
                prop::collection::vec(0_usize..4, clusters),
                numbers(dim * dim),
                numbers(4 * dim * dim),
                prop::sample::select(vec![0.0_f32, 100.0]),
            )
                .prop_map(
                    move |(rows, bins, centers, metric, global, local, offset)| Case {
                        dim,
                        rows: rows.iter().map(|value| value + offset).collect(),
                        bins,
                        clusters: Clusters {
                            dim,
                            centers: centers.iter().map(|value| value + offset).collect(),
                            bins: vec![0; clusters],
                            metric,
                        },
                        global,
                        local,
                        field,
                        offset,
                    },
                )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn loss_is_what_naive_loops_say(case in case()) {
        let config = MmcLossConfig::default();
        let loss = case.loss(&config);
        let (intra, inter) = case.naive(&config);
        // Far from the origin the rows themselves have fewer digits, which both sides see alike.
        let tolerance = if case.offset == 0.0 { 2e-5 } else { 1e-4 };
        let near = |found: f32, expected: f64| (f64::from(found) - expected).abs() < tolerance * (10.0 + expected.abs());
        prop_assert!(near(host(loss.intra.clone())[0], intra), "{:?} {intra}", loss.intra);
        prop_assert!(near(host(loss.inter.clone())[0], inter), "{:?} {inter}", loss.inter);
        let parts = host(loss.intra)[0] + 0.8 * host(loss.inter)[0] + host(loss.frobenius)[0];
        prop_assert!((host(loss.total)[0] - parts).abs() < 1e-4 * (1.0 + parts.abs()));
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(case in case(), keys in prop::collection::vec(any::<u32>(), 40)) {
        let mut order: Vec<usize> = (0..case.bins.len()).collect();
        order.sort_by_key(|&row| (keys[row], row));
        let mut other = case.clone();
        other.rows = order.iter().flat_map(|&row| case.row(row).to_vec()).collect();
        other.bins = order.iter().map(|&row| case.bins[row]).collect();
        // Rows equally far from a centre may change places at the rim of a field of nearest rows.
        other.field = ReceptiveField::Cell;
        let case = Case { field: ReceptiveField::Cell, ..case };
        let config = MmcLossConfig::default();
        let (a, b) = (host(case.loss(&config).total)[0], host(other.loss(&config).total)[0]);
        prop_assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()));
    }
}

/// One cell with nearly all rows, small ones beside it: padding is done in groups.
#[test]
fn cells_of_very_different_sizes_count_alike() {
    let sizes = [120, 3, 50, 1, 17];
    let mut rows = Vec::new();
    let mut bins = Vec::new();
    let mut centers = Vec::new();
    for (cluster, &size) in sizes.iter().enumerate() {
        let center = 40.0 * cluster as f32;
        centers.extend([center, 0.0]);
        for i in 0..size {
            let (x, y) = ((i as f32 * 1.7).sin(), (i as f32 * 0.9).cos());
            rows.extend([center + x, y]);
            bins.push(usize::from(x * y > 0.4));
        }
    }
    let identity = [1.0, 0.0, 0.0, 1.0];
    let case = Case {
        dim: 2,
        rows,
        bins,
        clusters: Clusters {
            dim: 2,
            centers,
            bins: vec![0; 5],
            metric: vec![4, 3, 2, 1, 0],
        },
        global: identity.to_vec(),
        local: identity.repeat(5),
        field: ReceptiveField::Cell,
        offset: 0.0,
    };
    let config = MmcLossConfig {
        max_pairs: 100_000,
        ..Default::default()
    };
    let (intra, _) = case.naive(&config);
    let found = host(case.loss(&config).intra)[0];
    assert!(
        (f64::from(found) - intra).abs() < 1e-4 * intra,
        "{found} {intra}"
    );
    // With fewer pairs than there are, the same seed draws the same ones.
    let capped = MmcLossConfig {
        max_pairs: 1000,
        ..config
    };
    let again = || host(case.loss(&capped).intra)[0];
    assert_eq!(again(), again());
    assert!(again() < found);
}

/// The slope along random directions, by differences in the naive loss.
#[test]
fn gradients_are_slopes_of_the_naive_loss() {
    let device = Device::flex().autodiff();
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    };
    let (dim, count) = (3, 24);
    let case = Case {
        dim,
        rows: wave(count * dim, 1.3),
        bins: (0..count).map(|i| i % 3).collect(),
        clusters: Clusters {
            dim,
            centers: wave(2 * dim, 2.1),
            bins: vec![0, 1],
            metric: vec![1, 0],
        },
        global: wave(dim * dim, 0.7),
        local: wave(2 * dim * dim, 0.3),
        field: ReceptiveField::Nearest(10),
        offset: 0.0,
    };
    let config = MmcLossConfig {
        frobenius_weight: 0.0,
        margin: 60.0,
        ..Default::default()
    };
    let data = TensorData::new(case.rows.clone(), [count, dim]);
    let rows = Tensor::<2>::from_data(data, &device).require_grad();
    let mut metric = case.metric(&device);
    metric.global = metric.global.map(Tensor::require_grad);
    metric.local = metric.local.map(Tensor::require_grad);
    let (assignment, fields) = (case.assignment(), case.fields());
    let loss = config
        .forward(
            rows.clone(),
            &case.bins,
            &assignment,
            &fields,
            &case.clusters,
            &metric,
            0,
        )
        .unwrap();
    let gradients = loss.total.backward();
    let total = |moved: &Case| {
        assert_eq!(moved.fields(), fields);
        let (intra, inter) = moved.naive(&config);
        intra + 0.8 * inter
    };
    let check = |gradient: Vec<f32>, values: fn(&mut Case) -> &mut Vec<f32>| {
        let slope = |at: usize| {
            let mut moved = case.clone();
            let old = values(&mut moved)[at];
            values(&mut moved)[at] = old + 1e-3;
            let (up, right) = (total(&moved), values(&mut moved)[at]);
            values(&mut moved)[at] = old - 1e-3;
            let (down, left) = (total(&moved), values(&mut moved)[at]);
            ((up - down) / f64::from(right - left)) as f32
        };
        let slopes: Vec<f32> = (0..gradient.len()).map(slope).collect();
        assert!(
            relative(&gradient, &slopes) < 2e-3,
            "{gradient:?} {slopes:?}"
        );
    };
    check(host(rows.grad(&gradients).unwrap()), |case| &mut case.rows);
    let global = metric.global.val().grad(&gradients);
    check(host(global.unwrap()), |case| &mut case.global);
    let local = metric.local.val().grad(&gradients);
    check(host(local.unwrap()), |case| &mut case.local);
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let clusters = Clusters {
        dim: 2,
        centers: vec![0.0, 0.0, 4.0, 4.0],
        bins: vec![0, 1],
        metric: vec![0, 1],
    };
    let config = MultiMetricConfig {
        dim: 2,
        clusters: 2,
        ridge: 0.01,
    };
    let metric = config.init(&device);
    let values = vec![0.0, 1.0, 4.0, 5.0];
    let assignment = assign(Rows::new(&values, 2).unwrap(), &clusters.centers);
    let forward =
        |bins: &[usize], assignment: &[usize], fields: &[Vec<usize>], clusters: &Clusters| {
            let rows = Tensor::<2>::from_data(TensorData::new(values.clone(), [2, 2]), &device);
            let config = MmcLossConfig::default();
            config
                .forward(rows, bins, assignment, fields, clusters, &metric, 0)
                .map(|loss| host(loss.total)[0])
        };
    let fields = [vec![0], vec![1]];
    assert!(forward(&[0, 1], &assignment, &fields, &clusters).is_ok());
    assert!(matches!(
        forward(&[0], &assignment, &fields, &clusters),
        Err(MetricError::Length {
            found: 1,
            expected: 2,
            ..
        })
    ));
    assert!(forward(&[0, 1], &[0], &fields, &clusters).is_err());
    assert!(forward(&[0, 1], &[0, 2], &fields, &clusters).is_err());
    assert!(forward(&[0, 1], &assignment, &fields[..1], &clusters).is_err());
    assert!(forward(&[0, 1], &assignment, &[vec![0], vec![7]], &clusters).is_err());
    let mut other = clusters.clone();
    other.metric = vec![0, 2];
    assert!(forward(&[0, 1], &assignment, &fields, &other).is_err());
    let nothing = Tensor::<2>::zeros([0, 2], &device);
    assert!(matches!(
        MmcLossConfig::default().forward(nothing, &[], &[], &fields, &clusters, &metric, 0),
        Err(MetricError::Empty { .. })
    ));
}
