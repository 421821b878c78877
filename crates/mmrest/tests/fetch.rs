//! `mmrest data fetch`, as its users start it, against a local server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../mmrest-datatools/tests/common/server.rs"]
mod server;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use mmrest_data::csd::{self, Entry, Features};
use server::{Answer, Server};

/// The program, in a folder that is no project, with no environment of the user's that could answer for the server.
fn run(folder: &Path, hub: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
    command.args(["data", "fetch"]).args(arguments);
    command.current_dir(folder).stdin(Stdio::null());
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    command.env("HF_ENDPOINT", hub).env("HF_TOKEN", "secret");
    command.env("HF_HOME", folder.join("hf"));
    command.output().unwrap()
}

fn labels(folder: &Path) -> Vec<u8> {
    let path = folder.join("made.csd");
    let root = "Opinion Segment Labels";
    let entry = Entry {
        intervals: vec![[0.0, 1.0]],
        features: Features::Numeric {
            values: vec![1.5],
            width: 1,
        },
    };
    csd::write(&path, root, &csd::metadata(root, ""), [("video", entry)]).unwrap();
    std::fs::read(path).unwrap()
}

/// A server that has CMU-MOSI's labels and nothing else.
fn labels_only(folder: &Path) -> Server {
    let labels = labels(folder);
    Server::start(move |_, asked| match asked.path.as_str() {
        "/CMU-MOSI/labels/CMU_MOSI_Opinion_Labels.csd" => Answer::whole(&labels),
        _ => Answer::status("404 Not Found").length(0),
    })
}

fn lines(output: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_file_that_fails_does_not_keep_the_others_from_being_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let server = labels_only(folder.path());
    let arguments = [
        "mosi",
        "--only",
        "words,labels",
        "--base",
        &server.address,
        "--json",
    ];
    let output = run(folder.path(), "", &arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = lines(&output.stdout);
    assert_eq!(told.len(), 2);
    assert!(
        told[0]["error"].as_str().unwrap().contains("404"),
        "{told:?}"
    );
    assert_eq!(told[1]["source"], "server");
    let errors = String::from_utf8(output.stderr).unwrap();
    for part in [
        "error: 1 of 2 files not fetched",
        "CMU_MOSI_TimestampedWords.csd",
        "(404)",
    ] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let into = folder.path().join("data/mosi");
    assert!(into.join("CMU_MOSI_Opinion_Labels.csd").is_file());
    assert!(!into.join("CMU_MOSI_TimestampedWords.csd").exists());
}

#[test]
fn of_mosi_words_what_is_public_is_fetched_and_the_rest_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let server = labels_only(folder.path());
    let only = ["--only", "labels"];
    let arguments = ["mosi-words", "--base", &server.address, "--out", "here"];
    let output = run(folder.path(), "", &[&arguments[..], &only].concat());
    assert!(output.status.success());
    let output = run(folder.path(), "", &arguments);
    let told = String::from_utf8(output.stdout).unwrap();
    let failed = String::from_utf8(output.stderr).unwrap();
    assert!(failed.contains("1 of 2 files not fetched: CMU_MOSI_ModifiedTimestampedWords.csd"));
    assert_eq!(told.matches("It cannot be fetched").count(), 2, "{told}");
    let listed = run(folder.path(), "", &["mosi-words", "--list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for address in [
        "http://immortal.multicomp.cs.cmu.edu/CMU-MOSI/labels/CMU_MOSI_Opinion_Labels.csd",
        "https://raw.githubusercontent.com/Justin1904/CMU-MultimodalSDK-Tutorials/master/data/",
        "https://github.com/thuiar/MMSA",
        "https://github.com/declare-lab/contextual-utterance-level-multimodal-sentiment-analysis",
    ] {
        assert!(listed.contains(address), "{address} in {listed}");
    }
    assert!(
        folder
            .path()
            .join("here/CMU_MOSI_Opinion_Labels.csd")
            .is_file()
    );
}

#[test]
fn unknown_files_and_data_sets_are_refused_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, told) in [
        (
            vec!["mosei", "--only", "facet41"],
            1,
            "words, phones, word-vectors, facet42",
        ),
        (
            vec!["sims"],
            2,
            "choose mosi, mosei, mosi-words, bert or bert:NAME",
        ),
        (vec!["bert:a/b/c"], 2, "NAME or OWNER/NAME"),
        (vec!["bert", "--only", "words"], 1, "fetched whole"),
    ] {
        let output = run(folder.path(), "", &arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(told), "{told} in {errors}");
    }
}

#[test]
fn a_list_tells_what_each_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "", &["mosi", "--list"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        told.lines().filter(|line| line.starts_with('*')).count(),
        4,
        "{told}"
    );
    assert!(told.contains("openSMILE_IS09.csd"), "{told}");
    let output = run(folder.path(), "", &["mosi-words", "--list", "--json"]);
    let told = lines(&output.stdout);
    let chosen = told.iter().filter(|line| line["chosen"] == true);
    assert_eq!(chosen.count(), 2, "{told:?}");
    assert!(
        told.iter().any(|line| line["source"].is_string()),
        "{told:?}"
    );
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_bert_comes_from_the_hub_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let header = r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#;
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend(header.as_bytes());
    weights.extend([0; 4]);
    let server = Server::start(move |_, asked| {
        let file: &[u8] = match asked.path.as_str() {
            "/owner/tiny/resolve/main/config.json" => br#"{"model_type": "bert", "vocab_size": 1}"#,
            "/owner/tiny/resolve/main/vocab.txt" => b"[PAD]\n",
            "/owner/tiny/resolve/main/model.safetensors" => &weights,
            _ => return Answer::status("404 Not Found").length(0),
        };
        let answer = match asked.start() {
            Some(start) => Answer::rest(file, start),
            None => Answer::whole(file),
        };
        answer.etag("\"tag\"").header("x-repo-commit", "abc")
    });
    let arguments = ["bert:owner/tiny", "--json"];
    let output = run(folder.path(), &server.address, &arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert_eq!(lines(&output.stdout).len(), 3);
    assert!(
        folder
            .path()
            .join("data/bert/tiny/model.safetensors")
            .is_file()
    );
    assert_eq!(
        server.asked()[0].header("authorization"),
        Some("Bearer secret")
    );
    let again = run(folder.path(), &server.address, &arguments);
    assert_eq!(lines(&again.stdout)[0]["source"], "present");
}
