//! Reports of runs on the sample: one run, several runs, without clusters, without bias, without data.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};

use common::{Fixture, fail, stdout, succeed, succeed_with};

/// Trains for two epochs, and returns the run's folder.
fn train(fixture: &Fixture, name: &str, set: &[&str]) -> String {
    let mut more = vec!["--epochs", "2"];
    for key in set {
        more.extend(["--set", key]);
    }
    let printed = stdout(&succeed_with(&mut fixture.train(name, &more)));
    let last = printed.lines().last().unwrap();
    assert!(
        last.contains("cargo xtask report ") && last.contains(name),
        "{last}"
    );
    fixture.arg(name)
}

/// Makes a report, and returns its folder and page.
fn report(arguments: &[&str]) -> (PathBuf, String) {
    let printed = succeed(&[&["report"], arguments].concat());
    let path = PathBuf::from(printed.trim_end());
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(!page.contains("<script") && !page.contains("=\"NaN") && !page.contains("src="));
    (path.parent().unwrap().to_path_buf(), page)
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
    let fixture = Fixture::new();
    let full = train(&fixture, "full<1>&", &[]);
    let (folder, page) = report(&[&full]);
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
    is_repeatable(&fixture, &full, &page);
    without_clusters_and_without_bias(&fixture, &full);
    without_data(&fixture, &full);
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

fn is_repeatable(fixture: &Fixture, run: &str, page: &str) {
    let (_, again) = report(&[run, "--out", &fixture.arg("again")]);
    assert!(again == page, "another report of the same run");
    let (_, valid) = report(&[run, "--split", "valid", "--out", &fixture.arg("valid")]);
    assert!(valid.contains("valid split,"));
}

fn without_clusters_and_without_bias(fixture: &Fixture, full: &str) {
    let plain = train(
        fixture,
        "plain",
        &["model.mmrest.mmc=false", "model.mmrest.bias=false"],
    );
    let (folder, page) = report(&[&plain]);
    assert!(page.contains("adds no bias") && page.contains("has no clusters"));
    assert!(page.contains("has no learned metrics") && page.contains("all rows, Euclidean"));
    assert!(!page.contains("all rows, learned"));
    assert!(!folder.join("pictures/bias.svg").exists());
    let bare = train(
        fixture,
        "bare",
        &["model.mmrest.bias=false", "report.geometry=false"],
    );
    let (folder, page) = report(&[&bare]);
    assert!(page.contains("adds no bias") && page.contains("has no geometry/"));
    assert!(
        page.contains("all rows, learned metrics") && !folder.join("pictures/space.svg").exists()
    );
    let out = fixture.arg("side");
    let (folder, page) = report(&[full, &plain, &bare, "--out", &out]);
    assert!(page.contains("3 runs side by side") && page.contains("<td>model.mmrest.mmc</td>"));
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

/// Without data the report shows only ids. A folder without a run is an error.
fn without_data(fixture: &Fixture, run: &str) {
    let (nowhere, out) = (fixture.arg("nowhere"), fixture.arg("ids"));
    let (_, page) = report(&[run, "--data", &nowhere, "--out", &out]);
    assert!(page.contains("texts are not shown") && !page.contains("<td class=\"text\">"));
    assert!(fail(&["report", &nowhere]).contains("nowhere"));
}
