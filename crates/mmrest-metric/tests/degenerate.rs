//! Rows of which there is next to nothing to learn: everything is defined on them all the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_metric::{
    Clusters, KMeansConfig, MmcLossConfig, MultiMetric, MultiMetricConfig, ReceptiveField, Rows,
    SentimentBins, assign, receptive_fields, vote,
};

const DIM: usize = 3;

/// Rows, and the bin of each.
type Batch = (&'static str, Vec<f32>, Vec<usize>);

fn batches() -> Vec<Batch> {
    let varied = |count: usize| -> Vec<f32> {
        (0..count * DIM)
            .map(|at| ((at * 7) % 11) as f32 / 3.0 - 1.0)
            .collect()
    };
    let mut constant = varied(12);
    constant
        .iter_mut()
        .step_by(DIM)
        .for_each(|value| *value = 0.4);
    let mut half = varied(12);
    half[..6 * DIM].fill(0.0); // a modality of zeros
    let bins = |count: usize| (0..count).map(|row| row % 7).collect();
    vec![
        ("identical rows", [0.5, -1.0, 2.0].repeat(12), bins(12)),
        ("rows of zeros", vec![0.0; 12 * DIM], bins(12)),
        ("a modality of zeros", half, bins(12)),
        ("a constant feature", constant, bins(12)),
        ("a single label", varied(12), vec![4; 12]),
        ("fewer rows than clusters", varied(3), bins(3)),
        ("one row", varied(1), bins(1)),
    ]
}

fn metric(clusters: usize, device: &Device) -> MultiMetric {
    MultiMetricConfig {
        dim: DIM,
        clusters,
        ridge: 0.01,
    }
    .init(device)
}

fn finite(name: &str, tensor: Tensor<1>) {
    let values = tensor.into_data().try_to_vec::<f32>().unwrap();
    assert!(
        values.iter().all(|value| value.is_finite()),
        "{name}: {values:?}"
    );
}

#[test]
fn kmeans_gives_as_many_clusters_as_there_are_places_and_keeps_them() {
    for (name, values, bins) in batches() {
        let rows = Rows::new(&values, DIM).unwrap();
        let mut places: Vec<Vec<u32>> = rows
            .iter()
            .map(|row| row.iter().map(|value| value.to_bits()).collect())
            .collect();
        places.sort();
        places.dedup();
        let config = KMeansConfig::default();
        let fit = config.fit(rows, 5).unwrap();
        let clusters = fit.centers.len() / DIM;
        assert!(clusters >= 1 && clusters <= places.len().min(7), "{name}");
        if places.len() <= 3 {
            assert_eq!((clusters, fit.inertia), (places.len(), 0.0), "{name}");
        }
        assert!(
            fit.inertia.is_finite() && fit.centers.iter().all(|v| v.is_finite()),
            "{name}"
        );
        assert_eq!(fit, config.fit(rows, 5).unwrap(), "{name}");
        let warm = config.fit_from(rows, &fit.centers).unwrap();
        assert_eq!(warm.kept, (0..clusters).collect::<Vec<_>>(), "{name}");
        assert_eq!(warm.fit.labels, fit.labels, "{name}");
        let bins_of = SentimentBins::seven().len();
        for field in [ReceptiveField::Nearest(4), ReceptiveField::Cell] {
            let fields = receptive_fields(rows, &fit.centers, &fit.labels, field);
            let sentiments = vote(&fields, &bins, bins_of);
            assert!(sentiments.iter().all(|&bin| bins.contains(&bin)), "{name}");
        }
    }
}

#[test]
fn the_loss_and_its_gradients_are_numbers() {
    let device = Device::flex().autodiff();
    for (name, values, bins) in batches() {
        let rows = Rows::new(&values, DIM).unwrap();
        let centers = KMeansConfig::default().fit(rows, 5).unwrap().centers;
        let count = centers.len() / DIM;
        let assignment = assign(rows, &centers);
        let clusters = Clusters {
            dim: DIM,
            bins: vec![3; count],
            metric: (0..count).collect(),
            centers,
        };
        for (means, field) in [
            (false, ReceptiveField::Nearest(4)),
            (true, ReceptiveField::Cell),
        ] {
            let fields = receptive_fields(rows, &clusters.centers, &assignment, field);
            let metric = metric(7, &device);
            let data = TensorData::new(values.clone(), [rows.len(), DIM]);
            let tensor = Tensor::<2>::from_data(data, &device).require_grad();
            let config = MmcLossConfig {
                means,
                ..MmcLossConfig::default()
            };
            let loss = config
                .forward(
                    tensor.clone(),
                    &bins,
                    &assignment,
                    &fields,
                    &clusters,
                    &metric,
                    1,
                )
                .unwrap();
            for part in [&loss.total, &loss.intra, &loss.inter, &loss.frobenius] {
                finite(name, part.clone().inner());
            }
            let gradients = loss.total.backward();
            let size = values.len();
            finite(name, tensor.grad(&gradients).unwrap().reshape([size]));
            let global = metric.global.val().grad(&gradients).unwrap();
            finite(name, global.reshape([DIM * DIM]));
        }
    }
}

/// Squares of such values are beyond single precision: nothing hangs, and every row has a cluster.
#[test]
fn values_too_large_to_be_squared_are_clustered_somehow() {
    let values: Vec<f32> = (0..30).map(|at| (at % 5) as f32 * 6e37).collect();
    let rows = Rows::new(&values, DIM).unwrap();
    let fit = KMeansConfig::default().fit(rows, 1).unwrap();
    let clusters = fit.centers.len() / DIM;
    assert!(fit.labels.len() == 10 && fit.labels.iter().all(|&label| label < clusters));
}
