//! Specialisation: from methods to a closed unit of typed functions.
//!
//! Starting at the entries, every call is dispatched by the types of its arguments and the callee's instance is put
//! on the worklist, until nothing new is mentioned. Types flow forward: when a call is reached in reverse post-order
//! the types of its arguments are known, and dispatching it makes the types of its results known.
//!
//! An instance is a method with concrete argument types. Arguments of no size (functions, types and constants as values,
//! empty structs) are part of what tells instances apart, but not of their signatures: nothing is passed for them.

mod erase;
mod instantiate;
mod intrinsics;
mod mangle;
mod settle;
mod unresolved;

use crate::dispatch::edges::{Edge, Instance};
use crate::dispatch::resolve::{Answer, look_up_in};
use crate::dispatch::{explain, pattern};
use crate::failure::{Failure, Limit};
use crate::job::{Job, JobEntry, Unresolved};
use crate::report::{self, Place};
use crate::runtime::Library;
use crate::runtime::host::{self, HostPolicy};
use crate::runtime::link::Linker;
use crate::validate;
use cranelift_entity::EntityRef;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{
    Block, Extern, Func, Global, Inst, Method, SigRef, Switch, SymbolRef, Table, Value,
};
use marquetry_ir::infer::infer;
use marquetry_ir::library;
use marquetry_ir::limits::{MAX_DIAGNOSTICS, MAX_INSTANCES, MAX_PARAMS, MAX_SPECIALISATION_DEPTH};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::{GlobalData, MethodData, MethodKind, Program, World, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::text::mismatch_message;
use marquetry_ir::types::{Scalar, Singleton, Space, Type, TypeError, Types};
use marquetry_ir::unit::{Function, Unit};
use rustc_hash::{FxHashMap, FxHashSet};
use settle::{Packs, Settler};
use smallvec::SmallVec;
use std::sync::Arc;
use unresolved::Problem;

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
    let library = Library::new();
    run_linked(&mut Linker::new(program, job, &library), job)
}

/// As [`run_recorded`], with what the linker keeps of the device library.
///
/// # Errors
/// As [`run`].
pub fn run_linked(linker: &mut Linker<'_>, job: &Job) -> Result<Specialised, Failure> {
    let types = Arc::new(linker.program().types.clone());
    let mut made = run_unlinked(linker.program(), job, types, &mut ControlFlow::new())?;
    if made.calls_runtime {
        linker.link(&mut made.unit)?;
        made.linked.append(&mut linker.instances);
        made.worlds = made.worlds.intersect(linker.worlds);
    }
    Ok(made)
}

/// As [`run_recorded`], but calls of link names stay as they are; `types` began as a copy of the program's.
pub(crate) fn run_unlinked(
    program: &Program,
    job: &Job,
    types: Arc<Types>,
    scratch: &mut ControlFlow,
) -> Result<Specialised, Failure> {
    let unit = Unit { types, files: program.files.as_slice().into(), ..Unit::default() };
    let mut specialiser = Specialiser {
        program,
        job,
        world: job.view.world(program),
        unit,
        instances: FxHashMap::default(),
        names: FxHashSet::default(),
        records: Vec::new(),
        globals: FxHashMap::default(),
        externs: FxHashMap::default(),
        worklist: Vec::new(),
        packs: Packs::default(),
        seen: FxHashSet::default(),
        diagnostics: Vec::new(),
        problems: Vec::new(),
        roots: FxHashMap::default(),
        asked: FxHashMap::default(),
        calls_runtime: false,
        just_inferred: true,
        scratch_cfg: std::mem::take(scratch),
    };
    for entry in &job.entries {
        let func = specialiser.entry(entry)?;
        if !specialiser.unit.entries.contains(&func) {
            specialiser.unit.entries.push(func);
        }
    }
    while let Some(func) = specialiser.worklist.pop() {
        specialiser.fill(func)?;
    }
    specialiser.finish()?;
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
    instances: FxHashMap<(Method, Box<[Type]>), Func>,
    /// Names of the unit's functions. What a method's instance is called may be another method's own name.
    names: FxHashSet<Arc<str>>,
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
    /// Calls that no method fits.
    problems: Vec<Problem>,
    /// Of the body that is being filled: values of no known type, each with the number of the problem they come from.
    roots: FxHashMap<Value, usize>,
    /// Functions that the host answers unresolved calls with, by link name.
    asked: FxHashMap<Arc<str>, Extern>,
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

/// What a call turned out to mean.
enum Callee {
    Method(Method),
    Extern(Extern),
}

impl Specialiser<'_> {
    fn entry(&mut self, entry: &JobEntry) -> Result<Func, Failure> {
        let method = entry.method;
        let world = self.world.0;
        if !self.program.method_exists(method) {
            return Err(Failure::Job(format!("{method} does not exist in world {world}")));
        }
        let data = self.program.method(method);
        let types = &self.program.types;
        let header = || explain::header(types, data);
        if !self.program.is_alive(method, self.world) {
            let life = self.program.lifetime(method);
            let why = match life.from > self.world {
                true => format!("was defined in world {}", life.from.0),
                false => format!("was deleted or redefined in world {}", life.until.0),
            };
            let message = format!("{} {why}, the job is of world {world}", header());
            return Err(Failure::Job(message));
        }
        if data.kind == MethodKind::Kernel {
            let arguments = entry.arguments.as_deref().unwrap_or(&data.signature.params);
            self.diagnostics.extend(validate::arguments(types, data, arguments));
        }
        match &entry.arguments {
            Some(arguments) => {
                let open = arguments.iter().find(|ty| !ty.is_known() || types.layout(**ty).is_none());
                if let Some(&ty) = open {
                    let message =
                        format!("{}: argument type {} is not concrete", header(), types.display(ty));
                    return Err(Failure::Job(message));
                }
                pattern::accept(self.program, data, arguments).map_err(|rejection| {
                    Failure::Job(format!("{}: {}", header(), rejection.describe(types)))
                })?;
                self.instance(method, arguments, None)
            }
            None if data.is_generic() => Err(Failure::Job(format!(
                "{} has type variables: as an entry it needs the types of its arguments",
                header()
            ))),
            None => self.instance(method, &data.signature.params, None),
        }
    }

    /// The function for a method with these arguments, made and put on the worklist when first asked for.
    fn instance(
        &mut self,
        method: Method,
        arguments: &[Type],
        caller: Option<(Func, Span)>,
    ) -> Result<Func, Failure> {
        let parent = caller.map(|(func, _)| func);
        let site = caller.map_or(Span::NOWHERE, |(_, span)| span);
        let key = (method, Box::from(arguments));
        if let Some(&func) = self.instances.get(&key) {
            return Ok(func);
        }
        let found = self.instances.len() + 1;
        if found > MAX_INSTANCES {
            let data = self.program.method(method);
            let limit = Limit::new("instances", MAX_INSTANCES as u64, found as u64);
            return Err(Failure::Limit(limit.at(&data.name, data.file, data.span)));
        }
        let program = self.program;
        let data = program.method(method);
        let is_generic = data.is_generic();
        let outer = parent.and_then(|func| self.records.get(func.index())).map_or(0, |record| record.nesting);
        let nesting = outer + usize::from(is_generic);
        if nesting > MAX_SPECIALISATION_DEPTH {
            let why = format!("more than {MAX_SPECIALISATION_DEPTH} instances lead to one another");
            return Err(self.endless(data, arguments, parent, &why));
        }
        let mut bindings = Vec::new();
        let mut results = data.signature.results.clone();
        if is_generic {
            let types = Arc::make_mut(&mut self.unit.types);
            // The look-up accepted these arguments.
            let bound = pattern::accept_in(types, data, arguments)
                .map_err(|_| Failure::Internal(format!("'{}' was chosen and does not apply", data.name)))?;
            let made = bound.as_types(types).and_then(|list| {
                bindings = list;
                let bind = |variable: Type| bindings.iter().find(|(v, _)| *v == variable).map(|(_, ty)| *ty);
                data.signature.results.iter().map(|&ty| types.substitute(ty, &bind)).collect()
            });
            match made {
                Ok(list) => results = list,
                Err(error @ (TypeError::TooDeep | TypeError::TooLarge)) => {
                    return Err(self.endless(data, arguments, parent, &error.to_string()));
                }
                Err(error) => {
                    let place = Place { function: &data.name, file: data.file, span: data.span };
                    let header = explain::header(&self.unit.types, data);
                    let message = format!("the results of {header} cannot be made: {error}");
                    return Err(Failure::Program(vec![report::dispatch(&place, message)]));
                }
            }
        }
        let params: Vec<Type> =
            arguments.iter().copied().filter(|&ty| settle::has_size(&self.unit.types, ty)).collect();
        let mut name = self.symbol_name(data, arguments);
        // Entries are made first and keep theirs: hosts look them up.
        if caller.is_some() && self.names.contains(&name) {
            let numbered = (1u32..).map(|n| Arc::from(format!("{name}_{n}")));
            name = { numbered }.find(|name| !self.names.contains(name)).unwrap_or(name);
        }
        self.names.insert(name.clone());
        let func = self.unit.funcs.push(Function {
            name,
            kind: data.kind,
            signature: Signature::new(params, results.clone()),
            body: Body::new(),
            inlining: data.inlining,
            file: data.file,
            span: data.span,
        });
        let worlds = program.lifetime(method);
        let instance = Instance { func, method, arguments: arguments.into(), edges: Vec::new(), worlds };
        self.records.push(Record { instance, bindings, results, parent, site, nesting });
        self.instances.insert(key, func);
        self.worklist.push(func);
        Ok(func)
    }

    /// The error for instances that ask for ever more instances, naming the last of the chain.
    fn endless(&self, data: &MethodData, arguments: &[Type], parent: Option<Func>, why: &str) -> Failure {
        let place = Place { function: &data.name, file: data.file, span: data.span };
        let chain = self.leading_to(data, arguments, parent);
        let message = format!("specialisation of '{}' does not end: {chain}; {why}", data.name);
        Failure::Program(vec![report::limit(&place, message)])
    }

    /// The error for a call that packs make too long.
    fn too_many(&self, home: Home<'_>, span: Span) -> Failure {
        let data = home.data;
        let place = Place { function: &data.name, file: data.file, span };
        let record = self.records.get(home.func.index());
        let arguments = record.map_or(&[][..], |record| &record.instance.arguments);
        let chain = self.leading_to(data, arguments, record.and_then(|record| record.parent));
        let message = format!(
            "with its packs the call has more than {MAX_PARAMS} arguments, which is the most: {chain}"
        );
        Failure::Program(vec![report::limit(&place, message)])
    }

    /// Which instances lead to the one with these arguments: the last few of them.
    fn leading_to(&self, data: &MethodData, arguments: &[Type], parent: Option<Func>) -> String {
        const SHOWN: usize = 4;
        let types = &self.unit.types;
        let mut chain = vec![format!("{}{}", data.name, Signature::new(arguments, []).display(types))];
        let mut next = parent;
        while let Some(func) = next.filter(|_| chain.len() < SHOWN) {
            let Some(record) = self.records.get(func.index()) else { break };
            let name = &self.program.method(record.instance.method).name;
            let signature = Signature::new(&*record.instance.arguments, []);
            chain.push(format!("{name}{}", signature.display(types)));
            next = record.parent;
        }
        chain.reverse();
        let short = |text: &String| match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("")),
            None => text.clone(),
        };
        chain.iter().map(short).collect::<Vec<_>>().join(" calls ")
    }

    /// The plain name where the generic function has one signature without variables, else with the argument types, for
    /// kernels mangled.
    /// Depends on the program in this world only, so that units compiled apart agree, unless it is taken in this one.
    fn symbol_name(&self, data: &MethodData, arguments: &[Type]) -> Arc<str> {
        if data.table == Table::BASE
            && library::is_device_function(&data.name)
            && host::is_host_body(&data.body)
        {
            // Neither half of a pair is taken for the other, nor for a function of the C library.
            return format!("host_{}", data.name).into();
        }
        let params = &data.signature.params;
        let siblings = self.program.all_methods_of(&data.name).iter();
        let mut siblings = siblings.filter(|&&method| self.program.is_alive(method, self.world));
        let is_alone = siblings.all(|&method| self.program.method(method).signature.params == *params);
        if is_alone && !data.is_generic() {
            return data.name.clone();
        }
        // Drivers look kernels up by name, and not all of them take every character.
        if data.kind == MethodKind::Kernel {
            return mangle::symbol(&self.unit.types, &data.name, arguments).into();
        }
        let signature = Signature::new(arguments, []);
        format!("{}{}", data.name, signature.display(&self.unit.types)).into()
    }

    /// Copies a method's body, then settles, types and links it.
    fn fill(&mut self, func: Func) -> Result<(), Failure> {
        let Some(record) = self.records.get(func.index()) else { return Ok(()) };
        let data = self.program.method(record.instance.method);
        let arguments = record.instance.arguments.clone();
        let bindings = record.bindings.clone();
        let mut body = data.body.clone();
        let mut cfg = std::mem::take(&mut self.scratch_cfg);
        cfg.compute(&body);
        let unreachable: Vec<Block> = body.blocks().filter(|&block| !cfg.is_reachable(block)).collect();
        unreachable.into_iter().for_each(|block| body.remove_block(block));
        let mut packs = std::mem::take(&mut self.packs);
        packs.clear();
        self.seen.clear();
        self.roots.clear();
        let mut settler = Settler::new(&mut self.unit.types, &bindings);
        settler.run(&mut body, &arguments, data.is_generic(), &mut packs);
        let (problems, grown) = (settler.problems, settler.grown);
        if let Some(error) = grown {
            let parent = self.records.get(func.index()).and_then(|record| record.parent);
            return Err(self.endless(data, &arguments, parent, &error.to_string()));
        }
        self.packs = packs;
        for (span, message) in problems {
            let span = if span.is_somewhere() { span } else { data.span };
            let name = self.unit.funcs[func].name.clone();
            let place = Place { function: &name, file: data.file, span };
            self.diagnostics.push(report::dispatch(&place, message));
        }
        if let Some((span, message)) = host::apply(&mut body, &self.job.view, &data.name) {
            self.refuse(func, span, message);
        }
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
                if self.diagnostics.len() + self.problems.len() >= MAX_DIAGNOSTICS {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<(), Failure> {
        let shape = body.inst(inst).op.info().shape;
        if shape != Shape::Call && !self.packs.is_empty() {
            let mut found = false;
            body.visit_operands(inst, |value| found |= self.packs.contains_key(&value));
            if found {
                let op = body.inst(inst).op;
                self.complain(body, home, inst, format!("{op}: a pack can only be an argument of a call"));
                return Ok(());
            }
        }
        match shape {
            Shape::Call => return self.link_call(body, home, inst),
            Shape::FunctionAddress => self.link_function(body, home, inst)?,
            Shape::GlobalAddress => self.link_global(body, home, inst),
            Shape::CallIndirect => {
                complete_signature(body, inst);
                drop_sizeless(body, &self.unit.types, inst);
            }
            Shape::Switch => complete_cases(body, inst),
            Shape::Scratch => self.link_scratch(body, home, inst),
            _ => {}
        }
        match infer(body, &self.unit.types, inst) {
            Ok(types) => self.set_result_types(body, inst, &types),
            Err(mismatch) => self.complain(
                body,
                home,
                inst,
                mismatch_message(&self.unit.types, body.inst(inst).op, &mismatch),
            ),
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
        let error = self.error_at(body, home, inst, message);
        self.diagnostics.push(error);
        for value in body.results(inst) {
            body.set_value_type(value, Type::ERROR);
        }
    }

    fn link_call(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<(), Failure> {
        let mut args: SmallVec<[Value; 8]> = SmallVec::new();
        for &arg in body.args(inst) {
            match self.packs.get(&arg) {
                Some(values) => {
                    args.extend(values.iter().copied());
                    // Packs that are passed on twice grow by powers.
                    if args.len() > MAX_PARAMS {
                        return Err(self.too_many(home, body.span(inst)));
                    }
                }
                None => args.push(arg),
            }
        }
        let mut arguments: SmallVec<[Type; 8]> = args.iter().map(|&arg| body.value_type(arg)).collect();
        if arguments.contains(&Type::ERROR) {
            let root = args.iter().find_map(|arg| self.roots.get(arg).copied());
            if let Some(problem) = root.and_then(|root| self.problems.get_mut(root)) {
                problem.followers += 1;
            }
            self.set_result_types(body, inst, &vec![Type::ERROR; body.results(inst).len()]);
            return Ok(());
        }
        let name = match self.callee_name(body, inst, &arguments) {
            Ok((name, from_operand)) => {
                if from_operand {
                    args.remove(0);
                    arguments.remove(0);
                }
                name
            }
            Err(message) => {
                self.complain(body, home, inst, message);
                return Ok(());
            }
        };
        if let Some(intrinsic) = library::intrinsic(&name) {
            self.link_intrinsic(body, home, inst, intrinsic, &args);
            return Ok(());
        }
        let found = match body.inst(inst).op {
            Op::Unresolved => None,
            _ => self.find(&name, &arguments, home.func),
        };
        let (symbol, results) = match found {
            Some(Callee::Method(method)) => {
                let view = &self.job.view;
                let refused = !view.is_device() && view.host_policy() == HostPolicy::Error;
                if refused && host::is_host_body(&self.program.method(method).body) {
                    let message = format!("'{name}' runs on devices only, and this is code for the host");
                    self.complain(body, home, inst, message);
                    return Ok(());
                }
                if self.program.method(method).kind == MethodKind::Kernel {
                    let message = format!("'{name}' is a kernel: kernels are launched, not called");
                    self.complain(body, home, inst, message);
                    return Ok(());
                }
                let func = self.instance(method, &arguments, Some((home.func, body.span(inst))))?;
                let results = self.records.get(func.index()).map(|record| record.results.clone());
                (Symbol::Func(func), results.unwrap_or_default())
            }
            Some(Callee::Extern(id)) => {
                (Symbol::Extern(self.external(id)), self.program.externs[id].signature.results.clone())
            }
            None => match self.asked(body, home, inst, &name, &arguments) {
                Some((id, results)) => (Symbol::Extern(id), results),
                None => {
                    self.leave_unresolved(body, home, inst, &name, &args);
                    return Ok(());
                }
            },
        };
        let found = body.results(inst).len();
        if found != results.len() {
            let wanted = results.len();
            self.complain(body, home, inst, format!("{name} returns {wanted} values, {found} are named"));
            return Ok(());
        }
        self.set_result_types(body, inst, &results);
        let id = body.make_symbol(symbol.clone());
        body.inst_mut(inst).imm = id.as_u32();
        if matches!(symbol, Symbol::Func(_)) || matches!(self.job.options.unresolved, Unresolved::Callback(_))
        {
            args.retain(|arg| settle::has_size(&self.unit.types, body.value_type(*arg)));
        }
        if body.args(inst) != &args[..] {
            let (op, ty) = (body.inst(inst).op, body.inst(inst).ty);
            body.replace_inst(inst, op, ty, &args, id.as_u32());
        }
        Ok(())
    }

    /// The generic function that a call names, and whether its first operand does.
    fn callee_name(&self, body: &Body, inst: Inst, arguments: &[Type]) -> Result<(Arc<str>, bool), String> {
        let imm = body.inst(inst).imm;
        match body.symbol_exists(imm).then(|| body.symbol(SymbolRef::from_u32(imm))) {
            Some(Symbol::Name(name)) => Ok((name.clone(), false)),
            Some(Symbol::Operand) => {
                let callee = arguments.first().copied().unwrap_or(Type::ERROR);
                match self.unit.types.as_singleton(callee) {
                    Some(Singleton::Function(name)) => Ok((name.clone(), true)),
                    _ => {
                        let found = self.unit.types.display(callee);
                        Err(format!("call of a value of type {found}, expected a function: fn NAME"))
                    }
                }
            }
            _ => Err("call: the callee is not a name".into()),
        }
    }

    /// What a call means; the look-up is recorded with the caller.
    fn find(&mut self, name: &Arc<str>, arguments: &[Type], caller: Func) -> Option<Callee> {
        let found = look_up_in(self.program, &self.unit.types, &self.job.view, name, arguments);
        if let Some(record) = self.records.get_mut(caller.index()) {
            let edge = Edge { name: name.clone(), arguments: arguments.into(), answer: found.answer };
            let instance = &mut record.instance;
            instance.worlds = instance.worlds.intersect(found.worlds);
            if self.seen.insert(edge.clone()) {
                instance.edges.push(edge);
            }
        }
        match found.answer {
            Answer::Method(method) => Some(Callee::Method(method)),
            Answer::Ambiguous(..) => None,
            Answer::Nothing => {
                let id = self.program.find_extern(name)?;
                (self.program.externs[id].signature.params == arguments).then_some(Callee::Extern(id))
            }
        }
    }

    fn link_function(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<(), Failure> {
        let Symbol::Overload(name, params) = body.symbol(SymbolRef::from_u32(body.inst(inst).imm)).clone()
        else {
            return Ok(());
        };
        match self.find(&name, &params, home.func) {
            Some(Callee::Method(method)) => {
                let func = self.instance(method, &params, Some((home.func, body.span(inst))))?;
                let id = body.make_symbol(Symbol::Func(func));
                body.inst_mut(inst).imm = id.as_u32();
            }
            _ => {
                let view = &self.job.view;
                let message = explain::unresolved(self.program, &self.unit.types, view, &name, &params);
                self.complain(body, home, inst, message);
            }
        }
        Ok(())
    }

    fn link_global(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) {
        let Some(name) = name_of(body, inst) else { return };
        let Some(id) = self.program.find_global(&name) else {
            self.complain(body, home, inst, format!("no global '{name}'"));
            return;
        };
        let global = &self.program.globals[id];
        let found = body.inst(inst).ty;
        if found != Type::pointer(global.space) {
            let wanted = global.space.name();
            self.complain(
                body,
                home,
                inst,
                format!("global '{name}' is in space {wanted}, its address is taken as {found}"),
            );
            return;
        }
        let funcs = &mut self.unit.globals;
        let linked = *self.globals.entry(id).or_insert_with(|| funcs.push(global.clone()));
        let id = body.make_symbol(Symbol::Global(linked));
        body.inst_mut(inst).imm = id.as_u32();
    }

    /// Scratch memory is a slot or a global of the instance's own, or null if it takes no room.
    fn link_scratch(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) {
        let (ty, imm) = (body.inst(inst).ty, body.inst(inst).imm);
        let Some(&space) = Space::ALL.get(imm as usize).filter(|_| ty.is_known()) else { return };
        let pointer = Type::pointer(space);
        if !settle::has_size(&self.unit.types, ty) {
            let zero = body.make_scalar(Type::I64, 0);
            return body.replace_inst(inst, Op::IntToPtr, pointer, &[zero], 0);
        }
        match space {
            Space::Shared => {
                let name = &self.unit.funcs[home.func].name;
                let global = GlobalData {
                    name: format!("{name}$scratch{}", self.unit.globals.len()).into(),
                    ty,
                    space,
                    init: None,
                    file: home.data.file,
                    span: body.span(inst),
                };
                let symbol = Symbol::Global(self.unit.globals.push(global));
                let id = body.make_symbol(symbol);
                body.replace_inst(inst, Op::GlobalAddress, pointer, &[], id.as_u32());
            }
            Space::Local => body.replace_inst(inst, Op::Slot, ty, &[], 0),
            _ => {
                let slot = body.make_inst(Op::Slot, ty, &[], 0);
                body.make_results(slot, &[Type::pointer(Space::Local)]);
                body.insert_inst_before(slot, inst);
                let Some(local) = body.first_result(slot) else { return };
                body.set_span(slot, body.span(inst));
                body.replace_inst(inst, Op::SpaceCast, pointer, &[local], 0);
            }
        }
    }

    fn external(&mut self, id: Extern) -> Extern {
        let externs = &mut self.unit.externs;
        let data = &self.program.externs[id];
        *self.externs.entry(id).or_insert_with(|| externs.push(data.clone()))
    }
}

fn name_of(body: &Body, inst: Inst) -> Option<Arc<str>> {
    let data = body.inst(inst);
    debug_assert!(matches!(data.op, Op::Call | Op::Unresolved | Op::GlobalAddress));
    match body.symbol_exists(data.imm).then(|| body.symbol(SymbolRef::from_u32(data.imm))) {
        Some(Symbol::Name(name)) => Some(name.clone()),
        _ => None,
    }
}

/// Parameter types of an indirect call come from its arguments; those that calls compute are known only now.
fn complete_signature(body: &mut Body, inst: Inst) {
    let id = body.inst(inst).imm;
    if !body.signature_exists(id) {
        return;
    }
    let mut signature = body.signature(SigRef::from_u32(id)).clone();
    if signature.params.iter().all(|ty| ty.is_known()) {
        return;
    }
    let types = body.args(inst).iter().skip(1).map(|&arg| body.value_type(arg));
    for (param, ty) in signature.params.iter_mut().zip(types) {
        if !param.is_known() {
            *param = ty;
        }
    }
    body.inst_mut(inst).imm = body.make_signature(signature).as_u32();
}

/// Nothing is passed for arguments of no size: the functions that addresses are taken of have no parameters for them.
fn drop_sizeless(body: &mut Body, types: &Types, inst: Inst) {
    let id = body.inst(inst).imm;
    if !body.signature_exists(id) {
        return;
    }
    let mut signature = body.signature(SigRef::from_u32(id)).clone();
    let keep: SmallVec<[bool; 8]> = signature.params.iter().map(|&ty| settle::has_size(types, ty)).collect();
    let args = body.args(inst).to_vec();
    // Another number of arguments is reported where the op's types are inferred.
    if keep.iter().all(|&kept| kept) || args.len() != keep.len() + 1 {
        return;
    }
    let is_kept = |n: usize| keep.get(n).copied().unwrap_or(true);
    let passed: Vec<Value> =
        args.iter().enumerate().filter(|&(n, _)| n == 0 || is_kept(n - 1)).map(|(_, &arg)| arg).collect();
    let mut kept = keep.iter();
    signature.params.retain(|_| kept.next().copied().unwrap_or(true));
    let imm = body.make_signature(signature).as_u32();
    let (op, ty) = (body.inst(inst).op, body.inst(inst).ty);
    body.replace_inst(inst, op, ty, &passed, imm);
}

/// Cases of a selector of unknown type are kept in 128 bits; its type cuts them.
fn complete_cases(body: &mut Body, inst: Inst) {
    let id = body.inst(inst).imm;
    let selector = body.args(inst).first().and_then(|&arg| body.value_type(arg).as_scalar());
    let Some(mask) = selector.map(Scalar::mask).filter(|_| body.switch_exists(id)) else { return };
    let cases = body.switch_cases(Switch::from_u32(id));
    if cases.iter().any(|case| case & !mask != 0) {
        let cut: Vec<u128> = cases.iter().map(|case| case & mask).collect();
        body.inst_mut(inst).imm = body.make_switch(&cut).as_u32();
    }
}
