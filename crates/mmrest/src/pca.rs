//! Principal component analysis of a few rows.

use mmrest_metric::{MetricError, factor_psd_f64};

/// A direction in which rows vary.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Component {
    /// An eigenvector of the covariance, as long as the standard deviation along it.
    pub(crate) axis: Vec<f64>,
    /// The variance along it.
    pub(crate) variance: f64,
}

/// The mean of rows of `dim` values.
pub(crate) fn mean(rows: &[&[f32]], dim: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dim];
    for row in rows {
        for (mean, &x) in mean.iter_mut().zip(*row) {
            *mean += f64::from(x) / rows.len() as f64;
        }
    }
    mean
}

/// `row - mean`.
pub(crate) fn centered(row: &[f32], mean: &[f64]) -> Vec<f64> {
    row.iter()
        .zip(mean)
        .map(|(&x, m)| f64::from(x) - m)
        .collect()
}

/// The `dim` principal components of rows whose mean is 0, by falling variance.
///
/// # Errors
///
/// A value is not finite.
pub(crate) fn principal_components(
    rows: &[Vec<f64>],
    dim: usize,
) -> Result<Vec<Component>, MetricError> {
    let mut covariance = vec![0.0; dim * dim];
    for row in rows {
        for (line, a) in covariance.chunks_exact_mut(dim).zip(row) {
            for (sum, b) in line.iter_mut().zip(row) {
                *sum += a * b / rows.len() as f64;
            }
        }
    }
    // The rows of this factor are the eigenvectors, each as long as its standard deviation.
    let factor = factor_psd_f64(&covariance, dim)?;
    let mut components: Vec<Component> = factor
        .chunks_exact(dim)
        .map(|axis| Component {
            axis: axis.to_vec(),
            variance: dot(axis, axis),
        })
        .collect();
    components.sort_by(|a, b| b.variance.total_cmp(&a.variance));
    Ok(components)
}

/// The inner product.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_the_axes_of_an_ellipse() {
        let rows: [&[f32]; 4] = [&[3.0, 5.0], &[-1.0, 5.0], &[1.0, 6.0], &[1.0, 4.0]];
        let mean = mean(&rows, 2);
        assert_eq!(mean, [1.0, 5.0]);
        let rows = rows.map(|row| centered(row, &mean));
        let components = principal_components(&rows, 2).unwrap();
        let variances: Vec<f64> = components.iter().map(|c| c.variance).collect();
        assert!((variances[0] - 2.0).abs() < 1e-12 && (variances[1] - 0.5).abs() < 1e-12);
        let [first, second] = [&components[0].axis, &components[1].axis];
        assert!((first[0].abs() - 2_f64.sqrt()).abs() < 1e-12 && first[1].abs() < 1e-12);
        assert!(second[0].abs() < 1e-12 && (second[1].abs() - 0.5_f64.sqrt()).abs() < 1e-12);
    }
}
