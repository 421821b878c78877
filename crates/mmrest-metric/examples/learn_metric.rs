//! Learns a Mahalanobis metric on a plain table, and lets neighbours vote before and after.
//!
//! ```sh
//! cargo run --release --example learn_metric
//! ```

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_metric::{Mahalanobis, MahalanobisConfig, Rows, vote};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const COLUMNS: usize = 6;
const CLASSES: usize = 3;
const NEIGHBOURS: usize = 5;

/// Rows of three classes: columns 0 and 1 tell them apart, the others are louder noise.
fn table(rows: usize, rng: &mut ChaCha8Rng) -> (Vec<f32>, Vec<usize>) {
    let mut noise = |size: f32| (0..4).map(|_| rng.random_range(-size..size)).sum::<f32>();
    let labels: Vec<usize> = (0..rows).map(|row| row % CLASSES).collect();
    let values = labels.iter().flat_map(|&label| {
        let angle = label as f32 * std::f32::consts::TAU / CLASSES as f32;
        let signal = [angle.cos() + noise(0.3), angle.sin() + noise(0.3)];
        signal
            .into_iter()
            .chain([1.0, 2.0, 3.0, 4.0].map(&mut noise))
            .collect::<Vec<_>>()
    });
    (values.collect(), labels)
}

fn tensor(values: &[f32], device: &Device) -> Tensor<2> {
    let shape = [values.len() / COLUMNS, COLUMNS];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// The share of new rows whose nearest known rows have their label, most of them.
fn accuracy(
    metric: &Mahalanobis,
    known: (&[f32], &[usize]),
    new: (&[f32], &[usize]),
) -> Result<f64, Box<dyn std::error::Error>> {
    let device = metric.matrix.val().device();
    let distances = metric.distances(tensor(new.0, &device), tensor(known.0, &device));
    let nearest = distances.argsort(1).narrow(1, 0, NEIGHBOURS); // [new rows, neighbours]
    let nearest: Vec<usize> = nearest
        .into_data()
        .iter::<i64>()
        .map(|row| row as usize)
        .collect();
    let neighbours: Vec<Vec<usize>> = nearest.chunks(NEIGHBOURS).map(<[_]>::to_vec).collect();
    let votes = vote(&neighbours, known.1, CLASSES);
    let right = votes
        .iter()
        .zip(new.1)
        .filter(|(vote, label)| vote == label)
        .count();
    Ok(right as f64 / new.1.len() as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (known, known_labels) = table(240, &mut rng);
    let (new, new_labels) = table(120, &mut rng);
    let (known, new) = (
        (known.as_slice(), known_labels.as_slice()),
        (new.as_slice(), new_labels.as_slice()),
    );

    let euclidean = Mahalanobis::identity(COLUMNS, &device);
    let rows = Rows::new(known.0, COLUMNS)?;
    let learned = MahalanobisConfig::default().fit(rows, known.1, 1, &device)?;

    println!("right of 120 new rows, by their {NEIGHBOURS} nearest of 240 known ones:");
    println!(
        "  Euclidean distance  {:.3}",
        accuracy(&euclidean, known, new)?
    );
    println!(
        "  learned distance    {:.3}",
        accuracy(&learned, known, new)?
    );
    let matrix: Vec<f32> = learned.matrix.val().into_data().try_to_vec()?;
    println!("the metric:");
    for row in matrix.chunks(COLUMNS) {
        let row: Vec<String> = row.iter().map(|weight| format!("{weight:8.4}")).collect();
        println!("  {}", row.join(" "));
    }
    Ok(())
}
