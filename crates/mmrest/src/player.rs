//! The page of `predict --format html`: plays a recording, with its sentiment as a curve over time and its transcript.
//!
//! One file. Scripts and style sheets are those of the server's page; the recording is in it where it is small, and
//! otherwise stays where it is.

use std::path::{Component, Path};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::report::escape;
use crate::serve::page;

/// The largest recording that is put into the page, in bytes.
const MOST_EMBEDDED: u64 = 2 << 20;

/// What a page shows besides the segments.
#[derive(Clone, Debug)]
pub(crate) struct Player {
    /// The recording's name.
    pub(crate) title: String,
    /// The run and its model.
    pub(crate) note: String,
    /// The scale of sentiment.
    pub(crate) range: [f32; 2],
    /// Of the intervals.
    pub(crate) confidence: f64,
    /// What is played.
    pub(crate) media: Option<PlayedMedia>,
}

/// A recording on a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlayedMedia {
    /// Its address.
    src: String,
    /// Whether there is a picture.
    video: bool,
}

/// What the page's script takes besides the segments.
#[derive(Serialize)]
struct Shown<'a> {
    range: [f32; 2],
    confidence: f64,
    media: Option<&'a PlayedMedia>,
}

impl PlayedMedia {
    /// A recording for a page in the folder of `page`, or in the current folder where the page goes to standard output.
    ///
    /// # Errors
    ///
    /// The recording cannot be read.
    pub(crate) fn of(recording: &Path, page: Option<&Path>) -> Result<Self> {
        let told = || format!("cannot read {}", recording.display());
        let (kind, video) = kind(recording);
        let src = if recording.metadata().with_context(told)?.len() <= MOST_EMBEDDED {
            let bytes = std::fs::read(recording).with_context(told)?;
            format!("data:{kind};base64,{}", BASE64_STANDARD.encode(bytes))
        } else {
            let folder = page.and_then(Path::parent).unwrap_or(Path::new(""));
            let folder = if folder == Path::new("") {
                Path::new(".")
            } else {
                folder
            };
            let folder = folder
                .canonicalize()
                .unwrap_or_else(|_| folder.to_path_buf());
            reference(&folder, &recording.canonicalize().with_context(told)?)
        };
        Ok(Self { src, video })
    }
}

/// The type of a recording by its ending, and whether it has a picture.
fn kind(path: &Path) -> (&'static str, bool) {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match ending.to_ascii_lowercase().as_str() {
        "wav" => ("audio/wav", false),
        "mp3" => ("audio/mpeg", false),
        "flac" => ("audio/flac", false),
        "ogg" | "oga" | "opus" => ("audio/ogg", false),
        "m4a" | "aac" => ("audio/mp4", false),
        "mp4" | "m4v" => ("video/mp4", true),
        "webm" => ("video/webm", true),
        "mov" => ("video/quicktime", true),
        "mkv" => ("video/x-matroska", true),
        "avi" => ("video/x-msvideo", true),
        _ => ("application/octet-stream", false),
    }
}

/// The relative address of a file as seen from a folder; both are absolute.
fn reference(folder: &Path, file: &Path) -> String {
    let (folder, file): (Vec<_>, Vec<_>) =
        (folder.components().collect(), file.components().collect());
    let same = folder.iter().zip(&file).take_while(|(a, b)| a == b).count();
    let up = folder[same..].iter().map(|_| "..".to_owned());
    let down = file[same..].iter().map(|part| match part {
        Component::Normal(name) => percent(name.as_encoded_bytes()),
        other => percent(other.as_os_str().as_encoded_bytes()),
    });
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// A part of an address: all but letters, digits and a few signs escaped.
fn percent(name: &[u8]) -> String {
    let escaped = name.iter().map(|&byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

impl Player {
    /// The page of segments, each a line of `predict`, an object of JSON.
    ///
    /// # Errors
    ///
    /// A number that JSON does not have.
    pub(crate) fn html(&self, segments: &[String]) -> serde_json::Result<String> {
        let shown = Shown {
            range: self.range,
            confidence: self.confidence,
            media: self.media.as_ref(),
        };
        // Within a script nothing but this sign could end it.
        let shown = serde_json::to_string(&shown)?;
        let data = format!("{{\"segments\":[{}],{}", segments.join(",\n"), &shown[1..]);
        let data = data.replace('<', "\\u003c");
        let (title, note) = (escape(&self.title), escape(&self.note));
        let (style, script) = (page::player_style(), page::player_script());
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<p class=\"soft\">{note}</p>\n</header>\n\
             <main id=\"recording\"></main>\n<noscript><p>This page needs JavaScript.</p></noscript>\n\
             <script type=\"application/json\" id=\"shown\">{data}</script>\n\
             <script type=\"module\">\n{script}\
             showRecording(document.getElementById(\"recording\"), JSON.parse(document.getElementById(\"shown\").textContent));\n\
             </script>\n</body>\n</html>\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_recording_is_in_the_page_and_a_large_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(place("a b")).unwrap();
        std::fs::create_dir_all(place("pages")).unwrap();
        std::fs::write(place("a b/small.WAV"), "abc").unwrap();
        let page = place("pages/page.html");
        let small = PlayedMedia::of(&place("a b/small.WAV"), Some(&page)).unwrap();
        assert_eq!(
            (small.src.as_str(), small.video),
            ("data:audio/wav;base64,YWJj", false)
        );
        std::fs::write(place("a b/ä#.mp4"), vec![0; MOST_EMBEDDED as usize + 1]).unwrap();
        let large = PlayedMedia::of(&place("a b/ä#.mp4"), Some(&page)).unwrap();
        assert_eq!(
            (large.src.as_str(), large.video),
            ("../a%20b/%C3%A4%23.mp4", true)
        );
        assert!(PlayedMedia::of(&place("none.wav"), None).is_err());
    }

    #[test]
    fn no_text_ends_the_script_or_becomes_markup() {
        let player = Player {
            title: "<b>".into(),
            note: "a & b".into(),
            range: [-3.0, 3.0],
            confidence: 0.9,
            media: None,
        };
        let line = r#"{"start":0,"end":1,"text":"</script><img src=x>","prediction":1,"label":"positive","interval":null}"#;
        let html = player.html(&[line.to_owned()]).unwrap();
        assert_eq!(html.matches("</script>").count(), 2);
        assert!(!html.contains("<img") && !html.contains("<b>"));
        assert!(html.contains("&lt;b&gt;") && html.contains("a &amp; b"));
        // Modules are joined: what they export and import of each other is one scope.
        assert!(!html.contains("\nimport ") && !html.contains("\nexport "));
    }
}
