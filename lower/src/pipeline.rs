//! The whole way from methods to legal code, as one function that can be read aloud.

use crate::failure::Failure;
use crate::job::Job;
use crate::legal::Legal;
use crate::stage::Stage;
use crate::target::Target;
use crate::{exceptions, legalise, specialise};
use marquetry_ir::program::Program;
use marquetry_ir::unit::Unit;

/// Compiles a job up to the point where an emitter takes over.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn run(program: &Program, job: &Job, target: &dyn Target) -> Result<Legal, Failure> {
    match stages(program, job, target, Stage::Legal)? {
        Reached::Legal(legal) => Ok(legal),
        Reached::Unit(_) => Err(Failure::Internal("the pipeline stopped before its end".into())),
    }
}

/// Compiles a job up to a stage, to look at it.
///
/// # Errors
/// As [`run`].
pub fn run_until(program: &Program, job: &Job, target: &dyn Target, stage: Stage) -> Result<Unit, Failure> {
    Ok(match stages(program, job, target, stage)? {
        Reached::Legal(legal) => legal.into_unit(),
        Reached::Unit(unit) => unit,
    })
}

/// How far a job got.
enum Reached {
    Unit(Unit),
    Legal(Legal),
}

fn stages(program: &Program, job: &Job, target: &dyn Target, until: Stage) -> Result<Reached, Failure> {
    let unit = specialise::run(program, job)?;
    if until <= Stage::Specialised {
        return Ok(Reached::Unit(unit));
    }
    let lowered = exceptions::run(unit)?;
    if until <= Stage::Exceptions {
        return Ok(Reached::Unit(lowered.unit));
    }
    legalise::run(lowered, target).map(Reached::Legal)
}
