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
mod compile;
mod config;
mod definitions;
mod error;
mod image;
mod jobs;
mod look_ups;
mod results;
mod state;

pub use backend::Backend;
pub use config::{Config, Params};
pub use error::SessionError;
pub use image::Stale;
pub use look_ups::LookUps;

use crate::compile::Compiled;
use crate::image::Hashes;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::{NoHost, Program, Resolve, World};
use marquetry_lower::dispatch::lints::shadowed_in;
use marquetry_lower::job::JobEntry;
use marquetry_lower::runtime::Library;
use state::Shared;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An instance, how to compile it, and the world in which: a value. In a world that is yet to come nothing is compiled.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Job {
    /// The method, with the types of its arguments where it has type variables.
    pub entry: JobEntry,
    /// How.
    pub config: Config,
    /// The world in which calls are looked up.
    pub world: World,
}

/// Told what a session does, on the thread that does it, under no lock.
pub trait Watcher: Send + Sync {
    /// A job was compiled, and was not in the cache before.
    fn compiled(&self, job: &Job, elapsed: Duration) {
        let _ = (job, elapsed);
    }

    /// Something is probably not meant about what the jobs of a back-end see, with the config as the back-end has it: since
    /// the back-end was added, or since a definition. The same as text comes with it. What jobs of other configs see, hosts
    /// [ask](Session::warnings) for.
    fn warned(&self, config: &Config, warnings: &[Diagnostic], text: &str) {
        let _ = (config, warnings, text);
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
    /// There is one of this name: what a name stands for does not change. Or it lists tables of the library as its own.
    pub fn add_backend(&self, backend: Backend) -> Result<Config, SessionError> {
        let (name, config) = (backend.config.backend.clone(), backend.config());
        let taken = || SessionError::NotFound(format!("there is a back-end '{name}' already"));
        if self.shared.lock().backends.contains_key(&name) {
            return Err(taken());
        }
        self.change(|program| {
            for table in config.tables.iter().chain(&config.provider) {
                // The library's are there, and for nobody to add to.
                let _ = program.table(table);
            }
            jobs::view(program, &config).map(drop)
        })?;
        let mut state = self.shared.lock();
        // Another thread may have been faster.
        if state.backends.contains_key(&name) {
            return Err(taken());
        }
        state.backends.insert(name.clone(), Arc::new(backend));
        let program = state.program.clone();
        drop(state);
        if let Some(watcher) = &self.watcher {
            let view = jobs::view(&program, &config)?;
            definitions::tell(&**watcher, &config, &program, &shadowed_in(&program, &view));
        }
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

    /// What the host attached to a job, one value per type, made by `Default` when first asked for. It lives and ends
    /// with the job's entry in the cache; none if there is no entry, as none is made by asking.
    pub fn results<V: Default + Send + Sync + 'static>(&self, job: &Job) -> Option<Arc<V>> {
        let object = {
            let state = self.shared.lock();
            state.find(job)?.object.clone()
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
    /// to [`MAX_METHODS`](marquetry_ir::limits::MAX_METHODS) of them. Only the host knows which worlds nobody asks for any more.
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
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Session>();
    shared::<Compiled>();
    shared::<Job>();
};
