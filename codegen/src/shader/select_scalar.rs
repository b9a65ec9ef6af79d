//! Selection of arithmetic, comparisons and conversions.
//!
//! Narrow integers have zeros above their bits. Integers are words, and signed ones where an operator asks for it.

use super::internal;
use super::select::{Expr, Selector};
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type};
use naga::{BinaryOperator as Binary, Expression, Literal, MathFunction, ScalarKind, UnaryOperator};

impl Selector<'_, '_> {
    /// Selects an op with one result.
    pub(super) fn scalar_op(&mut self, inst: Inst, op: IrOp) -> Result<Expr, EmitError> {
        let args = self.operands(inst)?;
        let first = self.arg_type(inst, 0);
        let result = self.body.first_result(inst).map_or(first, |v| self.body.value_type(v));
        let &[a, ref rest @ ..] = args.as_slice() else { return Err(internal("an op without operands")) };
        let b = rest.first().copied().unwrap_or(a);
        match op {
            IrOp::Select => {
                let no = rest.get(1).copied().ok_or_else(|| internal("a select of two operands"))?;
                return Ok(self.select(a, b, no));
            }
            IrOp::Bitcast => return self.reinterpret(a, first, result),
            IrOp::SToF => {
                let signed = self.signed(a);
                return Ok(self.expr(Expression::As {
                    expr: signed,
                    kind: ScalarKind::Float,
                    convert: Some(4),
                }));
            }
            IrOp::UToF => {
                return Ok(self.expr(Expression::As { expr: a, kind: ScalarKind::Float, convert: Some(4) }));
            }
            _ => {}
        }
        match first.as_scalar() {
            Some(Scalar::I1) => self.truth_op(op, result, a, b),
            Some(Scalar::F32) => self.float_op(op, a, b),
            Some(Scalar::F16 | Scalar::BF16) => self.half_op(op, a, b),
            _ => self.int_op(op, first, result, a, b),
        }
    }

    pub(super) fn signed(&mut self, expr: Expr) -> Expr {
        self.bitcast(expr, ScalarKind::Sint)
    }

    pub(super) fn unsigned(&mut self, expr: Expr) -> Expr {
        self.bitcast(expr, ScalarKind::Uint)
    }

    fn not(&mut self, expr: Expr) -> Expr {
        self.expr(Expression::Unary { op: UnaryOperator::LogicalNot, expr })
    }

    pub(super) fn math(&mut self, fun: MathFunction, arg: Expr, arg1: Option<Expr>) -> Expr {
        let arg = self.at_run_time(arg);
        self.expr(Expression::Math { fun, arg, arg1, arg2: None, arg3: None })
    }

    fn reinterpret(&mut self, expr: Expr, from: Type, to: Type) -> Result<Expr, EmitError> {
        Ok(match (from, to) {
            (Type::F32, Type::F32) => expr,
            (Type::F32, _) => self.unsigned(expr),
            (_, Type::F32) => self.bitcast(expr, ScalarKind::Float),
            _ => expr,
        })
    }

    fn truth_op(&mut self, op: IrOp, result: Type, a: Expr, b: Expr) -> Result<Expr, EmitError> {
        Ok(match op {
            IrOp::And => self.binary(Binary::LogicalAnd, a, b),
            IrOp::Or => self.binary(Binary::LogicalOr, a, b),
            IrOp::Xor | IrOp::Ne => self.binary(Binary::NotEqual, a, b),
            IrOp::Eq => self.binary(Binary::Equal, a, b),
            IrOp::Not => self.not(a),
            IrOp::Zext | IrOp::Sext => {
                let ones = if op == IrOp::Zext { 1 } else { mask(result) };
                let (one, zero) = (self.word(ones), self.word(0));
                self.select(a, one, zero)
            }
            _ => return Err(internal(&format!("'{op}' on i1"))),
        })
    }

    fn float_op(&mut self, op: IrOp, a: Expr, b: Expr) -> Result<Expr, EmitError> {
        use IrOp::*;
        let simple = match op {
            Add => Some(Binary::Add),
            Sub => Some(Binary::Subtract),
            Mul => Some(Binary::Multiply),
            Div => Some(Binary::Divide),
            Eq => Some(Binary::Equal),
            Lt => Some(Binary::Less),
            Le => Some(Binary::LessEqual),
            Gt => Some(Binary::Greater),
            Ge => Some(Binary::GreaterEqual),
            _ => None,
        };
        if let Some(operator) = simple {
            return Ok(self.binary(operator, a, b));
        }
        // Those that are true if the operands are unordered are the opposites of ordered ones.
        let opposite = match op {
            Ult => Some(Binary::GreaterEqual),
            Ule => Some(Binary::Greater),
            Ugt => Some(Binary::LessEqual),
            Uge => Some(Binary::Less),
            // Written as an ordered comparison by some.
            Ne => Some(Binary::Equal),
            _ => None,
        };
        if let Some(operator) = opposite {
            let ordered = self.binary(operator, a, b);
            return Ok(self.not(ordered));
        }
        let function = match op {
            Sqrt => Some(MathFunction::Sqrt),
            Ceil => Some(MathFunction::Ceil),
            Floor => Some(MathFunction::Floor),
            RoundZero => Some(MathFunction::Trunc),
            // To even (WGSL 17.5, "round").
            RoundEven => Some(MathFunction::Round),
            _ => None,
        };
        if let Some(function) = function {
            return Ok(self.math(function, a, None));
        }
        Ok(match op {
            Ord | Uno => {
                let (first, second) = (self.binary(Binary::Equal, a, a), self.binary(Binary::Equal, b, b));
                let ordered = self.binary(Binary::LogicalAnd, first, second);
                if op == Ord { ordered } else { self.not(ordered) }
            }
            One | Ueq => {
                let (less, greater) = (self.binary(Binary::Less, a, b), self.binary(Binary::Greater, a, b));
                let unequal = self.binary(Binary::LogicalOr, less, greater);
                if op == One { unequal } else { self.not(unequal) }
            }
            Neg | Abs | CopySign => {
                let (a, b) = (self.unsigned(a), self.unsigned(b));
                let bits = self.sign_bits(op, 1 << 31, a, b)?;
                self.bitcast(bits, ScalarKind::Float)
            }
            RoundAway => self.round_away(a)?,
            _ => return Err(internal(&format!("'{op}' on f32"))),
        })
    }

    /// Rounds halves away from zero: the fraction is exact, and so is the next number. Not by adding 2^23 and taking
    /// it away again, which implementations may cancel. The sign stays, that of zeros as well.
    fn round_away(&mut self, a: Expr) -> Result<Expr, EmitError> {
        let whole = self.math(MathFunction::Trunc, a, None);
        let fraction = self.binary(Binary::Subtract, a, whole);
        let fraction = self.math(MathFunction::Abs, fraction, None);
        let (half, one, zero) = (self.float(0.5f32.to_bits()), self.float(1f32.to_bits()), self.float(0));
        let up = self.binary(Binary::GreaterEqual, fraction, half);
        let step = self.select(up, one, zero);
        let size = self.math(MathFunction::Abs, whole, None);
        let size = self.binary(Binary::Add, size, step);
        let (size, sign) = (self.unsigned(size), self.unsigned(a));
        let bits = self.sign_bits(IrOp::CopySign, 1 << 31, size, sign)?;
        Ok(self.bitcast(bits, ScalarKind::Float))
    }

    fn half_op(&mut self, op: IrOp, a: Expr, b: Expr) -> Result<Expr, EmitError> {
        self.sign_bits(op, 1 << 15, a, b)
    }

    /// Ops on the sign alone; NaNs keep their bits.
    fn sign_bits(&mut self, op: IrOp, sign: u32, a: Expr, b: Expr) -> Result<Expr, EmitError> {
        let (sign_bit, rest) = (self.word(sign), self.word(sign - 1));
        Ok(match op {
            IrOp::Neg => self.binary(Binary::ExclusiveOr, a, sign_bit),
            IrOp::Abs => self.binary(Binary::And, a, rest),
            IrOp::CopySign => {
                let (value, sign) =
                    (self.binary(Binary::And, a, rest), self.binary(Binary::And, b, sign_bit));
                self.binary(Binary::InclusiveOr, value, sign)
            }
            _ => return Err(internal(&format!("'{op}' on a float"))),
        })
    }

    fn int_op(&mut self, op: IrOp, first: Type, result: Type, a: Expr, b: Expr) -> Result<Expr, EmitError> {
        use IrOp::*;
        let simple = match op {
            Add => Some(Binary::Add),
            Sub => Some(Binary::Subtract),
            Mul => Some(Binary::Multiply),
            DivU => Some(Binary::Divide),
            RemU => Some(Binary::Modulo),
            And => Some(Binary::And),
            Or => Some(Binary::InclusiveOr),
            Xor => Some(Binary::ExclusiveOr),
            Eq => Some(Binary::Equal),
            Ne => Some(Binary::NotEqual),
            LtU => Some(Binary::Less),
            LeU => Some(Binary::LessEqual),
            GtU => Some(Binary::Greater),
            GeU => Some(Binary::GreaterEqual),
            _ => None,
        };
        // The zero is never reached, but a constant one is refused (WGSL 8.7).
        let b = if matches!(op, DivU | DivS | RemU | RemS) { self.not_zero(b) } else { b };
        if let Some(operator) = simple {
            return Ok(self.binary(operator, a, b));
        }
        let signed = match op {
            DivS => Some((Binary::Divide, true)),
            RemS => Some((Binary::Modulo, true)),
            LtS => Some((Binary::Less, false)),
            LeS => Some((Binary::LessEqual, false)),
            GtS => Some((Binary::Greater, false)),
            GeS => Some((Binary::GreaterEqual, false)),
            _ => None,
        };
        if let Some((operator, number)) = signed {
            let (a, b) = (self.signed(a), self.signed(b));
            let value = self.binary(operator, a, b);
            return Ok(if number { self.unsigned(value) } else { value });
        }
        Ok(match op {
            Neg => {
                let zero = self.word(0);
                self.binary(Binary::Subtract, zero, a)
            }
            Not => self.expr(Expression::Unary { op: UnaryOperator::BitwiseNot, expr: a }),
            Shl | ShrU | ShrS => self.shift(op, a, b),
            MinU => self.math(MathFunction::Min, a, Some(b)),
            MaxU => self.math(MathFunction::Max, a, Some(b)),
            MinS | MaxS => {
                let (a, b) = (self.signed(a), self.signed(b));
                let function = if op == MinS { MathFunction::Min } else { MathFunction::Max };
                let value = self.math(function, a, Some(b));
                self.unsigned(value)
            }
            Clz => self.math(MathFunction::CountLeadingZeros, a, None),
            Ctz => self.math(MathFunction::CountTrailingZeros, a, None),
            PopCount => self.math(MathFunction::CountOneBits, a, None),
            BitReverse => self.math(MathFunction::ReverseBits, a, None),
            MulHighU => self.high_product(a, b),
            MulHighS => self.signed_high_product(a, b),
            Trunc if result == Type::I1 => {
                let one = self.word(1);
                let bit = self.binary(Binary::And, a, one);
                self.binary(Binary::Equal, bit, one)
            }
            Trunc => {
                let mask = self.word(mask(result));
                self.binary(Binary::And, a, mask)
            }
            Zext => a,
            Sext => self.extend_sign(first, result, a),
            _ => return Err(internal(&format!("'{op}' on {first}"))),
        })
    }

    /// Shifts take the count modulo the width, which constants must respect (WGSL 8.9).
    pub(super) fn shift(&mut self, op: IrOp, a: Expr, count: Expr) -> Expr {
        let count = match self.function.expressions[count] {
            Expression::Literal(Literal::U32(known)) => self.word(known & 31),
            _ => {
                let mask = self.word(31);
                self.binary(Binary::And, count, mask)
            }
        };
        match op {
            IrOp::Shl => self.binary(Binary::ShiftLeft, a, count),
            IrOp::ShrU => self.binary(Binary::ShiftRight, a, count),
            _ => {
                let a = self.signed(a);
                let value = self.binary(Binary::ShiftRight, a, count);
                self.unsigned(value)
            }
        }
    }

    /// A divisor that is no constant zero.
    fn not_zero(&mut self, divisor: Expr) -> Expr {
        match self.function.expressions[divisor] {
            Expression::Literal(Literal::U32(0)) => self.word(1),
            _ => divisor,
        }
    }

    fn extend_sign(&mut self, from: Type, to: Type, a: Expr) -> Expr {
        let unused = self.word(32 - from.bits().unwrap_or(32));
        let up = self.shift(IrOp::Shl, a, unused);
        let value = self.shift(IrOp::ShrS, up, unused);
        if to == Type::I32 {
            return value;
        }
        let mask = self.word(mask(to));
        self.binary(Binary::And, value, mask)
    }

    /// The upper word of a product, from the products of 16-bit halves.
    fn high_product(&mut self, a: Expr, b: Expr) -> Expr {
        let (low_bits, half) = (self.word(0xffff), self.word(16));
        let halves =
            |l: &mut Self, x| (l.binary(Binary::And, x, low_bits), l.binary(Binary::ShiftRight, x, half));
        let ((a_low, a_high), (b_low, b_high)) = (halves(self, a), halves(self, b));
        let low = self.binary(Binary::Multiply, a_low, b_low);
        let middle = self.binary(Binary::Multiply, a_high, b_low);
        let other = self.binary(Binary::Multiply, a_low, b_high);
        let high = self.binary(Binary::Multiply, a_high, b_high);
        // None of these sums overflows.
        let carry = self.binary(Binary::ShiftRight, low, half);
        let middle = self.binary(Binary::Add, middle, carry);
        let middle_low = self.binary(Binary::And, middle, low_bits);
        let other = self.binary(Binary::Add, other, middle_low);
        let middle_high = self.binary(Binary::ShiftRight, middle, half);
        let other_high = self.binary(Binary::ShiftRight, other, half);
        let high = self.binary(Binary::Add, high, middle_high);
        self.binary(Binary::Add, high, other_high)
    }

    /// Negative factors count for 2^32 too much.
    fn signed_high_product(&mut self, a: Expr, b: Expr) -> Expr {
        let unsigned = self.high_product(a, b);
        let last = self.word(31);
        let (a_sign, b_sign) = (self.shift(IrOp::ShrS, a, last), self.shift(IrOp::ShrS, b, last));
        let (for_a, for_b) = (self.binary(Binary::And, a_sign, b), self.binary(Binary::And, b_sign, a));
        let value = self.binary(Binary::Subtract, unsigned, for_a);
        self.binary(Binary::Subtract, value, for_b)
    }
}

/// The bits of an integer type.
pub(super) fn mask(ty: Type) -> u32 {
    match ty.bits() {
        Some(bits @ 0..32) => (1 << bits) - 1,
        _ => u32::MAX,
    }
}
