//! Selection of arithmetic, bit operations and comparisons.
//!
//! Every float instruction names its rounding: without `.rn`, ptxas may contract a product and a sum
//! (PTX ISA 9.7.3 "add"). None has `.ftz`.

use super::regs::Place;
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
    fn binary(
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

    pub(super) fn bitwise(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let op = here.body.inst(inst).op;
        let ty = result_type(here, inst)?;
        let bits = bits_of(ty);
        let b = if ty == Type::I1 { ".pred" } else { untyped(bits) };
        match op {
            Op::And => self.binary(here, inst, &["and", b], false, 32),
            Op::Or => self.binary(here, inst, &["or", b], false, 32),
            Op::Xor => self.binary(here, inst, &["xor", b], false, 32),
            Op::Not => {
                let [a] = args(here, inst)?;
                let a = self.operand(here, a)?;
                let to = Arg::Reg(self.result(here, inst)?);
                match bits {
                    8 | 16 => self.out.line(&["xor.b32"], &[to, a, Arg::Int((1 << bits) - 1)]),
                    _ => self.out.line(&["not", b], &[to, a]),
                }
                Ok(())
            }
            Op::Shl | Op::ShrS | Op::ShrU => self.shift(here, inst, bits),
            Op::RotL | Op::RotR if bits == 64 => self.rotate_wide(here, inst),
            Op::RotL | Op::RotR => self.rotate(here, inst, bits),
            _ => self.count_or_reverse(here, inst, bits),
        }
    }

    /// Shift instructions clamp their count (PTX ISA 9.7.8 "shl"); ptxas merges the mask into a wrapping shift.
    fn shift(&mut self, here: &Here, inst: Inst, bits: u32) -> Result<(), EmitError> {
        let [a, count] = args(here, inst)?;
        let op = here.body.inst(inst).op;
        let a = if op == Op::ShrS { self.signed_operand(here, a)? } else { self.operand(here, a)? };
        let count = match self.low_word(here, count)? {
            Arg::Int(count) => Arg::Int(count & i64::from(bits - 1)),
            count => {
                let masked = Arg::Reg(self.regs.fresh(Class::B32));
                self.out.line(&["and.b32"], &[masked, count, Arg::Int(i64::from(bits - 1))]);
                masked
            }
        };
        let to = self.result(here, inst)?;
        match op {
            Op::Shl => self.out.line(&["shl", untyped(bits)], &[Arg::Reg(to), a, count]),
            Op::ShrS => self.out.line(&["shr", signed(bits)], &[Arg::Reg(to), a, count]),
            _ => self.out.line(&["shr", unsigned(bits)], &[Arg::Reg(to), a, count]),
        }
        if op != Op::ShrU {
            self.wrap(to, bits);
        }
        Ok(())
    }

    /// A narrow value is repeated over 32 bits: rotating the whole rotates every copy.
    fn rotate(&mut self, here: &Here, inst: Inst, bits: u32) -> Result<(), EmitError> {
        let [a, count] = args(here, inst)?;
        let mut a = self.operand(here, a)?;
        let count = self.operand(here, count)?;
        if bits < 32 {
            let copies = Arg::Reg(self.regs.fresh(Class::B32));
            let factor = if bits == 8 { 0x0101_0101 } else { 0x0001_0001 };
            self.out.line(&["mul.lo.u32"], &[copies, a, Arg::Int(factor)]);
            a = copies;
        }
        let name = if here.body.inst(inst).op == Op::RotL { "shf.l.wrap.b32" } else { "shf.r.wrap.b32" };
        let to = self.result(here, inst)?;
        self.out.line(&[name], &[Arg::Reg(to), a, a, count]);
        self.wrap(to, bits);
        Ok(())
    }

    /// Exchanges the words if the count is 32 or more, then shifts both by the rest.
    fn rotate_wide(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [a, count] = args(here, inst)?;
        let a = Arg::Reg(self.register(here, a)?);
        let (mut low, mut high) = self.halves(a);
        let count = self.low_word(here, count)?;
        match count {
            Arg::Int(count) if count & 32 != 0 => std::mem::swap(&mut low, &mut high),
            Arg::Int(_) => {}
            _ => {
                let (bit, far) =
                    (Arg::Reg(self.regs.fresh(Class::B32)), Arg::Reg(self.regs.fresh(Class::Pred)));
                self.out.line(&["and.b32"], &[bit, count, Arg::Int(32)]);
                self.out.line(&["setp.ne.b32"], &[far, bit, Arg::Int(0)]);
                let (a, b) = (self.regs.fresh(Class::B32), self.regs.fresh(Class::B32));
                self.out.line(&["selp.b32"], &[Arg::Reg(a), Arg::Reg(high), Arg::Reg(low), far]);
                self.out.line(&["selp.b32"], &[Arg::Reg(b), Arg::Reg(low), Arg::Reg(high), far]);
                (low, high) = (a, b);
            }
        }
        let (l, h) = (Arg::Reg(low), Arg::Reg(high));
        let (new_low, new_high) = (self.regs.fresh(Class::B32), self.regs.fresh(Class::B32));
        // `shf.l` gives the upper word of its operands (high second) shifted left, `shf.r` the lower shifted right.
        if here.body.inst(inst).op == Op::RotL {
            self.out.line(&["shf.l.wrap.b32"], &[Arg::Reg(new_low), h, l, count]);
            self.out.line(&["shf.l.wrap.b32"], &[Arg::Reg(new_high), l, h, count]);
        } else {
            self.out.line(&["shf.r.wrap.b32"], &[Arg::Reg(new_low), l, h, count]);
            self.out.line(&["shf.r.wrap.b32"], &[Arg::Reg(new_high), h, l, count]);
        }
        let to = Arg::Reg(self.result(here, inst)?);
        self.out.line(&["mov.b64"], &[to, Arg::Pair(new_low, new_high)]);
        Ok(())
    }

    fn count_or_reverse(&mut self, here: &Here, inst: Inst, bits: u32) -> Result<(), EmitError> {
        let [a] = args(here, inst)?;
        let op = here.body.inst(inst).op;
        if op == Op::ByteSwap && bits == 8 {
            let place = self.place(here, a)?;
            return self.alias(here, inst, place);
        }
        let a = Arg::Reg(self.register(here, a)?);
        let to = self.result(here, inst)?;
        let suffix = untyped(bits);
        let missing = Arg::Int(32 - i64::from(bits.min(32)));
        match op {
            Op::PopCount => self.count(to, &["popc", suffix], a),
            Op::Clz => {
                self.count(to, &["clz", suffix], a);
                if bits < 32 {
                    self.out.line(&["sub.s32"], &[Arg::Reg(to), Arg::Reg(to), missing]);
                }
            }
            Op::Ctz => {
                let reversed = Arg::Reg(self.regs.fresh(if bits > 32 { Class::B64 } else { Class::B32 }));
                if bits < 32 {
                    // A bit above the width stops the count for zero.
                    self.out.line(&["or.b32"], &[reversed, a, Arg::Int(1 << bits)]);
                    self.out.line(&["brev.b32"], &[reversed, reversed]);
                } else {
                    self.out.line(&["brev", suffix], &[reversed, a]);
                }
                self.count(to, &["clz", suffix], reversed);
            }
            Op::BitReverse => {
                self.out.line(&["brev", suffix], &[Arg::Reg(to), a]);
                if bits < 32 {
                    self.out.line(&["shr.u32"], &[Arg::Reg(to), Arg::Reg(to), missing]);
                }
            }
            Op::ByteSwap if bits == 64 => {
                let (low, high) = self.halves(a);
                let (new_low, new_high) = (self.regs.fresh(Class::B32), self.regs.fresh(Class::B32));
                let order = [Arg::Int(0), Arg::Int(0x0123)];
                self.out.line(&["prmt.b32"], &[Arg::Reg(new_low), Arg::Reg(high), order[0], order[1]]);
                self.out.line(&["prmt.b32"], &[Arg::Reg(new_high), Arg::Reg(low), order[0], order[1]]);
                self.out.line(&["mov.b64"], &[Arg::Reg(to), Arg::Pair(new_low, new_high)]);
            }
            Op::ByteSwap => {
                // Selectors from the lowest byte; 4 is a byte of the second operand, 0.
                let order = if bits == 16 { 0x4401 } else { 0x0123 };
                self.out.line(&["prmt.b32"], &[Arg::Reg(to), a, Arg::Int(0), Arg::Int(order)]);
            }
            _ => return Err(illegal(here, inst)),
        }
        Ok(())
    }

    /// Counting instructions give 32 bits, whatever they count in.
    fn count(&mut self, to: super::regs::Reg, op: &[&str], a: Arg) {
        if to.class() == Class::B64 {
            let short = Arg::Reg(self.regs.fresh(Class::B32));
            self.out.line(op, &[short, a]);
            self.out.line(&["cvt.u64.u32"], &[Arg::Reg(to), short]);
        } else {
            self.out.line(op, &[Arg::Reg(to), a]);
        }
    }

    pub(super) fn compare(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [a, b] = args(here, inst)?;
        let op = here.body.inst(inst).op;
        let ty = here.body.value_type(a);
        if ty == Type::I1 {
            return self.compare_truth(here, inst, a, b);
        }
        let bits = bits_of(ty);
        let is_float = ty.is_float();
        // PTX ISA 9.3.1: `ne` is ordered on floats, `neu` is the one that is true for NaN.
        let (name, suffix) = match op {
            Op::Eq => ("setp.eq", untyped(bits)),
            Op::Ne if is_float => ("setp.neu", untyped(bits)),
            Op::Ne => ("setp.ne", untyped(bits)),
            Op::LtS => ("setp.lt", signed(bits)),
            Op::LeS => ("setp.le", signed(bits)),
            Op::GtS => ("setp.gt", signed(bits)),
            Op::GeS => ("setp.ge", signed(bits)),
            Op::LtU => ("setp.lt", unsigned(bits)),
            Op::LeU => ("setp.le", unsigned(bits)),
            Op::GtU => ("setp.gt", unsigned(bits)),
            Op::GeU => ("setp.ge", unsigned(bits)),
            Op::Lt => ("setp.lt", ""),
            Op::Le => ("setp.le", ""),
            Op::Gt => ("setp.gt", ""),
            Op::Ge => ("setp.ge", ""),
            Op::One => ("setp.ne", ""),
            Op::Ueq => ("setp.equ", ""),
            Op::Ult => ("setp.ltu", ""),
            Op::Ule => ("setp.leu", ""),
            Op::Ugt => ("setp.gtu", ""),
            Op::Uge => ("setp.geu", ""),
            Op::Ord => ("setp.num", ""),
            Op::Uno => ("setp.nan", ""),
            _ => return Err(illegal(here, inst)),
        };
        let (suffix, a, b) = if is_float {
            (float(ty)?, self.float_operand(here, a)?, self.float_operand(here, b)?)
        } else if matches!(op, Op::LtS | Op::LeS | Op::GtS | Op::GeS) {
            (suffix, self.signed_operand(here, a)?, self.signed_operand(here, b)?)
        } else {
            (suffix, self.operand(here, a)?, self.operand(here, b)?)
        };
        let to = Arg::Reg(self.result(here, inst)?);
        self.out.line(&[name, suffix], &[to, a, b]);
        Ok(())
    }

    fn compare_truth(&mut self, here: &Here, inst: Inst, a: Value, b: Value) -> Result<(), EmitError> {
        let (a, b) = (self.operand(here, a)?, self.operand(here, b)?);
        let to = Arg::Reg(self.result(here, inst)?);
        match here.body.inst(inst).op {
            Op::Ne => self.out.line(&["xor.pred"], &[to, a, b]),
            Op::Eq => {
                let differ = Arg::Reg(self.regs.fresh(Class::Pred));
                self.out.line(&["xor.pred"], &[differ, a, b]);
                self.out.line(&["not.pred"], &[to, differ]);
            }
            _ => return Err(illegal(here, inst)),
        }
        Ok(())
    }

    pub(super) fn select(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [condition, a, b] = args(here, inst)?;
        let ty = here.body.value_type(a);
        let condition = match self.place(here, condition)? {
            Place::Const(bits) => {
                let place = self.place(here, if bits & 1 != 0 { a } else { b })?;
                return self.alias(here, inst, place);
            }
            _ => self.operand(here, condition)?,
        };
        let (a, b) = (self.operand(here, a)?, self.operand(here, b)?);
        let to = self.result(here, inst)?;
        if ty == Type::I1 {
            // Predicates have no `selp`.
            let mut part = || Arg::Reg(self.regs.fresh(Class::Pred));
            let (if_true, not, if_false) = (part(), part(), part());
            self.out.line(&["and.pred"], &[if_true, condition, a]);
            self.out.line(&["not.pred"], &[not, condition]);
            self.out.line(&["and.pred"], &[if_false, not, b]);
            self.out.line(&["or.pred"], &[Arg::Reg(to), if_true, if_false]);
        } else {
            self.out.line(&["selp", to.class().suffix()], &[Arg::Reg(to), a, b, condition]);
        }
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
