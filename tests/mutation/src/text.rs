//! Damage to text: numbers, brackets, quotes, lines, words.

use std::ops::Range;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// What stands in the place of a number.
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "-1",
    "1",
    "1e400",
    "-1e400",
    "1e-400",
    "NaN",
    "inf",
    "Infinity",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "0x7f",
    "1_000",
    "0.1e+5",
    "100000000",
    "1000000000000",
];

/// What is put anywhere.
const PIECES: [&[u8]; 36] = [
    b"null",
    b"true",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[]]",
    b"\"",
    b"\"\"\"",
    b"'''",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b"\t",
    b",",
    b",,",
    b";",
    b":",
    b"=",
    b"#",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[a.b.c]\n",
    b"[[x]]\n",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    "\u{2028}".as_bytes(),
    "漢字".as_bytes(),
    "e\u{301}\u{202e}".as_bytes(),
];

/// What opens a level, and what closes it.
const LEVELS: [(&str, &str); 6] = [
    ("[", "]"),
    ("{\"a\":", "}"),
    ("{a=", "}"),
    ("a.", ""),
    ("(", ")"),
    ("[[", "]]"),
];

/// Depths about the limits of parsers, and far beyond.
const DEPTHS: [usize; 7] = [2, 64, 127, 128, 129, 5_000, 80_000];

/// One change.
pub(crate) fn step(rng: &mut ChaCha8Rng, input: &mut Vec<u8>) {
    let at = rng.random_range(0..=input.len());
    match rng.random_range(0..100) {
        0..28 => number(rng, input),
        28..52 => {
            let piece = PIECES.choose(rng).copied().unwrap_or_default();
            input.splice(at..at, piece.iter().copied());
        }
        52..58 => nest(rng, input, at),
        58..72 => line(rng, input),
        72..86 => word(rng, input),
        _ => punctuation(rng, input),
    }
}

/// The stretch of bytes about `at` for which `is` holds.
fn run(input: &[u8], at: usize, is: impl Fn(u8) -> bool) -> Range<usize> {
    let before = input[..at].iter().rev().take_while(|&&byte| is(byte));
    let after = input[at..].iter().take_while(|&&byte| is(byte));
    at - before.count()..at + after.count()
}

/// A place with a byte for which `is` holds, the next one from a place drawn at random.
fn find(rng: &mut ChaCha8Rng, input: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    let start = rng.random_range(0..=input.len());
    let found = |range: Range<usize>| {
        let mut places = range.clone();
        places.find(|&at| is(input[at]))
    };
    found(start..input.len()).or_else(|| found(0..start))
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn number(rng: &mut ChaCha8Rng, input: &mut Vec<u8>) {
    let Some(at) = find(rng, input, |byte| byte.is_ascii_digit()) else {
        return;
    };
    let place = run(input, at, is_number);
    let other = NUMBERS.choose(rng).copied().unwrap_or_default();
    input.splice(place, other.bytes());
}

/// Deep nesting, closed or left open.
fn nest(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let (open, close) = LEVELS.choose(rng).copied().unwrap_or_default();
    let depth = DEPTHS.choose(rng).copied().unwrap_or_default();
    let closed = rng.random_bool(0.5);
    let mut made = open.repeat(depth);
    if closed {
        made.push('1');
        made.push_str(&close.repeat(depth));
    }
    // Where a value stands, a parser gets deepest.
    let place = find(rng, input, is_word).map(|at| run(input, at, is_word));
    let place = place.filter(|_| closed).unwrap_or(at..at);
    input.splice(place, made.into_bytes());
}

/// A line taken away, doubled, or put in another's place.
fn line(rng: &mut ChaCha8Rng, input: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.is_empty() {
        return;
    }
    let (one, other) = (
        rng.random_range(0..lines.len()),
        rng.random_range(0..lines.len()),
    );
    match rng.random_range(0..3) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one]),
        _ => lines.swap(one, other),
    }
    *input = lines.concat();
}

/// A word in the place of another.
fn word(rng: &mut ChaCha8Rng, input: &mut Vec<u8>) {
    let words = [(); 2].map(|()| find(rng, input, is_word));
    let [Some(from), Some(to)] = words else {
        return;
    };
    let from = input[run(input, from, is_word)].to_vec();
    let to = run(input, to, is_word);
    input.splice(to, from);
}

/// A mark of punctuation taken away, doubled, or made another.
fn punctuation(rng: &mut ChaCha8Rng, input: &mut Vec<u8>) {
    let Some(at) = find(rng, input, |byte| {
        byte.is_ascii_punctuation() || byte == b'\n'
    }) else {
        return;
    };
    match rng.random_range(0..3) {
        0 => drop(input.remove(at)),
        1 => input.insert(at, input[at]),
        _ => input[at] = *b"\"'[]{},;:=.\n\\".choose(rng).unwrap_or(&b','),
    }
}
