//! The SDK's alignment of one sequence to reference intervals.

/// Seconds below which the SDK takes two times as equal.
pub const TOLERANCE: f64 = 1e-5;

/// Which rows lie within a reference interval, by the SDK's rule (`align`, without collapse functions).
///
/// A row `[s, e]` belongs to the reference `[S, E]` when `s < E + t`, `e > S - t` and what is left of it inside,
/// `min(e, E) - max(s, S)`, is more than `t` = [`TOLERANCE`]. Rows are whole, never cut or weighted, and one that
/// straddles two references belongs to both. Indices come in the order of `rows`, which the SDK sorts by start.
///
/// A reference shorter than `t` holds nothing (the SDK skips it): see [`is_too_short`].
///
/// ```
/// use mmrest_data::overlapping;
///
/// let rows = [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]];
/// assert_eq!(overlapping(&rows, [0.5, 2.0]), [0, 1]);
/// ```
pub fn overlapping(rows: &[[f64; 2]], reference: [f64; 2]) -> Vec<usize> {
    if is_too_short(reference) {
        return Vec::new();
    }
    let [first, last] = reference;
    let belongs = |&[start, end]: &[f64; 2]| {
        start < last + TOLERANCE
            && end > first - TOLERANCE
            && end.min(last) - start.max(first) > TOLERANCE
    };
    rows.iter()
        .enumerate()
        .filter(|(_, row)| belongs(row))
        .map(|(i, _)| i)
        .collect()
}

/// Whether a reference interval is shorter than [`TOLERANCE`] (or not a number): the SDK makes no segment of it,
/// but counts it.
pub fn is_too_short([start, end]: [f64; 2]) -> bool {
    let length = (end - start).abs();
    length < TOLERANCE || length.is_nan()
}
