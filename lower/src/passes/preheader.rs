//! Preheaders: one block in front of each loop that leads nowhere else, so that code can move there.
//!
//! Needs loops; changes edges and blocks, so whoever calls this computes facts anew if it says that it changed
//! anything. Linear.

use super::PassContext;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;
use smallvec::SmallVec;

/// The preheader of a loop with this header, if it has one: the source of the only edge from outside.
pub(super) fn find(body: &Body, ctx: &PassContext, header: Block) -> Option<Block> {
    let this = ctx.loops.innermost(header)?;
    let mut outside = ctx.cfg.predecessors(header).iter().filter(|edge| !ctx.loops.contains(this, edge.0));
    let (&(from, _), None) = (outside.next()?, outside.next()) else { return None };
    let terminator = body.terminator(from)?;
    (body.inst(terminator).op == Op::Jump).then_some(from)
}

/// Makes the preheaders that are missing. Says whether there were any.
pub(super) fn make(body: &mut Body, ctx: &PassContext) -> bool {
    let mut changed = false;
    for this in ctx.loops.iter() {
        let header = ctx.loops.header(this);
        if find(body, ctx, header).is_some() {
            continue;
        }
        let edges = ctx.cfg.predecessors(header).iter().filter(|edge| !ctx.loops.contains(this, edge.0));
        let edges: SmallVec<[(Block, BlockCall); 4]> = edges.copied().collect();
        let Some(&(before, _)) = edges.last() else { continue };
        let preheader = body.make_block();
        body.insert_block_after(preheader, before);
        // Of several edges, the preheader's parameters tell the arguments apart.
        let args: SmallVec<[Value; 8]> = match *edges {
            [(_, edge)] => body.target_args(edge).iter().copied().collect(),
            _ => {
                let params: SmallVec<[Value; 8]> = body.block_params(header).iter().copied().collect();
                params
                    .iter()
                    .map(|&param| body.append_block_param(preheader, body.value_type(param)))
                    .collect()
            }
        };
        let jump = body.make_inst(Op::Jump, Type::ERROR, &[], 0);
        let edge = body.make_block_call(header, &args);
        body.set_targets(jump, &[edge]);
        body.append_inst(jump, preheader);
        for (_, edge) in edges {
            let args: SmallVec<[Value; 8]> = body.target_args(edge).iter().copied().collect();
            let passed = if body.block_params(preheader).is_empty() { &[][..] } else { &args };
            body.set_block_call(edge, preheader, passed);
        }
        changed = true;
    }
    changed
}
