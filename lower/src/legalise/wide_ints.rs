//! Integers that are held in two halves, low first.
//!
//! What has a formula in terms of other ops on the same type (minimum, saturation, rotation ...) takes it from
//! [`ints`](super::ints); the ops here are those that the formulas end in.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use crate::target::Action;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use smallvec::smallvec;

/// A wide integer's halves.
#[derive(Copy, Clone)]
struct Wide {
    low: Val,
    high: Val,
}

impl Legaliser<'_> {
    fn wide(&mut self, val: Val) -> Wide {
        Wide { low: self.part(val, 0), high: self.part(val, 1) }
    }

    fn narrow(&mut self, ty: Type, low: Val, high: Val) -> Val {
        self.join(ty, &[low, high])
    }

    /// An op with a wide integer among its operands and results.
    pub(super) fn wide_int_op(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let (&first, &result) = (args.first()?, results.first()?);
        if first.ty.is_float() || result.is_float() {
            // Conversions that go through bits.
            return match ask.op {
                Op::Bitcast => None,
                _ => self.expand_float(ask, args, results),
            };
        }
        let val = match ask.op {
            // Where 64 bits are two values, offsets have 32.
            Op::PtrAdd | Op::Index => {
                let offset = self.wide(*args.get(1)?).low;
                let ask = if ask.op == Op::PtrAdd { Ask::suffixed(Op::Index, Type::I8) } else { ask };
                self.one(ask, &[first, offset])
            }
            Op::PtrToInt | Op::IntToPtr => return self.no_wide_address(ask.op, first.ty, result),
            Op::Trunc => self.wide_truncate(first, result),
            Op::Zext | Op::Sext => self.widen(ask.op == Op::Sext, first, result),
            Op::Select => {
                let &[condition, yes, no] = args else { return None };
                let (yes, no) = (self.wide(yes), self.wide(no));
                let low = self.select(condition, yes.low, no.low);
                let high = self.select(condition, yes.high, no.high);
                self.narrow(result, low, high)
            }
            Op::Clz | Op::Ctz | Op::PopCount | Op::BitReverse | Op::ByteSwap | Op::Not => {
                self.wide_unary(ask.op, first)
            }
            Op::Add | Op::Sub | Op::Mul | Op::And | Op::Or | Op::Xor | Op::Shl | Op::ShrU | Op::ShrS => {
                self.wide_binary(ask.op, first, *args.get(1)?)
            }
            Op::Eq | Op::Ne | Op::LtU | Op::LtS => self.wide_compare(ask.op, first, *args.get(1)?),
            _ => return self.expand_int(ask, args, results),
        };
        Some(smallvec![val])
    }

    /// Where addresses do not fit a value, the target says what it has instead.
    fn no_wide_address(&mut self, op: Op, from: Type, to: Type) -> Option<Vals> {
        let Action::Unsupported(reason) = self.target.action(op, from, to) else { return None };
        self.unsupported_op(op, from, to, reason);
        let zero = self.zero(to);
        Some(smallvec![zero])
    }

    fn wide_truncate(&mut self, from: Val, to: Type) -> Val {
        let low = self.wide(from).low;
        match (to.bits(), low.ty.bits()) {
            (Some(to_bits), Some(low_bits)) if to_bits <= low_bits => self.trunc(to, low),
            _ => low,
        }
    }

    fn widen(&mut self, signed: bool, from: Val, to: Type) -> Val {
        let half = self.shape(to).part;
        let low = if from.ty == half {
            from
        } else if signed {
            self.sext(half, from)
        } else {
            self.zext(half, from)
        };
        let high = if signed {
            let top = half.bits().unwrap_or(64) - 1;
            self.shift(Op::ShrS, low, top)
        } else {
            self.zero(half)
        };
        self.narrow(to, low, high)
    }

    fn wide_unary(&mut self, op: Op, val: Val) -> Val {
        let Wide { low, high } = self.wide(val);
        let (from_low, from_high) = (self.op(op, &[low]), self.op(op, &[high]));
        let zero = self.zero(low.ty);
        let width = self.int(low.ty, u128::from(low.ty.bits().unwrap_or(64)));
        let count = match op {
            Op::Not => return self.narrow(val.ty, from_low, from_high),
            // The halves change places.
            Op::BitReverse | Op::ByteSwap => return self.narrow(val.ty, from_high, from_low),
            Op::PopCount => self.add(from_low, from_high),
            Op::Clz => {
                let empty = self.eq(high, zero);
                let further = self.add(from_low, width);
                self.select(empty, further, from_high)
            }
            _ => {
                let empty = self.eq(low, zero);
                let further = self.add(from_high, width);
                self.select(empty, further, from_low)
            }
        };
        self.narrow(val.ty, count, zero)
    }

    fn wide_binary(&mut self, op: Op, left: Val, right: Val) -> Val {
        let (a, b) = (self.wide(left), self.wide(right));
        match op {
            Op::Add => {
                let low = self.add(a.low, b.low);
                let carry = self.lt_u(low, a.low);
                let carry = self.zext(a.low.ty, carry);
                let high = self.add(a.high, b.high);
                let high = self.add(high, carry);
                self.narrow(left.ty, low, high)
            }
            Op::Sub => {
                let low = self.sub(a.low, b.low);
                let borrow = self.lt_u(a.low, b.low);
                let borrow = self.zext(a.low.ty, borrow);
                let high = self.sub(a.high, b.high);
                let high = self.sub(high, borrow);
                self.narrow(left.ty, low, high)
            }
            Op::Mul => {
                let low = self.mul(a.low, b.low);
                let high = self.op(Op::MulHighU, &[a.low, b.low]);
                let cross = self.mul(a.low, b.high);
                let high = self.add(high, cross);
                let cross = self.mul(a.high, b.low);
                let high = self.add(high, cross);
                self.narrow(left.ty, low, high)
            }
            Op::Shl | Op::ShrU | Op::ShrS => self.wide_shift(op, left, a, b.low),
            _ => {
                let (low, high) = (self.op(op, &[a.low, b.low]), self.op(op, &[a.high, b.high]));
                self.narrow(left.ty, low, high)
            }
        }
    }

    /// Shifts by a count whose bits above the width do not count; shifts of the halves take the count modulo the
    /// half's width by themselves.
    fn wide_shift(&mut self, op: Op, whole: Val, a: Wide, count: Val) -> Val {
        let ty = a.low.ty;
        let width = self.int(ty, u128::from(ty.bits().unwrap_or(64)));
        let zero = self.zero(ty);
        let crosses = self.and(count, width);
        let crosses = self.ne(crosses, zero);
        // What moves from one half into the other: by `half - count`, in two steps, since a count of 0 moves nothing.
        let rest = self.not(count);
        let (source, back, towards) =
            if op == Op::Shl { (a.low, Op::ShrU, a.high) } else { (a.high, Op::Shl, a.low) };
        let over = self.shift(back, source, 1);
        let over = self.op(back, &[over, rest]);
        let fill = match op {
            Op::ShrS => {
                let top = ty.bits().unwrap_or(64) - 1;
                self.shift(Op::ShrS, a.high, top)
            }
            _ => zero,
        };
        let moved_within = self.op(if op == Op::Shl { Op::Shl } else { Op::ShrU }, &[towards, count]);
        let near = self.or(moved_within, over);
        let far = self.op(op, &[source, count]);
        let first = self.select(crosses, fill, far);
        let second = self.select(crosses, far, near);
        if op == Op::Shl {
            self.narrow(whole.ty, first, second)
        } else {
            self.narrow(whole.ty, second, first)
        }
    }

    fn wide_compare(&mut self, op: Op, left: Val, right: Val) -> Val {
        let (a, b) = (self.wide(left), self.wide(right));
        if matches!(op, Op::Eq | Op::Ne) {
            let (low, high) = (self.xor(a.low, b.low), self.xor(a.high, b.high));
            let any = self.or(low, high);
            let zero = self.zero(any.ty);
            return self.op(op, &[any, zero]);
        }
        let above = self.op(op, &[a.high, b.high]);
        let same = self.eq(a.high, b.high);
        let below = self.lt_u(a.low, b.low);
        self.select(same, below, above)
    }

    /// The lowest bits of any integer as one of the scalar types.
    pub(super) fn low_bits(&mut self, val: Val, scalar: Scalar) -> Val {
        self.resize(Type::scalar(scalar), val)
    }
}
