use burn::module::Param;
use burn::tensor::Tensor;

use super::*;
use crate::cpu::testing::{assert_near, assert_same_on_any_threads, host, leaf};
use crate::{MultiMetricConfig, Rows, assign};

type Compute = fn(Tensor<2>, &MultiMetric, &Setting<'_>) -> MmcLoss;

/// A batch of a given shape.
#[derive(Clone, Debug)]
struct Shape {
    count: usize,
    dim: usize,
    /// The local metric of each cluster.
    which: Vec<usize>,
    locals: usize,
    /// Every so many rows are in a field; none where it is 0.
    step: usize,
    config: MmcLossConfig,
}

/// A wish for gradients: of the total, or of parts by themselves.
type Wish = fn(&MmcLoss) -> Tensor<1>;

/// The four numbers and the gradients by rows, shared and local metrics.
fn all(compute: Compute, shape: &Shape, wish: Wish) -> Vec<Vec<f32>> {
    let (count, dim) = (shape.count, shape.dim);
    let clusters = Clusters {
        dim,
        centers: host(leaf([shape.which.len(), dim], 2)),
        bins: vec![0; shape.which.len()],
        metric: shape.which.clone(),
    };
    let rows = leaf([count, dim], 1);
    let values = host(rows.clone());
    let assignment = assign(Rows::new(&values, dim).unwrap(), &clusters.centers);
    let row_bins: Vec<usize> = (0..count).map(|row| row * row % 3).collect();
    let field = |cluster: usize| match shape.step {
        0 => Vec::new(),
        step => (cluster..count).step_by(step + cluster).collect(),
    };
    let fields: Vec<Vec<usize>> = (0..clusters.len()).map(field).collect();
    let config = MultiMetricConfig {
        dim,
        clusters: shape.locals,
        ridge: 0.01,
    };
    let mut metric = config.init(&rows.device());
    metric.global = Param::from_tensor(leaf([dim, dim], 3));
    metric.local = Param::from_tensor(leaf([shape.locals, dim, dim], 4));
    let setting = Setting {
        config: &shape.config,
        assignment: &assignment,
        clusters: &clusters,
        pairs: shape.config.pairs(&fields, &row_bins, 1),
        margins: shape.config.margins(&clusters),
    };
    let loss = compute(rows.clone(), &metric, &setting);
    let gradients = wish(&loss).backward();
    let global = metric.global.val();
    let none = Tensor::zeros([dim, dim], &global.device());
    let nothing = || metric.local.val().zeros_like();
    vec![
        host(Tensor::cat(
            vec![loss.total, loss.intra, loss.inter, loss.frobenius],
            0,
        )),
        host(rows.grad(&gradients).unwrap()),
        host(global.grad(&gradients).unwrap_or(none)),
        host(
            metric
                .local
                .val()
                .grad(&gradients)
                .unwrap_or_else(|| nothing().inner()),
        ),
    ]
}

fn shapes() -> Vec<Shape> {
    let config = MmcLossConfig {
        margin: 50.0,
        margin_scale: 2.0,
        ..Default::default()
    };
    let shape = |count, dim, which: &[usize], locals, step| Shape {
        count,
        dim,
        which: which.to_vec(),
        locals,
        step,
        config,
    };
    let flat = MmcLossConfig {
        margin: -1e6,
        margin_scale: -1e6,
        ..config
    };
    vec![
        shape(1, 1, &[0], 1, 1),
        shape(1, 3, &[0, 1], 2, 1),
        shape(9, 3, &[0], 1, 1),
        shape(40, 3, &[1, 0, 1, 3], 4, 2),
        shape(40, 5, &[0, 1], 2, 0),
        shape(150, 64, &[0, 1, 2, 3, 4, 5, 6], 7, 3),
        shape(129, 17, &[0, 1, 2], 3, 1),
        Shape {
            config: flat,
            ..shape(70, 4, &[0, 1, 2], 3, 1)
        },
        Shape {
            config: MmcLossConfig {
                means: true,
                ..config
            },
            ..shape(129, 17, &[2, 0, 1], 3, 1)
        },
    ]
}

#[test]
fn the_operation_is_what_tensors_say() {
    let wishes: [Wish; 3] = [
        |loss| loss.total.clone(),
        |loss| loss.intra.clone() + loss.inter.clone().mul_scalar(3.0),
        |loss| loss.inter.clone() - loss.frobenius.clone() + loss.total.clone(),
    ];
    for shape in shapes() {
        for wish in wishes {
            let expected = all(tensors::forward, &shape, wish);
            for (found, expected) in all(cpu::forward, &shape, wish).iter().zip(&expected) {
                assert_near(found, expected, &format!("{shape:?}"));
            }
        }
    }
}

#[test]
fn both_hinges_are_tested_on_both_sides() {
    let values = |at: usize| all(cpu::forward, &shapes()[at], |loss| loss.total.clone()).remove(0);
    let [_, intra, inter, _] = values(5)[..] else {
        panic!("four numbers")
    };
    assert!(intra > 0.0 && inter > 0.0);
    assert_eq!(values(7)[1..3], [0.0, 0.0]);
}

#[test]
fn threads_do_not_matter() {
    for shape in shapes() {
        assert_same_on_any_threads(|| all(cpu::forward, &shape, |loss| loss.total.clone()));
    }
}

#[test]
fn a_row_that_is_no_number_shows() {
    let shape = &shapes()[3];
    let broken: Compute = |rows, metric, setting| {
        let scale = rows.zeros_like().log(); // -infinity
        cpu::forward(rows * (scale.clone() - scale), metric, setting)
    };
    assert!(all(broken, shape, |loss| loss.total.clone())[0][0].is_nan());
}
