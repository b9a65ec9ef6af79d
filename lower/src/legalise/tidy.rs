//! After a body was built: what nobody uses goes, and the contract is checked.

use super::emit::{answer, asked_types};
use crate::passes::effects::is_removable;
use crate::target::{Action, Target, TypeAction};
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::infer::infer;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;

/// Removes instructions without effect whose results nobody uses: splitting makes many.
pub(super) fn remove_unused(body: &mut Body) {
    let mut uses = vec![0u32; body.value_count()];
    let mut candidates: Vec<Inst> = Vec::new();
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        body.visit_operands(inst, |value| {
            if let Some(count) = uses.get_mut(value.as_u32() as usize) {
                *count += 1;
            }
        });
        candidates.push(inst);
    }
    // Last first, so that what only unused instructions use follows at once; loops are mended by the list.
    let mut removed = vec![false; body.inst_count()];
    while let Some(inst) = candidates.pop() {
        let unused = |value: Value| uses.get(value.as_u32() as usize).is_none_or(|&count| count == 0);
        let gone = removed.get(inst.as_u32() as usize).copied().unwrap_or(true);
        if gone || !is_removable(body, inst) || !body.results(inst).all(unused) {
            continue;
        }
        if let Some(flag) = removed.get_mut(inst.as_u32() as usize) {
            *flag = true;
        }
        body.remove_inst(inst);
        for &value in body.args(inst) {
            let Some(count) = uses.get_mut(value.as_u32() as usize) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0
                && let Some(definition) = body.value_inst(value)
            {
                candidates.push(definition);
            }
        }
    }
}

/// Whether a unit keeps what emitters are promised: for tests and debug builds.
pub(super) fn check(unit: &Unit, target: &dyn Target) -> Result<(), String> {
    let held = |ty: Type| !ty.is_aggregate() && ty.is_known() && target.type_action(ty) == TypeAction::Legal;
    for function in unit.funcs.values() {
        let body = &function.body;
        let name = &function.name;
        let signature = function.signature.params.iter().chain(&function.signature.results);
        if let Some(ty) = signature.copied().find(|&ty| !held(ty)) {
            return Err(format!("{name}: its signature has the type {ty}, which the target does not hold"));
        }
        for block in body.blocks() {
            if let Some(&param) = body.block_params(block).iter().find(|&&p| !held(body.value_type(p))) {
                return Err(format!("{name}: {block} takes {}", body.value_type(param)));
            }
            if body.terminator(block).is_none() {
                return Err(format!("{name}: {block} has no terminator"));
            }
            for inst in body.block_insts(block) {
                let wanted =
                    infer(body, &unit.types, inst).map_err(|e| format!("{}: {e}", body.inst(inst).op))?;
                let found = body.results(inst).map(|value| body.value_type(value));
                if body.inst(inst).op != Op::Call && !found.eq(wanted) {
                    return Err(format!("{name}: '{}' has results of other types", body.inst(inst).op));
                }
                check_inst(body, inst, target, held).map_err(|message| format!("{name}: {message}"))?;
            }
        }
    }
    Ok(())
}

fn check_inst(
    body: &Body,
    inst: Inst,
    target: &dyn Target,
    held: impl Fn(Type) -> bool,
) -> Result<(), String> {
    let data = body.inst(inst);
    let args: Vec<Type> = body.args(inst).iter().map(|&arg| body.value_type(arg)).collect();
    let results: Vec<Type> = body.results(inst).map(|value| body.value_type(value)).collect();
    if let Some(ty) = args.iter().chain(&results).find(|&&ty| !held(ty)) {
        return Err(format!("'{}' on {ty}, which the target does not hold", data.op));
    }
    let asked = match data.op {
        Op::Call | Op::CallIndirect | Op::FunctionAddress | Op::Slot => false,
        Op::Jump | Op::Branch | Op::Switch | Op::Return => false,
        Op::Extract | Op::Insert => {
            body.args(inst).last().is_some_and(|&index| body.value_const(index).is_none())
        }
        Op::Unresolved
        | Op::Throw
        | Op::Unreachable
        | Op::BoundsCheck
        | Op::StaticAssert
        | Op::TargetQuery
        | Op::Scratch
        | Op::Assert
        | Op::Sentinel
        | Op::Print
        | Op::KernelInput
        | Op::Make
        | Op::GetField
        | Op::SetField => {
            return Err(format!("'{}' is left", data.op));
        }
        Op::DivS | Op::DivU | Op::RemS | Op::RemU if !data.guarded => {
            return Err(format!("an unguarded '{}'", data.op));
        }
        _ => true,
    };
    let (from, to) = asked_types(data.op, &args, &results);
    if asked && answer(target, data.op, from, to) != Action::Legal {
        return Err(format!("'{}' on {from} to {to} is not legal", data.op));
    }
    Ok(())
}
