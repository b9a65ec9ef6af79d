//! Loops are tested at the bottom.
//!
//! Computes loops. A loop whose header decides whether to go on, and whose ways back are plain jumps, gets a second copy
//! of the header at its end: the original is the guard before the first round, the copy the test after each. One
//! branch per round instead of two, and what follows the test runs in every round of a loop that is entered, which is
//! what lets invariant loads move out. Values of the header that are used elsewhere get parameters where the two
//! copies meet. All loops are rotated at once; costs what is copied and where the values are live.

use super::PassContext;
use super::copy::{ValueMap, copy_block};
use super::dce;
use super::ssa::{self, Use};
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::loops::Loop;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Value};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::types::Type;
use smallvec::SmallVec;

/// Most instructions of a header that is copied.
const MAX_HEADER: usize = 16;

struct Candidate {
    header: Block,
    /// The edge of the header that stays in the loop.
    inwards: BlockCall,
    latches: SmallVec<[(Block, BlockCall); 2]>,
}

/// Rotates loops. Says whether there were any to rotate.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let changed = dce::remove_unreachable(body, ctx);
    ctx.find_loops(body);
    let candidates: Vec<Candidate> = ctx.loops.iter().filter_map(|this| candidate(body, ctx, this)).collect();
    if candidates.is_empty() {
        return changed;
    }
    let mut copies = SecondaryMap::<Block, PackedOption<Block>>::new();
    let mut copied = SecondaryMap::<Value, PackedOption<Value>>::new();
    let mut map = ValueMap::default();
    for candidate in &candidates {
        let copy = rotate(body, ctx, candidate, &mut map);
        copies[candidate.header] = copy.into();
        map.drain(|old, new| copied[old] = new.into());
    }
    repair(body, ctx, &copies, &copied);
    true
}

fn candidate(body: &Body, ctx: &PassContext, this: Loop) -> Option<Candidate> {
    let header = ctx.loops.header(this);
    let branch = body.terminator(header).filter(|&inst| body.inst(inst).op == Op::Branch)?;
    let &[yes, no] = body.targets(branch) else { return None };
    let inside = |edge| ctx.loops.contains(this, body.target_block(edge));
    let inwards = match (inside(yes), inside(no)) {
        (true, false) => yes,
        (false, true) => no,
        _ => return None,
    };
    if body.target_block(inwards) == header || body.entry() == Some(header) {
        return None;
    }
    let is_copyable = |inst| {
        let op = body.inst(inst).op;
        op != Op::Slot && !op.effects().has(Effects::CALL.and(Effects::CONVERGENT))
    };
    if body.block_insts(header).count() > MAX_HEADER || !body.block_insts(header).all(is_copyable) {
        return None;
    }
    let back = ctx.cfg.predecessors(header).iter().filter(|edge| ctx.loops.contains(this, edge.0));
    let latches: SmallVec<[(Block, BlockCall); 2]> = back.copied().collect();
    let is_plain = |&(from, _): &(Block, BlockCall)| {
        from != header && body.terminator(from).is_some_and(|inst| body.inst(inst).op == Op::Jump)
    };
    latches.iter().all(is_plain).then_some(Candidate { header, inwards, latches })
}

/// Copies the header to the end of the loop; gives the copy.
fn rotate(body: &mut Body, ctx: &PassContext, candidate: &Candidate, map: &mut ValueMap) -> Block {
    let &Candidate { header, inwards, ref latches } = candidate;
    let first = body.target_block(inwards);
    if ctx.cfg.predecessors(first).len() != 1 {
        // The two copies must meet in a block of their own.
        let meeting = body.make_block();
        body.insert_block_after(meeting, header);
        let args: SmallVec<[Value; 8]> = body.target_args(inwards).iter().copied().collect();
        let jump = body.make_inst(Op::Jump, Type::ERROR, &[], 0);
        let edge = body.make_block_call(first, &args);
        body.set_targets(jump, &[edge]);
        body.append_inst(jump, meeting);
        body.set_block_call(inwards, meeting, &[]);
    }
    let copy = body.make_block();
    let last = latches.last().map_or(header, |latch| latch.0);
    body.insert_block_after(copy, last);
    copy_block(body, map, header, copy);
    for &(_, edge) in latches {
        let args: SmallVec<[Value; 8]> = body.target_args(edge).iter().copied().collect();
        body.set_block_call(edge, copy, &args);
    }
    copy
}

/// Gives every use of a copied header's value, outside the two copies, the one that reaches it.
///
/// Nearly all are inside the loop, behind the block where the copies meet, or behind the exit that they share: one
/// parameter there serves all of a value's uses, however deep in inner loops. Others are looked for block by block.
fn repair(
    body: &mut Body,
    ctx: &mut PassContext,
    copies: &SecondaryMap<Block, PackedOption<Block>>,
    copied: &SecondaryMap<Value, PackedOption<Value>>,
) {
    let mut uses = Vec::<Use>::new();
    for block in body.blocks() {
        for inst in body.block_insts(block) {
            body.visit_operands(inst, |value| {
                if copied[value].is_some() && body.value_block(value) != Some(block) {
                    uses.push((value, block, inst));
                }
            });
        }
    }
    uses.sort_by_key(|&(value, ..)| value);
    ctx.forget_flow();
    ctx.find_loops(body);
    let mut others = Vec::new();
    for uses in uses.chunk_by(|a, b| a.0 == b.0) {
        let old = uses[0].0;
        let (Some(new), Some(header)) = (copied[old].expand(), body.value_block(old)) else { continue };
        let Some(copy) = copies[header].expand() else { continue };
        let mut doors: SmallVec<[Door; 2]> = SmallVec::new();
        for &edge in body.successors(header) {
            let block = body.target_block(edge);
            let predecessors = ctx.cfg.predecessors(block);
            if predecessors.len() == 2 && predecessors.iter().all(|&(from, _)| from == header || from == copy)
            {
                doors.push(Door { block, param: None });
            }
        }
        for &(_, block, inst) in uses {
            let door = doors.iter_mut().find(|door| ctx.dominators.dominates(&ctx.cfg, door.block, block));
            let Some(door) = door else {
                others.push((old, block, inst));
                continue;
            };
            let param = match door.param {
                Some(param) => param,
                None => {
                    let param = body.append_block_param(door.block, body.value_type(old));
                    for &(from, edge) in ctx.cfg.predecessors(door.block) {
                        body.push_target_arg(edge, if from == header { old } else { new });
                    }
                    *door.param.insert(param)
                }
            };
            body.rewrite_operands(inst, |value| if value == old { param } else { value });
        }
    }
    ssa::reroute(body, ctx, others, |header, old, define| {
        if let (Some(copy), Some(new)) = (copies[header].expand(), copied[old].expand()) {
            define(copy, new);
        }
    });
}

/// A block that is entered from the two copies of a header alone.
struct Door {
    block: Block,
    /// What a value of the header is there.
    param: Option<Value>,
}
