//! The entropy of representations under a Gaussian of each side of sentiment, with the rows of the batch before.
//!
//! `H = (logdet S+ + logdet S-) / 4` with the biased covariances S of the rows with a positive (negative) label, of this
//! batch and the remembered one. The rows are read to the host, where S is inverted in double precision; the gradient
//! goes through `d logdet S = tr(S^-1 dS)`.

use burn::tensor::{Int, Tensor, TensorData};
use mmrest_kernels::host;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// The rows of the batch before, by the sign of their label. Empty in a saved model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropyMemory {
    /// Of each pair of modalities: rows with a positive label, row-major.
    pub positive: Vec<Vec<f32>>,
    /// Of each pair of modalities: rows with a negative label, row-major.
    pub negative: Vec<Vec<f32>>,
    /// Batches of this epoch whose entropy was left out, for a covariance was singular.
    pub skipped: usize,
}

/// Places of the rows with a positive, and of those with a negative label.
fn sides(labels: &[f32]) -> [Vec<usize>; 2] {
    let of = |side: fn(f32) -> bool| {
        let rows = labels.iter().enumerate();
        rows.filter_map(move |(row, &label)| side(label).then_some(row))
            .collect()
    };
    [of(|label| label > 0.0), of(|label| label < 0.0)]
}

impl EntropyMemory {
    /// H of each pair, `[1]`, and the rows of this batch to remember; no H where a covariance is singular.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub(super) fn entropies(
        &self,
        rows: &[Tensor<2>],
        labels: &[f32],
    ) -> Result<Option<Vec<Tensor<1>>>, ModelError> {
        let mut found = Vec::new();
        let places = sides(labels);
        for (pair, rows) in rows.iter().enumerate() {
            let mut sum: Option<Tensor<1>> = None;
            for (places, memory) in places.iter().zip([&self.positive, &self.negative]) {
                let memory = memory.get(pair).map_or(&[][..], Vec::as_slice);
                let Some(value) = log_determinant(rows, places, memory)? else {
                    return Ok(None);
                };
                sum = Some(match sum {
                    Some(sum) => sum + value,
                    None => value,
                });
            }
            found.extend(sum.map(|sum| sum / 4.0));
        }
        Ok(Some(found))
    }

    /// Remembers the rows of a batch, and forgets those before.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub(super) fn remember(
        &mut self,
        rows: &[Tensor<2>],
        labels: &[f32],
    ) -> Result<(), ModelError> {
        let [positive, negative] = sides(labels);
        let (mut of_positive, mut of_negative) = (Vec::new(), Vec::new());
        for rows in rows {
            let width = rows.dims()[1];
            let values = host::read("entropy rows", rows.clone().inner())?;
            let pick = |places: &[usize]| -> Vec<f32> {
                let own = places.iter();
                own.flat_map(|&row| values[row * width..][..width].iter().copied())
                    .collect()
            };
            of_positive.push(pick(&positive));
            of_negative.push(pick(&negative));
        }
        self.positive = of_positive;
        self.negative = of_negative;
        Ok(())
    }
}

/// logdet S of some rows together with remembered ones, `[1]`; none where S is singular.
fn log_determinant(
    rows: &Tensor<2>,
    places: &[usize],
    memory: &[f32],
) -> Result<Option<Tensor<1>>, ModelError> {
    let [_, width] = rows.dims();
    let device = rows.device();
    let remembered = memory.len() / width;
    let count = places.len() + remembered;
    if count <= width {
        return Ok(None);
    }
    let memory = TensorData::new(memory.to_vec(), [remembered, width]);
    let memory = Tensor::<2>::from_data(memory, &device);
    let all = if places.is_empty() {
        memory
    } else {
        let places: Vec<i64> = places.iter().map(|&row| row as i64).collect();
        let places = Tensor::<1, Int>::from_data(TensorData::from(places.as_slice()), &device);
        let own = rows.clone().select(0, places);
        if remembered == 0 {
            own
        } else {
            Tensor::cat(vec![own, memory], 0)
        }
    };
    let centred = all.clone() - all.mean_dim(0);
    let values = host::read("entropy rows", centred.clone())?;
    let mut covariance = vec![0.0f64; width * width];
    for row in values.chunks_exact(width) {
        for (i, &a) in row.iter().enumerate() {
            for (j, &b) in row.iter().enumerate() {
                covariance[i * width + j] += f64::from(a) * f64::from(b) / count as f64;
            }
        }
    }
    let Some((logdet, inverse)) = invert(&covariance, width) else {
        return Ok(None);
    };
    let inverse: Vec<f32> = inverse.into_iter().map(|value| value as f32).collect();
    let inverse = Tensor::<2>::from_data(TensorData::new(inverse, [width, width]), &device);
    let covariance = centred.clone().transpose().matmul(centred) / count as f64;
    let along = (covariance * inverse).sum();
    // The value is logdet S, the gradient that of tr(S^-1 S).
    Ok(Some(along.clone() - along.detach() + logdet))
}

/// Logarithm of the determinant and inverse of a symmetric positive definite matrix, by its Cholesky factor; none when it is
/// singular to double precision.
fn invert(matrix: &[f64], width: usize) -> Option<(f64, Vec<f64>)> {
    let largest = (0..width)
        .map(|i| matrix[i * width + i])
        .fold(0.0, f64::max);
    let mut factor = vec![0.0; width * width];
    let mut logdet = 0.0;
    for i in 0..width {
        for j in 0..=i {
            let dot: f64 = (0..j)
                .map(|k| factor[i * width + k] * factor[j * width + k])
                .sum();
            let rest = matrix[i * width + j] - dot;
            if i == j {
                // Rows are single precision: what is left of a pivot below their rounding is noise.
                if rest.is_nan() || rest <= 1e-12 * largest {
                    return None;
                }
                factor[i * width + i] = rest.sqrt();
                logdet += rest.ln();
            } else {
                factor[i * width + j] = rest / factor[j * width + j];
            }
        }
    }
    // Column by column: L y = e, L^T x = y.
    let mut inverse = vec![0.0; width * width];
    for column in 0..width {
        let mut x = vec![0.0; width];
        for i in 0..width {
            let dot: f64 = (0..i).map(|k| factor[i * width + k] * x[k]).sum();
            let one = f64::from(u8::from(i == column));
            x[i] = (one - dot) / factor[i * width + i];
        }
        for i in (0..width).rev() {
            let dot: f64 = (i + 1..width).map(|k| factor[k * width + i] * x[k]).sum();
            x[i] = (x[i] - dot) / factor[i * width + i];
        }
        for (i, value) in x.into_iter().enumerate() {
            inverse[i * width + column] = value;
        }
    }
    Some((logdet, inverse))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let matrix = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let (logdet, inverse) = invert(&matrix, 3).unwrap();
        let determinant = 4.0 * (6.0 - 0.04) - (2.0 + 0.1) + 0.5 * (-0.2 - 1.5);
        assert!((logdet - f64::ln(determinant)).abs() < 1e-12);
        for i in 0..3 {
            for j in 0..3 {
                let sum: f64 = (0..3).map(|k| matrix[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((sum - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        assert!(invert(&[1.0, 1.0, 1.0, 1.0], 2).is_none());
        assert!(invert(&[f64::NAN], 1).is_none());
    }

    #[test]
    fn too_few_rows_have_no_entropy() {
        let device = Device::flex();
        let rows = Tensor::<2>::from_data([[0.1, 0.2], [0.5, -0.4], [0.3, 0.9]], &device);
        let mut memory = EntropyMemory::default();
        let labels = [1.0, 0.0, -2.0];
        assert!(
            memory
                .entropies(std::slice::from_ref(&rows), &labels)
                .unwrap()
                .is_none()
        );
        memory.remember(&[rows], &labels).unwrap();
        assert_eq!(memory.positive, [[0.1, 0.2]]);
        assert_eq!(memory.negative, [[0.3, 0.9]]);
    }
}
