//! `mmrest data extract` as its users start it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TRANSCRIPT: &str = r#"{"segments": [
    {"start": 0.1, "end": 0.7, "text": "A good film.", "words": [{"word": "A", "start": 0.1, "end": 0.2},
     {"word": "good", "start": 0.2, "end": 0.4}, {"word": "film.", "start": 0.4, "end": 0.7}]},
    {"start": 0.8, "end": 1.4, "text": "Not bad.", "words": [{"word": "Not", "start": 0.8, "end": 1.0},
     {"word": "bad.", "start": 1.1, "end": 1.4}]}]}"#;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/audio/{name}.wav"))
}

fn extract(arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
    command.args(["data", "extract"]).args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn recordings_become_sequences_that_are_inspected_without_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let transcripts = folder.path().join("transcripts");
    fs::create_dir(&transcripts).unwrap();
    let out = folder.path().join("out");
    let media = [recording("glide-16000"), recording("bursts-22050")];
    for name in ["glide-16000", "bursts-22050"] {
        // Sequences of the same content under two ids are a problem of their own.
        let (long, late) = if name == "glide-16000" {
            ("0.4", "1.1")
        } else {
            ("0.5", "1.2")
        };
        let said = TRANSCRIPT.replace("film", name).replace("bad", name);
        let said = said.replace("0.4", long).replace("1.1", late);
        fs::write(transcripts.join(format!("{name}.json")), said).unwrap();
    }
    let broken = folder.path().join("broken.wav");
    fs::write(&broken, "").unwrap();
    fs::write(transcripts.join("broken.json"), TRANSCRIPT).unwrap();
    let arguments: [&Path; 7] = [
        &media[0],
        &media[1],
        &broken,
        "--transcript".as_ref(),
        &transcripts,
        "--out".as_ref(),
        &out,
    ];
    let output = extract(&arguments);
    // The others go on, and the exit code says that one failed.
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("broken.wav: the file is empty"));
    let printed = text(&output.stdout);
    assert!(
        printed.contains("2 recordings, 4 segments; 1 failed: broken"),
        "{printed}"
    );
    let again = extract(&arguments);
    assert!(text(&again.stdout).contains("2 were there before"));
    // A corrected transcript, another cut: extracted anew, and said.
    let corrected = transcripts.join("glide-16000.json");
    let said = fs::read_to_string(&corrected).unwrap();
    fs::write(&corrected, said.replace("good", "great")).unwrap();
    let unfolded = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let again = unfolded(text(&extract(&arguments).stdout));
    let expected =
        "; 1 was there before; 1 was extracted anew, its transcript, cut or files have changed";
    assert!(again.contains(expected), "{again}");
    let table = fs::read_to_string(out.join("label.csv")).unwrap();
    assert!(table.contains("A great glide-16000."), "{table}");
    let whole = [&arguments[..], &["--whole".as_ref()]].concat();
    let again = text(&extract(&whole).stdout);
    assert!(
        again.contains("2 recordings, 2 segments; 2 were extracted anew"),
        "{again}"
    );
    let again = text(&extract(&arguments).stdout);
    assert!(
        again.contains("2 recordings, 4 segments; 2 were extracted anew"),
        "{again}"
    );

    let inspect = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
        let output = command
            .args(["data", "inspect"])
            .arg(out.join(name))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    for name in ["words.csd", "audio.csd", "timing.csd"] {
        assert!(inspect(name).contains("no problems"), "{}", inspect(name));
    }
    let parameters = fs::read_to_string(out.join("feature.json")).unwrap();
    let parameters: serde_json::Value = serde_json::from_str(&parameters).unwrap();
    assert_eq!(parameters["parameters"]["sample_rate"], 22_050);
    assert_eq!(parameters["audio_columns"].as_array().unwrap().len(), 33);
}

#[test]
fn what_cannot_be_extracted_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let transcript = folder.path().join("t.json");
    fs::write(&transcript, TRANSCRIPT).unwrap();
    let out = folder.path().join("out");
    let media = recording("glide-16000");
    let words = "--transcript".as_ref();
    let to = "--out".as_ref();
    let missing = folder.path().join("none.srt");
    let cases: [(Vec<&Path>, &str); 4] = [
        (
            vec![
                &media,
                words,
                &transcript,
                to,
                &out,
                "--features".as_ref(),
                "mfc".as_ref(),
            ],
            "no audio features \"mfc\"",
        ),
        (vec![&media, words, &missing, to, &out], "none.srt"),
        (
            vec![&media, &transcript, words, &transcript, to, &out],
            "several recordings need a folder of transcripts",
        ),
        (vec![&transcript, words, &transcript, to, &out], "t.json"),
    ];
    for (arguments, expected) in cases {
        let output = extract(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let errors = text(&output.stderr);
        assert!(errors.contains(expected), "{errors}");
    }
}
