//! Takes JSON apart into one text per segment: JSON lines, an array of objects, or objects over several lines.

use std::io::{BufRead, Cursor, Error, ErrorKind, Read, Result};

/// The longest text of a segment that is read.
pub(super) const LONGEST: usize = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How segments are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// One per line.
    Lines,
    /// An array that has begun.
    Array,
    /// Objects, each over as many lines as it likes.
    Objects,
    /// Behind the end of an array.
    Ended,
}

/// The text of one segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it is one of: `line`, `element` or `object`.
    pub(super) what: &'static str,
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its bytes; none of one longer than [`LONGEST`], or where there is something else.
    pub(super) bytes: Bytes,
}

/// Bytes, or why there are none.
type Bytes = std::result::Result<Vec<u8>, String>;

/// The pieces of an input.
pub(super) struct Pieces<'a> {
    input: Box<dyn BufRead + 'a>,
    layout: Option<Layout>,
    number: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(input: impl BufRead + 'a) -> Self {
        Self {
            input: Box::new(input),
            layout: None,
            number: 0,
        }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or is no text at all.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        let layout = match self.layout {
            Some(layout) => layout,
            None => self.begin()?,
        };
        self.layout = Some(layout);
        match layout {
            Layout::Lines => self.line(),
            Layout::Array => self.element(),
            Layout::Objects => self.object(),
            Layout::Ended => Ok(None),
        }
    }

    /// Tells the layout by how the input begins.
    fn begin(&mut self) -> Result<Layout> {
        let mut start = Vec::new();
        let mut mark = self.input.by_ref().take(BYTE_ORDER_MARK.len() as u64);
        mark.read_to_end(&mut start)?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(no_text("is UTF-16: save it as UTF-8"));
        }
        if start == BYTE_ORDER_MARK {
            start.clear();
        }
        self.push(start);
        let mut first = Vec::new();
        loop {
            let mut line = Vec::new();
            let most = LONGEST as u64 + 1;
            self.input
                .by_ref()
                .take(most)
                .read_until(b'\n', &mut line)?;
            first.extend_from_slice(&line);
            if line.is_empty() || !line.trim_ascii().is_empty() {
                break;
            }
        }
        if first.contains(&0) {
            return Err(no_text("is no text"));
        }
        let layout = match first.trim_ascii_start().first() {
            Some(b'[') => Layout::Array,
            Some(b'{') if is_open(&first) && !self.next_begins_an_object()? => Layout::Objects,
            _ => Layout::Lines,
        };
        self.push(first);
        if layout == Layout::Array {
            self.skip(|byte| byte != b'[')?;
            self.input.consume(1);
        }
        Ok(layout)
    }

    /// Puts bytes back before what is left of the input.
    fn push(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let rest = std::mem::replace(&mut self.input, Box::new(std::io::empty()));
        self.input = Box::new(Cursor::new(bytes).chain(rest));
    }

    /// Looks ahead, behind white space, which stays: lines are counted.
    fn next_begins_an_object(&mut self) -> Result<bool> {
        let mut white = Vec::new();
        let next = loop {
            let ahead = self.input.fill_buf()?;
            let passed = ahead
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            white.extend_from_slice(&ahead[..passed]);
            let next = ahead.get(passed).copied();
            let end = ahead.is_empty();
            self.input.consume(passed);
            if next.is_some() || end || white.len() > LONGEST {
                break next;
            }
        };
        self.push(white);
        Ok(next == Some(b'{'))
    }

    /// Skips bytes as long as they are such.
    fn skip(&mut self, is: impl Fn(u8) -> bool) -> Result<()> {
        loop {
            let ahead = self.input.fill_buf()?;
            let passed = ahead.iter().take_while(|&&byte| is(byte)).count();
            let more = passed == ahead.len() && passed > 0;
            self.input.consume(passed);
            if !more {
                return Ok(());
            }
        }
    }

    fn piece(&mut self, what: &'static str, bytes: Bytes) -> Option<Piece> {
        self.number += 1;
        Some(Piece {
            what,
            number: self.number,
            bytes,
        })
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<Piece>> {
        let mut line = Vec::new();
        let most = LONGEST as u64 + 1;
        let read = self
            .input
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut line)?;
        match line.last() {
            None => return Ok(None),
            Some(b'\n') => line.truncate(read - 1),
            Some(_) if read > LONGEST => {
                drop(line);
                self.skip(|byte| byte != b'\n')?;
                self.input.consume(1);
                return Ok(self.piece("line", Err(too_long("line"))));
            }
            Some(_) => {}
        }
        Ok(self.piece("line", Ok(line)))
    }

    /// The next element of the array.
    fn element(&mut self) -> Result<Option<Piece>> {
        self.skip(|byte| byte.is_ascii_whitespace() || byte == b',')?;
        match self.input.fill_buf()?.first() {
            Some(b']') => {
                self.input.consume(1);
                self.layout = Some(Layout::Ended);
                self.skip(|byte| byte.is_ascii_whitespace())?;
                if self.input.fill_buf()?.is_empty() {
                    return Ok(None);
                }
                let told = "there is more text behind the end of the array";
                Ok(self.piece("element", Err(told.into())))
            }
            None => {
                self.layout = Some(Layout::Ended);
                Ok(self.piece("element", Err("the array is cut off: it has no ]".into())))
            }
            Some(_) => {
                let value = self.value("element")?;
                Ok(self.piece("element", value))
            }
        }
    }

    /// The next object.
    fn object(&mut self) -> Result<Option<Piece>> {
        self.skip(|byte| byte.is_ascii_whitespace() || byte == b',')?;
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let value = self.value("object")?;
        Ok(self.piece("object", value))
    }

    /// A value: to the bracket that closes it, or without one to what separates it from the next.
    fn value(&mut self, what: &str) -> Result<Bytes> {
        let mut depth = Depth::default();
        let (mut value, mut long) = (Vec::new(), false);
        loop {
            let ahead = self.input.fill_buf()?;
            if ahead.is_empty() {
                break;
            }
            let mut end = None;
            for (at, &byte) in ahead.iter().enumerate() {
                let bare = depth.is_outside();
                if bare && matches!(byte, b',' | b']' | b'}' | b'\n') {
                    // Alone it would never end.
                    end = Some(if byte == b'}' { at + 1 } else { at });
                    break;
                }
                depth.push(byte);
                if !bare && depth.is_outside() {
                    end = Some(at + 1);
                    break;
                }
            }
            let passed = end.unwrap_or(ahead.len());
            long |= value.len() + passed > LONGEST;
            if !long {
                value.extend_from_slice(&ahead[..passed]);
            }
            self.input.consume(passed);
            if end.is_some() {
                break;
            }
        }
        Ok(if long { Err(too_long(what)) } else { Ok(value) })
    }
}

/// Whether the brackets of a line are still open at its end, where a value may end: the object goes on on the next line.
fn is_open(line: &[u8]) -> bool {
    let mut depth = Depth::default();
    line.iter().for_each(|&byte| depth.push(byte));
    let last = line.trim_ascii_end().last();
    depth.open > 0 && !depth.quoted && matches!(last, Some(b'{' | b'[' | b','))
}

/// How many brackets are open, outside of texts.
#[derive(Default)]
struct Depth {
    open: usize,
    quoted: bool,
    escaped: bool,
}

impl Depth {
    fn is_outside(&self) -> bool {
        self.open == 0 && !self.quoted
    }

    fn push(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'{' | b'[' => self.open += 1,
            b'}' | b']' => self.open = self.open.saturating_sub(1),
            _ => {}
        }
    }
}

fn no_text(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        format!("it {what}; JSON is expected, one segment per line or an array"),
    )
}

fn too_long(what: &str) -> String {
    format!(
        "longer than {} MiB, the most that is read of one {what}",
        LONGEST >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, number and text of each piece, a few bytes read at a time.
    fn pieces(input: &str) -> Vec<(&'static str, usize, std::result::Result<String, String>)> {
        let reader = std::io::BufReader::with_capacity(3, input.as_bytes());
        let mut pieces = Pieces::new(reader);
        let mut found = Vec::new();
        while let Some(piece) = pieces.next().unwrap() {
            let text = piece.bytes.map(|bytes| String::from_utf8(bytes).unwrap());
            found.push((piece.what, piece.number, text));
        }
        found
    }

    fn texts(input: &str) -> Vec<String> {
        let all = pieces(input).into_iter();
        all.map(|(_, _, text)| text.unwrap_or_else(|told| told))
            .collect()
    }

    #[test]
    fn lines_stay_lines() {
        let found = pieces("{\"text\": \"a\"}\n\n{\"text\": \"b\"}\r\nlast");
        let numbers: Vec<usize> = found.iter().map(|piece| piece.1).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert!(found.iter().all(|piece| piece.0 == "line"));
        assert_eq!(texts("nonsense\n{}\n"), ["nonsense", "{}"]);
        // A broken line costs itself alone.
        assert_eq!(texts("{\"audio\": [\n\n{}\n"), ["{\"audio\": [", "", "{}"]);
        assert_eq!(texts("{\"text\": \"a\n{}\n"), ["{\"text\": \"a", "{}"]);
        assert_eq!(texts("{\"audio\": [[1\n{}\n"), ["{\"audio\": [[1", "{}"]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn arrays_are_taken_apart() {
        let array =
            "[\n  {\n \"text\": \"],}{\\\"[\"\n },\n {\"audio\": [[1, 2], [3]]} , 7, \"a,b\"\n]\n";
        let found = texts(array);
        assert_eq!(found[0], "{\n \"text\": \"],}{\\\"[\"\n }");
        assert_eq!(found[1..], ["{\"audio\": [[1, 2], [3]]}", "7", "\"a,b\""]);
        assert_eq!(pieces(array)[3].1, 4);
        assert!(pieces(" []\n").is_empty());
        assert!(texts("[{}")[1].contains("cut off"));
        assert!(texts("[{}] {}")[1].contains("behind the end"));
        assert_eq!(texts("[{}, }, {}]"), ["{}", "}", "{}"]);
    }

    #[test]
    fn an_object_may_go_over_several_lines() {
        let one = "{\n  \"text\": \"fine\",\n  \"audio\": [[1],\n [2]]\n}\n";
        assert_eq!(texts(one), [one.trim()]);
        assert_eq!(pieces(one)[0].0, "object");
        assert_eq!(texts(&one.repeat(2)).len(), 2);
        assert_eq!(texts("\u{feff}{}\n"), ["{}"]);
    }

    #[test]
    fn what_is_no_text_is_refused_at_once() {
        for input in [&b"\xff\xfe{\0"[..], b"\x00\x00\x00 ftypisom\n{}"] {
            assert!(Pieces::new(input).next().is_err());
        }
    }

    #[test]
    fn damaged_input_comes_to_an_end() {
        for input in [
            "[}", "[}}}", "[,,", "{\n}", "{\n}}\n}", "[\"", "[]]", "{\n\"", "[\n",
        ] {
            assert!(pieces(input).len() < 9, "{input}");
        }
    }
}
