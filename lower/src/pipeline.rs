//! The whole way from methods to legal code, as one function that can be read aloud.
//!
//! ```text
//! program -> specialised -> optimised -> exceptions -> legal -> code
//!            Verified                    Lowered       Legal
//! ```
//!
//! Below the names of the stages: the proof that each hands on. Only verification makes a [`Verified`], only the next
//! stage can make something else of it, and emitters take a [`Legal`].
//!
//! The device library is linked with specialisation, and once more wherever lowering made new calls of it; hidden inputs
//! are threaded after the last of these, as part of the exceptions stage.

use crate::exceptions::Lowered;
use crate::failure::Failure;
use crate::job::{Job, OptLevel};
use crate::legal::Legal;
use crate::observe::{Observer, Silent};
use crate::passes::PassContext;
use crate::report::{self, Place};
use crate::runtime::link::Linker;
use crate::runtime::{Library, hooks, inputs, print};
use crate::stage::Stage;
use crate::target::Target;
use crate::{convergence, evaluate, exceptions, kernel_abi, legalise, optimise, specialise};
use marquetry_ir::program::Program;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::Verified;
use std::time::Instant;

/// The tables of the passes, which one job after the other uses. Nothing in them outlives a job but their memory.
#[derive(Default)]
pub struct Context {
    passes: PassContext,
}

impl Context {
    /// No tables yet.
    pub fn new() -> Self {
        Self::default()
    }
}

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
    run_with(program, job, target, &Library::new(), observer)
}

/// As [`run_observed`], with a library that is kept for later jobs of the same program.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    program: &Program,
    job: &Job,
    target: &dyn Target,
    library: &Library,
    observer: &mut dyn Observer,
) -> Result<Legal, Failure> {
    run_in(&mut Context::new(), program, job, target, library, observer)
}

/// As [`run_with`], with the tables of earlier jobs: for hosts that compile much.
///
/// # Errors
/// As [`run`].
pub fn run_in(
    context: &mut Context,
    program: &Program,
    job: &Job,
    target: &dyn Target,
    library: &Library,
    observer: &mut dyn Observer,
) -> Result<Legal, Failure> {
    match stages(context, program, job, target, Stage::Legal, library, observer)? {
        Reached::Legal(legal) => Ok(legal),
        Reached::Unit(_) => Err(Failure::Internal("the pipeline stopped before its end".into())),
    }
}

/// Compiles a job up to a stage, to look at it.
///
/// # Errors
/// As [`run`].
pub fn run_until(program: &Program, job: &Job, target: &dyn Target, stage: Stage) -> Result<Unit, Failure> {
    Ok(match stages(&mut Context::new(), program, job, target, stage, &Library::new(), &mut Silent)? {
        Reached::Legal(legal) => legal.into_unit(),
        Reached::Unit(unit) => unit,
    })
}

/// The closed and verified unit of a job, as the interpreter runs it.
///
/// # Errors
/// The program is wrong, or a limit is passed.
pub fn specialised(program: &Program, job: &Job) -> Result<Verified, Failure> {
    Verified::new(specialise::run(program, job)?).map_err(Failure::Program)
}

/// How far a job got.
enum Reached {
    Unit(Unit),
    Legal(Legal),
}

fn stages(
    context: &mut Context,
    program: &Program,
    job: &Job,
    target: &dyn Target,
    until: Stage,
    library: &Library,
    observer: &mut dyn Observer,
) -> Result<Reached, Failure> {
    let mut clock = Clock(Instant::now());
    let mut linker = Linker::new(program, job, library);
    let specialise::Specialised { unit, instances, .. } = specialise::run_linked(&mut linker, job)?;
    clock.report(Stage::Specialised, observer);
    let mut verified = Verified::new(unit).map_err(Failure::Program)?;
    clock.report(Stage::Specialised, observer);
    if until <= Stage::Specialised {
        return Ok(Reached::Unit(verified.into_unit()));
    }
    verified.pass(|unit| {
        if job.options.evaluate && job.options.opt_level > OptLevel::None {
            evaluate::run(program, job.view.world(program), unit, &instances);
        }
        optimise::run_in(&mut context.passes, unit, job.options.opt_level, observer);
    });
    clock.report(Stage::Optimised, observer);
    if until <= Stage::Optimised {
        return Ok(Reached::Unit(verified.into_unit()));
    }
    // What is linked may print as well.
    verified.pass(|unit| {
        while print::lower(unit) {
            linker.link(unit)?;
        }
        Ok::<(), Failure>(())
    })?;
    let mut lowered = exceptions::run(verified)?;
    if hooks::run(&mut lowered, &linker)? {
        link_after_exceptions(&mut linker, &mut lowered)?;
    }
    inputs::run(&mut lowered, job.options.state)?;
    optimise::debug_check(lowered.unit());
    if job.options.opt_level > OptLevel::None {
        optimise::cleanup_some(&mut context.passes, &mut lowered.unit, &lowered.rewritten, observer);
        lowered.tidy = true;
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
    kernel_abi::run(&mut lowered, target);
    let mut legal = legalise::run(lowered, target)?;
    optimise::debug_check(legal.unit());
    if job.options.opt_level > OptLevel::None {
        let rewritten = legal.take_rewritten();
        optimise::cleanup_some(&mut context.passes, legal.unit_mut(), &rewritten, observer);
    }
    clock.report(Stage::Legal, observer);
    Ok(Reached::Legal(legal))
}

/// Links what the lowering of exceptions calls; nothing of it may throw any more.
fn link_after_exceptions(linker: &mut Linker<'_>, lowered: &mut Lowered) -> Result<(), Failure> {
    let count = lowered.unit.funcs.len();
    loop {
        linker.link(&mut lowered.unit)?;
        if !print::lower(&mut lowered.unit) {
            break;
        }
    }
    let throwing = exceptions::throwing_functions(&lowered.unit);
    match throwing.into_iter().find(|func| func.as_u32() as usize >= count) {
        None => Ok(()),
        Some(func) => {
            let function = &lowered.unit.funcs[func];
            let place = Place { function: &function.name, file: function.file, span: function.span };
            let message = format!("'{}' reports exceptions, so it cannot throw", function.name);
            Err(Failure::Program(vec![report::unsupported(&place, message)]))
        }
    }
}

/// When the stage that runs began.
struct Clock(Instant);

impl Clock {
    fn report(&mut self, stage: Stage, observer: &mut dyn Observer) {
        let start = std::mem::replace(&mut self.0, Instant::now());
        observer.stage(stage, self.0.duration_since(start));
    }
}
