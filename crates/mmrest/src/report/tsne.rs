//! Projects the shared space into two dimensions by t-SNE, with the same result every time.

use anyhow::{Result, anyhow};
use bhtsne::{Neighbor, tSNE};
use mmrest_metric::Pca;
use mmrest_metric::overlap::sample;
use rayon::prelude::*;

use super::run::Space;

/// The most segments that are laid out.
pub(crate) const MOST_SEGMENTS: usize = 400;
/// The perplexity: about how many neighbours each row has.
pub(crate) const PERPLEXITY: f32 = 30.0;
/// Accuracy of the Barnes-Hut approximation.
const THETA: f32 = 0.5;
/// The seed for the choice of segments.
const SEED: u64 = 1;
/// The width of the initial layout, as is usual.
const START: f64 = 1e-4;

/// Rows of a space with their coordinates in two dimensions.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The rows that were laid out, and the centres.
    pub(crate) space: Space,
    /// The coordinates of each row.
    pub(crate) rows: Vec<(f64, f64)>,
    /// The coordinates of each centre.
    pub(crate) centers: Vec<(f64, f64)>,
}

/// Lays out rows and centres together, by their Euclidean distances. The layout is deterministic: neighbours are found
/// exhaustively, it starts from the first two principal components, and one thread computes it.
///
/// # Errors
///
/// There are too few rows, or a value is not finite.
pub(crate) fn layout(space: &Space) -> Result<Layout> {
    let segments = space.segments();
    let space = space.choose(&sample(segments, MOST_SEGMENTS, SEED), segments);
    let all = [&space.rows[..], &space.centers].concat();
    if all.iter().any(|value| !value.is_finite()) {
        return Err(anyhow!(
            "the shared space holds numbers that are not finite"
        ));
    }
    let points: Vec<&[f32]> = all.chunks_exact(space.dim.max(1)).collect();
    let places = places(&points)?;
    let (rows, centers) = places.split_at(space.len());
    Ok(Layout {
        rows: rows.to_vec(),
        centers: centers.to_vec(),
        space,
    })
}

fn places(points: &[&[f32]]) -> Result<Vec<(f64, f64)>> {
    // Each row needs more neighbours than the perplexity asks for.
    let perplexity = PERPLEXITY.min((points.len().saturating_sub(1) / 3) as f32);
    if perplexity < 1.0 {
        return Err(anyhow!("{} rows are too few to lay out", points.len()));
    }
    let neighbors = neighbors(points, (3.0 * perplexity) as usize);
    let start = principal(points)?;
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let embedding = one.install(|| {
        let mut tsne: tSNE<'_, f32, &[f32]> = tSNE::new(points);
        tsne.perplexity(perplexity).initial_embedding(start);
        tsne.barnes_hut_with_neighbors(THETA, &neighbors);
        tsne.embedding()
    });
    let pairs = embedding.as_chunks::<2>().0.iter();
    Ok(pairs.map(|&[x, y]| (f64::from(x), f64::from(y))).collect())
}

/// The nearest other points of each, nearest first, lower indices first among equals.
fn neighbors(points: &[&[f32]], count: usize) -> Vec<Vec<Neighbor<f32>>> {
    let of = |index: usize| {
        let others = (0..points.len()).filter(|&other| other != index);
        let mut all: Vec<(f32, usize)> = others
            .map(|other| (distance(points[index], points[other]), other))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.truncate(count);
        let neighbor = |(distance, index)| Neighbor { index, distance };
        all.into_iter().map(neighbor).collect()
    };
    (0..points.len()).into_par_iter().map(of).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b) * (a - b))
        .sum::<f32>()
        .sqrt()
}

/// The first two principal components of each point, scaled to a small start.
fn principal(points: &[&[f32]]) -> Result<Vec<f32>> {
    let dim = points.first().map_or(1, |point| point.len());
    let rows: Vec<f64> = points
        .iter()
        .copied()
        .flatten()
        .map(|&x| f64::from(x))
        .collect();
    let pca = Pca::fit(&rows, dim)?;
    let widest = pca.variances.first().map_or(1.0, |first| first.max(1e-30));
    let along = |point: &[f64], component: usize| {
        let axis = pca
            .loadings
            .chunks_exact(dim)
            .nth(component)
            .unwrap_or_default();
        // An eigenvector may point either way: its first large part is positive.
        let sign = axis
            .iter()
            .find(|x| x.abs() > 1e-6 * widest.sqrt())
            .map_or(1.0, |x| x.signum());
        let centered = point.iter().zip(&pca.mean).map(|(x, mean)| x - mean);
        let place: f64 = centered.zip(axis).map(|(x, a)| x * a).sum();
        (sign * place / widest * START) as f32
    };
    let both = |point| [along(point, 0), along(point, 1)];
    Ok(rows.chunks_exact(dim).flat_map(both).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two well-separated groups of segments in two modalities, with a centre in each.
    pub(crate) fn heaps(segments: usize) -> Space {
        let dim = 4;
        let value = |row: usize, column: usize| {
            let heap = if row.is_multiple_of(2) { -5.0 } else { 5.0 };
            heap + ((row * 31 + column * 17) % 23) as f32 / 23.0
        };
        let rows =
            (0..2 * segments).flat_map(|row| (0..dim).map(move |c| value(row % segments, c)));
        Space {
            dim,
            rows: rows.collect(),
            bins: (0..2 * segments)
                .map(|row| {
                    if (row % segments).is_multiple_of(2) {
                        1
                    } else {
                        5
                    }
                })
                .collect(),
            modality: (0..2 * segments)
                .map(|row| if row < segments { 0 } else { 2 })
                .collect(),
            centers: [vec![-4.5; dim], vec![5.5; dim]].concat(),
            center_bins: vec![1, 5],
            global: (0..dim * dim)
                .map(|i| if i % (dim + 1) == 0 { 1.01 } else { 0.0 })
                .collect(),
            own: Vec::new(),
        }
    }

    #[test]
    fn a_layout_keeps_heaps_apart_and_is_the_same_again() {
        let space = heaps(60);
        let first = layout(&space).unwrap();
        let second = layout(&space).unwrap();
        assert_eq!(first.rows, second.rows);
        assert_eq!((first.rows.len(), first.centers.len()), (120, 2));
        let far = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).hypot(a.1 - b.1);
        for (place, bin) in first.rows.iter().zip(&first.space.bins) {
            let (own, other) = match bin {
                1 => (first.centers[0], first.centers[1]),
                _ => (first.centers[1], first.centers[0]),
            };
            assert!(far(*place, own) < far(*place, other));
        }
    }

    #[test]
    fn too_little_to_lay_out_is_an_error() {
        assert!(layout(&Space::default()).is_err());
        let mut space = heaps(60);
        space.rows[3] = f32::NAN;
        assert!(layout(&space).is_err());
    }
}
