//! Edges past blocks that only pass them on.
//!
//! Needs control flow. A block that consists of its terminator, and whose parameters are used there only, is skipped by
//! every edge for which the terminator's decision is known: always for a jump, for a branch on a parameter where the
//! edge passes a constant. Blocks are visited before their predecessors, so chains are followed at once. Edges that
//! would lead into a loop header stay. Part of [`simplify_cfg`](super::simplify_cfg). Linear.

use super::PassContext;
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Inst, Switch, Value};
use marquetry_ir::op::Op;
use smallvec::SmallVec;

/// Redirects edges. Says whether there were any.
pub(super) fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let entry = body.entry();
    let is_candidate = |body: &Body, block: Block| {
        let only = body.first_inst(block).filter(|&inst| body.terminator(block) == Some(inst));
        let passes_on = only.filter(|&inst| matches!(body.inst(inst).op, Op::Jump | Op::Branch | Op::Switch));
        passes_on.filter(|_| Some(block) != entry)
    };
    let mut outside = std::mem::take(&mut ctx.outside);
    let mut looked = false;
    let mut changed = false;
    for &block in ctx.cfg.reverse_post_order().iter().rev() {
        let Some(terminator) = is_candidate(body, block) else { continue };
        if !body.block_params(block).is_empty() {
            let edges = ctx.cfg.predecessors(block);
            if !edges.iter().any(|&(_, edge)| destination(body, ctx, block, terminator, edge).is_some()) {
                continue;
            }
            // Redirected edges only use parameters where they were used before.
            if !std::mem::replace(&mut looked, true) {
                find_uses_outside(body, ctx, &mut outside);
            }
            if body.block_params(block).iter().any(|&param| outside[param]) {
                continue;
            }
        }
        for &(_, edge) in ctx.cfg.predecessors(block) {
            changed |= redirect(body, ctx, block, terminator, edge);
        }
    }
    ctx.outside = outside;
    changed
}

/// Which block parameters are used outside their block's terminator.
fn find_uses_outside(body: &Body, ctx: &PassContext, outside: &mut SecondaryMap<Value, bool>) {
    outside.clear();
    for &block in ctx.cfg.reverse_post_order() {
        let terminator = body.terminator(block);
        for inst in body.block_insts(block) {
            body.visit_operands(inst, |value| {
                if let marquetry_ir::body::ValueDef::Param(at, _) = body.value_def(value)
                    && (at != block || Some(inst) != terminator)
                {
                    outside[value] = true;
                }
            });
        }
    }
}

/// The edge that another one leads to in the end, if it can lead there at once.
fn destination(
    body: &Body,
    ctx: &PassContext,
    block: Block,
    terminator: Inst,
    edge: BlockCall,
) -> Option<BlockCall> {
    let chosen = decision(body, block, terminator, edge)?;
    let target = body.target_block(chosen);
    let at = ctx.cfg.position(target);
    let is_header = || ctx.cfg.predecessors(target).iter().any(|&(from, _)| ctx.cfg.position(from) >= at);
    (target != block && body.entry() != Some(target) && !is_header()).then_some(chosen)
}

fn redirect(body: &mut Body, ctx: &PassContext, block: Block, terminator: Inst, edge: BlockCall) -> bool {
    let Some(chosen) = destination(body, ctx, block, terminator, edge) else { return false };
    let target = body.target_block(chosen);
    let args = body.target_args(chosen).iter().map(|&arg| substitute(body, block, edge, arg));
    let args: SmallVec<[Value; 8]> = args.collect();
    body.set_block_call(edge, target, &args);
    true
}

/// What a value used in a block's terminator is, for control that comes along an edge.
fn substitute(body: &Body, block: Block, edge: BlockCall, value: Value) -> Value {
    match body.value_def(value) {
        marquetry_ir::body::ValueDef::Param(at, n) if at == block => {
            body.target_args(edge).get(n as usize).copied().unwrap_or(value)
        }
        _ => value,
    }
}

/// The edge that a terminator takes for control that comes along another edge, if that is known.
fn decision(body: &Body, block: Block, terminator: Inst, edge: BlockCall) -> Option<BlockCall> {
    let targets = body.targets(terminator);
    let op = body.inst(terminator).op;
    if op == Op::Jump {
        return targets.first().copied();
    }
    let selector = substitute(body, block, edge, *body.args(terminator).first()?);
    let bits = body.value_bits(selector)?;
    match (op, targets) {
        (Op::Branch, &[yes, no]) => Some(if bits == 0 { no } else { yes }),
        (Op::Switch, [otherwise, edges @ ..]) => {
            let cases = body.switch_cases(Switch::from_u32(body.inst(terminator).imm));
            let chosen = cases.iter().position(|&case| case == bits).and_then(|n| edges.get(n));
            Some(*chosen.unwrap_or(otherwise))
        }
        _ => None,
    }
}
