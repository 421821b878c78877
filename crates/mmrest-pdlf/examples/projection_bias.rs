//! Adds the projection bias to any clusters: rows between groups of known sentiment get a score, and a bias from where they
//! lie.
//!
//! ```sh
//! cargo run --release --example projection_bias
//! ```

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_metric::{
    Clusters, KMeansConfig, MultiMetricConfig, ReceptiveField, Rows, receptive_fields, vote,
};
use mmrest_pdlf::projection;

/// Weight of the bias in the prediction.
const GAMMA: f64 = 0.3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    // Rows of three groups along a line, each with its sentiment bin: 0 negative, 1 neutral, 2 positive.
    let group = |row: usize| row % 3;
    let wave = |row: usize, pace: f32| 0.4 * ((row * row) as f32 * pace).sin();
    let table: Vec<f32> = (0..60)
        .flat_map(|row| [4.0 * group(row) as f32 + wave(row, 1.3), wave(row, 0.7)])
        .collect();
    let row_bins: Vec<usize> = (0..60).map(group).collect();

    // Clusters may come from anywhere. Here: k-means, each with the most frequent sentiment of its rows.
    let rows = Rows::new(&table, 2)?;
    let fit = KMeansConfig {
        clusters: 3,
        ..Default::default()
    }
    .fit(rows, 1)?;
    let fields = receptive_fields(rows, &fit.centers, &fit.labels, ReceptiveField::Cell);
    let clusters = Clusters {
        dim: 2,
        bins: vote(&fields, &row_bins, 3),
        centers: fit.centers,
        metric: vec![0, 1, 2],
    };
    let metric = MultiMetricConfig {
        dim: 2,
        clusters: 3,
        ridge: 0.01,
    }
    .init(&device);

    // New rows with a score of some model's: neutral, all of them.
    let new: Vec<[f32; 2]> = (0..9).map(|step| [step as f32, 0.0]).collect();
    let count = new.len();
    let score = Tensor::<1>::zeros([count], &device);
    let rows = Tensor::<2>::from_data(TensorData::new(new.concat(), [count, 2]), &device);
    let place = projection(rows, &clusters, &metric)?;
    let bias = place.signed(&clusters.bins).mul_scalar(GAMMA); // towards the more positive cluster
    let prediction = score + bias.clone();

    let bias: Vec<f32> = bias.into_data().try_to_vec()?;
    let prediction: Vec<f32> = prediction.into_data().try_to_vec()?;
    println!("row        between bins   bias  prediction");
    for (row, at) in new.iter().enumerate() {
        let bin = |cluster: usize| clusters.bins[cluster];
        let (near, second) = (bin(place.near[row]), bin(place.second[row]));
        println!(
            "{at:?}  {near} and {second}      {:6.3}  {:6.3}",
            bias[row], prediction[row]
        );
    }
    Ok(())
}
