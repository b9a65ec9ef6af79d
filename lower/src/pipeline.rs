//! The whole way from methods to legal code, as one function that can be read aloud.
//!
//! ```text
//! program -> specialised -> optimised -> exceptions -> legal -> code
//! ```

use crate::dispatch::edges::Instance;
use crate::failure::Failure;
use crate::fold::{self, Folding};
use crate::hooks::{Anchor, Deferred, HookContext, Hooks};
use crate::job::{InlinePolicy, Job, OptLevel};
use crate::legal::Legal;
use crate::observe::{Observer, Silent};
use crate::passes::PassContext;
use crate::query::{self, Answers};
use crate::specialise::Specialised;
use crate::stage::Stage;
use crate::target::Target;
use crate::{convergence, evaluate, exceptions, legalise, optimise, specialise};
use cranelift_entity::EntityRef;
use marquetry_ir::program::{Inlining, Program, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::Types;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::verify_unit;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// What a job is compiled with, besides what its value says.
#[derive(Copy, Clone)]
pub struct Setup<'a> {
    /// What it is compiled for.
    pub target: &'a dyn Target,
    /// What the host inserts.
    pub hooks: &'a Hooks,
    /// What the host answers when code asks its target.
    pub answers: &'a Answers,
    /// What the host's hooks want to know about the job, if anything.
    pub params: Option<&'a (dyn Any + Send + Sync)>,
}

impl<'a> Setup<'a> {
    /// Nothing of the host's.
    pub fn new(target: &'a dyn Target) -> Self {
        const NONE: &Hooks = &Hooks::new();
        Setup { target, hooks: NONE, answers: &[], params: None }
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
}

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
    run_in(&mut Context::new(), program, job, target, observer)
}

/// As [`run_observed`], with the tables of earlier jobs: for hosts that compile much.
///
/// # Errors
/// As [`run`].
pub fn run_in(
    context: &mut Context,
    program: &Program,
    job: &Job,
    target: &dyn Target,
    observer: &mut dyn Observer,
) -> Result<Legal, Failure> {
    Ok(run_recorded(context, program, job, &Setup::new(target), observer)?.legal)
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
    let mut clock = Clock(Instant::now());
    let Specialised { unit, instances, worlds } = specialise::run_recorded(program, job)?;
    clock.report(Stage::Specialised, observer);
    let types = unit.types.clone();
    let entries = unit.entries.iter().filter_map(|&entry| unit.funcs.get(entry));
    let signatures = entries.map(|function| function.signature.clone()).collect();
    let mut deferred = Vec::new();
    let from = From { program, instances: &instances };
    match stages(context, unit, &from, job, setup, Stage::Legal, &mut deferred, &mut clock, observer)? {
        Reached::Legal(legal) => Ok(Lowering { legal, instances, types, signatures, worlds, deferred }),
        Reached::Unit(_) => Err(Failure::Internal("the pipeline stopped before its end".into())),
    }
}

/// Compiles a job up to a stage, to look at it.
///
/// # Errors
/// As [`run`].
pub fn run_until(program: &Program, job: &Job, target: &dyn Target, stage: Stage) -> Result<Unit, Failure> {
    let Specialised { unit, instances, .. } = specialise::run_recorded(program, job)?;
    let (context, mut deferred, mut clock) = (&mut Context::new(), Vec::new(), Clock(Instant::now()));
    let (from, setup) = (From { program, instances: &instances }, Setup::new(target));
    Ok(match stages(context, unit, &from, job, &setup, stage, &mut deferred, &mut clock, &mut Silent)? {
        Reached::Legal(legal) => legal.into_unit(),
        Reached::Unit(unit) => unit,
    })
}

/// The closed and verified unit of a job, as the interpreter runs it: it answers questions itself, and tests assertions
/// when it meets them.
///
/// # Errors
/// The program is wrong, or a limit is passed.
pub fn specialised(program: &Program, job: &Job) -> Result<Unit, Failure> {
    let mut unit = specialise::run(program, job)?;
    verify(&unit)?;
    let answer = |key: &str| query::answer(key, None, &job.options, &[]);
    fold::answer_only(&mut unit, &Folding { answer: &answer, known: &|| query::known(&[]), check: false })?;
    Ok(unit)
}

/// How far a job got.
enum Reached {
    Unit(Unit),
    Legal(Legal),
}

/// What a unit was made from.
struct From<'a> {
    program: &'a Program,
    /// Per function of the unit.
    instances: &'a [Instance],
}

#[allow(clippy::too_many_arguments)] // what all stages share, each by its name
fn stages(
    context: &mut Context,
    mut unit: Unit,
    from: &From<'_>,
    job: &Job,
    setup: &Setup<'_>,
    until: Stage,
    deferred: &mut Vec<Deferred>,
    clock: &mut Clock,
    observer: &mut dyn Observer,
) -> Result<Reached, Failure> {
    let &Setup { target, hooks, answers, params } = setup;
    let options = &job.options;
    verify(&unit)?;
    clock.report(Stage::Specialised, observer);
    let mut at = |anchor: Anchor, unit: &mut Unit, observer: &mut dyn Observer| {
        run_hooks(anchor, HookContext { unit, job, target, params, deferred }, hooks, observer)
    };
    at(Anchor::Specialised, &mut unit, observer)?;
    name_entry(&mut unit, options.name.as_ref());
    let answer = |key: &str| query::answer(key, Some(target), options, answers);
    let known = || query::known(answers);
    let kept = fold::run(&mut unit, &Folding { answer: &answer, known: &known, check: options.validate })?;
    if until <= Stage::Specialised {
        return Ok(Reached::Unit(unit));
    }
    let effort = job.effort();
    if options.evaluate && effort > OptLevel::None {
        let world = job.view.world(from.program);
        match &kept {
            None => evaluate::run(from.program, world, &mut unit, from.instances),
            Some(kept) => {
                let left = kept.iter().filter_map(|(old, _)| from.instances.get(old.index()).cloned());
                evaluate::run(from.program, world, &mut unit, &left.collect::<Vec<_>>())
            }
        };
    }
    fold::direct_calls(&mut unit);
    if options.inlining == InlinePolicy::Always {
        let auto = unit.funcs.values_mut().filter(|function| function.inlining == Inlining::Auto);
        auto.for_each(|function| function.inlining = Inlining::Always);
    }
    at(Anchor::BeforeOptimise, &mut unit, observer)?;
    optimise::run_in(&mut context.passes, &mut unit, effort, hooks, observer);
    fold::direct_calls(&mut unit);
    at(Anchor::AfterOptimise, &mut unit, observer)?;
    clock.report(Stage::Optimised, observer);
    if until <= Stage::Optimised {
        return Ok(Reached::Unit(unit));
    }
    let cleans = options.cleanup && options.opt_level > OptLevel::None;
    let mut lowered = exceptions::run(unit)?;
    if cleans {
        optimise::cleanup_some(&mut context.passes, &mut lowered.unit, &lowered.rewritten, observer);
        lowered.tidy = true;
    }
    at(Anchor::BeforeLegalise, &mut lowered.unit, observer)?;
    clock.report(Stage::Exceptions, observer);
    if until <= Stage::Exceptions {
        return Ok(Reached::Unit(lowered.unit));
    }
    if options.validate && !target.caps().early_returns {
        let missed = convergence::check(&lowered.unit);
        if !missed.is_empty() {
            return Err(Failure::Program(missed));
        }
    }
    let mut legal = legalise::run(lowered, target)?;
    if cleans {
        let rewritten = legal.take_rewritten();
        optimise::cleanup_some(&mut context.passes, legal.unit_mut(), &rewritten, observer);
    }
    clock.report(Stage::Legal, observer);
    Ok(Reached::Legal(legal))
}

fn verify(unit: &Unit) -> Result<(), Failure> {
    let diagnostics = verify_unit(unit);
    if diagnostics.is_empty() { Ok(()) } else { Err(Failure::Program(diagnostics)) }
}

/// Runs the hooks of an anchor, and verifies what each of them left.
fn run_hooks(
    anchor: Anchor,
    mut context: HookContext<'_>,
    hooks: &Hooks,
    observer: &mut dyn Observer,
) -> Result<(), Failure> {
    for hook in hooks.units.iter().filter(|hook| hook.anchor == anchor) {
        let start = Instant::now();
        (hook.run)(&mut context).map_err(Failure::Program)?;
        observer.hook(anchor, &hook.name, context.unit, start.elapsed());
        let broken = verify_unit(context.unit);
        if let Some(first) = broken.first() {
            let (name, count) = (&hook.name, broken.len());
            let message = format!("the hook '{name}' left {count} mistakes: {}", first.message);
            return Err(Failure::Job(message));
        }
    }
    Ok(())
}

/// Gives the only entry the name that the job asks for, if nothing else has it.
fn name_entry(unit: &mut Unit, name: Option<&Arc<str>>) {
    let (Some(name), [entry]) = (name, &unit.entries[..]) else { return };
    let entry = *entry;
    if unit.find(name).is_none_or(|other| other == entry)
        && let Some(function) = unit.funcs.get_mut(entry)
    {
        function.name = name.clone();
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
