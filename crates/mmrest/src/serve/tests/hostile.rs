//! Clients that mean no good: they are refused at once, and keep nobody out.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::connections::MAX_CONNECTIONS;
use super::*;

/// No refusal takes so long, whatever else the machine has to do.
const AT_ONCE: Duration = Duration::from_secs(4);

const POST: &str =
    "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    /// Sends bytes as they stand and reads the first line of the answer; empty where the connection is closed.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes); // a server that refuses may not read it all
        first_line(&mut stream)
    }
}

fn first_line(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        if byte == *b"\r" {
            break;
        }
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn heads_that_are_wrong_are_refused_at_once() {
    let server = Running::new(limits());
    let get = |headers: &str| format!("GET /v1/model HTTP/1.1\r\n{headers}\r\n");
    let long = format!("X: {}\r\n", "a".repeat(70 << 10));
    let many: String = (0..2000)
        .map(|n| format!("X{n}: {}\r\n", "a".repeat(30)))
        .collect();
    for (sent, status) in [
        (get("Host: localhost\r\n"), "200"),
        (
            "GET http://127.0.0.1/v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            "200",
        ),
        (get(""), "400"),
        (get("Host: localhost\r\nHost: localhost\r\n"), "400"),
        (get("Host: localhost\r\nHost: evil.example\r\n"), "400"),
        (get("Host: [::1]evil\r\n"), "421"),
        (get("Host: localhost:evil\r\n"), "421"),
        (
            "GET http://evil.example/v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            "421",
        ),
        (get(&format!("Host: localhost\r\n{long}")), "431"),
        (get(&format!("Host: localhost\r\n{many}")), "431"),
        (format!("{POST}Content-Length: 99999999999\r\n\r\n"), "413"),
        (format!("{POST}Content-Length: 65537\r\n\r\n"), "413"),
    ] {
        let began = Instant::now();
        let answer = server.raw(sent.as_bytes());
        let head: String = sent.chars().take(90).collect();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head:?}: {answer:?}"
        );
        assert!(began.elapsed() < AT_ONCE, "{head:?}: {:?}", began.elapsed());
    }
}

#[test]
fn bodies_that_stall_keep_nobody_out_and_are_cut_off() {
    let server = Running::new(limits());
    let most = limits().body;
    // More than the budget, in bodies of which hardly anything comes.
    let mut stalled: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    for stream in &mut stalled {
        stream
            .write_all(format!("{POST}Content-Length: {most}\r\n\r\n{{").as_bytes())
            .unwrap();
    }
    // Until all are there; on a busy machine the first may have been cut off by then.
    let began = Instant::now();
    while server.metric("mmrest_connections") < 41.0 && began.elapsed() < AT_ONCE {
        thread::sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    let large = format!("{{\"text\": \"{}\"}}", "a".repeat(most - 20));
    assert_eq!(server.post("application/json", &large).0, 200);
    assert_eq!(server.json(&text("x")).0, 200);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let answers = stalled.iter_mut().map(first_line);
    let answers: Vec<String> = answers.collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer.starts_with("HTTP/1.1 408")),
        "{answers:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn half_open_connections_keep_nobody_out() {
    let server = Running::new(limits());
    let half: Vec<TcpStream> = (0..MAX_CONNECTIONS + 100)
        .map(|number| {
            let mut stream = server.connect();
            if number % 2 == 0 {
                stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
            }
            stream
        })
        .collect();
    let began = Instant::now();
    for _ in 0..20 {
        // Each on a connection of its own.
        let sent = format!("{POST}Content-Length: 13\r\n\r\n{{\"text\": \"x\"}}");
        assert!(server.raw(sent.as_bytes()).starts_with("HTTP/1.1 200"));
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert!(server.metric("mmrest_connections") <= MAX_CONNECTIONS as f64);
    drop(half);
}

/// Access to a server on loopback by a token.
fn with_token() -> Access {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef0\n").unwrap();
    Access {
        loopback: true,
        token: Some(Token::read(file.path()).unwrap()),
    }
}

#[test]
fn a_token_is_asked_for_everywhere_but_on_the_page() {
    let server = Running::with(limits(), with_token());
    let call = |path: &str, token: &str| {
        let mut request = server.agent.get(server.url(path));
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        request.call().unwrap()
    };
    let mut read = vec!["/healthz".to_owned(), "/readyz".to_owned()];
    let mut left = vec!["/".to_owned()];
    // The page, and what its files name: src="/app.js", href="/palette.css", from "./ask.js".
    while let Some(path) = left.pop() {
        let mut answer = call(&path, "");
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        let text = answer.body_mut().read_to_string().unwrap();
        let local = text
            .split('"')
            .filter_map(|name| name.trim_start_matches('.').strip_prefix('/'));
        let files = local.filter(|name| {
            [".js", ".css", ".svg"]
                .iter()
                .any(|end| name.ends_with(end))
        });
        read.push(path);
        left.extend(
            files
                .map(|name| format!("/{name}"))
                .filter(|name| !read.contains(name)),
        );
    }
    for path in [
        "/app.js",
        "/ask.js",
        "/timeline.js",
        "/palette.css",
        "/icon.svg",
        "/healthz",
        "/readyz",
    ] {
        assert!(
            read.iter().any(|known| known == path),
            "{path} is not in {read:?}"
        );
        assert_eq!(call(path, "").status().as_u16(), 200, "{path}");
    }
    for path in ["/v1/model", "/metrics", "/v1/predict", "/nowhere"] {
        for token in ["", "Bearer 0123456789abcdef1", "Basic 0123456789abcdef0"] {
            let refused = call(path, token);
            assert_eq!(refused.status().as_u16(), 401, "{path} {token}");
            assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        }
    }
    let good = "Bearer 0123456789abcdef0";
    assert_eq!(call("/v1/model", good).status().as_u16(), 200);
    assert_eq!(call("/v1/predict", good).status().as_u16(), 405);
    assert_eq!(server.json(&text("a")).0, 401);
    let request = server.agent.post(server.url("/v1/predict"));
    let request = request
        .header("authorization", good)
        .content_type("application/json");
    assert_eq!(request.send("{}").unwrap().status().as_u16(), 200);
}

/// Many clients read the answer only once they have sent everything.
#[test]
fn a_refusal_reaches_a_client_that_sends_its_whole_body_first() {
    let large = Limits {
        body: 8 << 20,
        ..limits()
    };
    let server = Running::with(large, with_token());
    let body = vec![b' '; 8_000_000];
    for (line, host, status) in [
        ("POST /v1/predict", "", "400"),
        ("POST /v1/predict", "Host: evil.example\r\n", "421"),
        ("POST /v1/predict", "Host: localhost\r\n", "401"),
        ("POST /nowhere", "Host: localhost\r\n", "401"),
        ("POST /healthz", "Host: localhost\r\n", "405"),
        ("PUT /app.js", "Host: localhost\r\n", "405"),
    ] {
        let mut stream = server.connect();
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let answer = first_line(&mut stream);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{line}: {answer:?}");
    }
}

#[test]
fn a_model_is_replaced_under_load_and_no_request_is_dropped() {
    let server = Running::new(limits());
    const ANSWERS: usize = 10;
    thread::scope(|scope| {
        let ask = || {
            for _ in 0..ANSWERS {
                assert_eq!(server.json(&text("a word")).0, 200);
                thread::sleep(Duration::from_millis(20));
            }
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        while !clients.iter().all(|client| client.is_finished()) {
            server.server.replace(fake(&limits())).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
    });
    // The threads of the models that were replaced have ended.
    server.server.replace(fake(&limits())).unwrap();
    let began = Instant::now();
    while server
        .server
        .scorers
        .lock()
        .unwrap()
        .iter()
        .filter(|s| !s.is_finished())
        .count()
        > 1
    {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "threads are left"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
