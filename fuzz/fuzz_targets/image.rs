//! The check `image` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| marquetry_fuzz::check::fuzz("image", data));
