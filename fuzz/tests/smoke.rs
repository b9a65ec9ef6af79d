//! Every check for a second or two, on any toolchain: `MARQ_FUZZ_MS` asks for longer.

use arbtest::arbtest;
use marquetry_fuzz::check::ALL;
use marquetry_fuzz::stats::Stats;
use std::cell::RefCell;

/// Runs a check; the case that fails prints as a filetest.
fn smoke(name: &str, milliseconds: u64) {
    let milliseconds =
        std::env::var("MARQ_FUZZ_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(milliseconds);
    let check = ALL.iter().find(|check| check.name == name).expect("the check exists");
    let stats = RefCell::new(Stats::default());
    arbtest(|input| {
        match (check.run)(input) {
            Ok(verdict) => stats.borrow_mut().add(verdict),
            Err(bug) => panic!("{name}:\n{bug}"),
        }
        Ok(())
    })
    .size_min(256)
    .size_max(8192)
    .budget_ms(milliseconds)
    .run();
    let stats = stats.into_inner();
    println!("{name}: {stats}");
    assert!(stats.cases > 0, "{name}: no case in time");
}

#[test]
fn text_garbage() {
    smoke("text_garbage", 500);
}

#[test]
fn text_mutated() {
    smoke("text_mutated", 1000);
}

#[test]
fn text_roundtrip() {
    smoke("text_roundtrip", 1000);
}

#[test]
fn verify() {
    smoke("verify", 2000);
}

#[test]
fn passes() {
    smoke("passes", 2500);
}

#[test]
fn legal() {
    smoke("legal", 2500);
}

#[test]
fn engines() {
    smoke("engines", 2500);
}

#[test]
fn reuse() {
    smoke("reuse", 2000);
}

#[test]
fn halves() {
    smoke("halves", 2000);
}

#[test]
fn image() {
    smoke("image", 2000);
}

#[test]
fn emit() {
    smoke("emit", 2000);
}
