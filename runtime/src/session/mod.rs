//! Sessions: a program that grows and changes while hosts compile from it and run what they compiled.
//!
//! A [`Session`] owns the program and a cache of what was compiled from it. Every change of the program makes a new state
//! beside the old one and then takes its place, so that readers never wait for writers: a [`Job`] is pinned to the world
//! that it was made in and gives the same code for ever. The cache knows for which worlds a piece of code is right; a
//! change closes exactly those entries of which a look-up now means something else, and nothing else is compiled again.
//!
//! ```
//! use marquetry::compile::Target;
//! use marquetry::engine::Outcome;
//! use marquetry::session::{Backend, Session};
//! use marquetry::lower::job::OptLevel;
//!
//! let session = Session::new();
//! let native = session.add_backend(Backend::new("native", Target::parse("native", OptLevel::Default)?))?;
//! session.define("twice.mq", "method twice(x: i32) -> i32 {\nentry:\n    y = add x, x\n    return y\n}\n")?;
//! let old = session.job("twice", &native)?;
//! session.redefine("twice.mq", "method twice(x: i32) -> i32 {\nentry:\n    y = shl x, i32 1\n    return y\n}\n")?;
//! let new = session.job("twice", &native)?;
//!
//! for job in [old, new] {
//!     let code = session.compile(&job)?;
//!     let Outcome::Returned(results) = code.call(&mut [21.into()])? else { return Err("it threw".into()) };
//!     assert_eq!(results[0].get(), Some(42));
//! }
//! assert_eq!(session.statistics().compilations, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two threads that ask for the same job at once: one compiles, the other waits for it. A thread that compiles never
//! waits for another one, so that hooks may use the session, too. The host's functions (hooks, observers, builders of
//! definitions) run under no lock.

mod backend;
mod cache;
mod config;
mod image;
mod results;
mod state;

pub use backend::Backend;
pub use config::{Config, Params};
pub use image::Stale;

use crate::compile::{Child, Compiled, emit, lower};
use crate::engine::EngineError;
use crate::image::{Hashes, ImageError};
use crate::memory;
use cache::{Key, New, Object, Record};
use marquetry_ir::diag::{self, Diagnostic, has_errors};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::limits::{MAX_METHODS, MAX_NAME_BYTES};
use marquetry_ir::program::{MethodData, MethodError, NoHost, Program, Resolve, World};
use marquetry_ir::signature::Signature;
use marquetry_ir::text;
use marquetry_ir::types::{Type, TypeError};
use marquetry_ir::verify::verify_program_since;
use marquetry_lower::dispatch::edges::{Edge, Instance};
use marquetry_lower::dispatch::explain;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::hooks::Deferred;
use marquetry_lower::job::{self, JobEntry};
use marquetry_lower::observe::{Observer, Silent};
use marquetry_lower::pipeline::{Lowering, Setup};
use marquetry_lower::runtime::Library;
use marquetry_lower::specialise;
use state::{Boarding, Shared};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An instance, how to compile it, and the world in which: a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Job {
    /// The method, with the types of its arguments where it has type variables.
    pub entry: JobEntry,
    /// How.
    pub config: Config,
    /// The world in which calls are looked up.
    pub world: World,
}

/// Why a session did not do what it was asked to.
#[derive(Clone, Debug)]
pub enum SessionError {
    /// The text or the method is wrong; the program stays as it was. The mistakes, and the same as text, with the place of
    /// each.
    Definition(Vec<Diagnostic>, String),
    /// A method cannot be added or deleted; the program stays as it was.
    Method(MethodError),
    /// There is no such method, back-end, or instance.
    NotFound(String),
    /// The job did not compile.
    Compile(EngineError),
    /// An image has the job, but is damaged there.
    Image(ImageError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Definition(_, text) => f.write_str(text.trim_end()),
            SessionError::Method(MethodError::Exists(_)) => {
                f.write_str("its table has a method that takes the same")
            }
            SessionError::Method(MethodError::DeviceTable) => f.write_str("the device table is private"),
            SessionError::Method(MethodError::Unbound(_)) => {
                f.write_str("a type variable occurs in no parameter")
            }
            SessionError::Method(MethodError::LinkName(function)) => write!(
                f,
                "the name is how the device library calls what a runtime provider supplies for '{function}', in a table \
                 of the provider: make the method an overlay there"
            ),
            SessionError::Method(MethodError::Name) => {
                write!(f, "the name is longer than {MAX_NAME_BYTES} bytes, or has a zero byte")
            }
            SessionError::Method(MethodError::NoTable(_)) => f.write_str("there is no such table"),
            SessionError::Method(MethodError::TooMany) => write!(
                f,
                "the program has {MAX_METHODS} methods, the most there may be; those of earlier worlds count until \
                 `Session::forget_before`"
            ),
            SessionError::NotFound(what) => f.write_str(what),
            SessionError::Compile(error) => error.fmt(f),
            SessionError::Image(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

impl From<EngineError> for SessionError {
    fn from(error: EngineError) -> Self {
        SessionError::Compile(error)
    }
}

/// Told what a session does, on the thread that does it, under no lock.
pub trait Watcher: Send + Sync {
    /// A job was compiled, and was not in the cache before.
    fn compiled(&self, job: &Job, elapsed: Duration) {
        let _ = (job, elapsed);
    }

    /// A change made this wrong from its world on.
    fn invalidated(&self, entry: &JobEntry, config: &Config) {
        let _ = (entry, config);
    }
}

/// What a session did so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Jobs that were compiled, children included.
    pub compilations: u64,
    /// Jobs that were found in images.
    pub loaded: u64,
    /// Entries that changes closed.
    pub invalidations: u64,
    /// Entries of the cache, closed ones included.
    pub entries: u64,
    /// Methods of the program, ended ones included that are not forgotten.
    pub methods: u64,
}

/// A program and what was compiled from it. See the [module](self).
pub struct Session {
    shared: Shared,
    symbols: HashMap<String, usize>,
    watcher: Option<Arc<dyn Watcher>>,
    host: Arc<dyn Resolve>,
    /// Functions of the device library, for all jobs.
    library: Library,
    /// Tables of compilations that are over.
    compilations: AtomicU64,
    loaded: AtomicU64,
    /// What methods mean, to compare with images.
    hashes: Hashes,
    invalidations: AtomicU64,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session over the library and nothing else.
    pub fn new() -> Self {
        Self::over(crate::library::program())
    }

    /// A session over a program, which should hold the library.
    pub fn over(program: Program) -> Self {
        Session {
            shared: Shared::new(program),
            symbols: HashMap::new(),
            watcher: None,
            host: Arc::new(NoHost),
            library: Library::new(),
            compilations: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
            hashes: Hashes::default(),
            invalidations: AtomicU64::new(0),
        }
    }

    /// The same, with someone to tell what it does.
    pub fn watched(mut self, watcher: Arc<dyn Watcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// The same, with someone who supplies the words that globals leave to the host: when code is made in memory, and
    /// when a job bakes them in. Words are asked for under no lock, once per compilation.
    #[must_use]
    pub fn hosted(mut self, host: Arc<dyn Resolve>) -> Self {
        self.host = host;
        self
    }

    /// The same, with the address of one of the host's functions for code in memory.
    ///
    /// # Safety
    /// It is a function of the platform's C convention that takes and returns what the program's `extern func` of this
    /// link name says, does not unwind, and lives as long as the code.
    #[allow(unsafe_code, reason = "what the address is worth is the caller's promise")]
    pub unsafe fn with_symbol(mut self, link_name: &str, address: *const u8) -> Self {
        self.symbols.insert(link_name.into(), address.expose_provenance());
        self
    }

    /// The present state of the program. It stays as it is, whatever is defined later.
    pub fn snapshot(&self) -> Arc<Program> {
        self.shared.lock().program.clone()
    }

    /// The present world.
    pub fn world(&self) -> World {
        self.shared.lock().program.world()
    }

    /// Adds a back-end, and makes its tables; gives its config.
    ///
    /// # Errors
    /// There is one of this name: what a name stands for does not change.
    pub fn add_backend(&self, backend: Backend) -> Result<Config, SessionError> {
        let (name, config) = (backend.config.backend.clone(), backend.config());
        self.change(|program| {
            for table in config.tables.iter().chain(&config.provider) {
                program.table(table);
            }
            Ok::<(), SessionError>(())
        })?;
        let mut state = self.shared.lock();
        if state.backends.contains_key(&name) {
            return Err(SessionError::NotFound(format!("there is a back-end '{name}' already")));
        }
        state.backends.insert(name, Arc::new(backend));
        Ok(config)
    }

    /// The config of a back-end with these params, and the [tables](Backend::tables_for) that they choose.
    ///
    /// # Errors
    /// There is no such back-end.
    pub fn config(&self, backend: &str, params: Params) -> Result<Config, SessionError> {
        let known = self.shared.lock().backends.get(backend).cloned();
        let known =
            known.ok_or_else(|| SessionError::NotFound(format!("there is no back-end '{backend}'")))?;
        Ok(known.config_for(params))
    }

    /// Adds what a text defines: all of it, or nothing if there is a mistake.
    ///
    /// # Errors
    /// The mistakes.
    pub fn define(&self, file: &str, text: &str) -> Result<(), SessionError> {
        self.define_with(|program| text::parse(program, file, text))
    }

    /// As [`Self::define`]; methods take the place of those in their tables that take the same.
    ///
    /// # Errors
    /// The mistakes.
    pub fn redefine(&self, file: &str, text: &str) -> Result<(), SessionError> {
        self.define_with(|program| text::parse_redefining(program, file, text))
    }

    fn define_with(&self, mut read: impl FnMut(&mut Program) -> Vec<Diagnostic>) -> Result<(), SessionError> {
        self.change(|program| {
            let before = program.world();
            let mut diagnostics = read(program);
            if !has_errors(&diagnostics) {
                diagnostics = verify_program_since(program, before);
            }
            if !has_errors(&diagnostics) {
                return Ok(());
            }
            let text = diag::render(&diagnostics, &program.files);
            Err(SessionError::Definition(diagnostics, text))
        })
    }

    /// Adds a method that was built, in place of the one in its table that takes the same, if there is one. Its types are
    /// those of the [program](Self::snapshot); where it needs new ones, [`change`](Self::change) makes them.
    ///
    /// ```
    /// use marquetry::compile::Target;
    /// use marquetry::ir::body::Body;
    /// use marquetry::ir::builder::{BuilderContext, FunctionBuilder};
    /// use marquetry::ir::program::MethodData;
    /// use marquetry::ir::signature::Signature;
    /// use marquetry::ir::types::Type;
    /// use marquetry::lower::job::OptLevel;
    /// use marquetry::session::{Backend, Session};
    ///
    /// let session = Session::new();
    /// let native = session.add_backend(Backend::new("native", Target::parse("native", OptLevel::Default)?))?;
    /// let (program, signature) = (session.snapshot(), Signature::new([Type::I64], [Type::I64]));
    /// let (mut body, mut context) = (Body::new(), BuilderContext::new());
    /// let mut b = FunctionBuilder::new(&mut body, &program.types, &signature, &mut context);
    /// let entry = b.create_block();
    /// b.append_block_params_for_function_params(entry);
    /// b.switch_to_block(entry);
    /// b.seal_block(entry);
    /// let x = b.block_params(entry)[0];
    /// let square = b.ins().mul(x, x);
    /// b.ins().ret(&[square]);
    /// b.finalize()?;
    ///
    /// session.define_method(&MethodData::function("square", signature, body))?;
    /// let results = session.compile(&session.job("square", &native)?)?.call(&mut [12i64.into()])?.returned()?;
    /// assert_eq!(results[0].get(), Some(144i64));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The table does not exist, or is the device table.
    pub fn define_method(&self, data: &MethodData) -> Result<Method, SessionError> {
        self.change(|program| program.redefine_method(data.clone()).map_err(SessionError::Method))
    }

    /// Ends a method; whether it was alive. Jobs of earlier worlds still see it.
    ///
    /// # Errors
    /// The method lives in a table of the library.
    pub fn delete(&self, method: Method) -> Result<bool, SessionError> {
        self.change(|program| program.delete_method(method).map_err(SessionError::Method))
    }

    /// Changes the program: all of it, or nothing if there is an error. The function works on a copy, under no lock, and
    /// is called again if someone else was faster.
    ///
    /// # Errors
    /// The function's.
    pub fn change<T, E>(&self, mut change: impl FnMut(&mut Program) -> Result<T, E>) -> Result<T, E> {
        loop {
            let base = self.snapshot();
            let mut program = Program::clone(&base);
            let result = change(&mut program)?;
            let Some(closed) = self.shared.publish(&base, program) else { continue };
            self.invalidations.fetch_add(closed.len() as u64, Ordering::Relaxed);
            if let Some(watcher) = &self.watcher {
                closed.iter().for_each(|key| watcher.invalidated(&key.0, &key.1));
            }
            return Ok(result);
        }
    }

    /// The job for a call in the present world: `name(TYPE, ...)`, or a name alone where the methods without type
    /// variables that the config can see all take the same.
    ///
    /// # Errors
    /// No method fits, or several do.
    pub fn job(&self, call: &str, config: &Config) -> Result<Job, SessionError> {
        let program = self.snapshot();
        let view = view(&program, config)?;
        let name = call.trim();
        let (name, arguments): (Arc<str>, Vec<Type>) = if name.contains('(') {
            // Types that the call is the first to mention are made in the program.
            self.change(|program| text::parse_call(program, name).map_err(SessionError::NotFound))?
        } else {
            let mut params: Vec<&[Type]> = view
                .candidates(&program, name)
                .map(|method| program.method(method))
                .filter(|data| !data.is_generic())
                .map(|data| &data.signature.params[..])
                .collect();
            params.sort_unstable();
            params.dedup();
            match params[..] {
                [only] => (name.into(), only.to_vec()),
                _ => return Err(SessionError::NotFound(explain::undecided(&program, &view, name))),
            }
        };
        self.job_of(&name, &arguments, config)
    }

    /// The job for a call with arguments of these types of the program, in the present world.
    ///
    /// # Errors
    /// No method fits, or several do.
    pub fn job_of(&self, name: &str, arguments: &[Type], config: &Config) -> Result<Job, SessionError> {
        let program = self.snapshot();
        let view = view(&program, config)?;
        let answer = look_up(&program, &view, name, arguments).answer;
        match instance(&program, answer, arguments) {
            Some(entry) => Ok(Job { entry, config: config.clone(), world: program.world() }),
            None => Err(unresolved(&program, &view, name, arguments)),
        }
    }

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
    /// [results](Self::results) can be attached to it.
    ///
    /// # Errors
    /// As [`Self::compile`], as far as the program is concerned.
    pub fn prepare(&self, job: &Job) -> Result<(), SessionError> {
        if self.shared.lock().cache.find(&job.entry, &job.config, job.world).is_some() {
            return Ok(());
        }
        let (program, _) = self.pinned(job)?;
        let specialised = specialise::run_recorded(&program, &self.lower_job(&program, job)?)
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

    /// What the host attached to a job, one value per type, made by `Default` when first asked for. It lives and ends
    /// with the job's entry in the cache; none if there is no entry, as none is made by asking.
    pub fn results<V: Default + Send + Sync + 'static>(&self, job: &Job) -> Option<Arc<V>> {
        let object = {
            let state = self.shared.lock();
            let (_, entry) = state.cache.find(&job.entry, &job.config, job.world)?;
            entry.object.clone()
        };
        Some(object.results.get())
    }

    /// Says that what is attached to a job means nothing outside this session; whether the job is in the cache.
    pub fn mark_session_dependent(&self, job: &Job) -> bool {
        let mut state = self.shared.lock();
        let entry = state.cache.find_mut(job);
        entry.map(|entry| entry.session_dependent = true).is_some()
    }

    /// Empties the entries that were marked: their code and what is attached to them. Says how many there were.
    pub fn wipe_session_dependent(&self) -> usize {
        let mut wiped = Vec::new();
        let mut state = self.shared.lock();
        for entry in state.cache.entries_mut().filter(|entry| entry.session_dependent) {
            entry.session_dependent = false;
            wiped.push(std::mem::take(&mut entry.object));
        }
        drop(state);
        // What the host attached is dropped here, under no lock.
        wiped.len()
    }

    /// Forgets what holds only in worlds before this one, or before the present one if that is earlier: code, and methods
    /// that ended by then. Jobs of such a world compile no longer, but for those whose code is right in later ones, too.
    /// Code that somebody holds, and may be running, stays.
    ///
    /// A session that goes on redefining keeps every method that ever was, for jobs that may be pinned to its worlds, up
    /// to [`MAX_METHODS`] of them. Only the host knows which worlds nobody asks for any more.
    pub fn forget_before(&self, world: World) {
        let world = world.min(self.world());
        let forgotten = self.change(|program| {
            program.forget_before(world);
            Ok::<(), Infallible>(())
        });
        let Ok(()) = forgotten;
        let old = {
            let mut state = self.shared.lock();
            state.forget_before(world)
        };
        drop(old);
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        let state = self.shared.lock();
        Statistics {
            compilations: self.compilations.load(Ordering::Relaxed),
            loaded: self.loaded.load(Ordering::Relaxed),
            invalidations: self.invalidations.load(Ordering::Relaxed),
            entries: state.cache.len() as u64,
            methods: state.program.kept_methods() as u64,
        }
    }

    /// The program and the back-end of a job.
    fn pinned(&self, job: &Job) -> Result<(Arc<Program>, Arc<Backend>), SessionError> {
        let state = self.shared.lock();
        let name = &job.config.backend;
        let backend = state.backends.get(name).cloned();
        let backend =
            backend.ok_or_else(|| SessionError::NotFound(format!("there is no back-end '{name}'")))?;
        Ok((state.program_at(job.world)?, backend))
    }

    fn lower_job(&self, program: &Program, job: &Job) -> Result<job::Job, SessionError> {
        let view = view(program, &job.config)?.at(job.world);
        Ok(job::Job { entries: vec![job.entry.clone()], view, options: job.config.options.clone() })
    }

    fn lower(
        &self,
        program: &Program,
        backend: &Backend,
        job: &Job,
        observer: &mut dyn Observer,
    ) -> Result<Lowering, SessionError> {
        let setup = Setup {
            target: job.config.target.lowering(),
            library: &self.library,
            hooks: &backend.hooks,
            answers: &backend.answers,
            params: job.config.params.any(),
            host: &*self.host,
            threads: 1,
        };
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
        if let Some(stored) = self.stored(job)? {
            return Ok(stored);
        }
        let start = Instant::now();
        let key = Key::from(job);
        let (program, backend) = self.pinned(job)?;
        let mut lowering = self.lower(&program, &backend, job, &mut Silent)?;
        let mut compiled = self.emit(job, &lowering)?;
        let mut worlds = lowering.worlds;
        let instances = std::mem::take(&mut lowering.instances);
        let types = lowering.types.clone();
        let mut record = vec![Record { instances, types, view: view(&program, &job.config)? }];
        let mut children = Vec::new();
        above.push(key.clone());
        for deferred in &lowering.deferred {
            let (child, edges, found) = self.child(job, &lowering, deferred)?;
            worlds = worlds.intersect(found);
            record.push(edges);
            let child_key = Key::from(&child);
            let known = self.shared.lock().compiled(&child);
            let code = match known {
                Some(code) => Some(code),
                None if above.contains(&child_key) => None,
                // Whoever compiles does not wait: if another thread has it first, that one's is kept.
                None => Some(self.build(&child, above)?),
            };
            children.push((child_key, child.world));
            compiled.children.push(Child { job: child, compiled: code });
        }
        above.pop();
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

    /// The job of a child, and the look-up by which it was found.
    fn child(
        &self,
        parent: &Job,
        lowering: &Lowering,
        deferred: &Deferred,
    ) -> Result<(Job, Record, marquetry_ir::program::Worlds), SessionError> {
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
            deferred.arguments.iter().map(|&ty| program.types.import(&lowering.types, ty)).collect()
        };
        let arguments = if deferred.arguments.iter().any(|ty| ty.is_aggregate()) {
            self.change(import).map_err(|error| SessionError::NotFound(error.to_string()))?
        } else {
            deferred.arguments.to_vec()
        };
        let program = self.shared.lock().program_at(parent.world)?;
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
        };
        let record = Record { instances: vec![caller], types: Arc::new(program.types.clone()), view: open };
        Ok((Job { entry, config, world: parent.world }, record, found.worlds))
    }
}

/// The stack of tables of a config.
fn view(program: &Program, config: &Config) -> Result<View, SessionError> {
    let missing = |name: &str, role| {
        let message = format!("there is no table '{name}', {role} of the back-end '{}'", config.backend);
        SessionError::NotFound(message)
    };
    let roles = [(&config.tables, "one"), (&config.provider, "one of the runtime provider")];
    for (names, role) in &roles[..if config.device { 2 } else { 1 }] {
        if let Some(name) = names.iter().find(|name| program.find_table(name).is_none()) {
            return Err(missing(name, role));
        }
    }
    Ok(view_of(program, &config.tables, &config.provider, config.device))
}

/// The stack of these tables; those that do not exist have no methods.
fn view_of<S: AsRef<str>>(program: &Program, tables: &[S], provider: &[S], device: bool) -> View {
    let find = |names: &[S]| -> Vec<Table> {
        names.iter().filter_map(|name| program.find_table(name.as_ref())).collect()
    };
    let tables = find(tables);
    if device { View::device(&tables).with_provider(&find(provider)) } else { View::native(&tables) }
}

/// The instance that a look-up gave.
fn instance(program: &Program, answer: Answer, arguments: &[Type]) -> Option<JobEntry> {
    let Answer::Method(method) = answer else { return None };
    let generic = program.method(method).is_generic();
    Some(JobEntry { method, arguments: generic.then(|| arguments.into()) })
}

fn unresolved(program: &Program, view: &View, name: &str, arguments: &[Type]) -> SessionError {
    let message = explain::unresolved(program, &program.types, view, name, arguments);
    let call = format!("{name}{}", Signature::new(arguments, []).display(&program.types));
    SessionError::NotFound(if message.is_empty() { format!("no method for {call}") } else { message })
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Session>();
    shared::<Compiled>();
    shared::<Job>();
};
