//! `mmrest predict` on JSON lines.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use common::{json_lines, program, program_in, stderr, stdout, succeed_with, unseal};

/// A run of one epoch on the sample, made once.
fn run() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let train = [
            "train",
            "sample",
            "--epochs",
            "1",
            "--set",
            "train.modality_dropout=0",
            "--quiet",
            "--out",
        ];
        succeed_with(program_in(folder.path()).args(train).arg(&run));
        (folder, run)
    });
    run
}

fn start(options: &[&str]) -> Child {
    program()
        .arg("predict")
        .arg(run())
        .args(["--input", "-"])
        .args(options)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn predict(options: &[&str], input: &[u8]) -> Output {
    let mut child = start(options);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input); // a program that stopped reads no more
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    json_lines(&stdout(output))
}

#[test]
fn a_bad_line_is_passed_over_and_said_or_with_strict_the_end() {
    let input = b"{\"text\": \"fine\"}\nnonsense\n{\"audio\": [[1]]}\n\n{\"id\": \"last\"}\n\xff\n";
    let output = predict(&[], input);
    assert_eq!(output.status.code(), Some(3));
    let ids: Vec<Value> = lines(&output)
        .iter()
        .map(|line| line["id"].clone())
        .collect();
    assert_eq!(ids, ["1", "last"]);
    let errors = stderr(&output);
    for part in [
        "skipped: standard input, line 2: not a segment",
        "skipped: standard input, line 3: audio has 1 feature a frame",
        "skipped: standard input, line 6: not UTF-8",
        "2 segments in ",
        "3 lines skipped",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let output = predict(&["--strict"], input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output).len(), 1);
    assert!(stderr(&output).contains("error: standard input, line 2: not a segment"));
    let output = predict(&["--quiet"], b"{\"text\": \"fine\"}\n");
    assert!(output.status.success());
    assert!(!stderr(&output).contains("a second"), "{}", stderr(&output));
}

#[test]
fn what_is_missing_is_named_and_warned_of_once() {
    let frames = |frames: usize, width: usize| vec![vec![0.5; width]; frames];
    let widths = std::fs::read_to_string(run().join("model/features.json")).unwrap();
    let widths: Value = serde_json::from_str(&widths).unwrap();
    let width = |name: &str| widths["widths"][name].as_u64().unwrap() as usize;
    let whole = serde_json::json!({"text": "fine", "vision": frames(2, width("vision")), "audio": frames(3, width("audio"))});
    let input = format!("{whole}\n{{\"text\": \"fine\"}}\n{{\"text\": \" \"}}\n");
    let output = predict(&[], input.as_bytes());
    let missing: Vec<Value> = lines(&output)
        .iter()
        .map(|l| l["missing"].clone())
        .collect();
    let expected = [
        serde_json::json!([]),
        serde_json::json!(["vision", "audio"]),
        serde_json::json!(["text", "vision", "audio"]),
    ];
    assert_eq!(missing, expected);
    assert_eq!(
        stderr(&output).matches("warning: ").count(),
        1,
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("train.modality_dropout"));
    let output = predict(&[], format!("{whole}\n").as_bytes());
    assert!(
        !stderr(&output).contains("warning: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn explanations_add_up_and_name_training_segments() {
    let input = b"{\"text\": \"a wonderful film\"}\n{}\n";
    let output = predict(&["--explain", "--neighbours", "2"], input);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = lines(&output);
    let explanation = &lines[0]["explanation"];
    let number = |value: &Value| value.as_f64().unwrap();
    let sum = number(&explanation["base"]) + number(&explanation["contributions"]["text"]);
    assert!((sum - number(&lines[0]["prediction"])).abs() < 1e-5);
    assert!(explanation["contributions"]["audio"].is_null());
    let neighbours = explanation["neighbours"].as_array().unwrap();
    assert_eq!(neighbours.len(), 2);
    assert!(neighbours[0]["id"].is_string() && neighbours[0]["label"].is_number());
    assert!(number(&neighbours[0]["distance"]) <= number(&neighbours[1]["distance"]));
    assert_eq!(
        lines[1]["explanation"]["contributions"],
        serde_json::json!({})
    );
    // A folder of an older version.
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("cp")
        .arg("-r")
        .arg(run().join("model"))
        .arg(folder.path())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no cp");
        return;
    }
    unseal(&folder.path().join("model"));
    std::fs::remove_file(folder.path().join("model/neighbours.safetensors")).unwrap();
    let file = folder.path().join("in.jsonl");
    std::fs::write(&file, input).unwrap();
    let explain = ["--explain", "--input"];
    let mut predict = program();
    predict.arg("predict").arg(folder.path()).args(explain);
    let output = succeed_with(predict.arg(&file));
    assert!(
        stderr(&output).contains("has no neighbours.safetensors"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains("\"neighbours\":[]"));
}

/// Writes a file beside nothing else, and scores it.
fn predict_file(name: &str, text: impl AsRef<[u8]>, options: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    let mut predict = program();
    predict.arg("predict").arg(run()).arg(&file).args(options);
    predict.output().unwrap()
}

#[test]
fn arrays_and_single_objects_are_read_as_lines_are() {
    let array = "[\n  {\n    \"text\": \"fine\"\n  },\n  {\"id\": \"b\", \"label\": 2}\n]\n";
    let single = "{\n  \"id\": \"one\",\n  \"text\": \"fine\"\n}\n";
    for (text, expected) in [(array, vec!["1", "b"]), (single, vec!["one"])] {
        for output in [
            predict_file("own.json", text, &[]),
            predict(&[], text.as_bytes()),
        ] {
            assert!(output.status.success(), "{}", stderr(&output));
            let ids: Vec<Value> = lines(&output).iter().map(|l| l["id"].clone()).collect();
            assert_eq!(ids, expected);
        }
    }
    let output = predict(&[], b"[{}, {\"txt\": 1}, {}");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(lines(&output).len(), 2);
    let told = stderr(&output);
    for part in [
        "standard input, element 2: not a segment",
        "element 4: the array is cut off",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn what_python_writes_for_nan_is_taken_as_zero_and_counted() {
    let line = |value: &str| format!("{{\"text\": \"NaN\", \"audio\": [{}]}}\n", frame(value));
    let output = predict_file(
        "nan.jsonl",
        line("NaN") + &line("-Infinity") + &line("0"),
        &[],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(
        told.contains("20 values of features NaN or infinite, taken as 0"),
        "{told}"
    );
    let scores: Vec<Value> = lines(&output)
        .iter()
        .map(|l| l["prediction"].clone())
        .collect();
    assert!(scores[0] == scores[2] && scores[1] == scores[2]);
}

/// A frame of audio.
fn frame(value: &str) -> String {
    format!("[{}]", [value; 10].join(","))
}

#[test]
fn a_score_that_is_not_finite_is_none_and_features_far_away_are_flagged() {
    let line = |id: &str, value: &str| {
        let frames = vec![frame(value); 50].join(",");
        format!("{{\"id\": \"{id}\", \"audio\": [{frames}]}}\n")
    };
    let input = line("near", "0.1") + &line("null", "3e38") + &line("far", "1e4");
    let output = predict(&[], input.as_bytes());
    assert_eq!(output.status.code(), Some(3));
    let scored = lines(&output);
    let ids: Vec<&Value> = scored.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, ["near", "far"]);
    assert!(scored[0].get("beyond_training").is_none());
    assert_eq!(scored[1]["beyond_training"], serde_json::json!(["audio"]));
    let told = stderr(&output);
    for part in [
        "skipped: standard input, line 2: its score is not a finite number: the largest value of audio, 3e38",
        "1 segment with features more than 100 standard deviations",
    ] {
        assert!(told.contains(part), "{told}");
    }
    for options in [&["--strict"][..], &["--strict", "--explain"]] {
        let output = predict(options, input.as_bytes());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(lines(&output).len(), 1);
        let told = stderr(&output);
        assert!(
            told.contains("error: standard input, line 2: its score"),
            "{told}"
        );
    }
}

#[test]
fn a_name_that_ends_in_csv_is_that_of_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("scores.csv");
    let to = ["--explain", "--output", out.to_str().unwrap()];
    let input = "{\"id\": \"a, b\", \"text\": \"fine\"}\n{}\n";
    let output = predict_file("own.jsonl", input, &to);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].ends_with(",missing,beyond_training,base,text,vision,audio,neighbours"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("\"a, b\",") && lines[1].contains(",vision audio,"),
        "{text}"
    );
    assert_eq!(lines.len(), 3);
    // Without any segment there is the line of columns.
    let output = predict_file("own.jsonl", "\n", &to);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 1);
}

#[test]
fn so_many_messages_are_printed_and_the_rest_counted() {
    let output = predict(&[], "nonsense\n".repeat(500).as_bytes());
    assert_eq!(output.status.code(), Some(3));
    let told = stderr(&output);
    assert_eq!(told.matches("skipped: ").count(), 20);
    assert!(
        told.contains("500 lines skipped, 480 of them without a message"),
        "{told}"
    );
}

/// Every line is answered while the input stays open: a program that waits for the answer before it writes on gets it.
#[test]
fn a_line_is_answered_before_the_next_is_written() {
    let mut child = start(&[]);
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in 0..5 {
        writeln!(stdin, "{{\"id\": \"{number}\", \"text\": \"fine\"}}").unwrap();
        // Hangs for ever where answers wait for a window to fill.
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], number.to_string());
    }
    drop(stdin);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn many_lines_of_all_lengths_come_out_in_order() {
    let words = [
        "fine",
        "a wonderful film",
        "it was not at all what I had hoped for, sadly",
    ];
    let line = |number: usize| {
        let audio = vec![vec![0.1; 10]; (number * 7919) % 40];
        serde_json::json!({"id": number.to_string(), "text": words[number % 3], "audio": audio})
    };
    let input: Vec<u8> = (0..1500)
        .flat_map(|number| format!("{}\n", line(number)).into_bytes())
        .collect();
    let output = predict(&["--quiet"], &input);
    assert!(output.status.success(), "{}", stderr(&output));
    let all = lines(&output);
    let ids: Vec<&str> = all
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..1500).map(|number| number.to_string()).collect();
    assert_eq!(ids, expected);
    // The same as alone, whatever it was computed with.
    for number in [0, 777, 1499] {
        let alone = predict(&["--quiet"], format!("{}\n", line(number)).as_bytes());
        let (alone, among) = (&lines(&alone)[0]["prediction"], &all[number]["prediction"]);
        assert!((alone.as_f64().unwrap() - among.as_f64().unwrap()).abs() < 1e-4);
    }
}

/// The most memory the program has taken, in KiB, after it has answered so many lines of 20 KiB.
#[cfg(target_os = "linux")]
fn peak_after(count: usize) -> usize {
    let mut child = start(&["--quiet"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        for number in 0..count {
            let id = format!("{number:020480}");
            writeln!(stdin, "{{\"id\": \"{id}\", \"text\": \"fine\"}}").unwrap();
        }
        let _ = wait.recv(); // the input stays open until memory is read
    });
    for _ in 0..count {
        answers.next().unwrap().unwrap();
    }
    let peak = common::peak_memory(&child).unwrap() >> 10;
    drop(done);
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    peak
}

/// 6,000 lines are 120 MiB.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_number_of_lines() {
    let (few, many) = (peak_after(1000), peak_after(6000));
    assert!(many < few + 50 * 1024, "{few} KiB, then {many} KiB");
}
