//! Selection of integer arithmetic, bits, comparisons and conversions.
//!
//! SPIR-V leaves more undefined than the language does: shift counts past the width (3.42.14), conversions of floats
//! out of range (3.42.11), remainders of negative numbers in Vulkan (its appendix "Precision and Operation of SPIR-V
//! Instructions"). Each such case is computed around here. Bit counting beyond 32 bits does not exist in Vulkan and
//! is put together from halves.

use super::internal;
use super::module::Id;
use super::select::Selector;
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type};
use rspirv::spirv::Op;

/// Numbers in GLSL.std.450.
mod gl {
    pub const FIND_I_LSB: u32 = 73;
    pub const FIND_U_MSB: u32 = 75;
}

/// Numbers in the OpenCL extended instruction set.
mod cl {
    pub const CLZ: u32 = 151;
    pub const CTZ: u32 = 152;
    pub const S_MUL_HI: u32 = 160;
    pub const U_MUL_HI: u32 = 203;
}

impl Selector<'_, '_> {
    /// Adds an instruction with an integer result.
    pub(super) fn integer(&mut self, op: Op, bits: u32, operands: &[Id]) -> Id {
        let ty = self.module().int(bits);
        self.emit(op, ty, operands)
    }

    /// Adds an instruction with a truth value for result.
    pub(super) fn truth(&mut self, op: Op, operands: &[Id]) -> Id {
        let ty = self.module().bool();
        self.emit(op, ty, operands)
    }

    /// An integer constant.
    pub(super) fn int(&mut self, bits: u32, value: u64) -> Id {
        self.module().const_int(bits, value)
    }

    /// Selects an op with one result.
    pub(super) fn scalar_op(&mut self, inst: Inst, op: IrOp) -> Result<Id, EmitError> {
        let args = self.operands(inst)?;
        let first = self.arg_type(inst, 0);
        let result = self.body.first_result(inst).map_or(first, |v| self.body.value_type(v));
        if op == IrOp::Select {
            let ty = self.type_id(result)?;
            return Ok(self.emit(Op::Select, ty, &args));
        }
        if first.is_pointer() {
            return self.compare_pointers(op, &args);
        }
        let scalar = self.arg_scalar(inst, 0)?;
        if first.is_float() && scalar != Scalar::BF16 || matches!(op, IrOp::SToF | IrOp::UToF) {
            return self.float_op(op, scalar, result, &args);
        }
        if op == IrOp::Bitcast {
            return self.bitcast(args[0], first, result);
        }
        if scalar == Scalar::BF16 {
            return match op {
                IrOp::Neg => Ok(self.sign_bits(op, scalar, &args)?),
                IrOp::Abs | IrOp::CopySign => Ok(self.sign_bits(op, scalar, &args)?),
                _ => Err(internal(&format!("'{op}' on bf16 in a unit for SPIR-V"))),
            };
        }
        if scalar == Scalar::I1 {
            return self.truth_op(op, result, &args);
        }
        self.int_op(op, scalar.bits(), result, &args)
    }

    fn compare_pointers(&mut self, op: IrOp, args: &[Id]) -> Result<Id, EmitError> {
        let op = match op {
            IrOp::Eq => Op::IEqual,
            IrOp::Ne => Op::INotEqual,
            _ => return Err(internal(&format!("'{op}' on pointers"))),
        };
        if self.is_vulkan() {
            return Ok(self.truth(op, args));
        }
        let numbers = [args[0], args[1]].map(|p| self.integer(Op::ConvertPtrToU, 64, &[p]));
        Ok(self.truth(op, &numbers))
    }

    fn truth_op(&mut self, op: IrOp, result: Type, args: &[Id]) -> Result<Id, EmitError> {
        let bits = result.bits().unwrap_or(1);
        Ok(match op {
            IrOp::And => self.truth(Op::LogicalAnd, args),
            IrOp::Or => self.truth(Op::LogicalOr, args),
            IrOp::Xor | IrOp::Ne => self.truth(Op::LogicalNotEqual, args),
            IrOp::Eq => self.truth(Op::LogicalEqual, args),
            IrOp::Not => self.truth(Op::LogicalNot, args),
            IrOp::Zext | IrOp::Sext => {
                let one = if op == IrOp::Zext { 1 } else { u64::MAX };
                let (one, zero) = (self.int(bits, one), self.int(bits, 0));
                self.integer(Op::Select, bits, &[args[0], one, zero])
            }
            _ => return Err(internal(&format!("'{op}' on i1"))),
        })
    }

    fn int_op(&mut self, op: IrOp, bits: u32, result: Type, args: &[Id]) -> Result<Id, EmitError> {
        use IrOp::*;
        let to = result.bits().unwrap_or(bits);
        let simple = match op {
            Add => Op::IAdd,
            Sub => Op::ISub,
            Mul => Op::IMul,
            Neg => Op::SNegate,
            DivS => Op::SDiv,
            DivU => Op::UDiv,
            RemU => Op::UMod,
            And => Op::BitwiseAnd,
            Or => Op::BitwiseOr,
            Xor => Op::BitwiseXor,
            Not => Op::Not,
            _ => Op::Nop,
        };
        if simple != Op::Nop {
            return Ok(self.integer(simple, bits, args));
        }
        let compare = match op {
            Eq => Op::IEqual,
            Ne => Op::INotEqual,
            LtS => Op::SLessThan,
            LeS => Op::SLessThanEqual,
            GtS => Op::SGreaterThan,
            GeS => Op::SGreaterThanEqual,
            LtU => Op::ULessThan,
            LeU => Op::ULessThanEqual,
            GtU => Op::UGreaterThan,
            GeU => Op::UGreaterThanEqual,
            _ => Op::Nop,
        };
        if compare != Op::Nop {
            return Ok(self.truth(compare, args));
        }
        Ok(match op {
            Abs => {
                let zero = self.int(bits, 0);
                let negative = self.truth(Op::SLessThan, &[args[0], zero]);
                let negated = self.integer(Op::SNegate, bits, args);
                self.integer(Op::Select, bits, &[negative, negated, args[0]])
            }
            RemS => self.signed_remainder(bits, args),
            MinS | MinU | MaxS | MaxU => {
                let less = if matches!(op, MinS | MaxS) { Op::SLessThan } else { Op::ULessThan };
                let first = self.truth(less, args);
                let (yes, no) =
                    if matches!(op, MinS | MinU) { (args[0], args[1]) } else { (args[1], args[0]) };
                self.integer(Op::Select, bits, &[first, yes, no])
            }
            MulHighS | MulHighU => self.mul_high(op == MulHighS, bits, args),
            AddSatS | AddSatU | SubSatS | SubSatU => self.saturating(op, bits, args),
            Shl | ShrS | ShrU => {
                let mask = self.int(bits, u64::from(bits - 1));
                let count = self.integer(Op::BitwiseAnd, bits, &[args[1], mask]);
                let shift = match op {
                    Shl => Op::ShiftLeftLogical,
                    ShrS => Op::ShiftRightArithmetic,
                    _ => Op::ShiftRightLogical,
                };
                self.integer(shift, bits, &[args[0], count])
            }
            RotL | RotR => {
                let mask = self.int(bits, u64::from(bits - 1));
                let negated = self.integer(Op::SNegate, bits, &[args[1]]);
                let there = self.integer(Op::BitwiseAnd, bits, &[args[1], mask]);
                let back = self.integer(Op::BitwiseAnd, bits, &[negated, mask]);
                let (left, right) = if op == RotL { (there, back) } else { (back, there) };
                let high = self.integer(Op::ShiftLeftLogical, bits, &[args[0], left]);
                let low = self.integer(Op::ShiftRightLogical, bits, &[args[0], right]);
                self.integer(Op::BitwiseOr, bits, &[high, low])
            }
            Clz | Ctz | PopCount => self.count_bits(op, bits, args[0]),
            BitReverse => self.swap_groups(bits, 1, args[0]),
            ByteSwap => self.swap_groups(bits, 8, args[0]),
            Trunc if result == Type::I1 => {
                let (one, zero) = (self.int(bits, 1), self.int(bits, 0));
                let bit = self.integer(Op::BitwiseAnd, bits, &[args[0], one]);
                self.truth(Op::INotEqual, &[bit, zero])
            }
            Trunc | Zext => self.integer(Op::UConvert, to, args),
            Sext => self.integer(Op::SConvert, to, args),
            _ => return Err(internal(&format!("'{op}' on i{bits} in a unit for SPIR-V"))),
        })
    }

    /// The least value by -1 is undefined, and so are negative operands in Vulkan before maintenance8; quotients are not.
    fn signed_remainder(&mut self, bits: u32, args: &[Id]) -> Id {
        let (one, minus_one) = (self.int(bits, 1), self.int(bits, u64::MAX));
        let is_minus_one = self.truth(Op::IEqual, &[args[1], minus_one]);
        let divisor = self.integer(Op::Select, bits, &[is_minus_one, one, args[1]]);
        if !self.is_vulkan() {
            return self.integer(Op::SRem, bits, &[args[0], divisor]);
        }
        let quotient = self.integer(Op::SDiv, bits, &[args[0], divisor]);
        let product = self.integer(Op::IMul, bits, &[quotient, divisor]);
        self.integer(Op::ISub, bits, &[args[0], product])
    }

    fn mul_high(&mut self, signed: bool, bits: u32, args: &[Id]) -> Id {
        if bits < 32 {
            let widen = if signed { Op::SConvert } else { Op::UConvert };
            let wide = [args[0], args[1]].map(|a| self.integer(widen, 32, &[a]));
            let product = self.integer(Op::IMul, 32, &wide);
            let count = self.int(32, u64::from(bits));
            let high = self.integer(Op::ShiftRightLogical, 32, &[product, count]);
            return self.integer(Op::UConvert, bits, &[high]);
        }
        let ty = self.module().int(bits);
        if !self.is_vulkan() {
            return self.emit_std(if signed { cl::S_MUL_HI } else { cl::U_MUL_HI }, ty, args);
        }
        let pair = self.module().intern_type(Op::TypeStruct, &[ty, ty]);
        let op = if signed { Op::SMulExtended } else { Op::UMulExtended };
        let product = self.emit(op, pair, args);
        self.emit(Op::CompositeExtract, ty, &[product, 1])
    }

    /// Wrapped result and whether it is wrong.
    fn overflowing(&mut self, op: IrOp, bits: u32, args: &[Id]) -> (Id, Id) {
        use IrOp::*;
        let zero = self.int(bits, 0);
        let (a, b) = (args[0], args[1]);
        match op {
            AddOverflowU | AddSatU => {
                let sum = self.integer(Op::IAdd, bits, args);
                (sum, self.truth(Op::ULessThan, &[sum, a]))
            }
            SubOverflowU | SubSatU => {
                let difference = self.integer(Op::ISub, bits, args);
                (difference, self.truth(Op::ULessThan, &[a, b]))
            }
            AddOverflowS | AddSatS | SubOverflowS | SubSatS => {
                // Signed overflow: the operands' signs say which sign the result must have, and it has the other.
                let adds = matches!(op, AddOverflowS | AddSatS);
                let result = self.integer(if adds { Op::IAdd } else { Op::ISub }, bits, args);
                let one = self.integer(Op::BitwiseXor, bits, &[a, result]);
                let other = self.integer(Op::BitwiseXor, bits, &if adds { [b, result] } else { [a, b] });
                let both = self.integer(Op::BitwiseAnd, bits, &[one, other]);
                (result, self.truth(Op::SLessThan, &[both, zero]))
            }
            _ => {
                let signed = op == MulOverflowS;
                let low = self.integer(Op::IMul, bits, args);
                let high = self.mul_high(signed, bits, args);
                let expected = if signed {
                    let count = self.int(bits, u64::from(bits - 1));
                    self.integer(Op::ShiftRightArithmetic, bits, &[low, count])
                } else {
                    zero
                };
                (low, self.truth(Op::INotEqual, &[high, expected]))
            }
        }
    }

    /// Selects an op with a wrapped result and an overflow flag.
    pub(super) fn overflow_op(&mut self, inst: Inst, op: IrOp) -> Result<(Id, Id), EmitError> {
        let args = self.operands(inst)?;
        let bits = self.arg_scalar(inst, 0)?.bits();
        Ok(self.overflowing(op, bits, &args))
    }

    fn saturating(&mut self, op: IrOp, bits: u32, args: &[Id]) -> Id {
        let (result, overflow) = self.overflowing(op, bits, args);
        let limit = match op {
            IrOp::AddSatU => self.int(bits, u64::MAX),
            IrOp::SubSatU => self.int(bits, 0),
            _ => {
                // The first operand has the sign of the true result: the greatest value, or for negatives the least.
                let count = self.int(bits, u64::from(bits - 1));
                let sign = self.integer(Op::ShiftRightArithmetic, bits, &[args[0], count]);
                let greatest = self.int(bits, (1 << (bits - 1)) - 1);
                self.integer(Op::BitwiseXor, bits, &[sign, greatest])
            }
        };
        self.integer(Op::Select, bits, &[overflow, limit, result])
    }

    fn count_bits(&mut self, op: IrOp, bits: u32, value: Id) -> Id {
        if bits < 32 {
            let wide = self.integer(Op::UConvert, 32, &[value]);
            let wide = if op == IrOp::Ctz {
                // A bit above the value bounds the count.
                let stop = self.int(32, 1 << bits);
                self.integer(Op::BitwiseOr, 32, &[wide, stop])
            } else {
                wide
            };
            let mut count = self.count_bits(op, 32, wide);
            if op == IrOp::Clz {
                let extra = self.int(32, u64::from(32 - bits));
                count = self.integer(Op::ISub, 32, &[count, extra]);
            }
            return self.integer(Op::UConvert, bits, &[count]);
        }
        let ty = self.module().int(bits);
        if !self.is_vulkan() {
            return match op {
                IrOp::Clz => self.emit_std(cl::CLZ, ty, &[value]),
                IrOp::Ctz => self.emit_std(cl::CTZ, ty, &[value]),
                _ => self.emit(Op::BitCount, ty, &[value]),
            };
        }
        if bits == 64 {
            let half = self.int(64, 32);
            let low = self.integer(Op::UConvert, 32, &[value]);
            let shifted = self.integer(Op::ShiftRightLogical, 64, &[value, half]);
            let high = self.integer(Op::UConvert, 32, &[shifted]);
            let (low_count, high_count) = (self.count_bits(op, 32, low), self.count_bits(op, 32, high));
            let sum = self.integer(Op::IAdd, 32, &[low_count, high_count]);
            let count = if op == IrOp::PopCount {
                sum
            } else {
                // The near half decides, unless it is empty and counts 32.
                let near = if op == IrOp::Clz { high_count } else { low_count };
                let full = self.int(32, 32);
                let empty = self.truth(Op::IEqual, &[near, full]);
                self.integer(Op::Select, 32, &[empty, sum, near])
            };
            return self.integer(Op::UConvert, 64, &[count]);
        }
        match op {
            IrOp::PopCount => self.emit(Op::BitCount, ty, &[value]),
            IrOp::Clz => {
                // -1 for zero (GLSL.std.450 FindUMsb), so that 31 less it is 32.
                let top = self.int(32, 31);
                let bit = self.emit_std(gl::FIND_U_MSB, ty, &[value]);
                self.integer(Op::ISub, 32, &[top, bit])
            }
            _ => {
                let (zero, full) = (self.int(32, 0), self.int(32, 32));
                let empty = self.truth(Op::IEqual, &[value, zero]);
                let bit = self.emit_std(gl::FIND_I_LSB, ty, &[value]);
                self.integer(Op::Select, 32, &[empty, full, bit])
            }
        }
    }

    /// Reverses the order of groups of `group` bits, by swapping neighbours of growing size.
    fn swap_groups(&mut self, bits: u32, group: u32, value: Id) -> Id {
        let mut value = value;
        let mut step = group;
        while step < bits {
            // Ones in the lower group of each pair.
            let pattern = (0..bits)
                .filter(|bit| (bit / step).is_multiple_of(2))
                .fold(0u64, |mask, bit| mask | 1 << bit);
            let (mask, count) = (self.int(bits, pattern), self.int(bits, u64::from(step)));
            let shifted = self.integer(Op::ShiftRightLogical, bits, &[value, count]);
            let low = self.integer(Op::BitwiseAnd, bits, &[shifted, mask]);
            let kept = self.integer(Op::BitwiseAnd, bits, &[value, mask]);
            let high = self.integer(Op::ShiftLeftLogical, bits, &[kept, count]);
            value = self.integer(Op::BitwiseOr, bits, &[low, high]);
            step *= 2;
        }
        value
    }

    /// The same bits as another type; nothing where both are held alike.
    pub(super) fn bitcast(&mut self, value: Id, from: Type, to: Type) -> Result<Id, EmitError> {
        let (from, to) = (self.type_id(from)?, self.type_id(to)?);
        Ok(if from == to { value } else { self.emit(Op::Bitcast, to, &[value]) })
    }
}
