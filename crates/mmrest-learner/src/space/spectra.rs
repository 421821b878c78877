//! `spectra.csv`: the eigenvalues of the metrics, epoch by epoch.

use std::fmt::Write;
use std::path::Path;

use mmrest_metric::eigenvalues_f64;
use mmrest_models::HostMetrics;

use crate::error::LearnerError;
use crate::files;

const HEADER: &str = "epoch,metric,index,eigenvalue\n";

/// Writes the file anew: the epochs before this one as they stand, and this one.
pub(super) fn add(path: &Path, epoch: usize, metrics: &HostMetrics) -> Result<(), LearnerError> {
    let mut text = String::from(HEADER);
    if path.exists() {
        let before =
            std::fs::read_to_string(path).map_err(|e| LearnerError::io("read", path, e))?;
        for line in before.lines().skip(1).filter(|line| is_before(line, epoch)) {
            text += line;
            text.push('\n');
        }
    }
    let all = [&metrics.global[..], &metrics.own].concat();
    let values = eigenvalues_f64(&all, metrics.dim)?;
    for (place, values) in values.chunks_exact(metrics.dim).enumerate() {
        let name = match place {
            0 => String::from("global"),
            local => format!("local-{}", local - 1),
        };
        for (index, &value) in values.iter().enumerate() {
            // Single precision is what the metrics are kept in.
            let _ = writeln!(text, "{epoch},{name},{index},{}", value as f32);
        }
    }
    files::write(path, text.as_bytes())
}

fn is_before(line: &str, epoch: usize) -> bool {
    let first = line.split(',').next().and_then(|first| first.parse().ok());
    first.is_some_and(|first: usize| first < epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_the_place_of_itself_and_of_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spectra.csv");
        let metrics = |value: f64| HostMetrics {
            dim: 2,
            global: vec![1.0, 0.0, 0.0, 3.0],
            own: vec![value, 0.0, 0.0, 1.5],
        };
        for (epoch, value) in [(1, 5.0), (2, 6.0), (3, 7.0), (2, 8.0)] {
            add(&path, epoch, &metrics(value)).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "1,global,0,3",
                "1,global,1,1",
                "1,local-0,0,5",
                "1,local-0,1,1.5",
                "2,global,0,3",
                "2,global,1,1",
                "2,local-0,0,8",
                "2,local-0,1,1.5",
            ]
        );
    }
}
