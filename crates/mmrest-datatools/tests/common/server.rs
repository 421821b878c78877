//! A local HTTP server that misbehaves as it is told.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    /// A header by its lowercase name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Where the range begins that is asked for.
    pub(crate) fn start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split('-').next()?.parse().ok()
    }
}

/// An answer, byte by byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    head: String,
    body: Vec<u8>,
    /// Bytes sent before the connection is closed; all, if none.
    cut: Option<usize>,
    /// Silence before the connection is closed.
    stall: Duration,
    /// Bytes sent at a time, and the pause between.
    trickle: Option<(usize, Duration)>,
}

impl Answer {
    pub(crate) fn status(status: &str) -> Self {
        Self {
            head: format!("HTTP/1.1 {status}\r\n"),
            ..Self::default()
        }
    }

    /// 200 with all of a file.
    pub(crate) fn whole(body: &[u8]) -> Self {
        Self::status("200 OK").length(body.len()).body(body)
    }

    /// 206 with the rest of a file.
    pub(crate) fn rest(body: &[u8], start: usize) -> Self {
        let total = body.len();
        Self::status("206 Partial Content")
            .header(
                "Content-Range",
                &format!("bytes {start}-{}/{total}", total - 1),
            )
            .length(total - start)
            .body(&body[start..])
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn etag(self, tag: &str) -> Self {
        self.header("ETag", tag)
    }

    pub(crate) fn length(self, length: usize) -> Self {
        self.header("Content-Length", &length.to_string())
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub(crate) fn stall(mut self, time: Duration) -> Self {
        self.stall = time;
        self
    }

    pub(crate) fn trickle(mut self, bytes: usize, pause: Duration) -> Self {
        self.trickle = Some((bytes, pause));
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        if !self.head.is_empty() {
            stream.write_all(format!("{}Connection: close\r\n\r\n", self.head).as_bytes())?;
        }
        let body = &self.body[..self.cut.unwrap_or(self.body.len())];
        let (size, pause) = self.trickle.unwrap_or((usize::MAX, Duration::ZERO));
        for piece in body.chunks(size) {
            stream.write_all(piece)?;
            stream.flush()?;
            sleep(pause);
        }
        sleep(self.stall);
        Ok(())
    }
}

/// A server that answers every request as its script says.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Asks the script for an answer to each request; it is told how many came before.
    pub(crate) fn start(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &log, &*script));
            }
        });
        Self { address, asked }
    }

    /// One answer after another; the last is repeated.
    pub(crate) fn scripted(answers: Vec<Answer>) -> Self {
        Self::start(move |before, _| answers[before.min(answers.len() - 1)].clone())
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, script: &dyn Fn(usize, &Asked) -> Answer) {
    let Some(asked) = read(&stream) else { return };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    // A client that has seen enough hangs up.
    let _ = script(before, &asked).send(&mut stream);
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Asked { path, headers })
}
