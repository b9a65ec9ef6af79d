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

use crate::dispatch::edges::Instance;
use crate::exceptions::Lowered;
use crate::failure::Failure;
use crate::fold::{self, Folding};
use crate::hooks::{Anchor, Deferred, HookContext, Hooks};
use crate::job::{InlinePolicy, Job, OptLevel};
use crate::legal::Legal;
use crate::observe::{Observer, Silent};
use crate::parallel::Workers;
use crate::passes::PassContext;
use crate::query::{self, Answers};
use crate::references::{self, Strategy};
use crate::report::{self, Place};
use crate::runtime::link::Linker;
use crate::runtime::{Library, hooks as reports, inputs, print};
use crate::specialise::Specialised;
use crate::stage::Stage;
use crate::target::Target;
use crate::{
    call_graph, convergence, evaluate, exceptions, kernel_abi, known_slots, legalise, optimise, specialise,
    validate,
};
use cranelift_entity::EntityRef;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::Func;
use marquetry_ir::program::{Inlining, NoHost, Program, Resolve, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::Types;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::{self, Verified};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

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
}

impl Context {
    /// No tables yet.
    pub fn new() -> Self {
        Self::default()
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
    let mut verified = Verified::new(specialise::run(program, job)?).map_err(Failure::Program)?;
    let answer = |key: &str| query::answer(key, None, &job.options, &[]);
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
    let failure = validate::traced(failure, program, job);
    validate::in_context(failure, program, job, &setup.target.name())
}

/// How far a job got.
enum Reached {
    Unit(Unit),
    Legal(Legal),
}

/// One job on its way.
struct Pipeline<'a> {
    context: &'a mut Context,
    program: &'a Program,
    job: &'a Job,
    setup: &'a Setup<'a>,
    linker: Linker<'a>,
    /// Whether static assertions are checked.
    asserts: bool,
    /// Per function of the specialised unit.
    instances: Vec<Instance>,
    types: Arc<Types>,
    signatures: Vec<Signature>,
    worlds: Worlds,
    deferred: Vec<Deferred>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Pipeline<'a> {
    fn new(
        context: &'a mut Context,
        program: &'a Program,
        job: &'a Job,
        setup: &'a Setup<'a>,
    ) -> Pipeline<'a> {
        Pipeline {
            context,
            program,
            job,
            setup,
            linker: Linker::new(program, job, setup.library),
            asserts: job.options.validate,
            instances: Vec::new(),
            types: Arc::new(program.types.clone()),
            signatures: Vec::new(),
            worlds: Worlds::ALL,
            deferred: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// What the job became, with the record of what it was made of.
    fn finish(self, legal: Legal) -> Lowering {
        let Pipeline { mut instances, linker, types, signatures, deferred, warnings, worlds, .. } = self;
        instances.extend(linker.instances);
        let worlds = worlds.intersect(linker.worlds);
        Lowering { legal, instances, types, signatures, worlds, deferred, warnings }
    }

    fn stages(&mut self, until: Stage, observer: &mut dyn Observer) -> Result<Reached, Failure> {
        let (job, &Setup { target, hooks, threads, .. }) = (self.job, self.setup);
        let options = &job.options;
        let mut clock = Clock(Instant::now());
        let made = self.specialise()?;
        clock.report(Stage::Specialised, observer);
        let verified = match made.just_inferred {
            true => Verified::just_inferred(&mut self.context.verifier, made.unit, threads),
            false => Verified::new(made.unit),
        };
        let mut verified = verified.map_err(Failure::Program)?;
        // The library's functions were verified when they were compiled.
        if made.calls_runtime {
            verified.pass(|unit| self.linker.link(unit))?;
        }
        self.types = verified.unit().types.clone();
        clock.report(Stage::Specialised, observer);
        verified = self.hooks(Anchor::Specialised, verified, observer)?;
        let mut kept = None;
        verified.pass(|unit| {
            name_entry(unit, options.name.as_ref());
            kept = self.fold(unit)?;
            Ok::<(), Failure>(())
        })?;
        if until <= Stage::Specialised {
            return Ok(Reached::Unit(verified.into_unit()));
        }
        let effort = job.effort();
        verified.pass(|unit| {
            if options.evaluate && effort > OptLevel::None {
                let evaluable = kept.as_deref().unwrap_or(&self.instances);
                evaluate::run(self.program, job.view.world(self.program), unit, evaluable);
            }
            fold::direct_calls(unit);
            if options.inlining == InlinePolicy::Always {
                let auto = unit.funcs.values_mut().filter(|function| function.inlining == Inlining::Auto);
                auto.for_each(|function| function.inlining = Inlining::Always);
            }
        });
        verified = self.hooks(Anchor::BeforeOptimise, verified, observer)?;
        verified.pass(|unit| {
            optimise::run_in(&mut self.context.workers(threads), unit, effort, hooks, observer);
            fold::direct_calls(unit);
            // Tables that are not needed any more hold nothing alive.
            let holding = call_graph::held(unit).next().is_some();
            known_slots::drop_unread(unit);
            if holding {
                call_graph::prune(unit);
            }
        });
        verified = self.hooks(Anchor::AfterOptimise, verified, observer)?;
        clock.report(Stage::Optimised, observer);
        if until <= Stage::Optimised {
            return Ok(Reached::Unit(verified.into_unit()));
        }
        // What is linked may print as well.
        verified.pass(|unit| {
            let mut linked = false;
            while print::lower(unit) {
                self.linker.link(unit)?;
                linked = true;
            }
            if linked { self.answer(unit) } else { Ok(()) }
        })?;
        let mut lowered = exceptions::run_with(verified, options.throws, target.caps().structured)?;
        if !lowered.sites.is_empty() {
            let names = reports::link_names(options.debug_level, options.throws);
            names.iter().for_each(|name| self.linker.note(name));
        }
        if reports::run(&mut lowered, &self.linker, options.debug_level, options.throws)? {
            link_after_exceptions(&mut self.linker, &mut lowered)?;
            self.answer(&mut lowered.unit)?;
        }
        inputs::run(&mut lowered, options.state)?;
        optimise::debug_check(lowered.unit());
        let cleans = options.cleanup && options.opt_level > OptLevel::None;
        if cleans {
            let workers = &mut self.context.workers(threads);
            optimise::cleanup_some(workers, &mut lowered.unit, &lowered.rewritten, observer);
            lowered.tidy = true;
        }
        if hooks.has(Anchor::BeforeLegalise) {
            let unit = Verified::new(std::mem::take(&mut lowered.unit)).map_err(Failure::Program)?;
            lowered.unit = self.hooks(Anchor::BeforeLegalise, unit, observer)?.into_unit();
        }
        clock.report(Stage::Exceptions, observer);
        if until <= Stage::Exceptions {
            return Ok(Reached::Unit(lowered.unit));
        }
        let mut problems = Vec::new();
        if options.validate {
            problems = validate::unit(&lowered.unit);
            if !target.caps().early_returns {
                problems.extend(convergence::check(&lowered.unit));
            }
        }
        kernel_abi::run(&mut lowered, target, options.entry_abi);
        let legal = legalise::run_in(&mut self.context.passes, lowered, target);
        let legal = validate::joined(problems, legal)?;
        let mut legal = legal.with_debug_level(options.debug_level);
        optimise::debug_check(legal.unit());
        if cleans {
            let rewritten = legal.take_rewritten();
            let workers = &mut self.context.workers(threads);
            optimise::cleanup_some(workers, legal.unit_mut(), &rewritten, observer);
        }
        references::prune(legal.unit_mut());
        legal = legal.with_references(options.references);
        if options.references == Strategy::Bake {
            legal = legal.baked_by(self.setup.host)?;
        }
        clock.report(Stage::Legal, observer);
        Ok(Reached::Legal(legal))
    }

    /// The unit, not linked yet.
    fn specialise(&mut self) -> Result<Specialised, Failure> {
        // Its table is free until the first pass.
        let scratch = &mut self.context.passes.cfg;
        let mut made = specialise::run_unlinked(self.program, self.job, self.types.clone(), scratch)?;
        let unit = &made.unit;
        let entries = unit.entries.iter().filter_map(|&entry| unit.funcs.get(entry));
        self.signatures = entries.map(|function| function.signature.clone()).collect();
        (self.instances, self.worlds) = (std::mem::take(&mut made.instances), made.worlds);
        Ok(made)
    }

    /// Mandatory folding. Gives the instances of the functions that are left, unless all are.
    fn fold(&self, unit: &mut Unit) -> Result<Option<Vec<Instance>>, Failure> {
        let Setup { target, answers, .. } = *self.setup;
        let options = &self.job.options;
        let answer = |key: &str| query::answer(key, Some(target), options, answers);
        let known = || query::known(answers);
        let folding = Folding { answer: &answer, known: &known, check: self.asserts };
        let kept = fold::run(unit, &folding)?;
        let instance = |&(old, _): &(Func, Func)| self.instances.get(old.index()).cloned();
        Ok(kept.map(|kept| kept.iter().filter_map(instance).collect()))
    }

    /// Answers the questions of what was linked late.
    fn answer(&self, unit: &mut Unit) -> Result<(), Failure> {
        let Setup { target, answers, .. } = *self.setup;
        let answer = |key: &str| query::answer(key, Some(target), &self.job.options, answers);
        let known = || query::known(answers);
        fold::answer_only(unit, &Folding { answer: &answer, known: &known, check: false })
    }

    /// Runs the hooks of an anchor, and verifies what each of them left.
    fn hooks(
        &mut self,
        anchor: Anchor,
        verified: Verified,
        observer: &mut dyn Observer,
    ) -> Result<Verified, Failure> {
        let &Setup { target, hooks, params, .. } = self.setup;
        let mut verified = verified;
        for hook in hooks.units.iter().filter(|hook| hook.anchor == anchor) {
            let start = Instant::now();
            let mut unit = verified.into_unit();
            let (deferred, warnings) = (&mut self.deferred, &mut self.warnings);
            let mut context =
                HookContext { unit: &mut unit, job: self.job, target, params, deferred, warnings };
            (hook.run)(&mut context).map_err(Failure::Program)?;
            unit.funcs.values_mut().for_each(|function| function.body.recount_ops());
            observer.hook(anchor, &hook.name, &unit, start.elapsed());
            verified = Verified::new(unit).map_err(|broken| {
                let first = broken.first().map_or("", |problem| &problem.message);
                let (name, count) = (&hook.name, broken.len());
                Failure::Job(format!("the hook '{name}' left {count} mistakes: {first}"))
            })?;
        }
        Ok(verified)
    }
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
