//! Tables of segments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmrest_fuzz::one;
use mmrest_mutation::read;

fuzz_target!(|input: &[u8]| one("segments", read::CSV, input, read::segments));
