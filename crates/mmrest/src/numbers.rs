//! How numbers are written, the same on the screen, in tables and in reports: metrics with four digits in text and three in
//! tables, where accuracies and F1 are percentages, as papers print them.

use std::time::Duration;

/// The text for a missing number.
pub(crate) const NONE: &str = "-";

/// A metric in a sentence: four digits.
pub(crate) fn in_text(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.4}")
    } else {
        NONE.into()
    }
}

/// A metric in a table: three digits, or percent with one where it is a share.
pub(crate) fn in_table(metric: &str, value: f64) -> String {
    if !value.is_finite() {
        NONE.into()
    } else if is_share(metric) {
        format!("{:.1}", 100.0 * value)
    } else {
        format!("{value:.3}")
    }
}

/// The difference of two values of a metric in a table, with its sign.
pub(crate) fn difference(metric: &str, value: f64) -> String {
    let sign = if value >= 0.0 { "+" } else { "" };
    match in_table(metric, value) {
        none if none == NONE => none,
        number => format!("{sign}{number}"),
    }
}

/// The heading of a metric in a table: `mae`, `acc7 %`.
pub(crate) fn heading(metric: &str) -> String {
    if is_share(metric) {
        format!("{metric} %")
    } else {
        metric.to_owned()
    }
}

/// Whether a metric is a share of the segments (an accuracy or F1).
pub(crate) fn is_share(metric: &str) -> bool {
    metric.starts_with("acc") || metric.starts_with("f1")
}

/// `1,222,656`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// `1:02:03` or `2:03`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// `0.6 s`, `12 s`, `2:03`.
pub(crate) fn lasting(seconds: f64) -> String {
    match seconds {
        short if short < 9.95 => format!("{short:.1} s"),
        short if short < 99.5 => format!("{short:.0} s"),
        long => clock(Duration::try_from_secs_f64(long).unwrap_or_default()),
    }
}

/// How many a second: `181 a second`, `2.5 a second`.
pub(crate) fn rate(number: usize, seconds: f64) -> String {
    let rate = number as f64 / seconds.max(1e-9);
    let digits = usize::from(rate < 10.0);
    format!("{rate:.digits$} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_written_the_same_everywhere() {
        assert_eq!(in_text(0.712_34), "0.7123");
        assert_eq!(in_table("mae", 0.712_34), "0.712");
        assert_eq!(in_table("acc2_non0", 0.846_6), "84.7");
        assert_eq!(in_table("f1", f64::NAN), NONE);
        assert_eq!(difference("mae", 0.012), "+0.012");
        assert_eq!(difference("acc7", -0.012), "-1.2");
        assert_eq!(
            (heading("corr"), heading("acc7")),
            ("corr".into(), "acc7 %".into())
        );
    }

    #[test]
    fn times_and_counts_are_short() {
        assert_eq!(clock(Duration::from_secs(123)), "2:03");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!([0.62, 12.4, 123.0].map(lasting), ["0.6 s", "12 s", "2:03"]);
        assert_eq!(
            (rate(300, 2.0), rate(1, 0.5)),
            ("150 a second".into(), "2.0 a second".into())
        );
        assert_eq!(
            (thousands(1_222_656), thousands(999)),
            ("1,222,656".into(), "999".into())
        );
    }
}
