//! Selection of operations on bits: logic, shifts, rotations, counts.

use super::select::{Here, Selector, args, illegal};
use super::select_scalar::result_type;
use super::types::{Class, bits_of, signed, unsigned, untyped};
use super::write::Arg;
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

impl Selector<'_> {
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
}
