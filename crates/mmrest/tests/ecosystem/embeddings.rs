//! `predict --embeddings`: the three formats hold the same.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use mmrest_learner::TensorFile;

use crate::common::{Fixture, fail_with, json_lines, peak_memory, stdout, succeed_with};
use crate::python::{has, script};

#[test]
fn all_formats_hold_the_scores_and_representations_of_what_was_scored() {
    let fixture = Fixture::small();
    succeed_with(&mut fixture.train("run", &["--quiet", "--epochs", "1"]));
    let (run, input) = (fixture.arg("run"), fixture.arg("lines.jsonl"));
    // The second line cannot be scored; lengths differ, so that batches are not in the order of the lines.
    let lines = "{\"id\": \"a,\\\"1\\\"\", \"text\": \"a wonderful film of which I would say more if I could\"}\n\
        {\"id\": \"bad\", \"audio\": [[1]]}\n\
        {\"id\": \"\", \"text\": \"dull\"}\n\
        {\"id\": \"日本\", \"text\": \"the music was fine\"}\n";
    std::fs::write(&input, lines).unwrap();
    let mut scores = Vec::new();
    for ending in ["csv", "safetensors", "npz"] {
        let file = fixture.arg(&format!("e.{ending}"));
        let predict = [
            "predict",
            &run,
            "--input",
            &input,
            "--embeddings",
            &file,
            "--explain",
        ];
        let output = fixture.program().args(predict).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "one line is skipped");
        scores.push(json_lines(&stdout(&output)));
    }
    assert_eq!(scores[0], scores[1]);
    let number = |row: usize, key: &str| scores[0][row][key].as_f64().unwrap() as f32;

    let tensors = TensorFile::read(&fixture.path("e.safetensors")).unwrap();
    let table = fixture.read("e.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let header = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    let ids: Vec<&str> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(ids, ["a,\"1\"", "", "日本"]);
    for (at, name) in header.iter().enumerate().skip(1) {
        let (array, column) = match name.rsplit_once('_') {
            Some((array, column))
                if name.contains("_output_") || name.contains("_representation_") =>
            {
                (array, column.parse().unwrap())
            }
            _ => (name, 0),
        };
        let (shape, values) = tensors.floats(array).unwrap();
        let width = shape.get(1).copied().unwrap_or(1);
        for (row, cells) in rows.iter().enumerate() {
            let cell: f32 = cells[at].parse().unwrap();
            assert_eq!(cell, values[row * width + column], "{name} of {row}");
        }
    }
    for name in [
        "text_encoder_output",
        "text_representation",
        "vision_representation",
        "audio_representation",
    ] {
        assert_eq!(tensors.floats(name).unwrap().0[0], 3, "{name}");
    }
    let (_, predictions) = tensors.floats("prediction").unwrap();
    for (row, prediction) in predictions.iter().enumerate() {
        assert!((prediction - number(row, "prediction")).abs() < 1e-5);
    }

    if has(&["numpy", "safetensors"], "archives of representations") {
        let read = "import json, numpy as np\n\
            from safetensors import safe_open\n\
            arrays = np.load('e.npz')\n\
            with safe_open('e.safetensors', 'np') as file:\n    \
            assert json.loads(file.metadata()['ids']) == arrays['ids'].tolist()\n    \
            assert set(file.keys()) == set(arrays.files) - {'ids'}\n    \
            assert all((file.get_tensor(name) == arrays[name]).all() for name in file.keys())\n\
            print(arrays['ids'].tolist(), arrays['text_representation'].dtype)\n";
        let printed = script(&fixture.path(""), read, &[]);
        assert_eq!(printed, "['a,\"1\"', '', '日本'] float32\n");
    }
}

#[test]
fn other_endings_and_the_input_itself_are_refused_and_nothing_is_left() {
    let fixture = Fixture::small();
    succeed_with(&mut fixture.train("run", &["--quiet", "--epochs", "1"]));
    let (run, input) = (fixture.arg("run"), fixture.arg("lines.csv"));
    std::fs::write(&input, "id,text\na,fine\n").unwrap();
    let to = |file: &str| {
        let mut command = fixture.program();
        command.args(["predict", &run, "--input", &input, "--embeddings", file]);
        command
    };
    let told = fail_with(&mut to(&fixture.arg("e.parquet")));
    assert!(
        told.contains("name the file .npz, .csv or .safetensors"),
        "{told}"
    );
    let told = fail_with(&mut to(&input));
    assert!(
        told.contains("--embeddings") && told.contains("is the input"),
        "{told}"
    );
    // Nothing that could be scored is an archive without rows.
    let empty = fixture.arg("none.jsonl");
    std::fs::write(&empty, "").unwrap();
    for ending in ["npz", "csv", "safetensors"] {
        let file = fixture.arg(&format!("none.{ending}"));
        let predict = ["predict", &run, "--input", &empty, "--embeddings", &file];
        succeed_with(fixture.program().args(predict));
        assert!(std::path::Path::new(&file).exists(), "{ending}");
    }
    let (shape, _) = TensorFile::read(&fixture.path("none.safetensors"))
        .map(|file| {
            file.floats("score")
                .map(|(shape, values)| (shape.to_vec(), values))
        })
        .unwrap()
        .unwrap();
    assert_eq!(shape, [0]);
}

/// Memory does not grow with the number of segments.
#[test]
fn many_segments_are_written_in_bounded_memory() {
    let fixture = Fixture::small();
    succeed_with(&mut fixture.train("run", &["--quiet", "--epochs", "1"]));
    let run = fixture.arg("run");
    let peak = |count: usize| {
        let arrays = fixture.arg("many.npz");
        let mut command = fixture.program();
        command.args(["predict", &run, "--input", "-", "--embeddings", &arrays]);
        let mut child = command
            .arg("--quiet")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            for at in 0..count {
                writeln!(stdin, "{{\"id\": \"{at}\", \"text\": \"fine\"}}").unwrap();
            }
            let _ = wait.recv(); // the input stays open until memory is read
        });
        for _ in 0..count {
            answers.next().unwrap().unwrap();
        }
        let peak = peak_memory(&child);
        drop(done);
        writer.join().unwrap();
        assert!(child.wait().unwrap().success());
        peak
    };
    let (Some(few), Some(many)) = (peak(600), peak(20_000)) else {
        println!("skipped: this system does not tell how much memory a process has held");
        return;
    };
    // 20,000 rows of the arrays take more than this.
    assert!(many < few + (8 << 20), "{few} {many}");
}
