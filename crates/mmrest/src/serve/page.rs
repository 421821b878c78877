//! The page's files, and what of them the page of a recording consists of.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::palette;

/// The page's files: address, content type, content.
pub(super) const FILES: [(&str, &str, &str); 12] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/app.css", CSS, STYLE),
    ("/timeline.css", CSS, TIMELINE_STYLE),
    ("/app.js", JS, include_str!("page/app.js")),
    ("/ask.js", JS, include_str!("page/ask.js")),
    ("/frames.js", JS, include_str!("page/frames.js")),
    ("/draw.js", JS, DRAW),
    ("/map.js", JS, include_str!("page/map.js")),
    ("/results.js", JS, include_str!("page/results.js")),
    ("/recording.js", JS, include_str!("page/recording.js")),
    ("/timeline.js", JS, TIMELINE),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

const STYLE: &str = include_str!("page/app.css");
const TIMELINE_STYLE: &str = include_str!("page/timeline.css");
const DRAW: &str = include_str!("page/draw.js");
const TIMELINE: &str = include_str!("page/timeline.js");

const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The content security policy: the page may load its own files, play what was chosen in it, and send requests to its own
/// server, nothing else.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answer with one of the files.
pub(super) fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

/// The style sheet of a page that shows a recording alone.
pub(crate) fn player_style() -> String {
    [palette::css(), STYLE, TIMELINE_STYLE].concat()
}

/// The script of such a page: the modules that draw, joined to one that defines `showRecording`.
pub(crate) fn player_script() -> String {
    let lines = DRAW.lines().chain(TIMELINE.lines());
    let own = lines.filter(|line| !line.starts_with("import "));
    let plain = own.map(|line| line.strip_prefix("export ").unwrap_or(line));
    plain.flat_map(|line| [line, "\n"]).collect()
}
