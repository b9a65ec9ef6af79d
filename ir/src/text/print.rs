//! The canonical text of programs, units and bodies.
//!
//! Printing never fails and never panics, whatever a host built: ids that do not exist print as what they are, and
//! [`Annotate`] puts a verifier's findings next to them, as comments.

use crate::body::{Body, Symbol};
use crate::entity::{Block, Func, Inst, Method, Table};
use crate::library;
use crate::program::{ExternData, GlobalData, Inlining, MethodData, MethodKind, Program, Variable};
use crate::signature::Signature;
use crate::text::literal::write_quoted;
use crate::text::names::PrintNames;
use crate::text::parser::{is_name, is_reserved};
use crate::types::{Abstract, Nominal, Type, Types};
use crate::unit::{Function, Unit};
use std::fmt::{self, Write};

/// Something that has lines of its own in a printed text.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// The header of a method of a program; the blocks and instructions that follow are its own.
    Method(Method),
    /// The header of a function of a unit; the blocks and instructions that follow are its own.
    Func(Func),
    /// The label of a block.
    Block(Block),
    /// An instruction.
    Inst(Inst),
}

/// Adds comments to a printed text, which reads back as if they were not there.
pub trait Annotate {
    /// Hands texts for comment lines above a place to `line`.
    fn before(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        let _ = (place, line);
    }

    /// Hands texts for comment lines below a place to `line`.
    fn after(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        let _ = (place, line);
    }
}

/// No comments.
pub(super) struct Plain;

impl Annotate for Plain {}

/// The canonical text of a program.
pub fn print_program(program: &Program) -> String {
    print_program_with(program, &mut Plain)
}

/// As [`print_program`], with comments.
pub fn print_program_with(program: &Program, annotate: &mut dyn Annotate) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_program(&mut out, program, annotate, |_| true);
    out
}

/// The text of a unit, for dumps. Calls name functions of the unit.
pub fn print_unit(unit: &Unit) -> String {
    print_unit_with(unit, &mut Plain)
}

/// As [`print_unit`], with comments.
pub fn print_unit_with(unit: &Unit, annotate: &mut dyn Annotate) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_unit(&mut out, unit, annotate, |_| true);
    out
}

/// The blocks of a body, as they stand between the braces of a method. With the unit, calls name its functions.
pub fn print_body(body: &Body, types: &Types, unit: Option<&Unit>) -> String {
    let mut out = String::new();
    let mut printer = Printer { out: &mut out, types, unit, annotate: &mut Plain };
    // Writing to a string cannot fail.
    let _ = printer.body(body, &PrintNames::new(body));
    out
}

/// One instruction of a body, without indentation and line break. With the unit, calls name its functions.
pub fn print_inst(body: &Body, types: &Types, unit: Option<&Unit>, inst: Inst) -> String {
    let mut out = String::new();
    let mut printer = Printer { out: &mut out, types, unit, annotate: &mut Plain };
    // Writing to a string cannot fail.
    let _ = printer.inst(body, &PrintNames::new(body), inst);
    out
}

/// The text of a program without the library's methods, which it starts with: what reads back into such a program.
pub fn print_own_program(program: &Program) -> String {
    let mut out = String::new();
    let own = |method: &MethodData| !library::is_library_file(&program.files, method.file);
    // Writing to a string cannot fail.
    let _ = write_program(&mut out, program, &mut Plain, own);
    out
}

/// As [`print_unit_with`], with the functions that are methods of the library as comments: what reads back into a program
/// that starts with the library.
pub fn print_own_unit_with(unit: &Unit, annotate: &mut dyn Annotate) -> String {
    let mut out = String::new();
    let own = |function: &Function| {
        !(library::is_library_file(&unit.files, function.file) && library::has_method(&function.name))
    };
    // Writing to a string cannot fail.
    let _ = write_unit(&mut out, unit, annotate, own);
    out
}

fn write_program(
    out: &mut dyn Write,
    program: &Program,
    annotate: &mut dyn Annotate,
    is_shown: impl Fn(&MethodData) -> bool,
) -> fmt::Result {
    let mut printer = Printer { out, types: &program.types, unit: None, annotate };
    printer.data(program.globals.values(), program.externs.values())?;
    let mut is_first = !printer.has_data(program.globals.len() + program.externs.len());
    for (id, method) in program.methods().filter(|(_, method)| is_shown(method)) {
        printer.blank(!std::mem::take(&mut is_first))?;
        printer.notes(Place::Method(id), "", false)?;
        write_method(&mut printer, program, id, method)?;
    }
    Ok(())
}

/// A method, with the table that it lives in.
pub(super) fn write_method(
    printer: &mut Printer<'_>,
    program: &Program,
    id: Method,
    method: &MethodData,
) -> fmt::Result {
    if method.table != Table::BASE {
        printer.out.write_str("overlay ")?;
        write_symbol(printer.out, program.table_name(method.table))?;
        printer.out.write_str(" ")?;
    }
    let head = Head {
        place: Place::Method(id),
        name: &method.name,
        kind: method.kind,
        signature: &method.signature,
        inlining: method.inlining,
        consistent: method.consistent,
        variables: &method.variables,
    };
    printer.function(&head, &method.body)
}

fn write_unit(
    out: &mut dyn Write,
    unit: &Unit,
    annotate: &mut dyn Annotate,
    is_own: impl Fn(&Function) -> bool,
) -> fmt::Result {
    let mut printer = Printer { out, types: &unit.types, unit: Some(unit), annotate };
    printer.data(unit.globals.values(), unit.externs.values())?;
    let mut entries = unit.entries.clone();
    entries.sort_unstable();
    let mut is_first = !printer.has_data(unit.globals.len() + unit.externs.len());
    for (id, function) in unit.funcs.iter() {
        printer.blank(!std::mem::take(&mut is_first))?;
        if is_own(function) {
            printer.unit_function(id, function, entries.binary_search(&id).is_ok())?;
            continue;
        }
        let mut text = String::new();
        let mut inner =
            Printer { out: &mut text, types: &unit.types, unit: Some(unit), annotate: printer.annotate };
        inner.unit_function(id, function, entries.binary_search(&id).is_ok())?;
        text.lines().try_for_each(|line| writeln!(printer.out, "; {line}"))?;
    }
    Ok(())
}

/// Writes a name, in quotes where it is no identifier.
pub(crate) fn write_symbol(out: &mut dyn Write, name: &str) -> fmt::Result {
    if is_name(name) { out.write_str(name) } else { write_quoted(out, name) }
}

/// What stands before a body.
struct Head<'a> {
    place: Place,
    name: &'a str,
    kind: MethodKind,
    signature: &'a Signature,
    inlining: Inlining,
    consistent: bool,
    variables: &'a [Variable],
}

/// Where the text goes, and what it needs to know.
pub(crate) struct Printer<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) types: &'a Types,
    pub(crate) unit: Option<&'a Unit>,
    pub(crate) annotate: &'a mut dyn Annotate,
}

impl<'a> Printer<'a> {
    fn blank(&mut self, wanted: bool) -> fmt::Result {
        if wanted { self.out.write_str("\n") } else { Ok(()) }
    }

    fn has_data(&self, others: usize) -> bool {
        others > 0 || !self.types.nominals().is_empty()
    }

    fn data<'b>(
        &mut self,
        globals: impl Iterator<Item = &'b GlobalData>,
        externs: impl Iterator<Item = &'b ExternData>,
    ) -> fmt::Result {
        let types = self.types;
        for &nominal in types.nominals() {
            self.nominal(nominal)?;
        }
        for &nominal in types.nominals() {
            if let Nominal::Abstract(id) = nominal {
                self.implementations(id)?;
            }
        }
        self.memory(globals, externs)
    }

    /// Globals and functions of the host.
    pub(super) fn memory<'b>(
        &mut self,
        globals: impl Iterator<Item = &'b GlobalData>,
        externs: impl Iterator<Item = &'b ExternData>,
    ) -> fmt::Result {
        for global in globals {
            self.out.write_str("global ")?;
            write_symbol(self.out, &global.name)?;
            self.out.write_str(": ")?;
            self.ty(global.ty)?;
            write!(self.out, " in {}", global.space.name())?;
            self.alignment(global)?;
            self.init(global)?;
            self.slots(global)?;
            self.out.write_str("\n")?;
        }
        for data in externs {
            self.out.write_str("extern func ")?;
            write_symbol(self.out, &data.name)?;
            self.type_list(&data.signature.params)?;
            self.results(&data.signature.results)?;
            self.out.write_str(" as ")?;
            write_quoted(self.out, &data.link_name)?;
            self.out.write_str("\n")?;
        }
        Ok(())
    }

    /// The name of a type or of an abstract type.
    pub(crate) fn type_name(&mut self, name: &str) -> fmt::Result {
        if is_reserved(name) { write_quoted(self.out, name) } else { write_symbol(self.out, name) }
    }

    /// A type.
    pub(crate) fn ty(&mut self, ty: Type) -> fmt::Result {
        self.types.write(self.out, ty, |out, name| match is_reserved(name) {
            true => write_quoted(out, name),
            false => write_symbol(out, name),
        })
    }

    /// `(TYPE, ...)`
    pub(crate) fn type_list(&mut self, types: &[Type]) -> fmt::Result {
        self.out.write_str("(")?;
        for (n, &ty) in types.iter().enumerate() {
            self.out.write_str(if n == 0 { "" } else { ", " })?;
            self.ty(ty)?;
        }
        self.out.write_str(")")
    }

    /// `-> TYPE`, `-> (TYPE, ...)` or nothing.
    pub(crate) fn results(&mut self, types: &[Type]) -> fmt::Result {
        match types {
            [] => Ok(()),
            [one] => {
                self.out.write_str(" -> ")?;
                self.ty(*one)
            }
            many => {
                self.out.write_str(" -> ")?;
                self.type_list(many)
            }
        }
    }

    fn unit_function(&mut self, id: Func, function: &Function, is_entry: bool) -> fmt::Result {
        self.notes(Place::Func(id), "", false)?;
        if is_entry {
            self.out.write_str("; entry\n")?;
        }
        let head = Head {
            place: Place::Func(id),
            name: &function.name,
            kind: function.kind,
            signature: &function.signature,
            inlining: function.inlining,
            consistent: false,
            variables: &[],
        };
        self.function(&head, &function.body)
    }

    fn function(&mut self, head: &Head<'_>, body: &Body) -> fmt::Result {
        let variables: Vec<String> =
            head.variables.iter().map(|variable| self.types.display(variable.ty).to_string()).collect();
        let names = PrintNames::with_variables(body, &variables);
        let word = if head.kind == MethodKind::Kernel { "kernel " } else { "method " };
        self.out.write_str(word)?;
        write_symbol(self.out, head.name)?;
        for (n, variable) in head.variables.iter().enumerate() {
            self.out.write_str(if n == 0 { "<" } else { ", " })?;
            self.ty(variable.ty)?;
            if variable.bound != Abstract::ANY {
                self.out.write_str(": ")?;
                self.type_name(self.types.abstract_name(variable.bound))?;
            }
        }
        self.out.write_str(if head.variables.is_empty() { "(" } else { ">(" })?;
        let params = body.entry().map_or(&[][..], |entry| body.block_params(entry));
        for (n, &ty) in head.signature.params.iter().enumerate() {
            self.out.write_str(if n == 0 { "" } else { ", " })?;
            match params.get(n) {
                Some(&value) => names.write_value(self.out, body, value)?,
                // A body that does not fit its signature; the verifier says so.
                None => write!(self.out, "missing{n}")?,
            }
            self.out.write_str(": ")?;
            self.ty(ty)?;
        }
        self.out.write_str(")")?;
        self.results(&head.signature.results)?;
        match head.inlining {
            Inlining::Auto => {}
            Inlining::Always => self.out.write_str(" inline")?,
            Inlining::Never => self.out.write_str(" noinline")?,
        }
        self.out.write_str(if head.consistent { " consistent {\n" } else { " {\n" })?;
        self.notes(head.place, "    ", true)?;
        self.body(body, &names)?;
        self.out.write_str("}\n")
    }

    /// Comment lines of an annotator.
    fn notes(&mut self, place: Place, indent: &str, after: bool) -> fmt::Result {
        let out = &mut *self.out;
        let mut result = Ok(());
        let mut line = |text: &str| {
            // A line break would end the comment.
            for part in text.lines() {
                let written = writeln!(out, "{indent}; {part}");
                result = result.and(written);
            }
        };
        match after {
            true => self.annotate.after(place, &mut line),
            false => self.annotate.before(place, &mut line),
        }
        result
    }

    /// All blocks.
    pub(crate) fn body(&mut self, body: &Body, names: &PrintNames) -> fmt::Result {
        for (n, block) in body.blocks().enumerate() {
            self.notes(Place::Block(block), "", false)?;
            names.write_block(self.out, body, block)?;
            let params = body.block_params(block);
            if n > 0 && !params.is_empty() {
                for (n, &param) in params.iter().enumerate() {
                    self.out.write_str(if n == 0 { "(" } else { ", " })?;
                    names.write_value(self.out, body, param)?;
                    self.out.write_str(": ")?;
                    self.ty(body.value_type(param))?;
                }
                self.out.write_str(")")?;
            }
            self.out.write_str(":\n")?;
            self.notes(Place::Block(block), "    ", true)?;
            for inst in body.block_insts(block) {
                self.notes(Place::Inst(inst), "    ", false)?;
                self.out.write_str("    ")?;
                self.inst(body, names, inst)?;
                // A fact that passes found, not part of the language: a text must not be able to claim it.
                self.out.write_str(if body.inst(inst).guarded { " ; guarded\n" } else { "\n" })?;
                self.notes(Place::Inst(inst), "    ", true)?;
            }
        }
        Ok(())
    }

    /// What a symbol is called.
    pub(crate) fn symbol(&mut self, symbol: &Symbol) -> fmt::Result {
        let name = match symbol {
            Symbol::Name(name) | Symbol::Overload(name, _) => Some(&**name),
            Symbol::Func(id) => self.unit.and_then(|unit| unit.funcs.get(*id)).map(|f| &*f.name),
            Symbol::Extern(id) => self.unit.and_then(|unit| unit.externs.get(*id)).map(|e| &*e.name),
            Symbol::Global(id) => self.unit.and_then(|unit| unit.globals.get(*id)).map(|g| &*g.name),
            Symbol::Exception(kind, _) => Some(&**kind),
            Symbol::Message(text) => Some(&**text),
            Symbol::Operand => None,
        };
        match (name, symbol) {
            (Some(name), _) => write_symbol(self.out, name),
            (None, Symbol::Func(id)) => write!(self.out, "{id}"),
            (None, Symbol::Extern(id)) => write!(self.out, "{id}"),
            (None, Symbol::Global(id)) => write!(self.out, "{id}"),
            (None, _) => Ok(()),
        }
    }
}

/// Writes an address without its type.
pub(crate) fn write_address(out: &mut dyn Write, bits: u128) -> fmt::Result {
    if bits == 0 { out.write_str("null") } else { write!(out, "{bits:#x}") }
}
