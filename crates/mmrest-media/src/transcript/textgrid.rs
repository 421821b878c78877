//! Praat's TextGrid, in its long and its short form.

use mmrest_data::text::quoted;

use super::RawWord;

/// Words of aligners that stand for silence.
const SILENCE: [&str; 6] = ["sp", "sil", "<eps>", "{sl}", "{ns}", "{br}"];

pub(super) fn is_textgrid(text: &str) -> bool {
    let start: String = text.chars().take(200).collect();
    start.contains("ooTextFile") || start.contains("\"TextGrid\"")
}

/// The words of the tier that is called words (or the first tier of intervals).
pub(super) fn words(text: &str) -> Result<Vec<RawWord>, String> {
    let values = values(text);
    let mut tiers: Vec<(String, Vec<RawWord>)> = Vec::new();
    let mut place = values.iter();
    while let Some(value) = place.next() {
        let Value::Text(class) = value else { continue };
        if class != "IntervalTier" {
            continue;
        }
        let Some(Value::Text(name)) = place.next() else {
            return Err("a tier without a name".to_owned());
        };
        let mut number = || match place.next() {
            Some(Value::Number(number)) => Ok(*number),
            _ => Err(format!("tier {}: a number is missing", quoted(name))),
        };
        let (_, _, intervals) = (number()?, number()?, number()?);
        let mut words = Vec::new();
        for _ in 0..intervals as usize {
            let mut number = || match place.next() {
                Some(Value::Number(number)) => Ok(*number),
                _ => Err(format!(
                    "tier {}: it ends before its {intervals} intervals",
                    quoted(name)
                )),
            };
            let (start, end) = (number()?, number()?);
            let Some(Value::Text(word)) = place.next() else {
                return Err(format!("tier {}: an interval without text", quoted(name)));
            };
            if !word.trim().is_empty() && !SILENCE.contains(&word.trim()) {
                words.push(RawWord {
                    text: word.clone(),
                    start: Some(start),
                    end: Some(end),
                });
            }
        }
        tiers.push((name.clone(), words));
    }
    let is_words = |name: &str| {
        let name = name.to_lowercase();
        name == "word" || name.ends_with("words") || name.ends_with("word")
    };
    let chosen = tiers.iter().position(|(name, _)| is_words(name));
    if tiers.is_empty() {
        return Err("no tier of intervals".to_owned());
    }
    Ok(tiers.swap_remove(chosen.unwrap_or(0)).1)
}

enum Value {
    Text(String),
    Number(f64),
}

/// The values of a TextGrid in order: what distinguishes the long form, names and indices, is passed over.
fn values(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        if letter == '"' {
            letters.next();
            let mut value = String::new();
            while let Some(letter) = letters.next() {
                if letter != '"' {
                    value.push(letter);
                } else if letters.peek() == Some(&'"') {
                    letters.next();
                    value.push('"');
                } else {
                    break;
                }
            }
            values.push(Value::Text(value));
        } else if letter.is_whitespace() || letter == '=' {
            letters.next();
        } else {
            let mut token = String::new();
            while let Some(letter) =
                letters.next_if(|letter| !letter.is_whitespace() && *letter != '"')
            {
                token.push(letter);
            }
            // `intervals [1]:` is a name with its index; `size = 3` a name and a value.
            if let Ok(number) = token.parse::<f64>() {
                values.push(Value::Number(number));
            }
        }
    }
    values
}
