//! Feeds the target `ways`, which has the corpus of `packet` too.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::targets::ways(bytes));
