use super::*;

fn rows<const N: usize>(values: [[f32; 2]; N]) -> Tensor<2> {
    Tensor::from_data(values, &Device::flex())
}

fn values(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

#[test]
fn ties_go_to_the_lower_index() {
    assert_eq!(two_nearest(&[1.0, 1.0]), (0, 1));
    assert_eq!(two_nearest(&[2.0, 1.0, 1.0]), (1, 2));
    assert_eq!(two_nearest(&[2.0, 2.0, 2.0, 1.0]), (3, 0));
    assert_eq!(two_nearest(&[3.0, 1.0, 2.0, 2.0]), (1, 2));
    assert_eq!(two_nearest(&[f32::NAN; 3]), (0, 1));
}

#[test]
fn two_nearest_are_the_first_two_of_a_stable_sort() {
    for seed in 0..2000_usize {
        let distances: Vec<f32> = (0..2 + seed % 6)
            .map(|k| ((seed / 3 * 7 + k * k * 5) % 4) as f32)
            .collect();
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        assert_eq!(
            two_nearest(&distances),
            (order[0], order[1]),
            "{distances:?}"
        );
    }
}

#[test]
fn the_whole_of_v_projects_on_v_at_its_own_length() {
    let metric = rows([[4.0, 1.0], [1.0, 9.0]]);
    let v = rows([[1.0, 0.0], [0.0, -2.0], [1.0, 1.0]]);
    let lengths = [4.0, 36.0, 15.0].map(f32::sqrt);
    let same = values(signed_length(v.clone(), v.clone(), metric.clone()));
    let opposite = values(signed_length(v.clone().neg(), v, metric));
    for ((same, opposite), length) in same.iter().zip(&opposite).zip(lengths) {
        assert!((same - length).abs() < 1e-5 && (opposite + length).abs() < 1e-5);
    }
}

#[test]
fn what_is_orthogonal_in_the_metric_projects_on_nothing() {
    let metric = rows([[4.0, 1.0], [1.0, 9.0]]);
    // (1, -4) M (1, 0) = 4 - 4 = 0
    let r = signed_length(rows([[1.0, -4.0]]), rows([[1.0, 0.0]]), metric);
    assert_eq!(values(r), [0.0]);
}

#[test]
fn modalities_are_averaged_segment_by_segment() {
    let value = Tensor::from_data([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], &Device::flex());
    assert_eq!(values(mean_over_modalities(value.clone(), 3)), [3.0, 5.0]);
    assert_eq!(
        values(mean_over_modalities(value.clone(), 1)),
        [1.0, 2.0, 3.0, 4.0, 5.0, 9.0]
    );
    assert_eq!(values(mean_over_modalities(value, 6)), [4.0]);
}

#[test]
#[should_panic(expected = "5 values are not whole batches of 3 modalities")]
fn ragged_modalities_are_refused() {
    let _ = mean_over_modalities(Tensor::zeros([5], &Device::flex()), 3);
}

#[test]
fn the_sign_points_to_the_more_positive_sentiment() {
    let projection = Projection {
        value: Tensor::from_data([0.5, 0.5, 0.5, -0.5], &Device::flex()),
        near: vec![0, 1, 0, 1],
        second: vec![1, 0, 2, 2],
        distances: Vec::new(),
    };
    assert_eq!(values(projection.signed(&[2, 5, 2])), [0.5, -0.5, 0.0, 0.5]);
    assert_eq!(values(projection.signed(&[])), [0.0; 4]);
}
