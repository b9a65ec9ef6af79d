//! Integer ops in terms of simpler ones, at any width.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use smallvec::smallvec;

fn width(ty: Type) -> u32 {
    ty.lane().map_or(64, Scalar::bits)
}

impl Legaliser<'_> {
    /// An op on integers, truth values or pointers that the target does not have.
    pub(super) fn expand_int(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let &first = args.first()?;
        if first.ty == Type::I1 || results.first() == Some(&Type::I1) && ask.op == Op::Trunc {
            return self.expand_truth(ask, args, results);
        }
        if first.ty.is_pointer() {
            let second = *args.get(1)?;
            let (a, b) =
                (self.convert(Op::PtrToInt, Type::I64, first), self.convert(Op::PtrToInt, Type::I64, second));
            return matches!(ask.op, Op::Eq | Op::Ne).then(|| smallvec![self.op(ask.op, &[a, b])]);
        }
        match *args {
            [a] => self.expand_int_unary(ask, a).map(|val| smallvec![val]),
            [a, b] => match self.overflow(ask.op, a, b) {
                Some((value, overflowed)) => Some(smallvec![value, overflowed]),
                None => self.expand_int_binary(ask, a, b).map(|val| smallvec![val]),
            },
            [condition, yes, no] if ask.op == Op::Select => {
                // All ones or all zeros.
                let mask = self.sext(yes.ty, condition);
                let difference = self.xor(yes, no);
                let difference = self.and(difference, mask);
                Some(smallvec![self.xor(no, difference)])
            }
            _ => None,
        }
    }

    fn expand_truth(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let &result = results.first()?;
        let val = match (ask.op, args) {
            (Op::Trunc, &[a]) => {
                let one = self.int(a.ty, 1);
                let low = self.and(a, one);
                let zero = self.zero(a.ty);
                self.ne(low, zero)
            }
            (Op::Zext | Op::Sext, &[a]) => {
                let ones = if ask.op == Op::Sext { u128::MAX } else { 1 };
                let (yes, no) = (self.int(result, ones), self.zero(result));
                self.select(a, yes, no)
            }
            (Op::Not, &[a]) => {
                let yes = self.int(Type::I1, 1);
                self.xor(a, yes)
            }
            (Op::Ne, &[a, b]) => self.xor(a, b),
            (Op::Eq, &[a, b]) => {
                let differ = self.xor(a, b);
                self.not(differ)
            }
            (Op::Select, &[condition, yes, no]) if yes.ty == Type::I1 => {
                let taken = self.and(condition, yes);
                let otherwise = self.not(condition);
                let otherwise = self.and(otherwise, no);
                self.or(taken, otherwise)
            }
            (Op::Select, &[condition, yes, no]) if yes.ty.is_pointer() => {
                let yes = self.convert(Op::PtrToInt, Type::I64, yes);
                let no = self.convert(Op::PtrToInt, Type::I64, no);
                let chosen = self.select(condition, yes, no);
                self.convert(Op::IntToPtr, result, chosen)
            }
            (Op::Select, &[condition, yes, no]) => {
                let mask = self.sext(yes.ty, condition);
                let difference = self.xor(yes, no);
                let difference = self.and(difference, mask);
                self.xor(no, difference)
            }
            _ => return None,
        };
        Some(smallvec![val])
    }

    fn expand_int_unary(&mut self, ask: Ask, a: Val) -> Option<Val> {
        let bits = width(a.ty);
        Some(match ask.op {
            Op::Neg => {
                let zero = self.zero(a.ty);
                self.sub(zero, a)
            }
            Op::Not => {
                let ones = self.int(a.ty, u128::MAX);
                self.xor(a, ones)
            }
            Op::Abs => {
                let below = self.negative(a);
                let negated = self.op(Op::Neg, &[a]);
                self.select(below, negated, a)
            }
            Op::Clz => {
                // All bits below the highest one become ones.
                let mut smeared = a;
                let mut step = 1;
                while step < bits {
                    let moved = self.shift(Op::ShrU, smeared, step);
                    smeared = self.or(smeared, moved);
                    step *= 2;
                }
                let rest = self.not(smeared);
                self.op(Op::PopCount, &[rest])
            }
            Op::Ctz => {
                // Ones exactly where the trailing zeros are.
                let one = self.int(a.ty, 1);
                let less = self.sub(a, one);
                let inverse = self.not(a);
                let trailing = self.and(inverse, less);
                self.op(Op::PopCount, &[trailing])
            }
            Op::PopCount => {
                let mut sum = a;
                let mut step = 1;
                while step < bits {
                    let mask = self.int(a.ty, alternating(step));
                    let moved = self.shift(Op::ShrU, sum, step);
                    let (even, odd) = (self.and(sum, mask), self.and(moved, mask));
                    sum = self.add(even, odd);
                    step *= 2;
                }
                sum
            }
            Op::BitReverse => self.swap_groups(a, 1),
            Op::ByteSwap => self.swap_groups(a, 8),
            Op::Zext | Op::Sext => {
                // By way of a width in between.
                let between = [Scalar::I32, Scalar::I16, Scalar::I64]
                    .into_iter()
                    .find(|s| s.bits() > bits && s.bits() < width(ask.ty))?;
                let middle = self.convert(ask.op, a.ty.with_lane(between), a);
                self.convert(ask.op, ask.ty, middle)
            }
            _ => return None,
        })
    }

    /// Swaps neighbouring groups of bits, of all sizes from `smallest` on.
    fn swap_groups(&mut self, a: Val, smallest: u32) -> Val {
        let mut val = a;
        let mut step = smallest;
        while step < width(a.ty) {
            let mask = self.int(a.ty, alternating(step));
            let down = self.shift(Op::ShrU, val, step);
            let down = self.and(down, mask);
            let up = self.and(val, mask);
            let up = self.shift(Op::Shl, up, step);
            val = self.or(down, up);
            step *= 2;
        }
        val
    }

    fn expand_int_binary(&mut self, ask: Ask, a: Val, b: Val) -> Option<Val> {
        let by_comparison = |op| match op {
            Op::MinS => Some(Op::LtS),
            Op::MinU => Some(Op::LtU),
            Op::MaxS => Some(Op::GtS),
            Op::MaxU => Some(Op::GtU),
            _ => None,
        };
        if let Some(comparison) = by_comparison(ask.op) {
            let first = self.op(comparison, &[a, b]);
            return Some(self.select(first, a, b));
        }
        Some(match ask.op {
            Op::Ne => self.inverted(Op::Eq, a, b),
            Op::GtS => self.lt_s(b, a),
            Op::GtU => self.lt_u(b, a),
            Op::LeS => self.inverted(Op::LtS, b, a),
            Op::LeU => self.inverted(Op::LtU, b, a),
            Op::GeS => self.inverted(Op::LtS, a, b),
            Op::GeU => self.inverted(Op::LtU, a, b),
            Op::AddSatS | Op::SubSatS => {
                let (sum, overflowed) = self.overflow(
                    if ask.op == Op::AddSatS { Op::AddOverflowS } else { Op::SubOverflowS },
                    a,
                    b,
                )?;
                // The bound on the side of the first operand.
                let sign = self.shift(Op::ShrS, a, width(a.ty) - 1);
                let greatest = self.int(a.ty, a.ty.lane().map_or(0, Scalar::mask) >> 1);
                let bound = self.xor(sign, greatest);
                self.select(overflowed, bound, sum)
            }
            Op::AddSatU => {
                let (sum, overflowed) = self.overflow(Op::AddOverflowU, a, b)?;
                let greatest = self.int(a.ty, u128::MAX);
                self.select(overflowed, greatest, sum)
            }
            Op::SubSatU => {
                let (difference, overflowed) = self.overflow(Op::SubOverflowU, a, b)?;
                let zero = self.zero(a.ty);
                self.select(overflowed, zero, difference)
            }
            Op::RotL | Op::RotR => {
                // Counts are taken modulo the width, so that the rest may be the negated count.
                let (there, back) =
                    if ask.op == Op::RotL { (Op::Shl, Op::ShrU) } else { (Op::ShrU, Op::Shl) };
                let rest = self.op(Op::Neg, &[b]);
                let (moved, wrapped) = (self.op(there, &[a, b]), self.op(back, &[a, rest]));
                self.or(moved, wrapped)
            }
            Op::MulHighU => self.mul_high(a, b),
            Op::MulHighS => {
                // A negative operand counts 2^width too much.
                let high = self.op(Op::MulHighU, &[a, b]);
                let zero = self.zero(a.ty);
                let (a_negative, b_negative) = (self.negative(a), self.negative(b));
                let excess = self.select(a_negative, b, zero);
                let high = self.sub(high, excess);
                let excess = self.select(b_negative, a, zero);
                self.sub(high, excess)
            }
            Op::DivU | Op::RemU | Op::DivS | Op::RemS => self.divide(ask.op, a, b),
            _ => return None,
        })
    }

    fn inverted(&mut self, op: Op, a: Val, b: Val) -> Val {
        let holds = self.op(op, &[a, b]);
        self.not(holds)
    }

    /// The upper half of an unsigned product: in a type twice as wide, if that is held in one value; else from
    /// products of halves, none of whose sums overflows.
    fn mul_high(&mut self, a: Val, b: Val) -> Val {
        let (ty, bits) = (a.ty, width(a.ty));
        let wider = match bits {
            8 | 16 => Some(ty.with_lane(Scalar::I32)),
            32 => Some(ty.with_lane(Scalar::I64)),
            _ => None,
        };
        if let Some(wider) = wider
            && self.is_leaf(wider)
        {
            let (a, b) = (self.zext(wider, a), self.zext(wider, b));
            let product = self.mul(a, b);
            let high = self.shift(Op::ShrU, product, bits);
            return self.trunc(ty, high);
        }
        let half = bits / 2;
        let mask = self.int(ty, (1 << half) - 1);
        let (a_low, b_low) = (self.and(a, mask), self.and(b, mask));
        let (a_high, b_high) = (self.shift(Op::ShrU, a, half), self.shift(Op::ShrU, b, half));
        let low = self.mul(a_low, b_low);
        let carry = self.shift(Op::ShrU, low, half);
        let middle = self.mul(a_high, b_low);
        let middle = self.add(middle, carry);
        let other = self.mul(a_low, b_high);
        let part = self.and(middle, mask);
        let other = self.add(other, part);
        let high = self.mul(a_high, b_high);
        let middle = self.shift(Op::ShrU, middle, half);
        let high = self.add(high, middle);
        let other = self.shift(Op::ShrU, other, half);
        self.add(high, other)
    }

    /// The wrapped result and whether it wrapped, from ops that do not report it.
    fn overflow(&mut self, op: Op, a: Val, b: Val) -> Option<(Val, Val)> {
        Some(match op {
            Op::AddOverflowU => {
                let sum = self.add(a, b);
                (sum, self.lt_u(sum, a))
            }
            Op::SubOverflowU => (self.sub(a, b), self.lt_u(a, b)),
            Op::AddOverflowS | Op::SubOverflowS => {
                let subtracts = op == Op::SubOverflowS;
                let result = if subtracts { self.sub(a, b) } else { self.add(a, b) };
                // Wrapped if the result's sign differs from the first operand's where it cannot.
                let against = if subtracts { self.xor(a, b) } else { self.xor(b, result) };
                let changed = self.xor(a, result);
                let both = self.and(against, changed);
                (result, self.negative(both))
            }
            Op::MulOverflowU => {
                let product = self.mul(a, b);
                let high = self.op(Op::MulHighU, &[a, b]);
                let zero = self.zero(a.ty);
                (product, self.ne(high, zero))
            }
            Op::MulOverflowS => {
                let product = self.mul(a, b);
                let high = self.op(Op::MulHighS, &[a, b]);
                let sign = self.shift(Op::ShrS, product, width(a.ty) - 1);
                (product, self.ne(high, sign))
            }
            _ => return None,
        })
    }
}

/// Groups of `step` ones between groups of `step` zeros, ones lowest.
fn alternating(step: u32) -> u128 {
    let mut pattern = 0;
    let mut at = 0;
    while at < 128 {
        pattern |= ((1u128 << step) - 1) << at;
        at += 2 * step;
    }
    pattern
}
