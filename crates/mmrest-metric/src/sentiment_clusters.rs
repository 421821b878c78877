//! Clusters that carry a sentiment: fitted by k-means or by sentiment bin, refitted and moved so that cluster i stays
//! cluster i.

use crate::{Clusters, KMeansConfig, MetricError, ReceptiveField, Rows, SentimentBins};
use crate::{assign, receptive_fields, vote};

impl Clusters {
    /// Fits k-means to `rows`; cluster i uses local metric i and has the sentiment of its receptive field.
    ///
    /// # Errors
    ///
    /// Those of [`KMeansConfig::fit`].
    pub fn fit(
        rows: Rows<'_>,
        row_bins: &[usize],
        bins: &SentimentBins,
        kmeans: &KMeansConfig,
        field: ReceptiveField,
        seed: u64,
    ) -> Result<Clusters, MetricError> {
        let fit = kmeans.fit(rows, seed)?;
        let count = fit.centers.len() / rows.dim();
        let metric = (0..count).collect();
        Ok(with_sentiments(
            rows,
            row_bins,
            bins,
            field,
            fit.centers,
            metric,
        ))
    }

    /// Fits k-means that starts from the centres of `self`: each cluster keeps its local metric, and one that lost every row
    /// is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`KMeansConfig::fit_from`].
    pub fn fit_from(
        &self,
        rows: Rows<'_>,
        row_bins: &[usize],
        bins: &SentimentBins,
        kmeans: &KMeansConfig,
        field: ReceptiveField,
    ) -> Result<Clusters, MetricError> {
        let warm = kmeans.fit_from(rows, &self.centers)?;
        let metric = warm.kept.iter().map(|&k| self.metric[k]).collect();
        Ok(with_sentiments(
            rows,
            row_bins,
            bins,
            field,
            warm.fit.centers,
            metric,
        ))
    }

    /// One cluster for each sentiment bin that has rows: its centre is their mean, its local metric the bin's own.
    #[must_use]
    pub fn by_bin(rows: Rows<'_>, row_bins: &[usize], bins: usize) -> Clusters {
        let (sums, counts) = sums(rows, row_bins, bins);
        let dim = rows.dim();
        let present: Vec<usize> = (0..bins).filter(|&bin| counts[bin] > 0).collect();
        let center = |&bin: &usize| {
            let count = counts[bin] as f64;
            let sums = &sums[bin * dim..(bin + 1) * dim];
            sums.iter().map(move |sum| (sum / count) as f32)
        };
        Clusters {
            dim,
            centers: present.iter().flat_map(center).collect(),
            bins: present.clone(),
            metric: present,
        }
    }

    /// The cluster of each row's own bin; of the nearest centre where no cluster has that bin.
    #[must_use]
    pub fn assign_by_bin(&self, rows: Rows<'_>, row_bins: &[usize]) -> Vec<usize> {
        let own = |bin: usize| self.bins.iter().position(|&of| of == bin);
        let nearest = self.assign(rows).into_iter();
        let rows = row_bins.iter().zip(nearest);
        rows.map(|(&bin, nearest)| own(bin).unwrap_or(nearest))
            .collect()
    }

    /// Moves each centre by `momentum` towards the mean of the rows assigned to it (an exponential moving average); a centre
    /// without rows stays.
    pub fn ema_update(&mut self, rows: Rows<'_>, assignment: &[usize], momentum: f64) {
        let dim = self.dim;
        let (sums, counts) = sums(rows, assignment, self.len());
        for (cluster, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let span = cluster * dim..(cluster + 1) * dim;
            for (center, sum) in self.centers[span.clone()].iter_mut().zip(&sums[span]) {
                let old = f64::from(*center);
                *center = (old + momentum * (sum / count as f64 - old)) as f32;
            }
        }
    }
}

/// The sum of each cluster's rows, `[clusters, dim]`, and how many there are.
fn sums(rows: Rows<'_>, assignment: &[usize], clusters: usize) -> (Vec<f64>, Vec<usize>) {
    let dim = rows.dim();
    let mut sums = vec![0.0_f64; clusters * dim];
    let mut counts = vec![0_usize; clusters];
    for (row, &cluster) in rows.iter().zip(assignment) {
        counts[cluster] += 1;
        for (sum, &value) in sums[cluster * dim..][..dim].iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    (sums, counts)
}

/// Gives each centre the sentiment of its receptive field.
fn with_sentiments(
    rows: Rows<'_>,
    row_bins: &[usize],
    bins: &SentimentBins,
    field: ReceptiveField,
    centers: Vec<f32>,
    metric: Vec<usize>,
) -> Clusters {
    let assignment = assign(rows, &centers);
    let fields = receptive_fields(rows, &centers, &assignment, field);
    Clusters {
        dim: rows.dim(),
        bins: vote(&fields, row_bins, bins.len()),
        metric,
        centers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> (Vec<f32>, Vec<usize>) {
        let values = vec![0.0, 0.0, 0.2, 0.0, 5.0, 5.0, 5.2, 5.0, -5.0, 0.0, -5.2, 0.0];
        (values, vec![3, 3, 6, 6, 0, 0])
    }

    fn config(clusters: usize) -> KMeansConfig {
        KMeansConfig {
            clusters,
            ..KMeansConfig::default()
        }
    }

    #[test]
    fn clusters_carry_the_sentiment_of_their_rows() {
        let (values, row_bins) = rows();
        let rows = Rows::new(&values, 2).unwrap();
        let bins = SentimentBins::seven();
        let clusters =
            Clusters::fit(rows, &row_bins, &bins, &config(3), ReceptiveField::Cell, 1).unwrap();
        let mut sentiments = clusters.bins.clone();
        sentiments.sort_unstable();
        assert_eq!(sentiments, [0, 3, 6]);
        assert_eq!(clusters.metric, [0, 1, 2]);
    }

    #[test]
    fn a_warm_start_keeps_each_cluster_and_its_metric() {
        let (values, row_bins) = rows();
        let rows = Rows::new(&values, 2).unwrap();
        let bins = SentimentBins::seven();
        let mut before =
            Clusters::fit(rows, &row_bins, &bins, &config(3), ReceptiveField::Cell, 1).unwrap();
        before.metric = vec![2, 0, 1];
        let moved: Vec<f32> = values.iter().map(|v| v + 0.3).collect();
        let rows = Rows::new(&moved, 2).unwrap();
        let after = before
            .fit_from(
                rows,
                &row_bins,
                &bins,
                &config(3),
                ReceptiveField::Nearest(2),
            )
            .unwrap();
        assert_eq!(after.metric, before.metric);
        assert_eq!(after.bins, before.bins);
        for (a, b) in after.centers.iter().zip(&before.centers) {
            assert!((a - b - 0.3).abs() < 1e-5);
        }
    }

    #[test]
    fn clusters_by_sentiment_are_the_means_of_their_bins() {
        let (values, row_bins) = rows();
        let rows = Rows::new(&values, 2).unwrap();
        let clusters = Clusters::by_bin(rows, &row_bins, 7);
        assert_eq!(clusters.bins, [0, 3, 6]);
        assert_eq!(clusters.metric, clusters.bins);
        assert_eq!(clusters.center(0), [-5.1, 0.0]);
        // A row of bin 6 near the centre of bin 3 belongs to its own bin, one of a bin without rows to the nearest.
        let values = [0.1, 0.0, 0.1, 0.0];
        let rows = Rows::new(&values, 2).unwrap();
        assert_eq!(clusters.assign_by_bin(rows, &[6, 5]), [2, 1]);
    }

    #[test]
    fn centres_follow_their_rows_by_the_momentum() {
        let mut clusters = Clusters {
            dim: 1,
            centers: vec![0.0, 10.0],
            bins: vec![0, 6],
            metric: vec![0, 1],
        };
        let values = [1.0, 3.0];
        let rows = Rows::new(&values, 1).unwrap();
        clusters.ema_update(rows, &[0, 0], 0.5);
        assert_eq!(clusters.centers, [1.0, 10.0]);
    }
}
