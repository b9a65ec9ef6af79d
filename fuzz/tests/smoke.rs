//! Every check for a second or two, on any toolchain, with the same cases in the same order each time: a change that
//! breaks nothing stays green. `MARQ_FUZZ_MS` asks for that many milliseconds of cases that nobody has seen.

use arbtest::arbtest;
use marquetry_fuzz::check::ALL;
use marquetry_fuzz::stats::Stats;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Bytes that a case is made of.
const SMALLEST: u64 = 256;
const LARGEST: u64 = 8192;

/// Runs a check; the case that fails prints as a filetest.
fn smoke(name: &str, milliseconds: u64) {
    let asked = std::env::var("MARQ_FUZZ_MS").ok().and_then(|text| text.parse().ok());
    let check = ALL.iter().find(|check| check.name == name).expect("the check exists");
    let stats = RefCell::new(Stats::default());
    let property = |input: &mut arbitrary::Unstructured<'_>| {
        match (check.run)(input) {
            Ok(verdict) => stats.borrow_mut().add(verdict),
            Err(bug) => panic!("{name}:\n{bug}"),
        }
        Ok(())
    };
    match asked {
        Some(milliseconds) => {
            let search = arbtest(property).size_min(SMALLEST as u32).size_max(LARGEST as u32);
            search.budget_ms(milliseconds).run();
        }
        None => {
            let start = Instant::now();
            let seeds = (1..).map(seed).take_while(|_| start.elapsed() < Duration::from_millis(milliseconds));
            seeds.for_each(|seed| arbtest(property).seed(seed).run());
        }
    }
    let stats = stats.into_inner();
    println!("{name}: {stats}");
    assert!(stats.cases > 0, "{name}: no case in time");
}

/// The seed of a case, as [`arbtest`] spells it: bytes in the low half, what they are made from in the high one. Cases
/// grow, and start over.
fn seed(case: u64) -> u64 {
    const STEPS: u64 = 64;
    let size = SMALLEST + (LARGEST - SMALLEST) * (case % STEPS) / STEPS;
    // Neighbours differ in many bits: the generator behind it is weak.
    let random = case.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    size | random.max(1) << 32
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
