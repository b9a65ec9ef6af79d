//! Linking: what an instruction names becomes what it stands for in the unit.
//!
//! Calls are dispatched by the types of their arguments, which are known when a call is reached; globals and functions
//! of the host are taken over from the program when they are first mentioned.

use super::unresolved::Cause;
use super::{Home, Specialiser, settle};
use crate::dispatch::edges::Edge;
use crate::dispatch::explain;
use crate::dispatch::resolve::{Answer, look_up_in};
use crate::failure::Failure;
use crate::job::Unresolved;
use crate::runtime::host::{self, HostPolicy};
use cranelift_entity::EntityRef;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Extern, Func, Global, Inst, Method, SigRef, Switch, SymbolRef, Value};
use marquetry_ir::infer::infer;
use marquetry_ir::library;
use marquetry_ir::limits::MAX_PARAMS;
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::{GlobalData, GlobalSlot, MethodKind, Reference};
use marquetry_ir::span::Span;
use marquetry_ir::text::mismatch_message;
use marquetry_ir::types::{Scalar, Singleton, Space, Type, Types};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::sync::Arc;

/// Most look-ups of one body that are compared one by one.
const FEW: usize = 16;

/// What a call turned out to mean.
pub(super) enum Callee {
    Method(Method),
    Extern(Extern),
}

impl Specialiser<'_> {
    pub(super) fn link(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<(), Failure> {
        let op = body.inst(inst).op;
        let shape = op.info().shape;
        if let Some(why) = host::refused(op, &self.job.view, &home.data.name) {
            self.set_aside(body, home.func, inst, &[], Cause::Needed(why));
            return Ok(());
        }
        if shape != Shape::Call && !self.packs.is_empty() {
            let mut found = false;
            body.visit_operands(inst, |value| found |= self.packs.contains_key(&value));
            if found {
                self.complain(body, home, inst, format!("{op}: a pack can only be an argument of a call"));
                return Ok(());
            }
        }
        match shape {
            Shape::Call => return self.link_call(body, home, inst),
            Shape::FunctionAddress if !self.link_function(body, home, inst)? => return Ok(()),
            Shape::GlobalAddress if !self.link_global(body, home, inst)? => return Ok(()),
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

    fn link_call(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<(), Failure> {
        let Some(mut args) = self.passed(body, inst) else {
            return Err(self.too_many(home, body.span(inst)));
        };
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
        let deliberate = body.inst(inst).op == Op::Unresolved;
        let found = if deliberate { None } else { self.find(&name, &arguments, home.func) };
        if let Some(Callee::Method(method)) = found {
            if let Some(intrinsic) = self.stands_for(method, &arguments, body.results(inst).len()) {
                self.link_intrinsic(body, home, inst, intrinsic, &args);
                return Ok(());
            }
            if let Some(why) = self.misuse(method, &name) {
                self.set_aside(body, home.func, inst, &args, Cause::Mention(why));
                return Ok(());
            }
        }
        let (symbol, results) = match found {
            Some(Callee::Method(method)) => {
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
                    let cause = Cause::Call { name, arguments: arguments[..].into(), deliberate };
                    self.set_aside(body, home.func, inst, &args, cause);
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
        self.connect(body, inst, symbol, &results, args);
        Ok(())
    }

    /// The arguments of a call, with the values of packs in their places; none if they are too many.
    fn passed(&self, body: &Body, inst: Inst) -> Option<SmallVec<[Value; 8]>> {
        let mut args: SmallVec<[Value; 8]> = SmallVec::new();
        for &arg in body.args(inst) {
            match self.packs.get(&arg) {
                Some(values) => {
                    args.extend(values.iter().copied());
                    // Packs that are passed on twice grow by powers.
                    if args.len() > MAX_PARAMS {
                        return None;
                    }
                }
                None => args.push(arg),
            }
        }
        Some(args)
    }

    /// Makes a call one of what it turned out to mean.
    fn connect(
        &mut self,
        body: &mut Body,
        inst: Inst,
        symbol: Symbol,
        results: &[Type],
        mut args: SmallVec<[Value; 8]>,
    ) {
        self.set_result_types(body, inst, results);
        if matches!(symbol, Symbol::Func(_)) || matches!(self.job.options.unresolved, Unresolved::Callback(_))
        {
            args.retain(|arg| settle::has_size(&self.unit.types, body.value_type(*arg)));
        }
        let id = body.make_symbol(symbol);
        body.set_imm(inst, id.as_u32());
        if body.args(inst) != &args[..] {
            let (op, ty) = (body.inst(inst).op, body.inst(inst).ty);
            body.replace_inst(inst, op, ty, &args, id.as_u32());
        }
    }

    /// Why code of this kind may neither call a method nor hold its address, if it may not.
    fn misuse(&self, method: Method, name: &str) -> Option<String> {
        let (view, data) = (&self.job.view, self.program.method(method));
        let refused = !view.is_device() && view.host_policy() == HostPolicy::Error;
        if refused && host::is_host_body(&data.body) {
            return Some(format!("'{name}' runs on devices only, and this is code for the host"));
        }
        let is_kernel = data.kind == MethodKind::Kernel;
        is_kernel.then(|| format!("'{name}' is a kernel: kernels are launched, not called"))
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
    pub(super) fn find(&mut self, name: &Arc<str>, arguments: &[Type], caller: Func) -> Option<Callee> {
        let found = look_up_in(self.program, &self.unit.types, &self.job.view, name, arguments);
        if let Some(record) = self.records.get_mut(caller.index()) {
            let instance = &mut record.instance;
            instance.worlds = instance.worlds.intersect(found.worlds);
            let edge = || Edge { name: name.clone(), arguments: arguments.into(), answer: found.answer };
            // Few are compared one by one; of many, a set is made.
            let is_it = |known: &Edge| known.name == *name && *known.arguments == *arguments;
            if instance.edges.len() < FEW {
                if !instance.edges.iter().any(|known| is_it(known) && known.answer == found.answer) {
                    instance.edges.push(edge());
                }
            } else {
                if self.seen.is_empty() {
                    self.seen.extend(instance.edges.iter().cloned());
                }
                let edge = edge();
                if self.seen.insert(edge.clone()) {
                    instance.edges.push(edge);
                }
            }
        }
        match found.answer {
            Answer::Method(method) => Some(Callee::Method(method)),
            Answer::Ambiguous(..) => None,
            Answer::Nothing => {
                let id = self.program.find_extern(name)?;
                let params = &self.program.externs[id].signature.params;
                if host::takes(&self.unit.types, params, arguments).is_err() {
                    return None;
                }
                let lifetime = self.program.extern_lifetime(id);
                let is_there = lifetime.contains(self.world);
                if let Some(record) = self.records.get_mut(caller.index()) {
                    let worlds = if is_there { lifetime } else { lifetime.before() };
                    record.instance.worlds = record.instance.worlds.intersect(worlds);
                }
                is_there.then_some(Callee::Extern(id))
            }
        }
    }

    /// What an address that is taken by name and types means, in code or in a global, or why there is none.
    fn addressed(&mut self, name: &Arc<str>, params: &[Type], user: Func) -> Result<Callee, String> {
        if let Some(why) = link_name_problem(name) {
            return Err(why);
        }
        match self.find(name, params, user) {
            Some(Callee::Method(method)) => match self.misuse(method, name) {
                Some(why) => Err(why),
                None => Ok(Callee::Method(method)),
            },
            Some(callee) => Ok(callee),
            None => Err(explain::unresolved(self.program, &self.unit.types, &self.job.view, name, params)),
        }
    }

    /// Whether there is such an address.
    fn link_function(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<bool, Failure> {
        let Symbol::Overload(name, params) = body.symbol(SymbolRef::from_u32(body.inst(inst).imm)).clone()
        else {
            return Ok(true);
        };
        let symbol = match self.addressed(&name, &params, home.func) {
            Ok(Callee::Method(method)) => {
                Symbol::Func(self.instance(method, &params, Some((home.func, body.span(inst))))?)
            }
            Ok(Callee::Extern(id)) => Symbol::Extern(self.external(id)),
            Err(why) => {
                self.set_aside(body, home.func, inst, &[], Cause::Mention(why));
                return Ok(false);
            }
        };
        let id = body.make_symbol(symbol);
        body.set_imm(inst, id.as_u32());
        Ok(true)
    }

    /// Whether there is such a global.
    fn link_global(&mut self, body: &mut Body, home: Home<'_>, inst: Inst) -> Result<bool, Failure> {
        let Some(name) = name_of(body, inst) else { return Ok(true) };
        let Some(id) = self.program.find_global(&name) else {
            self.complain(body, home, inst, format!("no global '{name}'"));
            return Ok(false);
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
            return Ok(false);
        }
        match self.global(id, (home.func, body.span(inst)))? {
            Ok(linked) => {
                let id = body.make_symbol(Symbol::Global(linked));
                body.set_imm(inst, id.as_u32());
                Ok(true)
            }
            Err(why) => {
                self.set_aside(body, home.func, inst, &[], Cause::Mention(why));
                Ok(false)
            }
        }
    }

    /// The unit's copy of a global, and of those whose addresses it holds. The methods in their slots are looked up where
    /// the unit first mentions them; where one of them means nothing, the unit has none of these globals.
    fn global(&mut self, id: Global, site: (Func, Span)) -> Result<Result<Global, String>, Failure> {
        let mut wanted = vec![id];
        let mut seen: FxHashSet<Global> = FxHashSet::default();
        let mut fresh: Vec<(Global, Vec<Method>)> = Vec::new();
        while let Some(id) = wanted.pop() {
            if self.globals.contains_key(&id) || !seen.insert(id) {
                continue;
            }
            let data = &self.program.globals[id];
            let mut methods = Vec::new();
            for GlobalSlot { offset, reference } in &data.slots {
                match reference {
                    Reference::Global { name, .. } => wanted.extend(self.program.find_global(name)),
                    Reference::Method { name, params } => {
                        let why = match self.addressed(name, params, site.0) {
                            Ok(Callee::Method(method)) => {
                                methods.push(method);
                                continue;
                            }
                            Ok(Callee::Extern(_)) => {
                                format!(
                                    "'{name}' is a function of the host, whose address globals cannot hold"
                                )
                            }
                            Err(why) => why,
                        };
                        return Ok(Err(format!("the slot at {offset} of global '{}': {why}", data.name)));
                    }
                    _ => {}
                }
            }
            fresh.push((id, methods));
        }
        for (id, methods) in fresh {
            let mut data = self.program.globals[id].clone();
            let mut methods = methods.into_iter();
            for GlobalSlot { reference, .. } in &mut data.slots {
                if let Reference::Method { params, .. } = reference
                    && let Some(method) = methods.next()
                {
                    *reference = Reference::Func(self.instance(method, params, Some(site))?);
                }
            }
            let linked = self.unit.globals.push(data);
            self.globals.insert(id, linked);
        }
        Ok(Ok(self.globals.get(&id).copied().unwrap_or(id)))
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
                let name = format!("{name}$scratch{}", self.unit.globals.len());
                let (file, span) = (home.data.file, body.span(inst));
                let global = GlobalData { file, span, ..GlobalData::new(&name, ty, space) };
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

    pub(super) fn external(&mut self, id: Extern) -> Extern {
        let externs = &mut self.unit.externs;
        let data = &self.program.externs[id];
        *self.externs.entry(id).or_insert_with(|| externs.push(data.clone()))
    }
}

fn name_of(body: &Body, inst: Inst) -> Option<Arc<str>> {
    let imm = body.inst(inst).imm;
    match body.symbol_exists(imm).then(|| body.symbol(SymbolRef::from_u32(imm))) {
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
    let imm = body.make_signature(signature).as_u32();
    body.set_imm(inst, imm);
}

/// Why no address is taken of what has a link name: what a provider supplies is linked into a unit where it is called, with
/// a signature of its own.
fn link_name_problem(name: &str) -> Option<String> {
    let intrinsic = library::intrinsic(name)?;
    Some(format!(
        "'{name}' is the link name of '{function}', of which no address is taken: take that of '{function}'",
        function = intrinsic.name
    ))
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
        let imm = body.make_switch(&cut).as_u32();
        body.set_imm(inst, imm);
    }
}
