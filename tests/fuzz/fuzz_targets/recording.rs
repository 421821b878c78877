//! Recordings in every format that is decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmrest_fuzz::one;
use mmrest_mutation::read;

fuzz_target!(|input: &[u8]| one("recording", read::ANY, input, read::recording));
