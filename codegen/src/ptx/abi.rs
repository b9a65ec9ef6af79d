//! How functions are declared, called and returned from (PTX ISA 7 "Abstracting the ABI").
//!
//! Kernel parameters stand one after the other in C layout, as [`argument_block`] lays them out; PTX aligns each
//! to its size as well. Functions take one `.param` per parameter, at least 32 bits wide for integers, and return
//! one: a value, or a block of bytes with all results.

use super::regs::Place;
use super::select::{Here, Selector, args, illegal, internal};
use super::types::{Class, class_of, memory};
use super::write::{Arg, Label, Writer};
use crate::artifact::argument_block;
use crate::error::EmitError;
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Block, Func, Inst, SigRef, SymbolRef, Value};
use marquetry_ir::op::Op;
use marquetry_ir::program::MethodKind;
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Scalar, Space, Type};
use marquetry_lower::legal::{Argument, Passing};

/// Names of parameters, results, and of both at calls.
const PARAM: char = 'p';
const RESULT: char = 'r';
const CALL_PARAM: char = 'q';
const CALL_RESULT: char = 's';

/// The type of a function's parameter or only result.
fn param_type(ty: Type) -> Result<&'static str, EmitError> {
    match ty.as_scalar() {
        Some(Scalar::I1 | Scalar::I8 | Scalar::I16) => Ok(".b32"),
        _ => memory(ty),
    }
}

impl Writer<'_> {
    /// `.func (.param .b32 $r0) name(.param .b32 $p0)` or `.visible .entry name(...)`.
    pub(super) fn head(
        &mut self,
        func: Func,
        kind: MethodKind,
        visible: bool,
        signature: &Signature,
        arguments: &[Argument],
    ) -> Result<(), EmitError> {
        if visible {
            self.push(".visible ");
        }
        match kind {
            MethodKind::Kernel => self.push(".entry "),
            MethodKind::Function => {
                self.push(".func ");
                self.result_param(&signature.results, Some(RESULT))?;
            }
        }
        self.func(func);
        self.push("(");
        for (n, &ty) in signature.params.iter().enumerate() {
            self.push(if n == 0 { ".param " } else { ", .param " });
            if ty.space() == Some(Space::Param) {
                let block = arguments.iter().find(|a| a.passing == Passing::Block && a.first == n as u32);
                let block = block.ok_or_else(|| internal("a block of no known size"))?;
                self.push(".align ");
                self.unsigned(u64::from(block.align));
                self.push(" .b8 ");
                self.name_of(Label(PARAM, n as u32));
                self.push("[");
                self.unsigned(block.size);
                self.push("]");
                continue;
            }
            self.push(if kind == MethodKind::Kernel { memory(ty)? } else { param_type(ty)? });
            self.push(" ");
            self.name_of(Label(PARAM, n as u32));
        }
        self.push(")");
        Ok(())
    }

    /// `(.param .b32 $r0) `, or nothing; without a name, `_`.
    fn result_param(&mut self, results: &[Type], name: Option<char>) -> Result<(), EmitError> {
        if !results.is_empty() {
            self.push("(");
            self.result_variable(results, name)?;
            self.push(") ");
        }
        Ok(())
    }

    fn result_variable(&mut self, results: &[Type], name: Option<char>) -> Result<(), EmitError> {
        let (scalar, size) = match results {
            [one] => (param_type(*one)?, 0),
            many => (".align 16 .b8", argument_block(many).1),
        };
        self.push(".param ");
        self.push(scalar);
        self.push(" ");
        match name {
            Some(name) => self.name_of(Label(name, 0)),
            None => self.push("_"),
        }
        if size > 0 {
            self.push("[");
            self.unsigned(u64::from(size));
            self.push("]");
        }
        Ok(())
    }

    /// `$P1: .callprototype (.param .b32 _) _ (.param .b64 _);`
    fn prototype(&mut self, label: Label, signature: &Signature) -> Result<(), EmitError> {
        self.name_of(label);
        self.push(": .callprototype ");
        self.result_param(&signature.results, None)?;
        self.push("_ (");
        for (n, &ty) in signature.params.iter().enumerate() {
            self.push(if n == 0 { ".param " } else { ", .param " });
            self.push(param_type(ty)?);
            self.push(" _");
        }
        self.push(");\n");
        Ok(())
    }
}

impl Selector<'_> {
    /// Loads the parameters of the function, which are those of its first block.
    pub(super) fn load_params(&mut self, here: &Here, entry: Block) -> Result<(), EmitError> {
        for (n, &param) in here.body.block_params(entry).iter().enumerate() {
            let ty = here.body.value_type(param);
            let to = self.define(here, param)?;
            let from = Arg::Param(PARAM, n as u32, 0);
            if here.kind == MethodKind::Kernel && ty.space() == Some(Space::Param) {
                // The address of a kernel's parameter, for `ld.param` (PTX ISA 5.1.6.1 "Kernel Function Parameters").
                self.out.line(&["mov.b64"], &[Arg::Reg(to), Arg::Label(Label(PARAM, n as u32))]);
            } else if here.kind == MethodKind::Kernel {
                self.load_to(to, ty, ["ld.param", "", ""], from)?;
            } else {
                self.load_param(to, ty, from)?;
            }
        }
        Ok(())
    }

    fn load_param(&mut self, to: super::regs::Reg, ty: Type, from: Arg) -> Result<(), EmitError> {
        // Integers were widened; the reader needs the same type as the writer.
        let ty = if to.class() == Class::Pred { Type::I32 } else { ty };
        match param_type(ty)? {
            ".b32" => self.load_to(to, Type::I32, ["ld.param", "", ""], from),
            _ => self.load_to(to, ty, ["ld.param", "", ""], from),
        }
    }

    /// Stores what the function returns.
    pub(super) fn return_values(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let values = here.body.args(inst);
        let types = &here.signature.results;
        if values.len() != types.len() {
            return Err(internal("a return with another number of results than the signature"));
        }
        if let (&[value], &[ty]) = (values, &types[..]) {
            let value = self.stored(here, value)?;
            self.out.line(&["st.param", param_type(ty)?], &[Arg::Param(RESULT, 0, 0), value]);
            return Ok(());
        }
        let (slots, _) = argument_block(types);
        for ((&value, &ty), slot) in values.iter().zip(types).zip(slots) {
            let value = self.stored(here, value)?;
            self.out.line(&["st.param", memory(ty)?], &[Arg::Param(RESULT, 0, slot.offset), value]);
        }
        Ok(())
    }

    pub(super) fn call(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let data = here.body.inst(inst);
        if data.op == Op::CallIndirect {
            let signature = here.body.signature(SigRef::from_u32(data.imm));
            let Some((&callee, values)) = here.body.args(inst).split_first() else {
                return Err(illegal(here, inst));
            };
            let callee = Arg::Reg(self.register(here, callee)?);
            let Label(_, number) = self.fresh_label();
            let prototype = Label('P', number);
            self.out.prototype(prototype, signature)?;
            return self.call_with(here, inst, callee, values, signature, Some(prototype));
        }
        let Symbol::Func(func) = *here.body.symbol(SymbolRef::from_u32(data.imm)) else {
            return Err(internal("a call of something that is no function of this unit"));
        };
        let unit = self.unit;
        let Some(function) = unit.funcs.get(func) else { return Err(internal("a call of no function")) };
        if data.op == Op::FunctionAddress {
            let [] = args(here, inst)?;
            let result = Arg::Reg(self.result(here, inst)?);
            self.out.line(&["mov.u64"], &[result, Arg::Func(func)]);
            return Ok(());
        }
        self.call_with(here, inst, Arg::Func(func), here.body.args(inst), &function.signature, None)
    }

    fn call_with(
        &mut self,
        here: &Here,
        inst: Inst,
        callee: Arg,
        values: &[Value],
        signature: &Signature,
        prototype: Option<Label>,
    ) -> Result<(), EmitError> {
        if values.len() != signature.params.len() {
            return Err(internal("a call with another number of arguments than the signature"));
        }
        self.out.push("\t{\n");
        for (n, (&value, &ty)) in values.iter().zip(&signature.params).enumerate() {
            let suffix = param_type(ty)?;
            let value = self.stored(here, value)?;
            self.out.push("\t.param ");
            self.out.push(suffix);
            self.out.push(" ");
            self.out.name_of(Label(CALL_PARAM, n as u32));
            self.out.push(";\n");
            self.out.line(&["st.param", suffix], &[Arg::Param(CALL_PARAM, n as u32, 0), value]);
        }
        if !signature.results.is_empty() {
            self.out.push("\t");
            self.out.result_variable(&signature.results, Some(CALL_RESULT))?;
            self.out.push(";\n");
        }
        self.out.push("\tcall\t");
        if !signature.results.is_empty() {
            self.out.push("(");
            self.out.name_of(Label(CALL_RESULT, 0));
            self.out.push("), ");
        }
        self.out.arg(callee);
        self.out.push(", (");
        for n in 0..values.len() {
            self.out.push(if n == 0 { "" } else { ", " });
            self.out.name_of(Label(CALL_PARAM, n as u32));
        }
        self.out.push(")");
        if let Some(prototype) = prototype {
            self.out.push(", ");
            self.out.name_of(prototype);
        }
        self.out.push(";\n");
        self.load_results(here, inst, signature)?;
        self.out.push("\t}\n");
        Ok(())
    }

    fn load_results(&mut self, here: &Here, inst: Inst, signature: &Signature) -> Result<(), EmitError> {
        let types = &signature.results;
        if let (Some(result), &[ty]) = (here.body.first_result(inst), &types[..]) {
            let to = self.define(here, result)?;
            return self.load_param(to, ty, Arg::Param(CALL_RESULT, 0, 0));
        }
        let (slots, _) = argument_block(types);
        for ((result, &ty), slot) in here.body.results(inst).zip(types).zip(slots) {
            debug_assert_eq!(class_of(ty), class_of(here.body.value_type(result)));
            let to = self.define(here, result)?;
            self.load_to(to, ty, ["ld.param", "", ""], Arg::Param(CALL_RESULT, 0, slot.offset))?;
            debug_assert!(matches!(self.regs.place(result), Place::Reg(_)));
        }
        Ok(())
    }
}
