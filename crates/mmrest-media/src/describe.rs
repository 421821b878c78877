//! Sentences about a speaker's voice and face, as DEVA (Wu et al., AAAI 2025) forms them of openSMILE's and OpenFace's
//! values.
//!
//! A table of them, one row per segment, is what `data.sentences` reads.

/// The four features of a voice: the column of openSMILE's IS10_paraling functionals, and its word in a sentence.
pub const VOICE_FEATURES: [(&str, &str); 4] = [
    ("pcm_loudness_sma_amean", "loudness"),
    ("jitterLocal_sma_amean", "jitter"),
    ("shimmerLocal_sma_amean", "shimmer"),
    ("F0final_sma_amean", "pitch"),
];

/// The sixteen action units of a face: the column of OpenFace that says whether one is present, and its words.
pub const ACTION_UNITS: [(&str, &str); 16] = [
    ("AU01_c", "raise inner brow"),
    ("AU02_c", "raise outer brow"),
    ("AU04_c", "lower brow"),
    ("AU05_c", "raise upper lid"),
    ("AU06_c", "raise cheek"),
    ("AU07_c", "tighten lid"),
    ("AU09_c", "wrinkle nose"),
    ("AU10_c", "raise upper lip"),
    ("AU12_c", "pull lip corner"),
    ("AU15_c", "depress lip corner"),
    ("AU20_c", "stretch lip"),
    ("AU23_c", "tighten lid"),
    ("AU25_c", "part lip"),
    ("AU26_c", "drop jaw"),
    ("AU28_c", "suck lip"),
    ("AU45_c", "blink"),
];

/// Frames in a row that an action unit must be present in to count.
const IN_A_ROW: usize = 3;

/// Where low ends and high begins for each of [`VOICE_FEATURES`].
///
/// ```
/// use mmrest_media::describe::VoiceLimits;
///
/// let voices: Vec<[f32; 4]> = (0..7).map(|i| [i as f32, 0.1, 0.2, 100.0 + i as f32]).collect();
/// let limits = VoiceLimits::of(&voices).unwrap();
/// assert_eq!((limits.normal[0], limits.high[0]), (2.0, 4.0));
/// assert_eq!(
///     limits.sentence([1.0, 0.1, 0.2, 103.0]),
///     "The speaker speaks in the following tone: low loudness, high jitter, high shimmer, normal pitch."
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceLimits {
    /// From here on a value is normal.
    pub normal: [f32; 4],
    /// From here on it is high.
    pub high: [f32; 4],
}

impl VoiceLimits {
    /// The limits that part the voices of segments into thirds. DEVA takes all segments of a corpus; those of the training
    /// split alone tell nothing of the others. None without three segments whose values are finite.
    pub fn of(voices: &[[f32; 4]]) -> Option<Self> {
        let mut limits = Self {
            normal: [0.0; 4],
            high: [0.0; 4],
        };
        for feature in 0..4 {
            let values = voices.iter().map(|voice| voice[feature]);
            let mut values: Vec<f32> = values.filter(|value| value.is_finite()).collect();
            values.sort_by(f32::total_cmp);
            let third = values.len() / 3;
            if third == 0 {
                return None;
            }
            limits.normal[feature] = values[third];
            limits.high[feature] = values[2 * third];
        }
        Some(limits)
    }

    /// The sentence about a voice, whose values are in the order of [`VOICE_FEATURES`].
    pub fn sentence(&self, voice: [f32; 4]) -> String {
        let level = |feature: usize| match voice[feature] {
            value if value >= self.high[feature] => "high",
            value if value >= self.normal[feature] => "normal",
            _ => "low",
        };
        let parts = VOICE_FEATURES.iter().enumerate();
        let parts: Vec<String> = parts
            .map(|(feature, (_, word))| format!("{} {word}", level(feature)))
            .collect();
        format!(
            "The speaker speaks in the following tone: {}.",
            parts.join(", ")
        )
    }
}

/// The sentence about a face: of the action units that are present in three frames in a row somewhere, the `most` that are
/// present in most frames. `frames` say which of [`ACTION_UNITS`] are present, in their order.
///
/// ```
/// use mmrest_media::describe::face_sentence;
///
/// let (mut smile, mut blink) = ([false; 16], [false; 16]);
/// (smile[8], blink[15]) = (true, true);
/// let frames = [smile, smile, smile, blink, blink];
/// assert_eq!(
///     face_sentence(&frames, 4),
///     "The speaker made such an expression: pull lip corner, "
/// );
/// ```
pub fn face_sentence(frames: &[[bool; 16]], most: usize) -> String {
    let mut units: Vec<(usize, usize)> = (0..ACTION_UNITS.len())
        .filter(|&unit| {
            let mut windows = frames.windows(IN_A_ROW);
            windows.any(|window| window.iter().all(|frame| frame[unit]))
        })
        .map(|unit| (unit, frames.iter().filter(|frame| frame[unit]).count()))
        .collect();
    // Equals stay in the order of the columns.
    units.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let units = units.into_iter().take(most);
    let words: String = units
        .map(|(unit, _)| format!("{}, ", ACTION_UNITS[unit].1))
        .collect();
    format!("The speaker made such an expression: {words}")
}
