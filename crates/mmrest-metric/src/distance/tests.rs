use burn::tensor::Tensor;

use super::*;
use crate::cpu::testing::{assert_near, assert_same_on_any_threads, host, leaf};

type Compute = fn(Tensor<2>, Tensor<2>, Tensor<3>) -> Tensor<2>;

/// The distances and the gradients of a weighted sum of them by rows, centres and metrics.
fn all(compute: Compute, [count, clusters, dim]: [usize; 3]) -> Vec<Vec<f32>> {
    let rows = leaf([count, dim], 1);
    let centers = leaf([clusters, dim], 2);
    let metrics = leaf([clusters, dim, dim], 3);
    let d = compute(rows.clone(), centers.clone(), metrics.clone());
    let weights = leaf([count, clusters], 4).detach();
    let gradients = (d.clone() * weights).sum().backward();
    vec![
        host(d),
        host(rows.grad(&gradients).unwrap()),
        host(centers.grad(&gradients).unwrap()),
        host(metrics.grad(&gradients).unwrap()),
    ]
}

const SHAPES: [[usize; 3]; 6] = [
    [1, 1, 1],
    [1, 4, 3],
    [7, 1, 3],
    [64, 2, 5],
    [150, 7, 64],
    [129, 3, 17],
];

#[test]
fn the_operation_is_what_tensors_say() {
    for shape in SHAPES {
        let expected = all(by_tensors, shape);
        for (found, expected) in all(cpu::distances, shape).iter().zip(&expected) {
            assert_near(found, expected, &format!("{shape:?}"));
        }
        let [count, clusters, dim] = shape;
        let plain = cpu::distances(
            leaf([count, dim], 1).inner(),
            leaf([clusters, dim], 2).inner(),
            leaf([clusters, dim, dim], 3).inner(),
        );
        assert_eq!(host(plain), all(cpu::distances, shape)[0]);
    }
}

#[test]
fn gradients_are_slopes() {
    let [count, clusters, dim] = [5, 2, 3];
    let values = [
        host(leaf([count, dim], 1)),
        host(leaf([clusters, dim], 2)),
        host(leaf([clusters, dim, dim], 3)),
    ]
    .map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
    let weights = host(leaf([count, clusters], 4));
    let total = |[rows, centers, metrics]: &[Vec<f64>; 3]| {
        let mut sum = 0.0;
        for n in 0..count {
            for k in 0..clusters {
                let x = |i: usize| rows[n * dim + i] - centers[k * dim + i];
                for i in 0..dim {
                    for j in 0..dim {
                        let weight = f64::from(weights[n * clusters + k]);
                        sum += weight * x(i) * metrics[(k * dim + i) * dim + j] * x(j);
                    }
                }
            }
        }
        sum
    };
    let found = all(cpu::distances, [count, clusters, dim]);
    for (which, found) in found[1..].iter().enumerate() {
        let slope = |at: usize| {
            let [up, down] = [1e-4, -1e-4].map(|step| {
                let mut moved = values.clone();
                moved[which][at] += step;
                total(&moved)
            });
            ((up - down) / 2e-4) as f32
        };
        let slopes: Vec<f32> = (0..found.len()).map(slope).collect();
        assert_near(found, &slopes, &format!("input {which}"));
    }
}

#[test]
fn threads_do_not_matter() {
    assert_same_on_any_threads(|| all(cpu::distances, [300, 5, 33]));
}

#[test]
fn no_rows_are_fine() {
    for [count, clusters, dim] in [[0, 3, 2], [0, 1, 1]] {
        let d = distances(
            leaf([count, dim], 1),
            leaf([clusters, dim], 2),
            leaf([clusters, dim, dim], 3),
        );
        assert_eq!(d.dims(), [count, clusters]);
    }
}
