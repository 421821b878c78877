//! Many clients at a time: no errors, and memory does not grow; overload is answered with 503, and the server goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::Served;

const CLIENTS: usize = 16;

/// What became of the requests of all clients.
#[derive(Debug, Default)]
struct Tally {
    scored: usize,
    busy: usize,
    other: Vec<u16>,
    /// Milliseconds of the requests that were scored.
    took: Vec<f64>,
}

impl Tally {
    fn merged(tallies: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for tally in tallies {
            all.scored += tally.scored;
            all.busy += tally.busy;
            all.other.extend(tally.other);
            all.took.extend(tally.took);
        }
        all.took.sort_by(f64::total_cmp);
        all
    }

    /// Milliseconds within which this share of the requests was scored.
    fn within(&self, share: f64) -> f64 {
        let place = (self.took.len() as f64 * share) as usize;
        let last = self.took.len().saturating_sub(1);
        self.took.get(place.min(last)).copied().unwrap_or(f64::NAN)
    }
}

/// A request of some segments: a text, and now and then frames.
fn request(model: &Value, client: usize, number: usize, segments: usize) -> String {
    let segment = |place: usize| {
        let seed = client * 31 + number * 7 + place;
        let mut line =
            json!({"text": "it was a wonderful film and the end was not ".repeat(1 + seed % 3)});
        for modality in ["vision", "audio"] {
            let width = model["features"][modality].as_u64().unwrap();
            if !seed.is_multiple_of(4) && width > 0 {
                let frames: Vec<Vec<f32>> = (0..10 + seed % 50)
                    .map(|t| {
                        (0..width)
                            .map(|f| ((t + seed) as f32 * 0.1 + f as f32).sin())
                            .collect()
                    })
                    .collect();
                line[modality] = json!(frames);
            }
        }
        line
    };
    json!((0..segments).map(segment).collect::<Vec<_>>()).to_string()
}

/// All clients, each asking again as soon as it is answered, until `over`.
fn load(server: &Served, clients: usize, segments: usize, over: &AtomicBool) -> Tally {
    let model = server.model();
    let ask = |client: usize| {
        let requests: Vec<String> = (0..8)
            .map(|n| request(&model, client, n, segments))
            .collect();
        let mut tally = Tally::default();
        for body in requests.iter().cycle() {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let start = Instant::now();
            match server.post("/v1/predict", "application/json", body) {
                (200, answer) => {
                    assert_eq!(answer.matches("\"prediction\"").count(), segments);
                    tally.scored += 1;
                    tally.took.push(start.elapsed().as_secs_f64() * 1e3);
                }
                (503, _) => tally.busy += 1,
                (other, _) => tally.other.push(other),
            }
        }
        tally
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|c| scope.spawn(move || ask(c))).collect();
        Tally::merged(clients.into_iter().map(|client| client.join().unwrap()))
    })
}

/// Runs the clients for `seconds`, reading the server's memory, in MiB, at `moments` of it.
fn measured(server: &Served, segments: usize, seconds: u64, moments: &[u64]) -> (Tally, Vec<f64>) {
    measured_by(server, CLIENTS, segments, seconds, moments)
}

/// As [`measured`], with another number of clients.
fn measured_by(
    server: &Served,
    clients: usize,
    segments: usize,
    seconds: u64,
    moments: &[u64],
) -> (Tally, Vec<f64>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = scope.spawn(|| load(server, clients, segments, &over));
        let start = Instant::now();
        let mut memory = Vec::new();
        for moment in moments.iter().chain([&seconds]) {
            thread::sleep(Duration::from_secs(*moment).saturating_sub(start.elapsed()));
            memory.push(server.metric("mmrest_resident_memory_bytes") / f64::from(1 << 20));
        }
        over.store(true, Ordering::Relaxed);
        (clients.join().unwrap(), memory)
    })
}

fn undisturbed(server: &Served) {
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.metric("mmrest_panics_total"), 0.0);
    assert_eq!(server.metric("mmrest_queue_segments"), 0.0);
}

#[test]
fn sixteen_clients_are_all_answered() {
    let server = Served::new(&[]);
    let (tally, memory) = measured(&server, 1, 4, &[1]);
    assert!(tally.scored >= CLIENTS, "{} requests", tally.scored);
    assert_eq!((tally.busy, tally.other.as_slice()), (0, &[][..]));
    let grown = memory[1] - memory[0];
    assert!(grown < 100.0, "{grown} MiB more after three seconds");
    let (batches, segments) = (
        server.metric("mmrest_batch_segments_count"),
        server.metric("mmrest_batch_segments_sum"),
    );
    assert!(segments > batches, "no batch went across requests");
    undisturbed(&server);
}

#[test]
fn more_than_it_can_do_is_answered_503() {
    let mut server = Served::new(&["--queue", "16", "--batch", "4"]);
    let (tally, _) = measured(&server, 8, 3, &[]);
    assert!(tally.scored > 0 && tally.busy > 0, "{tally:?}");
    assert_eq!(tally.other, [0_u16; 0]);
    undisturbed(&server);
    assert_eq!(server.end_by("-TERM").code(), Some(0), "{}", server.log());
}

/// Connections of every kind that keeps a server busy for nothing, held and made anew until `over`; says once all are held.
fn hostile(server: &Served, count: usize, over: &AtomicBool, held_all: Sender<()>) {
    use std::io::Write;
    let address = server.base.strip_prefix("http://").unwrap();
    let post = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let open = |number: usize| {
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        let sent = match number % 4 {
            0 => String::new(),
            1 => "GET / HTTP/1.1\r\nHost: loc".to_owned(),
            2 => format!("{post}Content-Length: 8388608\r\n\r\n"),
            _ => format!(
                "{post}Content-Length: 8388608\r\n\r\n{}",
                " ".repeat(100_000)
            ),
        };
        stream.set_nonblocking(true).ok()?;
        let _ = stream.write(sent.as_bytes());
        Some(stream)
    };
    let mut held: Vec<_> = (0..count).map(open).collect();
    let there = held.iter().flatten().count();
    assert_eq!(there, count, "the limit of open files is too low");
    let _ = held_all.send(());
    let mut next = 0;
    while !over.load(Ordering::Relaxed) {
        // A byte more of some, and some from the beginning: two hundred a second.
        for _ in 0..10 {
            let at = next % count;
            let kept = held[at]
                .as_mut()
                .is_some_and(|stream| stream.write(b" ").is_ok());
            if !kept || next % 3 == 0 {
                held[at] = open(next);
            }
            next += 1;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The server's CPU time so far, where the system tells.
fn cpu_seconds(server: &Served) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).ok()?;
    // The name, in parentheses, may hold anything; user and system time are fields 14 and 15, in hundredths.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// What `during` gives, with hostile connections all the while; these stand before it begins.
fn beset<T>(server: &Served, count: usize, during: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        if count > 0 {
            let (held_all, wait) = channel();
            let over = &over;
            scope.spawn(move || hostile(server, count, over, held_all));
            let _ = wait.recv();
        }
        let result = during();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// What a window of time had: requests that were scored, the server's CPU time, and its length, both in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    requests: f64,
    cpu: f64,
    wall: f64,
}

/// What the server spends while `during` runs, which tells how many requests were scored; none where the system does not
/// tell CPU times.
fn spent(server: &Served, during: impl FnOnce() -> usize) -> Option<Spent> {
    let (start, before) = (Instant::now(), cpu_seconds(server));
    let requests = during() as f64;
    Some(Spent {
        requests,
        cpu: cpu_seconds(server)? - before?,
        wall: start.elapsed().as_secs_f64(),
    })
}

/// Rates depend on what else the machine does; CPU times hardly do. Where clients ask as fast as they are answered, a
/// rate is the machine's cores by the CPU time of a request: hostile connections lower it by the cores that they take for
/// themselves, and by what they add to the cost of every request. Windows with and without them in turn share whatever
/// else is going on.
#[test]
fn a_thousand_hostile_connections_cost_sixteen_clients_at_most_a_tenth_of_their_rate() {
    let server = Served::new(&[]);
    // Made anew until every one was met: what is measured is the steady state.
    let alone = beset(&server, 1000, || {
        spent(&server, || {
            thread::sleep(Duration::from_secs(3));
            0
        })
    });
    let Some(alone) = alone else {
        println!("skipped: the cost of hostile connections: this system does not tell CPU times");
        return;
    };
    let taken = alone.cpu / alone.wall;
    assert!(taken < 0.1, "{taken:.3} of a core");
    // Once is enough: what else the machine does can only make it look worse.
    let kept = (0..3)
        .map(|_| kept(&server, taken))
        .find(|&kept| kept >= 0.9);
    undisturbed(&server);
    assert!(kept.is_some(), "less than nine tenths, three times");
}

/// The share of their rate that sixteen clients keep beside hostile connections that take `taken` of a core.
fn kept(server: &Served, taken: f64) -> f64 {
    let mut windows = [Spent::default(); 2];
    for _ in 0..4 {
        for (count, sum) in [0, 1000].into_iter().zip(&mut windows) {
            let score = || {
                let (tally, _) = measured(server, 1, 2, &[]);
                assert!(tally.scored >= CLIENTS, "{} requests", tally.scored);
                assert_eq!((tally.busy, tally.other.as_slice()), (0, &[][..]));
                tally.scored
            };
            let window = beset(server, count, || spent(server, score)).unwrap_or_default();
            sum.requests += window.requests;
            sum.cpu += window.cpu;
            sum.wall += window.wall;
        }
    }
    let [without, with] = windows;
    let dearer = (with.cpu - taken * with.wall) / with.requests * without.requests / without.cpu;
    let cores = thread::available_parallelism().unwrap().get() as f64;
    let kept = (1.0 - taken / cores) / dearer;
    println!(
        "hostile connections take {:.1} % of a core, a request beside them {dearer:.3} times the CPU time: on {cores} cores \
         clients keep {:.1} % of their rate ({:.0} and {:.0} requests/s while measured)",
        taken * 100.0,
        kept * 100.0,
        with.requests / with.wall,
        without.requests / without.wall,
    );
    kept
}

/// Reads the model again, `times` times, while clients ask.
fn reloaded(clients: usize, seconds: u64, pause: Duration) {
    let server = Served::new(&[]);
    let over = AtomicBool::new(false);
    let (tally, memory, times) = thread::scope(|scope| {
        let reload = scope.spawn(|| {
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                server.signal("-HUP");
                times += 1;
                thread::sleep(pause);
            }
            times
        });
        let moments: Vec<u64> = (1..10).map(|tenth| seconds * tenth / 10).collect();
        let (tally, memory) = measured_by(&server, clients, 1, seconds, &moments);
        over.store(true, Ordering::Relaxed);
        (tally, memory, reload.join().unwrap())
    });
    let read =
        |outcome: &str| server.metric(&format!("mmrest_reloads_total{{outcome=\"{outcome}\"}}"));
    let memory: Vec<f64> = memory.iter().map(|mib| mib.round()).collect();
    println!(
        "{clients} clients, {seconds} s: {} requests, {times} reloads asked for, {} done; MiB: {memory:?}",
        tally.scored,
        read("done")
    );
    assert_eq!(
        (tally.busy, tally.other.as_slice()),
        (0, &[][..]),
        "a request was dropped"
    );
    assert!(tally.scored > clients && read("done") >= 2.0);
    // One model more for a moment, and no more at the end than at the beginning.
    assert!(memory[memory.len() - 1] < memory[1] + 100.0, "{memory:?}");
    undisturbed(&server);
}

#[test]
fn a_model_that_is_read_again_drops_no_request() {
    reloaded(16, 4, Duration::from_millis(300));
}

/// `MMREST_SOAK=600 cargo test --release -p mmrest --test serve -- --ignored --nocapture soak`
#[test]
#[ignore = "takes ten minutes, or the seconds in MMREST_SOAK"]
fn a_soak_under_64_clients_with_models_read_again() {
    let seconds = std::env::var("MMREST_SOAK").map_or(600, |seconds| seconds.parse().unwrap());
    reloaded(64, seconds, Duration::from_secs(5));
}

/// `cargo test --release -p mmrest --test serve -- --ignored --nocapture`
#[test]
#[ignore = "takes two minutes; prints what it measured"]
fn a_minute_of_load_and_a_minute_of_overload() {
    for (title, arguments, segments) in [
        ("one segment a request", vec![], 1),
        (
            "eight segments a request, 16 may wait",
            vec!["--queue", "16"],
            8,
        ),
    ] {
        let server = Served::new(&arguments);
        let before = server.metric("mmrest_resident_memory_bytes") / f64::from(1 << 20);
        let (tally, memory) = measured(&server, segments, 60, &[10, 20, 30, 40, 50]);
        let memory: Vec<String> = memory.iter().map(|m| format!("{m:.0}")).collect();
        println!("{title}, {CLIENTS} clients, 60 s:");
        println!(
            "  {} requests scored ({:.0} segments/s), {} answered 503, {} otherwise",
            tally.scored,
            (tally.scored * segments) as f64 / 60.0,
            tally.busy,
            tally.other.len()
        );
        println!(
            "  latency of those scored: median {:.1} ms, 99 % {:.1} ms, greatest {:.1} ms",
            tally.within(0.5),
            tally.within(0.99),
            tally.within(1.0)
        );
        println!(
            "  memory: {before:.0} MiB at the start, then every 10 s {} MiB",
            memory.join(", ")
        );
        assert_eq!(tally.other, [0_u16; 0]);
        undisturbed(&server);
    }
}
