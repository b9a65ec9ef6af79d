//! Newtypes go: behind dispatch nothing tells them apart from what they are newtypes of.
//!
//! Wrapping and unwrapping become nothing, and every type of the unit is replaced by what it is held as, in elements
//! and fields too. What is compiled is what would be compiled for the types underneath, at every optimisation level.

use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::entity::{Block, Inst, SigRef, Value};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Type, TypeError, Types};
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Erases the newtypes of a unit.
///
/// # Errors
/// There are too many types.
pub(super) fn run(unit: &mut Unit) -> Result<(), TypeError> {
    if !unit.types.has_newtypes() {
        return Ok(());
    }
    let types = Arc::make_mut(&mut unit.types);
    for function in unit.funcs.values_mut() {
        erase_signature(types, &mut function.signature)?;
        erase_body(types, &mut function.body)?;
    }
    for global in unit.globals.values_mut() {
        global.ty = types.erased(global.ty)?;
    }
    unit.externs.values_mut().try_for_each(|data| erase_signature(types, &mut data.signature))
}

fn erase_signature(types: &mut Types, signature: &mut Signature) -> Result<(), TypeError> {
    for ty in signature.params.iter_mut().chain(&mut signature.results) {
        *ty = types.erased(*ty)?;
    }
    Ok(())
}

fn erase_body(types: &mut Types, body: &mut Body) -> Result<(), TypeError> {
    // Results of what wraps and unwraps, each with what it is then.
    let mut same: FxHashMap<Value, Value> = FxHashMap::default();
    let blocks: Vec<Block> = body.blocks().collect();
    for &block in &blocks {
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            match (wrapped(types, body, inst), body.first_result(inst)) {
                (Some(value), Some(result)) => {
                    same.insert(result, value);
                    body.remove_inst(inst);
                }
                _ => erase_inst(types, body, inst)?,
            }
        }
    }
    for value in (0..body.value_count()).map(|n| Value::from_u32(n as u32)) {
        let ty = body.value_type(value);
        let erased = if ty.is_known() { types.erased(ty)? } else { ty };
        if erased == ty {
            continue;
        }
        match body.value_def(value) {
            ValueDef::Const(_) => {
                // Newtypes and what contains them have no constants but zero.
                let zero = body.make_scalar(erased, 0);
                same.insert(value, zero);
            }
            ValueDef::Param(..) | ValueDef::Result(..) => body.set_value_type(value, erased),
        }
    }
    if same.is_empty() {
        return Ok(());
    }
    let last = |value: Value| {
        let mut value = value;
        // What wraps what is wrapped: definitions come before uses, so there is no cycle.
        for _ in 0..=same.len() {
            match same.get(&value) {
                Some(&other) => value = other,
                None => break,
            }
        }
        value
    };
    for &block in &blocks {
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            body.rewrite_operands(inst, last);
        }
    }
    Ok(())
}

/// What an instruction gives that does nothing but wrap or unwrap.
fn wrapped(types: &Types, body: &Body, inst: Inst) -> Option<Value> {
    let (data, args) = (body.inst(inst), body.args(inst));
    let is_newtype = |ty: Type| types.as_newtype(ty).is_some();
    match (data.op, args) {
        (Op::Make, &[value]) if is_newtype(data.ty) => Some(value),
        (Op::GetField, &[value]) if is_newtype(body.value_type(value)) => Some(value),
        (Op::SetField, &[aggregate, value]) if is_newtype(body.value_type(aggregate)) => Some(value),
        (Op::FieldAddress, &[address]) if is_newtype(data.ty) => Some(address),
        _ => None,
    }
}

fn erase_inst(types: &mut Types, body: &mut Body, inst: Inst) -> Result<(), TypeError> {
    let data = body.inst(inst);
    let (ty, imm, shape) = (data.ty, data.imm, data.op.info().shape);
    if ty.is_known() {
        body.set_ty(inst, types.erased(ty)?);
    }
    if shape == Shape::CallIndirect && body.signature_exists(imm) {
        let mut signature = body.signature(SigRef::from_u32(imm)).clone();
        erase_signature(types, &mut signature)?;
        let imm = body.make_signature(signature).as_u32();
        body.set_imm(inst, imm);
    }
    Ok(())
}
