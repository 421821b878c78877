//! Subtitles: SubRip and WebVTT.

use mmrest_data::text::quoted;

use super::{RawCue, RawWord, seconds};

const ARROW: &str = "-->";

/// Whether a text begins as SubRip does: with a number and a line of times, or with the latter.
pub(super) fn is_subrip(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.take(2).any(|line| line.contains(ARROW))
}

/// Cues of either format: a line of times, lines of text, an empty line.
pub(super) fn cues(text: &str) -> Result<Vec<RawCue>, String> {
    let mut cues = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((i, line)) = lines.next() {
        let Some((from, to)) = line.split_once(ARROW) else {
            continue;
        };
        let to = to.split_whitespace().next().unwrap_or("");
        let (Some(start), Some(end)) = (seconds(from), seconds(to)) else {
            return Err(format!("line {}: no times in {}", i + 1, quoted(line)));
        };
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| !line.trim().is_empty())
            .collect();
        let body = body.join(" ");
        cues.push(RawCue {
            start: Some(start),
            end: Some(end),
            words: timed_words(&body, start, end),
            text: plain(&body),
        });
    }
    Ok(cues)
}

/// The words of a WebVTT cue that names times between them: `one <00:00:01.500>two`.
fn timed_words(body: &str, start: f64, end: f64) -> Vec<RawWord> {
    let mut pieces: Vec<(f64, String)> = vec![(start, String::new())];
    let mut rest = body;
    while let Some(open) = rest.find('<') {
        let Some(length) = rest[open..].find('>') else {
            break;
        };
        let tag = &rest[open + 1..open + length];
        if let Some((_, piece)) = pieces.last_mut() {
            piece.push_str(&rest[..open]);
        }
        if tag.contains(':')
            && let Some(time) = seconds(tag)
        {
            pieces.push((time, String::new()));
        }
        rest = &rest[open + length + 1..];
    }
    if pieces.len() == 1 {
        return Vec::new();
    }
    if let Some((_, piece)) = pieces.last_mut() {
        piece.push_str(rest);
    }
    let ends: Vec<f64> = pieces
        .iter()
        .skip(1)
        .map(|piece| piece.0)
        .chain([end])
        .collect();
    let word = |((start, text), end): ((f64, String), f64)| RawWord {
        text: plain(&text),
        start: Some(start),
        end: Some(end),
    };
    pieces.into_iter().zip(ends).map(word).collect()
}

/// Text without tags (`<i>`, `{\an8}`) and character references.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut within = None;
    for letter in text.chars() {
        match (within, letter) {
            (None, '<') => within = Some('>'),
            (None, '{') => within = Some('}'),
            (None, letter) => plain.push(letter),
            (Some(end), letter) if letter == end => within = None,
            _ => {}
        }
    }
    let references = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", " "),
        ("&lrm;", ""),
        ("&rlm;", ""),
        ("&amp;", "&"),
    ];
    references
        .into_iter()
        .fold(plain, |text, (reference, letter)| {
            text.replace(reference, letter)
        })
}
