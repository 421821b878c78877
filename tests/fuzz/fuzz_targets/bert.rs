//! The files of a BERT directory: the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmrest_fuzz::within;
use mmrest_mutation::read;

fuzz_target!(|input: &[u8]| within("bert", input, read::bert));
