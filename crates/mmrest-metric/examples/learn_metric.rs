//! Learns a Mahalanobis metric on a plain table, and lets neighbours vote before and after.
//!
//! ```sh
//! cargo run --release --example learn_metric
//! ```

use mmrest_metric::{MahalanobisConfig, MahalanobisMatrix, MetricError, Rows, vote};
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

/// The share of new rows whose nearest known rows have their label, most of them.
fn accuracy(
    metric: &MahalanobisMatrix,
    known: (&[f32], &[usize]),
    new: (&[f32], &[usize]),
) -> Result<f64, MetricError> {
    let rows = |values| Rows::new(values, COLUMNS);
    let distances = metric.distances(rows(new.0)?, rows(known.0)?)?; // [new rows, known rows]
    let nearest = |distances: &[f64]| -> Vec<usize> {
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        order.truncate(NEIGHBOURS);
        order
    };
    let neighbours: Vec<Vec<usize>> = distances.chunks(known.1.len()).map(nearest).collect();
    let votes = vote(&neighbours, known.1, CLASSES);
    let right = votes
        .iter()
        .zip(new.1)
        .filter(|(vote, label)| vote == label);
    Ok(right.count() as f64 / new.1.len() as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (known, known_labels) = table(240, &mut rng);
    let (new, new_labels) = table(120, &mut rng);
    let (known, new) = (
        (known.as_slice(), known_labels.as_slice()),
        (new.as_slice(), new_labels.as_slice()),
    );

    let identity = (0..COLUMNS * COLUMNS).map(|at| f64::from(u8::from(at % (COLUMNS + 1) == 0)));
    let euclidean = MahalanobisMatrix::new(identity.collect(), COLUMNS)?;
    let rows = Rows::new(known.0, COLUMNS)?;
    let learned = MahalanobisConfig::default().fit(rows, known.1, 1)?;

    println!("right of 120 new rows, by their {NEIGHBOURS} nearest of 240 known ones:");
    println!(
        "  Euclidean distance  {:.3}",
        accuracy(&euclidean, known, new)?
    );
    println!(
        "  learned distance    {:.3}",
        accuracy(&learned, known, new)?
    );
    println!("the metric:");
    for row in learned.values().chunks(COLUMNS) {
        let row: Vec<String> = row.iter().map(|weight| format!("{weight:8.4}")).collect();
        println!("  {}", row.join(" "));
    }
    Ok(())
}
