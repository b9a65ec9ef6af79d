//! Selection of arithmetic.
//!
//! Every float instruction names its rounding: without `.rn`, ptxas may contract a product and a sum
//! (PTX ISA 9.7.3 "add"). None has `.ftz`.

use super::select::{Here, Selector, args, illegal};
use super::types::{Class, bits_of, float, signed, unsigned, untyped};
use super::write::Arg;
use crate::error::EmitError;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

impl Selector<'_> {
    /// Ops on integers and floats alike, and on floats only.
    pub(super) fn arithmetic(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let op = here.body.inst(inst).op;
        let ty = result_type(here, inst)?;
        if !ty.is_float() {
            return self.integer(here, inst);
        }
        let suffix = float(ty)?;
        let name = match op {
            Op::Neg | Op::Abs | Op::CopySign => return self.sign(here, inst, ty),
            Op::Add => "add.rn",
            Op::Sub => "sub.rn",
            Op::Mul => "mul.rn",
            Op::Div => "div.rn",
            Op::Fma => "fma.rn",
            Op::Sqrt => "sqrt.rn",
            // PTX ISA 9.7.3 "min": the operand that is a number; "min.NaN": NaN if an operand is.
            Op::MinNumber => "min",
            Op::MaxNumber => "max",
            Op::Min => "min.NaN",
            Op::Max => "max.NaN",
            // Rounding to an integral value is a conversion from a float type to itself (PTX ISA 9.7.9 "cvt").
            Op::Ceil => return self.unary_float(here, inst, &["cvt.rpi", suffix, suffix]),
            Op::Floor => return self.unary_float(here, inst, &["cvt.rmi", suffix, suffix]),
            Op::RoundZero => return self.unary_float(here, inst, &["cvt.rzi", suffix, suffix]),
            Op::RoundEven => return self.unary_float(here, inst, &["cvt.rni", suffix, suffix]),
            _ => return Err(illegal(here, inst)),
        };
        let mut line = [Arg::Int(0); 4];
        let operands = here.body.args(inst);
        for (slot, &value) in line[1..].iter_mut().zip(operands) {
            *slot = self.float_operand(here, value)?;
        }
        line[0] = Arg::Reg(self.result(here, inst)?);
        self.out.line(&[name, suffix], &line[..=operands.len().min(3)]);
        Ok(())
    }

    fn unary_float(&mut self, here: &Here, inst: Inst, op: &[&str]) -> Result<(), EmitError> {
        let [a] = args(here, inst)?;
        let a = self.float_operand(here, a)?;
        let to = self.result(here, inst)?;
        self.out.line(op, &[Arg::Reg(to), a]);
        Ok(())
    }

    /// Sign bits are changed as bits: what `neg` and `abs` do to a NaN is not specified (PTX ISA 9.7.3 "neg").
    fn sign(&mut self, here: &Here, inst: Inst, ty: Type) -> Result<(), EmitError> {
        let op = here.body.inst(inst).op;
        let operands = here.body.args(inst);
        let class = super::types::class_of(ty)?;
        let sign = 1u64 << (bits_of(ty) - 1);
        let (sign, rest) = (sign as i64, (sign - 1) as i64);
        let suffix = class.suffix();
        let Some(&a) = operands.first() else { return Err(illegal(here, inst)) };
        let a = self.operand(here, a)?;
        match op {
            Op::Neg => {
                let to = Arg::Reg(self.result(here, inst)?);
                self.out.line(&["xor", suffix], &[to, a, Arg::Int(sign)]);
            }
            Op::Abs => {
                let to = Arg::Reg(self.result(here, inst)?);
                self.out.line(&["and", suffix], &[to, a, Arg::Int(rest)]);
            }
            _ => {
                let [_, b] = args(here, inst)?;
                let b = self.operand(here, b)?;
                let (magnitude, bit) = (Arg::Reg(self.regs.fresh(class)), Arg::Reg(self.regs.fresh(class)));
                let to = Arg::Reg(self.result(here, inst)?);
                self.out.line(&["and", suffix], &[magnitude, a, Arg::Int(rest)]);
                self.out.line(&["and", suffix], &[bit, b, Arg::Int(sign)]);
                self.out.line(&["or", suffix], &[to, magnitude, bit]);
            }
        }
        Ok(())
    }

    /// Integer arithmetic. Narrow results are cut to their width, which makes them wrap.
    pub(super) fn integer(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let op = here.body.inst(inst).op;
        let ty = result_type(here, inst)?;
        let bits = bits_of(ty);
        let (s, u) = (signed(bits), unsigned(bits));
        match op {
            Op::Neg => self.unary_signed(here, inst, &["neg", s], bits),
            Op::Abs => self.unary_signed(here, inst, &["abs", s], bits),
            Op::Add => self.binary(here, inst, &["add", s], false, bits),
            Op::Sub => self.binary(here, inst, &["sub", s], false, bits),
            Op::Mul => self.multiply(here, inst, bits),
            Op::AddSatS => self.binary(here, inst, &["add.sat.s32"], true, bits),
            Op::SubSatS => self.binary(here, inst, &["sub.sat.s32"], true, bits),
            Op::DivS => self.binary(here, inst, &["div", s], true, bits),
            // Unsigned results are not above their operands, so they need no cut.
            Op::DivU => self.binary(here, inst, &["div", u], false, 32),
            Op::RemU => self.binary(here, inst, &["rem", u], false, 32),
            Op::MinU => self.binary(here, inst, &["min", u], false, 32),
            Op::MaxU => self.binary(here, inst, &["max", u], false, 32),
            Op::MinS => self.binary(here, inst, &["min", s], true, bits),
            Op::MaxS => self.binary(here, inst, &["max", s], true, bits),
            Op::RemS => self.remainder(here, inst, bits),
            Op::MulHighS | Op::MulHighU if bits < 32 => self.narrow_mul_high(here, inst, bits),
            Op::MulHighS => self.binary(here, inst, &["mul.hi", s], true, bits),
            Op::MulHighU => self.binary(here, inst, &["mul.hi", u], false, bits),
            _ => Err(illegal(here, inst)),
        }
    }

    /// The product of two numbers that were widened from 32 bits is one instruction on what they were.
    fn multiply(&mut self, here: &Here, inst: Inst, bits: u32) -> Result<(), EmitError> {
        let [a, b] = args(here, inst)?;
        for (op, name) in [(Op::Zext, "mul.wide.u32"), (Op::Sext, "mul.wide.s32")] {
            if let (64, Some(a), Some(b)) = (bits, widened(here, a, op), widened(here, b, op)) {
                let (a, b) = (self.operand(here, a)?, self.operand(here, b)?);
                let to = self.result(here, inst)?;
                self.out.line(&[name], &[Arg::Reg(to), a, b]);
                return Ok(());
            }
        }
        self.binary(here, inst, &["mul.lo", signed(bits)], false, bits)
    }

    fn unary_signed(&mut self, here: &Here, inst: Inst, op: &[&str], bits: u32) -> Result<(), EmitError> {
        let [a] = args(here, inst)?;
        let a = self.signed_operand(here, a)?;
        let to = self.result(here, inst)?;
        self.out.line(op, &[Arg::Reg(to), a]);
        self.wrap(to, bits);
        Ok(())
    }

    /// `op` on two operands, which are extended by their sign if `extend`, and a cut to `bits`.
    pub(super) fn binary(
        &mut self,
        here: &Here,
        inst: Inst,
        op: &[&str],
        extend: bool,
        bits: u32,
    ) -> Result<(), EmitError> {
        let [a, b] = args(here, inst)?;
        let (a, b) = if extend {
            (self.signed_operand(here, a)?, self.signed_operand(here, b)?)
        } else {
            (self.operand(here, a)?, self.operand(here, b)?)
        };
        let to = self.result(here, inst)?;
        self.out.line(op, &[Arg::Reg(to), a, b]);
        self.wrap(to, bits);
        Ok(())
    }

    /// The remainder by -1 is 0, as by 1; the instruction says nothing about the least value by -1, which a guard
    /// excludes.
    fn remainder(&mut self, here: &Here, inst: Inst, bits: u32) -> Result<(), EmitError> {
        let [a, b] = args(here, inst)?;
        let (a, mut b) = (self.signed_operand(here, a)?, self.signed_operand(here, b)?);
        match b {
            Arg::Int(-1) => b = Arg::Int(1),
            Arg::Int(_) => {}
            _ if bits < 32 || here.body.inst(inst).guarded => {}
            _ => {
                let minus_one = self.regs.fresh(Class::Pred);
                let divisor = Arg::Reg(self.regs.fresh(if bits > 32 { Class::B64 } else { Class::B32 }));
                self.out.line(&["setp.eq", signed(bits)], &[Arg::Reg(minus_one), b, Arg::Int(-1)]);
                self.out.line(&["selp", untyped(bits)], &[divisor, Arg::Int(1), b, Arg::Reg(minus_one)]);
                b = divisor;
            }
        }
        let to = self.result(here, inst)?;
        self.out.line(&["rem", signed(bits)], &[Arg::Reg(to), a, b]);
        self.wrap(to, bits);
        Ok(())
    }

    fn narrow_mul_high(&mut self, here: &Here, inst: Inst, bits: u32) -> Result<(), EmitError> {
        let [a, b] = args(here, inst)?;
        let is_signed = here.body.inst(inst).op == Op::MulHighS;
        let (a, b) = if is_signed {
            (self.signed_operand(here, a)?, self.signed_operand(here, b)?)
        } else {
            (self.operand(here, a)?, self.operand(here, b)?)
        };
        let product = Arg::Reg(self.regs.fresh(Class::B32));
        let to = self.result(here, inst)?;
        self.out.line(&["mul.lo.s32"], &[product, a, b]);
        self.out.line(&["shr.u32"], &[Arg::Reg(to), product, Arg::Int(i64::from(bits))]);
        self.wrap(to, bits);
        Ok(())
    }
}

/// The `i32` that `op` widened to this value.
fn widened(here: &Here, value: Value, op: Op) -> Option<Value> {
    let inst = here.body.value_inst(value).filter(|&inst| here.body.inst(inst).op == op)?;
    let source = here.body.args(inst).first().copied()?;
    (here.body.value_type(source) == Type::I32).then_some(source)
}

/// Type of the first result.
pub(super) fn result_type(here: &Here, inst: Inst) -> Result<Type, EmitError> {
    let result = here.body.first_result(inst).ok_or_else(|| illegal(here, inst))?;
    Ok(here.body.value_type(result))
}
