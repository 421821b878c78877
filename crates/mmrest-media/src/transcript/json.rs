//! Whisper's JSON in its dialects.

use mmrest_data::text::quoted;
use serde_json::Value;

use super::{RawCue, RawWord, into_cues};

type Cues = (&'static str, Vec<RawCue>);

/// The cues of a JSON transcript, and what its dialect is called.
pub(super) fn cues(text: &str) -> Result<Cues, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("not a JSON document: {error}"))?;
    if let Value::Array(items) = &value {
        return segments(items, "Whisper's JSON (a list of segments)");
    }
    let list = |key: &str| value.get(key).and_then(Value::as_array);
    if let Some(items) = list("transcription") {
        return Ok(("whisper.cpp's JSON", items.iter().map(cpp_cue).collect()));
    }
    if let Some(items) = list("chunks") {
        return Ok(("Hugging Face's chunks", chunks(items)));
    }
    if let Some(items) = list("segments") {
        let (format, mut cues) = segments(items, "Whisper's JSON")?;
        // The API gives the words of all segments in one list.
        if let Some(words) = list("words") {
            deal_out(words.iter().map(word).collect(), &mut cues);
        }
        return Ok((format, cues));
    }
    if let Some(words) = list("words").or_else(|| list("word_segments")) {
        let words = words.iter().map(word).collect();
        return Ok(("a list of words", into_cues(words)));
    }
    let keys: Vec<String> = value
        .as_object()
        .map(|object| object.keys().take(8).map(|key| quoted(key)).collect())
        .unwrap_or_default();
    Err(format!(
        "JSON without a transcript: `segments`, `words`, `chunks` or `transcription` is expected, its keys are {}",
        keys.join(", ")
    ))
}

fn segments(items: &[Value], format: &'static str) -> Result<Cues, String> {
    let cue = |item: &Value| RawCue {
        start: time(item, "start"),
        end: time(item, "end"),
        text: text(item),
        words: item
            .get("words")
            .and_then(Value::as_array)
            .map(|words| words.iter().map(word).collect())
            .unwrap_or_default(),
    };
    if let Some(other) = items.iter().position(|item| !item.is_object()) {
        return Err(format!("entry {other} of its list is no segment"));
    }
    Ok((format, items.iter().map(cue).collect()))
}

/// A segment of whisper.cpp: times in milliseconds, words as tokens where `--output-json-full` was asked for.
fn cpp_cue(item: &Value) -> RawCue {
    let offset = |item: &Value, key: &str| {
        let offsets = item.get("offsets")?;
        Some(offsets.get(key)?.as_f64()? / 1000.0)
    };
    let mut words: Vec<RawWord> = Vec::new();
    for token in item
        .get("tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let piece = text(token);
        if piece.starts_with("[_") {
            continue; // A mark such as [_BEG_].
        }
        let (start, end) = (offset(token, "from"), offset(token, "to"));
        match words.last_mut() {
            Some(word) if !piece.starts_with(' ') => {
                word.text.push_str(&piece);
                word.end = end;
            }
            _ => words.push(RawWord {
                text: piece,
                start,
                end,
            }),
        }
    }
    RawCue {
        start: offset(item, "from"),
        end: offset(item, "to"),
        text: text(item),
        words,
    }
}

/// Chunks of Hugging Face's pipeline: sentences, or words where `return_timestamps="word"` was asked for.
fn chunks(items: &[Value]) -> Vec<RawCue> {
    let words: Vec<RawWord> = items
        .iter()
        .map(|item| {
            let time = |i: usize| {
                item.get("timestamp")
                    .and_then(|times| times.get(i)?.as_f64())
            };
            RawWord {
                text: text(item),
                start: time(0),
                end: time(1),
            }
        })
        .collect();
    let single = |word: &&RawWord| word.text.split_whitespace().count() <= 1;
    if words.iter().filter(single).count() * 10 >= words.len() * 9 {
        return into_cues(words);
    }
    let cue = |word: RawWord| RawCue {
        start: word.start,
        end: word.end,
        text: word.text,
        words: Vec::new(),
    };
    words.into_iter().map(cue).collect()
}

/// Gives each word to the cue in which its middle lies: to the first of those that follow each other in time. Words of no
/// cue are left out.
fn deal_out(words: Vec<RawWord>, cues: &mut [RawCue]) {
    // By their starts, each with the last end so far: what ends before a word does so together with all before it.
    let mut order: Vec<(f64, f64, usize)> = cues
        .iter()
        .enumerate()
        .filter_map(|(place, cue)| Some((cue.start?, cue.end?, place)))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut latest = f64::NEG_INFINITY;
    for (_, end, _) in &mut order {
        latest = latest.max(*end);
        *end = latest;
    }
    for word in words {
        let (Some(start), Some(end)) = (word.start, word.end) else {
            continue;
        };
        let middle = 0.5 * (start + end);
        let first = order.partition_point(|(_, latest, _)| *latest <= middle);
        if let Some(&(start, _, place)) = order.get(first)
            && start <= middle
        {
            cues[place].words.push(word);
        }
    }
}

fn word(item: &Value) -> RawWord {
    RawWord {
        text: text(item),
        start: time(item, "start"),
        end: time(item, "end"),
    }
}

fn time(item: &Value, key: &str) -> Option<f64> {
    item.get(key)?.as_f64()
}

fn text(item: &Value) -> String {
    let text = ["word", "text", "punctuated_word"]
        .into_iter()
        .find_map(|key| item.get(key)?.as_str());
    text.unwrap_or("").to_owned()
}
