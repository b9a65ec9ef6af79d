//! The stages of one job, one after the other.

use super::{Context, Lowering, Setup};
use crate::dispatch::edges::Instance;
use crate::exceptions::{self, Lowered};
use crate::failure::Failure;
use crate::fold::{self, Folding};
use crate::hooks::{Anchor, Deferred, HookContext};
use crate::job::{InlinePolicy, Job, OptLevel};
use crate::legal::Legal;
use crate::observe::Observer;
use crate::query;
use crate::references::{self, Strategy};
use crate::report::{self, Place};
use crate::runtime::link::Linker;
use crate::runtime::{inputs, print, reports};
use crate::specialise::{self, Specialised};
use crate::stage::Stage;
use crate::{call_graph, convergence, evaluate, kernel_abi, known_slots, legalise, optimise, validate};
use cranelift_entity::EntityRef;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::Func;
use marquetry_ir::program::{Inlining, Program, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::Types;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::Verified;
use std::sync::Arc;
use std::time::Instant;

/// How far a job got.
pub(super) enum Reached {
    Unit(Unit),
    Legal(Legal),
}

/// One job on its way.
pub(super) struct Pipeline<'a> {
    context: &'a mut Context,
    program: &'a Program,
    job: &'a Job,
    setup: &'a Setup<'a>,
    linker: Linker<'a>,
    /// Whether static assertions are checked.
    pub(super) asserts: bool,
    /// Per function of the specialised unit.
    instances: Vec<Instance>,
    types: Arc<Types>,
    signatures: Vec<Signature>,
    worlds: Worlds,
    deferred: Vec<Deferred>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
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
    pub(super) fn finish(self, legal: Legal) -> Lowering {
        let Pipeline { mut instances, linker, types, signatures, deferred, warnings, worlds, .. } = self;
        instances.extend(linker.instances);
        let worlds = worlds.intersect(linker.worlds);
        Lowering { legal, instances, types, signatures, worlds, deferred, warnings }
    }

    /// The way itself. Hooks have their places between and within the stages, and observers hear of each.
    pub(super) fn stages(&mut self, until: Stage, observer: &mut dyn Observer) -> Result<Reached, Failure> {
        let mut clock = Clock(Instant::now());
        let (verified, left) = self.specialised(&mut clock, observer)?;
        if until <= Stage::Specialised {
            return Ok(Reached::Unit(verified.into_unit()));
        }
        let verified = self.optimised(verified, left.as_deref(), observer)?;
        clock.report(Stage::Optimised, observer);
        if until <= Stage::Optimised {
            return Ok(Reached::Unit(verified.into_unit()));
        }
        let lowered = self.without_exceptions(verified, observer)?;
        clock.report(Stage::Exceptions, observer);
        if until <= Stage::Exceptions {
            return Ok(Reached::Unit(lowered.unit));
        }
        let legal = self.legal(lowered, observer)?;
        clock.report(Stage::Legal, observer);
        Ok(Reached::Legal(legal))
    }

    /// The closed unit, linked with the device library, its questions answered; and the instances of the functions that
    /// are left in it, unless all are.
    fn specialised(
        &mut self,
        clock: &mut Clock,
        observer: &mut dyn Observer,
    ) -> Result<(Verified, Option<Vec<Instance>>), Failure> {
        let made = self.specialise()?;
        clock.report(Stage::Specialised, observer);
        let verified = match made.just_inferred {
            true => Verified::just_inferred(&mut self.context.verifier, made.unit, self.setup.threads),
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
        let mut left = None;
        verified.pass(|unit| {
            name_entry(unit, self.job.options.name.as_ref());
            left = self.fold(unit)?;
            Ok::<(), Failure>(())
        })?;
        Ok((verified, left))
    }

    /// What is constant evaluated, then the passes.
    fn optimised(
        &mut self,
        mut verified: Verified,
        left: Option<&[Instance]>,
        observer: &mut dyn Observer,
    ) -> Result<Verified, Failure> {
        let (job, &Setup { hooks, threads, .. }) = (self.job, self.setup);
        let effort = job.effort();
        verified.pass(|unit| {
            if job.options.evaluate && effort > OptLevel::None {
                let evaluable = left.unwrap_or(&self.instances);
                evaluate::run(self.program, job.view.world(self.program), unit, evaluable);
            }
            fold::direct_calls(unit);
            if job.options.inlining == InlinePolicy::Always {
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
        self.hooks(Anchor::AfterOptimise, verified, observer)
    }

    /// Exceptions become what the target's policy says, with what reports them linked and hidden inputs threaded.
    fn without_exceptions(
        &mut self,
        mut verified: Verified,
        observer: &mut dyn Observer,
    ) -> Result<Lowered, Failure> {
        let (options, &Setup { target, hooks, .. }) = (&self.job.options, self.setup);
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
        if self.cleans() {
            let workers = &mut self.context.workers(self.setup.threads);
            optimise::cleanup_some(workers, &mut lowered.unit, &lowered.rewritten, observer);
            lowered.tidy = true;
        }
        if hooks.has(Anchor::BeforeLegalise) {
            let unit = Verified::new(std::mem::take(&mut lowered.unit)).map_err(Failure::Program)?;
            lowered.unit = self.hooks(Anchor::BeforeLegalise, unit, observer)?.into_unit();
        }
        Ok(lowered)
    }

    /// The target's rules are checked, and what it lacks is put in other words.
    fn legal(&mut self, mut lowered: Lowered, observer: &mut dyn Observer) -> Result<Legal, Failure> {
        let (options, target) = (&self.job.options, self.setup.target);
        let mut problems = Vec::new();
        if options.validate {
            problems = validate::unit(&lowered.unit);
            if !target.caps().early_returns {
                problems.extend(convergence::check(&lowered.unit));
            }
        }
        kernel_abi::run(&mut lowered, target, options.entry_abi);
        let legal = legalise::run_in(&mut self.context.passes, lowered, target);
        let mut legal = validate::joined(problems, legal)?.with_debug_level(options.debug_level);
        optimise::debug_check(legal.unit());
        if self.cleans() {
            let rewritten = legal.take_rewritten();
            let workers = &mut self.context.workers(self.setup.threads);
            optimise::cleanup_some(workers, legal.unit_mut(), &rewritten, observer);
        }
        references::prune(legal.unit_mut());
        self.context.met(legal.unit());
        legal = legal.with_references(options.references);
        if options.references == Strategy::Bake { legal.baked_by(self.setup.host) } else { Ok(legal) }
    }

    /// Whether what the late stages wrote is tidied up.
    fn cleans(&self) -> bool {
        self.job.options.cleanup && self.job.options.opt_level > OptLevel::None
    }

    /// The unit, not linked yet.
    fn specialise(&mut self) -> Result<Specialised, Failure> {
        // Its table is free until the first pass.
        let scratch = &mut self.context.passes.cfg;
        let Setup { target, answers, .. } = *self.setup;
        let answer = |key: &str| query::answer(key, Some(target), &self.job.options, answers);
        let mut made =
            specialise::run_unlinked(self.program, self.job, self.types.clone(), &answer, scratch)?;
        let unit = &made.unit;
        self.context.met(unit);
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
