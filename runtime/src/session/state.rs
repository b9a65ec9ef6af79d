//! What the threads of a session share, and the few moments in which they hold its lock: to read a pointer, to look into
//! the cache, and to put a new state of the program in the place of the old one. No code of the host's runs in them.

use super::backend::Backend;
use super::cache::{Cache, Entry, Key, New, Object};
use super::config::Config;
use super::look_ups::LookUps;
use super::{Job, SessionError};
use crate::compile::Compiled;
use crate::image::LoadedImage;
use marquetry_ir::program::{Program, World};
use marquetry_lower::specialise::forgotten;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

/// A state of the program with its last world.
pub(super) type Epoch = (World, Arc<Program>);

/// Under the lock.
pub(super) struct State {
    pub(super) program: Arc<Program>,
    pub(super) cache: Cache,
    pub(super) backends: HashMap<Arc<str>, Arc<Backend>>,
    /// The last one is asked first.
    pub(super) images: Vec<Arc<LoadedImage>>,
    /// The program before each change that is not about methods.
    epochs: Vec<Epoch>,
    flights: HashMap<Job, Arc<Flight>>,
    /// What calls mean in this state of the program, as far as it was asked.
    pub(super) look_ups: HashMap<Config, Arc<LookUps>>,
    /// Threads that compile: they wait for nobody.
    compiling: HashSet<ThreadId>,
}

/// A compilation that others wait for.
#[derive(Default)]
pub(super) struct Flight(OnceLock<Result<Arc<Compiled>, SessionError>>);

/// How a thread gets the code of a job.
pub(super) enum Boarding {
    /// It is there.
    Compiled(Arc<Compiled>),
    /// The thread compiles something already, and waits for nobody.
    Alone,
    /// Together with others.
    Flight(Arc<Flight>),
}

/// What a change did.
pub(super) struct Published {
    /// The program, as it is now.
    pub(super) program: Arc<Program>,
    /// The entries that ended.
    pub(super) closed: Vec<Arc<Key>>,
}

pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(program: Program) -> Self {
        Shared(Mutex::new(State {
            program: Arc::new(program),
            cache: Cache::default(),
            backends: HashMap::new(),
            images: Vec::new(),
            epochs: Vec::new(),
            flights: HashMap::new(),
            look_ups: HashMap::new(),
            compiling: HashSet::new(),
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a program in the place of the one that it was made from; gives it with the entries that this closed. None if
    /// someone else was faster.
    pub(super) fn publish(&self, base: &Arc<Program>, mut program: Program) -> Option<Published> {
        // A type that got a supertype is one that was there before: look-ups of earlier worlds would notice.
        let relations = base.types.implementation_count() != program.types.implementation_count();
        if relations {
            program.advance_world();
        }
        let mut state = self.lock();
        if !Arc::ptr_eq(base, &state.program) {
            return None;
        }
        if relations {
            state.epochs.push((base.world(), base.clone()));
        }
        // What changed in worlds that are forgotten is not known: then all may have.
        let all = relations || program.oldest_world() > base.world();
        let closed = state.cache.publish(&mut program, base.world(), all);
        let program = Arc::new(program);
        let old = std::mem::replace(&mut state.program, program.clone());
        let asked = std::mem::take(&mut state.look_ups);
        drop(state);
        drop((old, asked));
        Some(Published { program, closed })
    }

    /// What there is of a job, or how to compile it.
    pub(super) fn board(&self, job: &Job) -> Boarding {
        let mut state = self.lock();
        if let Some(known) = state.compiled(job) {
            return Boarding::Compiled(known);
        }
        if state.compiling.contains(&thread::current().id()) {
            return Boarding::Alone;
        }
        Boarding::Flight(state.flights.entry(job.clone()).or_default().clone())
    }

    /// A compilation is over: who comes now looks into the cache, or tries again if it failed.
    pub(super) fn land(&self, job: &Job, flight: &Arc<Flight>) {
        let mut state = self.lock();
        if state.flights.get(job).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            state.flights.remove(job);
        }
    }
}

impl Flight {
    /// Compiles, or waits for the thread that does. If that one panics, the next one compiles.
    pub(super) fn run(
        &self,
        shared: &Shared,
        compile: impl FnOnce() -> Result<Arc<Compiled>, SessionError>,
    ) -> Result<Arc<Compiled>, SessionError> {
        let result = self.0.get_or_init(|| {
            let _busy = Busy::new(shared);
            compile()
        });
        result.clone()
    }
}

/// While this lives, the thread compiles.
struct Busy<'a>(&'a Shared);

impl<'a> Busy<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.lock().compiling.insert(thread::current().id());
        Busy(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.lock().compiling.remove(&thread::current().id());
    }
}

impl State {
    /// The state of the program in which a world is read.
    ///
    /// # Errors
    /// The world is forgotten.
    pub(super) fn program_at(&self, world: World) -> Result<Arc<Program>, SessionError> {
        let epoch = self.epochs.iter().find(|(last, _)| world <= *last);
        let program = epoch.map_or(&self.program, |(_, program)| program);
        if world < program.oldest_world() {
            return Err(SessionError::NotFound(forgotten(program, world)));
        }
        if world > program.world() {
            let (world, now) = (world.0, program.world().0);
            return Err(SessionError::NotFound(format!(
                "world {world} is yet to come: the present one is {now}"
            )));
        }
        Ok(program.clone())
    }

    /// The entry of a job, if there is one. What holds in the worlds to come is not known yet.
    pub(super) fn find(&self, job: &Job) -> Option<&Entry> {
        let known =
            self.cache.find(&job.entry, &job.config, job.world).filter(|_| job.world <= self.program.world());
        known.map(|(_, entry)| entry)
    }

    /// The code of a job, if there is any.
    pub(super) fn compiled(&self, job: &Job) -> Option<Arc<Compiled>> {
        self.find(job)?.object.compiled.get().cloned()
    }

    /// Where it is right, look-ups said by the methods that they met. They do not know relations of other epochs, nor methods
    /// that are forgotten: it holds from where both were what they are.
    pub(super) fn insert(&mut self, mut new: New) -> Arc<Object> {
        let before = self.epochs.iter().rev().find(|(last, _)| *last < new.world);
        let start = before.map_or(World(0), |(last, _)| World(last.0 + 1));
        new.worlds.from = new.worlds.from.max(start).max(self.program.oldest_world());
        let now = self.program.world();
        self.cache.insert(new, now)
    }

    /// Forgets what only earlier worlds need; gives it, to be dropped without the lock.
    pub(super) fn forget_before(&mut self, world: World) -> (Vec<Entry>, Vec<Epoch>) {
        let (old, kept) = std::mem::take(&mut self.epochs).into_iter().partition(|(last, _)| *last < world);
        self.epochs = kept;
        (self.cache.forget_before(world), old)
    }
}
