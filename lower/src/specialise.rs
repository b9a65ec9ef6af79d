//! Specialisation: from methods to a closed unit of typed functions.
//!
//! Starting at the entries, every call is dispatched by the types of its arguments and the callee's instance is put
//! on the worklist, until nothing new is mentioned. Types flow forward: when a call is reached in reverse post-order
//! the types of its arguments are known, and dispatching it makes the types of its results known.
//!
//! An instance is a method with concrete argument types. Arguments of no size (functions, types and constants as values,
//! empty structs) are part of what tells instances apart, but not of their signatures: nothing is passed for them.

mod erase;
mod instances;
mod instantiate;
mod intrinsics;
mod link;
mod mangle;
mod settle;
mod unresolved;

use crate::dispatch::edges::{Edge, Instance};
use crate::failure::Failure;
use crate::job::Job;
use crate::query::Answer;
use crate::report::{self, Place};
use crate::runtime::Library;
use crate::runtime::host;
use crate::runtime::link::Linker;
use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Block, Extern, Func, Global, Inst, Value};
use marquetry_ir::library::Intrinsic;
use marquetry_ir::limits::MAX_DIAGNOSTICS;
use marquetry_ir::program::{MethodData, Program, World, Worlds};
use marquetry_ir::span::Span;
use marquetry_ir::types::{Type, Types};
use marquetry_ir::unit::Unit;
use rustc_hash::{FxHashMap, FxHashSet};
use settle::{Packs, Settler};
use smallvec::SmallVec;
use std::sync::Arc;
use unresolved::{Problem, Users};

pub use instances::forgotten;
pub use instantiate::instantiate;

/// A unit with the record of how its functions came about.
#[derive(Clone, Debug)]
pub struct Specialised {
    /// The unit.
    pub unit: Unit,
    /// Per function of the unit, in order: the method, the arguments and what was looked up. Linked functions of the
    /// device library follow, and have none here.
    pub instances: Vec<Instance>,
    /// What the linked functions were made of.
    pub linked: Vec<Instance>,
    /// The worlds in which the job gives this unit.
    pub worlds: Worlds,
    /// Whether link names are called.
    pub(crate) calls_runtime: bool,
    /// Whether all types are as they were inferred, but for what was linked: nothing was erased or thrown in between.
    pub(crate) just_inferred: bool,
}

/// What answers when code asks its target: nothing to questions that are still open.
pub type Answering<'a> = &'a dyn Fn(&str) -> Option<Answer>;

/// Makes the unit of a job.
///
/// # Errors
/// Every call that no method of the view fits, every operand that does not fit its op once its type is known, and
/// limits.
pub fn run(program: &Program, job: &Job) -> Result<Unit, Failure> {
    Ok(run_recorded(program, job)?.unit)
}

/// As [`run`], with the record of what was looked up.
///
/// # Errors
/// As [`run`].
pub fn run_recorded(program: &Program, job: &Job) -> Result<Specialised, Failure> {
    run_answered(program, job, &|_| None)
}

/// As [`run_recorded`], for a target that answers: what its answers keep control from is not refused.
///
/// # Errors
/// As [`run`].
pub fn run_answered(program: &Program, job: &Job, answer: Answering<'_>) -> Result<Specialised, Failure> {
    let library = Library::new();
    run_linked(&mut Linker::new(program, job, &library), job, answer)
}

/// As [`run_answered`], with what the linker keeps of the device library.
///
/// # Errors
/// As [`run`].
pub fn run_linked(linker: &mut Linker<'_>, job: &Job, answer: Answering<'_>) -> Result<Specialised, Failure> {
    let types = Arc::new(linker.program().types.clone());
    let mut made = run_unlinked(linker.program(), job, types, answer, &mut ControlFlow::new())?;
    if made.calls_runtime {
        linker.link(&mut made.unit)?;
        made.linked.append(&mut linker.instances);
        made.worlds = made.worlds.intersect(linker.worlds);
    }
    Ok(made)
}

/// As [`run_answered`], but calls of link names stay as they are; `types` began as a copy of the program's.
pub(crate) fn run_unlinked(
    program: &Program,
    job: &Job,
    types: Arc<Types>,
    answer: Answering<'_>,
    scratch: &mut ControlFlow,
) -> Result<Specialised, Failure> {
    let files = program.files.as_slice().into();
    let (funcs, globals, externs, entries, formats) = Default::default();
    let unit = Unit { types, files, funcs, globals, externs, entries, formats };
    let mut specialiser = Specialiser {
        program,
        job,
        world: job.view.world(program),
        unit,
        instances: FxHashMap::default(),
        names: FxHashSet::default(),
        plain: FxHashMap::default(),
        records: Vec::new(),
        globals: FxHashMap::default(),
        externs: FxHashMap::default(),
        worklist: Vec::new(),
        packs: Packs::default(),
        seen: FxHashSet::default(),
        diagnostics: Vec::new(),
        problems: Vec::new(),
        wrong: FxHashSet::default(),
        users: None,
        roots: FxHashMap::default(),
        asked: FxHashMap::default(),
        supplied: SmallVec::new(),
        calls_runtime: false,
        just_inferred: true,
        scratch_cfg: std::mem::take(scratch),
    };
    let mut known = SecondaryMap::<Func, bool>::with_capacity(job.entries.len());
    for entry in &job.entries {
        let func = specialiser.entry(entry)?;
        if !std::mem::replace(&mut known[func], true) {
            specialiser.unit.entries.push(func);
        }
    }
    while let Some(func) = specialiser.worklist.pop() {
        specialiser.fill(func)?;
    }
    specialiser.finish(answer)?;
    let instances: Vec<Instance> = specialiser.records.into_iter().map(|record| record.instance).collect();
    let worlds = instances.iter().fold(Worlds::ALL, |all, instance| all.intersect(instance.worlds));
    *scratch = specialiser.scratch_cfg;
    let (unit, calls_runtime) = (specialiser.unit, specialiser.calls_runtime);
    let just_inferred = specialiser.just_inferred;
    Ok(Specialised { unit, instances, linked: Vec::new(), worlds, calls_runtime, just_inferred })
}

struct Specialiser<'p> {
    program: &'p Program,
    job: &'p Job,
    world: World,
    unit: Unit,
    /// By the hash of a method and its arguments: the functions; several where hashes collide.
    instances: FxHashMap<u64, SmallVec<[Func; 2]>>,
    /// Names of the unit's functions. What a method's instance is called may be another method's own name.
    names: FxHashSet<Arc<str>>,
    /// By method's name, the function that has it as it is; none if there are several, which are told apart.
    plain: FxHashMap<Arc<str>, Option<Func>>,
    /// Per function of the unit.
    records: Vec<Record>,
    globals: FxHashMap<Global, Global>,
    externs: FxHashMap<Extern, Extern>,
    worklist: Vec<Func>,
    /// Packs of the body that is being filled.
    packs: Packs,
    /// Look-ups of the body that is being filled.
    seen: FxHashSet<Edge>,
    diagnostics: Vec<Diagnostic>,
    /// What the job cannot have, unless control cannot get there.
    problems: Vec<Problem>,
    /// Functions that diagnostics are about.
    wrong: FxHashSet<Func>,
    /// The uses of values in the body that is being filled, if anything asked for them.
    users: Option<Users>,
    /// Of the body that is being filled: values of no known type, each with the number of the problem they come from.
    roots: FxHashMap<Value, usize>,
    /// Functions that the host answers unresolved calls with, by link name.
    asked: FxHashMap<Arc<str>, Extern>,
    /// Intrinsics that the provider is known to supply.
    supplied: SmallVec<[&'static Intrinsic; 4]>,
    /// Whether a link name was called.
    calls_runtime: bool,
    /// Whether all types are as they were inferred.
    just_inferred: bool,
    scratch_cfg: ControlFlow,
}

/// Where a function of the unit comes from.
struct Record {
    instance: Instance,
    /// What the method's variables stand for.
    bindings: Vec<(Type, Type)>,
    results: Vec<Type>,
    /// Whose body mentioned it first, and where.
    parent: Option<Func>,
    site: Span,
    /// How many instances of methods with variables lead here.
    nesting: usize,
}

/// The function that is being filled.
#[derive(Copy, Clone)]
struct Home<'a> {
    func: Func,
    data: &'a MethodData,
}

impl Specialiser<'_> {
    /// Copies a method's body, then settles, types and links it.
    fn fill(&mut self, func: Func) -> Result<(), Failure> {
        let Some(record) = self.records.get(func.index()) else { return Ok(()) };
        let data = self.program.method(record.instance.method);
        let arguments: SmallVec<[Type; 8]> = SmallVec::from_slice(&record.instance.arguments);
        let bindings = record.bindings.clone();
        let mut body = data.body.clone();
        let mut cfg = std::mem::take(&mut self.scratch_cfg);
        cfg.compute(&body);
        remove_unreachable(&mut body, &cfg);
        let mut packs = std::mem::take(&mut self.packs);
        packs.clear();
        self.seen.clear();
        self.roots.clear();
        self.users = None;
        let mut settler = Settler::new(&mut self.unit.types, &bindings);
        settler.run(&mut body, &arguments, data.is_generic(), &mut packs);
        let (problems, grown) = (settler.problems, settler.grown);
        if let Some(error) = grown {
            let record = self.records.get(func.index());
            let caller = record.and_then(|record| Some((record.parent?, record.site)));
            return Err(self.endless(data, &arguments, caller, &error.to_string()));
        }
        self.packs = packs;
        for (span, message) in problems {
            let span = if span.is_somewhere() { span } else { data.span };
            let name = self.unit.funcs[func].name.clone();
            let place = Place { function: &name, file: data.file, span };
            self.diagnostics.push(report::dispatch(&place, message));
            self.wrong.insert(func);
        }
        host::apply(&mut body, &self.job.view, &data.name);
        let result = self.type_and_link(&mut body, Home { func, data }, &cfg);
        self.scratch_cfg = cfg;
        self.unit.funcs[func].body = body;
        result
    }

    fn type_and_link(&mut self, body: &mut Body, home: Home<'_>, cfg: &ControlFlow) -> Result<(), Failure> {
        for &block in cfg.reverse_post_order() {
            let mut next = body.first_inst(block);
            while let Some(inst) = next {
                next = body.next_inst(inst);
                self.link(body, home, inst)?;
                if self.diagnostics.len() >= MAX_DIAGNOSTICS {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn set_result_types(&mut self, body: &mut Body, inst: Inst, types: &[Type]) {
        // Another number is for verification to report.
        self.just_inferred &= body.results(inst).len() == types.len();
        for (value, &ty) in body.results(inst).zip(types) {
            body.set_value_type(value, ty);
        }
        if !self.roots.is_empty() && types.contains(&Type::ERROR) {
            let root = body.args(inst).iter().find_map(|arg| self.roots.get(arg).copied());
            if let Some(root) = root {
                self.roots.extend(body.results(inst).map(|value| (value, root)));
            }
        }
    }

    fn complain(&mut self, body: &mut Body, home: Home<'_>, inst: Inst, message: String) {
        let error = self.error_at(body, home.func, inst, message);
        self.diagnostics.push(error);
        self.wrong.insert(home.func);
        for value in body.results(inst) {
            body.set_value_type(value, Type::ERROR);
        }
    }
}

/// Takes the blocks away that control cannot get to.
fn remove_unreachable(body: &mut Body, cfg: &ControlFlow) {
    let unreachable: Vec<Block> = body.blocks().filter(|&block| !cfg.is_reachable(block)).collect();
    unreachable.into_iter().for_each(|block| body.remove_block(block));
}
