//! Instructions and constants as text: the inverse of reading them, one arm per shape.

use crate::body::{Body, Symbol};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{BlockCall, Const, Inst, SigRef, Switch, SymbolRef, Value};
use crate::inst::MemFlags;
use crate::op::Shape;
use crate::text::literal::{signed, write_quoted, write_scalar};
use crate::text::names::PrintNames;
use crate::text::print::{Printer, write_address};
use crate::types::{Scalar, TypeKind};
use std::fmt;

impl Printer<'_> {
    /// One instruction, without indentation and line break.
    pub(crate) fn inst(&mut self, body: &Body, names: &PrintNames, inst: Inst) -> fmt::Result {
        let results = body.results(inst);
        let count = results.len();
        for (n, result) in results.enumerate() {
            names.write_value(self.out, body, result)?;
            self.out.write_str(if n + 1 == count { " = " } else { ", " })?;
        }
        let data = body.inst(inst);
        self.out.write_str(data.op.mnemonic())?;
        let mut line = Line { printer: self, body, names };
        let args = body.args(inst);
        match data.op.info().shape {
            Shape::Unary | Shape::Binary | Shape::Ternary | Shape::Nullary | Shape::Return => {
                line.values(" ", args)
            }
            Shape::Convert | Shape::Make | Shape::Slot => {
                line.suffix(inst)?;
                line.values(" ", args)
            }
            Shape::Dimension => write!(line.printer.out, " {}", data.imm),
            Shape::Shuffle => {
                line.values(" ", args)?;
                line.mask(data.imm)
            }
            Shape::Field => {
                line.values(" ", args)?;
                write!(line.printer.out, ", {}", data.imm)
            }
            Shape::Index | Shape::FieldAddress => {
                line.values(" ", args)?;
                line.printer.out.write_str(", ")?;
                line.printer.ty(data.ty)?;
                if data.op.info().shape == Shape::Index {
                    return Ok(());
                }
                write!(line.printer.out, ", {}", data.imm)
            }
            Shape::GlobalAddress => {
                let space = data.ty.space().map_or("?", |space| space.name());
                write!(line.printer.out, ".{space} ")?;
                line.symbol(data.imm)
            }
            Shape::Load | Shape::AtomicLoad => {
                line.suffix(inst)?;
                line.values(" ", args)?;
                line.access(data.imm, data.op.info().shape == Shape::AtomicLoad)
            }
            Shape::Store | Shape::Memory => {
                line.values(" ", args)?;
                line.access(data.imm, false)
            }
            Shape::Atomic | Shape::Fence => {
                line.values(" ", args)?;
                line.access(data.imm, true)
            }
            Shape::Call => {
                line.printer.out.write_str(" ")?;
                line.symbol(data.imm)?;
                line.arguments(args)
            }
            Shape::CallIndirect => {
                let (callee, args) = args.split_at_checked(1).unwrap_or((&[], args));
                line.values(" ", callee)?;
                line.arguments(args)?;
                if body.signature_exists(data.imm) {
                    line.printer.results(&body.signature(SigRef::from_u32(data.imm)).results)?;
                }
                Ok(())
            }
            Shape::FunctionAddress => {
                line.printer.out.write_str(" ")?;
                line.symbol(data.imm)?;
                line.parameter_types(data.imm)
            }
            Shape::Jump | Shape::Branch => {
                line.values(" ", args)?;
                let mut separator = if args.is_empty() { " " } else { ", " };
                for &target in body.targets(inst) {
                    line.printer.out.write_str(separator)?;
                    line.target(target)?;
                    separator = ", ";
                }
                Ok(())
            }
            Shape::Switch => line.switch(inst),
            Shape::Throw | Shape::Assert => {
                line.values(" ", args)?;
                line.texts(data.imm)
            }
        }
    }
}

/// One line of one body.
struct Line<'p, 'a, 'b> {
    printer: &'p mut Printer<'a>,
    body: &'b Body,
    names: &'b PrintNames,
}

impl Line<'_, '_, '_> {
    fn suffix(&mut self, inst: Inst) -> fmt::Result {
        self.printer.out.write_str(".")?;
        self.printer.ty(self.body.inst(inst).ty)
    }

    fn values(&mut self, before: &str, values: &[Value]) -> fmt::Result {
        for (n, &value) in values.iter().enumerate() {
            self.printer.out.write_str(if n == 0 { before } else { ", " })?;
            self.value(value)?;
        }
        Ok(())
    }

    fn arguments(&mut self, values: &[Value]) -> fmt::Result {
        self.values("(", values)?;
        self.printer.out.write_str(if values.is_empty() { "()" } else { ")" })
    }

    fn value(&mut self, value: Value) -> fmt::Result {
        if self.body.value_exists(value)
            && let Some(data) = self.body.value_const(value)
        {
            return self.constant(data);
        }
        self.names.write_value(self.printer.out, self.body, value)
    }

    fn constant(&mut self, data: &ConstData) -> fmt::Result {
        self.printer.ty(data.ty)?;
        self.printer.out.write_str(" ")?;
        match (&data.value, data.ty.kind()) {
            (ConstValue::Scalar(bits), TypeKind::Scalar(scalar)) => {
                write_scalar(self.printer.out, scalar, *bits)
            }
            (ConstValue::Scalar(bits), TypeKind::Pointer(_)) => write_address(self.printer.out, *bits),
            (ConstValue::Lanes(lanes), TypeKind::Vector(lane, _)) => {
                for (n, &bits) in lanes.iter().enumerate() {
                    self.printer.out.write_str(if n == 0 { "[" } else { ", " })?;
                    write_scalar(self.printer.out, lane, bits)?;
                }
                self.printer.out.write_str("]")
            }
            _ => self.printer.out.write_str("zero"),
        }
    }

    fn mask(&mut self, imm: u32) -> fmt::Result {
        let lanes = match self.body.const_exists(imm).then(|| &self.body.constant(Const::from_u32(imm)).value)
        {
            Some(ConstValue::Lanes(lanes)) => &**lanes,
            _ => &[],
        };
        self.printer.out.write_str(", [")?;
        for (n, lane) in lanes.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(self.printer.out, "{comma}{lane}")?;
        }
        self.printer.out.write_str("]")
    }

    fn symbol(&mut self, imm: u32) -> fmt::Result {
        if !self.body.symbol_exists(imm) {
            return write!(self.printer.out, "{}", SymbolRef::from_u32(imm));
        }
        self.printer.symbol(self.body.symbol(SymbolRef::from_u32(imm)))
    }

    fn parameter_types(&mut self, imm: u32) -> fmt::Result {
        if !self.body.symbol_exists(imm) {
            return self.printer.type_list(&[]);
        }
        let unit = self.printer.unit;
        match self.body.symbol(SymbolRef::from_u32(imm)) {
            Symbol::Overload(_, types) => self.printer.type_list(types),
            Symbol::Func(id) => match unit.and_then(|unit| unit.funcs.get(*id)) {
                Some(function) => self.printer.type_list(&function.signature.params),
                None => self.printer.type_list(&[]),
            },
            Symbol::Extern(id) => match unit.and_then(|unit| unit.externs.get(*id)) {
                Some(data) => self.printer.type_list(&data.signature.params),
                None => self.printer.type_list(&[]),
            },
            _ => self.printer.type_list(&[]),
        }
    }

    fn texts(&mut self, imm: u32) -> fmt::Result {
        if !self.body.symbol_exists(imm) {
            return write!(self.printer.out, " {}", SymbolRef::from_u32(imm));
        }
        match self.body.symbol(SymbolRef::from_u32(imm)) {
            Symbol::Message(text) => {
                self.printer.out.write_str(", ")?;
                write_quoted(self.printer.out, text)
            }
            symbol => {
                self.printer.out.write_str(" ")?;
                self.printer.symbol(symbol)?;
                if let Symbol::Exception(_, Some(reason)) = symbol {
                    self.printer.out.write_str(", ")?;
                    write_quoted(self.printer.out, reason)?;
                }
                Ok(())
            }
        }
    }

    fn access(&mut self, imm: u32, atomic: bool) -> fmt::Result {
        let flags = MemFlags::from_bits(imm);
        if atomic {
            write!(self.printer.out, " {} {}", flags.order().name(), flags.scope().name())?;
        }
        if let Some(align) = flags.align() {
            write!(self.printer.out, " align {align}")?;
        }
        self.printer.out.write_str(if flags.is_volatile() { " volatile" } else { "" })
    }

    fn target(&mut self, call: BlockCall) -> fmt::Result {
        self.names.write_block(self.printer.out, self.body, self.body.target_block(call))?;
        let args = self.body.target_args(call);
        if args.is_empty() { Ok(()) } else { self.arguments(args) }
    }

    fn switch(&mut self, inst: Inst) -> fmt::Result {
        let body = self.body;
        let args = body.args(inst);
        self.values(" ", args)?;
        let (otherwise, targets) = body.targets(inst).split_at_checked(1).unwrap_or((&[], &[]));
        for &target in otherwise {
            self.printer.out.write_str(", ")?;
            self.target(target)?;
        }
        let imm = body.inst(inst).imm;
        let cases = if body.switch_exists(imm) { body.switch_cases(Switch::from_u32(imm)) } else { &[] };
        let selector = args.first().filter(|&&value| body.value_exists(value));
        let scalar = selector.and_then(|&value| body.value_type(value).as_scalar()).unwrap_or(Scalar::I128);
        self.printer.out.write_str(", [")?;
        for (n, (&case, &target)) in cases.iter().zip(targets).enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(self.printer.out, "{comma}{}: ", signed(scalar, case))?;
            self.target(target)?;
        }
        self.printer.out.write_str("]")
    }
}
