//! Reports of runs on the sample: one run, several side by side, without clusters, without bias, without data.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn mmrest(arguments: &[&str]) -> std::process::Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_mmrest"))
        .current_dir(root.canonicalize().unwrap())
        .stdin(Stdio::null())
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = mmrest(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        succeed(&["data", "sample", "--out", &bench.path("sample")]);
        bench
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// A run of two epochs.
    fn train(&self, name: &str, set: &[&str]) -> String {
        let (run, data, bert) = (
            self.path(name),
            self.path("sample"),
            self.path("sample/bert"),
        );
        let mut arguments = vec!["train", "sample", "--data", &data, "--bert", &bert];
        arguments.extend(["--epochs", "2", "--out", &run]);
        for key in set {
            arguments.extend(["--set", key]);
        }
        let printed = succeed(&arguments);
        let last = printed.lines().last().unwrap();
        assert!(
            last.contains("cargo xtask report ") && last.contains(name),
            "{last}"
        );
        run
    }

    fn page(&self, arguments: &[&str]) -> (PathBuf, String) {
        let printed = succeed(&[&["report"], arguments].concat());
        let path = PathBuf::from(printed.trim_end());
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(!page.contains("<script") && !page.contains("=\"NaN") && !page.contains("src="));
        (path.parent().unwrap().to_path_buf(), page)
    }
}

/// A picture, which must be XML.
fn picture(folder: &Path, name: &str) -> String {
    let path = folder.join("pictures").join(name);
    let svg = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    balanced(&svg);
    svg
}

/// Every element that is opened is closed, in order.
fn balanced(svg: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("an unfinished tag");
        let name: String = tag
            .chars()
            .take_while(|c| !c.is_whitespace() && *c != '/')
            .collect();
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(closed), _) => assert_eq!(open.pop().as_deref(), Some(closed)),
            (None, true) => {}
            (None, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn marks(svg: &str, element: &str) -> usize {
    svg.matches(&format!("<{element} ")).count()
}

#[test]
fn a_run_is_drawn_whole_and_beside_others() {
    let bench = Bench::new();
    let full = bench.train("full<1>&", &[]);
    let (folder, page) = bench.page(&[&full]);
    assert!(page.contains("full&lt;1&gt;&amp;") && !page.contains("full<1>"));
    let segments = test_segments(&full);
    let dots = picture(&folder, "prediction-label.svg");
    assert!(marks(&dots, "circle") >= segments && marks(&dots, "circle") <= segments + 3);
    assert!(marks(&picture(&folder, "confusion.svg"), "rect") >= 49);
    let space = picture(&folder, "space.svg");
    let shapes = ["circle", "polygon", "rect"].map(|shape| marks(&space, shape));
    assert!(
        shapes.iter().sum::<usize>() >= 4 * 3 * segments,
        "{shapes:?}"
    );
    for name in [
        "curves",
        "bias",
        "distances",
        "cluster-distances",
        "spectra",
    ] {
        let light = picture(&folder, &format!("{name}.svg"));
        let dark = picture(&folder, &format!("{name}-dark.svg"));
        assert!(marks(&light, "polyline") + marks(&light, "line") + marks(&light, "rect") > 10);
        assert!(light.contains("#FFFFFF") && !dark.contains("=\"#FFFFFF\""));
    }
    // Texts of the cases come from the data.
    assert!(page.contains("class=\"text\""));
    is_repeatable(&bench, &full, &page);
    without_clusters_and_without_bias(&bench, &full);
    without_data(&bench, &full);
}

fn test_segments(run: &str) -> usize {
    test_ids(run).len()
}

fn test_ids(run: &str) -> Vec<String> {
    let predictions = std::fs::read_to_string(Path::new(run).join("predictions.csv")).unwrap();
    let of_test = predictions.lines().filter_map(|line| {
        let (id, rest) = line.split_once(',')?;
        rest.starts_with("test,").then(|| id.to_owned())
    });
    of_test.collect()
}

fn is_repeatable(bench: &Bench, run: &str, page: &str) {
    let (_, again) = bench.page(&[run, "--out", &bench.path("again")]);
    assert!(again == page, "another report of the same run");
    let (_, valid) = bench.page(&[run, "--split", "valid", "--out", &bench.path("valid")]);
    assert!(valid.contains("valid split,"));
}

fn without_clusters_and_without_bias(bench: &Bench, full: &str) {
    let plain = bench.train("plain", &["mmc=false", "bias=false"]);
    let (folder, page) = bench.page(&[&plain]);
    assert!(page.contains("adds no bias") && page.contains("has no clusters"));
    assert!(page.contains("has no metrics") && page.contains("all rows, Euclidean"));
    assert!(!page.contains("all rows, learned"));
    assert!(!folder.join("pictures/bias.svg").exists());
    let bare = bench.train("bare", &["bias=false", "report.geometry=false"]);
    let (folder, page) = bench.page(&[&bare]);
    assert!(page.contains("adds no bias") && page.contains("has kept no geometry/"));
    assert!(
        page.contains("all rows, learned metrics") && !folder.join("pictures/space.svg").exists()
    );
    let out = bench.path("side");
    let (folder, page) = bench.page(&[full, &plain, &bare, "--out", &out]);
    assert!(page.contains("3 runs side by side") && page.contains("<td>mmc</td>"));
    assert!(page.contains("best"));
    for name in [
        "curves-compared",
        "space-a",
        "space-b",
        "confusion-c",
        "figure-mae",
    ] {
        picture(&folder, &format!("{name}.svg"));
    }
    assert!(!folder.join("pictures/space-c.svg").exists());
    assert!(!folder.join("pictures/cluster-distances-b.svg").exists());
    // Every segment that is shown is one of the test split, once, with a prediction of each run.
    let (_, cases) = page.split_once(">Cases</h2>").unwrap();
    let rows: Vec<&str> = cases.split("<tr><td>").skip(1).collect();
    assert_eq!(rows.len(), 12);
    for row in rows {
        let (id, _) = row.split_once('<').unwrap();
        assert!(test_ids(full).contains(&id.to_owned()), "{row}");
        let numbers = row.matches("<td class=\"number").count();
        assert_eq!((numbers, row.contains(" best\"")), (4, true), "{row}");
    }
}

/// Elsewhere, without data: ids alone. A folder without a run is one sentence.
fn without_data(bench: &Bench, run: &str) {
    let (nowhere, out) = (bench.path("nowhere"), bench.path("ids"));
    let (_, page) = bench.page(&[run, "--data", &nowhere, "--out", &out]);
    assert!(page.contains("texts are not shown") && !page.contains("<td class=\"text\">"));
    let output = mmrest(&["report", &nowhere]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("nowhere"), "{errors}");
}
