//! Random programs mean the same before and after optimisation, exceptions and memory included.

use super::generate::{Chance, program};
use super::unit;
use crate::job::OptLevel;
use crate::observe::{Observer, PassReport, Silent};
use crate::optimise;
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::text;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::verify_unit;

/// Results, or the exception; and the buffer afterwards.
type Meaning = (Result<Vec<Val>, String>, Vec<u8>);

fn run(unit: &Unit, seed: u64) -> Meaning {
    let mut chance = Chance(seed | 1);
    let mut interp = Interp::new(unit, Config { fuel: 2_000_000, ..Config::default() });
    let bytes: Vec<u8> = (0..32).map(|_| chance.next() as u8).collect();
    let buffer = interp.memory_mut().alloc(&bytes).unwrap_or(0);
    let small = |chance: &mut Chance| match chance.below(3) {
        0 => chance.next() as i32,
        _ => chance.below(9) as i32 - 1,
    };
    let args = [
        Val::i32(small(&mut chance)),
        Val::i64(i64::from(small(&mut chance))),
        Val::i1(chance.below(2) == 0),
        Val::f32(small(&mut chance) as f32 * 0.5),
        Val::Bits(u128::from(chance.next() as u8)),
        Val::pointer(buffer),
    ];
    let func = unit.find("f").or_else(|| unit.entries.first().copied());
    let ended = interp.call(func.unwrap_or_else(|| unit.entries[0]), &args);
    let ended = match ended {
        Ok(Ended::Returned(mut values)) => {
            let is_nan = values[3].bits().is_some_and(|bits| f32::from_bits(bits as u32).is_nan());
            if is_nan {
                values[3] = Val::f32(f32::NAN);
            }
            Ok(values)
        }
        Ok(Ended::Threw(thrown)) => Err(thrown.kind.to_string()),
        Err(fault) => panic!("{fault:?}\n{}", text::print_unit(unit)),
    };
    (ended, interp.memory().read(buffer, 32).map(<[u8]>::to_vec).unwrap_or_default())
}

/// Compares the meaning after every pass that changed something with that before all.
struct Checking {
    seed: u64,
    wanted: Vec<Meaning>,
    source: String,
}

impl Observer for Checking {
    fn pass(&mut self, report: PassReport<'_>) {
        let here = format!("seed {}, after {}\n{}", self.seed, report.pass, self.source);
        if !report.changed {
            return;
        }
        let problems = verify_unit(report.unit);
        assert!(problems.is_empty(), "{problems:?}, {here}\n{}", text::print_unit(report.unit));
        for (n, wanted) in self.wanted.iter().enumerate() {
            let found = run(report.unit, self.seed + n as u64);
            assert_eq!(&found, wanted, "{here}\n{}", text::print_unit(report.unit));
        }
    }
}

fn preserve(seed: u64, level: OptLevel, size: usize) {
    let source = program(&mut Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), size);
    let mut unit = unit(&source);
    let wanted: Vec<Meaning> = (0..4).map(|n| run(&unit, seed + n)).collect();
    let mut checking = Checking { seed, wanted, source };
    optimise::run(&mut unit, level, &mut checking);
    optimise::cleanup(&mut unit, &mut checking);
    for (n, wanted) in checking.wanted.iter().enumerate() {
        let found = run(&unit, seed + n as u64);
        assert_eq!(&found, wanted, "seed {seed}\n{}\n{}", checking.source, text::print_unit(&unit));
    }
}

/// How many programs of each kind; tens of thousands have been tried.
const CASES: u64 = 300;

/// A block that the last round of control-flow simplification cut off, and that pointed at one it had joined.
#[test]
fn programs_that_once_broke_a_pass() {
    preserve(1958, OptLevel::Default, 25);
}

#[test]
fn small_programs_keep_their_meaning() {
    (1..CASES * 2).for_each(|seed| preserve(seed, OptLevel::Default, 25));
}

#[test]
fn large_programs_keep_their_meaning() {
    (1..CASES / 2).for_each(|seed| preserve(seed + 1_000_000, OptLevel::More, 150));
}

#[test]
fn the_cheap_passes_alone_keep_the_meaning() {
    (1..CASES).for_each(|seed| preserve(seed + 2_000_000, OptLevel::Less, 60));
}

#[test]
fn optimising_twice_gives_the_same_bytes_each_time() {
    for seed in 1..20 {
        let source = program(&mut Chance(seed), 100);
        let print = || {
            let mut unit = unit(&source);
            optimise::run(&mut unit, OptLevel::Default, &mut Silent);
            text::print_unit(&unit)
        };
        assert_eq!(print(), print());
    }
}
