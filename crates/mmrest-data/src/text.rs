//! Wording that messages and reports share: counts, short lists, short numbers, hexadecimal.

/// A number of things: `3 intervals`, `1 interval`, `2 entries`.
///
/// ```
/// assert_eq!(mmrest_data::text::count(2, "entry"), "2 entries");
/// ```
pub fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => match one.strip_suffix('y') {
            Some(stem) => format!("{number} {stem}ies"),
            None => format!("{number} {one}s"),
        },
    }
}

/// The first few of many: `a, b, c, ... (7 more)`.
///
/// ```
/// assert_eq!(mmrest_data::text::few(&["a", "b", "c"], 2), "a, b, ... (1 more)");
/// ```
pub fn few<T: ToString>(items: &[T], most: usize) -> String {
    let mut listed: Vec<String> = items.iter().take(most).map(ToString::to_string).collect();
    if items.len() > most {
        listed.push(format!("... ({} more)", items.len() - most));
    }
    listed.join(", ")
}

/// A text as a message quotes it: its first 60 letters, and whether there are more.
///
/// ```
/// assert_eq!(mmrest_data::text::quoted("a\tb"), r#""a\tb""#);
/// assert!(mmrest_data::text::quoted(&"a".repeat(1000)).ends_with(r#"aaa" ..."#));
/// ```
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?} ...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Whether a text is what pandas and others write for an empty cell: `nan`, `None` and the like.
///
/// ```
/// use mmrest_data::text::is_empty_cell;
///
/// assert!(is_empty_cell(" nan ") && is_empty_cell("<NA>") && !is_empty_cell("none") && !is_empty_cell(""));
/// ```
pub fn is_empty_cell(text: &str) -> bool {
    let written = ["nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "#N/A"];
    written.contains(&text.trim())
}

/// Words that hold U+FFFD, which stands for bytes that are not UTF-8.
pub fn words_not_utf8(text: &str) -> usize {
    let words = text.split_whitespace();
    words
        .filter(|word| word.contains(char::REPLACEMENT_CHARACTER))
        .count()
}

/// Bytes in lowercase hexadecimal, as SHA-256 digests are written.
///
/// ```
/// assert_eq!(mmrest_data::text::hex(&[0, 0xab]), "00ab");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number with three or more digits, and no more than needed.
///
/// ```
/// assert_eq!([3.0, 0.12345, 1_234_567.0].map(mmrest_data::text::number), ["3", "0.123", "1.23e6"]);
/// ```
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e6 {
        return format!("{value}");
    }
    match size {
        0.0..1e-3 => format!("{value:.1e}"),
        1e-3..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        1000.0..1e6 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

/// A size in bytes: `12 bytes`, `659 KiB`.
///
/// ```
/// assert_eq!(mmrest_data::text::size(2048), "2 KiB");
/// ```
pub fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let mut size = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return format!("{} {unit}", number(size));
        }
        size /= 1024.0;
    }
    format!("{} TiB", number(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_lists_read_well() {
        assert_eq!(count(1, "entry"), "1 entry");
        assert_eq!(count(2, "entry"), "2 entries");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(few(&["a", "b", "c"], 2), "a, b, ... (1 more)");
        assert_eq!(few(&["a"], 2), "a");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(3.0), "3");
        assert_eq!(number(0.123_45), "0.123");
        assert_eq!(number(1_234_567.0), "1.23e6");
        assert_eq!((size(12), size(2048)), ("12 bytes".into(), "2 KiB".into()));
        assert_eq!(size(1_198_032), "1.14 MiB");
    }
}
