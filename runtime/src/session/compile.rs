//! Compilation of jobs: from the cache, from an image, or by the pipeline, children included.

use super::backend::Backend;
use super::cache::{Key, New, Object, Record};
use super::jobs::{instance, unresolved, view};
use super::state::Boarding;
use super::{Job, Session, SessionError};
use crate::compile::{Child, Compiled, emit, lower};
use crate::engine::EngineError;
use crate::memory;
use marquetry_ir::program::{Program, World, Worlds};
use marquetry_ir::text::print_type;
use marquetry_ir::types::{Type, TypeError, Types};
use marquetry_lower::dispatch::edges::{Edge, Instance};
use marquetry_lower::dispatch::resolve::look_up;
use marquetry_lower::failure::Failure;
use marquetry_lower::hooks::Deferred;
use marquetry_lower::job;
use marquetry_lower::observe::{Observer, Silent};
use marquetry_lower::pipeline::{Lowering, Setup};
use marquetry_lower::{query, specialise};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What a job asked for besides itself.
pub(super) struct Family {
    pub(super) children: Vec<Child>,
    /// What the cache knows them by.
    pub(super) keys: Vec<(Key, World)>,
    /// The look-ups by which they were found.
    pub(super) record: Vec<Record>,
    /// Where these have the answers that they had.
    pub(super) worlds: Worlds,
}

impl Session {
    /// The code of a job: from the cache, from an image, or compiled now.
    ///
    /// # Errors
    /// The program is wrong, the target cannot do what it asks for, or a limit is passed. Failures are not remembered.
    pub fn compile(&self, job: &Job) -> Result<Arc<Compiled>, SessionError> {
        match self.shared.board(job) {
            Boarding::Compiled(known) => Ok(known),
            Boarding::Alone => self.build(job, &mut Vec::new()),
            Boarding::Flight(flight) => {
                let result = flight.run(&self.shared, || self.build(job, &mut Vec::new()));
                self.shared.land(job, &flight);
                result
            }
        }
    }

    /// Compiles a job with someone watching, whatever the cache holds, and leaves the cache as it is.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_observed(&self, job: &Job, observer: &mut dyn Observer) -> Result<Compiled, SessionError> {
        let (program, backend) = self.pinned(job)?;
        let lowering = self.lower(&program, &backend, job, observer)?;
        Ok(self.emit(job, &lowering)?)
    }

    /// Finds out what a job depends on, without compiling it: from now on it is in the cache, and
    /// [results](Self::results) can be attached to it. Its children, and what late stages link, are known once it is
    /// compiled: until then no change of these ends it.
    ///
    /// # Errors
    /// As [`Self::compile`], as far as the program is concerned.
    pub fn prepare(&self, job: &Job) -> Result<(), SessionError> {
        if self.shared.lock().find(job).is_some() {
            return Ok(());
        }
        let (program, backend) = self.pinned(job)?;
        let (setup, lowered) = (self.setup(&backend, job), self.lower_job(&program, job)?);
        let answer = |key: &str| query::answer(key, Some(setup.target), &lowered.options, setup.answers);
        let specialised = specialise::run_answered(&program, &lowered, &answer)
            .map_err(|failure| SessionError::Compile(failure.into()))?;
        let mut instances = specialised.instances;
        instances.extend(specialised.linked);
        let record = Record { instances, types: specialised.unit.types, view: view(&program, &job.config)? };
        let (worlds, seen) = (specialised.worlds, program.world());
        let key = Key::from(job);
        let new = New { key, world: job.world, worlds, seen, record: vec![record], children: Vec::new() };
        self.shared.lock().insert(new);
        Ok(())
    }

    /// The program and the back-end of a job.
    pub(super) fn pinned(&self, job: &Job) -> Result<(Arc<Program>, Arc<Backend>), SessionError> {
        let state = self.shared.lock();
        let name = &job.config.backend;
        let backend = state.backends.get(name).cloned();
        let backend =
            backend.ok_or_else(|| SessionError::NotFound(format!("there is no back-end '{name}'")))?;
        Ok((state.program_at(job.world)?, backend))
    }

    pub(super) fn lower_job(&self, program: &Program, job: &Job) -> Result<job::Job, SessionError> {
        let view = view(program, &job.config)?.at(job.world);
        Ok(job::Job { entries: vec![job.entry.clone()], view, options: job.config.options.clone() })
    }

    /// What the stages of a job see besides the program.
    pub(super) fn setup<'a>(&'a self, backend: &'a Backend, job: &'a Job) -> Setup<'a> {
        Setup {
            target: job.config.target.lowering(),
            library: &self.library,
            hooks: &backend.hooks,
            answers: &backend.answers,
            params: job.config.params.any(),
            host: &*self.host,
            threads: 1,
        }
    }

    fn lower(
        &self,
        program: &Program,
        backend: &Backend,
        job: &Job,
        observer: &mut dyn Observer,
    ) -> Result<Lowering, SessionError> {
        let setup = self.setup(backend, job);
        let job = self.lower_job(program, job)?;
        let lowering = memory::with(|memory| lower(memory, program, &job, &setup, observer));
        // Engines have no use for the places of what they cannot do; hosts have.
        lowering.map_err(|failure| match failure {
            Failure::Program(problems) => EngineError::Program(problems).into(),
            other => SessionError::Compile(other.into()),
        })
    }

    fn emit(&self, job: &Job, lowering: &Lowering) -> Result<Compiled, EngineError> {
        let symbol = |name: &str| self.symbols.get(name).map(|&at| std::ptr::with_exposed_provenance(at));
        let (target, form) = (&job.config.target, job.config.form);
        memory::with(|memory| emit(memory, lowering, target, form, &symbol, &*self.host))
    }

    /// Compiles a job, or takes it from an image, and puts it into the cache. `above` are the jobs that this one is a child of.
    fn build(&self, job: &Job, above: &mut Vec<Key>) -> Result<Arc<Compiled>, SessionError> {
        if let Some(stored) = self.stored(job, above)? {
            return Ok(stored);
        }
        let start = Instant::now();
        let key = Key::from(job);
        let (program, backend) = self.pinned(job)?;
        let mut lowering = self.lower(&program, &backend, job, &mut Silent)?;
        let mut compiled = self.emit(job, &lowering)?;
        let instances = std::mem::take(&mut lowering.instances);
        let types = lowering.types.clone();
        let mut record = vec![Record { instances, types, view: view(&program, &job.config)? }];
        let family = self.children(job, &lowering.deferred, &lowering.types, above)?;
        let worlds = lowering.worlds.intersect(family.worlds);
        record.extend(family.record);
        compiled.children = family.children;
        let children = family.keys;
        let new = New { key, world: job.world, worlds, seen: program.world(), record, children };
        let object: Arc<Object> = self.shared.lock().insert(new);
        // Its words are this session's.
        if !lowering.legal.baked().is_empty() {
            self.mark_session_dependent(job);
        }
        let compiled = Arc::new(compiled);
        let kept = object.compiled.get_or_init(|| compiled.clone()).clone();
        self.compilations.fetch_add(1, Ordering::Relaxed);
        if let Some(watcher) = &self.watcher {
            watcher.compiled(job, start.elapsed());
        }
        Ok(kept)
    }

    /// What a job asked for besides itself, in its order: from the cache, from an image, or compiled now. `types` are those of the
    /// arguments.
    pub(super) fn children(
        &self,
        job: &Job,
        deferred: &[Deferred],
        types: &Types,
        above: &mut Vec<Key>,
    ) -> Result<Family, SessionError> {
        let mut family =
            Family { children: Vec::new(), keys: Vec::new(), record: Vec::new(), worlds: Worlds::ALL };
        above.push(Key::from(job));
        for deferred in deferred {
            let (child, edges, found) = self.child(job, types, deferred)?;
            family.worlds = family.worlds.intersect(found);
            family.record.push(edges);
            let child_key = Key::from(&child);
            let known = self.shared.lock().compiled(&child);
            let code = match known {
                Some(code) => Some(code),
                None if above.contains(&child_key) => None,
                // Whoever compiles does not wait: if another thread has it first, that one's is kept.
                None => Some(self.build(&child, above)?),
            };
            family.keys.push((child_key, child.world));
            family.children.push(Child { job: child, compiled: code });
        }
        above.pop();
        Ok(family)
    }

    /// The job of a child, and the look-up by which it was found.
    fn child(
        &self,
        parent: &Job,
        types: &Types,
        deferred: &Deferred,
    ) -> Result<(Job, Record, Worlds), SessionError> {
        let config = match &deferred.backend {
            None => {
                let mut config = parent.config.clone();
                config.options.name = None;
                config
            }
            Some(name) => {
                let backend = self.shared.lock().backends.get(name).cloned();
                let missing = || SessionError::NotFound(format!("there is no back-end '{name}'"));
                backend.ok_or_else(missing)?.config()
            }
        };
        // Types that only the unit has are made in the program.
        let import = |program: &mut Program| -> Result<Vec<Type>, TypeError> {
            deferred.arguments.iter().map(|&ty| program.types.import(types, ty)).collect()
        };
        let arguments = if deferred.arguments.iter().any(|ty| ty.is_aggregate()) {
            self.change(import).map_err(|error| SessionError::NotFound(error.to_string()))?
        } else {
            deferred.arguments.to_vec()
        };
        let program = self.shared.lock().program_at(parent.world)?;
        // The program as it was before relations between types changed has none of the types that came later.
        if let Some(n) = arguments.iter().position(|&ty| program.types.layout(ty).is_none()) {
            let ty = deferred.arguments.get(n).map(|&ty| print_type(types, ty)).unwrap_or_default();
            let (name, world) = (&deferred.name, parent.world.0);
            return Err(SessionError::NotFound(format!(
                "the child '{name}' takes {ty}, a type that only the job above it made: in world {world}, before relations \
                 between types changed, there is none"
            )));
        }
        let open = view(&program, &config)?;
        let pinned = open.clone().at(parent.world);
        let found = look_up(&program, &pinned, &deferred.name, &arguments);
        let Some(entry) = instance(&program, found.answer, &arguments) else {
            return Err(unresolved(&program, &pinned, &deferred.name, &arguments));
        };
        let edge = Edge { name: deferred.name.clone(), arguments: arguments.into(), answer: found.answer };
        let caller = Instance {
            func: marquetry_ir::entity::Func::from_u32(0),
            method: parent.entry.method,
            arguments: Box::default(),
            edges: vec![edge],
            worlds: found.worlds,
            alone: None,
        };
        let record = Record { instances: vec![caller], types: Arc::new(program.types.clone()), view: open };
        Ok((Job { entry, config, world: parent.world }, record, found.worlds))
    }
}
