//! Floats as integers: taken apart, computed exactly, rounded once, put together.
//!
//! A finite number other than zero is a sign, an exponent (of the highest bit, in an `i32`) and a significand
//! whose highest bit is the highest bit of an unsigned integer of the working type. What does not fit the working type
//! survives as a one in its lowest bit, which is far below the bits that decide the rounding.

use super::Legaliser;
use super::held::Val;
use super::memory::int_of;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};

/// A binary interchange format (IEEE 754-2019, 3.4), bfloat16 included.
#[derive(Copy, Clone, Debug)]
pub(super) struct Format {
    /// All bits.
    pub bits: u32,
    /// Bits of the significand, the implicit one included.
    pub precision: u32,
}

impl Format {
    pub(super) fn of(ty: Type) -> Option<Format> {
        let (bits, precision) = match ty.lane()? {
            Scalar::F16 => (16, 11),
            Scalar::BF16 => (16, 8),
            Scalar::F32 => (32, 24),
            Scalar::F64 => (64, 53),
            _ => return None,
        };
        Some(Format { bits, precision })
    }

    /// The exponent's bias: also the greatest exponent.
    pub(super) fn bias(self) -> i32 {
        (1 << (self.bits - self.precision - 1)) - 1
    }

    /// All ones in the exponent, nothing else.
    pub(super) fn infinity(self) -> u128 {
        ((1 << (self.bits - self.precision)) - 1) << (self.precision - 1)
    }

    /// The implicit bit.
    pub(super) fn implicit(self) -> u128 {
        1 << (self.precision - 1)
    }

    /// The bits of 2^exponent, for a normal number.
    pub(super) fn power_of_two(self, exponent: i32) -> u128 {
        ((exponent + self.bias()) as u128) << (self.precision - 1)
    }

    /// An integer type with room for products of two significands and two more bits, or for quotients.
    pub(super) fn double_width(self) -> Type {
        match self.bits {
            16 => Type::I32,
            32 => Type::I64,
            _ => Type::I128,
        }
    }
}

/// A number taken apart.
#[derive(Copy, Clone)]
pub(super) struct Unpacked {
    pub negative: Val,
    pub exponent: Val,
    pub significand: Val,
}

pub(super) fn width(ty: Type) -> u32 {
    ty.lane().map_or(64, Scalar::bits)
}

impl Legaliser<'_> {
    /// The exponent's field, in an `i32`.
    pub(super) fn exponent_field(&mut self, raw: Val, format: Format) -> Val {
        let field = self.shift(Op::ShrU, raw, format.precision - 1);
        let mask = self.int(raw.ty, (1 << (format.bits - format.precision)) - 1);
        let field = self.and(field, mask);
        self.resize(Type::I32, field)
    }

    /// Takes a finite number apart; a zero has the significand 0.
    pub(super) fn unpack(&mut self, x: Val, format: Format, work: Type) -> Unpacked {
        let raw = self.bitcast(int_of(x.ty), x);
        let negative = self.negative(raw);
        let field = self.exponent_field(raw, format);
        let fraction_mask = self.int(raw.ty, format.implicit() - 1);
        let fraction = self.and(raw, fraction_mask);
        let implicit = self.int(raw.ty, format.implicit());
        let full = self.or(fraction, implicit);
        let subnormal = self.is_zero(field);
        let significand = self.select(subnormal, fraction, full);
        let significand = self.resize(work, significand);
        let zeros = self.op(Op::Clz, &[significand]);
        let significand = self.shl(significand, zeros);
        // Subnormals have the exponent of the least normal numbers.
        let one = self.int(Type::I32, 1);
        let field = self.max_s(field, one);
        let zeros = self.low_bits(zeros, Scalar::I32);
        let usual = self.int(Type::I32, u128::from(width(work) - format.precision));
        let shift = self.sub(zeros, usual);
        let exponent = self.sub(field, shift);
        let bias = self.int(Type::I32, format.bias() as u128);
        let exponent = self.sub(exponent, bias);
        Unpacked { negative, exponent, significand }
    }

    /// Shifts right by a count below the width; what is lost is kept as a one in the lowest bit.
    pub(super) fn shift_sticky(&mut self, value: Val, count: Val) -> Val {
        let shifted = self.shr_u(value, count);
        let back = self.shl(shifted, count);
        let lost = self.ne(back, value);
        let lost = self.zext(value.ty, lost);
        self.or(shifted, lost)
    }

    /// Rounds to nearest, ties to even, and puts together a number that is not zero.
    pub(super) fn round_pack(
        &mut self,
        format: Format,
        to: Type,
        negative: Val,
        exponent: Val,
        significand: Val,
    ) -> Val {
        let work = significand.ty;
        let raw = int_of(to);
        let bias = self.int(Type::I32, format.bias() as u128);
        let field = self.add(exponent, bias);
        let (zero, one) = (self.int(Type::I32, 0), self.int(Type::I32, 1));
        // Below the least normal exponent, bits move out of the significand.
        let down = self.sub(one, field);
        let down = self.max_s(down, zero);
        let most = self.int(Type::I32, u128::from(width(work) - 1));
        let down = self.min_s(down, most);
        let down = self.resize(work, down);
        let significand = self.shift_sticky(significand, down);
        let kept = self.shift(Op::ShrU, significand, width(work) - format.precision);
        let rest = self.shift(Op::Shl, significand, format.precision);
        let half = self.int(work, 1 << (width(work) - 1));
        let (above, tie) = (self.gt_u(rest, half), self.eq(rest, half));
        let odd = self.trunc(Type::I1, kept);
        let up = self.and(tie, odd);
        let up = self.or(above, up);
        // The implicit bit of a normal number adds one to the exponent, and so does a carry.
        let base = self.max_s(field, one);
        let base = self.sub(base, one);
        let base = self.resize(raw, base);
        let base = self.shift(Op::Shl, base, format.precision - 1);
        let kept = self.resize(raw, kept);
        let up = self.zext(raw, up);
        let size = self.add(base, kept);
        let size = self.add(size, up);
        let greatest = self.int(Type::I32, (2 * format.bias() + 1) as u128);
        let overflows = self.ge_s(field, greatest);
        let infinity = self.int(raw, format.infinity());
        let size = self.select(overflows, infinity, size);
        let sign = self.int(raw, 1 << (format.bits - 1));
        let plus = self.zero(raw);
        let sign = self.select(negative, sign, plus);
        let bits = self.or(size, sign);
        self.bitcast(to, bits)
    }

    /// Normalises a significand that is not zero, whose lowest bit counts 2^exponent, and rounds it.
    pub(super) fn normalise_pack(
        &mut self,
        to: Type,
        negative: Val,
        exponent: Val,
        significand: Val,
    ) -> Option<Val> {
        let format = Format::of(to)?;
        let zeros = self.op(Op::Clz, &[significand]);
        let significand = self.shl(significand, zeros);
        let zeros = self.low_bits(zeros, Scalar::I32);
        let top = self.int(Type::I32, u128::from(width(significand.ty) - 1));
        let exponent = self.add(exponent, top);
        let exponent = self.sub(exponent, zeros);
        Some(self.round_pack(format, to, negative, exponent, significand))
    }

    /// Whether a float is infinite or NaN.
    pub(super) fn is_special(&mut self, x: Val, format: Format) -> Val {
        let raw = self.bitcast(int_of(x.ty), x);
        let mask = self.int(raw.ty, format.infinity());
        let field = self.and(raw, mask);
        self.eq(field, mask)
    }

    pub(super) fn is_float_zero(&mut self, x: Val, format: Format) -> Val {
        let raw = self.bitcast(int_of(x.ty), x);
        let doubled = self.shift(Op::Shl, raw, format.bits - raw.ty.bits().unwrap_or(format.bits) + 1);
        self.is_zero(doubled)
    }

    /// `fconvert` between binary32 and binary64, or any two formats.
    pub(super) fn repack_float(&mut self, x: Val, to: Type) -> Option<Val> {
        let (from_format, to_format) = (Format::of(x.ty)?, Format::of(to)?);
        let work = Type::I64;
        let parts = self.unpack(x, from_format, work);
        let number = self.round_pack(to_format, to, parts.negative, parts.exponent, parts.significand);
        let raw = int_of(to);
        let bits = self.bitcast(raw, number);
        let sign = self.int(raw, 1 << (to_format.bits - 1));
        let none = self.zero(raw);
        let signed_zero = self.select(parts.negative, sign, none);
        let infinity = self.int(raw, to_format.infinity());
        let signed_infinity = self.or(signed_zero, infinity);
        let is_zero = self.is_float_zero(x, from_format);
        let is_special = self.is_special(x, from_format);
        let is_nan = self.uno(x, x);
        let nan = self.nan(to)?;
        let nan = self.bitcast(raw, nan);
        let bits = self.select(is_zero, signed_zero, bits);
        let bits = self.select(is_special, signed_infinity, bits);
        let bits = self.select(is_nan, nan, bits);
        Some(self.bitcast(to, bits))
    }
}
