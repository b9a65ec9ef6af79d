//! What providers' methods became, kept for later jobs.

use crate::dispatch::edges::{Edge, Instance};
use crate::dispatch::resolve::{Answer, look_up};
use crate::dispatch::view::View;
use crate::failure::Failure;
use crate::job::{Job, Options};
use crate::observe::Silent;
use crate::runtime::host;
use crate::{optimise, specialise};
use cranelift_entity::EntityRef;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::entity::{Method, SigRef, Value};
use marquetry_ir::op::Op;
use marquetry_ir::program::{ExternData, MethodData, Program, Worlds};
use marquetry_ir::types::{Aggregate, Singleton, Type, Types};
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::verify_unit;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A function with the configuration of the jobs that it is for, with everything taken out that the library does not
/// depend on: entries, names, the world, and what later stages do.
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

/// The options that a library function depends on, everything else as usual.
fn normalised(options: &Options) -> Options {
    Options { opt_level: options.opt_level, unresolved: options.unresolved.clone(), ..Options::default() }
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
    /// Whether its types are those of the unit that it was made for, and more. Else it mentions types of the program only,
    /// which all units over it have.
    pub made_types: bool,
    /// The methods themselves, to tell programs apart whose ids agree.
    methods: Vec<Arc<MethodData>>,
    /// The arrays and structs that it mentions, and what these are made of: to tell programs apart in which the same
    /// numbers mean others, as those of earlier worlds may be.
    mentioned: Vec<Type>,
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
        let options = &normalised(options);
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
            let own = compile(program, view, options, method, types.clone())?;
            return Ok(Arc::new(LibraryFunction { made_types: true, ..own }));
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
    let (instances, worlds) = (made.instances, made.worlds);
    let mentioned = mentioned(&unit, &instances);
    Ok(LibraryFunction { unit, instances, worlds, made_types: false, methods, mentioned })
}

/// The arrays and structs that a unit and what was looked up for it mention, and what these are made of.
fn mentioned(unit: &Unit, instances: &[Instance]) -> Vec<Type> {
    let mut found = FxHashSet::default();
    let mut note = |ty: Type| {
        if ty.is_aggregate() {
            found.insert(ty);
        }
    };
    for instance in instances {
        let of_edges = instance.edges.iter().flat_map(|edge| &edge.arguments);
        instance.arguments.iter().chain(of_edges).for_each(|&ty| note(ty));
    }
    let externs = unit.externs.values().map(|host| &host.signature);
    for signature in unit.funcs.values().map(|function| &function.signature).chain(externs) {
        signature.params.iter().chain(&signature.results).for_each(|&ty| note(ty));
    }
    unit.globals.values().for_each(|global| note(global.ty));
    for body in unit.funcs.values().map(|function| &function.body) {
        (0..body.value_count()).for_each(|value| note(body.value_type(Value::new(value))));
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let data = body.inst(inst);
            note(data.ty);
            if data.op == Op::CallIndirect && body.signature_exists(data.imm) {
                let signature = body.signature(SigRef::from_u32(data.imm));
                signature.params.iter().chain(&signature.results).for_each(|&ty| note(ty));
            }
        }
    }
    let mut list: Vec<Type> = found.iter().copied().collect();
    let mut next = 0;
    while let Some(&ty) = list.get(next) {
        next += 1;
        let parts: SmallVec<[Type; 8]> = match unit.types.aggregate(ty) {
            Some(Aggregate::Array { element, .. }) => SmallVec::from_slice(&[*element]),
            Some(Aggregate::Struct { fields, .. }) => fields.iter().map(|(_, ty)| *ty).collect(),
            Some(Aggregate::Singleton(Singleton::Type(ty))) => SmallVec::from_slice(&[*ty]),
            Some(Aggregate::Singleton(_)) | None => SmallVec::new(),
        };
        list.extend(parts.into_iter().filter(|&ty| ty.is_aggregate() && found.insert(ty)));
    }
    list
}

impl LibraryFunction {
    /// Whether a job that sees this view of a program would make the same.
    fn is_valid(&self, program: &Program, view: &View) -> bool {
        let world = view.world(program);
        let types = &self.unit.types;
        let knows = |&ty: &Type| {
            let known = program.types.aggregate(ty);
            known.is_some() && known == types.aggregate(ty)
        };
        // Of the functions of the host, those that were found, and no others.
        let asks_the_same = |edge: &Edge| {
            let now = program.find_extern_in(&edge.name, world).map(|id| &program.externs[id]);
            let takes = |host: &&ExternData| {
                host::takes(&program.types, &host.signature.params, &edge.arguments).is_ok()
            };
            let now = now.filter(takes);
            let then = self.unit.externs.values().find(|host| host.name == edge.name);
            now.map(|host| &host.link_name) == then.map(|host| &host.link_name)
        };
        self.mentioned.iter().all(knows)
            && self.instances.iter().zip(&self.methods).all(|(instance, object)| {
                program.method_exists(instance.method)
                    && Arc::ptr_eq(&program.method_object(instance.method), object)
                    && program.is_alive(instance.method, world)
                    && instance.edges.iter().filter(|edge| edge.answer == Answer::Nothing).all(asks_the_same)
                    && instance
                        .edges
                        .iter()
                        .all(|edge| look_up(program, view, &edge.name, &edge.arguments).answer == edge.answer)
            })
    }
}
