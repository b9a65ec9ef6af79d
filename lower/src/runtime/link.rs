//! Linking: calls of link names become calls of functions of the unit.
//!
//! Only what is called is linked, and what that calls in turn. A later stage that makes new calls of link names asks
//! again; functions that are there already are used, unless lowering changed their signature meanwhile.

use super::cache::{Library, LibraryFunction};
use super::provider::{Bridge, bridge, declared, supplied};
use crate::dispatch::edges::{Edge, Instance};
use crate::dispatch::resolve::look_up;
use crate::dispatch::view::View;
use crate::failure::Failure;
use crate::fresh::fresh_name;
use crate::job::{Job, Options};
use crate::references::{MergeError, merge};
use crate::report::{self, Place};
use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Extern, Func, Inst, Method, SymbolRef, Value};
use marquetry_ir::library::{Intrinsic, intrinsic};
use marquetry_ir::op::{Op, OpSet, Shape};
use marquetry_ir::program::{Program, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use smallvec::SmallVec;
use std::sync::Arc;

/// Links the units of one job.
pub struct Linker<'a> {
    program: &'a Program,
    view: &'a View,
    options: &'a Options,
    library: &'a Library,
    /// The method that stands for the job among what was looked up.
    asker: Option<Method>,
    /// Names of the functions that were linked, by link name: stages renumber functions, and keep names.
    linked: SmallVec<[(Arc<str>, Arc<str>); 2]>,
    /// What linked functions were made of.
    pub instances: Vec<Instance>,
    /// The worlds in which all of it would be made the same.
    pub worlds: Worlds,
}

impl<'a> Linker<'a> {
    /// A linker for a job.
    pub fn new(program: &'a Program, job: &'a Job, library: &'a Library) -> Self {
        Linker {
            program,
            view: &job.view,
            options: &job.options,
            library,
            asker: job.entries.first().map(|entry| entry.method),
            linked: SmallVec::new(),
            instances: Vec::new(),
            worlds: Worlds::ALL,
        }
    }

    /// The program that the job is about.
    pub(crate) fn program(&self) -> &'a Program {
        self.program
    }

    /// What the job sees.
    pub(crate) fn view(&self) -> &'a View {
        self.view
    }

    /// Links all calls of link names in a unit.
    ///
    /// # Errors
    /// The provider does not supply something, or supplies it with a signature that does not fit.
    pub fn link(&mut self, unit: &mut Unit) -> Result<(), Failure> {
        // Functions of this unit, as far as they were asked for.
        let mut funcs: SmallVec<[(&'static Intrinsic, Func); 4]> = SmallVec::new();
        let mut next = 0;
        // Linked functions are appended, and looked at in turn.
        while next < unit.funcs.len() {
            let func = Func::new(next);
            next += 1;
            let calls: SmallVec<[(Inst, &'static Intrinsic); 8]> = calls(&unit.funcs[func].body).collect();
            for (call, intrinsic) in calls {
                // There are as many as the library declares, at most.
                let callee = match funcs.iter().find(|(known, _)| std::ptr::eq(*known, intrinsic)) {
                    Some(&(_, callee)) => callee,
                    None => {
                        let place = place(unit, func, call);
                        let callee = self.function(unit, intrinsic, &place)?;
                        funcs.push((intrinsic, callee));
                        callee
                    }
                };
                let mut body = std::mem::take(&mut unit.funcs[func].body);
                let connected = connect(&mut body, call, callee, &unit.funcs[callee].signature);
                unit.funcs[func].body = body;
                if let Err(problem) = connected {
                    let place = place(unit, func, call);
                    let message = format!("call of {}: {problem}", declared(intrinsic));
                    return Err(Failure::Program(vec![report::dispatch(&place.borrowed(), message)]));
                }
            }
        }
        Ok(())
    }

    /// Remembers what the provider supplies, or does not, under a link name: another answer would be other code.
    pub(crate) fn note(&mut self, name: &str) {
        let Some(intrinsic) = intrinsic(name) else { return };
        let arguments: Box<[Type]> = intrinsic.signature.params.iter().copied().collect();
        let found = look_up(self.program, self.view, name, &arguments);
        self.worlds = self.worlds.intersect(found.worlds);
        let Some(method) = self.asker else { return };
        let edge =
            Edge { name: intrinsic.link_name.clone(), arguments: arguments.clone(), answer: found.answer };
        let (func, edges, worlds) = (Func::from_u32(0), vec![edge], found.worlds);
        self.instances.push(Instance { func, method, arguments, edges, worlds, alone: None });
    }

    /// The function of a unit for an intrinsic, made if it is not there.
    fn function(&mut self, unit: &mut Unit, intrinsic: &Intrinsic, place: &Owned) -> Result<Func, Failure> {
        let name = &intrinsic.link_name;
        let failed = |message: String| Failure::Program(vec![report::dispatch(&place.borrowed(), message)]);
        let method = supplied(self.program, self.view, intrinsic).map_err(failed)?;
        let wanted = &self.program.method(method).signature;
        let linked = self.linked.iter().find(|(link_name, _)| link_name == name);
        let is_linked = linked.is_some();
        if let Some(known) = linked.and_then(|(_, name)| unit.find(name))
            && unit.funcs[known].signature == *wanted
        {
            return Ok(known);
        }
        if !is_linked && unit.find(name).is_some() {
            return Err(failed(format!(
                "the unit has a function '{name}' already, which is not the library's"
            )));
        }
        let function = self.library.get(self.program, self.view, self.options, method, &unit.types)?;
        self.note(name);
        self.instances.extend(function.instances.iter().cloned());
        self.worlds = self.worlds.intersect(function.worlds);
        let func = append(unit, &function)
            .map_err(|conflict| failed(format!("the library's '{name}': {conflict}")))?
            .ok_or_else(|| Failure::Internal(format!("the library's '{name}' has no entry")))?;
        self.linked.retain(|(link_name, _)| link_name != name);
        self.linked.push((name.clone(), unit.funcs[func].name.clone()));
        Ok(func)
    }
}

/// Where a call stands.
struct Owned {
    function: Arc<str>,
    file: Option<u32>,
    span: Span,
}

impl Owned {
    fn borrowed(&self) -> Place<'_> {
        Place { function: &self.function, file: self.file, span: self.span }
    }
}

fn place(unit: &Unit, func: Func, inst: Inst) -> Owned {
    let function = &unit.funcs[func];
    let own = function.frames(function.body.origin(inst)).next();
    let (name, file, span) = own.unwrap_or((&function.name, function.file, function.span));
    Owned { function: name.clone(), file, span }
}

/// The calls of link names in a body.
fn calls(body: &Body) -> impl Iterator<Item = (Inst, &'static Intrinsic)> + '_ {
    let insts = body.blocks().flat_map(|block| body.block_insts(block));
    insts.filter_map(|inst| {
        let data = body.inst(inst);
        if data.op != Op::Call || !body.symbol_exists(data.imm) {
            return None;
        }
        match body.symbol(SymbolRef::from_u32(data.imm)) {
            Symbol::Name(name) => Some((inst, intrinsic(name)?)),
            _ => None,
        }
    })
}

/// Makes a call of a link name one of a function: arguments are converted as far as that is harmless.
fn connect(body: &mut Body, call: Inst, callee: Func, wanted: &Signature) -> Result<(), String> {
    let found: SmallVec<[Value; 8]> = SmallVec::from_slice(body.args(call));
    if found.len() != wanted.params.len() {
        return Err(format!("{} arguments, the function takes {}", found.len(), wanted.params.len()));
    }
    let results = body.results(call);
    let count = results.len();
    if !results.map(|value| body.value_type(value)).eq(wanted.results.iter().copied()) {
        return Err(format!("{count} results of other types than the function's"));
    }
    let mut args: SmallVec<[Value; 8]> = SmallVec::with_capacity(found.len());
    for (n, (arg, &ty)) in found.into_iter().zip(&wanted.params).enumerate() {
        let from = body.value_type(arg);
        args.push(match bridge(from, ty) {
            None => return Err(format!("argument {} has type {from}, the function takes {ty}", n + 1)),
            Some(Bridge::Same) => arg,
            Some(Bridge::Convert(op)) => {
                let inst = body.make_inst(op, ty, &[arg], 0);
                body.make_results(inst, &[ty]);
                body.set_origin(inst, body.origin(call));
                body.insert_inst_before(inst, call);
                body.first_result(inst).unwrap_or(arg)
            }
        });
    }
    let symbol = body.make_symbol(Symbol::Func(callee));
    let ty = body.inst(call).ty;
    body.replace_inst(call, Op::Call, ty, &args, symbol.as_u32());
    Ok(())
}

/// Copies the functions of a library function's unit; gives its entry.
fn append(unit: &mut Unit, library: &LibraryFunction) -> Result<Option<Func>, MergeError> {
    let from = &library.unit;
    if library.made_types {
        unit.types = from.types.clone();
    }
    let globals = merge(unit, from)?;
    let externs: SecondaryMap<Extern, Extern> = {
        let mut map = SecondaryMap::with_default(Extern::from_u32(0));
        for (old, data) in &from.externs {
            let known = unit.externs.iter().find(|(_, other)| other.name == data.name).map(|(id, _)| id);
            map[old] = known.unwrap_or_else(|| unit.externs.push(data.clone()));
        }
        map
    };
    let first = unit.funcs.len();
    for function in from.funcs.values() {
        let name = match unit.find(&function.name) {
            None => function.name.clone(),
            Some(_) => fresh_name(unit, &function.name),
        };
        let mut function = function.clone();
        function.name = name;
        let body = &mut function.body;
        const MENTIONING: OpSet =
            OpSet::of(&[Op::Call, Op::Unresolved, Op::FunctionAddress, Op::GlobalAddress]);
        let blocks = body.blocks().filter(|_| body.may_have_any(&MENTIONING));
        let insts: Vec<Inst> = blocks.flat_map(|block| body.block_insts(block)).collect();
        for inst in insts {
            let data = body.inst(inst);
            let mentions =
                matches!(data.op.info().shape, Shape::Call | Shape::FunctionAddress | Shape::GlobalAddress);
            if !mentions || !body.symbol_exists(data.imm) {
                continue;
            }
            let new = match *body.symbol(SymbolRef::from_u32(data.imm)) {
                Symbol::Func(func) => Symbol::Func(Func::new(first + func.index())),
                Symbol::Global(global) => Symbol::Global(globals[global]),
                Symbol::Extern(host) => Symbol::Extern(externs[host]),
                _ => continue,
            };
            let id = body.make_symbol(new);
            body.set_imm(inst, id.as_u32());
        }
        unit.funcs.push(function);
    }
    Ok(from.entries.first().map(|entry| Func::new(first + entry.index())))
}
