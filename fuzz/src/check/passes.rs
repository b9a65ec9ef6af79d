//! Optimisation and lowering keep the meaning: the interpreter before against the interpreter after.

use super::{Checked, Reference};
use crate::generate::choices::Choices;
use crate::generate::methods::{Case, case};
use crate::print::Bug;
use crate::run::{self, LOWERED_FUEL, Lowering, calls_with, launches};
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::compile::Target;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::{Verified, verify_unit};
use marquetry_lower::exceptions;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::OptLevel;
use marquetry_lower::observe::{Observer, PassReport, Silent};
use marquetry_lower::optimise;
use marquetry_lower::passes::PassContext;
use marquetry_lower::pipeline;

const LEVELS: [OptLevel; 3] = [OptLevel::Less, OptLevel::Default, OptLevel::More];

/// Every level, a list of passes in any order, and exceptions lowering before and after optimisation.
pub fn check(input: &mut Unstructured<'_>) -> Checked {
    let mut choices = Choices::new(input);
    let list = own(&mut choices);
    check_case(case(&mut choices), &list)
}

/// Passes of an own list, by their numbers.
pub fn own(choices: &mut Choices) -> Vec<usize> {
    (0..choices.below(7)).map(|_| choices.below(64)).collect()
}

/// The check of a case, with the passes of an own list by their numbers.
///
/// # Errors
/// The meaning changed.
pub fn check_case(case: Case, list: &[usize]) -> Checked {
    let Some(reference) = Reference::of(case)? else { return Ok(Verdict::TimedOut) };
    for level in LEVELS {
        let mut unit = reference.unit.clone();
        optimise::run(&mut unit, level, &mut Silent);
        judge(&reference, &unit, &format!("optimised at {level:?}"), Some(level))?;
        lowered(&reference, unit, &format!("exceptions after {level:?}"))?;
    }
    lowered(&reference, reference.unit.clone(), "exceptions")?;
    own_list(&reference, list)?;
    Ok(reference.verdict())
}

fn valid(reference: &Reference, unit: &Unit, what: &str) -> Result<(), Bug> {
    match verify_unit(unit).first() {
        None => Ok(()),
        Some(first) => Err(reference.bug(&format!("{what}: invalid"), &first.message)),
    }
}

fn judge(reference: &Reference, unit: &Unit, what: &str, level: Option<OptLevel>) -> Result<(), Bug> {
    let verdict = valid(reference, unit, what)
        .and_then(|()| reference.compare(what, &calls_with(unit, &reference.case, None, LOWERED_FUEL)));
    let (Err(bug), Some(level)) = (&verdict, level) else { return verdict };
    // Again, looking after every pass.
    let mut culprit = Culprit { reference, found: None, passes: 0 };
    optimise::run(&mut reference.unit.clone(), level, &mut culprit);
    let found = culprit.found.unwrap_or_else(|| "?".into());
    Err(Bug { what: format!("pass {found} changes the meaning"), ..bug.clone() })
}

/// Finds the first pass after which the meaning is another.
struct Culprit<'a> {
    reference: &'a Reference,
    found: Option<String>,
    passes: usize,
}

impl Observer for Culprit<'_> {
    fn pass(&mut self, report: PassReport<'_>) {
        self.passes += 1;
        if self.found.is_some() || !report.changed {
            return;
        }
        let ends = calls_with(report.unit, &self.reference.case, None, LOWERED_FUEL);
        if !verify_unit(report.unit).is_empty() || self.reference.compare("", &ends).is_err() {
            self.found = Some(report.pass.to_string());
        }
    }
}

fn lowered(reference: &Reference, unit: Unit, what: &str) -> Result<(), Bug> {
    let verified = Verified::new(unit).map_err(|problems| {
        reference.bug(&format!("{what}: invalid: {}", problems.first().map_or("", |d| &d.message)), "")
    })?;
    let mut lowered = match exceptions::run(verified) {
        Ok(lowered) => lowered,
        Err(Failure::Limit(_)) => return Ok(()),
        Err(failure) => return Err(reference.bug(&format!("{what}: {failure}"), "")),
    };
    for cleaned in [false, true] {
        if cleaned {
            lowered.cleanup(&mut Silent);
        }
        let what = if cleaned { format!("{what} and cleanup") } else { what.to_string() };
        valid(reference, lowered.unit(), &what)?;
        let Some(abi) = lowered.entries().first() else { return Err(reference.bug(&what, "no entry")) };
        let lowering = Lowering { sites: lowered.sites(), abi };
        reference.compare(&what, &run::calls(lowered.unit(), &reference.case, Some(lowering)))?;
    }
    Ok(())
}

fn own_list(reference: &Reference, list: &[usize]) -> Result<(), Bug> {
    let passes = optimise::passes(OptLevel::Default);
    let mut unit = reference.unit.clone();
    let mut ctx = PassContext::new(unit.types.clone());
    let mut names = Vec::new();
    for &n in list {
        let pass = passes[n % passes.len()];
        names.push(pass.name);
        for function in unit.funcs.values_mut() {
            (pass.run)(&mut function.body, &mut ctx);
        }
        let what = format!("pass {}", pass.name);
        judge(reference, &unit, &what, None)
            .map_err(|bug| Bug { detail: format!("after {}\n{}", names.join(", "), bug.detail), ..bug })?;
    }
    Ok(())
}

/// Targets whose legal code is run by the interpreter.
pub const TARGETS: [&str; 5] = ["native", "ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1", "ptx:sm_53"];

/// Legal code for targets that lack more and more means the same.
pub fn check_legal(input: &mut Unstructured<'_>) -> Checked {
    let mut choices = Choices::new(input);
    check_legal_case(case(&mut choices))
}

/// The check of a case.
///
/// # Errors
/// The meaning changed.
pub fn check_legal_case(case: Case) -> Checked {
    let Some(reference) = Reference::of(case)? else { return Ok(Verdict::TimedOut) };
    for name in TARGETS {
        for level in [OptLevel::None, OptLevel::Default] {
            let Ok(target) = Target::parse(name, level) else { continue };
            let is_kernel = target.is_device();
            let what = format!("legal for {name} at {level:?}");
            let Some(job) = run::job(&reference.program, is_kernel, level) else { continue };
            let legal = match pipeline::run(&reference.program, &job, target.lowering()) {
                Ok(legal) => legal,
                Err(failure) => {
                    refusal(&reference, &what, &failure)?;
                    continue;
                }
            };
            let unit = legal.unit();
            valid(&reference, unit, &what)?;
            let Some(abi) = legal.entries().first() else { return Err(reference.bug(&what, "no entry")) };
            let lowering = Some(Lowering { sites: legal.sites(), abi });
            let ends = match is_kernel {
                true => launches(unit, &reference.case, &result_types(&reference), lowering),
                false => run::calls(unit, &reference.case, lowering),
            };
            reference.compare(&what, &ends)?;
        }
    }
    Ok(reference.verdict())
}

/// The types of the entry's results.
pub fn result_types(reference: &Reference) -> Vec<marquetry_ir::types::Type> {
    let entry = reference.unit.entries.first().and_then(|&entry| reference.unit.funcs.get(entry));
    entry.map_or_else(Vec::new, |entry| entry.signature.results.clone())
}

/// A valid program may be refused for what the target lacks, and for its size.
pub fn refusal(reference: &Reference, what: &str, failure: &Failure) -> Result<(), Bug> {
    use marquetry_ir::diag::Code;
    let allowed = match failure {
        Failure::Limit(_) => true,
        Failure::Program(list) => list.iter().all(|d| d.code == Code::Unsupported),
        _ => false,
    };
    if allowed { Ok(()) } else { Err(reference.bug(&format!("{what}: {failure}"), "")) }
}
