//! What nobody needs goes: unreachable blocks, unused instructions and parameters, stores that nobody reads.
//!
//! Needs control flow and, where there are slots, addresses. Everything is dead until something that matters uses it, so that cycles of
//! block parameters die together; a store to a slot matters once something else than a store uses the slot. Keeps
//! edges between reachable blocks, less arguments. Loops stay, even if they compute nothing. Linear.

use super::PassContext;
use super::effects::{is_removable, is_volatile};
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::op::Op;
use smallvec::SmallVec;

/// Takes out the blocks that control cannot reach; leaves control flow computed.
pub fn remove_unreachable(body: &mut Body, ctx: &mut PassContext) -> bool {
    ctx.find_flow(body);
    if body.blocks().count() == ctx.cfg.reverse_post_order().len() {
        return false;
    }
    let dead: Vec<Block> = body.blocks().filter(|&block| !ctx.cfg.is_reachable(block)).collect();
    dead.iter().for_each(|&block| body.remove_block(block));
    !dead.is_empty()
}

/// Removes what is dead. Says whether anything was.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let mut changed = remove_unreachable(body, ctx);
    let order = ctx.cfg.reverse_post_order().iter();
    let has_slots =
        order.flat_map(|&block| body.block_insts(block)).any(|inst| body.inst(inst).op == Op::Slot);
    if has_slots {
        ctx.addresses.compute(body, &ctx.types, &ctx.cfg);
    }
    let mut liveness = std::mem::take(&mut ctx.liveness);
    liveness.clear();
    liveness.find(body, ctx, has_slots);
    for n in 0..ctx.cfg.reverse_post_order().len() {
        let block = ctx.cfg.reverse_post_order()[n];
        changed |= liveness.sweep(body, ctx, block);
    }
    ctx.liveness = liveness;
    changed
}

/// What matters: the tables of one run.
#[derive(Default)]
pub(crate) struct Liveness {
    insts: SecondaryMap<Inst, bool>,
    params: SecondaryMap<Value, bool>,
    stack: Vec<Value>,
    /// Stores by the slot that they write to: a list through `deferred`.
    first_store: SecondaryMap<Value, PackedOption<Inst>>,
    next_store: SecondaryMap<Inst, PackedOption<Inst>>,
}

impl Liveness {
    fn clear(&mut self) {
        let Self { insts, params, stack, first_store, next_store } = self;
        insts.clear();
        params.clear();
        stack.clear();
        first_store.clear();
        next_store.clear();
    }

    fn find(&mut self, body: &Body, ctx: &PassContext, has_slots: bool) {
        self.insts.resize(body.inst_count());
        self.params.resize(body.value_count());
        for &block in ctx.cfg.reverse_post_order() {
            for inst in body.block_insts(block) {
                if let Some(slot) = has_slots.then(|| written_slot(body, ctx, inst)).flatten() {
                    self.next_store[inst] = self.first_store[slot];
                    self.first_store[slot] = inst.into();
                } else if !is_removable(body, inst) {
                    self.mark(body, inst);
                }
            }
        }
        while let Some(value) = self.stack.pop() {
            match body.value_def(value) {
                ValueDef::Result(inst, _) => {
                    if !self.insts[inst] {
                        self.mark(body, inst);
                    }
                }
                ValueDef::Param(block, number) => {
                    if !std::mem::replace(&mut self.params[value], true) {
                        let edges = ctx.cfg.predecessors(block).iter();
                        self.stack.extend(
                            edges.filter_map(|edge| body.target_args(edge.1).get(number as usize).copied()),
                        );
                    }
                }
                ValueDef::Const(_) => {}
            }
        }
    }

    fn mark(&mut self, body: &Body, inst: Inst) {
        self.insts[inst] = true;
        // Edge arguments matter when the parameters do.
        // Most have two at most.
        body.args(inst).iter().for_each(|&arg| self.stack.push(arg));
        if body.inst(inst).op == Op::Slot
            && let Some(slot) = body.first_result(inst)
        {
            let mut next = self.first_store[slot].expand();
            while let Some(store) = next {
                next = self.next_store[store].expand();
                self.insts[store] = true;
                self.stack.extend_from_slice(body.args(store));
            }
        }
    }

    fn sweep(&self, body: &mut Body, ctx: &PassContext, block: Block) -> bool {
        let mut changed = false;
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            if !self.insts[inst] {
                body.remove_inst(inst);
                changed = true;
            }
        }
        if body.entry() == Some(block) {
            return changed;
        }
        if body.block_params(block).iter().all(|&param| self.params[param]) {
            return changed;
        }
        let keep: SmallVec<[bool; 8]> =
            body.block_params(block).iter().map(|&param| self.params[param]).collect();
        retain_params(body, ctx.cfg.predecessors(block), block, &keep);
        true
    }
}

/// Keeps some parameters of a block, and the arguments for them.
pub(super) fn retain_params(
    body: &mut Body,
    edges: &[(Block, marquetry_ir::entity::BlockCall)],
    block: Block,
    keep: &[bool],
) {
    let kept = |n: usize| keep.get(n).copied().unwrap_or(true);
    body.retain_block_params(block, kept);
    for &(_, edge) in edges {
        let args = body.target_args(edge).iter().enumerate();
        let args: SmallVec<[Value; 8]> = args.filter(|(n, _)| kept(*n)).map(|(_, &arg)| arg).collect();
        body.set_block_call(edge, block, &args);
    }
}

/// The slot that a plain store, fill or copy writes to, if no other code knows the slot.
fn written_slot(body: &Body, ctx: &PassContext, inst: Inst) -> Option<Value> {
    let op = body.inst(inst).op;
    if !matches!(op, Op::Store | Op::MemSet | Op::MemCopy) || is_volatile(body, inst) {
        return None;
    }
    let root = ctx.addresses.get(*body.args(inst).first()?).root;
    ctx.addresses.is_private_slot(body, root).then_some(root)
}
