//! Vectors of 128 bits: lanes and their order. Lane-wise arithmetic is that of scalars.

use super::select::{Selector, internal};
use super::types::held;
use crate::error::EmitError;
use cranelift_codegen::ir::{self, Endianness, InstBuilder, MemFlagsData, types};
use marquetry_ir::entity::{Const, Inst};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::const_lanes;

impl Selector<'_> {
    /// The same bits in other lanes; lane 0 is lowest on machines of either byte order.
    pub(super) fn reinterpret_lanes(&mut self, ty: ir::Type, value: ir::Value) -> ir::Value {
        if self.type_of(value) == ty {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.cursor.ins().bitcast(ty, flags, value)
    }

    pub(super) fn vector(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let a = self.arg(inst, 0)?;
        let value = match op {
            Op::Splat => {
                let ty = held(self.body.inst(inst).ty)?;
                self.cursor.ins().splat(ty, a)
            }
            Op::Extract => {
                let lane = self.lane(inst, 1, a)?;
                self.cursor.ins().extractlane(a, lane)
            }
            Op::Insert => {
                let (value, lane) = (self.arg(inst, 1)?, self.lane(inst, 2, a)?);
                self.cursor.ins().insertlane(a, value, lane)
            }
            Op::Shuffle => self.shuffle(inst, a)?,
            _ => return Err(self.unexpected(inst)),
        };
        self.define(inst, value)
    }

    /// The constant lane that an operand names.
    fn lane(&self, inst: Inst, operand: usize, vector: ir::Value) -> Result<u8, EmitError> {
        let lanes = u128::from(self.type_of(vector).lane_count());
        let index = self.body.args(inst).get(operand).and_then(|&index| self.body.value_bits(index));
        let index = index.filter(|_| lanes > 1).ok_or_else(|| internal("a lane is not constant"))?;
        Ok((index % lanes) as u8)
    }

    /// Cranelift shuffles bytes.
    fn shuffle(&mut self, inst: Inst, a: ir::Value) -> Result<ir::Value, EmitError> {
        let b = self.arg(inst, 1)?;
        let ty = self.type_of(a);
        let mask = const_lanes(self.body.constant(Const::from_u32(self.body.inst(inst).imm)));
        let lanes = mask.filter(|lanes| lanes.len() == ty.lane_count() as usize);
        let lanes = lanes.ok_or_else(|| internal("a shuffle does not keep the number of lanes"))?;
        let size = ty.lane_type().bytes() as u128;
        let bytes: Vec<u8> =
            lanes.iter().flat_map(|lane| (0..size).map(move |n| (lane * size + n) as u8)).collect();
        let mask = self.cursor.func.dfg.immediates.push(bytes.into());
        let (a, b) = (self.reinterpret_lanes(types::I8X16, a), self.reinterpret_lanes(types::I8X16, b));
        let shuffled = self.cursor.ins().shuffle(a, b, mask);
        Ok(self.reinterpret_lanes(ty, shuffled))
    }
}
