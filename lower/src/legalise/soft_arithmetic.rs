//! Float arithmetic in integers: `fma`, `div`, `sqrt` and `rem`, rounded once.

use super::Legaliser;
use super::held::Val;
use super::memory::int_of;
use super::soft_float::{Format, width};
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};

impl Legaliser<'_> {
    /// `fma` of binary32 in binary64, where the product is exact: the sum is rounded to odd, which the second
    /// rounding does not notice.
    pub(super) fn fma_in_double(&mut self, args: &[Val]) -> Option<Val> {
        let mut wide = Vec::new();
        for &arg in args {
            wide.push(self.convert(Op::FConvert, Type::F64, arg));
        }
        let &[a, b, c] = wide.as_slice() else { return None };
        let product = self.mul(a, b);
        let sum = self.add(product, c);
        // The sum's exact error, whatever the operands' sizes (Knuth's TwoSum).
        let c_part = self.sub(sum, product);
        let product_part = self.sub(sum, c_part);
        let product_error = self.sub(product, product_part);
        let c_error = self.sub(c, c_part);
        let error = self.add(product_error, c_error);
        let zero = self.int(Type::F64, 0);
        let inexact = self.one_of(error, zero);
        let (sum_bits, error_bits) = (self.bitcast(Type::I64, sum), self.bitcast(Type::I64, error));
        let signs = self.xor(sum_bits, error_bits);
        let too_large = self.negative(signs);
        let odd = self.make_odd(sum, inexact, too_large);
        Some(self.convert(Op::FConvert, Type::F32, odd))
    }

    /// `fma` in integers.
    pub(super) fn soft_fma(&mut self, a: Val, b: Val, c: Val) -> Option<Val> {
        let format = Format::of(a.ty)?;
        let name = format!("fma_{}", a.ty);
        let outcome = self.call_helper(&name, &[a, b, c], &[a.ty], |l, params| match *params {
            [a, b, c] => vec![l.fma_body(format, a, b, c)],
            _ => Vec::new(),
        });
        outcome.first().copied()
    }

    fn fma_body(&mut self, format: Format, a: Val, b: Val, c: Val) -> Val {
        let (a_special, b_special) = (self.is_special(a, format), self.is_special(b, format));
        let (a_zero, b_zero) = (self.is_float_zero(a, format), self.is_float_zero(b, format));
        let any_special = self.or(a_special, b_special);
        let any_zero = self.or(a_zero, b_zero);
        // Infinite, NaN or zero: the product is exact.
        let easy = self.or(any_special, any_zero);
        let ty = a.ty;
        let outcome = self.either(
            easy,
            |l| {
                let product = l.mul(a, b);
                vec![l.add(product, c)]
            },
            |l| {
                let (c_special, c_zero) = (l.is_special(c, format), l.is_float_zero(c, format));
                let alone = l.or(c_special, c_zero);
                l.either(
                    alone,
                    |l| {
                        // An addend of zero must not turn a product that rounds to -0 into +0.
                        let (product, special) = (l.mul(a, b), l.add(c, c));
                        vec![l.select(c_special, special, product)]
                    },
                    |l| vec![l.fma_finite(format, ty, a, b, c)],
                )
            },
        );
        outcome.first().copied().unwrap_or(c)
    }

    /// a * b + c of finite numbers other than zero.
    fn fma_finite(&mut self, format: Format, ty: Type, a: Val, b: Val, c: Val) -> Val {
        let work = format.double_width();
        let bits = width(work);
        let (a, b, c) =
            (self.unpack(a, format, work), self.unpack(b, format, work), self.unpack(c, format, work));
        // The product of two significands of `precision` bits, its highest bit two below the top: room for a carry.
        let cut = bits - format.precision;
        let (a_low, b_low) =
            (self.shift(Op::ShrU, a.significand, cut), self.shift(Op::ShrU, b.significand, cut));
        let product = self.mul(a_low, b_low);
        let zeros = self.op(Op::Clz, &[product]);
        let product = self.shl(product, zeros);
        let product = self.shift(Op::ShrU, product, 2);
        let zeros = self.low_bits(zeros, Scalar::I32);
        let exponent = self.add(a.exponent, b.exponent);
        // With the highest bit at 2 * precision - 1 the product of the sizes is at least 2.
        let usual = self.int(Type::I32, u128::from(bits - 2 * format.precision + 1));
        let exponent = self.add(exponent, usual);
        let product_exponent = self.sub(exponent, zeros);
        let product_negative = self.xor(a.negative, b.negative);
        let addend = self.shift(Op::ShrU, c.significand, 2);
        // The larger one, and the smaller one moved under it.
        let higher = self.gt_s(c.exponent, product_exponent);
        let same = self.eq(c.exponent, product_exponent);
        let longer = self.gt_u(addend, product);
        let longer = self.and(same, longer);
        let swap = self.or(higher, longer);
        let large = self.select(swap, addend, product);
        let small = self.select(swap, product, addend);
        let large_exponent = self.select(swap, c.exponent, product_exponent);
        let small_exponent = self.select(swap, product_exponent, c.exponent);
        let negative = self.select(swap, c.negative, product_negative);
        let distance = self.sub(large_exponent, small_exponent);
        let most = self.int(Type::I32, u128::from(bits - 1));
        let distance = self.min_s(distance, most);
        let distance = self.resize(work, distance);
        let small = self.shift_sticky(small, distance);
        let (sum, difference) = (self.add(large, small), self.sub(large, small));
        let opposite = self.xor(product_negative, c.negative);
        let total = self.select(opposite, difference, sum);
        // The highest bit of `large` is two below the top and counts 2^large_exponent.
        let lowest = self.int(Type::I32, u128::from(bits - 3));
        let lowest = self.sub(large_exponent, lowest);
        let zero = self.zero(ty);
        let packed = self.normalise_pack(ty, negative, lowest, total).unwrap_or(zero);
        let cancelled = self.is_zero(total);
        self.select(cancelled, zero, packed)
    }

    /// `div` in integers.
    pub(super) fn soft_div(&mut self, a: Val, b: Val) -> Option<Val> {
        let format = Format::of(a.ty)?;
        let name = format!("divide_{}", a.ty);
        let outcome = self.call_helper(&name, &[a, b], &[a.ty], |l, params| match *params {
            [a, b] => l.div_body(format, a, b).into_iter().collect(),
            _ => Vec::new(),
        });
        outcome.first().copied()
    }

    fn div_body(&mut self, format: Format, a: Val, b: Val) -> Option<Val> {
        let (ty, raw) = (a.ty, int_of(a.ty));
        let work = format.double_width();
        let bits = width(work);
        let (x, y) = (self.unpack(a, format, work), self.unpack(b, format, work));
        let negative = self.xor(x.negative, y.negative);
        let dividend = self.shift(Op::ShrU, x.significand, 1);
        let divisor = self.shift(Op::ShrU, y.significand, bits - format.precision);
        // Zeros are dealt with below; the division must be defined all the same.
        let one = self.int(work, 1);
        let divisor = self.max_u(divisor, one);
        let quotient = self.op(Op::DivU, &[dividend, divisor]);
        let remainder = self.op(Op::RemU, &[dividend, divisor]);
        let zero = self.zero(work);
        let inexact = self.ne(remainder, zero);
        let inexact = self.zext(work, inexact);
        let quotient = self.or(quotient, inexact);
        let exponent = self.sub(x.exponent, y.exponent);
        let scale = self.int(Type::I32, u128::from(bits - 2 - (format.precision - 1)));
        let exponent = self.sub(exponent, scale);
        let number = self.normalise_pack(ty, negative, exponent, quotient)?;
        let number = self.bitcast(raw, number);
        let (a_zero, b_zero) = (self.is_float_zero(a, format), self.is_float_zero(b, format));
        let (a_special, b_special) = (self.is_special(a, format), self.is_special(b, format));
        let sign = self.int(raw, 1 << (format.bits - 1));
        let none = self.zero(raw);
        let signed_zero = self.select(negative, sign, none);
        let infinity = self.int(raw, format.infinity());
        let signed_infinity = self.or(signed_zero, infinity);
        let (to_zero, to_infinity) = (self.or(a_zero, b_special), self.or(b_zero, a_special));
        let number = self.select(to_zero, signed_zero, number);
        let number = self.select(to_infinity, signed_infinity, number);
        // 0/0, infinity/infinity, and NaN.
        let unordered = self.uno(a, b);
        let both = self.and(a_special, b_special);
        let zeros = self.and(a_zero, b_zero);
        let invalid = self.or(both, zeros);
        let invalid = self.or(invalid, unordered);
        let nan = self.nan(ty)?;
        let nan = self.bitcast(raw, nan);
        let number = self.select(invalid, nan, number);
        Some(self.bitcast(ty, number))
    }

    /// `sqrt` in integers: bit by bit.
    pub(super) fn soft_sqrt(&mut self, a: Val) -> Option<Val> {
        let format = Format::of(a.ty)?;
        let name = format!("sqrt_{}", a.ty);
        let outcome = self.call_helper(&name, &[a], &[a.ty], |l, params| match *params {
            [a] => l.sqrt_body(format, a).into_iter().collect(),
            _ => Vec::new(),
        });
        outcome.first().copied()
    }

    fn sqrt_body(&mut self, format: Format, a: Val) -> Option<Val> {
        let (ty, work) = (a.ty, format.double_width());
        let bits = width(work);
        let x = self.unpack(a, format, work);
        // An even exponent for the place value, so that the root's exponent is half of it.
        let one32 = self.int(Type::I32, 1);
        let odd = self.and(x.exponent, one32);
        let odd = self.resize(work, odd);
        let one = self.int(work, 1);
        let places = self.sub(one, odd);
        // significand * 2^(exponent - (bits - 1)); halved once more for even exponents.
        let value = self.shr_u(x.significand, places);
        let start = self.int(work, 1 << (bits - 2));
        let zero = self.zero(work);
        let end = self.loop_while(
            &[value, zero, start],
            |l, state| {
                let zero = l.zero(state[2].ty);
                l.ne(state[2], zero)
            },
            |l, state| {
                let [rest, root, bit] = *state else { return state.to_vec() };
                let trial = l.or(root, bit);
                let fits = l.ge_u(rest, trial);
                let less = l.sub(rest, trial);
                let rest = l.select(fits, less, rest);
                let halved = l.shift(Op::ShrU, root, 1);
                let more = l.or(halved, bit);
                let root = l.select(fits, more, halved);
                let bit = l.shift(Op::ShrU, bit, 2);
                vec![rest, root, bit]
            },
        );
        let &[rest, root, _] = end.as_slice() else { return None };
        // The root has bits / 2 bits, which is enough with one more place for what is left.
        let root = self.shift(Op::Shl, root, 1);
        let inexact = self.ne(rest, zero);
        let inexact = self.zext(work, inexact);
        let root = self.or(root, inexact);
        let exponent = self.shift(Op::ShrS, x.exponent, 1);
        let scale = self.int(Type::I32, u128::from(bits / 2));
        let exponent = self.sub(exponent, scale);
        let plus = self.int(Type::I1, 0);
        let number = self.normalise_pack(ty, plus, exponent, root)?;
        let is_zero = self.is_float_zero(a, format);
        let special = self.is_special(a, format);
        let same = self.or(is_zero, special);
        let number = self.select(same, a, number);
        let not_zero = self.not(is_zero);
        let invalid = self.and(x.negative, not_zero);
        let unordered = self.uno(a, a);
        let invalid = self.or(invalid, unordered);
        let nan = self.nan(ty)?;
        Some(self.select(invalid, nan, number))
    }

    /// `rem` in integers: exact, one bit of the exponents' distance per turn.
    pub(super) fn soft_rem(&mut self, a: Val, b: Val) -> Option<Val> {
        let format = Format::of(a.ty)?;
        let name = format!("remainder_{}", a.ty);
        let outcome = self.call_helper(&name, &[a, b], &[a.ty], |l, params| match *params {
            [a, b] => l.rem_body(format, a, b).into_iter().collect(),
            _ => Vec::new(),
        });
        outcome.first().copied()
    }

    fn rem_body(&mut self, format: Format, a: Val, b: Val) -> Option<Val> {
        let (ty, raw) = (a.ty, int_of(a.ty));
        let (x, y) = (self.unpack(a, format, raw), self.unpack(b, format, raw));
        let cut = width(raw) - format.precision;
        let (start, divisor) =
            (self.shift(Op::ShrU, x.significand, cut), self.shift(Op::ShrU, y.significand, cut));
        let distance = self.sub(x.exponent, y.exponent);
        let one = self.int(Type::I32, 1);
        let subtract = |l: &mut Self, rest: Val| {
            let fits = l.ge_u(rest, divisor);
            let less = l.sub(rest, divisor);
            l.select(fits, less, rest)
        };
        let end = self.loop_while(
            &[start, distance],
            |l, state| {
                let none = l.int(Type::I32, 0);
                l.gt_s(state[1], none)
            },
            |l, state| {
                let rest = subtract(l, state[0]);
                let rest = l.shift(Op::Shl, rest, 1);
                vec![rest, l.sub(state[1], one)]
            },
        );
        let rest = subtract(self, *end.first()?);
        let last = self.int(Type::I32, u128::from(format.precision - 1));
        let exponent = self.sub(y.exponent, last);
        let number = self.normalise_pack(ty, x.negative, exponent, rest)?;
        let empty = self.is_zero(rest);
        let sign = self.int(raw, 1 << (format.bits - 1));
        let none = self.zero(raw);
        let signed_zero = self.select(x.negative, sign, none);
        let number = self.bitcast(raw, number);
        let number = self.select(empty, signed_zero, number);
        let number = self.bitcast(ty, number);
        // A smaller dividend is its own remainder, and so is any finite one for an infinite divisor.
        let (a_size, b_size) = (self.op(Op::Abs, &[a]), self.op(Op::Abs, &[b]));
        let smaller = self.lt(a_size, b_size);
        let number = self.select(smaller, a, number);
        let (a_special, b_zero) = (self.is_special(a, format), self.is_float_zero(b, format));
        let unordered = self.uno(a, b);
        let invalid = self.or(a_special, b_zero);
        let invalid = self.or(invalid, unordered);
        let nan = self.nan(ty)?;
        Some(self.select(invalid, nan, number))
    }
}
