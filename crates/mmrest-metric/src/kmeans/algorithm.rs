//! Lloyd's iterations.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::init::plus_plus;
use super::{KMeans, KMeansError};
use crate::Rows;
use crate::rows::{nearest, squared_distance};

/// Rows summed together: fixed, so that sums do not depend on the number of threads.
const BLOCK: usize = 1024;

/// Clusters found in rows. Every cluster holds a row.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeansFit {
    /// The centres, one after another: `[clusters, dim]`. There may be fewer than asked for.
    pub centers: Vec<f32>,
    /// The cluster of each row.
    pub labels: Vec<usize>,
    /// Sum of the rows' squared distances from their centres.
    pub inertia: f64,
    /// How many times the centres moved.
    pub iterations: usize,
}

/// Clusters grown from given centres, which keep their order.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmFit {
    /// The clusters: cluster `i` is what initial centre `kept[i]` became.
    pub fit: KMeansFit,
    /// Which of the initial centres still have rows, ascending.
    pub kept: Vec<usize>,
}

impl KMeans {
    /// Clusters the rows: the lowest inertia of all restarts, the first of them on a tie.
    ///
    /// Each restart draws from its own stream of `seed`. Rows fewer than clusters, or equal rows, give as many
    /// clusters as there are distinct rows at most.
    ///
    /// # Errors
    ///
    /// [`KMeansError::NoRows`].
    pub fn fit(&self, rows: Rows<'_>, seed: u64) -> Result<KMeansFit, KMeansError> {
        if rows.is_empty() {
            return Err(KMeansError::NoRows);
        }
        let movement = self.config().tolerance * mean_variance(rows);
        let restart = |stream: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream);
            let start = plus_plus(rows, self.config().clusters, &mut rng);
            (self.lloyd(rows, start, movement), stream)
        };
        let restarts = self.config().restarts as u64;
        let best = (0..restarts)
            .into_par_iter()
            .map(restart)
            .min_by(|(a, i), (b, j)| a.inertia.total_cmp(&b.inertia).then(i.cmp(j)));
        match best {
            Some((best, _)) => Ok(drop_empty(best, rows.dim()).fit),
            None => Err(KMeansError::Zero { name: "restarts" }),
        }
    }

    /// Clusters the rows once, starting at `initial_centers` (`[clusters, rows.dim()]`, any number of them):
    /// what was centre k stays centre k.
    ///
    /// ```
    /// use mmrest_metric::{KMeansConfig, Rows};
    ///
    /// let rows = Rows::new(&[0.0, 1.0, 8.0, 9.0], 1)?;
    /// let warm = KMeansConfig::default().fit_from(rows, &[10.0, 500.0, 2.0])?;
    /// assert_eq!(warm.fit.centers, [8.5, 0.5]);
    /// assert_eq!(warm.kept, [0, 2]); // no row went to 500
    /// # Ok::<(), mmrest_metric::MetricError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KMeansError::NoRows`], [`KMeansError::InitialCenters`], [`KMeansError::NonFiniteInitialCenter`].
    pub fn fit_from(
        &self,
        rows: Rows<'_>,
        initial_centers: &[f32],
    ) -> Result<WarmFit, KMeansError> {
        let (values, dim) = (initial_centers.len(), rows.dim());
        if rows.is_empty() {
            return Err(KMeansError::NoRows);
        }
        if values == 0 || !values.is_multiple_of(dim) {
            return Err(KMeansError::InitialCenters { values, dim });
        }
        if let Some(at) = initial_centers.iter().position(|value| !value.is_finite()) {
            return Err(KMeansError::NonFiniteInitialCenter { center: at / dim });
        }
        let movement = self.config().tolerance * mean_variance(rows);
        let fit = self.lloyd(rows, initial_centers.to_vec(), movement);
        Ok(drop_empty(fit, dim))
    }

    /// Assign rows, move centres, until no label changes or the centres' squared movement is at most `movement`.
    /// A centre without rows stays where it is.
    fn lloyd(&self, rows: Rows<'_>, mut centers: Vec<f32>, movement: f64) -> KMeansFit {
        let mut cells = Cells::assign(rows, &centers);
        let mut iterations = 0;
        while iterations < self.config().max_iterations {
            let moved = cells.means(&centers, rows.dim());
            let shift = squared_distance(&moved, &centers);
            centers = moved;
            iterations += 1;
            let next = Cells::assign(rows, &centers);
            let settled = next.labels == cells.labels || shift <= movement;
            cells = next;
            if settled {
                break;
            }
        }
        KMeansFit {
            centers,
            labels: cells.labels,
            inertia: cells.inertia,
            iterations,
        }
    }
}

/// The rows' cells around some centres, and what the next centres are computed from.
struct Cells {
    labels: Vec<usize>,
    inertia: f64,
    counts: Vec<usize>,
    /// Sum of each cell's rows: `[clusters, dim]`.
    sums: Vec<f64>,
}

impl Cells {
    /// Every row to its nearest centre.
    fn assign(rows: Rows<'_>, centers: &[f32]) -> Self {
        let block = rows.dim() * BLOCK;
        if rows.len() <= BLOCK {
            return Self::of_block(rows.values(), rows.dim(), centers);
        }
        let blocks: Vec<Self> = rows
            .values()
            .par_chunks(block)
            .map(|values| Self::of_block(values, rows.dim(), centers))
            .collect();
        let clusters = centers.len() / rows.dim();
        let mut all = Self::empty(rows.len(), clusters, rows.dim());
        for block in &blocks {
            all.append(block);
        }
        all
    }

    fn empty(rows: usize, clusters: usize, dim: usize) -> Self {
        Self {
            labels: Vec::with_capacity(rows),
            inertia: 0.0,
            counts: vec![0; clusters],
            sums: vec![0.0; clusters * dim],
        }
    }

    fn of_block(values: &[f32], dim: usize, centers: &[f32]) -> Self {
        let mut cells = Self::empty(values.len() / dim, centers.len() / dim, dim);
        for row in values.chunks_exact(dim) {
            let (label, distance) = nearest(row, centers);
            cells.labels.push(label);
            cells.inertia += distance;
            cells.counts[label] += 1;
            let sums = &mut cells.sums[label * dim..(label + 1) * dim];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        cells
    }

    fn append(&mut self, other: &Self) {
        self.labels.extend_from_slice(&other.labels);
        self.inertia += other.inertia;
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum += more;
        }
    }

    /// The mean of each cell; the old centre of an empty one.
    fn means(&self, centers: &[f32], dim: usize) -> Vec<f32> {
        let mut means = centers.to_vec();
        let cells = self.sums.chunks_exact(dim).zip(&self.counts);
        for (mean, (sums, &count)) in means.chunks_exact_mut(dim).zip(cells) {
            if count > 0 {
                for (value, sum) in mean.iter_mut().zip(sums) {
                    *value = (sum / count as f64) as f32;
                }
            }
        }
        means
    }
}

/// Leaves out centres without rows; labels then count the others.
fn drop_empty(mut fit: KMeansFit, dim: usize) -> WarmFit {
    let mut new_label = vec![None; fit.centers.len() / dim];
    for &label in &fit.labels {
        new_label[label] = Some(0);
    }
    let kept: Vec<usize> = (0..new_label.len())
        .filter(|&center| new_label[center].is_some())
        .collect();
    for (new, &old) in kept.iter().enumerate() {
        new_label[old] = Some(new);
    }
    fit.centers = kept
        .iter()
        .flat_map(|&center| {
            fit.centers[center * dim..(center + 1) * dim]
                .iter()
                .copied()
        })
        .collect();
    fit.labels = fit
        .labels
        .iter()
        .filter_map(|&label| new_label[label])
        .collect();
    WarmFit { fit, kept }
}

/// Mean over the columns of their variances: the scale that the tolerance is relative to.
fn mean_variance(rows: Rows<'_>) -> f64 {
    let (count, dim) = (rows.len() as f64, rows.dim());
    let mut mean = vec![0.0_f64; dim];
    for row in rows.iter() {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += f64::from(*value) / count;
        }
    }
    let mut total = 0.0;
    for row in rows.iter() {
        for (mean, value) in mean.iter().zip(row) {
            total += (f64::from(*value) - mean).powi(2);
        }
    }
    total / (count * dim as f64)
}
