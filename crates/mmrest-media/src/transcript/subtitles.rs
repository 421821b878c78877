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
        let pieces = pieces(&body, start);
        cues.push(RawCue {
            start: Some(start),
            end: Some(end),
            text: pieces.iter().map(|(_, piece)| piece.as_str()).collect(),
            words: if pieces.len() > 1 {
                words(pieces, end)
            } else {
                Vec::new()
            },
        });
    }
    Ok(cues)
}

/// Pieces of a cue that begin at known times, as words.
fn words(pieces: Vec<(f64, String)>, end: f64) -> Vec<RawWord> {
    let next = pieces.iter().skip(1).map(|(time, _)| *time);
    let ends: Vec<f64> = next.chain([end]).collect();
    let word = |((start, text), end): ((f64, String), f64)| RawWord {
        text,
        start: Some(start),
        end: Some(end),
    };
    pieces.into_iter().zip(ends).map(word).collect()
}

/// A cue's text without tags, in pieces that begin at the times it names: `one <00:00:01.500>two`.
fn pieces(body: &str, start: f64) -> Vec<(f64, String)> {
    let mut pieces = Vec::new();
    let (mut time, mut piece, mut rest) = (start, String::new(), body);
    while let Some(letter) = rest.chars().next() {
        let length = match tag(rest) {
            Some((length, None)) => length,
            Some((length, Some(named))) => {
                pieces.push((time, references(&piece)));
                (time, piece) = (named, String::new());
                length
            }
            None => {
                piece.push(letter);
                letter.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    pieces.push((time, references(&piece)));
    pieces
}

/// The length of a tag at the beginning of a text (`<i>`, `</v>`, `<00:01.500>`, `{\an8}`), and the time that it names. What
/// else begins with these signs is text, as in `I <3 you`.
fn tag(text: &str) -> Option<(usize, Option<f64>)> {
    let inside = |closing: char| {
        let length = text[1..].find([text.chars().next()?, closing])?;
        let inside = &text[1..1 + length];
        text[1 + length..].starts_with(closing).then_some(inside)
    };
    if text.starts_with("{\\") {
        return Some((inside('}')?.len() + 2, None));
    }
    let inside = text.starts_with('<').then(|| inside('>'))??;
    let time = inside.contains(':').then(|| seconds(inside)).flatten();
    let named = inside.starts_with(|sign: char| sign.is_ascii_alphabetic() || sign == '/');
    (named || time.is_some()).then_some((inside.len() + 2, time))
}

/// A text whose character references are replaced.
fn references(text: &str) -> String {
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
        .fold(text.to_owned(), |text, (reference, letter)| {
            text.replace(reference, letter)
        })
}
