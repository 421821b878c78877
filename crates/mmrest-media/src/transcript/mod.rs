//! Transcripts: who said what when.

mod json;
mod subtitles;
mod textgrid;

use std::fs;
use std::path::Path;

use mmrest_data::text::count;

use crate::error::{MediaError, Result};

/// The largest transcript that is read, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// Words that follow each other with a longer pause, in seconds, are of two cues, where a format has words alone.
const PAUSE: f64 = 1.0;

/// The longest cue, in seconds, that is made of words without sentences.
const LONGEST_CUE: f64 = 30.0;

/// A transcript: cues in the order of their starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// What its format is called.
    pub format: &'static str,
    /// Cues (sentences, subtitles), none of them empty.
    pub cues: Vec<Cue>,
    /// What was left out or changed, as sentences.
    pub notes: Vec<String>,
}

/// A stretch of speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// Seconds from the recording's beginning.
    pub start: f64,
    /// Seconds, after `start`.
    pub end: f64,
    /// Its text.
    pub text: String,
    /// Its words, in order.
    pub words: Vec<Word>,
    /// Whether the words' times are the transcript's; otherwise the cue's time was spread over its letters.
    pub timed: bool,
}

/// A spoken word.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The word, with its punctuation.
    pub text: String,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
}

/// A cue as a format gives it: times may be absent, words too.
#[derive(Clone, Debug, Default)]
struct RawCue {
    start: Option<f64>,
    end: Option<f64>,
    text: String,
    words: Vec<RawWord>,
}

/// A word as a format gives it.
#[derive(Clone, Debug, Default)]
struct RawWord {
    text: String,
    start: Option<f64>,
    end: Option<f64>,
}

impl Transcript {
    /// Reads a transcript; its content tells the format:
    ///
    /// - JSON of Whisper: OpenAI's program and API, faster-whisper, WhisperX, whisper.cpp, Hugging Face's chunks;
    /// - SubRip (`.srt`) and WebVTT (`.vtt`);
    /// - Praat's TextGrid, long or short, with a tier of words (Montreal Forced Aligner, P2FA);
    /// - CTM, as Kaldi and NeMo write it: `id channel start duration word`;
    /// - text, one cue per line: `start end text`, separated by blanks or tabs.
    ///
    /// Cues and words that end before they begin, or have no text, are left out and noted; cues out of order are sorted.
    /// Words without times of their own lie between their neighbours, in proportion to their letters.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is in no such format, or has no cue with a time.
    pub fn read(path: &Path) -> Result<Self> {
        let size = fs::metadata(path).map_err(|error| MediaError::io(path, error))?;
        if size.len() > MOST_BYTES {
            return Err(MediaError::text(
                path,
                format!(
                    "{} bytes are no transcript: at most 256 MiB are read",
                    size.len()
                ),
            ));
        }
        let bytes = fs::read(path).map_err(|error| MediaError::io(path, error))?;
        Self::from_bytes(path, &bytes)
    }

    /// As [`read`](Self::read), of a file's content; `path` names it in errors.
    ///
    /// # Errors
    ///
    /// It is in no known format, or has no cue with a time.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let text = decoded(bytes)
            .ok_or_else(|| MediaError::text(path, "not UTF-8: save the transcript as UTF-8"))?;
        Self::parse(&text).map_err(|reason| MediaError::text(path, reason))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim_start_matches('\u{feff}');
        let start = text.trim_start();
        if start.is_empty() {
            return Err("the file is empty".to_owned());
        }
        let (format, cues) = if start.starts_with(['{', '[']) {
            json::cues(start)?
        } else if start.starts_with("WEBVTT") {
            ("WebVTT", subtitles::cues(text)?)
        } else if textgrid::is_textgrid(start) {
            ("TextGrid", into_cues(textgrid::words(start)?))
        } else if subtitles::is_subrip(start) {
            ("SubRip", subtitles::cues(text)?)
        } else if is_ctm(start) {
            ("CTM", into_cues(ctm_words(start)?))
        } else {
            ("text with times", lines(start)?)
        };
        Self::checked(format, cues)
    }

    fn checked(format: &'static str, raw: Vec<RawCue>) -> std::result::Result<Self, String> {
        let mut notes = Vec::new();
        let (mut untimed, mut reversed, mut silent, mut spread, mut within) = (0, 0, 0, 0, 0);
        let mut cues: Vec<Cue> = Vec::new();
        for cue in raw {
            let text = cue.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let first = cue.words.iter().find_map(|word| word.start);
            let last = cue.words.iter().rev().find_map(|word| word.end);
            let (Some(start), Some(end)) = (cue.start.or(first), cue.end.or(last)) else {
                untimed += 1;
                continue;
            };
            if text.is_empty() {
                silent += 1;
                continue;
            }
            if !(start.is_finite() && end.is_finite()) || start < 0.0 || end <= start {
                reversed += 1;
                continue;
            }
            let timed = cue.words.iter().any(|word| word.start.is_some());
            let words = if timed {
                let (words, filled) = complete(cue.words, start, end);
                within += filled;
                words
            } else {
                spread += 1;
                let words = text.split(' ').map(|word| RawWord {
                    text: word.to_owned(),
                    ..RawWord::default()
                });
                complete(words.collect(), start, end).0
            };
            cues.push(Cue {
                start,
                end,
                text,
                words,
                timed,
            });
        }
        let mut note = |number: usize, one: &str, rest: &str| {
            if number > 0 {
                notes.push(format!("{} {rest}", count(number, one)));
            }
        };
        note(untimed, "cue", "without times left out");
        note(silent, "cue", "without text left out");
        note(reversed, "cue", "left out whose end is not after its start");
        note(
            within,
            "word",
            "without times placed between their neighbours",
        );
        if cues.is_empty() {
            return Err(if notes.is_empty() {
                "no cue in it".to_owned()
            } else {
                format!("no cue in it ({})", notes.join("; "))
            });
        }
        note(
            spread,
            "cue",
            "without times of words: their time is spread over the letters",
        );
        if cues.windows(2).any(|pair| pair[1].start < pair[0].start) {
            cues.sort_by(|a, b| a.start.total_cmp(&b.start));
            notes.push("cues were out of order and are sorted by their starts".to_owned());
        }
        let overlapping = cues
            .windows(2)
            .filter(|pair| pair[1].start < pair[0].end - 1e-3)
            .count();
        if overlapping > 0 {
            let cues = count(overlapping, "cue");
            notes.push(format!("{cues} with a start before the previous cue's end"));
        }
        Ok(Self {
            format,
            cues,
            notes,
        })
    }

    /// The end of the last cue, in seconds.
    pub fn end(&self) -> f64 {
        self.cues.iter().map(|cue| cue.end).fold(0.0, f64::max)
    }

    /// The words of all cues, in order.
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.cues.iter().flat_map(|cue| &cue.words)
    }
}

/// UTF-8, or UTF-16 with its mark, as Windows programs write it.
fn decoded(bytes: &[u8]) -> Option<String> {
    let words = |from: fn([u8; 2]) -> u16| {
        let words = bytes.get(2..).unwrap_or(&[]).as_chunks::<2>().0.iter();
        let words: Vec<u16> = words.map(|&word| from(word)).collect();
        String::from_utf16(&words).ok()
    };
    match bytes {
        [0xff, 0xfe, ..] => words(u16::from_le_bytes),
        [0xfe, 0xff, ..] => words(u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    }
}

/// Gives every word a time within `start` and `end`, and the number of words that had none.
fn complete(words: Vec<RawWord>, start: f64, end: f64) -> (Vec<Word>, usize) {
    let words: Vec<RawWord> = words
        .into_iter()
        .filter(|word| !word.text.trim().is_empty())
        .map(|word| RawWord {
            text: word.text.trim().to_owned(),
            ..word
        })
        .collect();
    let has_times = |word: &RawWord| match (word.start, word.end) {
        (Some(start), Some(end)) => start.is_finite() && end.is_finite() && end >= start,
        _ => false,
    };
    let mut complete: Vec<Word> = Vec::with_capacity(words.len());
    let mut filled = 0;
    let mut i = 0;
    while i < words.len() {
        let word = &words[i];
        if let (Some(from), Some(to), true) = (word.start, word.end, has_times(word)) {
            complete.push(Word {
                text: word.text.clone(),
                start: from,
                end: to,
            });
            i += 1;
            continue;
        }
        // A run of words without times shares what lies between its neighbours by letters.
        let run = words[i..]
            .iter()
            .take_while(|word| !has_times(word))
            .count();
        let from = complete.last().map_or(start, |word| word.end);
        let next = words.get(i + run).and_then(|word| word.start);
        let to = next.unwrap_or(end).max(from);
        let letters = |word: &RawWord| word.text.chars().count() as f64;
        let all: f64 = words[i..i + run].iter().map(letters).sum();
        let mut passed = 0.0;
        for word in &words[i..i + run] {
            let at = |letters: f64| from + (to - from) * letters / all;
            let begin = at(passed);
            passed += letters(word);
            complete.push(Word {
                text: word.text.clone(),
                start: begin,
                end: at(passed),
            });
        }
        filled += run;
        i += run;
    }
    (complete, filled)
}

/// Cuts words into cues: after a sentence's end, at a pause, and where a cue would grow too long.
fn into_cues(words: Vec<RawWord>) -> Vec<RawCue> {
    let mut cues: Vec<RawCue> = Vec::new();
    let mut open: Vec<RawWord> = Vec::new();
    for word in words {
        if let Some(last) = open.last() {
            let ended = last
                .text
                .trim_end()
                .ends_with(['.', '?', '!', '…', '。', '？', '！']);
            let pause = match (last.end, word.start) {
                (Some(end), Some(start)) => start - end > PAUSE,
                _ => false,
            };
            let long = match (open[0].start, word.end) {
                (Some(start), Some(end)) => end - start > LONGEST_CUE,
                _ => false,
            };
            if ended || pause || long {
                cues.push(cue_of(std::mem::take(&mut open)));
            }
        }
        open.push(word);
    }
    if !open.is_empty() {
        cues.push(cue_of(open));
    }
    cues
}

fn cue_of(words: Vec<RawWord>) -> RawCue {
    let text: Vec<&str> = words.iter().map(|word| word.text.trim()).collect();
    RawCue {
        start: None,
        end: None,
        text: text.join(" "),
        words,
    }
}

fn is_ctm(text: &str) -> bool {
    let mut lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with(";;"));
    lines.next().is_some_and(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| {
            fields
                .get(i)
                .is_some_and(|field: &&str| field.parse::<f64>().is_ok())
        };
        (5..=7).contains(&fields.len()) && !number(4) && number(2) && number(3) && {
            // `start end text` has its numbers first.
            !(number(0) && number(1) && fields[1].contains('.'))
        }
    })
}

fn ctm_words(text: &str) -> std::result::Result<Vec<RawWord>, String> {
    let mut words = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.is_empty() || line.starts_with(";;") {
            continue;
        }
        let number = |place: usize| {
            fields
                .get(place)
                .and_then(|field| field.parse::<f64>().ok())
        };
        let (Some(start), Some(duration), Some(word)) = (number(2), number(3), fields.get(4))
        else {
            return Err(format!(
                "line {}: `id channel start duration word` is expected",
                i + 1
            ));
        };
        words.push(RawWord {
            text: (*word).to_owned(),
            start: Some(start),
            end: Some(start + duration),
        });
    }
    Ok(words)
}

/// One cue per line: start, end, text.
fn lines(text: &str) -> std::result::Result<Vec<RawCue>, String> {
    let mut cues = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.splitn(3, ['\t', ' ']);
        let mut time = || fields.next().and_then(seconds);
        let (Some(start), Some(end)) = (time(), time()) else {
            return Err(format!(
                "line {}: no known kind of transcript; lines of `start end text` are read, with times in seconds or \
                 h:mm:ss",
                i + 1
            ));
        };
        cues.push(RawCue {
            start: Some(start),
            end: Some(end),
            text: fields.next().unwrap_or("").to_owned(),
            words: Vec::new(),
        });
    }
    Ok(cues)
}

/// Seconds of `12.5`, `1:02.5`, `00:01:02,500`.
fn seconds(time: &str) -> Option<f64> {
    let parts: Vec<&str> = time.trim().split(':').collect();
    if parts.len() > 3 {
        return None;
    }
    parts.iter().try_fold(0.0, |sum, part| {
        let part = part.replace(',', ".");
        let digits = part
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let value: f64 = digits.then(|| part.parse().ok())??;
        Some(sum * 60.0 + value)
    })
}

#[cfg(test)]
mod tests;
