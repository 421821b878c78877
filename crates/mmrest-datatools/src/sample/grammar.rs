//! Sentences about films with their valence, and the words they are made of.

use super::noise::Noise;

/// Standard deviation of a sentence's mean valence, measured over many: it makes [`Sentence::valence`] one of unit
/// variance.
const VALENCE_SCALE: f64 = 1.85;

/// How far a judgement may be from the speaker's mood.
const TOLERANCE: f64 = 1.1;

/// What somebody says in one segment.
pub(super) struct Sentence {
    /// What is said, without pauses.
    pub(super) words: Vec<&'static str>,
    /// How many words open it without meaning anything.
    pub(super) opening: usize,
    /// Index of the word that begins the second clause, where people pause.
    pub(super) clause: Option<usize>,
    /// Mean valence of its clauses, of about unit variance.
    pub(super) valence: f64,
}

/// A sentence of one or two clauses in one mood, now and then one without any judgement.
///
/// `must_open` asks for an opener, which carries no valence.
pub(super) fn sentence(noise: &mut Noise, must_open: bool) -> Sentence {
    let mood = noise.between(-3.4, 3.4);
    let mut words = Vec::new();
    if must_open || noise.chance(0.45) {
        words.extend_from_slice(noise.pick(OPENERS));
    }
    let opening = words.len();
    if noise.chance(0.05) {
        neutral(noise, &mut words);
        return Sentence {
            words,
            opening,
            clause: None,
            valence: 0.0,
        };
    }
    let mut valence = judge(noise, mood, &mut words);
    let mut clause = None;
    if noise.chance(0.8) {
        clause = Some(words.len());
        words.push("and");
        valence = 0.5 * (valence + judge(noise, mood, &mut words));
    }
    if words.len() < 13 && noise.chance(0.25) {
        words.extend_from_slice(noise.pick(CLOSERS));
    }
    Sentence {
        words,
        opening,
        clause,
        valence: valence / VALENCE_SCALE,
    }
}

/// "we saw this film last night": no judgement.
fn neutral(noise: &mut Noise, words: &mut Vec<&'static str>) {
    words.extend([noise.pick(["i", "we"]), "saw", noise.pick(["this", "the"])]);
    words.push(noise.pick(["movie", "film"]));
    words.extend_from_slice(noise.pick(CLOSERS));
}

/// Adds a clause near `mood` and returns its valence.
fn judge(noise: &mut Noise, mood: f64, words: &mut Vec<&'static str>) -> f64 {
    if noise.chance(0.3) {
        let (verb, valence) = near(noise, &VERBS, mood, 1.0);
        words.extend([noise.pick(["i", "we"]), verb, "the", noise.pick(NOUNS)]);
        return valence;
    }
    match noise.whole(0, 4) {
        0 => words.extend(["i", "thought", "the", noise.pick(NOUNS), "was"]),
        1 => words.extend(["it", noise.pick(["was", "is", "felt"])]),
        _ => words.extend(["the", noise.pick(NOUNS), noise.pick(["was", "is", "felt"])]),
    }
    adjective(noise, mood, words)
}

/// Adds "awful", "very good" or "not bad", and returns its valence.
fn adjective(noise: &mut Noise, mood: f64, words: &mut Vec<&'static str>) -> f64 {
    let kind = noise.unit();
    let factor = if kind < 0.1 {
        words.push(NEGATION);
        TURNED
    } else if kind < 0.28 {
        words.push(noise.pick(INTENSIFIERS));
        STRONGER
    } else {
        1.0
    };
    let (word, valence) = near(noise, &ADJECTIVES, mood, factor);
    words.push(word);
    valence
}

/// One of the judgements whose valence times `factor` is nearest the mood, or any within [`TOLERANCE`] of it; and that
/// product.
fn near(noise: &mut Noise, from: &[Judgement], mood: f64, factor: f64) -> Judgement {
    let distance = |judgement: &Judgement| (judgement.1 * factor - mood).abs();
    let nearest = from.iter().map(distance).fold(f64::INFINITY, f64::min);
    let limit = nearest.max(TOLERANCE);
    let fitting: Vec<&Judgement> = from.iter().filter(|j| distance(j) <= limit).collect();
    let (word, valence) = *fitting[noise.index(fitting.len())];
    (word, valence * factor)
}

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

#[cfg(test)]
mod tests {
    /// An opener of two words, two clauses of seven, and the conjunction.
    const MOST_WORDS: usize = 17;

    use super::super::noise::Purpose;
    use super::*;
    use crate::sample::vocabulary;

    #[test]
    fn sentences_use_the_vocabulary_and_have_unit_valence() {
        let vocabulary = vocabulary();
        let mut noise = Noise::new(3, Purpose::Text, 0);
        let valences: Vec<f64> = (0..5000)
            .map(|_| {
                let sentence = sentence(&mut noise, false);
                assert!(
                    (3..=MOST_WORDS).contains(&sentence.words.len()),
                    "{:?}",
                    sentence.words
                );
                assert!(
                    sentence
                        .words
                        .iter()
                        .all(|w| vocabulary.binary_search(w).is_ok())
                );
                sentence.valence
            })
            .collect();
        let mean = valences.iter().sum::<f64>() / 5000.0;
        let variance = valences
            .iter()
            .map(|v| (v - mean) * (v - mean))
            .sum::<f64>()
            / 5000.0;
        assert!(
            mean.abs() < 0.06 && (variance - 1.0).abs() < 0.06,
            "{mean} {variance}"
        );
    }

    #[test]
    fn negation_turns_the_next_word() {
        let mut noise = Noise::new(5, Purpose::Text, 0);
        let mut seen = 0;
        for _ in 0..500 {
            let mut words = Vec::new();
            let valence = adjective(&mut noise, -2.0, &mut words);
            if words[0] == NEGATION {
                seen += 1;
                let plain = ADJECTIVES
                    .iter()
                    .find(|(word, _)| *word == words[1])
                    .map(|(_, v)| *v);
                assert_eq!(plain.map(|v| v * TURNED), Some(valence));
                assert!(valence < 0.0);
            }
        }
        assert!(seen > 25);
    }
}
