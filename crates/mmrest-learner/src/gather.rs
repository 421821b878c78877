//! The rows of a batch that several devices computed, laid together as if one had.

use burn::tensor::{Tensor, TensorData};

use crate::meeting::{Part, PartRows};

/// Rows and labels of the whole batch: all rows of one modality, then all of the next, segments in the batch's order.
pub(crate) fn in_order(parts: &[PartRows], modalities: usize, dim: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for modality in 0..modalities {
        for part in parts {
            let segments = part.labels.len() / modalities.max(1);
            let rows = modality * segments..(modality + 1) * segments;
            values.extend_from_slice(&part.values[rows.start * dim..rows.end * dim]);
            labels.extend_from_slice(&part.labels[rows]);
        }
    }
    (values, labels)
}

/// The rows of the whole batch, `values`, as a tensor in which a part's own `rows` are those that gradients flow to.
///
/// The gradient of a loss of all rows is then, for the part's encoders, what it is on one device: the parts' gradients
/// add up to the batch's.
pub(crate) fn among(rows: Tensor<2>, values: &[f32], part: &Part, modalities: usize) -> Tensor<2> {
    let [own, dim] = rows.dims();
    let (own, segments) = (own / modalities.max(1), part.segments());
    let shape = [values.len() / dim.max(1), dim];
    let data = TensorData::new(values.to_vec(), shape);
    let mut all = Tensor::<2>::from_data(data, &rows.device());
    for modality in 0..modalities {
        let at = modality * segments + part.first();
        let mine = rows.clone().narrow(0, modality * own, own);
        all = all.slice_assign([at..at + own, 0..dim], mine);
    }
    all
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two segments, then one, of two modalities; every number tells modality and segment.
    fn parts() -> [PartRows; 2] {
        let part = |values: &[f32], labels: &[f32]| PartRows {
            values: values.to_vec(),
            labels: labels.repeat(2),
        };
        [
            part(&[0.0, 1.0, 10.0, 11.0], &[5.0, 6.0]),
            part(&[2.0, 12.0], &[4.0]),
        ]
    }

    #[test]
    fn rows_of_parts_lie_as_those_of_one_batch() {
        let (values, labels) = in_order(&parts(), 2, 1);
        assert_eq!(values, [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        assert_eq!(labels, [5.0, 6.0, 4.0, 5.0, 6.0, 4.0]);
    }

    #[test]
    fn gradients_flow_to_a_parts_own_rows() {
        let device = Device::flex().autodiff();
        let (values, _) = in_order(&parts(), 2, 1);
        let second = &Part::of(&[2, 1], false)[1];
        let rows = Tensor::<2>::from_data([[2.0], [12.0]], &device).require_grad();
        let all = among(rows.clone(), &values, second, 2);
        assert_eq!(all.clone().into_data().try_to_vec::<f32>().unwrap(), values);
        let weights = Tensor::<2>::from_data([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]], &device);
        let gradients = (all * weights).sum().backward();
        let gradient = rows.grad(&gradients).unwrap().into_data();
        assert_eq!(gradient.try_to_vec::<f32>().unwrap(), [3.0, 6.0]);
    }
}
