//! The whole way from methods to legal code, as one function that can be read aloud.
//!
//! ```text
//! program -> specialised -> optimised -> exceptions -> legal -> code
//! ```

use crate::failure::Failure;
use crate::job::{Job, OptLevel};
use crate::legal::Legal;
use crate::observe::{Observer, Silent};
use crate::stage::Stage;
use crate::target::Target;
use crate::{convergence, exceptions, legalise, optimise, specialise};
use marquetry_ir::program::Program;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::verify_unit;
use std::time::Instant;

/// Compiles a job up to the point where an emitter takes over.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn run(program: &Program, job: &Job, target: &dyn Target) -> Result<Legal, Failure> {
    run_observed(program, job, target, &mut Silent)
}

/// As [`run`], with someone watching.
///
/// # Errors
/// As [`run`].
pub fn run_observed(
    program: &Program,
    job: &Job,
    target: &dyn Target,
    observer: &mut dyn Observer,
) -> Result<Legal, Failure> {
    match stages(program, job, target, Stage::Legal, observer)? {
        Reached::Legal(legal) => Ok(legal),
        Reached::Unit(_) => Err(Failure::Internal("the pipeline stopped before its end".into())),
    }
}

/// Compiles a job up to a stage, to look at it.
///
/// # Errors
/// As [`run`].
pub fn run_until(program: &Program, job: &Job, target: &dyn Target, stage: Stage) -> Result<Unit, Failure> {
    Ok(match stages(program, job, target, stage, &mut Silent)? {
        Reached::Legal(legal) => legal.into_unit(),
        Reached::Unit(unit) => unit,
    })
}

/// The closed and verified unit of a job, as the interpreter runs it.
///
/// # Errors
/// The program is wrong, or a limit is passed.
pub fn specialised(program: &Program, job: &Job) -> Result<Unit, Failure> {
    let unit = specialise::run(program, job)?;
    let diagnostics = verify_unit(&unit);
    if diagnostics.is_empty() { Ok(unit) } else { Err(Failure::Program(diagnostics)) }
}

/// How far a job got.
enum Reached {
    Unit(Unit),
    Legal(Legal),
}

fn stages(
    program: &Program,
    job: &Job,
    target: &dyn Target,
    until: Stage,
    observer: &mut dyn Observer,
) -> Result<Reached, Failure> {
    let mut clock = Clock(Instant::now());
    let mut unit = specialise::run(program, job)?;
    clock.report(Stage::Specialised, observer);
    let diagnostics = verify_unit(&unit);
    if !diagnostics.is_empty() {
        return Err(Failure::Program(diagnostics));
    }
    clock.report(Stage::Specialised, observer);
    if until <= Stage::Specialised {
        return Ok(Reached::Unit(unit));
    }
    optimise::run(&mut unit, job.opt_level, observer);
    clock.report(Stage::Optimised, observer);
    if until <= Stage::Optimised {
        return Ok(Reached::Unit(unit));
    }
    let mut lowered = exceptions::run(unit)?;
    if job.opt_level > OptLevel::None {
        optimise::cleanup_some(&mut lowered.unit, &lowered.rewritten, observer);
    }
    clock.report(Stage::Exceptions, observer);
    if until <= Stage::Exceptions {
        return Ok(Reached::Unit(lowered.unit));
    }
    if !target.caps().early_returns {
        let missed = convergence::check(&lowered.unit);
        if !missed.is_empty() {
            return Err(Failure::Program(missed));
        }
    }
    let mut legal = legalise::run(lowered, target)?.with_debug_level(job.debug_level);
    if job.opt_level > OptLevel::None {
        let rewritten = legal.take_rewritten();
        optimise::cleanup_some(legal.unit_mut(), &rewritten, observer);
    }
    clock.report(Stage::Legal, observer);
    Ok(Reached::Legal(legal))
}

/// When the stage that runs began.
struct Clock(Instant);

impl Clock {
    fn report(&mut self, stage: Stage, observer: &mut dyn Observer) {
        let start = std::mem::replace(&mut self.0, Instant::now());
        observer.stage(stage, self.0.duration_since(start));
    }
}
