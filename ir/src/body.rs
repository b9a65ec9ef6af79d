//! A body: the SSA code of one function.
//!
//! What is computed (instructions, values, constants) and where it stands (blocks, program order) are separate:
//! an instruction is *made* in the graph and *appended* or *inserted* in a block. Everything is a dense id into a
//! flat table owned by the body, so a body is cloned, wiped and reused without chasing pointers.
//!
//! # Invariants
//! - The parameters of the entry block (the first in order) are the function's parameters.
//! - Results of one instruction have consecutive ids.
//! - Equal constants have equal ids, and one value each.
//! - Values are never aliases: a pass that replaces a value rewrites the operands ([`Body::rewrite_operands`]).

use crate::constant::{ConstData, ConstValue};
use crate::entity::{Block, BlockCall, Const, Inst, SigRef, Switch, SymbolRef, Value};
use crate::inst::{BlockCallData, BlockCallList, InstData, ValueList};
use crate::names::Names;
use crate::op::Op;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Scalar, Type, TypeKind};
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityList, EntityRef, ListPool, PrimaryMap, SecondaryMap};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ValueDef {
    /// The n-th result of an instruction.
    Result(Inst, u16),
    /// The n-th parameter of a block.
    Param(Block, u16),
    /// A constant.
    Const(Const),
}

#[derive(Copy, Clone, Debug)]
struct ValueData {
    ty: Type,
    def: ValueDef,
}

const _: () = assert!(size_of::<ValueData>() == 12);

#[derive(Clone, Debug, Default)]
struct BlockData {
    params: ValueList,
    first: PackedOption<Inst>,
    last: PackedOption<Inst>,
    prev: PackedOption<Block>,
    next: PackedOption<Block>,
    inserted: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct InstNode {
    block: PackedOption<Block>,
    prev: PackedOption<Inst>,
    next: PackedOption<Inst>,
}

/// What an instruction mentions by name, before and after linking.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Symbol {
    /// A generic function, a global or an extern, to be looked up.
    Name(Arc<str>),
    /// A method of a generic function, to be looked up by its parameter types.
    Overload(Arc<str>, Box<[Type]>),
    /// A function of this unit.
    Func(crate::entity::Func),
    /// A function of this unit that the host supplies.
    Extern(crate::entity::Extern),
    /// A global of this unit.
    Global(crate::entity::Global),
    /// An exception: its kind and, perhaps, a reason.
    Exception(Arc<str>, Option<Arc<str>>),
    /// The message of an assertion.
    Message(Arc<str>),
}

/// The SSA code of one function.
#[derive(Clone, Debug, Default)]
pub struct Body {
    insts: PrimaryMap<Inst, InstData>,
    values: PrimaryMap<Value, ValueData>,
    blocks: PrimaryMap<Block, BlockData>,
    block_calls: PrimaryMap<BlockCall, BlockCallData>,
    consts: PrimaryMap<Const, ConstData>,
    const_values: SecondaryMap<Const, PackedOption<Value>>,
    const_index: FxHashMap<ConstData, Value>,
    symbols: PrimaryMap<SymbolRef, Symbol>,
    symbol_index: FxHashMap<Symbol, SymbolRef>,
    signatures: PrimaryMap<SigRef, Signature>,
    switches: PrimaryMap<Switch, Box<[u128]>>,
    order: SecondaryMap<Inst, InstNode>,
    spans: SecondaryMap<Inst, Span>,
    first_block: PackedOption<Block>,
    last_block: PackedOption<Block>,
    value_pool: ListPool<Value>,
    call_pool: ListPool<BlockCall>,
    /// Names of values and blocks, where the author gave any.
    pub names: Names,
}

/// Making and reading what is computed.
impl Body {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        // Exhaustive, so that a new field cannot be forgotten.
        let Self {
            insts,
            values,
            blocks,
            block_calls,
            consts,
            const_values,
            const_index,
            symbols,
            symbol_index,
            signatures,
            switches,
            order,
            spans,
            first_block,
            last_block,
            value_pool,
            call_pool,
            names,
        } = self;
        insts.clear();
        values.clear();
        blocks.clear();
        block_calls.clear();
        consts.clear();
        const_values.clear();
        const_index.clear();
        symbols.clear();
        symbol_index.clear();
        signatures.clear();
        switches.clear();
        order.clear();
        spans.clear();
        *first_block = None.into();
        *last_block = None.into();
        value_pool.clear();
        call_pool.clear();
        names.clear();
    }

    /// Makes room for as many further instructions with one result each.
    pub fn reserve(&mut self, insts: usize) {
        self.insts.reserve(insts);
        self.values.reserve(insts);
        // These tables cannot reserve, only hold: entries of instructions that are not made yet have the default.
        self.order.resize(self.insts.len() + insts);
        self.spans.resize(self.insts.len() + insts);
    }

    /// Makes an instruction that is in no block yet. Its results are made by [`Body::make_results`].
    pub fn make_inst(&mut self, op: Op, ty: Type, args: &[Value], imm: u32) -> Inst {
        let args = ValueList::from_slice(args, &mut self.value_pool);
        self.insts.push(InstData {
            op,
            result_count: 0,
            guarded: false,
            ty,
            args,
            targets: BlockCallList::new(),
            imm,
            first_result: None.into(),
        })
    }

    /// Gives an instruction results of these types, in place of any it had. Results beyond
    /// [`MAX_RESULTS`](crate::limits::MAX_RESULTS) are not made; callers check the limit first.
    pub fn make_results(&mut self, inst: Inst, types: &[Type]) {
        let mut first = None;
        let count = types.len().min(crate::limits::MAX_RESULTS);
        for (n, &ty) in types.iter().take(count).enumerate() {
            let value = self.values.push(ValueData { ty, def: ValueDef::Result(inst, n as u16) });
            first.get_or_insert(value);
        }
        let data = &mut self.insts[inst];
        data.first_result = first.into();
        data.result_count = count as u8;
    }

    /// Turns the results of an instruction into further parameters of a block, ids and uses unchanged. The
    /// instruction is left without results.
    #[inline]
    pub fn results_to_params(&mut self, inst: Inst, block: Block) {
        for value in self.results(inst) {
            let number = self.blocks[block].params.len(&self.value_pool) as u16;
            self.values[value].def = ValueDef::Param(block, number);
            self.blocks[block].params.push(value, &mut self.value_pool);
        }
        let data = &mut self.insts[inst];
        data.first_result = None.into();
        data.result_count = 0;
    }

    /// Makes an edge to a block.
    #[inline]
    pub fn make_block_call(&mut self, block: Block, args: &[Value]) -> BlockCall {
        let args = ValueList::from_slice(args, &mut self.value_pool);
        self.block_calls.push(BlockCallData { block, args })
    }

    /// Sets the destinations of a terminator.
    #[inline]
    pub fn set_targets(&mut self, inst: Inst, targets: &[BlockCall]) {
        let list = BlockCallList::from_slice(targets, &mut self.call_pool);
        self.insts[inst].targets = list;
    }

    /// The constant of this type and these values; equal ones share one value.
    pub fn make_const(&mut self, data: ConstData) -> Value {
        if let Some(&value) = self.const_index.get(&data) {
            return value;
        }
        let ty = data.ty;
        let id = self.consts.push(data.clone());
        let value = self.values.push(ValueData { ty, def: ValueDef::Const(id) });
        self.const_values[id] = value.into();
        self.const_index.insert(data, value);
        value
    }

    /// A scalar or pointer constant from its bits; bits above the width are dropped. For a vector type, every
    /// lane; for an aggregate, zero.
    pub fn make_scalar(&mut self, ty: Type, bits: u128) -> Value {
        let value = match ty.kind() {
            TypeKind::Scalar(scalar) => ConstValue::Scalar(bits & scalar.mask()),
            TypeKind::Pointer(_) => ConstValue::Scalar(bits & Scalar::I64.mask()),
            TypeKind::Vector(lane, lanes) => {
                ConstValue::Lanes(vec![bits & lane.mask(); lanes as usize].into())
            }
            TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => ConstValue::Zero,
        };
        self.make_const(ConstData { ty, value })
    }

    /// The id for a mentioned name; equal ones share one id.
    #[inline]
    pub fn make_symbol(&mut self, symbol: Symbol) -> SymbolRef {
        if let Some(&id) = self.symbol_index.get(&symbol) {
            return id;
        }
        let id = self.symbols.push(symbol.clone());
        self.symbol_index.insert(symbol, id);
        id
    }

    /// The id for a signature.
    #[inline]
    pub fn make_signature(&mut self, signature: Signature) -> SigRef {
        self.signatures.push(signature)
    }

    /// The id for the case values of a `switch`.
    #[inline]
    pub fn make_switch(&mut self, cases: &[u128]) -> Switch {
        self.switches.push(cases.into())
    }

    /// An instruction.
    #[inline]
    pub fn inst(&self, inst: Inst) -> &InstData {
        &self.insts[inst]
    }

    /// An instruction, to be changed.
    #[inline]
    pub fn inst_mut(&mut self, inst: Inst) -> &mut InstData {
        &mut self.insts[inst]
    }

    /// Operands of an instruction.
    #[inline]
    pub fn args(&self, inst: Inst) -> &[Value] {
        self.insts[inst].args.as_slice(&self.value_pool)
    }

    /// Operands of an instruction, to be changed.
    #[inline]
    pub fn args_mut(&mut self, inst: Inst) -> &mut [Value] {
        self.insts[inst].args.as_mut_slice(&mut self.value_pool)
    }

    /// Replaces op, suffix, operands and immediate of an instruction; its results and place stay.
    #[inline]
    pub fn replace_inst(&mut self, inst: Inst, op: Op, ty: Type, args: &[Value], imm: u32) {
        let list = ValueList::from_slice(args, &mut self.value_pool);
        let data = &mut self.insts[inst];
        data.op = op;
        data.ty = ty;
        data.args = list;
        data.imm = imm;
        data.guarded = false;
        data.targets = BlockCallList::new();
    }

    /// Results of an instruction.
    #[inline]
    pub fn results(&self, inst: Inst) -> impl ExactSizeIterator<Item = Value> + Clone + use<> {
        let data = &self.insts[inst];
        let first = data.first_result.expand().map_or(0, |v| v.index());
        (first..first + data.result_count as usize).map(Value::new)
    }

    /// The only or first result of an instruction.
    #[inline]
    pub fn first_result(&self, inst: Inst) -> Option<Value> {
        self.insts[inst].first_result.expand()
    }

    /// Destinations of a terminator.
    #[inline]
    pub fn targets(&self, inst: Inst) -> &[BlockCall] {
        self.insts[inst].targets.as_slice(&self.call_pool)
    }

    /// An edge.
    #[inline]
    pub fn block_call(&self, call: BlockCall) -> &BlockCallData {
        &self.block_calls[call]
    }

    /// Destination of an edge.
    #[inline]
    pub fn target_block(&self, call: BlockCall) -> Block {
        self.block_calls[call].block
    }

    /// Arguments of an edge.
    #[inline]
    pub fn target_args(&self, call: BlockCall) -> &[Value] {
        self.block_calls[call].args.as_slice(&self.value_pool)
    }

    /// Redirects an edge.
    #[inline]
    pub fn set_block_call(&mut self, call: BlockCall, block: Block, args: &[Value]) {
        let list = ValueList::from_slice(args, &mut self.value_pool);
        self.block_calls[call] = BlockCallData { block, args: list };
    }

    /// Adds an argument at the end of an edge.
    #[inline]
    pub fn push_target_arg(&mut self, call: BlockCall, arg: Value) {
        self.block_calls[call].args.push(arg, &mut self.value_pool);
    }

    /// Calls `f` on every operand and edge argument of an instruction and stores what it returns.
    #[inline]
    pub fn rewrite_operands(&mut self, inst: Inst, mut f: impl FnMut(Value) -> Value) {
        for arg in self.insts[inst].args.as_mut_slice(&mut self.value_pool) {
            *arg = f(*arg);
        }
        for call in self.insts[inst].targets.as_slice(&self.call_pool) {
            for arg in self.block_calls[*call].args.as_mut_slice(&mut self.value_pool) {
                *arg = f(*arg);
            }
        }
    }

    /// Calls `f` on every operand and edge argument of an instruction.
    #[inline]
    pub fn visit_operands(&self, inst: Inst, mut f: impl FnMut(Value)) {
        self.args(inst).iter().for_each(|&v| f(v));
        for &call in self.targets(inst) {
            self.target_args(call).iter().for_each(|&v| f(v));
        }
    }

    /// Type of a value.
    #[inline]
    pub fn value_type(&self, value: Value) -> Type {
        self.values[value].ty
    }

    /// Gives a value another type.
    #[inline]
    pub fn set_value_type(&mut self, value: Value, ty: Type) {
        self.values[value].ty = ty;
    }

    /// Where a value comes from.
    #[inline]
    pub fn value_def(&self, value: Value) -> ValueDef {
        self.values[value].def
    }

    /// The constant that a value is.
    #[inline]
    pub fn value_const(&self, value: Value) -> Option<&ConstData> {
        match self.values[value].def {
            ValueDef::Const(id) => Some(&self.consts[id]),
            ValueDef::Result(..) | ValueDef::Param(..) => None,
        }
    }

    /// The id of the constant that a value is.
    #[inline]
    pub fn value_const_id(&self, value: Value) -> Option<Const> {
        match self.values[value].def {
            ValueDef::Const(id) => Some(id),
            ValueDef::Result(..) | ValueDef::Param(..) => None,
        }
    }

    /// The bits of the scalar or pointer constant that a value is.
    #[inline]
    pub fn value_bits(&self, value: Value) -> Option<u128> {
        self.value_const(value)?.scalar()
    }

    /// The instruction that computes a value.
    #[inline]
    pub fn value_inst(&self, value: Value) -> Option<Inst> {
        match self.values[value].def {
            ValueDef::Result(inst, _) => Some(inst),
            ValueDef::Param(..) | ValueDef::Const(_) => None,
        }
    }

    /// A constant.
    #[inline]
    pub fn constant(&self, id: Const) -> &ConstData {
        &self.consts[id]
    }

    /// The value of a constant.
    #[inline]
    pub fn const_value(&self, id: Const) -> Option<Value> {
        self.const_values.get(id).and_then(|v| v.expand())
    }

    /// A mentioned name.
    #[inline]
    pub fn symbol(&self, id: SymbolRef) -> &Symbol {
        &self.symbols[id]
    }

    /// All mentioned names.
    #[inline]
    pub fn symbols(&self) -> impl Iterator<Item = (SymbolRef, &Symbol)> {
        self.symbols.iter()
    }

    /// A signature of an indirect call.
    #[inline]
    pub fn signature(&self, id: SigRef) -> &Signature {
        &self.signatures[id]
    }

    /// The case values of a `switch`.
    #[inline]
    pub fn switch_cases(&self, id: Switch) -> &[u128] {
        &self.switches[id]
    }

    /// How many values there are, to size tables.
    #[inline]
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// How many instructions were made, placed or not.
    #[inline]
    pub fn inst_count(&self) -> usize {
        self.insts.len()
    }

    /// How many blocks were made, placed or not.
    #[inline]
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// How many constants there are.
    #[inline]
    pub fn const_count(&self) -> usize {
        self.consts.len()
    }

    /// Whether a symbol of this number exists.
    #[inline]
    pub fn symbol_exists(&self, id: u32) -> bool {
        (id as usize) < self.symbols.len()
    }

    /// Whether a signature of this number exists.
    #[inline]
    pub fn signature_exists(&self, id: u32) -> bool {
        (id as usize) < self.signatures.len()
    }

    /// Whether a `switch` table of this number exists.
    #[inline]
    pub fn switch_exists(&self, id: u32) -> bool {
        (id as usize) < self.switches.len()
    }

    /// Whether a constant of this number exists.
    #[inline]
    pub fn const_exists(&self, id: u32) -> bool {
        (id as usize) < self.consts.len()
    }

    /// Whether a value of this id exists.
    #[inline]
    pub fn value_exists(&self, value: Value) -> bool {
        value.index() < self.values.len()
    }

    /// Whether an instruction of this id exists.
    #[inline]
    pub fn inst_exists(&self, inst: Inst) -> bool {
        inst.index() < self.insts.len()
    }

    /// Whether an edge of this id exists.
    #[inline]
    pub fn block_call_exists(&self, call: BlockCall) -> bool {
        call.index() < self.block_calls.len()
    }

    /// Whether a block of this id exists.
    #[inline]
    pub fn block_exists(&self, block: Block) -> bool {
        block.index() < self.blocks.len()
    }

    /// Where the text spelled an instruction.
    #[inline]
    pub fn span(&self, inst: Inst) -> Span {
        self.spans[inst]
    }

    /// Says where the text spelled an instruction.
    #[inline]
    pub fn set_span(&mut self, inst: Inst, span: Span) {
        if span.is_somewhere() {
            self.spans[inst] = span;
        }
    }
}

/// Blocks and program order.
impl Body {
    /// Makes a block that is not in the order yet.
    #[inline]
    pub fn make_block(&mut self) -> Block {
        self.blocks.push(BlockData::default())
    }

    /// Adds a parameter to a block.
    #[inline]
    pub fn append_block_param(&mut self, block: Block, ty: Type) -> Value {
        let number = self.blocks[block].params.len(&self.value_pool) as u16;
        let value = self.values.push(ValueData { ty, def: ValueDef::Param(block, number) });
        self.blocks[block].params.push(value, &mut self.value_pool);
        value
    }

    /// Parameters of a block.
    #[inline]
    pub fn block_params(&self, block: Block) -> &[Value] {
        self.blocks[block].params.as_slice(&self.value_pool)
    }

    /// Keeps only the parameters whose number `keep` accepts. Edges are the caller's to mend.
    #[inline]
    pub fn retain_block_params(&mut self, block: Block, mut keep: impl FnMut(usize) -> bool) {
        let old = self.block_params(block).to_vec();
        let kept: Vec<Value> = old.iter().enumerate().filter(|(n, _)| keep(*n)).map(|(_, &v)| v).collect();
        for (n, &value) in kept.iter().enumerate() {
            self.values[value].def = ValueDef::Param(block, n as u16);
        }
        self.blocks[block].params = EntityList::from_slice(&kept, &mut self.value_pool);
    }

    /// Puts parameters of a block in this order, and drops those that are not listed. Edges are the caller's to
    /// mend.
    #[inline]
    pub fn order_block_params(&mut self, block: Block, params: &[Value]) {
        for (n, &value) in params.iter().enumerate() {
            self.values[value].def = ValueDef::Param(block, n as u16);
        }
        self.blocks[block].params = EntityList::from_slice(params, &mut self.value_pool);
    }

    /// Puts a block at the end of the order.
    pub fn append_block(&mut self, block: Block) {
        let last = self.last_block.expand();
        let data = &mut self.blocks[block];
        debug_assert!(!data.inserted, "{block} should be placed once");
        data.inserted = true;
        data.prev = last.into();
        data.next = None.into();
        match last {
            Some(last) => self.blocks[last].next = block.into(),
            None => self.first_block = block.into(),
        }
        self.last_block = block.into();
    }

    /// Puts a block after another one.
    pub fn insert_block_after(&mut self, block: Block, after: Block) {
        let next = self.blocks[after].next;
        let data = &mut self.blocks[block];
        debug_assert!(!data.inserted, "{block} should be placed once");
        data.inserted = true;
        data.prev = after.into();
        data.next = next;
        self.blocks[after].next = block.into();
        match next.expand() {
            Some(next) => self.blocks[next].prev = block.into(),
            None => self.last_block = block.into(),
        }
    }

    /// Takes a block out of the order, with all its instructions.
    pub fn remove_block(&mut self, block: Block) {
        let data = &mut self.blocks[block];
        if !std::mem::take(&mut data.inserted) {
            return;
        }
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
        std::iter::successors(self.blocks[block].first.expand(), |&inst| self.order[inst].next.expand())
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

    /// The instruction after another one in its block.
    #[inline]
    pub fn next_inst(&self, inst: Inst) -> Option<Inst> {
        self.order[inst].next.expand()
    }

    /// The instruction before another one in its block.
    #[inline]
    pub fn prev_inst(&self, inst: Inst) -> Option<Inst> {
        self.order[inst].prev.expand()
    }

    /// The block that holds an instruction.
    #[inline]
    pub fn inst_block(&self, inst: Inst) -> Option<Block> {
        self.order[inst].block.expand()
    }

    /// Puts an instruction at the end of a block.
    #[inline]
    pub fn append_inst(&mut self, inst: Inst, block: Block) {
        let last = self.blocks[block].last;
        self.order[inst] = InstNode { block: block.into(), prev: last, next: None.into() };
        match last.expand() {
            Some(last) => self.order[last].next = inst.into(),
            None => self.blocks[block].first = inst.into(),
        }
        self.blocks[block].last = inst.into();
    }

    /// Puts an instruction before another one.
    #[inline]
    pub fn insert_inst_before(&mut self, inst: Inst, before: Inst) {
        let InstNode { block, prev, .. } = self.order[before];
        self.order[inst] = InstNode { block, prev, next: before.into() };
        self.order[before].prev = inst.into();
        match (prev.expand(), block.expand()) {
            (Some(prev), _) => self.order[prev].next = inst.into(),
            (None, Some(block)) => self.blocks[block].first = inst.into(),
            (None, None) => {}
        }
    }

    /// Takes an instruction out of its block.
    pub fn remove_inst(&mut self, inst: Inst) {
        let InstNode { block, prev, next } = std::mem::take(&mut self.order[inst]);
        let Some(block) = block.expand() else { return };
        match prev.expand() {
            Some(prev) => self.order[prev].next = next,
            None => self.blocks[block].first = next,
        }
        match next.expand() {
            Some(next) => self.order[next].prev = prev,
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
