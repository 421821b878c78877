//! The page in a browser without a window.

use std::process::Command;

use crate::program::{Served, trained};

/// A Chromium of this machine.
fn chromium() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    })
}

/// The document that an address has become when its scripts are done.
fn document(browser: &str, profile: &str, address: &str) -> String {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={profile}"))
        .args(["--virtual-time-budget=20000", "--dump-dom", address])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The text of the element with an id.
fn text_of<'a>(document: &'a str, id: &str) -> &'a str {
    let at = document
        .find(&format!("id=\"{id}\""))
        .unwrap_or_else(|| panic!("no {id} in {document}"));
    let rest = &document[at..];
    let inner = &rest[rest.find('>').unwrap() + 1..];
    &inner[..inner.find('<').unwrap()]
}

#[test]
fn the_page_scores_and_draws() {
    let Some(browser) = chromium() else {
        println!("skipped: no chromium here");
        return;
    };
    let server = Served::new(&[]);
    let profile = trained().path("profile");
    let page = document(
        browser,
        &profile,
        &format!("{}/#text=it+was+a+wonderful+film", server.base),
    );
    let (_, answer) = server.post(
        "/v1/predict",
        "application/json",
        "{\"text\": \"it was a wonderful film\"}",
    );
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let expected = format!("{:.3}", answer["prediction"].as_f64().unwrap()).replace('-', "−");
    let shown = text_of(&page, "prediction");
    assert_eq!(shown, expected);
    assert_eq!(text_of(&page, "status"), "");
    let model = server.model();
    let clusters = model["clusters"].as_array().unwrap().len();
    assert_eq!(page.matches("class=\"center tone-").count(), clusters);
    assert_eq!(
        page.matches("class=\"row\"").count(),
        3,
        "text, vision, audio"
    );
    assert_eq!(page.matches("class=\"ring\"").count(), 1);
    assert_eq!(page.matches("class=\"ring second\"").count(), 1);
    assert!(page.contains("vision (not given)"));
    assert!(
        !page.contains("NaN") && !page.contains("undefined"),
        "{page}"
    );
    // Nobody scored anything but the two requests, and nothing was asked for that is not there.
    assert_eq!(server.metric("mmrest_scored_segments_total"), 2.0);
    let (_, metrics) = server.get("/metrics");
    assert!(!metrics.contains("code=\"404\""), "{metrics}");

    let hostile =
        "/#text=%3C%2Ftextarea%3E%3Cimg+src%3Dx+onerror%3D%22document.title%3D'owned'%22%3E";
    let page = document(browser, &profile, &format!("{}{hostile}", server.base));
    assert!(
        !page.contains("<img") && !page.contains("<title>owned"),
        "{page}"
    );
    assert_eq!(text_of(&page, "status"), "");
}
