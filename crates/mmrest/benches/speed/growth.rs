//! How the cost of each part grows with its sizes.

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_encoders::{LstmConfig, PackedTokens};
use mmrest_metric::{KMeansConfig, Rows};
use plotters::prelude::*;

use crate::lengths;
use crate::works::{BATCH, CLUSTERS, DIM, Mmc, minilm};

/// What varies, and what was measured at each of its values.
pub(crate) struct Curve {
    /// What is done, and which size of it varies.
    name: &'static str,
    /// The size's values with the median of the seconds.
    points: Vec<(usize, f64)>,
}

/// Repeats of one measurement; the median counts.
const REPEATS: usize = 5;

/// All curves.
pub(crate) fn measure(device: &Device) -> Result<Vec<Curve>, String> {
    let curve = |name, sizes: &[usize], seconds: &dyn Fn(usize) -> Result<f64, String>| {
        eprintln!("{name} ...");
        let points = sizes.iter().map(|&size| Ok((size, seconds(size)?)));
        Ok::<_, String>(Curve {
            name,
            points: points.collect::<Result<_, String>>()?,
        })
    };
    let mmc = |rows, clusters, dim| {
        let mmc = Mmc::new(device, rows, clusters, dim)?;
        Ok::<_, String>(median(|| mmc.once()))
    };
    let kmeans = |rows, clusters, dim| kmeans(rows, clusters, dim);
    let rows = [96, 192, 384, 768, 1536];
    let clusters = [2, 4, 7, 14, 28];
    let dims = [16, 32, 64, 128, 256];
    Ok(vec![
        curve("L_MMC by rows N", &rows, &|n| mmc(n, CLUSTERS, DIM))?,
        curve("L_MMC by clusters K", &clusters, &|k| mmc(192, k, DIM))?,
        curve("L_MMC by dimensions d1", &dims, &|d| mmc(192, CLUSTERS, d))?,
        curve("k-means by rows N", &rows, &|n| kmeans(n, CLUSTERS, DIM))?,
        curve("k-means by clusters K", &clusters, &|k| kmeans(192, k, DIM))?,
        curve(
            "BERT by tokens of a text",
            &[8, 16, 32, 64, 128],
            &|tokens| Ok(bert(device, BATCH, tokens)),
        )?,
        curve(
            "BERT by segments of a batch",
            &[8, 16, 32, 64, 128],
            &|segments| Ok(bert(device, segments, 16)),
        )?,
        curve("LSTM by frames", &[50, 100, 200, 400, 800], &|frames| {
            Ok(lstm(device, frames))
        })?,
    ])
}

fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut samples: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[REPEATS / 2]
}

fn kmeans(rows: usize, clusters: usize, dim: usize) -> Result<f64, String> {
    let values = lengths::rows(rows, dim, clusters);
    let rows = Rows::new(&values, dim).map_err(|error| error.to_string())?;
    let config = KMeansConfig {
        clusters,
        restarts: 10,
        ..KMeansConfig::default()
    };
    Ok(median(|| {
        std::hint::black_box(config.fit(rows, 1)).ok();
    }))
}

/// MiniLM-L6 forward and backward.
fn bert(device: &Device, segments: usize, tokens: usize) -> f64 {
    let bert = minilm().init(&device.clone().autodiff());
    let texts = lengths::texts(&vec![tokens; segments], 8);
    let batch = PackedTokens::from_sequences(&texts);
    median(|| {
        std::hint::black_box(bert.forward_first(&batch).sum().backward());
    })
}

/// Forward and backward, 20 features.
fn lstm(device: &Device, frames: usize) -> f64 {
    let device = device.clone().autodiff();
    let lstm = LstmConfig::new(20, DIM).init(&device);
    let values = lengths::noise(BATCH * frames * 20, 4);
    let frames_of = TensorData::new(values, [BATCH, frames, 20]);
    let input = Tensor::<3>::from_data(frames_of, &device);
    median(|| {
        let last = lstm.last_hidden(input.clone(), &[frames; BATCH]);
        std::hint::black_box(last.sum().backward());
    })
}

/// The curves as a Markdown table: size, time, and the exponent of the growth from the size before.
pub(crate) fn table(curves: &[Curve]) -> String {
    let mut text = String::from("| what | size: milliseconds | grows as size^ |\n|---|---|---|\n");
    for curve in curves {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(size, seconds)| format!("{size}: {:.1}", seconds * 1e3))
            .collect();
        text.push_str(&format!(
            "| {} | {} | {:.2} |\n",
            curve.name,
            points.join(", "),
            curve.exponent()
        ));
    }
    text
}

impl Curve {
    /// The slope of log time by log size between the middle and the greatest size.
    fn exponent(&self) -> f64 {
        let middle = self.points[self.points.len() / 2];
        let last = self.points[self.points.len() - 1];
        (last.1 / middle.1).ln() / (last.0 as f64 / middle.0 as f64).ln()
    }
}

/// Okabe and Ito's colours, which the colour-blind tell apart.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
];

/// All curves in one picture, each relative to its own middle size: straight lines of slope 1 grow in proportion.
pub(crate) fn plot(curves: &[Curve], path: &Path) -> Result<(), String> {
    draw(curves, path).map_err(|error| format!("cannot draw {}: {error}", path.display()))
}

fn draw(curves: &[Curve], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (860, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Cost by size, both relative to the middle size",
            ("sans-serif", 20),
        )
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (0.2..5.0)
                .log_scale()
                .with_key_points(vec![0.25, 0.5, 1.0, 2.0, 4.0]),
            (0.05..20.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("size / middle size")
        .y_desc("time / time at the middle size")
        .x_label_formatter(&|x| format!("{x:.2}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .light_line_style(WHITE)
        .draw()?;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let (size, seconds) = curve.points[curve.points.len() / 2];
        let relative = |&(s, t): &(usize, f64)| (s as f64 / size as f64, t / seconds);
        let points: Vec<(f64, f64)> = curve.points.iter().map(relative).collect();
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.clone(), style).point_size(3))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}
