//! Methods for given argument types as methods of their own, for hosts that call methods by their ids.

use super::settle::{Packs, Settler, has_size};
use crate::dispatch::{explain, pattern};
use crate::failure::Failure;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Inst, Method, Value};
use marquetry_ir::op::Shape;
use marquetry_ir::program::{MethodError, PrivateTable, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Type, TypeError};
use std::sync::Arc;

/// Adds a copy of a method with type variables that takes exactly these types, and gives it; the method itself if it has
/// no variables. The copy has the same name and lives in the same table: for dispatch it changes nothing, because what
/// it takes meant the original method before, as long as no other method of the table is as specific.
///
/// # Errors
/// The method does not take these types, one of them has no size, or its body makes no sense for them.
pub fn instantiate(program: &mut Program, method: Method, arguments: &[Type]) -> Result<Method, Failure> {
    if !program.method_exists(method) {
        return Err(Failure::Job(format!("{method} does not exist")));
    }
    let data = program.method(method).clone();
    let header = explain::header(&program.types, &data);
    let bound = pattern::accept(program, &data, arguments)
        .map_err(|rejection| Failure::Job(format!("{header}: {}", rejection.describe(&program.types))))?;
    if !data.is_generic() {
        return Ok(method);
    }
    if let Some(&ty) = arguments.iter().find(|&&ty| !has_size(&program.types, ty)) {
        let ty = program.types.display(ty);
        return Err(Failure::Job(format!("{header}: nothing can be passed for an argument of type {ty}")));
    }
    let impossible = |error: TypeError| Failure::Job(format!("{header}: {error}"));
    let bindings = bound.as_types(&mut program.types).map_err(impossible)?;
    let bind = |variable: Type| bindings.iter().find(|(v, _)| *v == variable).map(|(_, ty)| *ty);
    let results: Result<Vec<Type>, TypeError> =
        data.signature.results.iter().map(|&ty| program.types.substitute(ty, &bind)).collect();
    let results = results.map_err(impossible)?;
    let mut body = data.body.clone();
    let mut packs = Packs::default();
    let mut types = Arc::new(std::mem::take(&mut program.types));
    let mut settler = Settler::new(&mut types, &bindings);
    settler.run(&mut body, arguments, true, &mut packs);
    let (problems, grown) = (settler.problems, settler.grown);
    program.types = Arc::unwrap_or_clone(types);
    if let Some(error) = grown {
        return Err(impossible(error));
    }
    if let Some((_, message)) = problems.into_iter().next() {
        return Err(Failure::Job(format!("{header}: {message}")));
    }
    expand_packs(&mut body, &packs);
    let table =
        data.table().try_into().map_err(|error: PrivateTable| Failure::Job(format!("{header}: {error}")))?;
    let mut copy = data;
    copy.signature = Signature::new(arguments, results);
    copy.variables = Vec::new();
    copy.body = body;
    match program.add_method(table, copy) {
        Ok(method) | Err(MethodError::Exists(method)) => Ok(method),
        Err(error) => Err(Failure::Job(format!("{header}: {error}"))),
    }
}

/// Puts the values of packs where the packs were passed on.
fn expand_packs(body: &mut Body, packs: &Packs) {
    if packs.is_empty() {
        return;
    }
    let insts: Vec<Inst> =
        body.blocks().flat_map(|block| body.block_insts(block).collect::<Vec<_>>()).collect();
    for inst in insts {
        let data = body.inst(inst);
        let (op, ty, imm) = (data.op, data.ty, data.imm);
        if op.info().shape != Shape::Call || !body.args(inst).iter().any(|arg| packs.contains_key(arg)) {
            continue;
        }
        let mut args: Vec<Value> = Vec::new();
        for &arg in body.args(inst) {
            match packs.get(&arg) {
                Some(values) => args.extend(values),
                None => args.push(arg),
            }
        }
        body.replace_inst(inst, op, ty, &args, imm);
    }
}
