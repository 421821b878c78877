//! A headless browser, driven by chromedriver (https://www.w3.org/TR/webdriver2/).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

/// How long a test waits for a page, and for the answer to a command: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// The options of Chromium.
const OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // A script of a test may play what a person would click on.
    "--autoplay-policy=no-user-gesture-required",
];

/// A browser with a new profile, closed when it is dropped.
pub(crate) struct Browser {
    driver: Driver,
    agent: Agent,
    /// The address of the session.
    session: String,
    _profile: tempfile::TempDir,
}

/// The process of chromedriver, which ends with its value.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Opens an address; none, with a note, where Chromium or chromedriver is not installed.
    pub(crate) fn open(address: &str) -> Option<Self> {
        let chromium = ["chromium", "chromium-browser", "google-chrome"];
        let installed = |name: &&str| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let Some(chromium) = chromium.into_iter().find(installed) else {
            println!("skipped: chromium is not installed");
            return None;
        };
        let Some((driver, port)) = start_driver() else {
            println!("skipped: chromedriver is not installed");
            return None;
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build();
        let mut browser = Self {
            driver,
            agent: agent.into(),
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: tempfile::tempdir().unwrap(),
        };
        let profile = browser._profile.path().join("profile");
        let mut options: Vec<String> = OPTIONS.map(String::from).to_vec();
        options.push(format!("--user-data-dir={}", profile.display()));
        let chrome = json!({ "binary": found(chromium), "args": options });
        let capabilities = json!({ "alwaysMatch": { "goog:chromeOptions": chrome } });
        let session = browser.send("", &json!({ "capabilities": capabilities }));
        let id = session["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        browser.send("/url", &json!({ "url": address }));
        Some(browser)
    }

    /// Waits until an expression of JavaScript is true on the page.
    pub(crate) fn wait_for(&self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != json!(true) {
            assert!(
                start.elapsed() < PATIENCE,
                "{expression} is not true on the page:\n{}",
                self.document()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page asks for something, answers, and returns the question.
    pub(crate) fn answer_prompt(&self, answer: &str) -> String {
        let start = Instant::now();
        let asked = loop {
            let address = format!("{}/alert/text", self.session);
            let mut response = self.agent.get(address).call().unwrap();
            let text = response.body_mut().read_to_string().unwrap();
            if response.status().as_u16() == 200 {
                break text;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the page asks for nothing: {text}"
            );
            std::thread::sleep(Duration::from_millis(50));
        };
        self.send("/alert/text", &json!({ "text": answer }));
        self.send("/alert/accept", &json!({}));
        let asked: Value = serde_json::from_str(&asked).unwrap();
        asked["value"].as_str().unwrap().to_owned()
    }

    /// Reads the page again.
    pub(crate) fn reload(&self) {
        self.send("/refresh", &json!({}));
    }

    /// The page as it is now.
    pub(crate) fn document(&self) -> String {
        self.text("document.documentElement.outerHTML")
    }

    /// The text of the element with an id.
    pub(crate) fn text_of(&self, id: &str) -> String {
        self.text(&format!("document.getElementById({id:?}).textContent"))
    }

    pub(crate) fn text(&self, expression: &str) -> String {
        let value = self.value(expression);
        let text = value.as_str().map(str::to_owned);
        text.unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// Chooses a file in the input with an id, as a person does.
    pub(crate) fn choose(&self, id: &str, file: &Path) {
        let by = json!({ "using": "css selector", "value": format!("#{id}") });
        let found = self.send("/element", &by);
        let element = found.as_object().and_then(|found| found.values().next());
        let element = element.and_then(Value::as_str).unwrap();
        self.send(
            &format!("/element/{element}/value"),
            &json!({ "text": file }),
        );
    }

    /// Makes the page so large.
    pub(crate) fn resize(&self, width: usize, height: usize) {
        let params =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &params);
    }

    /// Makes pages light or dark.
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    fn devtools(&self, command: &str, params: &Value) {
        self.send(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        );
    }

    /// The value of an expression of JavaScript.
    fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.send("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Sends a command to the session, and returns the value of the answer.
    fn send(&self, command: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{command}", self.session));
        let request = request.content_type("application/json");
        let mut response = request.send(body.to_string()).unwrap();
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        assert_eq!(status, 200, "{command} {body}: {text}");
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver's end would leave the browser running.
        let closed = self.agent.delete(&self.session).call();
        if closed.is_err() {
            println!("the browser of {} is not closed", self.driver.0.id());
        }
    }
}

/// Where a program is.
fn found(name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    let file = files.find(|file| file.is_file()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Starts chromedriver on a port that is free; none where it is not installed.
fn start_driver() -> Option<(Driver, u16)> {
    let child = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut driver = Driver(child.ok()?);
    let stdout = driver.0.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let started = " started successfully on port ";
    let port = lines.by_ref().find_map(|line| {
        let (_, port) = line
            .unwrap()
            .split_once(started)
            .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        port.trim_end_matches('.').parse().ok()
    });
    // What it says later is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    Some((driver, port.expect("chromedriver says its port")))
}
