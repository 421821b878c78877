//! Data as people bring them, from the first look to scores: tables of texts and labels, sets without a test split, labels
//! of another scale, and advice that can be followed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Write;

use serde_json::Value;

use common::{Fixture, fail, fail_with, json_lines, program_in, stderr, stdout, succeed_with};

/// Forty rows of ten videos: `text,label` with ids and splits where they are asked for. Of `splits`, a video each in turn.
fn rows(ids: bool, splits: &[&str], label: impl Fn(usize) -> f32) -> String {
    let mut text = String::new();
    text += if ids { "video_id,clip_id," } else { "" };
    text += "text,label";
    text += if splits.is_empty() { "\n" } else { ",mode\n" };
    let words = ["a wonderful film", "it was dull", "well, fine", "so bad"];
    for row in 0..40 {
        if ids {
            let _ = write!(text, "v{},{},", row / 4, row % 4 + 1);
        }
        let _ = write!(text, "\"{} {row}\",{}", words[row % 4], label(row));
        match splits {
            [] => text.push('\n'),
            splits => {
                let _ = writeln!(text, ",{}", splits[row / 4 % splits.len()]);
            }
        }
    }
    text
}

/// Labels over the whole scale.
fn spread(row: usize) -> f32 {
    (row * 7 % 13) as f32 / 2.0 - 3.0
}

/// A folder with `own.csv` and `own.toml`, which trains on it in a second.
fn with_table(table: &str, data: &str) -> Fixture {
    let fixture = Fixture::small();
    std::fs::write(fixture.path("own.csv"), table).unwrap();
    let config = format!(
        "[data]\nkind = \"table\"\ndir = {:?}\ntable = \"own.csv\"\nmodalities = [\"text\"]\n{data}\n[text]\nbert = {:?}\nfrom_scratch = true\n\
         [train]\nepochs = 1\n",
        fixture.path("."),
        fixture.path("sample/bert"),
    );
    std::fs::write(fixture.path("own.toml"), config).unwrap();
    fixture
}

const SPLITS: [&str; 5] = ["train", "train", "valid", "train", "test"];

#[test]
fn texts_and_labels_alone_are_enough() {
    let fixture = with_table(&rows(false, &[], spread), "split = \"random\"");
    let told = stdout(&succeed_with(&mut fixture.train_own(
        "own.toml",
        "run",
        &[],
    )));
    assert!(
        told.contains("40 segments of unknown videos: 28 train, 4 valid, 8 test."),
        "{told}"
    );
    let predictions = fixture.read("run/predictions.csv");
    let ids: Vec<usize> = predictions
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=40).collect::<Vec<_>>());
    // The same split again, another with another seed.
    succeed_with(&mut fixture.train_own("own.toml", "same", &[]));
    let of = |run: &str| fixture.read(&format!("{run}/predictions.csv"));
    assert_eq!(of("run"), of("same"));
    let seed = ["--set", "data.split_seed=2"];
    succeed_with(&mut fixture.train_own("own.toml", "other", &seed));
    assert_ne!(of("run"), of("other"));
    // The file itself is scored, with labels and without, into a table.
    let (run, own, out) = (
        fixture.arg("run"),
        fixture.arg("own.csv"),
        fixture.arg("out.csv"),
    );
    let predict = ["predict", &run, &own, "--output", &out];
    succeed_with(fixture.program().args(predict));
    let scores = fixture.read("out.csv");
    assert!(
        scores.starts_with("id,prediction,label,lower,upper,score,bias,cluster,"),
        "{scores}"
    );
    assert_eq!(scores.lines().count(), 41);
    std::fs::write(fixture.path("new.csv"), "text\nfine\nnot fine\n").unwrap();
    let output =
        succeed_with(
            fixture
                .program()
                .args(["predict", &run, "--input", &fixture.arg("new.csv")]),
        );
    let ids: Vec<Value> = json_lines(&stdout(&output))
        .iter()
        .map(|l| l["id"].clone())
        .collect();
    assert_eq!(ids, ["1", "2"]);
}

#[test]
fn what_inspect_prints_of_a_table_trains() {
    let stars = |row: usize| (row % 5 + 1) as f32;
    for (table, said) in [
        (rows(false, &[], spread), "split_from = \"random\""),
        (rows(true, &[], spread), "split_from = \"random\""),
        (rows(true, &SPLITS, spread), "split_from = \"table\""),
        (rows(false, &[], stars), "label_range = [1.0, 5.0]"),
    ] {
        let fixture = Fixture::small();
        std::fs::write(fixture.path("own.csv"), table).unwrap();
        let inspect = ["data", "inspect", &fixture.arg("own.csv")];
        let told = stdout(&succeed_with(fixture.program().args(inspect)));
        assert!(told.contains(said), "{said}: {told}");
        let (_, config) = told.split_once("trains on these files:\n").unwrap();
        let config: String = config
            .lines()
            .take_while(|line| !line.contains("problem"))
            .fold(String::new(), |all, line| all + line + "\n");
        std::fs::write(fixture.path("own.toml"), &config).unwrap();
        let bert = fixture.arg("sample/bert");
        let scratch = "text.from_scratch=true";
        let more = ["--bert", &bert, "--epochs", "1", "--set", scratch];
        succeed_with(&mut fixture.train_own("own.toml", "run", &more));
    }
}

#[test]
fn labels_of_another_scale_are_noticed() {
    let halves = |row: usize| (row % 5) as f32 / 2.0 - 1.0;
    for (label, said) in [
        (
            Box::new(|row: usize| (row % 2) as f32) as Box<dyn Fn(usize) -> f32>,
            "All 40 labels are 0 or 1, none is below 0: metrics of two classes (acc2, f1)",
        ),
        (
            Box::new(halves),
            "All labels lie within -1 and 1, a part of the scale of -3 to 3: if that is the scale, set data.label_range = [-1, 1]",
        ),
        (Box::new(|row| (row % 4) as f32), "No label is below 0"),
    ] {
        let fixture = with_table(&rows(true, &SPLITS, label), "split_from = \"table\"");
        let told = stdout(&succeed_with(&mut fixture.train_own(
            "own.toml",
            "run",
            &[],
        )));
        let unfolded: Vec<&str> = told.split_whitespace().collect();
        assert!(unfolded.join(" ").contains(said), "{told}");
        let record = fixture.json("run/run.json");
        assert_eq!(record["data_report"]["labels"]["count"], 40);
        let inspect = ["data", "inspect", &fixture.arg("own.csv")];
        let told = stdout(&succeed_with(fixture.program().args(inspect)));
        assert!(told.contains(&said[..19]), "{told}");
    }
    let stars = |row: usize| (row % 5 + 1) as f32;
    let fixture = with_table(&rows(false, &[], stars), "split = \"random\"");
    let told = fail_with(&mut fixture.train_own("own.toml", "run", &[]));
    for part in [
        "own.csv: 16 of 40 labels lie outside the scale of -3 to 3: they lie from 1 to 5",
        "set data.label_range = [1, 5], bins.edges = [1.5, 2.5, 3.5, 4.5] and bins.labels = [1, 2, 3, 4, 5]",
    ] {
        assert!(told.contains(part), "{told}");
    }
    // As it says.
    let set = [
        "--set",
        "data.label_range=[1, 5]",
        "--set",
        "bins.edges=[1.5, 2.5, 3.5, 4.5]",
        "--set",
        "bins.labels=[1, 2, 3, 4, 5]",
    ];
    succeed_with(&mut fixture.train_own("own.toml", "run", &set));
}

#[test]
fn a_table_without_splits_says_what_to_set() {
    let fixture = with_table(&rows(false, &[], spread), "split_from = \"table\"");
    let told = fail_with(&mut fixture.train_own("own.toml", "run", &[]));
    assert!(
        told.contains("no column \"mode\"") && told.contains("split_from = \"random\""),
        "{told}"
    );
}

#[test]
fn a_set_without_test_segments_goes_all_the_way() {
    let no_test = ["train", "train", "valid", "train"];
    let fixture = with_table(&rows(true, &no_test, spread), "split_from = \"table\"");
    let told = stdout(&succeed_with(&mut fixture.train_own(
        "own.toml",
        "run",
        &[],
    )));
    assert!(told.contains("No segment is for testing"), "{told}");
    assert!(told.contains("0 test."), "{told}");
    let metrics = fixture.json("run/metrics.json");
    assert!(metrics["test"]["mae"].is_null() && metrics["valid"]["mae"].is_number());
    assert!(metrics["overlap"]["test"]["all"]["euclidean"]["bin_silhouette"].is_null());
    let run = fixture.arg("run");
    let of = |split: &str| {
        let mut eval = fixture.program();
        eval.args(["eval", &run, "--split", split]);
        eval
    };
    succeed_with(&mut of("valid"));
    let told = fail_with(&mut of("test"));
    assert!(told.contains("has no segment in the test split"), "{told}");
    let resume = [
        "--resume",
        "--epochs",
        "2",
        "--accept-changed",
        "train.epochs",
    ];
    succeed_with(&mut fixture.train_own("own.toml", "run", &resume));
    let mut predict = fixture.program();
    succeed_with(predict.args(["predict", &run, &fixture.arg("own.csv")]));
    let report = succeed_with(fixture.program().args(["report", &run]));
    assert!(
        stderr(&report).contains("no test segment"),
        "{}",
        stderr(&report)
    );
    assert!(
        fixture.path("run/report/report.html").is_file()
            || fixture.path("run/report/index.html").is_file()
    );
}

#[test]
fn texts_that_are_cut_are_counted() {
    let long = rows(true, &SPLITS, spread).replace("film", &"film ".repeat(80));
    let fixture = with_table(&long, "split_from = \"table\"");
    let told = stdout(&succeed_with(&mut fixture.train_own(
        "own.toml",
        "run",
        &[],
    )));
    assert!(
        told.contains("Texts cut to text.max_tokens, 50 tokens: 10."),
        "{told}"
    );
}

#[test]
fn decimal_commas_are_read() {
    let semicolons = "text;label;mode\n".to_owned()
        + &(0..40).fold(String::new(), |all, row| {
            let label = spread(row).to_string().replace('.', ",");
            all + &format!("film {row};{label};{}\n", SPLITS[row % 5])
        });
    let fixture = with_table(&semicolons, "split_from = \"table\"");
    succeed_with(&mut fixture.train_own("own.toml", "run", &[]));
    assert!(fixture.read("run/predictions.csv").contains(",-2.5,"));
}

#[cfg(unix)]
#[test]
fn equal_runs_have_equal_weights_that_everybody_may_read() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = with_table(&rows(true, &SPLITS, spread), "split_from = \"table\"");
    let weights = ["a", "b"].map(|run| {
        succeed_with(&mut fixture.train_own("own.toml", run, &[]));
        std::fs::read(fixture.path(&format!("{run}/model/weights.safetensors"))).unwrap()
    });
    assert!(weights[0] == weights[1]);
    let mode = |name: &str| {
        let path = fixture.path(&format!("a/model/{name}"));
        path.metadata().unwrap().permissions().mode()
    };
    assert_eq!(mode("weights.safetensors"), mode("config.toml"));
}

#[test]
fn recordings_and_other_files_are_refused_in_one_sentence() {
    let fixture = with_table(&rows(true, &SPLITS, spread), "split_from = \"table\"");
    succeed_with(&mut fixture.train_own("own.toml", "run", &[]));
    let mut film = b"\x00\x00\x00\x20ftypisom".to_vec();
    film.extend((0..200_000_u32).map(|n| (n % 251) as u8));
    std::fs::write(fixture.path("own.mp4"), film).unwrap();
    std::fs::write(
        fixture.path("page.html"),
        "<!DOCTYPE html>\n<html>{\n".repeat(900),
    )
    .unwrap();
    std::fs::write(fixture.path("notes.txt"), "so\n".repeat(900)).unwrap();
    std::fs::write(fixture.path("own.csv"), "sentence\nso good\n").unwrap();
    for (file, said) in [
        ("own.mp4", "is no data to score, but a recording"),
        ("page.html", "is no data to score, but a web page"),
        ("notes.txt", "is no data to score, but a text"),
        ("notes.txt", "jq -Rc '{text: .}' "),
        (
            "own.csv",
            "\"text\" among them, which \"sentence\" does not",
        ),
    ] {
        let told = fail(&[
            "predict",
            &fixture.arg("run"),
            "--input",
            &fixture.arg(file),
        ]);
        assert!(told.contains(said) && told.lines().count() == 1, "{told}");
    }
    let inspect = ["data", "inspect", &fixture.arg("own.mp4")];
    let told = stdout(&succeed_with(fixture.program().args(inspect)));
    assert!(
        told.contains("recording") && told.contains("extract features"),
        "{told}"
    );
}

#[test]
fn misspelt_names_are_guessed_and_the_option_is_named() {
    let fixture = Fixture::small();
    for (given, said) in [
        (
            "loss.margn=2",
            "error: --set loss.margn: there is no key 'loss.margn': did you mean 'model.mmrest.loss.margin'?",
        ),
        ("model.mmrest.loss.margn=2", "did you mean 'margin'?"),
        ("train.epochs=few", "train.epochs: expected a whole number"),
        ("data.modalities=text", "write [\"text\"]"),
    ] {
        let told = fail_with(&mut fixture.train("run", &["--set", given]));
        assert!(told.contains(said), "{told}");
        let option = given.split_once('=').unwrap().0;
        assert!(told.contains(&format!("--set {option}")), "{told}");
    }
    let told = fail_with(&mut fixture.train("run", &["--epochs", "0"]));
    assert!(told.starts_with("error: --epochs"), "{told}");
    let folder = fixture.path(".");
    let fail_here = |arguments: &[&str]| fail_with(program_in(&folder).args(arguments));
    assert!(fail_here(&["train", "smaple"]).contains("did you mean 'sample'?"));
    let study = ["ablate", "sample", "--study", "abl"];
    assert!(fail_here(&study).contains("did you mean 'ablate'?"));
    let variant = ["ablate", "sample", "--only", "no-bais"];
    assert!(fail_here(&variant).contains("did you mean 'no-bias'?"));
}

#[test]
fn the_three_ways_to_lack_a_bert_are_three_sentences() {
    let fixture = with_table(&rows(true, &SPLITS, spread), "split_from = \"table\"");
    std::fs::create_dir(fixture.path("other")).unwrap();
    std::fs::write(fixture.path("other/notes.txt"), "no BERT").unwrap();
    std::fs::create_dir(fixture.path("part")).unwrap();
    std::fs::copy(
        fixture.path("sample/bert/config.json"),
        fixture.path("part/config.json"),
    )
    .unwrap();
    for (folder, said) in [
        ("none", "there is no such folder"),
        ("other", "is no BERT: it holds neither config.json"),
        ("part", "no such file"),
    ] {
        let bert = fixture.arg(folder);
        let mut train = fixture.train_own("own.toml", "run", &["--bert", &bert]);
        let told = fail_with(&mut train);
        assert!(
            told.contains(said) && told.contains("data fetch bert"),
            "{told}"
        );
    }
}

#[test]
fn advice_is_for_where_the_program_was_started() {
    let fixture = Fixture::small();
    let folder = fixture.path(".");
    let bert = fixture.arg("sample/bert");
    let told = fail_with(program_in(&folder).args([
        "train",
        "mosi",
        "--bert",
        &bert,
        "--data",
        "own/data/mosi",
    ]));
    assert!(
        told.contains("mmrest data fetch mosi --out own/data/mosi"),
        "{told}"
    );
    if !cfg!(feature = "cuda") {
        let train = ["train", "sample", "--backend", "cuda"];
        let told = fail_with(program_in(&folder).args(train));
        assert!(
            told.contains("cargo build --release -p mmrest --features mmrest/cuda"),
            "{told}"
        );
        assert!(!told.contains("xtask"), "{told}");
    }
    let windows = "[data]\ndir = \"C:\\Users\\me\"\n";
    std::fs::write(fixture.path("windows.toml"), windows).unwrap();
    let told = fail_with(program_in(&folder).args(["train", "windows.toml"]));
    assert!(
        told.contains("'C:\\Users\\me'") && told.contains("C:/Users/me"),
        "{told}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_not_utf8_is_refused_in_a_sentence() {
    use std::os::unix::ffi::OsStrExt;

    let fixture = Fixture::small();
    let folder = fixture
        .path(".")
        .join(std::ffi::OsStr::from_bytes(b"d\xff"));
    std::fs::create_dir(&folder).unwrap();
    let mut train = fixture.program();
    let told = fail_with(train.args(["train", "sample", "--data"]).arg(&folder));
    assert!(told.contains("(for data.dir) is not UTF-8"), "{told}");
}
