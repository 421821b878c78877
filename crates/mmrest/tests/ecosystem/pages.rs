//! The Python of the book runs, each block where Python has what it imports.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{Fixture, succeed_with, workspace};
use crate::python::{has, script};

/// The blocks of Python of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = workspace().join("docs/src").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let fenced = text.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.strip_prefix("python\n"))
        .map(str::to_owned)
        .collect()
}

/// The packages that a script imports.
fn imports(script: &str) -> BTreeSet<&str> {
    let lines = script.lines().map(str::trim);
    let modules = lines.filter_map(|line| {
        line.strip_prefix("import ")
            .or_else(|| line.strip_prefix("from "))
    });
    let names = modules.flat_map(|line| {
        let line = line.split(" import ").next().unwrap_or_default();
        line.split(',')
    });
    names
        .filter_map(|name| name.split_whitespace().next()?.split('.').next())
        .collect()
}

/// A project with a run, as the pages name it, and what else they read.
fn project() -> Fixture {
    let fixture = Fixture::small();
    let out = "runs/sample/first";
    let log = [
        "--quiet",
        "--epochs",
        "2",
        "--set",
        "train.record_test=true",
    ];
    succeed_with(&mut fixture.train(out, &log));
    let run = fixture.arg(out);
    let lines = fixture.arg("new.jsonl");
    std::fs::write(
        &lines,
        "{\"id\": \"a\", \"text\": \"fine\"}\n{\"id\": \"b\", \"text\": \"dull\"}\n",
    )
    .unwrap();
    for file in ["new.npz", "new.safetensors"] {
        let file = fixture.arg(file);
        let predict = ["predict", &run, "--input", &lines, "--embeddings", &file];
        succeed_with(fixture.program().args(predict));
    }
    let onnx = fixture.arg("model.onnx");
    succeed_with(fixture.program().args(["export", &run, "--onnx", &onnx]));
    let encoder = fixture.arg("encoder");
    succeed_with(
        fixture
            .program()
            .args(["export", &run, "--safetensors", &encoder]),
    );
    let cache = fixture.path("cache");
    let packed = std::fs::read_dir(cache).unwrap().flatten();
    let packed = packed.map(|entry| entry.path());
    let packed = packed
        .into_iter()
        .find(|path| path.extension().is_some_and(|of| of == "h5"));
    std::fs::copy(packed.unwrap(), fixture.path("packed.h5")).unwrap();
    // The program goes by its name.
    let program = fixture.path("bin/mmrest");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mmrest"), program).unwrap();
    fixture
}

#[test]
fn the_pages_python_runs() {
    let fixture = project();
    let folder = fixture.path("");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut ran = 0;
    for page in ["from-python.md", "tracking.md", "export.md"] {
        let blocks = blocks(page);
        assert!(blocks.len() >= 2, "{page}");
        for block in blocks {
            let mut modules: Vec<&str> = imports(&block).into_iter().collect();
            if modules.contains(&"mlflow") {
                // Its small package lacks the database that it keeps runs in.
                modules.push("sqlalchemy");
            }
            if !has(&modules, &format!("a block of {page}")) {
                continue;
            }
            let path = format!("{}:{path}", folder.join("bin").display());
            let set = format!("import os\nos.environ['PATH'] = {path:?}\n");
            run(&folder, &format!("{set}{block}"));
            ran += 1;
        }
    }
    eprintln!("{ran} blocks ran");
}

fn run(folder: &Path, block: &str) {
    script(folder, block, &[]);
}
