//! Specialisation: from methods to a closed unit of typed functions.
//!
//! Starting at the entries, every call is dispatched by the types of its arguments and the callee's instance is put
//! on the worklist, until nothing new is mentioned. Types flow forward: when a call is reached in reverse post-order
//! the types of its arguments are known, and dispatching it makes the types of its results known.

use crate::failure::Failure;
use crate::job::Job;
use crate::report::{self, Place};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Block, Extern, Func, Global, Inst, Method, SigRef, Switch, SymbolRef};
use marquetry_ir::infer::infer;
use marquetry_ir::limits::{MAX_DIAGNOSTICS, MAX_INSTANCES};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::{MethodData, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::text::mismatch_message;
use marquetry_ir::types::{Scalar, Type};
use marquetry_ir::unit::{Function, Unit};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Makes the unit of a job.
///
/// # Errors
/// Every call that no method of the view fits, every operand that does not fit its op once its type is known, and
/// limits.
pub fn run(program: &Program, job: &Job) -> Result<Unit, Failure> {
    let unit = Unit {
        types: Arc::new(program.types.clone()),
        files: program.files.as_slice().into(),
        ..Unit::default()
    };
    let mut specialiser = Specialiser {
        program,
        job,
        unit,
        instances: FxHashMap::default(),
        globals: FxHashMap::default(),
        externs: FxHashMap::default(),
        worklist: Vec::new(),
        diagnostics: Vec::new(),
        scratch_cfg: ControlFlow::new(),
    };
    for &entry in &job.entries {
        let func = specialiser.instance(entry)?;
        if !specialiser.unit.entries.contains(&func) {
            specialiser.unit.entries.push(func);
        }
    }
    while let Some((func, method)) = specialiser.worklist.pop() {
        specialiser.fill(func, method)?;
    }
    if specialiser.diagnostics.is_empty() {
        Ok(specialiser.unit)
    } else {
        Err(Failure::Program(specialiser.diagnostics))
    }
}

struct Specialiser<'p> {
    program: &'p Program,
    job: &'p Job,
    unit: Unit,
    instances: FxHashMap<Method, Func>,
    globals: FxHashMap<Global, Global>,
    externs: FxHashMap<Extern, Extern>,
    worklist: Vec<(Func, Method)>,
    diagnostics: Vec<Diagnostic>,
    scratch_cfg: ControlFlow,
}

/// What a call turned out to mean.
enum Callee {
    Method(Method),
    Extern(Extern),
}

impl Specialiser<'_> {
    /// The function for a method, made and put on the worklist when first asked for.
    fn instance(&mut self, method: Method) -> Result<Func, Failure> {
        if let Some(&func) = self.instances.get(&method) {
            return Ok(func);
        }
        let found = self.instances.len() + 1;
        if found > MAX_INSTANCES {
            return Err(Failure::Limit {
                what: "instances",
                limit: MAX_INSTANCES as u64,
                found: found as u64,
            });
        }
        let data = self.program.method(method);
        let func = self.unit.funcs.push(Function {
            name: self.symbol_name(data),
            kind: data.kind,
            signature: data.signature.clone(),
            body: Body::new(),
            inlining: data.inlining,
            file: data.file,
            span: data.span,
        });
        self.instances.insert(method, func);
        self.worklist.push((func, method));
        Ok(func)
    }

    /// The plain name where the generic function has one signature, else with the parameter types. Depends on the
    /// program only, so that units compiled apart agree.
    fn symbol_name(&self, data: &MethodData) -> Arc<str> {
        let params = &data.signature.params;
        let siblings = self.program.methods_of(&data.name);
        if siblings.iter().all(|&m| self.program.method(m).signature.params == *params) {
            return data.name.clone();
        }
        let signature = Signature::new(params.clone(), []);
        format!("{}{}", data.name, signature.display(&self.program.types)).into()
    }

    /// Copies a method's body, then types and links it.
    fn fill(&mut self, func: Func, method: Method) -> Result<(), Failure> {
        let data = self.program.method(method);
        let mut body = data.body.clone();
        let mut cfg = std::mem::take(&mut self.scratch_cfg);
        cfg.compute(&body);
        let unreachable: Vec<Block> = body.blocks().filter(|&block| !cfg.is_reachable(block)).collect();
        unreachable.into_iter().for_each(|block| body.remove_block(block));
        let result = self.type_and_link(&mut body, data, &cfg);
        self.scratch_cfg = cfg;
        self.unit.funcs[func].body = body;
        result
    }

    fn type_and_link(
        &mut self,
        body: &mut Body,
        data: &MethodData,
        cfg: &ControlFlow,
    ) -> Result<(), Failure> {
        for &block in cfg.reverse_post_order() {
            let mut next = body.first_inst(block);
            while let Some(inst) = next {
                next = body.next_inst(inst);
                self.link(body, data, inst)?;
                if self.diagnostics.len() >= MAX_DIAGNOSTICS {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, body: &mut Body, data: &MethodData, inst: Inst) -> Result<(), Failure> {
        match body.inst(inst).op.info().shape {
            Shape::Call => return self.link_call(body, data, inst),
            Shape::FunctionAddress => self.link_function(body, data, inst)?,
            Shape::GlobalAddress => self.link_global(body, data, inst),
            Shape::CallIndirect => complete_signature(body, inst),
            Shape::Switch => complete_cases(body, inst),
            _ => {}
        }
        match infer(body, &self.unit.types, inst) {
            Ok(types) => self.set_result_types(body, inst, &types),
            Err(mismatch) => self.complain(
                body,
                data,
                inst,
                mismatch_message(&self.unit.types, body.inst(inst).op, &mismatch),
            ),
        }
        Ok(())
    }

    fn set_result_types(&mut self, body: &mut Body, inst: Inst, types: &[Type]) {
        for (value, &ty) in body.results(inst).zip(types) {
            body.set_value_type(value, ty);
        }
    }

    fn complain(&mut self, body: &mut Body, data: &MethodData, inst: Inst, message: String) {
        let place = Place { function: &data.name, file: data.file, span: body.span(inst) };
        self.diagnostics.push(report::dispatch(&place, message));
        for value in body.results(inst) {
            body.set_value_type(value, Type::ERROR);
        }
    }

    fn link_call(&mut self, body: &mut Body, data: &MethodData, inst: Inst) -> Result<(), Failure> {
        let arguments: Vec<Type> = body.args(inst).iter().map(|&arg| body.value_type(arg)).collect();
        if arguments.contains(&Type::ERROR) {
            self.set_result_types(body, inst, &vec![Type::ERROR; body.results(inst).len()]);
            return Ok(());
        }
        let Some(name) = name_of(body, inst) else {
            self.complain(body, data, inst, "call: the callee is not a name".into());
            return Ok(());
        };
        let (symbol, results) = match self.find(&name, &arguments) {
            Some(Callee::Method(method)) => {
                let signature = &self.program.method(method).signature;
                (Symbol::Func(self.instance(method)?), signature.results.clone())
            }
            Some(Callee::Extern(id)) => {
                (Symbol::Extern(self.external(id)), self.program.externs[id].signature.results.clone())
            }
            None => {
                let message = self.unresolved(&name, &arguments);
                self.complain(body, data, inst, message);
                return Ok(());
            }
        };
        let found = body.results(inst).len();
        if found != results.len() {
            let wanted = results.len();
            self.complain(body, data, inst, format!("{name} returns {wanted} values, {found} are named"));
            return Ok(());
        }
        self.set_result_types(body, inst, &results);
        let id = body.make_symbol(symbol);
        body.inst_mut(inst).imm = id.as_u32();
        Ok(())
    }

    fn find(&self, name: &str, arguments: &[Type]) -> Option<Callee> {
        if let Some(method) = self.job.view.resolve(self.program, name, arguments) {
            return Some(Callee::Method(method));
        }
        let id = self.program.find_extern(name)?;
        (self.program.externs[id].signature.params == arguments).then_some(Callee::Extern(id))
    }

    /// What is called, with what, and what there is instead.
    fn unresolved(&self, name: &str, arguments: &[Type]) -> String {
        let types = &self.program.types;
        let called = Signature::new(arguments, []);
        let mut message = format!("no method {name}{} in sight", called.display(types));
        let mut near: Vec<&Signature> =
            self.job.view.candidates(self.program, name).map(|m| &self.program.method(m).signature).collect();
        near.extend(self.program.find_extern(name).map(|id| &self.program.externs[id].signature));
        for (n, signature) in near.iter().take(4).enumerate() {
            let lead = if n == 0 { "; there is " } else { ", " };
            message.push_str(&format!("{lead}{name}{}", signature.display(types)));
        }
        message
    }

    fn link_function(&mut self, body: &mut Body, data: &MethodData, inst: Inst) -> Result<(), Failure> {
        let Symbol::Overload(name, params) = body.symbol(SymbolRef::from_u32(body.inst(inst).imm)).clone()
        else {
            return Ok(());
        };
        match self.job.view.resolve(self.program, &name, &params) {
            Some(method) => {
                let func = self.instance(method)?;
                let id = body.make_symbol(Symbol::Func(func));
                body.inst_mut(inst).imm = id.as_u32();
            }
            None => {
                let message = self.unresolved(&name, &params);
                self.complain(body, data, inst, message);
            }
        }
        Ok(())
    }

    fn link_global(&mut self, body: &mut Body, data: &MethodData, inst: Inst) {
        let Some(name) = name_of(body, inst) else { return };
        let Some(id) = self.program.find_global(&name) else {
            self.complain(body, data, inst, format!("no global '{name}'"));
            return;
        };
        let global = &self.program.globals[id];
        let found = body.inst(inst).ty;
        if found != Type::pointer(global.space) {
            let wanted = global.space.name();
            self.complain(
                body,
                data,
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

    fn external(&mut self, id: Extern) -> Extern {
        let externs = &mut self.unit.externs;
        let data = &self.program.externs[id];
        *self.externs.entry(id).or_insert_with(|| externs.push(data.clone()))
    }
}

fn name_of(body: &Body, inst: Inst) -> Option<Arc<str>> {
    let data = body.inst(inst);
    debug_assert!(matches!(data.op, Op::Call | Op::GlobalAddress));
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
