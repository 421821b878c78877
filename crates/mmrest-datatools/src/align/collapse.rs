//! Collapse functions: several rows to one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use mmrest_data::csd::{Entry, Features};

/// What the rows that lie in one reference interval become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collapse {
    /// Their average, summed in the order and precision of numpy's `average` of 32-bit floats.
    Mean,
    /// The greatest value of each feature.
    Max,
    /// The least value of each feature.
    Min,
    /// The first row.
    First,
}

/// There is no such function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of mean, max, min, first")]
pub struct UnknownCollapse(String);

impl Collapse {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Max, Self::Min, Self::First];

    /// Its name in arguments and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
            Self::First => "first",
        }
    }

    /// `[rows, width]` to `[width]`; there is at least one row.
    fn apply(self, values: &[f32], width: usize) -> Vec<f32> {
        let column = |j: usize| values.iter().skip(j).step_by(width).copied();
        match self {
            Self::Mean => mean(values, width),
            Self::Max => (0..width)
                .map(|j| column(j).fold(f32::NEG_INFINITY, f32::max))
                .collect(),
            Self::Min => (0..width)
                .map(|j| column(j).fold(f32::INFINITY, f32::min))
                .collect(),
            Self::First => values.iter().take(width).copied().collect(),
        }
    }
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Collapse {
    type Err = UnknownCollapse;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|known| known.name() == name);
        found.ok_or_else(|| UnknownCollapse(name.to_owned()))
    }
}

/// One row from the earliest start to the latest end, its features those of every function side by side.
///
/// Text has no average: its only row stays; of several, [`Collapse::First`] alone makes one.
pub(super) fn collapse(entry: Entry, functions: &[Collapse]) -> Result<Entry, String> {
    let Some(interval) = hull(&entry.intervals).filter(|_| !functions.is_empty()) else {
        return Ok(entry);
    };
    let features = match entry.features {
        Features::Numeric { values, width } => Features::Numeric {
            values: functions
                .iter()
                .flat_map(|function| function.apply(&values, width))
                .collect(),
            width: width * functions.len(),
        },
        Features::Text(mut words) => {
            let needs_numbers = functions.iter().find(|&&f| f != Collapse::First);
            if let (Some(function), true) = (needs_numbers, words.len() > 1) {
                return Err(format!(
                    "{} rows of text have no {function}; make this sequence the reference, or collapse with \"first\" alone",
                    words.len()
                ));
            }
            words.truncate(1);
            Features::Text(words)
        }
    };
    Ok(Entry {
        intervals: vec![interval],
        features,
    })
}

fn hull(intervals: &[[f64; 2]]) -> Option<[f64; 2]> {
    let times = || intervals.iter().flatten().copied();
    let first = times().reduce(f64::min)?;
    Some([first, times().reduce(f64::max)?])
}

/// Averages of columns as numpy has them: one row after the other, or pairwise where there is but one column.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn mean(values: &[f32], width: usize) -> Vec<f32> {
    let rows = values.len() / width.max(1);
    let sums = if width == 1 {
        vec![pairwise(values)]
    } else {
        let mut sums = vec![-0.0; width];
        for row in values.chunks_exact(width.max(1)) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        sums
    };
    let exact = |j: usize| {
        let column = values.iter().skip(j).step_by(width);
        (column.map(|&x| f64::from(x)).sum::<f64>() / rows as f64) as f32
    };
    let means = sums.into_iter().enumerate().map(|(j, sum)| {
        // The sum of finite numbers may be beyond f32; their average never is.
        if sum.is_finite() {
            sum / rows as f32
        } else {
            exact(j)
        }
    });
    means.collect()
}

/// numpy's summation of contiguous numbers: eight partial sums up to 128 numbers, halves beyond.
fn pairwise(values: &[f32]) -> f32 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return values.iter().fold(-0.0, |sum, x| sum + x);
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return pairwise(left) + pairwise(right);
    }
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut sums = [-0.0_f32; LANES];
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(sum, |sum, x| sum + x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f32], width: usize) -> Entry {
        let rows = values.len() / width;
        Entry {
            intervals: (0..rows).map(|i| [i as f64, i as f64 + 1.5]).collect(),
            features: Features::Numeric {
                values: values.to_vec(),
                width,
            },
        }
    }

    #[test]
    fn functions_stand_side_by_side() {
        let entry = numbers(&[1.0, -4.0, 2.0, 8.0, 6.0, 2.0], 2);
        let found = collapse(entry.clone(), &Collapse::ALL).unwrap();
        assert_eq!(found.intervals, [[0.0, 3.5]]);
        let values = vec![3.0, 2.0, 6.0, 8.0, 1.0, -4.0, 1.0, -4.0];
        assert_eq!(found.features, Features::Numeric { values, width: 8 });
        assert_eq!(collapse(entry.clone(), &[]).unwrap(), entry);
    }

    #[test]
    fn a_single_word_stays_and_several_have_no_average() {
        let text = |words: &[&str]| Entry {
            intervals: vec![[0.0, 1.0]; words.len()],
            features: Features::Text(words.iter().map(|&word| word.into()).collect()),
        };
        let single = text(&["one"]);
        let both = [Collapse::Mean, Collapse::First];
        assert_eq!(collapse(single.clone(), &both).unwrap(), single);
        let several = text(&["one", "two"]);
        assert_eq!(collapse(several.clone(), &[Collapse::First]), Ok(single));
        let reason = collapse(several, &both).unwrap_err();
        assert!(
            reason.starts_with("2 rows of text have no mean;"),
            "{reason}"
        );
    }

    #[test]
    fn sums_have_numpy_s_order() {
        // 2^24 + 1 is no f32: one after the other, each 1 is lost; eight lanes keep those beside the great number.
        let great = 16_777_216.0;
        let mut column = vec![1.0; 16];
        column[0] = great;
        assert_eq!(mean(&column, 1), [(great + 14.0) / 16.0]);
        let two: Vec<f32> = column.iter().flat_map(|&x| [x, x]).collect();
        assert_eq!(mean(&two, 2), [great / 16.0, great / 16.0]);
        let long: Vec<f32> = (0..1000).map(|i| (i % 7) as f32).collect();
        assert_eq!(pairwise(&long), long.iter().sum::<f32>());
    }

    #[test]
    fn an_average_of_finite_numbers_is_finite() {
        assert_eq!(mean(&[f32::MAX, f32::MAX], 1), [f32::MAX]);
        assert_eq!(mean(&[f32::MAX, 1.0, f32::MAX, 3.0], 2), [f32::MAX, 2.0]);
    }

    #[test]
    fn names_are_read_back() {
        for function in Collapse::ALL {
            assert_eq!(function.to_string().parse(), Ok(function));
        }
        let error = "average".parse::<Collapse>().unwrap_err().to_string();
        assert_eq!(error, "\"average\" is none of mean, max, min, first");
    }
}
