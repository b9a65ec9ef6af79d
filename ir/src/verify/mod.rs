//! The verifier: what must hold of a program or a unit before anything else reads it.
//!
//! Reports all independent errors, up to [`MAX_DIAGNOSTICS`](crate::limits::MAX_DIAGNOSTICS), each with a code, the
//! entity and, for code from text, the span. Total: whatever the API built is answered with diagnostics, in time
//! linear in the size of the input (up to the dominator tree). A value whose definition was reported fits
//! everywhere after that, so one mistake is one error.
//!
//! # What is verified
//!
//! Of every function, in this order; a function whose structure is broken is not looked at further.
//!
//! *Structure* (`structure.rs`): every id exists; blocks and instructions stand in one place; every placed block ends
//! with its only terminator; the entry block has the function's parameters and is no destination; terminators have
//! as many destinations as their op asks for, all placed; the limits on sizes hold.
//!
//! *Types* (`types.rs`): operands fit the op by [`infer`](crate::infer::infer), results are what it computes, every
//! type is known and of this table, constants are values of their type. *Edges* (`edges.rs`): arguments match block
//! parameters and results; conditions are `i1`; selectors are integers, cases distinct values of their type.
//! *Memory* (`memory.rs`): flags are ones that the text can spell, orders make sense, slots fit in a frame.
//! *Mentions* (`mentions.rs`): a mentioned name is of the kind that the op needs; calls match their callee.
//!
//! *Dominance* (`dominance.rs`): a value is defined before it is used, on every path. Code that control cannot reach
//! has types but no order.
//!
//! Of the whole (`module.rs`): signatures have known types, kernels have no results, first contents fit their global,
//! globals live in global, constant or shared memory, names are unique, entries exist.
//!
//! # Programs and units
//!
//! In a program, calls are names: dispatch decides what they mean, so the types of their results, and of what is
//! computed from them, may be unknown, and nothing is said about names that do not exist. In a unit everything is
//! known: calls and addresses mention functions, externs and globals of the unit.

mod dominance;
mod edges;
mod explain;
mod globals;
mod memory;
mod mentions;
mod module;
mod report;
mod structure;
mod types;

#[cfg(test)]
mod garbage_tests;
#[cfg(test)]
mod tests;

use crate::diag::Diagnostic;
use crate::program::{Program, World};
use crate::threads::on_threads;
use crate::unit::Unit;
pub use explain::{Explained, explain};
use report::Report;
use std::sync::atomic::{AtomicUsize, Ordering};
use structure::Facts;

/// All mistakes in a program; none if it is well-formed as far as types are known before dispatch.
pub fn verify_program(program: &Program) -> Vec<Diagnostic> {
    verify(module::Module::Program(program), Results::Checked)
}

/// As [`verify_program`], for a program that was well-formed in a world: of the methods, only the bodies of those are
/// looked at that were added since.
pub fn verify_program_since(program: &Program, world: World) -> Vec<Diagnostic> {
    verify_since(module::Module::Program(program), Results::Checked, Some(world))
}

/// All mistakes in a unit; none if it is well-formed.
pub fn verify_unit(unit: &Unit) -> Vec<Diagnostic> {
    verify(module::Module::Unit(unit), Results::Checked)
}

/// Whether the types of results are compared with what the op computes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Results {
    Checked,
    /// They were set to that, instruction by instruction, definitions before uses wherever these dominate them, by the very
    /// same type rule. The rest of the verifier sees to it that all operands dominate their uses.
    JustInferred,
}

/// The tables of the verifier, which one unit after the other uses. Nothing in them outlives a unit but their memory.
#[derive(Default)]
pub struct Context(Facts);

/// Most instructions of a function whose tables are kept for the next unit.
const MAX_KEPT: usize = 1 << 14;

fn verify(module: module::Module<'_>, results: Results) -> Vec<Diagnostic> {
    verify_since(module, results, None)
}

/// Functions that a thread takes at once.
const CHUNK: usize = 64;

/// As [`verify`], of a unit, on several threads if it has many functions. What is found, and in which order, does not
/// depend on them.
fn verify_on(context: &mut Context, unit: &Unit, results: Results, threads: usize) -> Vec<Diagnostic> {
    let module = module::Module::Unit(unit);
    if threads < 2 || unit.funcs.len() <= CHUNK {
        return verify_in(context, module, results, None);
    }
    let mut report = Report::default();
    module::check(module, None, &mut report);
    let mut functions = Vec::with_capacity(unit.funcs.len());
    module.each_function(None, &mut |function| functions.push(function));
    let chunks: Vec<_> = functions.chunks(CHUNK).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut facts, mut found) = (Facts::default(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(number) else { return found };
            let mut report = Report::default();
            for &function in chunk.iter() {
                report::Checker::new(module, function, results, &mut facts, &mut report).run();
            }
            if report.errors() > 0 {
                found.push((number, report));
            }
        }
    };
    let found = on_threads(threads.min(chunks.len()), work);
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(number, _)| *number);
    found.into_iter().for_each(|(_, part)| report.append(part));
    report.finish()
}

fn verify_since(module: module::Module<'_>, results: Results, since: Option<World>) -> Vec<Diagnostic> {
    verify_in(&mut Context::default(), module, results, since)
}

fn verify_in(
    context: &mut Context,
    module: module::Module<'_>,
    results: Results,
    since: Option<World>,
) -> Vec<Diagnostic> {
    let mut report = Report::default();
    module::check(module, since, &mut report);
    module.each_function(since, &mut |function| {
        if !report.is_full() {
            report::Checker::new(module, function, results, &mut context.0, &mut report).run();
        }
    });
    // What a large function needed would lie idle while it is optimised.
    if context.0.position.capacity() > MAX_KEPT {
        *context = Context::default();
    }
    report.finish()
}

/// A unit that passed verification, and that nothing changed since but passes that keep units valid.
///
/// What lowers units takes these, so that code that nobody verified cannot be emitted by accident.
#[derive(Clone, Debug)]
pub struct Verified(Unit);

impl Verified {
    /// Verifies a unit; the only way to the proof.
    ///
    /// # Errors
    /// All mistakes in the unit.
    pub fn new(unit: Unit) -> Result<Verified, Vec<Diagnostic>> {
        let diagnostics = verify_unit(&unit);
        if diagnostics.is_empty() { Ok(Verified(unit)) } else { Err(diagnostics) }
    }

    /// As [`Self::new`], for the stage that has just set the types of all results by [`infer`](crate::infer::infer), after
    /// the types of all that their operands are, and that reported what the rule did not accept: asking the rule once
    /// more is left out, and nothing else. Builds with debug assertions do ask. `threads` is how many work on it, at most.
    ///
    /// # Errors
    /// All mistakes in the unit.
    pub fn just_inferred(
        context: &mut Context,
        unit: Unit,
        threads: usize,
    ) -> Result<Verified, Vec<Diagnostic>> {
        let diagnostics = verify_on(context, &unit, Results::JustInferred, threads);
        if cfg!(debug_assertions) {
            let all = verify_unit(&unit);
            debug_assert_eq!(diagnostics.is_empty(), all.is_empty(), "types were not inferred: {all:?}");
        }
        if diagnostics.is_empty() { Ok(Verified(unit)) } else { Err(diagnostics) }
    }

    /// The unit.
    pub fn unit(&self) -> &Unit {
        &self.0
    }

    /// Lets a pass at the unit that is known to keep units valid. It costs nothing to believe that; builds with debug
    /// assertions do not believe it, and verify.
    pub fn pass<R>(&mut self, pass: impl FnOnce(&mut Unit) -> R) -> R {
        let result = pass(&mut self.0);
        if cfg!(debug_assertions) {
            let problems = verify_unit(&self.0);
            debug_assert!(problems.is_empty(), "a pass broke the unit: {problems:?}");
        }
        result
    }

    /// Gives the proof up, to change the unit.
    pub fn into_unit(self) -> Unit {
        self.0
    }
}
