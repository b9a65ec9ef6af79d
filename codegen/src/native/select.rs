//! One function of the unit to one function of CLIF.
//!
//! Blocks are visited in reverse post-order, so that every operand is translated before its uses; blocks that nothing
//! reaches are left out. Constants are spelled where they are used: the optimiser merges them, and without it they are
//! cheapest near their use.

use super::abi::Convention;
use super::effort::{Effort, effort};
use super::emit::Declared;
use super::homes::{self, Homes};
use super::stack::offset;
use super::tables::{Callee, Tables};
use super::types::{clif_type, constant, held, vector_constant};
use crate::error::EmitError;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, TrapCode, types};
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Func, Global, Inst, Value};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::semantics::const_lanes;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use marquetry_lower::job::DebugLevel;

/// Behind a call that does not return.
const NEVER_RETURNS: TrapCode = TrapCode::unwrap_user(1);

/// The translation of one function.
pub(super) struct Selector<'a> {
    pub(super) unit: &'a Unit,
    pub(super) func: Func,
    pub(super) body: &'a Body,
    pub(super) declared: &'a Declared,
    pub(super) convention: Convention,
    pub(super) cursor: FuncCursor<'a>,
    pub(super) tables: &'a mut Tables,
    /// The work-item, for functions that ask for it.
    pub(super) context: Option<ir::Value>,
    /// What leads to the limit of the stack, for functions that reach recursion.
    pub(super) stack: Option<ir::Value>,
    pub(super) frame_bytes: u64,
    /// Where values are that live across blocks, if not in registers.
    pub(super) homes: Option<Homes>,
}

/// Translates a function's body into `out`, whose signature is set. Says how much work compiling it is worth.
pub(super) fn translate(
    unit: &Unit,
    func: Func,
    declared: &Declared,
    tables: &mut Tables,
    out: &mut ir::Function,
) -> Result<Effort, EmitError> {
    let function = unit.funcs.get(func).ok_or_else(|| internal("a function is missing"))?;
    let body = &function.body;
    tables.start_function();
    tables.values.resize(body.value_count());
    tables.blocks.resize(body.block_count());
    tables.flow.compute(body);
    let entry = body.entry().ok_or_else(|| internal("a function has no body"))?;
    let mut effort = effort(body, &tables.flow);
    let mut homes = None;
    if homes::are_needed(effort) {
        homes = Homes::build(body, &tables.flow, out);
        if homes.is_none() {
            effort = Effort::Quick;
        }
    }
    let facts = declared.reach.facts(func);
    if declared.reach.facts(func).waits {
        tables.sites.clear();
        let insts = body.blocks().flat_map(|block| body.block_insts(block));
        let meets = insts.filter(|&inst| body.inst(inst).op.effects().has(Effects::CONVERGENT));
        meets.zip(0..).for_each(|(inst, site)| tables.sites[inst] = site);
    }
    let params: Vec<ir::Type> = out.signature.params.iter().map(|param| param.value_type).collect();

    // Nothing may jump to the entry block of CLIF; a loop around ours gets a block of its own. So does what follows a
    // check.
    let check = declared.check_number(func);
    let separate = !tables.flow.predecessors(entry).is_empty() || check.is_some();
    let first = out.dfg.make_block();
    out.layout.append_block(first);
    for &ty in &params {
        out.dfg.append_block_param(first, ty);
    }
    for &block in tables.flow.reverse_post_order() {
        let clif = if block == entry && !separate {
            first
        } else {
            let clif = out.dfg.make_block();
            out.layout.append_block(clif);
            let params = if homes.is_none() { body.block_params(block) } else { &[] };
            for &param in params {
                out.dfg.append_block_param(clif, held(body.value_type(param))?);
            }
            clif
        };
        tables.blocks[block] = clif.into();
        for (&param, &value) in body.block_params(block).iter().zip(out.dfg.block_params(clif)) {
            tables.values[param] = value.into();
        }
    }
    let mut cursor = FuncCursor::new(&mut *out);
    cursor.goto_bottom(first);
    let passed = cursor.func.dfg.block_params(first).to_vec();
    let wanted = function.signature.params.iter().map(|&ty| clif_type(ty).unwrap_or(types::INVALID));
    let wanted = wanted.chain(std::iter::repeat_n(types::I64, facts.hidden()));
    let params = declared.convention.receive(&mut cursor, wanted, passed);
    if !separate {
        for (&param, &value) in body.block_params(entry).iter().zip(&params) {
            tables.values[param] = value.into();
        }
    }
    let mut hidden = params.iter().rev().copied();
    let context = if facts.context { hidden.next() } else { None };
    let stack = if facts.stack { hidden.next() } else { None };
    let order = tables.flow.reverse_post_order().to_vec();
    let level = tables.notes.level;
    let noted = level > DebugLevel::None;
    let mut selector = Selector {
        unit,
        func,
        body,
        declared,
        convention: declared.convention,
        cursor: FuncCursor::new(&mut *out),
        tables: &mut *tables,
        context,
        stack,
        frame_bytes: 0,
        homes,
    };
    if separate {
        selector.enter(first, &params, entry, check)?;
    }
    for block in order {
        let Some(clif) = selector.tables.blocks[block].expand() else { continue };
        selector.leave_homes();
        selector.cursor.goto_bottom(clif);
        if clif == first {
            selector.store_params(block);
        }
        for inst in body.block_insts(block) {
            if noted {
                let number = selector.tables.notes.number(body, inst);
                selector.cursor.set_srcloc(number);
            }
            selector.inst(inst)?;
        }
        selector.finish_detours()?;
    }
    if level == DebugLevel::Full {
        track_values(body, tables, out);
    }
    Ok(effort)
}

/// Has Cranelift keep track of where values with names are. Results that nobody uses may have no place (of an atomic
/// operation, say), and its single-pass allocator has to be told of none of these.
fn track_values(body: &Body, tables: &mut Tables, out: &mut ir::Function) {
    let mut used = SecondaryMap::<Value, bool>::with_capacity(body.value_count());
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        body.visit_operands(inst, |value| used[value] = true);
    }
    for &block in tables.flow.reverse_post_order() {
        let results = body.block_insts(block).flat_map(|inst| body.results(inst));
        let results = results.filter(|&value| used[value]);
        for value in body.block_params(block).iter().copied().chain(results) {
            if let Some(clif) = tables.values[value].expand() {
                tables.notes.track(body, value, clif, out);
            }
        }
    }
}

/// Ends a block: goes on where the stack is not used up, and gives up elsewhere.
fn check_stack(
    cursor: &mut FuncCursor<'_>,
    convention: Convention,
    stack: ir::Value,
    number: u32,
    (go_on, args): (ir::Block, &[ir::BlockArg]),
) {
    let trusted = MemFlagsData::trusted().with_readonly();
    let give_up = cursor.func.dfg.make_block();
    cursor.func.layout.append_block(give_up);
    cursor.func.layout.set_cold(give_up);
    let pointer = cursor.ins().get_stack_pointer(types::I64);
    let lowest = cursor.ins().load(types::I64, trusted, stack, offset::LOWEST);
    let passed = cursor.ins().icmp(IntCC::UnsignedLessThan, pointer, lowest);
    cursor.ins().brif(passed, give_up, &[], go_on, args);
    cursor.goto_bottom(give_up);
    let exhausted = cursor.ins().load(types::I64, trusted, stack, offset::EXHAUSTED);
    let number = constant(cursor, types::I64, u128::from(number));
    let signature = cursor.func.import_signature(convention.registers(2, 0));
    cursor.ins().call_indirect(signature, exhausted, &[stack, number]);
    cursor.ins().trap(NEVER_RETURNS);
}

pub(super) fn internal(message: impl Into<String>) -> EmitError {
    EmitError::Internal(message.into())
}

impl<'a> Selector<'a> {
    /// From the first block of CLIF to the function's, by way of a check of the stack if there is one.
    fn enter(
        &mut self,
        first: ir::Block,
        params: &[ir::Value],
        entry: Block,
        check: Option<u32>,
    ) -> Result<(), EmitError> {
        let params = params.iter().take(self.body.block_params(entry).len());
        let args: Vec<ir::BlockArg> = params.map(|&v| ir::BlockArg::Value(v)).collect();
        self.cursor.goto_bottom(first);
        self.pass(entry, &args);
        let args = if self.homes.is_none() { &args[..] } else { &[] };
        let target = self.block(entry)?;
        match (check, self.stack) {
            (Some(number), Some(stack)) => {
                check_stack(&mut self.cursor, self.convention, stack, number, (target, args));
            }
            _ => drop(self.cursor.ins().jump(target, args)),
        }
        Ok(())
    }

    /// The function's parameters go home.
    fn store_params(&mut self, entry: Block) {
        let body = self.body;
        for &param in body.block_params(entry) {
            if let Some(value) = self.tables.values[param].expand() {
                self.store_home(param, value);
            }
        }
    }

    fn inst(&mut self, inst: Inst) -> Result<(), EmitError> {
        let op = self.body.inst(inst).op;
        match op {
            Op::Add | Op::Sub | Op::Mul | Op::Neg | Op::Abs | Op::Div | Op::DivS | Op::DivU | Op::RemS => {
                self.scalar(inst, op)
            }
            Op::RemU | Op::MulHighS | Op::MulHighU | Op::AddSatS | Op::AddSatU | Op::SubSatS => {
                self.scalar(inst, op)
            }
            Op::SubSatU | Op::AddOverflowS | Op::AddOverflowU | Op::SubOverflowS | Op::SubOverflowU => {
                self.scalar(inst, op)
            }
            Op::MulOverflowS | Op::MulOverflowU | Op::MinS | Op::MinU | Op::MaxS | Op::MaxU => {
                self.scalar(inst, op)
            }
            Op::Min | Op::Max | Op::Fma | Op::Sqrt | Op::Ceil | Op::Floor | Op::RoundZero | Op::RoundEven => {
                self.scalar(inst, op)
            }
            Op::CopySign | Op::And | Op::Or | Op::Xor | Op::Not | Op::Shl | Op::ShrS | Op::ShrU => {
                self.scalar(inst, op)
            }
            Op::RotL | Op::RotR | Op::Clz | Op::Ctz | Op::PopCount | Op::BitReverse | Op::ByteSwap => {
                self.scalar(inst, op)
            }
            Op::Eq
            | Op::Ne
            | Op::LtS
            | Op::LeS
            | Op::GtS
            | Op::GeS
            | Op::LtU
            | Op::LeU
            | Op::GtU
            | Op::GeU => self.scalar(inst, op),
            Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::One | Op::Ueq | Op::Ult | Op::Ule | Op::Ugt | Op::Uge => {
                self.scalar(inst, op)
            }
            Op::Ord | Op::Uno | Op::Select => self.scalar(inst, op),
            Op::Trunc | Op::Zext | Op::Sext | Op::FConvert | Op::FToS | Op::FToU | Op::SToF | Op::UToF => {
                self.convert(inst, op)
            }
            Op::Bitcast | Op::PtrToInt | Op::IntToPtr | Op::SpaceCast => self.convert(inst, op),
            Op::PtrAdd
            | Op::Index
            | Op::FieldAddress
            | Op::GlobalAddress
            | Op::Slot
            | Op::Load
            | Op::Store => self.memory(inst, op),
            Op::MemCopy | Op::MemSet => self.memory(inst, op),
            Op::AtomicLoad | Op::AtomicStore | Op::RmwExchange | Op::RmwAdd | Op::RmwSub | Op::RmwAnd => {
                self.atomic(inst, op)
            }
            Op::RmwOr | Op::RmwXor | Op::RmwMinS | Op::RmwMinU | Op::RmwMaxS | Op::RmwMaxU => {
                self.atomic(inst, op)
            }
            Op::CompareExchange | Op::Fence => self.atomic(inst, op),
            Op::LocalId | Op::GroupId | Op::GroupSize | Op::GroupCount | Op::SubgroupSize => {
                self.work_item(inst, op)
            }
            Op::SubgroupLane | Op::Barrier | Op::SubgroupBarrier | Op::Clock | Op::Trap => {
                self.work_item(inst, op)
            }
            Op::SubgroupShuffle | Op::SubgroupShuffleXor | Op::SubgroupShuffleUp => self.subgroup(inst, op),
            Op::SubgroupShuffleDown | Op::SubgroupAny | Op::SubgroupAll => self.subgroup(inst, op),
            Op::SubgroupBallot | Op::SubgroupReduceAdd | Op::SubgroupReduceAnd => self.subgroup(inst, op),
            Op::SubgroupReduceOr | Op::SubgroupReduceXor | Op::SubgroupReduceMinS => self.subgroup(inst, op),
            Op::SubgroupReduceMinU | Op::SubgroupReduceMaxS | Op::SubgroupReduceMaxU => {
                self.subgroup(inst, op)
            }
            Op::Call | Op::CallIndirect | Op::FunctionAddress => self.call(inst, op),
            Op::Jump | Op::Branch | Op::Switch | Op::Return => self.terminator(inst, op),
            // Expanded before.
            Op::Rem | Op::MinNumber | Op::MaxNumber | Op::RoundAway | Op::RmwMin | Op::RmwMax => {
                Err(self.unexpected(inst))
            }
            Op::Splat | Op::Extract | Op::Insert | Op::Shuffle => self.vector(inst, op),
            Op::Make | Op::GetField | Op::SetField => Err(self.unexpected(inst)),
            Op::ReduceAdd | Op::ReduceMul | Op::ReduceAnd | Op::ReduceOr | Op::ReduceXor => {
                Err(self.unexpected(inst))
            }
            Op::ReduceMinS | Op::ReduceMinU | Op::ReduceMaxS | Op::ReduceMaxU | Op::ReduceMin => {
                Err(self.unexpected(inst))
            }
            Op::ReduceMax
            | Op::BoundsCheck
            | Op::Unresolved
            | Op::Throw
            | Op::Unreachable
            | Op::StaticAssert
            | Op::Assert
            | Op::Sentinel
            | Op::Print
            | Op::KernelInput
            | Op::TargetQuery
            | Op::Scratch => Err(self.unexpected(inst)),
        }
    }

    /// An op that legalisation should have replaced.
    pub(super) fn unexpected(&self, inst: Inst) -> EmitError {
        let types: Vec<String> =
            self.body.args(inst).iter().map(|&arg| self.body.value_type(arg).to_string()).collect();
        internal(format!("{} of ({}) was not legalised", self.body.inst(inst).op, types.join(", ")))
    }

    /// An operand, as Cranelift knows it.
    pub(super) fn value(&mut self, value: Value) -> Result<ir::Value, EmitError> {
        if let Some(known) = self.tables.values[value].expand() {
            return Ok(known);
        }
        if let Some(loaded) = self.load_home(value)? {
            return Ok(loaded);
        }
        let Some(data) = self.body.value_const(value) else {
            return Err(internal(format!("{value} is used before it is computed")));
        };
        let ty = held(data.ty)?;
        if ty.is_vector() {
            let lanes = const_lanes(data).filter(|lanes| lanes.len() == ty.lane_count() as usize);
            let lanes =
                lanes.ok_or_else(|| internal(format!("a constant of type {} has no lanes", data.ty)))?;
            return Ok(vector_constant(&mut self.cursor, ty, &lanes));
        }
        let bits = if data.is_zero() { Some(0) } else { data.scalar() };
        let bits =
            bits.ok_or_else(|| internal(format!("a constant of type {} was not legalised", data.ty)))?;
        Ok(constant(&mut self.cursor, ty, bits))
    }

    /// Operand number `index` of an instruction.
    pub(super) fn arg(&mut self, inst: Inst, index: usize) -> Result<ir::Value, EmitError> {
        match self.body.args(inst).get(index) {
            Some(&value) => self.value(value),
            None => Err(internal(format!("{} lacks operand {index}", self.body.inst(inst).op))),
        }
    }

    /// Type of operand number `index` of an instruction.
    pub(super) fn arg_type(&self, inst: Inst, index: usize) -> Type {
        self.body.args(inst).get(index).map_or(Type::ERROR, |&arg| self.body.value_type(arg))
    }

    /// Says what the only result of an instruction is.
    pub(super) fn define(&mut self, inst: Inst, value: ir::Value) -> Result<(), EmitError> {
        if let Some(result) = self.body.first_result(inst) {
            self.tables.values[result] = value.into();
            self.store_home(result, value);
        }
        Ok(())
    }

    /// Says what the results of an instruction are.
    pub(super) fn define_all(&mut self, inst: Inst, values: &[ir::Value]) -> Result<(), EmitError> {
        for (result, &value) in self.body.results(inst).zip(values) {
            self.tables.values[result] = value.into();
            self.store_home(result, value);
        }
        Ok(())
    }

    pub(super) fn block(&self, block: Block) -> Result<ir::Block, EmitError> {
        self.tables.blocks[block].expand().ok_or_else(|| internal(format!("{block} is not placed")))
    }

    /// A constant of a type of CLIF.
    pub(super) fn constant(&mut self, ty: ir::Type, bits: u128) -> ir::Value {
        constant(&mut self.cursor, ty, bits)
    }

    pub(super) fn type_of(&self, value: ir::Value) -> ir::Type {
        self.cursor.func.dfg.value_type(value)
    }

    /// The reference by which this function calls another.
    pub(super) fn callee(&mut self, callee: Callee) -> Result<ir::FuncRef, EmitError> {
        let known = match callee {
            Callee::Func(func) => self.tables.funcs.get(func),
            Callee::Extern(id) => self.tables.externs.get(id),
            Callee::Copy => self.tables.library[0],
            Callee::Set => self.tables.library[1],
            Callee::Clock => self.tables.library[2],
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let reference = self.declared.import(self.cursor.func, callee)?;
        match callee {
            Callee::Func(func) => self.tables.funcs.set(func, reference),
            Callee::Extern(id) => self.tables.externs.set(id, reference),
            Callee::Copy => self.tables.library[0] = Some(reference),
            Callee::Set => self.tables.library[1] = Some(reference),
            Callee::Clock => self.tables.library[2] = Some(reference),
        }
        Ok(reference)
    }

    /// The symbol of a global that is data.
    pub(super) fn global(&mut self, global: Global, data: u32) -> ir::GlobalValue {
        if let Some(known) = self.tables.globals.get(global) {
            return known;
        }
        let symbol = super::emit::import_data(self.cursor.func, data);
        self.tables.globals.set(global, symbol);
        symbol
    }
}
