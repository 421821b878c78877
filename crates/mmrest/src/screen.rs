//! Prints lines on standard output and error, or keeps them until a dashboard that fills the terminal is closed.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The program's terminal. Log, signals and display write to it, whichever thread they are on.
static SCREEN: Mutex<Screen> = Mutex::new(Screen { held: None });

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// The text that waits, if something else fills the terminal.
struct Screen {
    held: Option<Vec<(Stream, Vec<u8>)>>,
}

impl Screen {
    fn write(&mut self, stream: Stream, text: &[u8], print: impl FnOnce(Stream, &[u8])) {
        match &mut self.held {
            Some(held) => held.push((stream, text.to_vec())),
            None => print(stream, text),
        }
    }

    fn hold(&mut self) -> bool {
        let begins = self.held.is_none();
        self.held.get_or_insert_default();
        begins
    }

    fn release(&mut self, mut print: impl FnMut(Stream, &[u8])) {
        for (stream, text) in self.held.take().into_iter().flatten() {
            print(stream, &text);
        }
    }
}

/// Errors are ignored: a run goes on when nobody reads its output.
fn print(stream: Stream, text: &[u8]) {
    let _ = match stream {
        Stream::Out => io::stdout().write_all(text),
        Stream::Err => io::stderr().write_all(text),
    };
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps lines from now on, and says whether that is new.
pub(crate) fn hold() -> bool {
    screen().hold()
}

/// Whether lines are kept.
pub(crate) fn is_held() -> bool {
    screen().held.is_some()
}

/// Prints the lines that were kept, and no longer keeps any.
pub(crate) fn release() {
    screen().release(print);
}

/// Prints a line on standard output.
pub(crate) fn out(line: &str) {
    screen().write(Stream::Out, format!("{line}\n").as_bytes(), print);
}

/// Prints a line on standard error.
pub(crate) fn err(line: &str) {
    screen().write(Stream::Err, format!("{line}\n").as_bytes(), print);
}

/// Standard error as a writer of whole lines.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        screen().write(Stream::Err, text, print);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_lines_are_printed_later_in_their_order() {
        let mut printed = Vec::new();
        let mut screen = Screen { held: None };
        screen.write(Stream::Out, b"1", |stream, text| {
            printed.push((stream, text.to_vec()));
        });
        assert_eq!(printed, [(Stream::Out, b"1".to_vec())]);
        assert!(screen.hold());
        for (stream, text) in [(Stream::Err, b"2"), (Stream::Out, b"3")] {
            screen.write(stream, text, |_, _| panic!("printed at once"));
            assert!(!screen.hold(), "held already");
        }
        screen.release(|stream, text| printed.push((stream, text.to_vec())));
        let kept = [(Stream::Err, b"2".to_vec()), (Stream::Out, b"3".to_vec())];
        assert_eq!(printed[1..], kept);
        screen.release(|_, _| panic!("printed twice"));
        assert!(screen.held.is_none());
    }
}
