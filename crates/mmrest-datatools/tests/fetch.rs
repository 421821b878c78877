//! Downloads from a server that does everything servers do wrong.
#![cfg(feature = "fetch")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/server.rs"]
mod server;

#[path = "../../mmrest-data/tests/common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mmrest_data::{DataError, SourceFile};
use mmrest_datatools::fetch::{Content, Fetched, Fetcher, Policy, Silent, Source, Target};
use server::{Answer, Server};

const ROOT: &str = "Labels";
/// No server here takes so long by itself, whatever else the machine has to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is silence where a server is meant to be silent.
const SILENCE: Duration = Duration::from_secs(2);

/// A folder to download into, and a computational sequence to serve.
struct Place {
    folder: tempfile::TempDir,
    file: Vec<u8>,
    /// How long a server may send nothing.
    patience: Duration,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<[f32; 40]> = (0..50)
            .map(|row: u16| std::array::from_fn(|column| f32::from(row).sin() + column as f32))
            .collect();
        let rows: Vec<_> = (0..50)
            .map(|row| ([row as f64, row as f64 + 1.0], &rows[row][..]))
            .collect();
        let made = folder.path().join("made");
        std::fs::create_dir(&made).unwrap();
        common::write(&made, "Labels.csd", &[("video", common::numbers(&rows))]);
        let file = std::fs::read(made.join("Labels.csd")).unwrap();
        assert!(file.len() > 3000, "{}", file.len());
        Self {
            folder,
            file,
            patience: PATIENCE,
        }
    }

    fn impatient() -> Self {
        Self {
            patience: SILENCE,
            ..Self::new()
        }
    }

    fn target(&self, server: &Server) -> Target {
        Target {
            url: format!("{}/Labels.csd", server.address),
            path: self.folder.path().join("into/file.csd"),
            content: Content::Sequence {
                root: Some(ROOT.to_owned()),
            },
            sha256: None,
            token: None,
            force: false,
        }
    }

    fn fetch(&self, server: &Server) -> Result<Fetched, DataError> {
        fetcher(self.patience).fetch(&self.target(server), &Silent)
    }

    /// Fails, with what in the sentence; nothing is there under the file's own name.
    fn fail(&self, server: &Server, told: &str) {
        let error = self.fetch(server).unwrap_err();
        assert!(matches!(error, DataError::Fetch { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(told), "{told:?} in {error}");
        assert!(error.contains("/Labels.csd: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let names = self.names();
        assert!(!names.iter().any(|name| name == "file.csd"), "{names:?}");
    }

    /// Succeeds; nothing but the file and its checksum is there.
    fn succeed(&self, server: &Server) -> Fetched {
        let fetched = self.fetch(server).unwrap();
        assert_eq!(std::fs::read(&fetched.path).unwrap(), self.file);
        assert_eq!(fetched.bytes, self.file.len() as u64);
        assert_eq!(
            fetched.sha256,
            SourceFile::read(&fetched.path).unwrap().sha256
        );
        let record = std::fs::read_to_string(self.path("file.csd.sha256")).unwrap();
        assert_eq!(record, format!("{}  file.csd\n", fetched.sha256));
        assert_eq!(self.names(), ["file.csd", "file.csd.sha256"]);
        fetched
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("into").join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("into")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn fetcher(patience: Duration) -> Fetcher {
    Fetcher::new(Policy {
        tries: 3,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_millis(10),
        connect_timeout: PATIENCE,
        read_timeout: patience,
        redirects: 4,
        progress: u64::MAX,
    })
}

/// Starts of the ranges that were asked for.
fn starts(server: &Server) -> Vec<Option<usize>> {
    server.asked().iter().map(server::Asked::start).collect()
}

#[test]
fn a_whole_file_is_fetched_once() {
    let place = Place::new();
    let server = Server::scripted(vec![Answer::whole(&place.file).etag("\"a\"")]);
    assert_eq!(place.succeed(&server).source, Source::Server);
    assert_eq!(server.asked()[0].path, "/Labels.csd");
    assert_eq!(
        server.asked()[0].header("accept-encoding"),
        Some("identity")
    );
    assert_eq!(place.succeed(&server).source, Source::Present);
    assert_eq!(server.asked().len(), 1);
    let again = Target {
        force: true,
        ..place.target(&server)
    };
    let again = fetcher(PATIENCE).fetch(&again, &Silent).unwrap();
    assert_eq!(again.source, Source::Server);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_file_that_was_there_gets_its_checksum_and_a_broken_one_is_fetched_again() {
    let place = Place::new();
    let server = Server::scripted(vec![Answer::whole(&place.file)]);
    std::fs::create_dir(place.path("")).unwrap();
    std::fs::write(place.path("file.csd"), &place.file).unwrap();
    assert_eq!(place.succeed(&server).source, Source::Present);
    let mut spoilt = place.file.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    for broken in [&place.file[..2000], &spoilt[..], b"<html>"] {
        std::fs::write(place.path("file.csd"), broken).unwrap();
        assert_eq!(place.succeed(&server).source, Source::Server);
    }
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_cut_connection_is_resumed_by_range() {
    let place = Place::new();
    let file = place.file.clone();
    let server = Server::start(move |_, asked| match asked.start() {
        None => Answer::whole(&file).etag("\"a\"").cut(1000),
        Some(1000) => Answer::rest(&file, 1000).etag("\"a\"").cut(500),
        Some(start) => Answer::rest(&file, start),
    });
    place.succeed(&server);
    assert_eq!(starts(&server), [None, Some(1000), Some(1500)]);
    assert_eq!(server.asked()[1].header("if-range"), Some("\"a\""));
}

#[test]
fn a_later_call_goes_on_where_the_last_one_ended() {
    let place = Place::new();
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let weak = |answer: Answer| answer.etag("W/\"a\"").header("Last-Modified", date);
    let (file, down) = (place.file.clone(), Answer::status("503 Busy").length(0));
    let server = Server::start(move |before, asked| match before {
        0 => weak(Answer::whole(&file)).cut(1000),
        1 | 2 => down.clone(),
        _ => Answer::rest(&file, asked.start().unwrap()),
    });
    place.fail(&server, "503");
    assert_eq!(place.names(), ["file.csd.part", "file.csd.part.json"]);
    place.succeed(&server);
    assert_eq!(starts(&server).last(), Some(&Some(1000)));
    assert_eq!(server.asked()[3].header("if-range"), Some(date));
}

#[test]
fn a_server_that_ignores_ranges_sends_it_all_again() {
    let place = Place::new();
    let whole = Answer::whole(&place.file).etag("\"a\"");
    let server = Server::scripted(vec![whole.clone().cut(1000), whole]);
    place.succeed(&server);
    assert_eq!(starts(&server), [None, Some(1000)]);
}

#[test]
fn without_a_validator_nothing_is_resumed() {
    let place = Place::new();
    let whole = Answer::whole(&place.file);
    let server = Server::scripted(vec![whole.clone().cut(1000), whole]);
    place.succeed(&server);
    assert_eq!(starts(&server), [None, None]);
}

#[test]
fn another_file_of_the_same_name_is_fetched_from_its_start() {
    let place = Place::new();
    let other = vec![7; place.file.len()];
    let head = [&place.file[..8], &other[8..]].concat();
    for changed in [
        Answer::rest(&place.file, 1000).etag("\"b\""),
        Answer::rest(&place.file, 900).etag("\"a\""),
        Answer::rest(&place.file[..2000], 1000).etag("\"a\""),
        Answer::status("206 Partial Content")
            .length(4)
            .body(b"1234"),
        Answer::whole(&place.file).etag("\"b\""),
        Answer::status("416 Range Not Satisfiable").length(0),
    ] {
        let _ = std::fs::remove_dir_all(place.path(""));
        let server = Server::scripted(vec![
            Answer::whole(&head).etag("\"a\"").cut(1000),
            changed,
            Answer::whole(&place.file).etag("\"b\""),
        ]);
        place.succeed(&server);
        assert_eq!(starts(&server)[..2], [None, Some(1000)]);
        assert!(starts(&server).get(2).is_none_or(Option::is_none));
    }
}

#[test]
fn silence_counts_as_failure() {
    let place = Place::impatient();
    let stalled = Answer::whole(&place.file).etag("\"a\"").cut(1000);
    let stalled = stalled.stall(PATIENCE * 2);
    let server = Server::scripted(vec![stalled, Answer::rest(&place.file, 1000)]);
    let start = Instant::now();
    place.succeed(&server);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(starts(&server), [None, Some(1000)]);

    let place = Place::impatient();
    let silent = Answer::default().stall(PATIENCE * 2);
    let server = Server::scripted(vec![silent]);
    place.fail(&server, "sent nothing for 2 s (given up after 3 tries)");
    assert_eq!(server.asked().len(), 3);
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_slow_trickle_is_no_silence() {
    let place = Place::impatient();
    let slow = Answer::whole(&place.file).trickle(place.file.len() / 9, SILENCE / 5);
    let server = Server::scripted(vec![slow]);
    place.succeed(&server);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn what_will_not_change_is_not_tried_again() {
    let page = b"\n<!DOCTYPE html><html>Welcome to our network</html>";
    for (answer, told) in [
        (
            Answer::status("404 Not Found").length(0),
            "no such file (404)",
        ),
        (Answer::status("403 Forbidden").length(0), "(403)"),
        (Answer::whole(page), "a web page, not data"),
        (Answer::whole(b"{\"error\": 1}"), "no HDF5 file"),
        (Answer::whole(b""), "empty"),
        (Answer::status("204 No Content"), "204"),
        (
            Answer::status("302 Found")
                .header("Location", "/Labels.csd")
                .length(0),
            "redirects more than 4 times",
        ),
    ] {
        let place = Place::new();
        let server = Server::scripted(vec![answer]);
        place.fail(&server, told);
        assert_eq!(place.names(), [""; 0], "{told}");
        let asked = if told.contains("redirects") { 5 } else { 1 };
        assert_eq!(server.asked().len(), asked, "{told}");
    }
}

#[test]
fn a_web_page_in_place_of_the_rest_costs_nothing_that_has_arrived() {
    let place = Place::new();
    let server = Server::scripted(vec![
        Answer::whole(&place.file).etag("\"a\"").cut(1000),
        Answer::whole(b"<html>Log in</html>"),
        Answer::rest(&place.file, 1000),
    ]);
    place.fail(&server, "a web page");
    place.succeed(&server);
    assert_eq!(starts(&server), [None, Some(1000), Some(1000)]);
}

#[test]
fn passing_errors_pass() {
    let place = Place::new();
    let down = Answer::status("500 Internal Server Error").length(0);
    let late = Answer::status("503 Later")
        .header("Retry-After", "3600")
        .length(0);
    let server = Server::scripted(vec![down, late, Answer::whole(&place.file)]);
    place.succeed(&server);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn redirects_are_followed_without_the_token() {
    let place = Place::new();
    let store = Server::scripted(vec![Answer::whole(&place.file)]);
    let moved = Answer::status("302 Found").header("Location", &format!("{}/x", store.address));
    let server = Server::scripted(vec![moved.length(0)]);
    let target = Target {
        token: Some("secret".to_owned()),
        ..place.target(&server)
    };
    fetcher(PATIENCE).fetch(&target, &Silent).unwrap();
    assert_eq!(
        server.asked()[0].header("authorization"),
        Some("Bearer secret")
    );
    assert_eq!(store.asked()[0].header("authorization"), None);
}

#[test]
fn a_wrong_length_is_noticed() {
    let place = Place::new();
    let long = Answer::status("200 OK")
        .length(place.file.len() + 9)
        .body(&place.file);
    place.fail(&Server::scripted(vec![long]), "the connection ended");

    let place = Place::new();
    let short = Answer::status("200 OK")
        .length(place.file.len() - 9)
        .body(&place.file);
    let server = Server::scripted(vec![short]);
    place.fail(&server, "cut short");
    assert_eq!((server.asked().len(), place.names().len()), (1, 0));
}

#[test]
fn a_file_that_is_whole_but_wrong_is_refused() {
    let place = Place::new();
    let length = place.file.len();
    for kept in [length - 1, length / 2, 600, 100, 9] {
        let server = Server::scripted(vec![Answer::whole(&place.file[..kept])]);
        place.fail(&server, "HDF5");
        assert_eq!((server.asked().len(), place.names().len()), (1, 0));
    }
    let other = place.folder.path().join("made");
    common::write(&other, "Words.csd", &[("video", common::numbers(&[]))]);
    let other = std::fs::read(other.join("Words.csd")).unwrap();
    let server = Server::scripted(vec![Answer::whole(&other)]);
    place.fail(&server, "its top group is \"Words\", not \"Labels\"");
    assert_eq!((server.asked().len(), place.names().len()), (1, 0));
}

#[test]
fn checksums_are_held_to() {
    let place = Place::new();
    let server = Server::scripted(vec![Answer::whole(&place.file)]);
    let wrong = "0".repeat(64);
    let target = Target {
        sha256: Some(wrong.clone()),
        ..place.target(&server)
    };
    let fetched = fetcher(PATIENCE).fetch(&target, &Silent);
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains(&format!("not {wrong}")), "{error}");
    assert_eq!(place.names(), [""; 0]);

    std::fs::write(
        place.path("file.csd.sha256"),
        format!("{wrong}  file.csd\n"),
    )
    .unwrap();
    place.fail(&server, "by force");
    assert!(place.names().contains(&"file.csd.part".to_owned()));
    let asked = server.asked().len();
    std::fs::remove_file(place.path("file.csd.sha256")).unwrap();
    place.succeed(&server);
    assert_eq!(server.asked().len(), asked, "all had arrived");
}

#[test]
fn a_compressed_answer_is_unpacked_and_never_resumed() {
    // gzip of one stored block.
    let place = Place::new();
    let length = u16::try_from(place.file.len()).unwrap();
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(&place.file);
    packed.extend(crc32(&place.file).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    let answer = Answer::whole(&packed)
        .header("Content-Encoding", "gzip")
        .etag("\"a\"");
    let server = Server::scripted(vec![answer.clone().cut(1000), answer]);
    place.succeed(&server);
    assert_eq!(starts(&server), [None, None]);
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn no_server_is_one_sentence() {
    let place = Place::new();
    let mut server = Server::scripted(vec![Answer::whole(b"")]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    place.fail(&server, "refused");
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn two_downloads_of_one_file_do_not_mix() {
    let place = Place::new();
    std::fs::create_dir(place.path("")).unwrap();
    let part = std::fs::File::create(place.path("file.csd.part")).unwrap();
    part.lock().unwrap();
    let server = Server::scripted(vec![Answer::whole(&place.file)]);
    place.fail(&server, "another download");
    assert_eq!(server.asked().len(), 0);
    drop(part);
    place.succeed(&server);
}

#[test]
fn progress_is_told() {
    use std::sync::Mutex;
    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);
    impl mmrest_datatools::fetch::Progress for Log {
        fn begin(&self, name: &str, position: u64, total: Option<u64>) {
            let line = format!("{name} from {position} of {total:?}");
            self.0.lock().unwrap().push(line);
        }
        fn advance(&self, position: u64) {
            self.0.lock().unwrap().push(position.to_string());
        }
        fn retry(&self, _: &str, failures: u32, _: Duration) {
            self.0.lock().unwrap().push(format!("failure {failures}"));
        }
        fn check(&self, name: &str) {
            self.0.lock().unwrap().push(format!("check {name}"));
        }
    }
    let place = Place::new();
    let server = Server::scripted(vec![
        Answer::whole(&place.file).etag("\"a\"").cut(1000),
        Answer::rest(&place.file, 1000),
    ]);
    let log = Log::default();
    fetcher(PATIENCE)
        .fetch(&place.target(&server), &log)
        .unwrap();
    let log = log.0.into_inner().unwrap();
    let total = place.file.len();
    assert_eq!(log[0], format!("file.csd from 0 of Some({total})"));
    for line in [
        "1000",
        "failure 1",
        &format!("file.csd from 1000 of Some({total})"),
    ] {
        assert!(log.iter().any(|other| other == line), "{line} in {log:?}");
    }
    assert_eq!(
        log[log.len() - 2..],
        [total.to_string(), "check file.csd".to_owned()]
    );
}
