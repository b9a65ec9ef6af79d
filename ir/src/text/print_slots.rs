//! Alignment and slots of globals, printed.

use crate::program::{GlobalData, Reference};
use crate::text::literal::write_quoted;
use crate::text::print::{Printer, write_symbol};
use std::fmt;

impl Printer<'_> {
    /// ` align N`, if there is one.
    pub(super) fn alignment(&mut self, global: &GlobalData) -> fmt::Result {
        global.align.map_or(Ok(()), |align| write!(self.out, " align {align}"))
    }

    /// ` with [OFFSET: REFERENCE, ...]`, if there are any slots.
    pub(super) fn slots(&mut self, global: &GlobalData) -> fmt::Result {
        for (n, slot) in global.slots.iter().enumerate() {
            self.out.write_str(if n == 0 { " with [" } else { ", " })?;
            write!(self.out, "{}: ", slot.offset)?;
            self.reference(&slot.reference)?;
        }
        self.out.write_str(if global.slots.is_empty() { "" } else { "]" })
    }

    fn reference(&mut self, reference: &Reference) -> fmt::Result {
        write!(self.out, "{} ", reference.kind())?;
        match reference {
            // Another program's name, which need not look like one here.
            Reference::Symbol { name, library } => {
                write_quoted(self.out, name)?;
                library.iter().try_for_each(|library| {
                    self.out.write_str(" from ")?;
                    write_quoted(self.out, library)
                })
            }
            Reference::Value(name) | Reference::Word(name) => write_quoted(self.out, name),
            Reference::Global { name, offset } => {
                write_symbol(self.out, name)?;
                if *offset == 0 { Ok(()) } else { write!(self.out, " at {offset}") }
            }
            Reference::Method { name, params } => {
                write_symbol(self.out, name)?;
                self.type_list(params)
            }
            Reference::Func(func) => match self.unit.and_then(|unit| unit.funcs.get(*func)) {
                Some(function) => {
                    write_symbol(self.out, &function.name)?;
                    self.type_list(&function.signature.params)
                }
                None => write!(self.out, "{func}()"),
            },
        }
    }
}
