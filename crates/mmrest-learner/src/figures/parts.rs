//! What figures are made of.

/// A predicted and a true sentiment.
pub(super) type Pair = (f64, f64);

pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Mean absolute error.
pub(super) fn mae(pairs: &[Pair]) -> f64 {
    mean(pairs.iter().map(|(p, t)| (p - t).abs()))
}

/// Pearson's r; NaN where either side does not vary.
pub(super) fn pearson(pairs: &[Pair]) -> f64 {
    let mean_p = mean(pairs.iter().map(|x| x.0));
    let mean_t = mean(pairs.iter().map(|x| x.1));
    let (mut cov, mut var_p, mut var_t) = (0.0, 0.0, 0.0);
    for &(p, t) in pairs {
        cov += (p - mean_p) * (t - mean_t);
        var_p += (p - mean_p).powi(2);
        var_t += (t - mean_t).powi(2);
    }
    if var_p > 0.0 && var_t > 0.0 {
        (cov / (var_p.sqrt() * var_t.sqrt())).clamp(-1.0, 1.0)
    } else {
        f64::NAN
    }
}

/// Share of rows whose two values are of one class.
pub(super) fn accuracy<C: PartialEq>(pairs: &[Pair], class: impl Fn(f64) -> C) -> f64 {
    mean(pairs.iter().map(|&(p, t)| f64::from(class(p) == class(t))))
}

/// Accuracy and weighted F1 of a two-class problem.
pub(super) struct Binary {
    pub(super) accuracy: f64,
    pub(super) weighted_f1: f64,
}

/// Counts `(predicted, true)` pairs. F1 of each class is weighted by its share of the truth, as scikit-learn's `weighted`.
pub(super) fn binary(pairs: impl Iterator<Item = (bool, bool)>) -> Binary {
    let mut count = [[0_u64; 2]; 2];
    for (predicted, truth) in pairs {
        count[usize::from(predicted)][usize::from(truth)] += 1;
    }
    let total = count.iter().flatten().sum::<u64>() as f64;
    let f1_times_support = |class: usize| {
        let hits = count[class][class] as f64;
        let predicted = count[class].iter().sum::<u64>() as f64;
        let support = (count[0][class] + count[1][class]) as f64;
        if predicted + support > 0.0 {
            2.0 * hits / (predicted + support) * support
        } else {
            0.0
        }
    };
    Binary {
        accuracy: (count[0][0] + count[1][1]) as f64 / total,
        weighted_f1: (f1_times_support(0) + f1_times_support(1)) / total,
    }
}
