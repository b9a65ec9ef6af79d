//! Arithmetic, bits, comparisons and conversions.
//!
//! What Cranelift lacks for some width is spelled in ops that it has for all: saturation and overflow by comparing
//! the wrapped result, products of narrow integers in 64 bits, minima by comparison.

use super::select::Selector;
use super::types::held;
use crate::error::EmitError;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, types};
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

fn mask(ty: ir::Type) -> u128 {
    u128::MAX >> (128 - ty.bits())
}

fn sign_bit(ty: ir::Type) -> u128 {
    1 << (ty.bits() - 1)
}

impl Selector<'_> {
    pub(super) fn scalar(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let ty = self.arg_type(inst, 0);
        let a = self.arg(inst, 0)?;
        let unary = match op {
            Op::Neg if ty == Type::F16 || ty == Type::BF16 => {
                let sign = self.constant(types::I16, 0x8000);
                Some(self.cursor.ins().bxor(a, sign))
            }
            Op::Abs if ty == Type::F16 || ty == Type::BF16 => {
                let rest = self.constant(types::I16, 0x7fff);
                Some(self.cursor.ins().band(a, rest))
            }
            Op::Neg if ty.is_float() => Some(self.cursor.ins().fneg(a)),
            Op::Neg => Some(self.cursor.ins().ineg(a)),
            Op::Abs if ty.is_float() => Some(self.cursor.ins().fabs(a)),
            Op::Abs if ty == Type::I128 => {
                let count = self.constant(types::I64, 127);
                let sign = self.cursor.ins().sshr(a, count);
                let flipped = self.cursor.ins().bxor(a, sign);
                Some(self.cursor.ins().isub(flipped, sign))
            }
            Op::Abs => Some(self.cursor.ins().iabs(a)),
            Op::Sqrt => Some(self.cursor.ins().sqrt(a)),
            Op::Ceil => Some(self.cursor.ins().ceil(a)),
            Op::Floor => Some(self.cursor.ins().floor(a)),
            Op::RoundZero => Some(self.cursor.ins().trunc(a)),
            Op::RoundEven => Some(self.cursor.ins().nearest(a)),
            Op::Not if ty == Type::I1 => {
                let one = self.constant(types::I8, 1);
                Some(self.cursor.ins().bxor(a, one))
            }
            Op::Not => Some(self.cursor.ins().bnot(a)),
            Op::Clz => Some(self.cursor.ins().clz(a)),
            Op::Ctz => Some(self.cursor.ins().ctz(a)),
            Op::PopCount => Some(self.cursor.ins().popcnt(a)),
            Op::BitReverse => Some(self.cursor.ins().bitrev(a)),
            Op::ByteSwap if ty == Type::I8 => Some(a),
            Op::ByteSwap => Some(self.cursor.ins().bswap(a)),
            _ => None,
        };
        if let Some(value) = unary {
            return self.define(inst, value);
        }
        let b = self.arg(inst, 1)?;
        if let Some(cc) = int_condition(op, ty) {
            let value = self.cursor.ins().icmp(cc, a, b);
            return self.define(inst, value);
        }
        if let Some(cc) = float_condition(op) {
            let value = self.cursor.ins().fcmp(cc, a, b);
            return self.define(inst, value);
        }
        let value = match op {
            Op::Add if ty.is_float() => self.cursor.ins().fadd(a, b),
            Op::Add => self.cursor.ins().iadd(a, b),
            Op::Sub if ty.is_float() => self.cursor.ins().fsub(a, b),
            Op::Sub => self.cursor.ins().isub(a, b),
            Op::Mul if ty.is_float() => self.cursor.ins().fmul(a, b),
            Op::Mul => self.cursor.ins().imul(a, b),
            Op::Div => self.cursor.ins().fdiv(a, b),
            Op::DivS => self.cursor.ins().sdiv(a, b),
            Op::DivU => self.cursor.ins().udiv(a, b),
            Op::RemS => self.cursor.ins().srem(a, b),
            Op::RemU => self.cursor.ins().urem(a, b),
            Op::Min => self.cursor.ins().fmin(a, b),
            Op::Max => self.cursor.ins().fmax(a, b),
            Op::CopySign if self.type_of(a) == types::I16 => {
                let (rest, sign) = (self.constant(types::I16, 0x7fff), self.constant(types::I16, 0x8000));
                let magnitude = self.cursor.ins().band(a, rest);
                let sign = self.cursor.ins().band(b, sign);
                self.cursor.ins().bor(magnitude, sign)
            }
            Op::CopySign => self.cursor.ins().fcopysign(a, b),
            Op::And => self.cursor.ins().band(a, b),
            Op::Or => self.cursor.ins().bor(a, b),
            Op::Xor => self.cursor.ins().bxor(a, b),
            Op::Shl | Op::ShrS | Op::ShrU | Op::RotL | Op::RotR => self.shift(op, a, b),
            Op::MulHighS | Op::MulHighU => self.mul_high(op == Op::MulHighS, a, b),
            Op::AddSatS if ty.is_vector() => self.cursor.ins().sadd_sat(a, b),
            Op::AddSatU if ty.is_vector() => self.cursor.ins().uadd_sat(a, b),
            Op::SubSatS if ty.is_vector() => self.cursor.ins().ssub_sat(a, b),
            Op::SubSatU if ty.is_vector() => self.cursor.ins().usub_sat(a, b),
            Op::MinS if ty.is_vector() => self.cursor.ins().smin(a, b),
            Op::MinU if ty.is_vector() => self.cursor.ins().umin(a, b),
            Op::MaxS if ty.is_vector() => self.cursor.ins().smax(a, b),
            Op::MaxU if ty.is_vector() => self.cursor.ins().umax(a, b),
            Op::AddSatS | Op::AddSatU | Op::SubSatS | Op::SubSatU => self.saturating(op, a, b),
            Op::MinS => self.pick(IntCC::SignedLessThan, a, b),
            Op::MinU => self.pick(IntCC::UnsignedLessThan, a, b),
            Op::MaxS => self.pick(IntCC::SignedGreaterThan, a, b),
            Op::MaxU => self.pick(IntCC::UnsignedGreaterThan, a, b),
            Op::AddOverflowS | Op::AddOverflowU | Op::SubOverflowS | Op::SubOverflowU => {
                let results = self.overflowing(op, a, b);
                return self.define_all(inst, &results);
            }
            Op::MulOverflowS | Op::MulOverflowU => {
                let results = self.mul_overflow(op == Op::MulOverflowS, a, b);
                return self.define_all(inst, &results);
            }
            Op::Fma => {
                let c = self.arg(inst, 2)?;
                self.cursor.ins().fma(a, b, c)
            }
            Op::Select => {
                let c = self.arg(inst, 2)?;
                self.choose(a, b, c)
            }
            _ => return Err(self.unexpected(inst)),
        };
        self.define(inst, value)
    }

    fn shift(&mut self, op: Op, a: ir::Value, count: ir::Value) -> ir::Value {
        // Cranelift takes counts modulo the width; the low half of a wide one says it all.
        let count = match self.type_of(count) {
            types::I128 => self.cursor.ins().ireduce(types::I64, count),
            _ => count,
        };
        match op {
            Op::Shl => self.cursor.ins().ishl(a, count),
            Op::ShrS => self.cursor.ins().sshr(a, count),
            Op::ShrU => self.cursor.ins().ushr(a, count),
            Op::RotL => self.cursor.ins().rotl(a, count),
            _ => self.cursor.ins().rotr(a, count),
        }
    }

    fn pick(&mut self, cc: IntCC, a: ir::Value, b: ir::Value) -> ir::Value {
        let first = self.cursor.ins().icmp(cc, a, b);
        self.choose(first, a, b)
    }

    /// Cranelift's optimiser turns a choice by comparison into a minimum or maximum, which it has for `i128` on half of
    /// the architectures only; so 128 bits are chosen in halves.
    fn choose(&mut self, condition: ir::Value, a: ir::Value, b: ir::Value) -> ir::Value {
        if self.type_of(a) != types::I128 {
            return self.cursor.ins().select(condition, a, b);
        }
        let (a_low, a_high) = self.cursor.ins().isplit(a);
        let (b_low, b_high) = self.cursor.ins().isplit(b);
        let low = self.cursor.ins().select(condition, a_low, b_low);
        let high = self.cursor.ins().select(condition, a_high, b_high);
        self.cursor.ins().iconcat(low, high)
    }

    fn extend(&mut self, signed: bool, to: ir::Type, a: ir::Value) -> ir::Value {
        match (self.type_of(a) == to, signed) {
            (true, _) => a,
            (false, true) => self.cursor.ins().sextend(to, a),
            (false, false) => self.cursor.ins().uextend(to, a),
        }
    }

    fn mul_high(&mut self, signed: bool, a: ir::Value, b: ir::Value) -> ir::Value {
        let ty = self.type_of(a);
        if ty == types::I64 {
            return match signed {
                true => self.cursor.ins().smulhi(a, b),
                false => self.cursor.ins().umulhi(a, b),
            };
        }
        let product = self.wide_product(signed, a, b);
        let count = self.constant(types::I64, u128::from(ty.bits()));
        let high = self.cursor.ins().ushr(product, count);
        self.cursor.ins().ireduce(ty, high)
    }

    /// The exact product of integers of at most 32 bits, in 64 bits.
    fn wide_product(&mut self, signed: bool, a: ir::Value, b: ir::Value) -> ir::Value {
        let a = self.extend(signed, types::I64, a);
        let b = self.extend(signed, types::I64, b);
        self.cursor.ins().imul(a, b)
    }

    fn mul_overflow(&mut self, signed: bool, a: ir::Value, b: ir::Value) -> [ir::Value; 2] {
        let ty = self.type_of(a);
        if ty != types::I64 {
            let product = self.wide_product(signed, a, b);
            let low = self.cursor.ins().ireduce(ty, product);
            let back = self.extend(signed, types::I64, low);
            let overflow = self.cursor.ins().icmp(IntCC::NotEqual, back, product);
            return [low, overflow];
        }
        let low = self.cursor.ins().imul(a, b);
        let high = self.mul_high(signed, a, b);
        // The upper half must repeat the sign of the lower one, or be zero.
        let wanted = match signed {
            true => {
                let count = self.constant(types::I64, 63);
                self.cursor.ins().sshr(low, count)
            }
            false => self.constant(types::I64, 0),
        };
        let overflow = self.cursor.ins().icmp(IntCC::NotEqual, high, wanted);
        [low, overflow]
    }

    fn overflowing(&mut self, op: Op, a: ir::Value, b: ir::Value) -> [ir::Value; 2] {
        let ty = self.type_of(a);
        let is_add = matches!(op, Op::AddOverflowS | Op::AddOverflowU);
        let result = if is_add { self.cursor.ins().iadd(a, b) } else { self.cursor.ins().isub(a, b) };
        let overflow = match op {
            Op::AddOverflowU => self.cursor.ins().icmp(IntCC::UnsignedLessThan, result, a),
            Op::SubOverflowU => self.cursor.ins().icmp(IntCC::UnsignedLessThan, a, b),
            _ => {
                // A sum overflows if its sign differs from those of both operands, a difference if the operands'
                // signs differ and its own differs from the first.
                let first = self.cursor.ins().bxor(a, result);
                let other = if is_add { result } else { a };
                let second = self.cursor.ins().bxor(other, b);
                let both = self.cursor.ins().band(first, second);
                let zero = self.constant(ty, 0);
                self.cursor.ins().icmp(IntCC::SignedLessThan, both, zero)
            }
        };
        [result, overflow]
    }

    fn saturating(&mut self, op: Op, a: ir::Value, b: ir::Value) -> ir::Value {
        let ty = self.type_of(a);
        let wrapping = match op {
            Op::AddSatS => Op::AddOverflowS,
            Op::AddSatU => Op::AddOverflowU,
            Op::SubSatS => Op::SubOverflowS,
            _ => Op::SubOverflowU,
        };
        let [result, overflow] = self.overflowing(wrapping, a, b);
        let limit = match op {
            Op::AddSatU => self.constant(ty, mask(ty)),
            Op::SubSatU => self.constant(ty, 0),
            // The greatest value if the first operand is not negative, else the least.
            _ => {
                let count = match ty {
                    types::I128 => self.constant(types::I64, 127),
                    _ => self.constant(ty, u128::from(ty.bits() - 1)),
                };
                let sign = self.cursor.ins().sshr(a, count);
                let greatest = self.constant(ty, sign_bit(ty) - 1);
                self.cursor.ins().bxor(sign, greatest)
            }
        };
        self.choose(overflow, limit, result)
    }

    pub(super) fn convert(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let (from, to) = (self.arg_type(inst, 0), self.body.inst(inst).ty);
        let (a, ty) = (self.arg(inst, 0)?, held(to)?);
        let source = self.type_of(a);
        let value = match op {
            Op::Trunc => {
                let low = if source == ty { a } else { self.cursor.ins().ireduce(ty, a) };
                if to == Type::I1 {
                    let one = self.constant(ty, 1);
                    self.cursor.ins().band(low, one)
                } else {
                    low
                }
            }
            Op::Zext => self.extend(false, ty, a),
            Op::Sext if from == Type::I1 => {
                let wide = self.extend(false, ty, a);
                self.cursor.ins().ineg(wide)
            }
            Op::Sext => self.extend(true, ty, a),
            Op::FConvert if (from, to) == (Type::F32, Type::F64) => self.cursor.ins().fpromote(ty, a),
            Op::FConvert if (from, to) == (Type::F64, Type::F32) => self.cursor.ins().fdemote(ty, a),
            Op::FToS | Op::FToU => self.float_to_int(op == Op::FToS, ty, a),
            Op::SToF => {
                let wide = if source.bits() < 32 { self.extend(true, types::I32, a) } else { a };
                self.cursor.ins().fcvt_from_sint(ty, wide)
            }
            Op::UToF => {
                let wide = if source.bits() < 32 { self.extend(false, types::I32, a) } else { a };
                self.cursor.ins().fcvt_from_uint(ty, wide)
            }
            Op::Bitcast if source == ty => a,
            Op::Bitcast if ty.is_vector() => self.reinterpret_lanes(ty, a),
            Op::Bitcast if source.bits() == ty.bits() => {
                self.cursor.ins().bitcast(ty, MemFlagsData::new(), a)
            }
            Op::PtrToInt | Op::IntToPtr | Op::SpaceCast => a,
            _ => return Err(self.unexpected(inst)),
        };
        self.define(inst, value)
    }

    fn float_to_int(&mut self, signed: bool, ty: ir::Type, a: ir::Value) -> ir::Value {
        let wide = if ty.bits() < 32 { types::I32 } else { ty };
        let value = match signed {
            true => self.cursor.ins().fcvt_to_sint_sat(wide, a),
            false => self.cursor.ins().fcvt_to_uint_sat(wide, a),
        };
        if wide == ty {
            return value;
        }
        let clamped = if signed {
            let greatest = self.constant(wide, sign_bit(ty) - 1);
            let least = self.constant(wide, mask(wide) - (sign_bit(ty) - 1));
            let below = self.pick(IntCC::SignedLessThan, value, greatest);
            self.pick(IntCC::SignedGreaterThan, below, least)
        } else {
            let greatest = self.constant(wide, mask(ty));
            self.pick(IntCC::UnsignedLessThan, value, greatest)
        };
        self.cursor.ins().ireduce(ty, clamped)
    }
}

fn int_condition(op: Op, ty: Type) -> Option<IntCC> {
    if ty.is_float() {
        return None;
    }
    Some(match op {
        Op::Eq => IntCC::Equal,
        Op::Ne => IntCC::NotEqual,
        Op::LtS => IntCC::SignedLessThan,
        Op::LeS => IntCC::SignedLessThanOrEqual,
        Op::GtS => IntCC::SignedGreaterThan,
        Op::GeS => IntCC::SignedGreaterThanOrEqual,
        Op::LtU => IntCC::UnsignedLessThan,
        Op::LeU => IntCC::UnsignedLessThanOrEqual,
        Op::GtU => IntCC::UnsignedGreaterThan,
        Op::GeU => IntCC::UnsignedGreaterThanOrEqual,
        _ => return None,
    })
}

fn float_condition(op: Op) -> Option<FloatCC> {
    Some(match op {
        Op::Eq => FloatCC::Equal,
        Op::Ne => FloatCC::NotEqual,
        Op::Lt => FloatCC::LessThan,
        Op::Le => FloatCC::LessThanOrEqual,
        Op::Gt => FloatCC::GreaterThan,
        Op::Ge => FloatCC::GreaterThanOrEqual,
        Op::One => FloatCC::OrderedNotEqual,
        Op::Ueq => FloatCC::UnorderedOrEqual,
        Op::Ult => FloatCC::UnorderedOrLessThan,
        Op::Ule => FloatCC::UnorderedOrLessThanOrEqual,
        Op::Ugt => FloatCC::UnorderedOrGreaterThan,
        Op::Uge => FloatCC::UnorderedOrGreaterThanOrEqual,
        Op::Ord => FloatCC::Ordered,
        Op::Uno => FloatCC::Unordered,
        _ => return None,
    })
}
