//! Conversions between floats, and between floats and integers, in integer code with one rounding.

use super::Legaliser;
use super::held::Val;
use super::memory::int_of;
use super::soft_float::Format;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};

impl Legaliser<'_> {
    /// `fconvert`.
    pub(super) fn convert_float(&mut self, x: Val, to: Type) -> Option<Val> {
        match (x.ty, to) {
            (Type::F16, Type::F32) => Some(self.half_to_single(x)),
            (Type::BF16, Type::F32) => {
                let bits = self.bitcast(Type::I16, x);
                let bits = self.zext(Type::I32, bits);
                let bits = self.shift(Op::Shl, bits, 16);
                Some(self.bitcast(Type::F32, bits))
            }
            (Type::F32, Type::F16) => Some(self.single_to_half(x)),
            (Type::F32, Type::BF16) => Some(self.single_to_brain(x)),
            (Type::F64, Type::F16 | Type::BF16) => {
                let single = self.double_to_single_odd(x);
                Some(self.convert(Op::FConvert, to, single))
            }
            // Through binary32, where one of the two steps is exact.
            (Type::F16 | Type::BF16, _) => {
                let single = self.convert(Op::FConvert, Type::F32, x);
                Some(self.convert(Op::FConvert, to, single))
            }
            (Type::F32, Type::F64) | (Type::F64, Type::F32) => self.repack_float(x, to),
            _ => None,
        }
    }

    fn half_to_single(&mut self, x: Val) -> Val {
        let bits = self.bitcast(Type::I16, x);
        let bits = self.zext(Type::I32, bits);
        let (size_mask, sign_mask) = (self.int(Type::I32, 0x7fff), self.int(Type::I32, 0x8000));
        let (size, sign) = (self.and(bits, size_mask), self.and(bits, sign_mask));
        let sign = self.shift(Op::Shl, sign, 16);
        let moved = self.shift(Op::Shl, size, 13);
        // The exponent's bias grows by 112; infinity and NaN keep all ones, which takes as much again.
        let rebias = self.int(Type::I32, 112 << 23);
        let normal = self.add(moved, rebias);
        let special = self.add(normal, rebias);
        let infinity = self.int(Type::I32, 0x7c00);
        let is_special = self.ge_u(size, infinity);
        let val = self.select(is_special, special, normal);
        // A subnormal is its fraction times 2^-24, and normal in binary32.
        let fraction = self.op_utof(size, Type::F32);
        let scale = self.int(Type::F32, u128::from((2f32).powi(-24).to_bits()));
        let subnormal = self.mul(fraction, scale);
        let subnormal = self.bitcast(Type::I32, subnormal);
        let least = self.int(Type::I32, 0x400);
        let is_subnormal = self.lt_u(size, least);
        let val = self.select(is_subnormal, subnormal, val);
        let val = self.or(val, sign);
        self.bitcast(Type::F32, val)
    }

    fn op_utof(&mut self, x: Val, to: Type) -> Val {
        self.convert(Op::UToF, to, x)
    }

    fn single_to_half(&mut self, x: Val) -> Val {
        let bits = self.bitcast(Type::I32, x);
        let size_mask = self.int(Type::I32, 0x7fff_ffff);
        let size = self.and(bits, size_mask);
        let sign = self.shift(Op::ShrU, bits, 16);
        let sign_mask = self.int(Type::I32, 0x8000);
        let sign = self.and(sign, sign_mask);
        // Normal: a smaller bias, then the 13 bits that go round the rest to nearest, ties to even.
        let rebias = self.int(Type::I32, 112 << 23);
        let rebiased = self.sub(size, rebias);
        let normal = self.round_off(rebiased, 13);
        // Subnormal: adding 1/2 puts the unit 2^-24 last, so that the sum rounds there.
        let half = self.int(Type::F32, u128::from(0.5f32.to_bits()));
        let value = self.bitcast(Type::F32, size);
        let sum = self.add(value, half);
        let sum = self.bitcast(Type::I32, sum);
        let half_bits = self.int(Type::I32, u128::from(0.5f32.to_bits()));
        let subnormal = self.sub(sum, half_bits);
        let least_normal = self.int(Type::I32, 113 << 23);
        let is_subnormal = self.lt_u(size, least_normal);
        let val = self.select(is_subnormal, subnormal, normal);
        // From 65520 on, halfway above the greatest, it is infinity.
        let overflow = self.int(Type::I32, u128::from(65520f32.to_bits()));
        let overflows = self.ge_u(size, overflow);
        let infinity = self.int(Type::I32, 0x7c00);
        let val = self.select(overflows, infinity, val);
        let single_infinity = self.int(Type::I32, 0x7f80_0000);
        let is_nan = self.gt_u(size, single_infinity);
        let nan = self.int(Type::I32, 0x7e00);
        let val = self.select(is_nan, nan, val);
        let val = self.or(val, sign);
        let val = self.trunc(Type::I16, val);
        self.bitcast(Type::F16, val)
    }

    /// Shifts right by `count`, rounding to nearest, ties to even; there must be room for the carry.
    fn round_off(&mut self, bits: Val, count: u32) -> Val {
        let odd = self.shift(Op::ShrU, bits, count);
        let one = self.int(bits.ty, 1);
        let odd = self.and(odd, one);
        let almost_half = self.int(bits.ty, (1 << (count - 1)) - 1);
        let sum = self.add(bits, almost_half);
        let sum = self.add(sum, odd);
        self.shift(Op::ShrU, sum, count)
    }

    fn single_to_brain(&mut self, x: Val) -> Val {
        let bits = self.bitcast(Type::I32, x);
        let rounded = self.round_off(bits, 16);
        // The carry of a NaN might make it something else.
        let size_mask = self.int(Type::I32, 0x7fff_ffff);
        let size = self.and(bits, size_mask);
        let infinity = self.int(Type::I32, 0x7f80_0000);
        let is_nan = self.gt_u(size, infinity);
        let cut = self.shift(Op::ShrU, bits, 16);
        let quiet = self.int(Type::I32, 0x40);
        let nan = self.or(cut, quiet);
        let val = self.select(is_nan, nan, rounded);
        let val = self.trunc(Type::I16, val);
        self.bitcast(Type::BF16, val)
    }

    /// binary64 to binary32, rounded to odd: inexact results have an odd last bit, so that rounding them again to
    /// a format of at most 22 bits of precision gives what one rounding would.
    fn double_to_single_odd(&mut self, x: Val) -> Val {
        let near = self.convert(Op::FConvert, Type::F32, x);
        let back = self.convert(Op::FConvert, Type::F64, near);
        let inexact = self.one_of(back, x);
        let (size, back_size) = (self.op(Op::Abs, &[x]), self.op(Op::Abs, &[back]));
        let too_large = self.gt(back_size, size);
        self.make_odd(near, inexact, too_large)
    }

    /// Moves an inexact, even result by one unit towards the exact value: down if its size is too large.
    pub(super) fn make_odd(&mut self, near: Val, inexact: Val, too_large: Val) -> Val {
        let ty = int_of(near.ty);
        let bits = self.bitcast(ty, near);
        let one = self.int(ty, 1);
        let (less, more) = (self.sub(bits, one), self.add(bits, one));
        let moved = self.select(too_large, less, more);
        let odd = self.trunc(Type::I1, bits);
        let even = self.not(odd);
        let moves = self.and(inexact, even);
        let val = self.select(moves, moved, bits);
        self.bitcast(near.ty, val)
    }

    /// `ftos` and `ftou`: the significand shifted to its place, clamped.
    pub(super) fn float_to_int(&mut self, signed: bool, x: Val, to: Type) -> Option<Val> {
        if matches!(x.ty, Type::F16 | Type::BF16) {
            let single = self.convert(Op::FConvert, Type::F32, x);
            return Some(self.convert(if signed { Op::FToS } else { Op::FToU }, to, single));
        }
        let (format, bits) = (Format::of(x.ty)?, to.as_scalar()?.bits());
        // At least as wide as the float, so that its significand has room.
        let work = if bits > format.bits { to } else { int_of(x.ty) };
        let work_bits = work.bits()?;
        let raw = self.bitcast(int_of(x.ty), x);
        let negative = self.negative(raw);
        let exponent = self.exponent_field(raw, format);
        let bias = self.int(Type::I32, format.bias() as u128);
        let exponent = self.sub(exponent, bias);
        let fraction_mask = self.int(raw.ty, format.implicit() - 1);
        let fraction = self.and(raw, fraction_mask);
        let implicit = self.int(raw.ty, format.implicit());
        let significand = self.or(fraction, implicit);
        let significand = self.resize(work, significand);
        let last = self.int(Type::I32, u128::from(format.precision - 1));
        let up = self.sub(exponent, last);
        let down = self.op(Op::Neg, &[up]);
        let (up_count, down_count) = (self.resize(work, up), self.resize(work, down));
        let (shifted_up, shifted_down) =
            (self.shl(significand, up_count), self.shr_u(significand, down_count));
        let goes_down = self.negative(up);
        let size = self.select(goes_down, shifted_down, shifted_up);
        let zero = self.zero(work);
        // Below one.
        let small = self.negative(exponent);
        let size = self.select(small, zero, size);
        // Too large for the shift, or for the result.
        let (greatest, least) = if signed {
            ((1u128 << (bits - 1)) - 1, 1u128 << (bits - 1))
        } else {
            (to.as_scalar()?.mask(), 0)
        };
        let top = if signed { bits - 1 } else { bits };
        let top = self.int(Type::I32, u128::from(top));
        let overflows = self.ge_s(exponent, top);
        let negated = self.op(Op::Neg, &[size]);
        let value = if signed { self.select(negative, negated, size) } else { size };
        let value = if work_bits > bits { self.trunc(to, value) } else { value };
        let (greatest, least) = (self.int(to, greatest), self.int(to, least));
        let bound = self.select(negative, least, greatest);
        let value = self.select(overflows, bound, value);
        let zero = self.zero(to);
        let value = if signed { value } else { self.select(negative, zero, value) };
        let is_nan = self.uno(x, x);
        Some(self.select(is_nan, zero, value))
    }

    /// `stof` and `utof`: the size, its highest bit in the highest place, rounded and packed.
    pub(super) fn int_to_float(&mut self, signed: bool, x: Val, to: Type) -> Option<Val> {
        let format = Format::of(to)?;
        let op = if signed { Op::SToF } else { Op::UToF };
        if matches!(to, Type::F16 | Type::BF16) && self.rounds_once(x.ty, Type::F32, to) {
            let single = self.convert(op, Type::F32, x);
            return Some(self.convert(Op::FConvert, to, single));
        }
        let bits = x.ty.as_scalar()?.bits();
        let widen = if signed { Op::Sext } else { Op::Zext };
        let wanted = bits.max(format.bits).max(32);
        let work = match wanted {
            32 => Type::I32,
            64 => Type::I64,
            _ => Type::I128,
        };
        let value = self.convert(widen, work, x);
        let from_small = bits < format.precision && self.is_leaf(Type::I32) && bits < 32;
        if from_small && x.ty != Type::I32 {
            // Narrow integers are exact by way of a wider one.
            return Some(self.convert(op, to, value));
        }
        let name = format!("{}_{work}_to_{to}", if signed { "signed" } else { "unsigned" });
        let outcome = self.call_helper(&name, &[value], &[to], |l, params| match *params {
            [value] => vec![l.pack_int(signed, value, to, format)],
            _ => Vec::new(),
        });
        outcome.first().copied()
    }

    fn pack_int(&mut self, signed: bool, value: Val, to: Type, format: Format) -> Val {
        let work = value.ty;
        let (negative, size) = if signed {
            (self.negative(value), self.op(Op::Abs, &[value]))
        } else {
            (self.int(Type::I1, 0), value)
        };
        let zeros = self.op(Op::Clz, &[size]);
        let significand = self.shl(size, zeros);
        let top = self.int(Type::I32, u128::from(work.as_scalar().map_or(0, Scalar::bits) - 1));
        let zeros = self.low_bits(zeros, Scalar::I32);
        let exponent = self.sub(top, zeros);
        let packed = self.round_pack(format, to, negative, exponent, significand);
        let empty = self.is_zero(size);
        let zero = self.zero(to);
        self.select(empty, zero, packed)
    }
}
