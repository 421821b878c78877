//! Recordings: uploaded to the server by a program and by its page, and the page of `predict --format html`.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mmrest_data::csd::{self, Entry, Features};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::common::{Fixture, fail, json_lines, program, succeed, succeed_with};
use crate::program::{Served, train};

/// Segments of every recording: start, end, text.
const SAID: [(f64, f64, &str); 4] = [
    (0.1, 0.6, "a wonderful film"),
    (0.7, 1.2, "a terrible film"),
    (1.2, 1.7, "it was fine"),
    (1.9, 2.3, "see it"),
];

/// What is said of a transcript without times of words.
const SPREAD: &str = "4 cues without times of words: their time is spread over the letters";

/// Two runs, trained on recordings made here: the model of `run` takes words and sound, that of `faces` words and tables of
/// OpenFace. And `own/recording.wav` with its transcript and table.
static TRAINED: LazyLock<Fixture> = LazyLock::new(|| {
    let fixture = Fixture::small();
    let folders = ["media", "transcripts", "own", "tables"].map(|name| fixture.path(name));
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    let mut labels = Vec::new();
    let mut recordings = Vec::new();
    for number in 0..12 {
        let name = format!("r{number:02}");
        let path = folders[0].join(format!("{name}.wav"));
        std::fs::write(&path, wav(200.0 + 20.0 * f64::from(number))).unwrap();
        std::fs::write(folders[1].join(format!("{name}.txt")), transcript()).unwrap();
        let table = openface(usize::from(number));
        std::fs::write(folders[3].join(format!("{name}.csv")), table).unwrap();
        recordings.push(path);
        labels.push((name, label_entry(number)));
    }
    let mut extract = program();
    extract.args(["data", "extract"]).args(&recordings);
    extract.arg("--transcript").arg(&folders[1]);
    extract.arg("--vision").arg(&folders[3]);
    extract.args(["--features", "sims33", "--out", &fixture.arg("data")]);
    succeed_with(&mut extract);
    let metadata = csd::metadata("labels", "sentiment");
    csd::try_write(
        &fixture.path("data/labels.csd"),
        "labels",
        &metadata,
        1,
        labels.into_iter().map(Ok),
    )
    .unwrap();
    let config = format!(
        "[data]\ndir = {:?}\nmodalities = [\"text\", \"audio\"]\nlabels = \"labels.csd\"\nwords = \"words.csd\"\n\
         audio = \"audio.csd\"\nsplit_from = \"random\"\nsplit_shares = [0.4, 0.4, 0.2]\n[text]\nbert = {:?}\nfrom_scratch = true\n",
        fixture.path("data"),
        fixture.path("sample/bert")
    );
    let faces = config
        .replace(", \"audio\"]", ", \"vision\"]")
        .replace("audio = \"audio.csd\"", "vision = \"vision.csd\"");
    for (name, run, config) in [("own.toml", "run", config), ("faces.toml", "faces", faces)] {
        std::fs::write(fixture.path(name), config).unwrap();
        succeed_with(&mut fixture.train_own(name, run, &["--epochs", "2", "--quiet"]));
    }
    std::fs::write(folders[2].join("recording.wav"), wav(310.0)).unwrap();
    std::fs::write(folders[2].join("said.txt"), transcript()).unwrap();
    std::fs::write(folders[2].join("face.csv"), openface(7)).unwrap();
    fixture
});

fn own(name: &str) -> PathBuf {
    TRAINED.path("own").join(name)
}

fn transcript() -> String {
    let line = |(start, end, text): &(f64, f64, &str)| format!("{start} {end} {text}\n");
    SAID.iter().map(line).collect()
}

fn label_entry(number: u8) -> Entry {
    let label = |place: usize| [2.0, -2.0, 0.2, 1.0][place] + 0.05 * f32::from(number);
    Entry {
        intervals: SAID.iter().map(|&(start, end, _)| [start, end]).collect(),
        features: Features::Numeric {
            values: (0..SAID.len()).map(label).collect(),
            width: 1,
        },
    }
}

/// OpenFace's table of two and a half seconds at 25 frames a second, in one of which the face is not sure.
fn openface(number: usize) -> String {
    let columns = mmrest_media::OpenFaceColumns::Some177.names();
    let names = columns.join(", ");
    let mut table = format!("frame, face_id, timestamp, confidence, success, {names}\n");
    for frame in 0..63 {
        let value = |column| ((frame * 7 + column + number) % 11) as f64 / 10.0;
        let values: Vec<String> = (0..columns.len()).map(|c| value(c).to_string()).collect();
        let confidence = if frame == 4 { 0.1 } else { 0.98 };
        let (time, values) = (frame as f64 / 25.0, values.join(", "));
        table += &format!("{}, 0, {time:.3}, {confidence}, 1, {values}\n", frame + 1);
    }
    table
}

/// Two and a half seconds of a tone that swells and fades, at 16 kHz.
fn wav(frequency: f64) -> Vec<u8> {
    let (rate, seconds) = (16_000_u32, 2.5);
    let sample = |n: u32| {
        let t = f64::from(n) / f64::from(rate);
        let level = 0.5 + 0.4 * (TAU * 1.3 * t).sin();
        (level * 20_000.0 * (TAU * frequency * t).sin()) as i16
    };
    let samples = (f64::from(rate) * seconds) as u32;
    let data: Vec<u8> = (0..samples).flat_map(|n| sample(n).to_le_bytes()).collect();
    let length = data.len() as u32;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((2 * rate).to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

/// Uploads parts: name, file name, content.
fn upload(server: &Served, parts: &[(&str, &str, &[u8])]) -> (u16, Value) {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let head = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    let request = server.agent.post(format!("{}/v1/recording", server.base));
    let mut response = request
        .content_type("multipart/form-data; boundary=XX")
        .send(&body[..])
        .unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (
        response.status().as_u16(),
        serde_json::from_str(&text).unwrap(),
    )
}

/// The part with a transcript.
fn spoken(content: &[u8]) -> (&str, &str, &[u8]) {
    ("transcript", "t", content)
}

fn predicted(options: &[&str]) -> String {
    predicted_by("run", options)
}

fn predicted_by(run: &str, options: &[&str]) -> String {
    let (run, media, said) = (TRAINED.arg(run), own("recording.wav"), own("said.txt"));
    let mut all = vec!["predict", &run, "--media", media.to_str().unwrap()];
    all.extend(["--transcript", said.to_str().unwrap(), "--quiet"]);
    all.extend(options);
    succeed(&all)
}

#[test]
fn an_upload_is_scored_as_predict_scores_the_files() {
    let server = Served::of(&TRAINED.arg("run"), &[]);
    let expected = json_lines(&predicted(&[]));
    assert_eq!(expected.len(), SAID.len());
    let (wav, said) = (wav(310.0), transcript());
    let whole = [
        ("recording", "a.wav", &wav[..]),
        ("transcript", "a.txt", said.as_bytes()),
    ];
    let (status, answer) = upload(&server, &whole);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["notes"], json!([SPREAD]));
    let segments = scored_alike(&answer, &expected);
    // Without its sound the model has the words, and says what it lacks.
    let (_, answer) = upload(&server, &whole[1..]);
    assert_eq!(answer["segments"][0]["missing"], json!(["audio"]));
    assert_ne!(
        answer["segments"][0]["prediction"],
        segments[0]["prediction"]
    );
    assert_eq!(server.metric("mmrest_scored_segments_total"), 8.0);

    let many: String = (0..300).map(|n| format!("{n} {n}.5 word\n")).collect();
    let webm: &[u8] = b"\x1a\x45\xdf\xa3 not decoded here";
    let [sound, words] = whole;
    for (parts, expected, said) in [
        (vec![sound], 400, "there is no part \"transcript\""),
        (vec![sound, spoken(b"no times")], 422, "transcript: "),
        (vec![sound, spoken(b"\xff\xfe\xfd")], 422, "transcript: "),
        (
            vec![words, spoken(b"0 1 a")],
            400,
            "two parts \"transcript\"",
        ),
        (
            vec![spoken(many.as_bytes())],
            413,
            "has 300 segments: at most 256",
        ),
        (vec![spoken(b"0 4000 long")], 413, "at most 3600 s"),
        (
            vec![words, ("recording", "a.webm", webm)],
            415,
            "recording: ",
        ),
        (
            vec![words, ("recording", "a.wav", &wav[..1644])],
            422,
            "recording.wav: ",
        ),
        (
            vec![words, ("recording", "a.wav", b"")],
            422,
            "recording.wav: the file is empty",
        ),
        (
            vec![words, ("vision", "a.csv", b"frame\n1\n")],
            400,
            "the part \"vision\": the model was trained without",
        ),
        (
            vec![words, ("video", "a.mp4", webm)],
            400,
            "the part \"video\" is not known",
        ),
        (
            vec![sound, spoken(b"100 101 late")],
            422,
            "is it the transcript of this recording?",
        ),
    ] {
        let (status, answer) = upload(&server, &parts);
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{said}: {answer}"));
        assert_eq!(status, expected, "{error}");
        assert!(error.contains(said) && !error.contains("/tmp"), "{error}");
    }
    let form = "multipart/form-data; boundary=XX";
    for (kind, status) in [
        ("application/json", 415),
        (form, 400),
        ("multipart/form-data", 415),
    ] {
        assert_eq!(server.post("/v1/recording", kind, "{}").0, status, "{kind}");
    }
    assert_eq!(server.get("/v1/recording").0, 405);
    assert_eq!(upload(&server, &whole).0, 200, "it goes on");
}

/// Checks that the segments of an answer are those that `predict` wrote.
fn scored_alike<'a>(answer: &'a Value, expected: &[Value]) -> &'a [Value] {
    let segments = answer["segments"].as_array().unwrap();
    assert_eq!(segments.len(), SAID.len());
    for ((segment, expected), (start, end, text)) in segments.iter().zip(expected).zip(SAID) {
        for key in ["id", "start", "end", "text", "label", "missing"] {
            assert_eq!(segment[key], expected[key], "{key}");
        }
        assert_eq!(
            [&segment["start"], &segment["end"]],
            [&json!(start), &json!(end)]
        );
        assert_eq!(segment["text"], text);
        let number = |value: &Value| value.as_f64().unwrap();
        for (ours, theirs) in [
            (&segment["prediction"], &expected["prediction"]),
            (&segment["interval"][0], &expected["interval"][0]),
            (&segment["interval"][1], &expected["interval"][1]),
        ] {
            assert!(
                (number(ours) - number(theirs)).abs() < 1e-4,
                "{segment} {expected}"
            );
        }
    }
    segments
}

/// What is said of a table of OpenFace, of the frames up to the last segment's end.
const UNSURE: &str = "vision: 1 of 59 frames without a face of confidence 0.5 or more, left out";

#[test]
fn a_table_of_faces_is_uploaded_with_the_recording() {
    let server = Served::of(&TRAINED.arg("faces"), &[]);
    let taken = &server.model()["recordings"];
    assert_eq!(
        (&taken["sound"], &taken["vision"], &taken["audio_table"]),
        (
            &json!(false),
            &json!({"tool": "OpenFace", "columns": 177}),
            &Value::Null
        )
    );
    let face = own("face.csv");
    let expected = predicted_by("faces", &["--vision", face.to_str().unwrap()]);
    let expected = json_lines(&expected);
    assert_eq!(expected[0]["missing"], json!([]));
    let (said, table) = (transcript(), openface(7));
    let words = spoken(said.as_bytes());
    let faces = |content| ("vision", "face.csv", content);
    let (status, answer) = upload(&server, &[words, faces(table.as_bytes())]);
    assert_eq!(status, 200, "{answer}");
    scored_alike(&answer, &expected);
    assert_eq!(answer["notes"], json!([SPREAD, UNSURE]));
    // Without the table the modality is missing.
    let (_, answer) = upload(&server, &[words]);
    assert_eq!(answer["segments"][0]["missing"], json!(["vision"]));
    let torn = table.replacen("0.98", "unsure", 1);
    let pyfeat: &[u8] = b",FaceScore,AU01,frame\n0,0.9,0.1,0\n";
    for (parts, expected, said) in [
        (
            vec![words, faces(torn.as_bytes())],
            422,
            "vision: line 2: \"unsure\" is no number",
        ),
        (
            vec![words, faces(pyfeat)],
            422,
            "vision: a table of py-feat, where one of OpenFace is expected",
        ),
        (vec![words, faces(b"")], 422, "vision: the file is empty"),
        (
            vec![words, ("audio_table", "a.csv", b"name;frameTime\n")],
            400,
            "the part \"audio_table\": the model was trained without",
        ),
        (
            vec![words, ("frame_rate", "", b"fast")],
            400,
            "\"frame_rate\" is no number above 0",
        ),
    ] {
        let (status, answer) = upload(&server, &parts);
        let error = answer["error"].as_str().unwrap();
        assert_eq!((status, error.contains(said)), (expected, true), "{error}");
    }
    let Some(browser) = Browser::open(&server.base) else {
        return;
    };
    browser.wait_for("document.getElementById('vision-table-field').hidden === false");
    for field in ["audio-table-field", "frame-rate-field"] {
        browser.wait_for(&format!("document.getElementById('{field}').hidden"));
    }
    let hint = browser.text_of("vision-table-hint");
    assert_eq!(hint, "the CSV that OpenFace wrote of it (177 columns)");
    browser.choose("recording", &own("recording.wav"));
    browser.choose("transcript", &own("said.txt"));
    browser.choose("vision-table", &face);
    browser.wait_for("(() => { document.getElementById('recording-go').click(); return true; })()");
    plays(
        &browser,
        &json_lines(&predicted_by(
            "faces",
            &["--vision", face.to_str().unwrap()],
        )),
    );
    let status = browser.text_of("recording-status");
    assert!(status.starts_with("4 segments in "), "{status}");
    assert!(
        status.ends_with(&format!("; {SPREAD}; {UNSURE}")),
        "{status}"
    );
    // The form of a text: the bias of the default preset, and features unlike those of training.
    assert_eq!(server.model()["bias"]["kind"], "kernel");
    let wild = TRAINED.path("own/wild.csv");
    std::fs::write(&wild, vec!["1e4"; 177].join(",")).unwrap();
    browser.choose("vision", &wild);
    browser.wait_for(
        "(() => { document.getElementById('text').value = 'a film'; document.getElementById('go').click(); return true; })()",
    );
    browser.wait_for("document.getElementById('prediction').textContent !== ''");
    let meaning = browser.text_of("meaning");
    assert!(meaning.contains(", 90 % interval "), "{meaning}");
    assert!(
        meaning.ends_with("; a guess, for vision is unlike anything in training"),
        "{meaning}"
    );
    let note = browser.text_of("rows-note");
    assert!(
        note.contains("of the way to the mean sentiment of the training segments"),
        "{note}"
    );
}

/// What the player shows, wherever it is: the curve, the transcript, the moment under the pointer, sound.
fn plays(browser: &Browser, expected: &[Value]) {
    browser.wait_for("document.querySelectorAll('.chart .level').length === 4");
    let page = browser.document();
    assert_eq!(page.matches("class=\"interval tone-").count(), 4);
    assert!(
        !page.contains("NaN") && !page.contains("undefined"),
        "{page}"
    );
    let signed = |value: &Value| format!("{:+.2}", value.as_f64().unwrap()).replace('-', "−");
    let second = format!(
        "{}, {}",
        signed(&expected[1]["prediction"]),
        expected[1]["label"].as_str().unwrap()
    );
    // The pointer at 0.9 s, within the second segment.
    let at = "(() => { const chart = document.querySelector('.chart'); const box = chart.getBoundingClientRect(); \
              const x = box.left + 40 + (box.width - 54) * 0.9 / 2.3; \
              chart.dispatchEvent(new PointerEvent('pointermove', { clientX: x, clientY: box.top + 50 })); return true; })()";
    browser.wait_for(at);
    let moment = browser.text("document.querySelector('.moment').textContent");
    assert!(
        moment.starts_with("0:00.9") && moment.contains(&second),
        "{moment}"
    );
    assert!(
        moment.contains("90 % interval") && moment.contains("“a terrible film”"),
        "{moment}"
    );
    browser.wait_for("document.querySelectorAll('.transcript [aria-current]')[0]?.textContent.includes('terrible')");
    // By keyboard, from segment to segment; a screen reader is told of it.
    let press = "(() => { document.querySelector('.chart').dispatchEvent(new KeyboardEvent('keydown', { key: 'End' })); return true; })()";
    browser.wait_for(press);
    let told = browser.text("document.querySelector('.chart').getAttribute('aria-valuetext')");
    assert!(
        told.starts_with("0:02") && told.contains("see it"),
        "{told}"
    );
    browser.wait_for("document.querySelector('.chart').getAttribute('aria-valuenow') === '1.9'");
    // The file is played, from there.
    browser.wait_for("Math.abs(document.querySelector('audio').duration - 2.5) < 0.1");
    browser.wait_for("(() => { const audio = document.querySelector('audio'); audio.muted = true; audio.play(); return true; })()");
    browser.wait_for("document.querySelector('audio').currentTime > 1.95");
    // A row of the transcript leads to its time.
    browser.wait_for("(() => { document.querySelector('audio').pause(); document.querySelectorAll('.transcript button')[0].click(); return true; })()");
    browser.wait_for("Math.abs(document.querySelector('audio').currentTime - 0.1) < 0.05");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let least: f64 = browser.text(CONTRAST).parse().unwrap();
        assert!(least >= 4.5, "{scheme}: {least}");
    }
    browser.prefer("light");
    browser.resize(400, 800);
    browser.wait_for("document.documentElement.scrollWidth <= window.innerWidth");
    browser.wait_for(
        "document.querySelector('.chart svg').getBoundingClientRect().right <= window.innerWidth",
    );
}

/// The least contrast of a text of the player with what is behind it.
const CONTRAST: &str = r#"(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data;
  };
  const light = (colour) => {
    const linear = [...channels(colour)].slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const texts = [...document.querySelectorAll(".moment, .transcript span, p.soft")];
  const least = Math.min(...texts.map((text) => {
    const [a, b] = [light(getComputedStyle(text).color), light(behind(text))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
  return String(texts.length > 10 ? least : 0);
})()"#;

#[test]
fn the_page_scores_a_recording_and_plays_it() {
    let server = Served::of(&TRAINED.arg("run"), &[]);
    let Some(browser) = Browser::open(&server.base) else {
        return;
    };
    browser.wait_for("document.getElementById('recording-form').hidden === false");
    browser.wait_for(
        "(() => { document.getElementById('recording-form').requestSubmit(); return true; })()",
    );
    browser.wait_for(
        "document.getElementById('recording-status').textContent.includes('Choose a transcript')",
    );
    browser.choose("recording", &own("recording.wav"));
    browser.choose("transcript", &own("said.txt"));
    browser.wait_for("(() => { document.getElementById('recording-go').click(); return true; })()");
    plays(&browser, &json_lines(&predicted(&[])));
    let told = browser.text_of("recording-status");
    assert!(
        told.contains(" segments in ") && told.ends_with(SPREAD),
        "{told}"
    );
    // A fault is said where it is looked for.
    browser.choose("transcript", &own("recording.wav"));
    browser.wait_for("(() => { document.getElementById('recording-go').click(); return true; })()");
    browser.wait_for("document.getElementById('recording-status').className === 'status wrong'");
    assert!(
        browser
            .text_of("recording-status")
            .starts_with("transcript: ")
    );
    let (_, metrics) = server.get("/metrics");
    assert!(!metrics.contains("code=\"404\""), "{metrics}");
}

#[test]
fn predict_writes_a_page_that_plays() {
    let page = own("page.html");
    predicted(&["--format", "html", "--output", page.to_str().unwrap()]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("data:audio/wav;base64,"),
        "a small recording is in it"
    );
    for outside in ["http://", "https://", "src=\"", "href="] {
        let own = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(outside), "{outside}");
    }
    if let Some(browser) = Browser::open(&format!("file://{}", page.display())) {
        plays(&browser, &json_lines(&predicted(&[])));
    }
    let said = own("said.txt");
    let run = TRAINED.arg("run");
    let media = own("recording.wav");
    let [said, media] = [&said, &media].map(|path| path.to_str().unwrap());
    let two = fail(&[
        "predict",
        &run,
        "--media",
        media,
        "own/other.wav",
        "--transcript",
        said,
        "--format",
        "html",
    ]);
    assert!(two.contains("a page (html) is of one recording"), "{two}");
    let none = fail(&["predict", &run, said, "--format", "html"]);
    assert!(none.contains("--transcript"), "{none}");
}

/// A model whose features are of unknown origin takes no recording, and says so.
#[test]
fn a_model_of_other_features_takes_no_recording() {
    let server = Served::new(&[]);
    assert!(server.model()["recordings"].is_null());
    let (status, answer) = upload(&server, &[spoken(b"0 1 fine\n")]);
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("were not extracted from recordings"),
        "{answer}"
    );
    let fixture = crate::program::trained();
    train(
        fixture,
        "text",
        &["--epochs", "1", "--set", "data.modalities=[\"text\"]"],
    );
    let server = Served::of(&fixture.arg("text"), &[]);
    assert_eq!(server.model()["recordings"]["sound"], false);
    let (status, answer) = upload(&server, &[spoken(b"0 1 fine\n")]);
    assert_eq!(
        (status, &answer["segments"][0]["end"]),
        (200, &json!(1.0)),
        "{answer}"
    );
    assert!(
        Path::new(&fixture.arg("text"))
            .join("model/calibration.safetensors")
            .exists()
    );
}
