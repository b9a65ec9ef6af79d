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

mod graph;
mod location;
mod order;

pub use location::{Frame, Frames, InlineMap, InlinedCall, Location};

use crate::constant::ConstData;
use crate::entity::{Block, BlockCall, Const, Inlined, Inst, SigRef, Switch, SymbolRef, Value};
use crate::inst::{BlockCallData, InstData, ValueList};
use crate::names::Names;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::Type;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{ListPool, PrimaryMap, SecondaryMap};
use rustc_hash::FxHashMap;
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
    const_values: SecondaryMap<Const, PackedOption<Value>>,
    const_index: FxHashMap<ConstData, Value>,
    symbols: PrimaryMap<SymbolRef, Symbol>,
    symbol_index: FxHashMap<Symbol, SymbolRef>,
    signatures: PrimaryMap<SigRef, Signature>,
    switches: PrimaryMap<Switch, Box<[u128]>>,
    order: SecondaryMap<Inst, InstNode>,
    spans: SecondaryMap<Inst, Span>,
    /// Reaches up to the last instruction of an inlined call: bodies without any do not pay.
    inlined_from: SecondaryMap<Inst, PackedOption<Inlined>>,
    inlined: PrimaryMap<Inlined, InlinedCall>,
    first_block: PackedOption<Block>,
    last_block: PackedOption<Block>,
    value_pool: ListPool<Value>,
    call_pool: ListPool<BlockCall>,
    /// Names of values and blocks, where the author gave any.
    pub names: Names,
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
        inlined_from.clear();
        inlined.clear();
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
