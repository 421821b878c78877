//! Ten thousand damaged lines through `predict`: one process answers every line and takes little memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{peak_memory, program};
use mmrest_mutation::mutator::{Form, LARGEST, generator, mutated};
use mmrest_mutation::seed::{self, Run};

/// The number of damaged lines.
const LINES: u64 = 10_000;
/// The most memory of the process, including the model.
const MEMORY: usize = 512 << 20;
/// The most time for all lines: not a measure of speed, but a limit for hanging.
const SLOWEST: Duration = Duration::from_secs(600);

/// Lines as they go in, a line end after each.
fn lines() -> Vec<u8> {
    let valid = seed::lines();
    let mut input = Vec::new();
    for number in 0..LINES {
        let mut rng = generator("lines", number);
        input.extend(mutated(&mut rng, Form::Text, &valid));
        input.push(b'\n');
    }
    for line in large() {
        input.extend(line);
        input.push(b'\n');
    }
    input
}

/// Lines of nearly 1 MiB, each of which makes as much as it can of its bytes.
fn large() -> Vec<Vec<u8>> {
    let fill = |head: &str, piece: &str, tail: &str| {
        let times = (LARGEST - head.len() - tail.len()) / piece.len();
        format!("{head}{}{tail}", piece.repeat(times)).into_bytes()
    };
    vec![
        fill("{\"text\": \"", "a ", "\"}"),
        fill("{\"text\": \"", "漢", "\"}"),
        fill("{\"text\": \"", "\\u0301", "\"}"),
        fill("{\"text\": \"a", ".", "\"}"),
        fill("{\"text\": \"", "[MASK]", "\"}"),
        fill("{\"vision\": [[]", ",[]", "]}"),
        fill("{\"vision\": [[0", ",0", "]]}"),
        fill("{\"vision\": [[1,1]", ",[1,1]", "]}"),
        fill("{\"audio\": ", "[", ""),
        fill("{\"a\":", "{\"a\":", ""),
        fill("{\"id\": \"", "x", "\"}"),
    ]
}

/// Reads a stream to its end on another thread.
fn gathered(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// The result of one process.
struct Answer {
    output: Vec<u8>,
    errors: String,
    memory: usize,
    code: Option<i32>,
}

fn predict(run: &Path, input: Vec<u8>) -> Answer {
    let mut child = program()
        .args(["predict", run.to_str().unwrap(), "--input", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = gathered(child.stdout.take().unwrap());
    let errors = gathered(child.stderr.take().unwrap());
    let (memory, start) = (AtomicUsize::new(0), Instant::now());
    let stuck = AtomicBool::new(false);
    let status = loop {
        memory.fetch_max(peak_memory(&child).unwrap_or(0), Relaxed);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > SLOWEST {
            stuck.store(true, Relaxed);
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    drop(writer.join().unwrap());
    let errors = String::from_utf8_lossy(&errors.join().unwrap()).into_owned();
    let last = errors.lines().last().unwrap_or_default();
    assert!(
        !stuck.load(Relaxed),
        "no end after {SLOWEST:?}; last: {last}"
    );
    Answer {
        output: output.join().unwrap(),
        errors,
        memory: memory.load(Relaxed),
        code: status.code(),
    }
}

#[test]
fn every_damaged_line_is_answered() {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lines");
    let run = Run::train(&scratch, "paper");
    let input = lines();
    let is_line =
        |line: &&[u8]| std::str::from_utf8(line).map_or(true, |text| !text.trim().is_empty());
    let expected = input.split(|&byte| byte == b'\n').filter(is_line).count();
    let answer = predict(&run.path(), input);
    let errors = &answer.errors;
    assert!(
        answer.code.is_some_and(|code| code < 100) && !errors.contains("internal error"),
        "{:?}: {}",
        answer.code,
        errors.lines().last().unwrap_or_default()
    );
    let skipped: Vec<&str> = errors
        .lines()
        .filter(|l| l.starts_with("skipped: "))
        .collect();
    let scored = answer
        .output
        .split(|&byte| byte == b'\n')
        .filter(|l| !l.is_empty())
        .count();
    assert_eq!(scored + skipped.len(), expected, "lines answered");
    assert!(
        scored > 500 && skipped.len() > 5_000,
        "{scored} scored, {} skipped",
        skipped.len()
    );
    // Each names the input, the line and the place in it.
    for line in &skipped {
        assert!(line.contains("standard input, line "), "{line}");
    }
    assert!(answer.memory < MEMORY, "{} MiB", answer.memory >> 20);
    println!(
        "{scored} scored, {} skipped, {} MiB",
        skipped.len(),
        answer.memory >> 20
    );
    std::fs::remove_dir_all(scratch).unwrap();
}
