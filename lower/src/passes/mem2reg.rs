//! Slots become SSA values.
//!
//! Needs control flow and loops. A slot is promoted if all its uses are plain loads and stores of one type through
//! its own address. Keeps edges, except that they get arguments; unreachable blocks go first. Costs, per slot, its
//! accesses and the blocks in which it is live.

use super::PassContext;
use super::{dce, effects};
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

#[derive(Copy, Clone, Default)]
struct Candidate {
    /// Number of the slot plus one; 0 for values that are no promotable slot.
    number: u32,
}

struct Variable {
    slot: Inst,
    ty: Type,
    promotable: bool,
    /// How many accesses come before this variable's in the list of all, once they are sorted.
    start: u32,
    count: u32,
}

/// One load or store.
#[derive(Copy, Clone)]
struct Access {
    variable: u32,
    inst: Inst,
    block: Block,
}

/// Promotes slots. Says whether there were any.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    if !body.may_have(Op::Slot) {
        return false;
    }
    let mut variables = Vec::new();
    let mut candidates = SecondaryMap::<Value, Candidate>::new();
    for block in body.blocks() {
        for inst in body.block_insts(block) {
            if let (Op::Slot, Some(value)) = (body.inst(inst).op, body.first_result(inst)) {
                let ty = body.inst(inst).ty;
                variables.push(Variable { slot: inst, ty, promotable: true, start: 0, count: 0 });
                candidates[value].number = variables.len() as u32;
            }
        }
    }
    if variables.is_empty() {
        return false;
    }
    let mut changed = dce::remove_unreachable(body, ctx);
    ctx.find_loops(body);
    let accesses = collect(body, ctx, &mut variables, &candidates);
    ctx.replacements.clear();
    ctx.ssa.start();
    for variable in variables.iter().filter(|variable| variable.promotable) {
        let range = variable.start as usize..(variable.start + variable.count) as usize;
        promote(body, ctx, variable, accesses.get(range).unwrap_or(&[]));
        body.remove_inst(variable.slot);
        changed = true;
    }
    ctx.replacements.apply(body);
    changed
}

/// Lists the accesses by variable, in reverse post-order, and finds the variables that have other uses.
fn collect(
    body: &Body,
    ctx: &PassContext,
    variables: &mut [Variable],
    candidates: &SecondaryMap<Value, Candidate>,
) -> Vec<Access> {
    let number = |value: Value| candidates.get(value).map_or(0, |c| c.number).checked_sub(1);
    let mut accesses = Vec::new();
    for &block in ctx.cfg.reverse_post_order() {
        for inst in body.block_insts(block) {
            let accessed = accessed(body, inst).filter(|_| !effects::is_volatile(body, inst));
            let mut skip = None;
            if let Some((address, ty)) = accessed
                && let Some(variable) = number(address)
            {
                let data = &mut variables[variable as usize];
                if data.ty == ty {
                    data.count += 1;
                    accesses.push(Access { variable, inst, block });
                    skip = Some(address);
                }
            }
            let mut position = 0;
            body.visit_operands(inst, |value| {
                position += 1;
                if position == 1 && skip == Some(value) {
                    return;
                }
                if let Some(variable) = number(value) {
                    variables[variable as usize].promotable = false;
                }
            });
        }
    }
    let mut start = 0;
    for variable in variables.iter_mut() {
        variable.start = start;
        start += variable.count;
    }
    // Stable: the order of one variable's accesses stays.
    accesses.sort_by_key(|access| access.variable);
    accesses
}

/// Address and type of a load or store.
fn accessed(body: &Body, inst: Inst) -> Option<(Value, Type)> {
    let args = body.args(inst);
    match body.inst(inst).op {
        Op::Load => Some((*args.first()?, body.inst(inst).ty)),
        Op::Store => Some((*args.first()?, body.value_type(*args.get(1)?))),
        _ => None,
    }
}

fn promote(body: &mut Body, ctx: &mut PassContext, variable: &Variable, accesses: &[Access]) {
    let PassContext { cfg, loops, replacements, ssa, .. } = ctx;
    ssa.begin();
    let blocks = || accesses.chunk_by(|a, b| a.block == b.block);
    for here in blocks() {
        let stored = here.iter().rev().find(|access| body.inst(access.inst).op == Op::Store);
        if let Some(&value) = stored.and_then(|access| body.args(access.inst).get(1)) {
            ssa.define(loops, here[0].block, value);
        }
        if body.inst(here[0].inst).op == Op::Load {
            ssa.want(here[0].block);
        }
    }
    ssa.solve(body, cfg, loops, replacements, variable.ty);
    for here in blocks() {
        let mut current = ssa.at_start(here[0].block);
        for access in here {
            if body.inst(access.inst).op == Op::Store {
                current = body.args(access.inst).get(1).copied();
            } else if let (Some(result), Some(value)) = (body.first_result(access.inst), current) {
                replacements.set(result, value);
            }
            body.remove_inst(access.inst);
        }
    }
}
