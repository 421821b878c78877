//! The JSON lines of predict.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The program's own file: a program has no library to call.
#[path = "../../../crates/mmrest/src/lines.rs"]
#[allow(dead_code, reason = "only parsing is fuzzed")]
mod lines;

fuzz_target!(|input: &[u8]| {
    if let Ok(line) = std::str::from_utf8(input)
        && let Ok(segment) = lines::parse_line(line, 1)
    {
        assert_eq!(segment.vision.values.len() % segment.vision.width.max(1), 0);
        assert_eq!(segment.audio.values.len() % segment.audio.width.max(1), 0);
    }
});
