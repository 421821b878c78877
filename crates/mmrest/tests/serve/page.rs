//! The page of the server, in a headless browser.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use crate::browser::Browser;
use crate::program::Served;

/// Opens an address that has a text to score, and waits for the score or an error.
fn open(address: &str) -> Option<Browser> {
    let browser = Browser::open(address)?;
    let error = "document.getElementById('status').className === 'status wrong'";
    let scored = "document.getElementById('prediction').textContent !== ''";
    let done = "document.getElementById('go').disabled === false";
    browser.wait_for(&format!("{error} || ({scored} && {done})"));
    Some(browser)
}

#[test]
fn the_page_scores_and_draws() {
    let server = Served::new(&[]);
    let address = format!("{}/#text=it+was+a+wonderful+film", server.base);
    let Some(browser) = open(&address) else {
        return;
    };
    let (_, answer) = server.post(
        "/v1/predict",
        "application/json",
        "{\"text\": \"it was a wonderful film\"}",
    );
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let expected = format!("{:.3}", answer["prediction"].as_f64().unwrap()).replace('-', "−");
    assert_eq!(browser.text_of("status"), "");
    assert_eq!(browser.text_of("prediction"), expected);
    let meaning = browser.text_of("meaning");
    let label = answer["label"].as_str().unwrap();
    assert!(
        meaning.starts_with(&format!("{label}, 90 % interval ")),
        "{meaning}"
    );
    let model = server.model();
    let note = browser.text_of("rows-note");
    assert!(note.starts_with("A share is γ = "), "{note}");
    let clusters = model["clusters"].as_array().unwrap().len();
    let page = browser.document();
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
    drop(browser);

    let hostile =
        "/#text=%3C%2Ftextarea%3E%3Cimg+src%3Dx+onerror%3D%22document.title%3D'owned'%22%3E";
    let browser = open(&format!("{}{hostile}", server.base)).unwrap();
    let page = browser.document();
    assert!(
        !page.contains("<img") && !page.contains("<title>owned"),
        "{page}"
    );
    assert_eq!(browser.text_of("status"), "");
}

#[test]
fn the_page_asks_for_the_token_until_it_is_right_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    let server = Served::new(&["--token-file", file.to_str().unwrap()]);
    let Some(browser) = Browser::open(&format!("{}/#text=fine", server.base)) else {
        return;
    };
    for answer in ["0123456789abcdee", " 0123456789abcdef "] {
        assert_eq!(browser.answer_prompt(answer), "The token of this server:");
    }
    let scored = "document.getElementById('prediction').textContent !== ''";
    browser.wait_for(scored);
    assert_eq!(browser.text_of("status"), "");
    // Of the session, not of the page: neither an address nor a file holds it.
    browser.reload();
    browser.wait_for(scored);
    assert!(!browser.document().contains("0123456789abcde"));
}

/// What the page makes of feature files and answers: its own scripts, asked in a browser.
#[test]
fn feature_files_are_read_as_frames_and_a_proxys_page_is_named_as_such() {
    let (address, server) = files(vec![
        (
            "/",
            "text/html",
            "<!doctype html><pre id=\"said\"></pre><script type=\"module\" src=\"/test.js\"></script>",
        ),
        ("/test.js", "text/javascript", FRAMES_TEST),
        (
            "/frames.js",
            "text/javascript",
            include_str!("../../src/serve/page/frames.js"),
        ),
        (
            "/ask.js",
            "text/javascript",
            include_str!("../../src/serve/page/ask.js"),
        ),
        ("/v1/model", "text/html", "<h1>Bad Gateway</h1>"),
    ]);
    let Some(browser) = Browser::open(&address) else {
        return;
    };
    browser.wait_for("document.getElementById('said').textContent !== ''");
    let said = browser.text_of("said");
    let expected = [
        "[[1,2],[3,-0.5]]",
        "[[1,2]]",
        "[[1,2],[3,4]]",
        "[[5,6]]",
        "[[7,8]]",
        "frame 1 has 3 features, the model takes 2",
        "frame 2 is not a list of numbers",
        "frame 2 is not a list of numbers",
        "it has no list \"audio\"",
        "it is empty",
        "200 OK, not from mmrest: is there a proxy before it?",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    drop(server);
}

const FRAMES_TEST: &str = r#"
import { ask } from "/ask.js";
import { parseFrames } from "/frames.js";
const files = [
  "1,2\n3,-0.5\n",
  "first,second\r\n1,2\r\n",
  "1;2\n\n3\t4",
  "[[5, 6]]",
  '{"id": "a", "audio": [[7, 8]]}',
  "1,2,3",
  "1,2\n3,x",
  '[[1, 2], "no"]',
  '{"vision": [[1, 2]]}',
  " \n",
];
const said = files.map((file) => {
  try {
    return JSON.stringify(parseFrames(file, "audio", 2));
  } catch (error) {
    return error.message;
  }
});
said.push(await ask("/v1/model").catch((error) => error.message));
document.getElementById("said").textContent = said.join("\n");
"#;

/// A server of a few files, and its address; it ends with the test's program.
fn files(files: Vec<(&'static str, &'static str, &'static str)>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let answer = move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
            let asked = head.first().map_or("", String::as_str);
            let path = asked.split(' ').nth(1).unwrap_or_default();
            let found = files.iter().find(|(known, ..)| *known == path);
            let (status, kind, content) = match found {
                Some((_, kind, content)) => ("200 OK", *kind, *content),
                None => ("404 Not Found", "text/plain", ""),
            };
            let length = content.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(content.as_bytes()));
        }
    };
    (address, thread::spawn(answer))
}
