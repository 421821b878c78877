//! Names, ids and texts with markup or scripts are escaped on every page and picture.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Write;
use std::path::Path;

use common::{below, succeed};
use mmrest_datatools::sample::{self, SampleConfig};

/// A hostile id, as it may appear in a table.
const EVIL: &str = r#"<script>alert(1)</script>"'&<img src=x onerror=alert(2)>"#;
/// How a page must show it.
const TAMED: &str =
    "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;&lt;img src=x onerror=alert(2)&gt;";
/// As much of it as can be in the name of a folder.
const FOLDER: &str = r#"<script>alert(1)"'&"#;

/// A table of which every id and every text is hostile.
fn table() -> String {
    let quoted = EVIL.replace('"', "\"\"");
    let mut table = "video_id,clip_id,text,label,mode\n".to_owned();
    for row in 0..40 {
        let split = ["train", "train", "valid", "test"][row % 4];
        let label = (row % 7) as f32 - 3.0;
        writeln!(
            table,
            "\"{quoted}{split}\",{row},\"film {quoted}\",{label},{split}"
        )
        .unwrap();
    }
    table
}

/// Checks that hostile text is escaped in a page or picture.
fn is_tame(path: &Path) -> String {
    let page = std::fs::read_to_string(path).unwrap();
    let name = path.display();
    for markup in ["<script", "<img", "alert(1)</", "\"'&<", "\"'&a"] {
        assert!(!page.contains(markup), "{name} has {markup}");
    }
    page
}

#[test]
fn reports_show_markup_in_ids_texts_and_names_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = path("data");
    sample::write(
        &SampleConfig {
            videos: 3,
            ..SampleConfig::default()
        },
        folder.path(),
    )
    .unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::write(Path::new(&data).join("label.csv"), table()).unwrap();
    let config = path("table.toml");
    let text = "preset = \"paper\"\n[data]\nkind = \"table\"\ntable = \"label.csv\"\nmodalities = [\"text\"]\n\
                split_from = \"table\"\n[text]\nfrom_scratch = true\n[train]\nepochs = 1\n\
                [model.mmrest.clusters]\nclusters = 2\n";
    std::fs::write(&config, text).unwrap();
    let (run, bert, out) = (path(FOLDER), path(sample::BERT), path("report"));
    let common = ["--data", &data, "--bert", &bert];
    succeed(&[&["train", &config, "--out", &run], &common[..]].concat());
    succeed(&["report", &run, "--data", &data, "--out", &out]);
    let page = is_tame(&Path::new(&out).join("report.html"));
    // The tables of cases have ids and texts; the title has the run.
    assert!(page.matches(TAMED).count() >= 20, "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&quot;&#39;&amp;</title>"));
    let sides = path("sides");
    succeed(&["report", &run, &run, "--data", &data, "--out", &sides]);
    let (pages, pictures): (Vec<_>, Vec<_>) = [&out, &sides]
        .into_iter()
        .flat_map(|folder| below(Path::new(folder)))
        .filter(|path| path.is_file())
        .partition(|file| file.extension().is_some_and(|e| e == "html"));
    assert!(pages.len() == 2 && pictures.len() > 10, "{pictures:?}");
    for file in pages.iter().chain(&pictures) {
        is_tame(file);
    }
    let plot = path("plot.svg");
    succeed(&["data", "inspect", &data, "--plot", &plot]);
    is_tame(Path::new(&plot));
}
