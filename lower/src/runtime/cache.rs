//! What providers' methods became, kept for later jobs.

use crate::dispatch::edges::Instance;
use crate::dispatch::resolve::look_up;
use crate::dispatch::view::View;
use crate::failure::Failure;
use crate::job::{Job, Options};
use crate::observe::Silent;
use crate::{optimise, specialise};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{MethodData, Program, Worlds};
use marquetry_ir::types::Types;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::verify_unit;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A function with the configuration of the jobs that it is for, with everything taken out that the library does not
/// depend on: entries, names, the world.
#[derive(Debug)]
struct Kept {
    view: View,
    options: Options,
    function: Arc<LibraryFunction>,
}

impl Kept {
    fn is_for(&self, view: &View, options: &Options) -> bool {
        self.view.is_same_stack(view) && self.options == *options
    }
}

/// A provider's method, compiled as far as every job that links it has in common.
#[derive(Debug)]
pub(super) struct LibraryFunction {
    /// Its only entry is the method.
    pub unit: Unit,
    /// What it was made of.
    pub instances: Vec<Instance>,
    /// The worlds in which it would be made the same.
    pub worlds: Worlds,
    /// The methods themselves, to tell programs apart whose ids agree.
    methods: Vec<Arc<MethodData>>,
}

/// Specialised and optimised library functions, for all jobs of a program and of its copies. Shared between threads; nothing
/// is compiled under its lock.
#[derive(Debug, Default)]
pub struct Library {
    kept: Mutex<FxHashMap<Method, Vec<Kept>>>,
    compiled: AtomicU64,
    reused: AtomicU64,
}

/// Most versions of one function for one configuration that are kept, the newest.
const MAX_VERSIONS: usize = 4;
/// Most of one function for all configurations: they are looked through one by one.
const MAX_KEPT: usize = 64;

impl Library {
    /// A library that holds nothing yet.
    pub fn new() -> Library {
        Library::default()
    }

    /// How many functions were compiled, and how many times one that was there was taken, so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.compiled.load(Ordering::Relaxed), self.reused.load(Ordering::Relaxed))
    }

    /// A provider's method for a job whose unit has these types.
    pub(super) fn get(
        &self,
        program: &Program,
        view: &View,
        options: &Options,
        method: Method,
        types: &Arc<Types>,
    ) -> Result<Arc<LibraryFunction>, Failure> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known: SmallVec<[Arc<LibraryFunction>; MAX_VERSIONS]> = {
            let all = lock();
            let known = all.get(&method).into_iter().flatten();
            known.filter(|kept| kept.is_for(view, options)).map(|kept| kept.function.clone()).collect()
        };
        if let Some(found) = known.iter().find(|function| function.is_valid(program, view)) {
            self.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(found.clone());
        }
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let program_types = Arc::new(program.types.clone());
        let size = program_types.len();
        let function = Arc::new(compile(program, view, options, method, program_types)?);
        if function.unit.types.len() > size {
            // It made types: their numbers mean something in one unit only.
            return Ok(Arc::new(compile(program, view, options, method, types.clone())?));
        }
        let mut all = lock();
        let kept = all.entry(method).or_default();
        if kept.iter().filter(|kept| kept.is_for(view, options)).count() >= MAX_VERSIONS
            && let Some(oldest) = kept.iter().position(|kept| kept.is_for(view, options))
        {
            kept.remove(oldest);
        }
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        let (view, options) = (view.normalised(), options.clone());
        kept.push(Kept { view, options, function: function.clone() });
        Ok(function)
    }
}

fn compile(
    program: &Program,
    view: &View,
    options: &Options,
    method: Method,
    types: Arc<Types>,
) -> Result<LibraryFunction, Failure> {
    let job = Job { entries: vec![method.into()], view: view.clone(), options: options.clone() };
    // Jobs of several targets share it: nobody answers yet.
    let made = specialise::run_unlinked(program, &job, types, &|_| None, &mut ControlFlow::new())?;
    let mut unit = made.unit;
    let diagnostics = verify_unit(&unit);
    if !diagnostics.is_empty() {
        return Err(Failure::Program(diagnostics));
    }
    optimise::run(&mut unit, options.opt_level, &mut Silent);
    // Texts are the job's.
    unit.files = Arc::new([]);
    let methods = made.instances.iter().map(|instance| program.method_object(instance.method)).collect();
    Ok(LibraryFunction { unit, instances: made.instances, worlds: made.worlds, methods })
}

impl LibraryFunction {
    /// Whether a job that sees this view of a program would make the same.
    fn is_valid(&self, program: &Program, view: &View) -> bool {
        let world = view.world(program);
        self.instances.iter().zip(&self.methods).all(|(instance, object)| {
            program.method_exists(instance.method)
                && Arc::ptr_eq(&program.method_object(instance.method), object)
                && program.is_alive(instance.method, world)
                && instance
                    .edges
                    .iter()
                    .all(|edge| look_up(program, view, &edge.name, &edge.arguments).answer == edge.answer)
        })
    }
}
