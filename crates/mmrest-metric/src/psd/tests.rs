use proptest::prelude::*;

use super::*;

/// The matrix that the eigenvalues and vectors stand for.
fn compose(eigen: &Eigen) -> Vec<f64> {
    let dim = eigen.values.len();
    let mut matrix = vec![0.0; dim * dim];
    for (value, vector) in eigen.pairs() {
        for row in 0..dim {
            for column in 0..dim {
                matrix[row * dim + column] += value * vector[row] * vector[column];
            }
        }
    }
    matrix
}

/// The projection as it is written in books.
fn naive_projection(matrix: &[f64], dim: usize) -> Vec<f64> {
    let transposed = |i: usize| matrix[(i % dim) * dim + i / dim];
    let half: Vec<f64> = (0..dim * dim)
        .map(|i| (matrix[i] + transposed(i)) / 2.0)
        .collect();
    let mut eigen = decompose(&half, dim).unwrap();
    for value in &mut eigen.values {
        *value = value.max(0.0);
    }
    compose(&eigen)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

fn square_matrix() -> impl Strategy<Value = (usize, Vec<f64>)> {
    (1_usize..9).prop_flat_map(|dim| {
        let entries = prop::collection::vec(-3.0..3.0_f64, dim * dim);
        (Just(dim), entries)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn projection_is_what_the_formula_says((dim, matrix) in square_matrix()) {
        let mut projected = matrix.clone();
        project_psd_f64(&mut projected, dim).unwrap();
        prop_assert!(distance(&projected, &naive_projection(&matrix, dim)) < 1e-12);
        prop_assert!(min_eigenvalues_f64(&projected, dim).unwrap()[0] > -1e-12);
        for i in 0..dim * dim {
            prop_assert_eq!(projected[i], projected[(i % dim) * dim + i / dim]);
        }
    }

    #[test]
    fn projection_is_idempotent((dim, matrix) in square_matrix()) {
        let mut once = matrix;
        project_psd_f64(&mut once, dim).unwrap();
        let mut twice = once.clone();
        project_psd_f64(&mut twice, dim).unwrap();
        prop_assert!(distance(&once, &twice) < 1e-12);
    }

    /// No PSD matrix `G^T G` is nearer than the projection, whether far from it or a little beside it.
    #[test]
    fn projection_is_the_nearest(
        (dim, matrix) in square_matrix(),
        entries in prop::collection::vec(-2.0..2.0_f64, 64),
        step in 0.0..1.0_f64,
    ) {
        let mut projected = matrix.clone();
        project_psd_f64(&mut projected, dim).unwrap();
        let other: Vec<f64> = (0..dim * dim).map(|i| {
            let gram: f64 = (0..dim).map(|k| entries[k * dim + i / dim] * entries[k * dim + i % dim]).sum();
            (1.0 - step) * projected[i] + step * gram
        }).collect();
        prop_assert!(distance(&matrix, &projected) <= distance(&matrix, &other) + 1e-12);
    }

    #[test]
    fn factor_embeds_isometrically((dim, matrix) in square_matrix(), p in prop::collection::vec(-2.0..2.0_f64, 8)) {
        let mut metric = matrix;
        project_psd_f64(&mut metric, dim).unwrap();
        let factor = factor_psd_f64(&metric, dim).unwrap();
        let p = &p[..dim];
        let embedded: f64 = factor.chunks_exact(dim)
            .map(|row| row.iter().zip(p).map(|(l, p)| l * p).sum::<f64>().powi(2))
            .sum();
        let form: f64 = (0..dim * dim).map(|i| p[i / dim] * metric[i] * p[i % dim]).sum();
        prop_assert!((embedded - form).abs() < 1e-10 * (1.0 + form));
    }

    /// The eigenvectors of one side alone are those of a whole decomposition, and the side is the smaller one.
    #[test]
    fn the_smaller_side_is_a_part_of_the_whole((dim, mut matrix) in square_matrix(), shift in -3.0..3.0_f64) {
        symmetrise(&mut matrix, dim);
        matrix.iter_mut().step_by(dim + 1).for_each(|value| *value += shift);
        let whole = decompose(&matrix, dim).unwrap();
        prop_assert!(whole.values.is_sorted());
        let mut solver = Solver::new(dim);
        let side = solver.smaller_side(&matrix).unwrap();
        let of_side = |value: &f64| (*value < 0.0) == side.negative;
        let expected: Vec<f64> = whole.values.iter().copied().filter(of_side).collect();
        prop_assert_eq!(side.values, expected);
        prop_assert!(2 * side.values.len() <= dim);
        for (value, vector) in side.values.iter().zip(side.vectors.chunks_exact(dim)) {
            for (row, entry) in matrix.chunks_exact(dim).zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                prop_assert!((product - value * entry).abs() < 1e-12);
            }
        }
    }

    #[cfg(feature = "lapack")]
    #[test]
    fn both_decompositions_agree((dim, mut matrix) in square_matrix()) {
        symmetrise(&mut matrix, dim);
        let ours = faer::Solver::new(dim).decompose(&matrix).cloned().unwrap();
        let theirs = lapack::Solver::new(dim).decompose(&matrix).cloned().unwrap();
        let sorted = |eigen: &Eigen| {
            let mut values = eigen.values.clone();
            values.sort_by(f64::total_cmp);
            values
        };
        prop_assert!(distance(&sorted(&ours), &sorted(&theirs)) < 1e-12);
        prop_assert!(distance(&compose(&ours), &compose(&theirs)) < 1e-12);
        prop_assert!(distance(&compose(&ours), &matrix) < 1e-12);
    }
}

#[test]
fn a_psd_matrix_is_only_symmetrised() {
    let mut matrices = vec![2.0, 0.3, 0.1, 1.0, 1.0, 0.0, 0.0, 0.0];
    project_psd_f64(&mut matrices, 2).unwrap();
    assert_eq!(matrices, [2.0, 0.2, 0.2, 1.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn large_matrices_are_projected_as_small_ones() {
    for dim in [31, 32, 33, 64, 130] {
        let entry = |i: usize| ((i * 2_654_435) % 1009) as f64 / 504.5 - 1.0;
        let matrix: Vec<f64> = (0..dim * dim).map(entry).collect();
        let mut projected = matrix.clone();
        project_psd_f64(&mut projected, dim).unwrap();
        let apart = distance(&projected, &naive_projection(&matrix, dim));
        assert!(apart < 1e-11, "{dim}: {apart}");
        let mut symmetric = matrix.clone();
        symmetrise(&mut symmetric, dim);
        let composed = compose(&decompose(&symmetric, dim).unwrap());
        assert!(distance(&composed, &symmetric) < 1e-11, "{dim}");

        // With a heavy diagonal it is positive definite.
        let mut definite = matrix;
        for value in definite.iter_mut().step_by(dim + 1) {
            *value += 2.0 * dim as f64;
        }
        let mut expected = definite.clone();
        symmetrise(&mut expected, dim);
        project_psd_f64(&mut definite, dim).unwrap();
        assert_eq!(definite, expected);
    }
}

/// Several matrices share memory: what one leaves in it must not reach the next.
#[test]
fn matrices_do_not_see_each_other() {
    let dim = 6;
    let entry = |i: usize| ((i * 7919) % 97) as f64 / 48.5 - 1.0;
    let mut together: Vec<f64> = (0..40 * dim * dim).map(entry).collect();
    for value in together.iter_mut().take(20 * dim * dim).step_by(dim + 1) {
        *value += 3.0;
    }
    let mut alone = together.clone();
    project_psd_f64(&mut together, dim).unwrap();
    for matrix in alone.chunks_exact_mut(dim * dim) {
        project_psd_f64(matrix, dim).unwrap();
    }
    assert_eq!(together, alone);
}

#[test]
fn the_smallest_eigenvalue_is_the_last_of_all() {
    let matrices = [0.0, 1.0, 1.0, 0.0, 2.0, 0.0, 0.0, 3.0];
    let smallest = min_eigenvalues_f64(&matrices, 2).unwrap();
    assert!((smallest[0] + 1.0).abs() < 1e-12 && (smallest[1] - 2.0).abs() < 1e-12);
    let all = eigenvalues_f64(&matrices, 2).unwrap();
    assert_eq!(smallest, [all[1], all[3]]);
}

#[test]
fn a_negative_definite_matrix_becomes_zero() {
    let mut matrix = vec![-2.0, 0.5, 0.5, -1.0];
    project_psd_f64(&mut matrix, 2).unwrap();
    assert_eq!(matrix, [0.0; 4]);
}

#[test]
fn refuses_what_has_no_eigenvalues() {
    assert!(matches!(
        project_psd_f64(&mut [0.0; 5], 2),
        Err(MetricError::RaggedMatrices { values: 5, dim: 2 })
    ));
    assert!(project_psd_f64(&mut [], 0).is_err());
    let mut matrices = [1.0, 0.0, 0.0, 1.0, 1.0, f64::NAN, 0.0, 1.0];
    assert_eq!(
        project_psd_f64(&mut matrices, 2),
        Err(MetricError::NonFiniteMetric { index: 1 })
    );
    assert_eq!(project_psd_f64(&mut [], 3), Ok(()));
}
