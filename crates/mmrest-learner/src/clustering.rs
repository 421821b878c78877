//! Clusters of a run: found on the training set or on a batch, and kept so that cluster i stays cluster i.

use mmrest_metric::{Clusters, KMeansConfig, MetricError, ReceptiveField, Rows, SentimentBins};
use mmrest_metric::{assign, receptive_fields, vote};

/// k-means from scratch. Cluster i uses local metric i.
pub(crate) fn fresh(
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
    Ok(named(rows, row_bins, bins, field, fit.centers, metric))
}

/// k-means that starts from the centres in force: each cluster keeps its local metric, and one that lost every row is dropped.
pub(crate) fn warm(
    rows: Rows<'_>,
    row_bins: &[usize],
    bins: &SentimentBins,
    kmeans: &KMeansConfig,
    field: ReceptiveField,
    before: &Clusters,
) -> Result<Clusters, MetricError> {
    let warm = kmeans.fit_from(rows, &before.centers)?;
    let metric = warm.kept.iter().map(|&k| before.metric[k]).collect();
    Ok(named(rows, row_bins, bins, field, warm.fit.centers, metric))
}

/// One cluster for each sentiment bin that has rows: its centre is their mean, its local metric the bin's own.
pub(crate) fn by_sentiment(rows: Rows<'_>, row_bins: &[usize], bins: usize) -> Clusters {
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
pub(crate) fn assign_by_sentiment(
    clusters: &Clusters,
    rows: Rows<'_>,
    row_bins: &[usize],
) -> Vec<usize> {
    let own = |bin: usize| clusters.bins.iter().position(|&of| of == bin);
    let nearest = clusters.assign(rows).into_iter();
    let rows = row_bins.iter().zip(nearest);
    rows.map(|(&bin, nearest)| own(bin).unwrap_or(nearest))
        .collect()
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
fn named(
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

/// Moves each centre by `momentum` towards the mean of the rows assigned to it; a centre without rows stays.
pub(crate) fn follow(clusters: &mut Clusters, rows: Rows<'_>, assignment: &[usize], momentum: f64) {
    let dim = clusters.dim;
    let (sums, counts) = sums(rows, assignment, clusters.len());
    for (cluster, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
        let span = cluster * dim..(cluster + 1) * dim;
        for (center, sum) in clusters.centers[span.clone()].iter_mut().zip(&sums[span]) {
            let old = f64::from(*center);
            *center = (old + momentum * (sum / count as f64 - old)) as f32;
        }
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
        let clusters = fresh(rows, &row_bins, &bins, &config(3), ReceptiveField::Cell, 1).unwrap();
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
            fresh(rows, &row_bins, &bins, &config(3), ReceptiveField::Cell, 1).unwrap();
        before.metric = vec![2, 0, 1];
        let moved: Vec<f32> = values.iter().map(|v| v + 0.3).collect();
        let rows = Rows::new(&moved, 2).unwrap();
        let after = warm(
            rows,
            &row_bins,
            &bins,
            &config(3),
            ReceptiveField::Nearest(2),
            &before,
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
        let clusters = by_sentiment(rows, &row_bins, 7);
        assert_eq!(clusters.bins, [0, 3, 6]);
        assert_eq!(clusters.metric, clusters.bins);
        assert_eq!(clusters.center(0), [-5.1, 0.0]);
        // A row of bin 6 near the centre of bin 3 belongs to its own bin, one of a bin without rows to the nearest.
        let values = [0.1, 0.0, 0.1, 0.0];
        let rows = Rows::new(&values, 2).unwrap();
        assert_eq!(assign_by_sentiment(&clusters, rows, &[6, 5]), [2, 1]);
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
        follow(&mut clusters, rows, &[0, 0], 0.5);
        assert_eq!(clusters.centers, [1.0, 10.0]);
    }
}
