//! Selection of conversions between scalar types.

use super::regs::Place;
use super::select::{Here, Selector, args, illegal};
use super::select_scalar::result_type;
use super::types::{Class, bits_of, float, signed, unsigned, untyped};
use super::write::Arg;
use crate::error::EmitError;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

impl Selector<'_> {
    pub(super) fn convert(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let [a] = args(here, inst)?;
        let from = here.body.value_type(a);
        let to = result_type(here, inst)?;
        match here.body.inst(inst).op {
            Op::Trunc => self.truncate(here, inst, a, to),
            Op::Zext | Op::Sext if from == Type::I1 => self.widen_truth(here, inst, a, to),
            Op::Zext => self.zero_extend(here, inst, a, to),
            Op::Sext => self.sign_extend(here, inst, a, to),
            Op::FConvert => self.float_convert(here, inst, a, to),
            Op::FToS | Op::FToU => self.float_to_int(here, inst, a, to),
            Op::SToF => {
                let a = self.signed_operand(here, a)?;
                self.int_to_float(here, inst, signed(bits_of(from)), a, to)
            }
            Op::UToF => {
                let a = self.operand(here, a)?;
                self.int_to_float(here, inst, unsigned(bits_of(from)), a, to)
            }
            Op::Bitcast => self.bitcast(here, inst, a, to),
            _ => Err(illegal(here, inst)),
        }
    }

    fn truncate(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        let low = match self.low_word(here, a)? {
            Arg::Reg(reg) => reg,
            Arg::Int(bits) => self.constant(Class::B32, bits as u64),
            _ => return Err(illegal(here, inst)),
        };
        if to == Type::I32 {
            return self.alias(here, inst, Place::Reg(low));
        }
        let result = self.result(here, inst)?;
        if to == Type::I1 {
            let bit = Arg::Reg(self.regs.fresh(Class::B32));
            self.out.line(&["and.b32"], &[bit, Arg::Reg(low), Arg::Int(1)]);
            self.out.line(&["setp.ne.b32"], &[Arg::Reg(result), bit, Arg::Int(0)]);
        } else {
            let mask = Arg::Int((1 << bits_of(to)) - 1);
            self.out.line(&["and.b32"], &[Arg::Reg(result), Arg::Reg(low), mask]);
        }
        Ok(())
    }

    fn widen_truth(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        let a = self.operand(here, a)?;
        let bits = bits_of(to);
        let ones = match (here.body.inst(inst).op, bits) {
            (Op::Zext, _) => 1,
            (_, 32..) => -1,
            (_, _) => (1 << bits) - 1,
        };
        let result = Arg::Reg(self.result(here, inst)?);
        self.out.line(&["selp", untyped(bits)], &[result, Arg::Int(ones), Arg::Int(0), a]);
        Ok(())
    }

    fn zero_extend(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        if bits_of(to) <= 32 {
            // Upper bits are 0 already.
            let place = self.place(here, a)?;
            return self.alias(here, inst, place);
        }
        let a = Arg::Reg(self.register(here, a)?);
        let result = Arg::Reg(self.result(here, inst)?);
        self.out.line(&["cvt.u64.u32"], &[result, a]);
        Ok(())
    }

    fn sign_extend(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        let name = match (bits_of(here.body.value_type(a)), bits_of(to)) {
            (8, 64) => "cvt.s64.s8",
            (16, 64) => "cvt.s64.s16",
            (_, 64) => "cvt.s64.s32",
            (8, _) => "cvt.s32.s8",
            (_, _) => "cvt.s32.s16",
        };
        let a = Arg::Reg(self.register(here, a)?);
        let result = self.result(here, inst)?;
        self.out.line(&[name], &[Arg::Reg(result), a]);
        self.wrap(result, bits_of(to));
        Ok(())
    }

    /// A `bf16` is the upper half of an `f32`; converting it first is exact, so that one rounding remains.
    fn float_convert(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        let mut from = here.body.value_type(a);
        let mut arg = self.float_operand(here, a)?;
        if from == Type::BF16 {
            let word = self.regs.fresh(Class::B32);
            self.out.line(&["cvt.u32.u16"], &[Arg::Reg(word), arg]);
            self.out.line(&["shl.b32"], &[Arg::Reg(word), Arg::Reg(word), Arg::Int(16)]);
            if to == Type::F32 {
                return self.alias(here, inst, Place::Reg(word));
            }
            (from, arg) = (Type::F32, Arg::Reg(word));
        }
        if from == Type::F16 && to == Type::BF16 {
            let word = Arg::Reg(self.regs.fresh(Class::B32));
            self.out.line(&["cvt.f32.f16"], &[word, arg]);
            (from, arg) = (Type::F32, word);
        }
        let result = Arg::Reg(self.result(here, inst)?);
        let name = if bits_of(to) < bits_of(from) { "cvt.rn" } else { "cvt" };
        self.out.line(&[name, float(to)?, float(from)?], &[result, arg]);
        Ok(())
    }

    /// Conversions clamp (PTX ISA 9.7.9 "cvt"). NaN gives 0 only where neither type has 64 bits, else the sign bit.
    fn float_to_int(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        let from = here.body.value_type(a);
        let arg = self.float_operand(here, a)?;
        let is_signed = here.body.inst(inst).op == Op::FToS;
        let bits = bits_of(to);
        let suffix = if is_signed { signed(bits) } else { unsigned(bits) };
        let result = self.result(here, inst)?;
        let r = Arg::Reg(result);
        self.out.line(&["cvt.rzi", suffix, float(from)?], &[r, arg]);
        if from == Type::F64 || bits == 64 {
            let number = Arg::Reg(self.regs.fresh(Class::Pred));
            self.out.line(&["setp.num", float(from)?], &[number, arg, arg]);
            self.out.line(&["selp", untyped(bits)], &[r, r, Arg::Int(0), number]);
        }
        if bits < 32 {
            if is_signed {
                let least = -1i64 << (bits - 1);
                self.out.line(&["max.s32"], &[r, r, Arg::Int(least)]);
                self.out.line(&["min.s32"], &[r, r, Arg::Int(!least)]);
                self.wrap(result, bits);
            } else {
                self.out.line(&["min.u32"], &[r, r, Arg::Int((1 << bits) - 1)]);
            }
        }
        Ok(())
    }

    fn int_to_float(
        &mut self,
        here: &Here,
        inst: Inst,
        from: &str,
        arg: Arg,
        to: Type,
    ) -> Result<(), EmitError> {
        let result = Arg::Reg(self.result(here, inst)?);
        self.out.line(&["cvt.rn", float(to)?, from], &[result, arg]);
        Ok(())
    }

    fn bitcast(&mut self, here: &Here, inst: Inst, a: Value, to: Type) -> Result<(), EmitError> {
        let from = super::types::class_of(here.body.value_type(a))?;
        let into = super::types::class_of(to)?;
        let place = self.place(here, a)?;
        // A constant has the same bits in every class.
        if from == into || matches!(place, Place::Const(_)) {
            return self.alias(here, inst, place);
        }
        let a = Arg::Reg(self.register(here, a)?);
        let result = Arg::Reg(self.result(here, inst)?);
        let name = if into == Class::B16 { "cvt.u16.u32" } else { "cvt.u32.u16" };
        self.out.line(&[name], &[result, a]);
        Ok(())
    }
}
