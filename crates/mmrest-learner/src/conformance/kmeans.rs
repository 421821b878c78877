//! `kmeans_<n>.safetensors`: k-means of given points.

use std::path::PathBuf;

use mmrest_metric::{KMeansConfig, Rows};
use serde::Deserialize;

use super::Folders;
use super::tensors::{Inputs, Results};
use crate::error::LearnerError;

/// Decides the starts, so that two runs agree.
const SEED: u64 = 0;

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "K")]
    clusters: usize,
}

/// Writes `centers` `[clusters, dim]`, `labels` `[points]` and `inertia` of the best of ten starts.
pub(super) fn run(folders: &Folders<'_>, name: &str, case: usize) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let cases: Vec<Case> = folders.parameters("kmeans")?;
    let Some(&Case { clusters }) = cases.get(case) else {
        let count = cases.len();
        return Err(inputs.wrong(format!("entry 'kmeans' of meta.json has {count} cases")));
    };
    let dims @ [_, dim] = inputs.dims("points")?;
    let points = inputs.floats("points", dims)?;
    let config = KMeansConfig {
        clusters,
        ..KMeansConfig::default()
    };
    let fit = Rows::new(&points, dim)
        .and_then(|rows| config.fit(rows, SEED))
        .map_err(|e| inputs.wrong(e))?;

    let mut results = Results::default();
    results.floats("centers", &[fit.centers.len() / dim, dim], &fit.centers);
    let labels = fit.labels.iter().map(|&label| label as i64);
    results.integers("labels", &[fit.labels.len()], labels);
    results.double("inertia", fit.inertia);
    results.write(folders, name)
}
