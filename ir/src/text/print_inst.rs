//! Instructions and constants as text: the inverse of reading them, one arm per shape.

use crate::body::{Body, Symbol};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{BlockCall, Const, Inst, SigRef, Switch, SymbolRef, Value};
use crate::inst::MemFlags;
use crate::op::Shape;
use crate::text::literal::{signed, write_quoted, write_scalar};
use crate::text::names::PrintNames;
use crate::text::print::{Printer, write_address};
use crate::types::{Abstract, Generic, Scalar, Singleton, Space, Type, TypeKind, Types};
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
                line.call(data.imm, args)
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
            Shape::Input => {
                line.suffix(inst)?;
                line.printer.out.write_str(" ")?;
                line.symbol(data.imm)
            }
            Shape::Print => {
                line.printer.out.write_str(" ")?;
                match body.symbol_exists(data.imm).then(|| body.symbol(SymbolRef::from_u32(data.imm))) {
                    Some(Symbol::Message(format)) => write_quoted(line.printer.out, format)?,
                    _ => write!(line.printer.out, "{}", SymbolRef::from_u32(data.imm))?,
                }
                line.values(if args.is_empty() { "" } else { ", " }, args)
            }
            Shape::Throw => {
                line.texts(data.imm)?;
                line.values(if args.is_empty() { "" } else { ", " }, args)
            }
            Shape::Assert | Shape::StaticAssert => {
                let (condition, operands) = args.split_at(args.len().min(1));
                line.values(" ", condition)?;
                line.texts(data.imm)?;
                line.values(if operands.is_empty() { "" } else { ", " }, operands)
            }
            Shape::Query => {
                line.suffix(inst)?;
                line.key(data.imm)
            }
            Shape::Scratch => {
                let space = Space::ALL.get(data.imm as usize).map_or("?", |space| space.name());
                write!(line.printer.out, ".{space} ")?;
                line.printer.ty(data.ty)
            }
        }
    }
}

/// Whether a parameter of this type is what its name means where a callee stands.
pub(crate) fn is_callable(types: &Types, ty: Type) -> bool {
    match types.generic(ty) {
        Some(Generic::Variable(_)) => true,
        Some(Generic::Abstract(id)) => matches!(*id, Abstract::ANY | Abstract::FUNCTION),
        _ => matches!(types.as_singleton(ty), Some(Singleton::Function(_))),
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

    /// Callee and arguments. A bare name that is a parameter of open type would mean that parameter.
    fn call(&mut self, imm: u32, args: &[Value]) -> fmt::Result {
        let symbol = self.body.symbol_exists(imm).then(|| self.body.symbol(SymbolRef::from_u32(imm)));
        match (symbol, args.split_first()) {
            (Some(Symbol::Operand), Some((&callee, args))) => {
                if !self.is_callable_parameter(callee) {
                    self.printer.out.write_str("value ")?;
                }
                self.value(callee)?;
                self.arguments(args)
            }
            (Some(Symbol::Name(name)), _) if self.hides(name) => {
                write_quoted(self.printer.out, name)?;
                self.arguments(args)
            }
            _ => {
                self.symbol(imm)?;
                self.arguments(args)
            }
        }
    }

    fn is_callable_parameter(&self, value: Value) -> bool {
        let params = self.body.entry().map_or(&[][..], |entry| self.body.block_params(entry));
        params.contains(&value) && is_callable(self.printer.types, self.body.value_type(value))
    }

    fn hides(&self, name: &str) -> bool {
        let params = self.body.entry().map_or(&[][..], |entry| self.body.block_params(entry));
        params.iter().any(|&param| {
            is_callable(self.printer.types, self.body.value_type(param)) && {
                let mut text = String::new();
                let written = self.names.write_value(&mut text, self.body, param);
                written.is_ok() && text == name
            }
        })
    }

    fn value(&mut self, value: Value) -> fmt::Result {
        if self.body.value_exists(value) && self.printer.types.as_pack(self.body.value_type(value)).is_some()
        {
            self.names.write_value(self.printer.out, self.body, value)?;
            return self.printer.out.write_str("...");
        }
        if self.body.value_exists(value)
            && let Some(data) = self.body.value_const(value)
        {
            return self.constant(data);
        }
        self.names.write_value(self.printer.out, self.body, value)
    }

    fn constant(&mut self, data: &ConstData) -> fmt::Result {
        // The only value of a singleton type is spelled as its type is.
        let generic = self.printer.types.generic(data.ty);
        let is_singleton = matches!(generic, Some(Generic::TypeOf(_) | Generic::ConstOf(_)));
        let bare = is_singleton && data.value == ConstValue::Zero;
        if bare || self.printer.types.as_singleton(data.ty).is_some() {
            return self.printer.ty(data.ty);
        }
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
            (ConstValue::Literal(text), _) => self.printer.out.write_str(text),
            (ConstValue::Variable(ty), _) => self.printer.ty(*ty),
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

    fn key(&mut self, imm: u32) -> fmt::Result {
        self.printer.out.write_str(" ")?;
        match self.body.symbol_exists(imm).then(|| self.body.symbol(SymbolRef::from_u32(imm))) {
            Some(Symbol::Message(key)) => write_quoted(self.printer.out, key),
            _ => write!(self.printer.out, "{}", SymbolRef::from_u32(imm)),
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
