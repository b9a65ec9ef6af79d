//! What a body computes: making, reading and changing instructions, values, constants and edges.

use super::{Body, InstNode, Symbol, ValueDef};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{Block, BlockCall, Const, Inst, SigRef, Switch, SymbolRef, Value};
use crate::inst::{BlockCallData, BlockCallList, InstData, ValueList};
use crate::op::{Op, OpSet};
use crate::signature::Signature;
use crate::types::{Scalar, Type, TypeKind};
use cranelift_entity::EntityRef;
use std::ops::Range;

impl Body {
    /// Makes an instruction that is in no block yet. Its results are made by [`Body::make_results`].
    pub fn make_inst(&mut self, op: Op, ty: Type, args: &[Value], imm: u32) -> Inst {
        if self.inst_room == 0 {
            self.grow_insts();
        }
        self.inst_room -= 1;
        self.ops.insert(op);
        let (arg_count, args) = self.keep_args(args, 0..0);
        if self.order.len() == self.insts.len() {
            self.order.push(InstNode::default());
        }
        self.insts.push(InstData {
            op,
            result_count: 0,
            guarded: false,
            arg_count,
            ty,
            args,
            targets: BlockCallList::new(),
            imm,
            first_result: None.into(),
        })
    }

    /// Operands as an instruction holds them; long lists in `old`, if they fit, or behind all others.
    #[inline]
    fn keep_args(&mut self, args: &[Value], old: Range<usize>) -> (u8, [Value; 2]) {
        let none = Value::from_u32(0);
        match *args {
            [] => (0, [none, none]),
            [a] => (1, [a, none]),
            [a, b] => (2, [a, b]),
            _ => {
                let mut start = old.start;
                match self.long_args.get_mut(old).and_then(|room| room.get_mut(..args.len())) {
                    Some(room) => room.copy_from_slice(args),
                    None => {
                        start = self.long_args.len();
                        self.long_args.extend_from_slice(args);
                    }
                }
                let word = |number: usize| Value::from_u32(number as u32);
                (InstData::LONG, [word(start), word(args.len())])
            }
        }
    }

    /// Gives an instruction results of these types, in place of any it had. Results beyond
    /// [`MAX_RESULTS`](crate::limits::MAX_RESULTS) are not made; callers check the limit first.
    pub fn make_results(&mut self, inst: Inst, types: &[Type]) {
        let mut first = None;
        let count = types.len().min(crate::limits::MAX_RESULTS);
        for (n, &ty) in types.iter().take(count).enumerate() {
            let value = self.push_value(ty, ValueDef::Result(inst, n as u16));
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
            let number = self.blocks[block].params.len(&self.value_pool) as u32;
            self.set_param(value, block, number);
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
        let consts = &self.consts;
        let known = self.const_index.find(consts.len(), &data, |id| &consts[Const::from_u32(id)]);
        if let Some(value) = known.and_then(|id| self.const_value(Const::from_u32(id))) {
            return value;
        }
        let ty = data.ty;
        let id = self.consts.push(data);
        let value = self.push_value(ty, ValueDef::Const(id));
        self.const_values.push(value);
        let consts = &self.consts;
        self.const_index.grow(consts.len(), |id| &consts[Const::from_u32(id)]);
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
        let symbols = &self.symbols;
        let known = self.symbol_index.find(symbols.len(), &symbol, |id| &symbols[SymbolRef::from_u32(id)]);
        if let Some(id) = known {
            return SymbolRef::from_u32(id);
        }
        let id = self.symbols.push(symbol);
        let symbols = &self.symbols;
        self.symbol_index.grow(symbols.len(), |id| &symbols[SymbolRef::from_u32(id)]);
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

    /// Operands of an instruction.
    #[inline]
    pub fn args(&self, inst: Inst) -> &[Value] {
        let data = &self.insts[inst];
        match data.arg_count {
            0 => &[],
            1 => &data.args[..1],
            2 => &data.args,
            _ => self.long_args.get(data.long_args()).unwrap_or(&[]),
        }
    }

    /// Operands of an instruction, to be changed.
    #[inline]
    pub fn args_mut(&mut self, inst: Inst) -> &mut [Value] {
        let data = &mut self.insts[inst];
        match data.arg_count {
            count @ 0..=2 => &mut data.args[..usize::from(count)],
            _ => self.long_args.get_mut(data.long_args()).unwrap_or(&mut []),
        }
    }

    /// Replaces op, suffix, operands and immediate of an instruction; its results and place stay.
    #[inline]
    pub fn replace_inst(&mut self, inst: Inst, op: Op, ty: Type, args: &[Value], imm: u32) {
        let data = &self.insts[inst];
        let old = if data.arg_count == InstData::LONG { data.long_args() } else { 0..0 };
        let (arg_count, args) = self.keep_args(args, old);
        self.ops.insert(op);
        let data = &mut self.insts[inst];
        data.op = op;
        data.ty = ty;
        data.arg_count = arg_count;
        data.args = args;
        data.imm = imm;
        data.guarded = false;
        data.targets = BlockCallList::new();
    }

    /// Gives an instruction another immediate.
    #[inline]
    pub fn set_imm(&mut self, inst: Inst, imm: u32) {
        self.insts[inst].imm = imm;
    }

    /// Gives an instruction another type suffix.
    #[inline]
    pub fn set_ty(&mut self, inst: Inst, ty: Type) {
        self.insts[inst].ty = ty;
    }

    /// Says whether an earlier guard excludes what an instruction would throw for.
    #[inline]
    pub fn set_guarded(&mut self, inst: Inst, guarded: bool) {
        self.insts[inst].guarded = guarded;
    }

    /// Gives an instruction another op that takes the same operands.
    pub fn set_op(&mut self, inst: Inst, op: Op) {
        self.ops.insert(op);
        self.insts[inst].op = op;
    }

    /// Whether some instruction may have this op; false says that none has.
    #[inline]
    pub fn may_have(&self, op: Op) -> bool {
        self.ops.has(op)
    }

    /// Whether some instruction may have one of these ops; false says that none has.
    #[inline]
    pub fn may_have_any(&self, ops: &OpSet) -> bool {
        self.ops.meets(ops)
    }

    /// Finds out anew which ops the placed instructions have: what is gone is forgotten.
    pub fn recount_ops(&mut self) {
        self.ops = self.placed_ops();
    }

    /// Whether all placed instructions have ops that the body knows of.
    pub fn knows_its_ops(&self) -> bool {
        self.ops.with(&self.placed_ops()) == self.ops
    }

    fn placed_ops(&self) -> OpSet {
        let mut ops = OpSet::NONE;
        for inst in self.blocks().flat_map(|block| self.block_insts(block)) {
            ops.insert(self.insts[inst].op);
        }
        ops
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
        for arg in self.args_mut(inst) {
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
        self.values[value].def()
    }

    /// The constant that a value is.
    #[inline]
    pub fn value_const(&self, value: Value) -> Option<&ConstData> {
        match self.values[value].def() {
            ValueDef::Const(id) => Some(&self.consts[id]),
            ValueDef::Result(..) | ValueDef::Param(..) => None,
        }
    }

    /// The id of the constant that a value is.
    #[inline]
    pub fn value_const_id(&self, value: Value) -> Option<Const> {
        match self.values[value].def() {
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
        match self.values[value].def() {
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
        self.const_values.get(id).copied()
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
}
