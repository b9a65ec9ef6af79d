//! Small branches become `select`.
//!
//! Needs control flow. If both ways of a branch meet again at once, and what stands on them is little, pure and
//! cheap, it is computed on both ways and the results are chosen. Nothing that may throw, load, or meet other
//! work-items is computed where it was not. Part of [`simplify_cfg`](super::simplify_cfg). Linear.

use super::PassContext;
use super::effects::is_speculatable;
use super::simplify_cfg::{MAX_SELECTS, select_count, select_edges};
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Inst, Value};
use marquetry_ir::op::Op;
use smallvec::SmallVec;

/// Most work, in the unit of an addition, that may be done in vain.
const MAX_COST: usize = 3;

/// Converts branches. Says whether there were any.
pub(super) fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let mut changed = false;
    // Inner branches first: afterwards, the block that they are in may be a way of an outer one.
    for &block in ctx.cfg.reverse_post_order().iter().rev() {
        changed |= convert(body, ctx, block);
    }
    changed
}

fn cost(op: Op) -> usize {
    match op {
        Op::Div | Op::Rem | Op::Sqrt | Op::DivS | Op::DivU | Op::RemS | Op::RemU => MAX_COST + 1,
        Op::Make | Op::SetField => MAX_COST + 1,
        Op::Mul | Op::Fma => 2,
        _ => 1,
    }
}

/// One way of a branch: either straight to the meeting point, or through one block.
#[derive(Copy, Clone)]
struct Way {
    edge: BlockCall,
    through: Option<Block>,
}

/// The way that an edge of a branch starts, if the block behind it does little and jumps on.
fn through(body: &Body, ctx: &PassContext, edge: BlockCall, from: Block) -> Option<(Way, usize)> {
    let block = body.target_block(edge);
    if block == from || body.entry() == Some(block) || ctx.cfg.predecessors(block).len() != 1 {
        return None;
    }
    if !body.block_params(block).is_empty() {
        return None;
    }
    let terminator = body.terminator(block).filter(|&inst| body.inst(inst).op == Op::Jump)?;
    let &next = body.targets(terminator).first()?;
    if body.target_block(next) == block {
        return None;
    }
    let mut sum = 0;
    for inst in body.block_insts(block).filter(|&inst| inst != terminator) {
        sum += cost(body.inst(inst).op);
        if sum > MAX_COST || !is_speculatable(body, inst) {
            return None;
        }
    }
    Some((Way { edge: next, through: Some(block) }, sum))
}

fn convert(body: &mut Body, ctx: &PassContext, block: Block) -> bool {
    let Some(branch) = body.terminator(block).filter(|&inst| body.inst(inst).op == Op::Branch) else {
        return false;
    };
    let (&[condition], &[yes, no]) = (body.args(branch), body.targets(branch)) else { return false };
    let (long_yes, long_no) = (through(body, ctx, yes, block), through(body, ctx, no, block));
    let short = |edge| (Way { edge, through: None }, 0);
    let meet = |a: &(Way, usize), b: &(Way, usize)| {
        let same = body.target_block(a.0.edge) == body.target_block(b.0.edge);
        same && a.1 + b.1 <= MAX_COST
    };
    // A triangle on either side, or a diamond.
    let ways = [(long_yes, Some(short(no))), (Some(short(yes)), long_no), (long_yes, long_no)];
    let found = ways.into_iter().find_map(|ways| match ways {
        (Some(a), Some(b)) if meet(&a, &b) => Some((a.0, b.0)),
        _ => None,
    });
    let Some((yes, no)) = found else { return false };
    let target = body.target_block(yes.edge);
    let pairs = body.target_args(yes.edge).iter().copied().zip(body.target_args(no.edge).iter().copied());
    let pairs: SmallVec<[(Value, Value); 8]> = pairs.collect();
    let fits = pairs.iter().all(|&(a, b)| a == b || !body.value_type(a).is_aggregate());
    if select_count(&pairs) > MAX_SELECTS || !fits {
        return false;
    }
    for way in [&yes, &no] {
        if let Some(from) = way.through {
            hoist(body, from, branch);
        }
    }
    select_edges(body, branch, condition, target, &pairs)
}

/// Moves all instructions of a block but the terminator before another instruction.
fn hoist(body: &mut Body, from: Block, before: Inst) {
    let terminator = body.terminator(from);
    let mut next = body.first_inst(from);
    while let Some(inst) = next.filter(|&inst| Some(inst) != terminator) {
        next = body.next_inst(inst);
        body.remove_inst(inst);
        body.insert_inst_before(inst, before);
    }
}
