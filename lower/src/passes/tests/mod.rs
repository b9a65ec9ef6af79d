//! Tests of the passes: what each does to small texts, and that random programs keep their meaning.

mod generate;
mod meaning;
mod examples;

use super::PassContext;
use crate::dispatch::view::View;
use crate::job::{Job, OptLevel};
use crate::optimise::Pass;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::verify_unit;

/// The unit of a text, all methods being entries.
fn unit(source: &str) -> Unit {
    let mut program = Program::new();
    let problems = text::parse(&mut program, "test", source);
    assert!(problems.is_empty(), "{problems:?}\n{source}");
    let entries = program.methods().map(|(method, _)| method).collect();
    let job = Job::new(entries, View::native(&[]), OptLevel::None);
    crate::specialise::run(&program, &job).unwrap_or_else(|failure| panic!("{failure}\n{source}"))
}

/// Runs passes over all functions; the body is checked after each.
fn run_passes(unit: &mut Unit, passes: &[Pass]) {
    let mut ctx = PassContext::new(unit.types.clone());
    let funcs: Vec<_> = unit.funcs.keys().collect();
    for func in funcs {
        for pass in passes {
            let before = text::print_unit(unit);
            (pass.run)(&mut unit.funcs[func].body, &mut ctx);
            let problems = verify_unit(unit);
            let (pass, after) = (pass.name, text::print_unit(unit));
            assert!(problems.is_empty(), "{pass} breaks the unit: {problems:?}\n{before}\n{after}");
        }
    }
}
