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

mod stages;

use crate::dispatch::edges::Instance;
use crate::failure::Failure;
use crate::fold::{self, Folding};
use crate::hooks::{Deferred, Hooks};
use crate::job::Job;
use crate::legal::Legal;
use crate::observe::{Observer, Silent};
use crate::parallel::Workers;
use crate::passes::PassContext;
use crate::query::{self, Answers};
use crate::runtime::Library;
use crate::stage::Stage;
use crate::target::Target;
use crate::{specialise, validate};
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::program::{NoHost, Program, Resolve, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::Types;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::{self, Verified};
use stages::{Pipeline, Reached};
use std::any::Any;
use std::sync::Arc;

/// What a job is compiled with, besides what its value says.
#[derive(Copy, Clone)]
pub struct Setup<'a> {
    /// What it is compiled for.
    pub target: &'a dyn Target,
    /// Functions of the device library, kept for other jobs.
    pub library: &'a Library,
    /// What the host inserts.
    pub hooks: &'a Hooks,
    /// What the host answers when code asks its target.
    pub answers: &'a Answers,
    /// What the host's hooks want to know about the job, if anything.
    pub params: Option<&'a (dyn Any + Send + Sync)>,
    /// Who supplies the words that globals leave to the host, for jobs that bake them in.
    pub host: &'a dyn Resolve,
    /// How many threads work on a unit of many functions, at most. What comes of it does not depend on this.
    pub threads: usize,
}

impl<'a> Setup<'a> {
    /// Nothing of the host's.
    pub fn new(target: &'a dyn Target, library: &'a Library) -> Self {
        const NONE: &Hooks = &Hooks::new();
        Setup { target, library, hooks: NONE, answers: &[], params: None, host: &NoHost, threads: 1 }
    }
}

/// What a job became, and what that depends on.
#[derive(Clone, Debug)]
pub struct Lowering {
    /// The code.
    pub legal: Legal,
    /// The methods that it was made of, and what they looked up. Their functions may be gone by now.
    pub instances: Vec<Instance>,
    /// The types that these mention.
    pub types: Arc<Types>,
    /// What the entries take and return, before lowering; arguments of no size are gone.
    pub signatures: Vec<Signature>,
    /// The worlds in which the job gives this.
    pub worlds: Worlds,
    /// What else has to be compiled.
    pub deferred: Vec<Deferred>,
    /// What hooks warned of.
    pub warnings: Vec<Diagnostic>,
}

/// The tables of the passes, which one job after the other uses. Nothing in them outlives a job but their memory.
#[derive(Default)]
pub struct Context {
    passes: PassContext,
    verifier: verify::Context,
    others: Vec<PassContext>,
    largest: usize,
}

impl Context {
    /// No tables yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Instructions of the largest unit so far, as it was specialised or in the end: the tables grew with it.
    pub fn largest(&self) -> usize {
        self.largest
    }

    fn met(&mut self, unit: &Unit) {
        let insts = unit.funcs.values().map(|function| function.body.inst_count()).sum();
        self.largest = self.largest.max(insts);
    }

    fn workers(&mut self, threads: usize) -> Workers<'_> {
        Workers::new(&mut self.passes, &mut self.others, threads)
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
    Ok(run_recorded(context, program, job, &Setup::new(target, library), observer)?.legal)
}

/// As [`run_in`], with the host's hooks and answers, and with the record of what the code depends on.
///
/// # Errors
/// As [`run`]; also what hooks complain about, and units that they break.
pub fn run_recorded(
    context: &mut Context,
    program: &Program,
    job: &Job,
    setup: &Setup<'_>,
    observer: &mut dyn Observer,
) -> Result<Lowering, Failure> {
    let mut pipeline = Pipeline::new(context, program, job, setup);
    let reached = pipeline.stages(Stage::Legal, observer);
    match reached.map_err(|failure| explained(failure, program, job, setup))? {
        Reached::Legal(legal) => Ok(pipeline.finish(legal)),
        Reached::Unit(_) => Err(Failure::Internal("the pipeline stopped before its end".into())),
    }
}

/// Compiles a job up to a stage, to look at it.
///
/// # Errors
/// As [`run`].
pub fn run_until(program: &Program, job: &Job, target: &dyn Target, stage: Stage) -> Result<Unit, Failure> {
    run_until_with(program, job, &Setup::new(target, &Library::new()), stage)
}

/// As [`run_until`], with what the host supplies.
///
/// # Errors
/// As [`run`].
pub fn run_until_with(
    program: &Program,
    job: &Job,
    setup: &Setup<'_>,
    stage: Stage,
) -> Result<Unit, Failure> {
    let mut context = Context::new();
    Ok(match Pipeline::new(&mut context, program, job, setup).stages(stage, &mut Silent)? {
        Reached::Legal(legal) => legal.into_unit(),
        Reached::Unit(unit) => unit,
    })
}

/// The closed and verified unit of a job, as the interpreter runs it: it answers questions itself, and tests assertions
/// when it meets them.
///
/// # Errors
/// The program is wrong, or a limit is passed.
pub fn specialised(program: &Program, job: &Job) -> Result<Verified, Failure> {
    let answer = |key: &str| query::answer(key, None, &job.options, &[]);
    let made = specialise::run_answered(program, job, &answer)?;
    let mut verified = Verified::new(made.unit).map_err(Failure::Program)?;
    let folding = Folding { answer: &answer, known: &|| query::known(&[]), check: false };
    verified.pass(|unit| fold::answer_only(unit, &folding))?;
    Ok(verified)
}

/// A failure with all that there is to say. Assertions are checked before the target's rules are: what these say of the
/// code comes along.
fn explained(failure: Failure, program: &Program, job: &Job, setup: &Setup<'_>) -> Failure {
    let mut failure = failure;
    if let Failure::Program(problems) = &failure
        && setup.hooks.is_empty()
        && problems.iter().any(|problem| problem.code == Code::Assertion)
    {
        let mut context = Context::new();
        let mut rest = Pipeline::new(&mut context, program, job, setup);
        rest.asserts = false;
        let again = rest.stages(Stage::Legal, &mut Silent);
        if let Err(all) = validate::joined(problems.clone(), again) {
            failure = all;
        }
    }
    let answer = |key: &str| query::answer(key, Some(setup.target), &job.options, setup.answers);
    let failure = validate::traced(failure, program, job, &answer);
    validate::in_context(failure, program, job, &setup.target.name())
}
