//! Recordings from the first file to scores: extracted, trained on, and scored by a model that remembers how.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use common::{Fixture, fail_with, json_lines, program, stderr, stdout, succeed_with, workspace};

const SIGNALS: [&str; 2] = ["glide-16000", "bursts-22050"];
const WORDS: [&str; 4] = ["a wonderful film", "it was dull", "well fine", "so bad"];

fn golden(name: &str) -> PathBuf {
    workspace().join("tests/golden/audio").join(name)
}

/// Two cues of a second and a half, with times of words.
fn transcript(number: usize) -> String {
    let (first, second) = (WORDS[number % 4], WORDS[(number + 1) % 4]);
    let cue = |start: f64, text: &str| {
        let words = text.split(' ').enumerate();
        let words: Vec<String> = words
            .map(|(i, word)| {
                let at = start + 0.15 * i as f64 + 0.01 * number as f64;
                format!(
                    r#"{{"word": "{word}", "start": {at:.2}, "end": {:.2}}}"#,
                    at + 0.1
                )
            })
            .collect();
        let end = start + 0.6;
        format!(
            r#"{{"start": {start}, "end": {end}, "text": "{text}", "words": [{}]}}"#,
            words.join(", ")
        )
    };
    format!(
        r#"{{"segments": [{}, {}]}}"#,
        cue(0.1, first),
        cue(0.8, second)
    )
}

/// A folder of ten recordings with transcripts, labels and tables of OpenFace, the features of them, and a model that was
/// trained on them.
struct Trained {
    fixture: Fixture,
}

impl Trained {
    fn path(&self, name: &str) -> PathBuf {
        self.fixture.path(name)
    }

    fn predict(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = self.fixture.program();
        command.current_dir(self.path("."));
        command.args(["predict", &self.fixture.arg(run), "--quiet"]);
        command.args(arguments);
        command
    }

    fn scores(&self, run: &str, arguments: &[&str]) -> Vec<Value> {
        json_lines(&stdout(&succeed_with(&mut self.predict(run, arguments))))
    }
}

fn openface(frames: usize) -> String {
    let columns = mmrest_media::OpenFaceColumns::Some177.names();
    let mut text = format!(
        "frame, face_id, timestamp, confidence, success, {}\n",
        columns.join(", ")
    );
    for i in 0..frames {
        let values: Vec<String> = (0..columns.len())
            .map(|k| format!("{:.3}", ((i * 7 + k) % 11) as f64 / 10.0))
            .collect();
        let confidence = if i == 3 { 0.1 } else { 0.98 };
        text += &format!(
            "{}, 0, {:.3}, {confidence}, 1, {}\n",
            i + 1,
            i as f64 / 25.0,
            values.join(", ")
        );
    }
    text
}

fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let fixture = Fixture::small();
        for folder in ["media", "transcripts", "faces"] {
            fs::create_dir(fixture.path(folder)).unwrap();
        }
        let mut labels = "video_id,clip_id,label\n".to_owned();
        for number in 0..10 {
            let name = format!("r{number}");
            let from = golden(&format!("{}.wav", SIGNALS[number % 2]));
            fs::copy(from, fixture.path(&format!("media/{name}.wav"))).unwrap();
            let to = fixture.path(&format!("transcripts/{name}.json"));
            fs::write(to, transcript(number)).unwrap();
            fs::write(fixture.path(&format!("faces/{name}.csv")), openface(38)).unwrap();
            for clip in 1..=2 {
                labels += &format!("{name},{clip},{}\n", ((number + clip) % 7) as i32 - 3);
            }
        }
        fs::write(fixture.path("labels.csv"), labels).unwrap();
        let config = format!(
            "[data]\ndir = {:?}\nlabels = \"labels.csd\"\nwords = \"words.csd\"\naudio = \"audio.csd\"\nvision = \"vision.csd\"\n\
             split_from = \"random\"\nsplit_shares = [0.6, 0.2, 0.2]\n[text]\nbert = {:?}\nfrom_scratch = true\n\
             [train]\nepochs = 1\n",
            fixture.path("features"),
            fixture.path("sample/bert"),
        );
        let timing = config
            .replace("audio = \"audio.csd\"\nvision = \"vision.csd\"", "modalities = [\"text\", \"audio\"]\naudio_from = \"word-timing\"");
        fs::write(fixture.path("own.toml"), config).unwrap();
        fs::write(fixture.path("timing.toml"), timing).unwrap();
        let trained = Trained { fixture };
        let told = stdout(&succeed_with(&mut trained.extract("features", &["--labels", "labels.csv", "--vision", "faces"])));
        assert!(told.contains("10 recordings, 20 segments, 20 with a label"), "{told}");
        succeed_with(&mut trained.fixture.train_own("own.toml", "run", &[]));
        succeed_with(&mut trained.fixture.train_own("timing.toml", "timing-run", &[]));
        trained
    })
}

impl Trained {
    fn extract(&self, out: &str, more: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.path("."));
        command.args(["data", "extract"]);
        let mut media: Vec<PathBuf> = fs::read_dir(self.path("media"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        media.sort();
        command.args(media);
        command.args(["--transcript", "transcripts", "--out", out]);
        command.args(more);
        command
    }
}

/// Id and prediction of every line.
fn numbers(lines: &[Value]) -> Vec<(String, f64)> {
    lines
        .iter()
        .map(|line| {
            (
                line["id"].as_str().unwrap().to_owned(),
                line["prediction"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_recording_scores_as_its_extracted_features_do() {
    let trained = trained();
    let own = trained.scores(
        "run",
        &[
            "--media",
            "media/r4.wav",
            "--transcript",
            "transcripts/r4.json",
            "--vision",
            "faces/r4.csv",
        ],
    );
    let all = numbers(&trained.scores("run", &["features"]));
    let of_folder: Vec<_> = all
        .into_iter()
        .filter(|(id, _)| id.starts_with("r4["))
        .collect();
    assert_eq!(numbers(&own), of_folder);
    assert_eq!(own[0]["start"], 0.1);
    assert_eq!(own[0]["text"], WORDS[0]);
    assert_eq!(own[0]["missing"], Value::Array(Vec::new()));
    let record = trained.fixture.json("run/model/extraction.json");
    assert_eq!(record["config"]["audio"], "sims33");
    assert_eq!(record["vision_columns"].as_array().unwrap().len(), 177);
    let sums = trained.fixture.read("run/model/SHA256SUMS");
    assert!(sums.contains("  extraction.json\n"), "{sums}");
    // Without the table of faces the modality is missing, and said to be.
    let output = succeed_with(&mut trained.predict(
        "run",
        &["--media", "media/r4.wav", "--transcript", "transcripts"],
    ));
    assert!(
        stderr(&output).contains("a segment has no vision"),
        "{}",
        stderr(&output)
    );
    let lines = json_lines(&stdout(&output));
    assert_eq!(lines[0]["missing"], serde_json::json!(["vision"]));
}

#[test]
fn a_model_of_word_timing_needs_a_transcript_alone() {
    let trained = trained();
    let own = numbers(&trained.scores("timing-run", &["--transcript", "transcripts/r4.json"]));
    let all = numbers(&trained.scores("timing-run", &["features"]));
    let of_folder: Vec<_> = all
        .into_iter()
        .filter(|(id, _)| id.starts_with("r4["))
        .collect();
    assert_eq!(own, of_folder);
    // Of a folder every transcript is scored, a file of another kind is not.
    fs::write(trained.path("transcripts/notes.md"), "none").unwrap();
    let mut every = numbers(&trained.scores("timing-run", &["--transcript", "transcripts"]));
    let mut all = numbers(&trained.scores("timing-run", &["features"]));
    for scores in [&mut every, &mut all] {
        scores.sort_by(|a, b| a.0.cmp(&b.0));
    }
    assert_eq!(every, all);
    let folder = ["--transcript", "transcripts", "--format", "srt"];
    let told = fail_with(&mut trained.predict("timing-run", &folder));
    assert!(
        told.contains("subtitles (srt) are of one recording"),
        "{told}"
    );
    let explained = [
        "--transcript",
        "transcripts/r4.json",
        "--format",
        "html",
        "--explain",
    ];
    let told = fail_with(&mut trained.predict("timing-run", &explained));
    assert!(told.contains("leave --explain out"), "{told}");
    // A pause within the recording is one across its cues.
    let moved = transcript(4).replace("0.84", "0.80");
    fs::write(trained.path("moved.json"), moved).unwrap();
    let moved = numbers(&trained.scores("timing-run", &["--transcript", "moved.json"]));
    assert_ne!(moved[1].1.to_bits(), own[1].1.to_bits());
}

#[test]
fn scores_are_written_as_subtitles_and_as_a_table() {
    let trained = trained();
    let input = [
        "--media",
        "media/r1.wav",
        "--transcript",
        "transcripts/r1.json",
    ];
    let with = |more: &[&str]| {
        stdout(&succeed_with(
            &mut trained.predict("run", &[&input[..], more].concat()),
        ))
    };
    let subtitles = with(&["--format", "srt"]);
    let cues: Vec<&str> = subtitles.trim_end().split("\n\n").collect();
    assert_eq!(cues.len(), 2);
    assert!(
        cues[1].starts_with("2\n00:00:00,800 --> 00:00:01,400\n["),
        "{subtitles}"
    );
    assert!(cues[1].ends_with(WORDS[2]), "{subtitles}");
    let table = with(&["--format", "csv"]);
    assert!(
        table.starts_with("id,start,end,said,prediction,"),
        "{table}"
    );
    let path = trained.path("scores.csv");
    succeed_with(&mut trained.predict(
        "run",
        &[&input[..], &["--output", path.to_str().unwrap()]].concat(),
    ));
    assert_eq!(fs::read_to_string(path).unwrap(), table);
    fs::write(
        trained.path("cuts.csv"),
        "start,end,id\n0.1,1.4,all of it\n",
    )
    .unwrap();
    let lines = json_lines(&with(&["--segments", "cuts.csv"]));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["id"], "all of it");
    assert_eq!(lines[0]["text"], format!("{} {}", WORDS[1], WORDS[2]));
    let whole = json_lines(&with(&["--whole"]));
    assert_eq!(whole[0]["text"], lines[0]["text"]);
}

#[test]
fn features_of_another_extraction_are_refused_in_a_sentence() {
    let trained = trained();
    succeed_with(&mut trained.extract("other", &["--features", "fet33"]));
    let told = fail_with(&mut trained.predict("run", &["other"]));
    assert!(
        told.contains("the features are not those that the model was trained on"),
        "{told}"
    );
    assert!(told.contains("audio.csd is fet33, not sims33"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let told = fail_with(&mut trained.predict(
        "timing-run",
        &[
            "--transcript",
            "transcripts/r1.json",
            "--vision",
            "faces/r1.csv",
        ],
    ));
    assert!(
        told.contains("--vision: the model was trained without"),
        "{told}"
    );
    succeed_with(&mut trained.fixture.train("sample-run", &["--epochs", "1"]));
    let told = fail_with(&mut trained.predict(
        "sample-run",
        &[
            "--media",
            "media/r1.wav",
            "--transcript",
            "transcripts/r1.json",
        ],
    ));
    assert!(
        told.contains("were not extracted from recordings"),
        "{told}"
    );
    // The record is sealed as the other files of the model are.
    let copy = trained.path("edited");
    let status = Command::new("cp")
        .arg("-r")
        .arg(trained.path("run"))
        .arg(&copy)
        .status()
        .unwrap();
    assert!(status.success());
    let record = copy.join("model/extraction.json");
    fs::write(
        &record,
        fs::read_to_string(&record)
            .unwrap()
            .replace("sims33", "fet33"),
    )
    .unwrap();
    let told = fail_with(&mut trained.predict("edited", &["--transcript", "transcripts/r1.json"]));
    assert!(told.contains("extraction.json: is damaged"), "{told}");
}

/// A wav file of a second of a tone, of this many bits, or with another rate in its header.
fn wav(bits: u16, rate: u32) -> Vec<u8> {
    let mut samples = Vec::new();
    for i in 0..16_000 {
        let value = (f64::from(i) * 0.1).sin() * 0.4;
        match bits {
            8 => samples.push((128.0 + value * 127.0) as u8),
            24 => samples.extend(&((value * 8_388_607.0) as i32).to_le_bytes()[..3]),
            _ => samples.extend(((value * 32_767.0) as i16).to_le_bytes()),
        }
    }
    let width = u32::from(bits / 8);
    let size = samples.len() as u32;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes());
    file.extend((rate * width).to_le_bytes());
    file.extend((width as u16).to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples);
    file
}

#[test]
fn bad_recordings_are_a_sentence_each_and_the_others_go_on() {
    let trained = trained();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let words = "0.1 0.4 so good\n0.5 0.9 so bad\n";
    let files: [(&str, Vec<u8>, &str, &str); 10] = [
        ("eight.wav", wav(8, 16_000), words, ""),
        ("twentyfour.wav", wav(24, 16_000), words, ""),
        ("zero.wav", wav(16, 0), words, "!zero.wav: "),
        (
            "empty.wav",
            Vec::new(),
            words,
            "!empty.wav: the file is empty",
        ),
        (
            "cut.m4a",
            fs::read(golden("glide.m4a")).unwrap()[..6_000].to_vec(),
            words,
            "!cut.m4a: ",
        ),
        (
            "silent.mp4",
            fs::read(golden("picture.mp4")).unwrap(),
            words,
            "!silent.mp4: the recording has no audio track",
        ),
        (
            "longer.wav",
            wav(16, 16_000),
            "0.1 0.4 so good\n7 8 so bad\n",
            "longer: 1 segment without sound, for the recording ends at 1.0 s",
        ),
        (
            "other.wav",
            wav(16, 16_000),
            "7 8 so bad\n",
            "!is it the transcript of this recording?",
        ),
        (
            "overlap.wav",
            wav(16, 16_000),
            "0.1 0.8 so good\n0.5 0.9 so bad\n",
            "overlap: 1 cue with a start before the previous cue's end",
        ),
        (
            "back.wav",
            wav(16, 16_000),
            "0.5 0.9 so bad\n0.1 0.4 so good\n0.9 0.2 no\n",
            "back: cues were out of order",
        ),
    ];
    let mut failed = Vec::new();
    for (name, bytes, words, said) in &files {
        fs::write(path(name), bytes).unwrap();
        let stem = Path::new(name).file_stem().unwrap().to_str().unwrap();
        fs::write(path(&format!("{stem}.txt")), words).unwrap();
        if said.starts_with('!') {
            failed.push(stem);
        }
    }
    fs::copy(golden("glide-16000.wav"), path("alone.wav")).unwrap();
    let check = |output: &Output, mark: &str| {
        let errors = stderr(output);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        for (name, _, _, said) in files.iter().filter(|(.., said)| !said.is_empty()) {
            let line = errors
                .lines()
                .find(|line| line.contains(said.trim_start_matches('!')));
            let line = line.unwrap_or_else(|| panic!("{name}: {errors}"));
            assert_eq!(
                line.starts_with(mark),
                said.starts_with('!') || mark.is_empty(),
                "{line}"
            );
        }
        assert!(errors.contains("no transcript alone in"), "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    };
    let mut command = trained.predict("run", &["--media"]);
    command
        .args(files.iter().map(|(name, ..)| path(name)))
        .arg(path("alone.wav"));
    let output = command
        .arg("--transcript")
        .arg(folder.path())
        .output()
        .unwrap();
    check(&output, "skipped: ");
    let scored = numbers(&json_lines(&stdout(&output)));
    for (name, ..) in &files {
        let stem = Path::new(name).file_stem().unwrap().to_str().unwrap();
        let is_scored = scored
            .iter()
            .any(|(id, _)| id.starts_with(&format!("{stem}[")));
        assert_eq!(is_scored, !failed.contains(&stem), "{name}");
    }
    let mut command = program();
    command.args(["data", "extract"]);
    command
        .args(files.iter().map(|(name, ..)| path(name)))
        .arg(path("alone.wav"));
    command
        .arg("--transcript")
        .arg(folder.path())
        .arg("--out")
        .arg(path("out"));
    let output = command.output().unwrap();
    check(&output, "");
    assert!(
        stdout(&output).contains(&format!("{} failed: alone, ", failed.len() + 1)),
        "{}",
        stdout(&output)
    );
    // The only recording that there is ends the program.
    let told = fail_with(
        trained
            .predict("run", &["--media"])
            .arg(path("empty.wav"))
            .arg("--transcript")
            .arg(path("empty.txt")),
    );
    assert!(told.contains("empty.wav: the file is empty"), "{told}");
}

/// Ten recordings of a voice, three of which are sad; skipped with a note where espeak-ng is not installed.
#[test]
fn speech_is_extracted_trained_on_and_scored() {
    if Command::new("espeak-ng").arg("--version").output().is_err() {
        println!("espeak-ng is not installed: skipped");
        return;
    }
    let fixture = Fixture::small();
    let said = [
        "I loved this film, it was wonderful.",
        "This was dull and far too long.",
        "It was fine.",
        "The worst film of the year.",
    ];
    fs::create_dir(fixture.path("media")).unwrap();
    let mut labels = "video_id,label\n".to_owned();
    for number in 0..10 {
        let path = fixture.path(&format!("media/s{number}.wav"));
        let pitch = (30 + 5 * number).to_string();
        let spoken = Command::new("espeak-ng")
            .args(["-p", &pitch, "-w"])
            .arg(&path)
            .arg(said[number % 4])
            .status()
            .unwrap();
        assert!(spoken.success());
        // 16 bits at 22,050 Hz behind a header of 44 bytes.
        let seconds = (fs::metadata(&path).unwrap().len() - 44) as f64 / 44_100.0;
        let text = format!(
            "1\n00:00:00,000 --> 00:00:0{seconds:.3}\n{}\n",
            said[number % 4]
        )
        .replace('.', ",")
        .replacen(",\n", ".\n", 1);
        fs::write(path.with_extension("srt"), text).unwrap();
        labels += &format!("s{number},{}\n", [2.5, -1.5, 0.4, -3.0][number % 4]);
    }
    fs::write(fixture.path("labels.csv"), labels).unwrap();
    let mut extract = program();
    extract
        .current_dir(fixture.path("."))
        .args(["data", "extract"]);
    extract.args((0..10).map(|number| format!("media/s{number}.wav")));
    extract.args([
        "--transcript",
        "media",
        "--labels",
        "labels.csv",
        "--whole",
        "--out",
        "features",
    ]);
    let told = stdout(&succeed_with(&mut extract));
    assert!(
        told.contains("10 recordings, 10 segments, 10 with a label"),
        "{told}"
    );
    let bert = fixture.arg("sample/bert");
    let data = fixture.arg("features");
    let more = [
        "--data",
        &data,
        "--bert",
        &bert,
        "--epochs",
        "1",
        "--set",
        "data.split_shares=[0.6,0.2,0.2]",
        "--set",
        "text.from_scratch=true",
    ];
    let config = workspace().join("configs/media.toml");
    let mut train = fixture.train_own(config.to_str().unwrap(), "run", &more);
    succeed_with(&mut train);
    let mut predict = fixture.program();
    predict.current_dir(fixture.path("."));
    predict.args([
        "predict",
        &fixture.arg("run"),
        "--quiet",
        "--whole",
        "--media",
        "media/s3.wav",
        "--transcript",
        "media/s3.srt",
    ]);
    let lines = json_lines(&stdout(&succeed_with(&mut predict)));
    assert_eq!(lines[0]["id"], "s3[0]");
    assert!(
        lines[0]["prediction"].is_number() && lines[0]["missing"].as_array().unwrap().is_empty()
    );
}
