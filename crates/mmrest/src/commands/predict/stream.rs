//! Scores JSON lines as they arrive, in windows that are computed together; a thread reads ahead within a limit of bytes.

use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mmrest_data::Segment;

#[cfg(test)]
use super::pieces::LONGEST;
use super::pieces::Pieces;
use super::scorer::{Place, Scorer};
use crate::lines::parse_line;

/// How long a window waits for another line before it is scored.
const IDLE: Duration = Duration::from_millis(10);
/// How long lines that arrive one by one are collected, at most.
const GATHER: Duration = Duration::from_millis(250);
/// The time between two checks of an idle input.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines that are scored together.
#[derive(Default)]
struct Window {
    segments: Vec<Segment>,
    /// Where each of them is.
    places: Vec<Place>,
    /// The bytes of their lines.
    bytes: usize,
    since: Option<Instant>,
}

/// Scores the lines of `input`, called `name`, in order. A line that cannot be scored is reported with its number and the
/// reason, and skipped. What ends the input early, after the lines before it are scored, is left in `scorer`: it cannot
/// be read, or a line cannot be scored and the scorer is strict.
pub(super) fn score_lines(
    scorer: &mut Scorer,
    input: impl Read + Send + 'static,
    name: &str,
) -> Result<()> {
    let lines = Lines::of(input);
    let mut window = Window::default();
    loop {
        let patience = match window.since {
            Some(_) => IDLE,
            None => PATIENCE,
        };
        match lines.next(patience) {
            Next::Line(line) => {
                scorer.begin();
                let place = format!("{name}, {} {}", line.what, line.number);
                if let Err(reason) = window.take(scorer, line, &place) {
                    if scorer.strict {
                        // What comes before it is told of first.
                        window.score(scorer, &lines)?;
                    }
                    scorer.skip(&place, &reason);
                }
                if scorer.stopped.is_some() {
                    return Ok(());
                }
                if window.is_full() || window.is_old() && lines.starved() {
                    window.score(scorer, &lines)?;
                }
            }
            Next::Idle => window.score(scorer, &lines)?,
            Next::End(end) => {
                window.score(scorer, &lines)?;
                let end = end.with_context(|| format!("cannot read {name}"));
                if let Err(error) = end {
                    scorer.stopped.get_or_insert(error);
                }
                return Ok(());
            }
        }
        if scorer.stopped.is_some() {
            return Ok(());
        }
    }
}

impl Window {
    /// Adds a line, or says why it cannot be scored.
    fn take(&mut self, scorer: &mut Scorer, line: Line, place: &str) -> Result<(), String> {
        self.bytes += line.bytes;
        self.since.get_or_insert_with(Instant::now);
        let segment = line.text.and_then(|text| parse_line(&text, line.number));
        let segment = segment.and_then(|segment| scorer.check(&segment).map(|()| segment))?;
        self.segments.push(segment);
        self.places.push(place.to_owned().into());
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.segments.len() >= Scorer::WINDOW
    }

    fn is_old(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= GATHER)
    }

    /// Scores the window and empties it.
    fn score(&mut self, scorer: &mut Scorer, lines: &Lines) -> Result<()> {
        scorer.pulse.read(self.segments.len(), self.bytes);
        scorer.score(&self.segments, &self.places)?;
        self.segments.clear();
        self.places.clear();
        lines.give_back(self.bytes);
        (self.bytes, self.since) = (0, None);
        Ok(())
    }
}

/// The most lines in the channel; their bytes are limited by [`MOST_BYTES`].
const AHEAD: usize = 64;
/// The most bytes of lines held at a time, whether read ahead or being scored; a longer line is held alone.
const MOST_BYTES: usize = 64 << 20;

/// One line of the input.
#[derive(Debug)]
pub(super) struct Line {
    /// What it is one of: a line, an element of an array, an object.
    pub(super) what: &'static str,
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its bytes, as counted in the budget.
    pub(super) bytes: usize,
    /// Its text, or why it cannot be read.
    pub(super) text: Result<String, String>,
}

/// The next event of the input.
#[derive(Debug)]
pub(super) enum Next {
    /// A line.
    Line(Line),
    /// No line in time, and none is being read: the thread waits for input, or for lines to be given back.
    Idle,
    /// The end, or why the input cannot be read to its end.
    End(std::io::Result<()>),
}

/// Lines, numbered from 1. Blank lines are skipped.
pub(super) struct Lines {
    /// Lines, then `None` or an error.
    received: Receiver<std::io::Result<Option<Line>>>,
    waiting: Arc<AtomicBool>,
    budget: Arc<Budget>,
}

impl Lines {
    /// Reads `input` on a separate thread, which ends with the input or when the lines are dropped (if it then waits for
    /// input, it ends with the program).
    pub(super) fn of(input: impl Read + Send + 'static) -> Self {
        let (send, received) = sync_channel(AHEAD);
        let waiting = Arc::new(AtomicBool::new(false));
        let budget = Arc::new(Budget::default());
        let input = Watched {
            input,
            waiting: Arc::clone(&waiting),
        };
        let (flag, own) = (Arc::clone(&waiting), Arc::clone(&budget));
        std::thread::spawn(move || {
            let input = BufReader::with_capacity(1 << 16, input);
            let end = read(input, &send, &flag, &own);
            let _ = send.send(end.map(|()| None)); // perhaps nobody listens any more
        });
        Self {
            received,
            waiting,
            budget,
        }
    }

    /// The next line, or [`Next::Idle`] if there is none for `patience` although the thread could read one.
    pub(super) fn next(&self, patience: Duration) -> Next {
        loop {
            match self.received.recv_timeout(patience) {
                Ok(Ok(Some(line))) => return Next::Line(line),
                Ok(end) => return Next::End(end.map(|_| ())),
                Err(RecvTimeoutError::Disconnected) => {
                    let lost = "the thread that reads it has ended before its work was done";
                    return Next::End(Err(std::io::Error::other(lost)));
                }
                Err(RecvTimeoutError::Timeout) if self.starved() => return Next::Idle,
                // A line is being read: a long one takes its time.
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether the thread waits for input, or for lines to be given back.
    pub(super) fn starved(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns the bytes of lines that are scored to the budget.
    pub(super) fn give_back(&self, bytes: usize) {
        self.budget.give_back(bytes);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.budget.close();
    }
}

/// Reads until the end, or until nobody listens any more.
fn read(
    input: impl BufRead,
    send: &SyncSender<std::io::Result<Option<Line>>>,
    waiting: &AtomicBool,
    budget: &Budget,
) -> std::io::Result<()> {
    let mut pieces = Pieces::new(input);
    while let Some(piece) = pieces.next()? {
        let (bytes, text) = match piece.bytes {
            Ok(line) => (line.len(), String::from_utf8(line).map_err(not_utf8)),
            Err(reason) => (0, Err(reason)),
        };
        if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
            continue;
        }
        let line = Line {
            what: piece.what,
            number: piece.number,
            bytes,
            text,
        };
        if !budget.take(bytes, waiting) || send.send(Ok(Some(line))).is_err() {
            break;
        }
    }
    Ok(())
}

fn not_utf8(error: std::string::FromUtf8Error) -> String {
    let place = error.utf8_error().valid_up_to();
    format!("not UTF-8 from byte {} on", place + 1)
}

/// An input that records whether a reader waits for it.
struct Watched<R> {
    input: R,
    waiting: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.waiting.store(true, Ordering::Relaxed);
        let read = self.input.read(into);
        self.waiting.store(false, Ordering::Relaxed);
        read
    }
}

/// Limits the bytes of lines that are held.
#[derive(Default)]
struct Budget {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    closed: bool,
}

impl Budget {
    /// Waits until a line of `bytes` bytes may be held; returns whether anybody still wants it.
    fn take(&self, bytes: usize, waiting: &AtomicBool) -> bool {
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !held.closed && held.bytes > 0 && held.bytes + bytes > MOST_BYTES {
            waiting.store(true, Ordering::Relaxed);
            let woken = self.changed.wait(held);
            held = woken.unwrap_or_else(PoisonError::into_inner);
            waiting.store(false, Ordering::Relaxed);
        }
        held.bytes += bytes;
        !held.closed
    }

    fn give_back(&self, bytes: usize) {
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes = held.bytes.saturating_sub(bytes);
        self.changed.notify_all();
    }

    fn close(&self) {
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        held.closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    /// All lines of an input that ends.
    fn all(input: impl Read + Send + 'static) -> Vec<(usize, Result<String, String>)> {
        let lines = Lines::of(input);
        let mut found = Vec::new();
        loop {
            match lines.next(SOON) {
                Next::Line(line) => {
                    lines.give_back(line.bytes);
                    found.push((line.number, line.text));
                }
                Next::Idle => {}
                Next::End(end) => {
                    end.unwrap();
                    return found;
                }
            }
        }
    }

    #[test]
    fn lines_are_numbered_and_empty_ones_passed_over() {
        let found = all(&b"one\n\n  \r\ntwo\r\nlast"[..]);
        let expected = [(1, "one"), (4, "two\r"), (5, "last")];
        assert_eq!(
            found,
            expected.map(|(number, text)| (number, Ok(text.to_string())))
        );
        assert!(all(&b""[..]).is_empty());
    }

    #[test]
    fn what_is_no_text_is_a_bad_line_and_no_more() {
        let found = all(&b"a\n\xff\xfe\nb\n"[..]);
        assert_eq!(found.len(), 3);
        assert!(found[1].1.as_ref().unwrap_err().contains("not UTF-8"));
        assert_eq!(found[2], (3, Ok("b".to_string())));
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_the_next_is_read() {
        let long = std::io::repeat(b'x').take(LONGEST as u64 + 5);
        let found = all(long.chain(&b"\nshort\n"[..]));
        assert!(found[0].1.as_ref().unwrap_err().contains("64 MiB"));
        assert_eq!(found[1], (2, Ok("short".to_string())));
        let whole = std::io::repeat(b'x').take(LONGEST as u64);
        let found = all(whole.chain(&b"\n"[..]));
        assert_eq!(found[0].1.as_ref().unwrap().len(), LONGEST);
    }

    #[test]
    fn so_many_bytes_are_read_ahead_and_no_more() {
        let line = [vec![b'x'; 20 << 20], vec![b'\n']].concat();
        let lines = Lines::of(std::io::Cursor::new(line.repeat(5)));
        let mut held = Vec::new();
        let mut idle = 0;
        while held.len() < 3 || idle < 40 {
            match lines.next(SOON) {
                Next::Line(line) => held.push(line.bytes),
                Next::Idle => idle += 1,
                Next::End(_) => panic!("five lines were held"),
            }
        }
        assert_eq!(held.len(), 3, "three lines of 20 MiB fit into 64");
        lines.give_back(held[0]);
        let fourth = loop {
            match lines.next(SOON) {
                Next::Line(line) => break line.number,
                Next::Idle => {}
                Next::End(_) => panic!("the fourth is lost"),
            }
        };
        assert_eq!(fourth, 4);
    }

    #[test]
    fn a_reader_that_fails_says_so_after_what_it_gave() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the cable"))
            }
        }
        let lines = Lines::of((&b"one\ntwo\n"[..]).chain(Broken));
        let mut numbers = Vec::new();
        let end = loop {
            match lines.next(SOON) {
                Next::Line(line) => numbers.push(line.number),
                Next::Idle => {}
                Next::End(end) => break end,
            }
        };
        assert_eq!(numbers, [1, 2]);
        assert_eq!(end.unwrap_err().to_string(), "the cable");
    }
}
