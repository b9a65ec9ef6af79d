//! Integer division in software: binary long division, one helper per type.

use super::Legaliser;
use super::held::Val;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

impl Legaliser<'_> {
    /// A guarded division.
    pub(super) fn divide(&mut self, op: Op, a: Val, b: Val) -> Val {
        match op {
            Op::DivU => self.divide_unsigned(a, b)[0],
            Op::RemU => self.divide_unsigned(a, b)[1],
            _ => {
                let (a_negative, b_negative) = (self.negative(a), self.negative(b));
                let (a_size, b_size) = (self.op(Op::Abs, &[a]), self.op(Op::Abs, &[b]));
                let wanted = if op == Op::DivS { Op::DivU } else { Op::RemU };
                let size = self.op(wanted, &[a_size, b_size]);
                let negated = self.op(Op::Neg, &[size]);
                // A remainder has the sign of the dividend.
                let negative = if op == Op::DivS { self.xor(a_negative, b_negative) } else { a_negative };
                self.select(negative, negated, size)
            }
        }
    }

    /// Quotient and remainder.
    fn divide_unsigned(&mut self, a: Val, b: Val) -> [Val; 2] {
        let name = format!("divide_{}", a.ty);
        let results = [a.ty, a.ty];
        match *self.call_helper(&name, &[a, b], &results, |l, params| match *params {
            [a, b] => l.long_division(a, b),
            _ => Vec::new(),
        }) {
            [quotient, remainder] => [quotient, remainder],
            _ => [a, b],
        }
    }

    /// Where the upper halves of both are empty, one division of halves does.
    fn long_division(&mut self, a: Val, b: Val) -> Vec<Val> {
        let ty = a.ty;
        let (Type::I128, half) = (ty, Type::I64) else { return self.shift_and_subtract(a, b) };
        let any = self.or(a, b);
        let high = self.shift(Op::ShrU, any, 64);
        let high = self.trunc(half, high);
        let small = self.is_zero(high);
        self.either(
            small,
            |l| {
                let (a_low, b_low) = (l.trunc(half, a), l.trunc(half, b));
                [Op::DivU, Op::RemU].map(|op| l.op(op, &[a_low, b_low])).map(|part| l.zext(ty, part)).to_vec()
            },
            |l| l.shift_and_subtract(a, b),
        )
    }

    /// One bit of the quotient per turn, from the place where the divisor's highest bit is under the dividend's.
    fn shift_and_subtract(&mut self, a: Val, b: Val) -> Vec<Val> {
        let ty = a.ty;
        let zero = self.zero(ty);
        let (a_zeros, b_zeros) = (self.op(Op::Clz, &[a]), self.op(Op::Clz, &[b]));
        let starts_inside = self.lt_u(a_zeros, b_zeros);
        let distance = self.sub(b_zeros, a_zeros);
        let distance = self.select(starts_inside, distance, zero);
        let divisor = self.shl(b, distance);
        let bit = self.int(ty, 1);
        let bit = self.shl(bit, distance);
        let end = self.loop_while(
            &[zero, a, divisor, bit],
            |l, state| {
                let zero = l.zero(ty);
                l.ne(state[3], zero)
            },
            |l, state| {
                let [quotient, rest, divisor, bit] = *state else { return state.to_vec() };
                let fits = l.ge_u(rest, divisor);
                let less = l.sub(rest, divisor);
                let rest = l.select(fits, less, rest);
                let more = l.or(quotient, bit);
                let quotient = l.select(fits, more, quotient);
                let (divisor, bit) = (l.shift(Op::ShrU, divisor, 1), l.shift(Op::ShrU, bit, 1));
                vec![quotient, rest, divisor, bit]
            },
        );
        end.into_iter().take(2).collect()
    }

    /// Whether an integer is zero.
    pub(super) fn is_zero(&mut self, val: Val) -> Val {
        let zero = self.zero(val.ty);
        self.eq(val, zero)
    }
}
