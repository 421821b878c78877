//! The Dockerfile: what it copies is there, and what it runs is taken.

use crate::common::{succeed, workspace};

fn dockerfile() -> String {
    let text = std::fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    text.replace("\\\n", " ")
}

/// The arguments of every instruction of a kind.
fn instructions<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))
        .map(str::trim)
        .collect()
}

#[test]
fn what_the_image_is_made_of_is_there() {
    let text = dockerfile();
    let ignored = std::fs::read_to_string(workspace().join(".dockerignore")).unwrap();
    let mut copied = 0;
    for copy in instructions(&text, "COPY") {
        if copy.contains("--from=") {
            continue;
        }
        let words: Vec<&str> = copy.split_whitespace().collect();
        let (_, sources) = words.split_last().unwrap();
        for source in sources {
            assert!(workspace().join(source).exists(), "{source}");
            let is_ignored = ignored
                .lines()
                .any(|line| line.trim_matches('/') == *source);
            assert!(!is_ignored, "{source} is in .dockerignore");
            copied += 1;
        }
    }
    assert!(copied > 3, "{text}");
    for large in ["target", "runs", "data"] {
        let covers = |line: &str| line.trim_end_matches("/*") == large;
        assert!(ignored.lines().any(covers), "{large}");
    }
    // Every crate that the manifest names is copied, and the compiler is one that it allows.
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let least = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .unwrap();
    assert!(text.contains(&format!("rust:{least}")), "{least}");
}

#[test]
fn the_image_serves_without_privileges_behind_a_token() {
    let text = dockerfile();
    let user = instructions(&text, "USER");
    assert!(
        user.last()
            .is_some_and(|user| !user.starts_with("root") && *user != "0")
    );
    let command: Vec<String> = serde_json::from_str(instructions(&text, "CMD")[0]).unwrap();
    assert_eq!(command[0], "serve");
    assert!(command.contains(&"--token-file".to_owned()), "{command:?}");
    let help = succeed(&["serve", "--help"]);
    for option in command.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option.as_str()), "{option}");
    }
    let port = &command[command.iter().position(|word| word == "--port").unwrap() + 1];
    assert!(text.contains(&format!("EXPOSE {port}")));
    let health = instructions(&text, "HEALTHCHECK")[0];
    assert!(
        health.contains(port.as_str()) && health.contains("/healthz"),
        "{health}"
    );
}
