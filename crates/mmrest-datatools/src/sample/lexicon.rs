//! The words, and how good or bad they are.

/// A word that judges, with its valence in -3 to 3.
pub(super) type Judgement = (&'static str, f64);

/// "the plot was ...".
pub(super) const ADJECTIVES: [Judgement; 12] = [
    ("awful", -3.0),
    ("terrible", -2.6),
    ("bad", -2.0),
    ("boring", -1.5),
    ("dull", -1.1),
    ("weak", -0.7),
    ("okay", 0.2),
    ("decent", 0.8),
    ("nice", 1.3),
    ("good", 1.9),
    ("great", 2.5),
    ("wonderful", 3.0),
];

/// "i ... the plot".
pub(super) const VERBS: [Judgement; 4] = [
    ("hated", -2.7),
    ("disliked", -1.6),
    ("liked", 1.5),
    ("loved", 2.7),
];

/// What is judged.
pub(super) const NOUNS: [&str; 12] = [
    "movie", "film", "story", "plot", "acting", "music", "ending", "cast", "scene", "dialogue",
    "director", "camera",
];

/// Words that say nothing, at a segment's start.
pub(super) const OPENERS: [&[&str]; 6] = [
    &["so"],
    &["well"],
    &["um"],
    &["honestly"],
    &["you", "know"],
    &["i", "mean"],
];

/// Words that say nothing, at a segment's end.
pub(super) const CLOSERS: [&[&str]; 5] = [
    &["in", "the", "end"],
    &["last", "night"],
    &["with", "my", "friends"],
    &["for", "two", "hours"],
    &["at", "the", "theater"],
];

/// Strengthens the adjective after it by [`STRONGER`].
pub(super) const INTENSIFIERS: [&str; 2] = ["very", "really"];
/// Factor of an intensifier.
pub(super) const STRONGER: f64 = 1.25;

/// Turns the adjective after it by [`TURNED`].
pub(super) const NEGATION: &str = "not";
/// Factor of a negation: "not awful" is better than "awful" is bad, but less so.
pub(super) const TURNED: f64 = -0.75;

/// The rest of the grammar's words.
const GLUE: [&str; 11] = [
    "the", "was", "is", "and", "i", "we", "it", "thought", "felt", "saw", "this",
];

/// Every word once, sorted.
pub(super) fn all() -> Vec<&'static str> {
    let judgements = ADJECTIVES.iter().chain(&VERBS).map(|(word, _)| *word);
    let phrases = OPENERS
        .iter()
        .chain(&CLOSERS)
        .flat_map(|phrase| phrase.iter().copied());
    let mut words: Vec<&str> = judgements
        .chain(phrases)
        .chain(NOUNS)
        .chain(INTENSIFIERS)
        .chain([NEGATION])
        .chain(GLUE)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}
