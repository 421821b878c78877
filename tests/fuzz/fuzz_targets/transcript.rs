//! Transcripts in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmrest_fuzz::one;
use mmrest_mutation::read;

fuzz_target!(|input: &[u8]| one("transcript", read::ANY, input, read::transcript));
