//! Clusters: their centres and sentiments, the assignment of rows to them, and the rows of their receptive fields.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rows::{nearest, squared_distance};
use crate::{MetricError, Rows};

/// Rows a thread takes at a time.
const BLOCK: usize = 1024;

/// The clusters that the distances are measured to.
///
/// ```
/// use mmrest_metric::{Clusters, Rows};
///
/// let clusters = Clusters {
///     dim: 2,
///     centers: vec![0.0, 0.0, 10.0, 10.0],
///     bins: vec![0, 6],
///     metric: vec![0, 1],
/// };
/// clusters.check(7, 2)?;
/// let values = [1.0, 0.0, 9.0, 11.0];
/// assert_eq!(clusters.assign(Rows::new(&values, 2)?), [0, 1]);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clusters {
    /// Width of a centre.
    pub dim: usize,
    /// The centres, one after another: `[clusters, dim]`.
    pub centers: Vec<f32>,
    /// The sentiment bin of each cluster.
    pub bins: Vec<usize>,
    /// Which local metric each cluster uses.
    pub metric: Vec<usize>,
}

impl Clusters {
    /// How many clusters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bins.len()
    }

    /// Whether there is no cluster.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// The centre of cluster `index`, which must be below [`len`](Self::len).
    #[must_use]
    pub fn center(&self, index: usize) -> &[f32] {
        &self.centers[index * self.dim..(index + 1) * self.dim]
    }

    /// The nearest cluster of each row, by Euclidean distance.
    #[must_use]
    pub fn assign(&self, rows: Rows<'_>) -> Vec<usize> {
        assign(rows, &self.centers)
    }

    /// Whether the parts fit together and the values can be used: for clusters read from a file.
    ///
    /// # Errors
    ///
    /// [`MetricError::RaggedRows`], [`MetricError::Length`], [`MetricError::NonFiniteCenter`], or
    /// [`MetricError::Index`] for a bin that is not below `bins` or a metric that is not below `metrics`.
    pub fn check(&self, bins: usize, metrics: usize) -> Result<(), MetricError> {
        self.check_shapes()?;
        MetricError::check_indices("sentiment bin", self.bins.iter().copied(), bins)?;
        MetricError::check_indices("local metric", self.metric.iter().copied(), metrics)?;
        match self.centers.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => Err(MetricError::NonFiniteCenter {
                center: at / self.dim,
                column: at % self.dim,
            }),
        }
    }

    /// Whether there is a centre and a metric for each bin.
    pub(crate) fn check_shapes(&self) -> Result<(), MetricError> {
        let (values, dim) = (self.centers.len(), self.dim);
        let count = self.len();
        let ragged = match dim {
            0 => values > 0 || count > 0,
            _ => !values.is_multiple_of(dim),
        };
        if ragged {
            return Err(MetricError::RaggedRows { values, dim });
        }
        MetricError::check_length("centre values", values, count * dim)?;
        MetricError::check_length("local metrics of the clusters", self.metric.len(), count)
    }
}

/// Which rows a cluster looks at (paper: receptive field `R_i`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceptiveField {
    /// The Voronoi cell: every row that is assigned to the cluster.
    Cell,
    /// The given number of rows nearest to the centre, whichever cluster they belong to; all rows if there are fewer.
    Nearest(usize),
}

/// The index of each row's nearest centre by Euclidean distance, the lowest on a tie.
///
/// `centers` is `[clusters, rows.dim()]`, one after another. Without centres every index is 0.
///
/// ```
/// use mmrest_metric::{Rows, assign};
///
/// let rows = Rows::new(&[-1.0, 0.4, 3.0], 1)?;
/// assert_eq!(assign(rows, &[0.0, 2.0]), [0, 0, 1]);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[must_use]
pub fn assign(rows: Rows<'_>, centers: &[f32]) -> Vec<usize> {
    let label = |row: &[f32]| nearest(row, centers).0;
    if rows.len() <= BLOCK {
        return rows.iter().map(label).collect();
    }
    let rows = rows.values().par_chunks_exact(rows.dim());
    rows.with_min_len(BLOCK).map(label).collect()
}

/// The rows that each centre sees, as ascending row indices.
///
/// `centers` is `[clusters, rows.dim()]`, `assignment` the cluster of each row; a row that is assigned to
/// no cluster is in no cell. Of rows equally far, [`ReceptiveField::Nearest`] takes the lower index.
///
/// ```
/// use mmrest_metric::{ReceptiveField, Rows, assign, receptive_fields};
///
/// let centers = [0.0, 2.0];
/// let rows = Rows::new(&[-1.0, 0.9, 3.0], 1)?;
/// let assignment = assign(rows, &centers);
/// let fields = |field| receptive_fields(rows, &centers, &assignment, field);
/// assert_eq!(fields(ReceptiveField::Cell), [vec![0, 1], vec![2]]);
/// assert_eq!(fields(ReceptiveField::Nearest(2)), [vec![0, 1], vec![1, 2]]);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[must_use]
pub fn receptive_fields(
    rows: Rows<'_>,
    centers: &[f32],
    assignment: &[usize],
    field: ReceptiveField,
) -> Vec<Vec<usize>> {
    let centers = centers.chunks_exact(rows.dim());
    match field {
        ReceptiveField::Cell => cells(assignment, centers.len()),
        ReceptiveField::Nearest(count) => centers
            .map(|center| nearest_rows(rows, center, count))
            .collect(),
    }
}

/// The rows of each cluster, ascending.
pub(crate) fn cells(assignment: &[usize], clusters: usize) -> Vec<Vec<usize>> {
    let mut cells = vec![Vec::new(); clusters];
    for (row, &cluster) in assignment.iter().enumerate() {
        if let Some(cell) = cells.get_mut(cluster) {
            cell.push(row);
        }
    }
    cells
}

/// The `count` rows nearest to `center`, ascending.
fn nearest_rows(rows: Rows<'_>, center: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| (squared_distance(row, center), index))
        .collect();
    if count < order.len() {
        order.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.truncate(count);
    }
    let mut field: Vec<usize> = order.into_iter().map(|(_, index)| index).collect();
    field.sort_unstable();
    field
}

/// The sentiment of each field: its rows' most frequent bin, the lowest on a tie (bin 0 for an empty field).
///
/// ```
/// use mmrest_metric::vote;
///
/// let row_bins = [6, 6, 2, 2, 5];
/// assert_eq!(vote(&[vec![0, 1, 2], vec![0, 1, 2, 3], vec![4]], &row_bins, 7), [6, 2, 5]);
/// ```
#[must_use]
pub fn vote(fields: &[Vec<usize>], row_bins: &[usize], bin_count: usize) -> Vec<usize> {
    fields
        .iter()
        .map(|field| {
            let mut counts = vec![0_usize; bin_count];
            let bins = field.iter().filter_map(|&row| row_bins.get(row));
            for &bin in bins {
                if let Some(count) = counts.get_mut(bin) {
                    *count += 1;
                }
            }
            let most = counts.iter().copied().max().unwrap_or(0);
            counts.iter().position(|&count| count == most).unwrap_or(0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_what_does_not_fit() {
        let good = Clusters {
            dim: 2,
            centers: vec![0.0; 4],
            bins: vec![0, 6],
            metric: vec![1, 0],
        };
        assert_eq!(good.check(7, 2), Ok(()));
        assert!(matches!(
            good.check(6, 2),
            Err(MetricError::Index {
                index: 6,
                len: 6,
                ..
            })
        ));
        assert!(matches!(good.check(7, 1), Err(MetricError::Index { .. })));
        let broken = |change: fn(&mut Clusters)| {
            let mut clusters = good.clone();
            change(&mut clusters);
            clusters.check(7, 2)
        };
        assert!(broken(|c| c.dim = 3).is_err());
        assert!(broken(|c| c.dim = 0).is_err());
        let no_columns = |c: &mut Clusters| (c.dim, c.centers) = (0, vec![]);
        assert!(broken(no_columns).is_err());
        assert!(broken(|c| c.centers.truncate(2)).is_err());
        assert!(broken(|c| c.metric.push(0)).is_err());
        assert!(matches!(
            broken(|c| c.centers[3] = f32::NAN),
            Err(MetricError::NonFiniteCenter {
                center: 1,
                column: 1
            })
        ));
        assert_eq!(Clusters::default().check(7, 7), Ok(()));
    }

    #[test]
    fn many_rows_are_assigned_as_few_are() {
        let values: Vec<f32> = (0..9000).map(|i| ((i * 37) % 1009) as f32).collect();
        let rows = Rows::new(&values, 3).unwrap();
        let centers: Vec<f32> = values[..21].to_vec();
        let plain: Vec<usize> = rows.iter().map(|row| nearest(row, &centers).0).collect();
        assert_eq!(assign(rows, &centers), plain);
    }

    #[test]
    fn nearest_takes_all_rows_when_there_are_fewer_and_none_when_asked_for_none() {
        let rows = Rows::new(&[1.0, 1.0, 1.0], 1).unwrap();
        let fields = |count| {
            receptive_fields(rows, &[0.0], &[0; 3], ReceptiveField::Nearest(count)).remove(0)
        };
        assert_eq!(fields(9), [0, 1, 2]);
        assert_eq!(fields(2), [0, 1]); // equally far: lower indices
        assert!(fields(0).is_empty());
    }
}
