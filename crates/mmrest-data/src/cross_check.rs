//! Cross-checks of two files joined by id: whether their labels and texts are of the same segment.

use std::collections::HashSet;

/// Difference below which two labels are the same, both having been written as decimals.
const LABEL_TOLERANCE: f32 = 1e-3;

/// Whether two sources give one label.
pub fn same_label(a: f32, b: f32) -> bool {
    (a - b).abs() <= LABEL_TOLERANCE
}

/// Whether at least half of a transcript's words are among the words spoken; `None` where it has no words.
///
/// Words are compared in lowercase and without punctuation, for transcribers differ in both.
pub fn same_text(transcript: &str, spoken: &str) -> Option<bool> {
    let expected = words(transcript);
    if expected.is_empty() {
        return None;
    }
    let spoken: HashSet<String> = words(spoken).into_iter().collect();
    let found = expected
        .iter()
        .filter(|word| spoken.contains(*word))
        .count();
    Some(2 * found >= expected.len())
}

fn words(text: &str) -> Vec<String> {
    let words = text.split_whitespace().map(|word| {
        let letters = word.chars().filter(|letter| letter.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    });
    words.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_words_is_enough_and_less_is_not() {
        assert_eq!(same_text("It's GOOD, really good", "its good"), Some(true));
        assert_eq!(same_text("one two three", "one 2 3"), Some(false));
        assert_eq!(same_text("?!", "one"), None);
    }
}
