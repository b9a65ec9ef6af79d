//! Fuzzing as a library: generators of cases, and checks of what must hold for each.
//!
//! A check takes the fuzzer's bytes and answers with a [`Verdict`](stats::Verdict), or with a
//! [`Bug`](print::Bug) that prints as a filetest. `cargo test` runs every check for seconds; the libFuzzer targets in
//! `fuzz_targets/` (feature `libfuzzer`) and the example `hunt` run them for longer.
#![allow(clippy::missing_errors_doc, reason = "every check fails in one way: it found a bug")]

pub mod generate;
pub mod stats;
pub mod print;
pub mod run;
pub mod reduce;
pub mod check;
