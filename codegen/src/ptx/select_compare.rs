//! Selection of comparisons, and of what chooses by their results.

use super::regs::Place;
use super::select::{Here, Selector, args, illegal};
use super::types::{Class, bits_of, float, signed, unsigned, untyped};
use super::write::Arg;
use crate::error::EmitError;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

impl Selector<'_> {
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
