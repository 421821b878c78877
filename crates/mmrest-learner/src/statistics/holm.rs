//! Holm's correction for several tests.

/// Holm's step-down adjustment of p-values, in their own order: the i-th smallest of m times (m - i + 1), made ascending
/// and at most 1. Rejecting what is at most 0.05 then errs in any of the tests with probability at most 0.05 (Holm 1979).
///
/// ```
/// let adjusted = mmrest_learner::statistics::holm(&[0.01, 0.04, 0.03]);
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![f64::NAN; p_values.len()];
    let mut least = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        least = least.max((factor * p_values[index]).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}
