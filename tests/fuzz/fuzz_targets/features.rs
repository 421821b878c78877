//! Tables of features, as OpenFace, openSMILE and py-feat write them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmrest_fuzz::one;
use mmrest_mutation::read;

fuzz_target!(|input: &[u8]| one("features", read::CSV, input, read::features));
