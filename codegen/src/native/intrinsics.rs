//! Work-items: positions, barriers, sub-groups and the clock.

use super::context::{SubgroupOp, WIDE, offset};
use super::select::{Selector, internal};
use super::tables::Callee;
use super::types::as_int;
use crate::error::EmitError;
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, TrapCode, types};
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

/// Code of a trap that the program asks for.
const ASKED: TrapCode = TrapCode::unwrap_user(2);

impl Selector<'_> {
    /// The address of the work-item.
    pub(super) fn item(&self) -> Result<ir::Value, EmitError> {
        self.context.ok_or_else(|| internal("a function that asks for its work-item does not get it"))
    }

    fn group(&mut self) -> Result<ir::Value, EmitError> {
        let item = self.item()?;
        Ok(self.field(types::I64, item, offset::GROUP))
    }

    /// A field of the context, which does not change while code of the work-item runs.
    fn field(&mut self, ty: ir::Type, base: ir::Value, at: i32) -> ir::Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        self.cursor.ins().load(ty, flags, base, at)
    }

    pub(super) fn shared_memory(&mut self) -> Result<ir::Value, EmitError> {
        let group = self.group()?;
        Ok(self.field(types::I64, group, offset::SHARED))
    }

    pub(super) fn work_item(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let dimension = 4 * (self.body.inst(inst).imm % 3) as i32;
        let value = match op {
            Op::LocalId => {
                // A runner of many work-items keeps one record and rewrites it, so this field is not constant.
                let item = self.item()?;
                let flags = MemFlagsData::trusted();
                self.cursor.ins().load(types::I32, flags, item, offset::LOCAL_ID + dimension)
            }
            Op::GroupId | Op::GroupSize | Op::GroupCount => {
                let group = self.group()?;
                let start = match op {
                    Op::GroupId => offset::GROUP_ID,
                    Op::GroupSize => offset::GROUP_SIZE,
                    _ => offset::GROUP_COUNT,
                };
                self.field(types::I32, group, start + dimension)
            }
            Op::SubgroupSize => {
                let group = self.group()?;
                self.field(types::I32, group, offset::SUBGROUP_SIZE)
            }
            Op::SubgroupLane => {
                let (item, group) = (self.item()?, self.group()?);
                let size = self.field(types::I32, group, offset::SUBGROUP_SIZE);
                let linear =
                    self.cursor.ins().load(types::I32, MemFlagsData::trusted(), item, offset::LINEAR);
                let ones = self.constant(types::I32, u128::from(u32::MAX));
                let mask = self.cursor.ins().iadd(size, ones);
                self.cursor.ins().band(linear, mask)
            }
            Op::Barrier => {
                let (item, group) = (self.item()?, self.group()?);
                let function = self.field(types::I64, group, offset::BARRIER);
                let signature = self.cursor.func.import_signature(self.convention.registers(2, 0));
                let site = self.site(inst);
                self.cursor.ins().call_indirect(signature, function, &[item, site]);
                return Ok(());
            }
            Op::Trap => {
                // Cranelift's `trap` would end the block.
                let always = self.constant(types::I8, 1);
                self.cursor.ins().trapnz(always, ASKED);
                return Ok(());
            }
            Op::SubgroupBarrier => {
                let zero = self.constant(types::I64, 0);
                self.call_subgroup(inst, SubgroupOp::Barrier, false, zero, zero)?;
                return Ok(());
            }
            Op::Clock => {
                let clock = self.callee(Callee::Clock)?;
                let call = self.cursor.ins().call(clock, &[]);
                match self.cursor.func.dfg.inst_results(call) {
                    &[value] => value,
                    _ => return Err(self.unexpected(inst)),
                }
            }
            _ => return Err(self.unexpected(inst)),
        };
        self.define(inst, value)
    }

    /// The place of an op where work-items meet.
    fn site(&mut self, inst: Inst) -> ir::Value {
        let site = u64::from(self.func.as_u32()) << 32 | u64::from(self.tables.sites[inst]);
        self.constant(types::I64, u128::from(site))
    }

    fn call_subgroup(
        &mut self,
        inst: Inst,
        op: SubgroupOp,
        wide: bool,
        value: ir::Value,
        lane: ir::Value,
    ) -> Result<ir::Value, EmitError> {
        let (item, group) = (self.item()?, self.group()?);
        let function = self.field(types::I64, group, offset::SUBGROUP);
        let code = self.constant(types::I64, u128::from(op as u64 | if wide { WIDE } else { 0 }));
        let signature = self.cursor.func.import_signature(self.convention.registers(5, 1));
        let site = self.site(inst);
        let call = self.cursor.ins().call_indirect(signature, function, &[item, code, value, lane, site]);
        let result = self.cursor.func.dfg.inst_results(call).first().copied();
        result.ok_or_else(|| internal("a sub-group operation has no result"))
    }

    pub(super) fn subgroup(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let code = match op {
            Op::SubgroupShuffle => SubgroupOp::Shuffle,
            Op::SubgroupShuffleXor => SubgroupOp::ShuffleXor,
            Op::SubgroupShuffleUp => SubgroupOp::ShuffleUp,
            Op::SubgroupShuffleDown => SubgroupOp::ShuffleDown,
            Op::SubgroupAny => SubgroupOp::Any,
            Op::SubgroupAll => SubgroupOp::All,
            Op::SubgroupBallot => SubgroupOp::Ballot,
            Op::SubgroupReduceAdd => SubgroupOp::Add,
            Op::SubgroupReduceAnd => SubgroupOp::And,
            Op::SubgroupReduceOr => SubgroupOp::Or,
            Op::SubgroupReduceXor => SubgroupOp::Xor,
            Op::SubgroupReduceMinS => SubgroupOp::MinS,
            Op::SubgroupReduceMinU => SubgroupOp::MinU,
            Op::SubgroupReduceMaxS => SubgroupOp::MaxS,
            Op::SubgroupReduceMaxU => SubgroupOp::MaxU,
            _ => return Err(self.unexpected(inst)),
        };
        let ty = self.arg_type(inst, 0);
        let value = self.arg(inst, 0)?;
        let clif = self.type_of(value);
        let int = as_int(clif);
        let bits =
            if int == clif { value } else { self.cursor.ins().bitcast(int, MemFlagsData::new(), value) };
        let wide = int == types::I64;
        let bits = if wide { bits } else { self.cursor.ins().uextend(types::I64, bits) };
        let lane = match self.body.args(inst).len() {
            2 => {
                let lane = self.arg(inst, 1)?;
                self.cursor.ins().uextend(types::I64, lane)
            }
            _ => self.constant(types::I64, 0),
        };
        let result = self.call_subgroup(inst, code, wide, bits, lane)?;
        let value = match op {
            Op::SubgroupBallot => result,
            _ if ty == Type::I1 => self.cursor.ins().ireduce(types::I8, result),
            _ => {
                let narrow = if wide { result } else { self.cursor.ins().ireduce(int, result) };
                if int == clif {
                    narrow
                } else {
                    self.cursor.ins().bitcast(clif, MemFlagsData::new(), narrow)
                }
            }
        };
        self.define(inst, value)
    }
}
