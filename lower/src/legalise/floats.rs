//! Float ops in terms of simpler ones: sign bits, comparisons, minima, rounding to integral values.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use super::memory::int_of;
use super::promote::promotes;
use super::soft_float::Format;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use smallvec::smallvec;

impl Legaliser<'_> {
    /// An op on floats that the target does not have.
    pub(super) fn expand_float(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let (&first, &result) = (args.first()?, results.first()?);
        let val = match (ask.op, args) {
            (Op::Neg | Op::Abs | Op::CopySign, _) => self.sign_op(ask.op, args)?,
            (Op::Select, &[condition, yes, no]) => {
                let bits = int_of(yes.ty);
                let (yes, no) = (self.bitcast(bits, yes), self.bitcast(bits, no));
                let chosen = self.select(condition, yes, no);
                self.bitcast(result, chosen)
            }
            (Op::FConvert, _) => self.convert_float(first, result)?,
            (Op::FToS | Op::FToU, _) => self.float_to_int(ask.op == Op::FToS, first, result)?,
            (Op::SToF | Op::UToF, _) => self.int_to_float(ask.op == Op::SToF, first, result)?,
            (Op::Fma, &[a, b, c]) => self.soft_fma(a, b, c)?,
            _ if matches!(first.ty, Type::F16 | Type::BF16) && promotes(ask.op, result) => {
                return self.promote(ask, args, results, Scalar::F32);
            }
            (Op::Min | Op::Max | Op::MinNumber | Op::MaxNumber, &[a, b]) => self.extremum(ask.op, a, b),
            (Op::Ceil | Op::Floor | Op::RoundZero | Op::RoundEven | Op::RoundAway, _) => {
                self.round_integral(ask.op, first)?
            }
            (Op::Sub, &[a, b]) => {
                let negated = self.op(Op::Neg, &[b]);
                self.add(a, negated)
            }
            (Op::Rem, &[a, b]) => self.soft_rem(a, b)?,
            (Op::Div, &[a, b]) => self.soft_div(a, b)?,
            (Op::Sqrt, &[a]) => self.soft_sqrt(a)?,
            (_, &[a, b]) if result == Type::I1 => self.compare_float(ask.op, a, b)?,
            _ => return None,
        };
        Some(smallvec![val])
    }

    fn sign_op(&mut self, op: Op, args: &[Val]) -> Option<Val> {
        let ty = args.first()?.ty;
        let bits = int_of(ty);
        let sign = self.int(bits, 1 << (ty.lane()?.bits() - 1));
        let rest = self.not(sign);
        let a = self.bitcast(bits, *args.first()?);
        let val = match op {
            Op::Neg => self.xor(a, sign),
            Op::Abs => self.and(a, rest),
            _ => {
                let other = self.bitcast(bits, *args.get(1)?);
                let (size, sign) = (self.and(a, rest), self.and(other, sign));
                self.or(size, sign)
            }
        };
        Some(self.bitcast(ty, val))
    }

    /// Comparisons in terms of `lt`, `gt` and `eq`, which are false for NaN.
    fn compare_float(&mut self, op: Op, a: Val, b: Val) -> Option<Val> {
        let negated = |op| match op {
            Op::Ne => Some(Op::Eq),
            Op::Ueq => Some(Op::One),
            Op::Ult => Some(Op::Ge),
            Op::Ule => Some(Op::Gt),
            Op::Ugt => Some(Op::Le),
            Op::Uge => Some(Op::Lt),
            Op::Uno => Some(Op::Ord),
            _ => None,
        };
        if let Some(opposite) = negated(op) {
            let holds = self.op(opposite, &[a, b]);
            return Some(self.not(holds));
        }
        Some(match op {
            Op::Gt => self.lt(b, a),
            Op::Ge => self.op(Op::Le, &[b, a]),
            Op::Le => {
                let (less, equal) = (self.lt(a, b), self.eq(a, b));
                self.or(less, equal)
            }
            Op::One => {
                let (less, greater) = (self.lt(a, b), self.lt(b, a));
                self.or(less, greater)
            }
            Op::Ord => {
                let (a, b) = (self.eq(a, a), self.eq(b, b));
                self.and(a, b)
            }
            _ => return None,
        })
    }

    /// The quiet NaN.
    pub(super) fn nan(&mut self, ty: Type) -> Option<Val> {
        let format = Format::of(ty)?;
        Some(self.int(ty, format.infinity() | format.implicit() >> 1))
    }

    /// Minimum and maximum of a value and a constant that is neither zero nor NaN, nor flushed to zero: if they are equal,
    /// it does not matter which of them is taken, and a comparison decides for NaN as well.
    fn extremum_with_constant(&mut self, op: Op, a: Val, b: Val) -> Option<Val> {
        let format = Format::of(a.ty)?;
        let is_plain = |l: &mut Self, val: Val| {
            let bits = l.const_bits(val)?;
            let (size, least) = (bits & !(1 << (val.ty.bits()? - 1)), format.implicit());
            Some((least..=format.infinity()).contains(&size))
        };
        let (x, constant) = match (is_plain(self, a), is_plain(self, b)) {
            (_, Some(true)) => (a, b),
            (Some(true), _) => (b, a),
            _ => return None,
        };
        Some(match op {
            Op::Min | Op::Max => {
                let beyond = if op == Op::Min { self.gt(x, constant) } else { self.lt(x, constant) };
                self.select(beyond, constant, x)
            }
            _ => {
                let within = if op == Op::MinNumber { self.lt(x, constant) } else { self.gt(x, constant) };
                self.select(within, x, constant)
            }
        })
    }

    /// Minimum and maximum. Equal operands have the same bits, but for zeros, where the union of the bits is -0 and
    /// the common part +0.
    fn extremum(&mut self, op: Op, a: Val, b: Val) -> Val {
        if let Some(val) = self.extremum_with_constant(op, a, b) {
            return val;
        }
        let smaller = matches!(op, Op::Min | Op::MinNumber);
        let bits = int_of(a.ty);
        let (less, greater) = (self.lt(a, b), self.gt(a, b));
        let (a_bits, b_bits) = (self.bitcast(bits, a), self.bitcast(bits, b));
        let same = if smaller { self.or(a_bits, b_bits) } else { self.and(a_bits, b_bits) };
        let (if_less, if_greater) = if smaller { (a_bits, b_bits) } else { (b_bits, a_bits) };
        let val = self.select(greater, if_greater, same);
        let val = self.select(less, if_less, val);
        let quiet = match self.nan(a.ty) {
            Some(nan) => self.bitcast(bits, nan),
            None => val,
        };
        let val = if matches!(op, Op::Min | Op::Max) {
            let unordered = self.uno(a, b);
            self.select(unordered, quiet, val)
        } else {
            let (a_nan, b_nan) = (self.uno(a, a), self.uno(b, b));
            let val = self.select(b_nan, a_bits, val);
            let val = self.select(a_nan, b_bits, val);
            let both = self.and(a_nan, b_nan);
            self.select(both, quiet, val)
        };
        self.bitcast(a.ty, val)
    }

    /// Rounding to integral values. Adding 2^(precision - 1) to a smaller size drops the fraction, rounded to
    /// nearest, ties to even; greater values are integral already. The sign never changes.
    fn round_integral(&mut self, op: Op, x: Val) -> Option<Val> {
        let format = Format::of(x.ty)?;
        let float = |l: &mut Self, exponent: i32| l.int(x.ty, format.power_of_two(exponent));
        let size = self.op(Op::Abs, &[x]);
        let large = float(self, format.precision as i32 - 1);
        let one = float(self, 0);
        let has_fraction = self.lt(size, large);
        let sum = self.add(size, large);
        let nearest = self.sub(sum, large);
        let negative = {
            let bits = self.bitcast(int_of(x.ty), x);
            self.negative(bits)
        };
        // In terms of sizes: towards zero, away from it, or either by the sign.
        let zero = self.int(x.ty, 0);
        let above = self.gt(nearest, size);
        let less = self.sub(nearest, one);
        let below = self.lt(nearest, size);
        let more = self.add(nearest, one);
        let val = match op {
            Op::RoundEven => nearest,
            Op::RoundZero => self.select(above, less, nearest),
            Op::Floor | Op::Ceil => {
                let inwards = self.select(above, less, nearest);
                let outwards = self.select(below, more, nearest);
                if op == Op::Floor {
                    self.select(negative, outwards, inwards)
                } else {
                    self.select(negative, inwards, outwards)
                }
            }
            _ => {
                let inwards = self.select(above, less, nearest);
                let fraction = self.sub(size, inwards);
                let half = float(self, -1);
                let up = self.ge(fraction, half);
                let step = self.select(up, one, zero);
                self.add(inwards, step)
            }
        };
        let val = self.op(Op::CopySign, &[val, x]);
        Some(self.select(has_fraction, val, x))
    }
}
