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
//! - The body knows all ops that placed instructions have, and perhaps some that they had, so that passes which look for
//!   some can tell that there are none ([`Body::may_have`]): nobody but the body changes an op or places an instruction.
//! - Values are never aliases: a pass that replaces a value rewrites the operands ([`Body::rewrite_operands`]).

mod graph;
mod index;
mod order;
mod origin;

pub use origin::{Frame, Frames, InlineMap, InlinedCall, Origin};

use crate::constant::ConstData;
use crate::entity::{Block, BlockCall, Const, Inlined, Inst, SigRef, Switch, SymbolRef, Value};
use crate::inst::{BlockCallData, InstData, ValueList};
use crate::names::Names;
use crate::op::OpSet;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::Type;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{ListPool, PrimaryMap, SecondaryMap};
use index::Index;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ValueDef {
    /// The n-th result of an instruction.
    Result(Inst, u16),
    /// The n-th parameter of a block.
    Param(Block, u32),
    /// A constant.
    Const(Const),
}

/// A value's type and definition, the latter in two words: blocks may have any number of parameters.
#[derive(Copy, Clone, Debug)]
struct ValueData {
    ty: Type,
    /// The instruction, block or constant.
    entity: u32,
    /// Which of them `entity` is, in the upper two bits, and the number of the result or parameter.
    kind_and_number: u32,
}

const _: () = assert!(size_of::<ValueData>() == 12);

const NUMBER_BITS: u32 = 30;
const KIND_RESULT: u32 = 0;
const KIND_PARAM: u32 = 1;
const KIND_CONST: u32 = 2;

const _: () = assert!(crate::limits::MAX_VALUES <= 1 << NUMBER_BITS);

impl ValueData {
    #[inline]
    fn new(ty: Type, def: ValueDef) -> Self {
        let (kind, entity, number) = match def {
            ValueDef::Result(inst, number) => (KIND_RESULT, inst.as_u32(), u32::from(number)),
            ValueDef::Param(block, number) => (KIND_PARAM, block.as_u32(), number),
            ValueDef::Const(id) => (KIND_CONST, id.as_u32(), 0),
        };
        ValueData { ty, entity, kind_and_number: kind << NUMBER_BITS | number }
    }

    #[inline]
    fn def(self) -> ValueDef {
        let number = self.kind_and_number & ((1 << NUMBER_BITS) - 1);
        match self.kind_and_number >> NUMBER_BITS {
            KIND_RESULT => ValueDef::Result(Inst::from_u32(self.entity), number as u16),
            KIND_PARAM => ValueDef::Param(Block::from_u32(self.entity), number),
            _ => ValueDef::Const(Const::from_u32(self.entity)),
        }
    }
}

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
    /// The function whose singleton type the first operand has.
    Operand,
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
    const_values: PrimaryMap<Const, Value>,
    const_index: Index,
    symbols: PrimaryMap<SymbolRef, Symbol>,
    symbol_index: Index,
    signatures: PrimaryMap<SigRef, Signature>,
    switches: PrimaryMap<Switch, Box<[u128]>>,
    /// At least as long as `insts`.
    order: PrimaryMap<Inst, InstNode>,
    /// As long as what has spans.
    spans: PrimaryMap<Inst, Span>,
    /// Reaches up to the last instruction of an inlined call: bodies without any do not pay.
    inlined_from: SecondaryMap<Inst, PackedOption<Inlined>>,
    inlined: PrimaryMap<Inlined, InlinedCall>,
    first_block: PackedOption<Block>,
    last_block: PackedOption<Block>,
    /// How many blocks are in the order.
    placed_blocks: u32,
    /// Operands of instructions that have more than two.
    long_args: Vec<Value>,
    /// Parameters of blocks and arguments of edges.
    value_pool: ListPool<Value>,
    call_pool: ListPool<BlockCall>,
    /// Names of values and blocks, where the author gave any.
    pub names: Names,
    /// The ops that placed instructions have, and perhaps others.
    ops: OpSet,
    /// How many more instructions and values fit before the tables grow.
    inst_room: usize,
    value_room: usize,
}

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
            inlined_from,
            inlined,
            first_block,
            last_block,
            placed_blocks,
            long_args,
            value_pool,
            call_pool,
            names,
            ops,
            inst_room,
            value_room,
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
        inlined_from.clear();
        inlined.clear();
        *first_block = None.into();
        *last_block = None.into();
        *placed_blocks = 0;
        long_args.clear();
        value_pool.clear();
        call_pool.clear();
        names.clear();
        *ops = OpSet::NONE;
        (*inst_room, *value_room) = (0, 0);
    }

    /// Makes room for as many further instructions with one result each.
    pub fn reserve(&mut self, insts: usize) {
        if self.inst_room < insts {
            self.insts.reserve(insts);
            self.order.reserve(insts);
            self.inst_room = insts;
        }
        if self.value_room < insts {
            self.values.reserve(insts);
            self.value_room = insts;
        }
    }

    /// Makes room for as many further blocks with one edge each.
    pub fn reserve_blocks(&mut self, blocks: usize) {
        self.blocks.reserve(blocks);
        self.block_calls.reserve(blocks);
    }

    /// Gives back what the tables hold more than they need. For bodies that are finished: most are small, and there may
    /// be a million of them.
    pub fn shrink(&mut self) {
        let is_large = self.insts.len() >= LARGE;
        let Self { insts, values, blocks, block_calls, consts, const_values, symbols, order, spans, .. } =
            self;
        insts.shrink_to_fit();
        values.shrink_to_fit();
        blocks.shrink_to_fit();
        block_calls.shrink_to_fit();
        consts.shrink_to_fit();
        const_values.shrink_to_fit();
        symbols.shrink_to_fit();
        order.shrink_to_fit();
        spans.shrink_to_fit();
        self.long_args.shrink_to_fit();
        self.names.shrink();
        if is_large {
            // The pools cannot shrink; copies are as long as what they hold.
            self.value_pool = self.value_pool.clone();
            self.call_pool = self.call_pool.clone();
        }
        (self.inst_room, self.value_room) = (0, 0);
    }

    #[cold]
    fn grow_insts(&mut self) {
        let more = growth(self.insts.len());
        self.insts.reserve_exact(more);
        self.order.reserve_exact(more);
        if !self.spans.is_empty() {
            self.spans.reserve_exact(more + self.insts.len() - self.spans.len());
        }
        self.inst_room = more;
    }

    #[inline]
    fn push_value(&mut self, ty: Type, def: ValueDef) -> Value {
        if self.value_room == 0 {
            let more = growth(self.values.len());
            self.values.reserve_exact(more);
            self.value_room = more;
        }
        self.value_room -= 1;
        self.values.push(ValueData::new(ty, def))
    }
}

/// Bodies with as many instructions are large: their tables have little to spare.
const LARGE: usize = 1 << 10;

/// By how much a table grows: small ones double; large ones get an eighth, which costs each entry eight copies on average.
fn growth(len: usize) -> usize {
    if len < LARGE { len.max(16) } else { len / 8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_may_have_any_number_of_parameters() {
        let mut body = Body::new();
        let block = body.make_block();
        let params: Vec<Value> = (0..70_000).map(|_| body.append_block_param(block, Type::I32)).collect();
        assert_eq!(body.value_def(params[69_999]), ValueDef::Param(block, 69_999));
        body.retain_block_params(block, |n| n > 0);
        assert_eq!(body.value_def(params[69_999]), ValueDef::Param(block, 69_998));
    }

    #[test]
    fn ops_are_known_however_they_came() {
        use crate::op::{Op, OpSet};
        let mut body = Body::new();
        let block = body.make_block();
        body.append_block(block);
        let inst = body.make_inst(Op::Slot, Type::I8, &[], 0);
        body.append_inst(inst, block);
        body.replace_inst(inst, Op::Barrier, Type::ERROR, &[], 0);
        body.set_op(inst, Op::SubgroupBarrier);
        assert!([Op::Slot, Op::Barrier, Op::SubgroupBarrier].iter().all(|&op| body.may_have(op)));
        assert!(!body.may_have(Op::Call) && !body.may_have_any(&OpSet::of(&[Op::Call, Op::Throw])));
        body.set_op(inst, Op::Return);
        assert!(body.knows_its_ops() && body.may_have(Op::Slot));
        body.recount_ops();
        assert!(body.knows_its_ops() && body.may_have(Op::Return) && !body.may_have(Op::Slot));
        body.clear();
        assert!(!body.may_have(Op::Return));
    }

    #[test]
    fn values_remember_what_defines_them() {
        let mut body = Body::new();
        let block = body.make_block();
        let param = body.append_block_param(block, Type::I8);
        let inst = body.make_inst(crate::op::Op::AddOverflowS, Type::ERROR, &[param, param], 0);
        body.make_results(inst, &[Type::I8, Type::I1]);
        let second = body.results(inst).nth(1).unwrap();
        assert_eq!(body.value_def(second), ValueDef::Result(inst, 1));
        assert_eq!(body.value_type(second), Type::I1);
        body.set_value_type(second, Type::I8);
        assert_eq!((body.value_def(second), body.value_type(second)), (ValueDef::Result(inst, 1), Type::I8));
        let constant = body.make_scalar(Type::I8, 7);
        assert!(matches!(body.value_def(constant), ValueDef::Const(_)));
    }
}
