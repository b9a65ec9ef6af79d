//! Where the code of a body stands: blocks, their parameters, and program order.

use super::{BlockData, Body, InstNode, ValueData, ValueDef};
use crate::entity::{Block, BlockCall, Inst, Value};
use crate::types::Type;
use cranelift_entity::{EntityList, EntityRef};
use smallvec::SmallVec;

impl Body {
    /// Makes a block that is not in the order yet.
    #[inline]
    pub fn make_block(&mut self) -> Block {
        self.blocks.push(BlockData::default())
    }

    /// Adds a parameter to a block.
    #[inline]
    pub fn append_block_param(&mut self, block: Block, ty: Type) -> Value {
        let number = self.blocks[block].params.len(&self.value_pool) as u32;
        let value = self.push_value(ty, ValueDef::Param(block, number));
        self.blocks[block].params.push(value, &mut self.value_pool);
        value
    }

    /// Makes a value the n-th parameter of a block, whatever it was.
    pub(super) fn set_param(&mut self, value: Value, block: Block, number: u32) {
        let ty = self.values[value].ty;
        self.values[value] = ValueData::new(ty, ValueDef::Param(block, number));
    }

    /// Parameters of a block.
    #[inline]
    pub fn block_params(&self, block: Block) -> &[Value] {
        self.blocks[block].params.as_slice(&self.value_pool)
    }

    /// Keeps only the parameters whose number `keep` accepts. Edges are the caller's to mend.
    #[inline]
    pub fn retain_block_params(&mut self, block: Block, mut keep: impl FnMut(usize) -> bool) {
        let old = self.block_params(block).iter().enumerate();
        let kept: SmallVec<[Value; 8]> = old.filter(|(n, _)| keep(*n)).map(|(_, &v)| v).collect();
        for (n, &value) in kept.iter().enumerate() {
            self.set_param(value, block, n as u32);
        }
        self.blocks[block].params = EntityList::from_slice(&kept, &mut self.value_pool);
    }

    /// Puts parameters of a block in this order, and drops those that are not listed. Edges are the caller's to
    /// mend.
    #[inline]
    pub fn order_block_params(&mut self, block: Block, params: &[Value]) {
        for (n, &value) in params.iter().enumerate() {
            self.set_param(value, block, n as u32);
        }
        self.blocks[block].params = EntityList::from_slice(params, &mut self.value_pool);
    }

    /// Puts a block at the end of the order.
    pub fn append_block(&mut self, block: Block) {
        let last = self.last_block.expand();
        let data = &mut self.blocks[block];
        debug_assert!(!data.inserted, "{block} should be placed once");
        let placed = std::mem::replace(&mut data.inserted, true);
        data.prev = last.into();
        data.next = None.into();
        match last {
            Some(last) => self.blocks[last].next = block.into(),
            None => self.first_block = block.into(),
        }
        self.last_block = block.into();
        self.placed_blocks += u32::from(!placed);
    }

    /// Puts a block after another one.
    pub fn insert_block_after(&mut self, block: Block, after: Block) {
        let next = self.blocks[after].next;
        let data = &mut self.blocks[block];
        debug_assert!(!data.inserted, "{block} should be placed once");
        let placed = std::mem::replace(&mut data.inserted, true);
        data.prev = after.into();
        data.next = next;
        self.blocks[after].next = block.into();
        match next.expand() {
            Some(next) => self.blocks[next].prev = block.into(),
            None => self.last_block = block.into(),
        }
        self.placed_blocks += u32::from(!placed);
    }

    /// Takes a block out of the order, with all its instructions.
    pub fn remove_block(&mut self, block: Block) {
        let data = &mut self.blocks[block];
        if !std::mem::take(&mut data.inserted) {
            return;
        }
        self.placed_blocks -= 1;
        let (prev, next) = (data.prev.take(), data.next.take());
        match prev {
            Some(prev) => self.blocks[prev].next = next.into(),
            None => self.first_block = next.into(),
        }
        match next {
            Some(next) => self.blocks[next].prev = prev.into(),
            None => self.last_block = prev.into(),
        }
    }

    /// Whether a block is in the order.
    #[inline]
    pub fn is_block_placed(&self, block: Block) -> bool {
        self.blocks[block].inserted
    }

    /// How many blocks are in the order.
    #[inline]
    pub fn placed_block_count(&self) -> usize {
        self.placed_blocks as usize
    }

    /// The first block: where the function starts.
    #[inline]
    pub fn entry(&self) -> Option<Block> {
        self.first_block.expand()
    }

    /// The block after another one.
    #[inline]
    pub fn next_block(&self, block: Block) -> Option<Block> {
        self.blocks[block].next.expand()
    }

    /// Blocks in order.
    #[inline]
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        std::iter::successors(self.first_block.expand(), |&block| self.blocks[block].next.expand())
    }

    /// Instructions of a block in order.
    #[inline]
    pub fn block_insts(&self, block: Block) -> impl Iterator<Item = Inst> + '_ {
        std::iter::successors(self.blocks[block].first.expand(), |&inst| self.node(inst).next.expand())
    }

    /// The first instruction of a block.
    #[inline]
    pub fn first_inst(&self, block: Block) -> Option<Inst> {
        self.blocks[block].first.expand()
    }

    /// The last instruction of a block: its terminator, once the block is complete.
    #[inline]
    pub fn last_inst(&self, block: Block) -> Option<Inst> {
        self.blocks[block].last.expand()
    }

    /// The terminator of a block, if it has one.
    #[inline]
    pub fn terminator(&self, block: Block) -> Option<Inst> {
        self.last_inst(block).filter(|&inst| self.insts[inst].op.is_terminator())
    }

    /// The edges that leave a block.
    #[inline]
    pub fn successors(&self, block: Block) -> &[BlockCall] {
        self.terminator(block).map_or(&[], |inst| self.targets(inst))
    }

    #[inline]
    fn node(&self, inst: Inst) -> InstNode {
        self.order.get(inst).copied().unwrap_or_default()
    }

    /// The place of an instruction, which hosts may have placed before they made it.
    #[inline]
    fn node_mut(&mut self, inst: Inst) -> &mut InstNode {
        while self.order.len() <= inst.index() {
            self.order.push(InstNode::default());
        }
        &mut self.order[inst]
    }

    /// The instruction after another one in its block.
    #[inline]
    pub fn next_inst(&self, inst: Inst) -> Option<Inst> {
        self.node(inst).next.expand()
    }

    /// The instruction before another one in its block.
    #[inline]
    pub fn prev_inst(&self, inst: Inst) -> Option<Inst> {
        self.node(inst).prev.expand()
    }

    /// The block that holds an instruction.
    #[inline]
    pub fn inst_block(&self, inst: Inst) -> Option<Block> {
        self.node(inst).block.expand()
    }

    /// The block in which a value is computed; none for constants, and for results of instructions in no block.
    #[inline]
    pub fn value_block(&self, value: Value) -> Option<Block> {
        match self.value_def(value) {
            ValueDef::Param(block, _) => Some(block),
            ValueDef::Result(inst, _) => self.inst_block(inst),
            ValueDef::Const(_) => None,
        }
    }

    /// Puts an instruction at the end of a block.
    #[inline]
    pub fn append_inst(&mut self, inst: Inst, block: Block) {
        self.know_op(inst);
        let last = self.blocks[block].last;
        *self.node_mut(inst) = InstNode { block: block.into(), prev: last, next: None.into() };
        match last.expand() {
            Some(last) => self.node_mut(last).next = inst.into(),
            None => self.blocks[block].first = inst.into(),
        }
        self.blocks[block].last = inst.into();
    }

    /// Puts an instruction before another one.
    #[inline]
    pub fn insert_inst_before(&mut self, inst: Inst, before: Inst) {
        self.know_op(inst);
        let InstNode { block, prev, .. } = self.node(before);
        *self.node_mut(inst) = InstNode { block, prev, next: before.into() };
        self.node_mut(before).prev = inst.into();
        match (prev.expand(), block.expand()) {
            (Some(prev), _) => self.node_mut(prev).next = inst.into(),
            (None, Some(block)) => self.blocks[block].first = inst.into(),
            (None, None) => {}
        }
    }

    /// An op counts where its instruction stands.
    #[inline]
    fn know_op(&mut self, inst: Inst) {
        if let Some(data) = self.insts.get(inst) {
            self.ops.insert(data.op);
        }
    }

    /// Takes an instruction out of its block.
    pub fn remove_inst(&mut self, inst: Inst) {
        let InstNode { block, prev, next } = std::mem::take(self.node_mut(inst));
        let Some(block) = block.expand() else { return };
        match prev.expand() {
            Some(prev) => self.node_mut(prev).next = next,
            None => self.blocks[block].first = next,
        }
        match next.expand() {
            Some(next) => self.node_mut(next).prev = prev,
            None => self.blocks[block].last = prev,
        }
    }

    /// Moves `from` and everything after it, terminator included, to the end of the block `to`.
    /// Costs the number of instructions moved.
    #[inline]
    pub fn move_tail(&mut self, from: Inst, to: Block) {
        let mut next = Some(from);
        while let Some(inst) = next {
            next = self.next_inst(inst);
            self.remove_inst(inst);
            self.append_inst(inst, to);
        }
    }
}
