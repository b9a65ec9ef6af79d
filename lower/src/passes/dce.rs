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
    if body.placed_block_count() == ctx.cfg.reverse_post_order().len() {
        return false;
    }
    let dead: SmallVec<[Block; 16]> = body.blocks().filter(|&block| !ctx.cfg.is_reachable(block)).collect();
    dead.iter().for_each(|&block| body.remove_block(block));
    !dead.is_empty()
}

/// Removes what is dead. Says whether anything was.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let mut changed = remove_unreachable(body, ctx);
    let has_slots = body.may_have(Op::Slot);
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

/// How far the walk over the blocks is.
struct Walk<'a> {
    body: &'a Body,
    ctx: &'a PassContext,
    /// The position of the first block that was left.
    left: usize,
}

impl Walk<'_> {
    fn was_left(&self, block: Option<Block>) -> bool {
        block.and_then(|block| self.ctx.cfg.position(block)).is_some_and(|at| at >= self.left)
    }
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

    /// Blocks are looked at from the last to the first, and so are their instructions: nearly all that matters is known
    /// to matter when it is met. What turns up late, in blocks that were left, goes through a stack.
    fn find(&mut self, body: &Body, ctx: &PassContext, has_slots: bool) {
        self.insts.resize(body.inst_count());
        self.params.resize(body.value_count());
        if has_slots {
            for inst in ctx.cfg.reverse_post_order().iter().flat_map(|&block| body.block_insts(block)) {
                if let Some(slot) = written_slot(body, ctx, inst) {
                    self.next_store[inst] = self.first_store[slot];
                    self.first_store[slot] = inst.into();
                }
            }
        }
        let mut walk = Walk { body, ctx, left: ctx.cfg.reverse_post_order().len() };
        for (n, &block) in ctx.cfg.reverse_post_order().iter().enumerate().rev() {
            let mut next = body.last_inst(block);
            while let Some(inst) = next {
                next = body.prev_inst(inst);
                if !self.insts[inst] {
                    // A store to a slot waits for what reads the slot.
                    let waits = has_slots && written_slot(body, ctx, inst).is_some();
                    self.insts[inst] = !waits && !is_removable(body, inst);
                }
                if self.insts[inst] {
                    self.mark(&walk, inst);
                }
            }
            walk.left = n;
            for (number, &param) in body.block_params(block).iter().enumerate() {
                if self.params[param] {
                    self.mark_arguments(&walk, block, number);
                }
            }
            while let Some(value) = self.stack.pop() {
                match body.value_def(value) {
                    ValueDef::Result(inst, _) => self.mark(&walk, inst),
                    ValueDef::Param(block, number) => self.mark_arguments(&walk, block, number as usize),
                    ValueDef::Const(_) => {}
                }
            }
        }
    }

    /// Marks what an instruction that matters uses.
    fn mark(&mut self, walk: &Walk<'_>, inst: Inst) {
        let body = walk.body;
        body.args(inst).iter().for_each(|&arg| self.need(walk, arg));
        // Edge arguments matter when the parameters do.
        for &edge in body.targets(inst) {
            let params = body.block_params(body.target_block(edge));
            for (&param, &arg) in params.iter().zip(body.target_args(edge)) {
                if self.params[param] {
                    self.need(walk, arg);
                }
            }
        }
        if body.inst(inst).op == Op::Slot
            && let Some(slot) = body.first_result(inst)
        {
            // Stores stand behind the slot: the walk passed them, and what they use in the slot's own block.
            let at = body.inst_block(inst).and_then(|block| walk.ctx.cfg.position(block));
            let walk = &Walk { left: walk.left.min(at.unwrap_or(0)), ..*walk };
            let mut next = self.first_store[slot].expand();
            while let Some(store) = next {
                next = self.next_store[store].expand();
                self.insts[store] = true;
                body.args(store).iter().for_each(|&arg| self.need(walk, arg));
            }
        }
    }

    /// Marks the arguments for a parameter that matters, of edges from blocks that were left: others will be met.
    fn mark_arguments(&mut self, walk: &Walk<'_>, block: Block, number: usize) {
        for &(from, edge) in walk.ctx.cfg.predecessors(block) {
            if walk.was_left(Some(from))
                && let Some(&arg) = walk.body.target_args(edge).get(number)
            {
                self.need(walk, arg);
            }
        }
    }

    fn need(&mut self, walk: &Walk<'_>, value: Value) {
        let late = match walk.body.value_def(value) {
            ValueDef::Const(_) => return,
            ValueDef::Param(block, _) => {
                !std::mem::replace(&mut self.params[value], true) && walk.was_left(Some(block))
            }
            ValueDef::Result(inst, _) => {
                !std::mem::replace(&mut self.insts[inst], true) && walk.was_left(walk.body.inst_block(inst))
            }
        };
        if late {
            self.stack.push(value);
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
