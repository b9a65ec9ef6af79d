//! How types are spelled in text.

use super::{Aggregate, Generic, Singleton, Template, Type, Types};
use std::fmt::{self, Write};

/// Writes the name of a struct or a function.
pub(crate) type WriteName = fn(&mut dyn Write, &str) -> fmt::Result;

impl Types {
    /// Writes a type as the text format spells it; `name` writes the names of structs and functions.
    pub(crate) fn write(&self, out: &mut dyn Write, ty: Type, name: WriteName) -> fmt::Result {
        // Arrays nest without limit; walk inwards once, then close what was opened.
        let mut ty = ty;
        let mut lengths = Vec::new();
        while let Some(Aggregate::Array { element, length }) = self.aggregate(ty) {
            out.write_str("array<")?;
            lengths.push(*length);
            ty = *element;
        }
        match (self.generic(ty), self.aggregate(ty)) {
            (Some(generic), _) => self.write_generic(out, generic, name)?,
            (_, Some(Aggregate::Singleton(singleton))) => self.write_singleton(out, singleton, name)?,
            (_, Some(Aggregate::Struct { name: plain, .. })) => match self.applied(ty) {
                Some((template, args)) => self.write_applied(out, template, args, name)?,
                None => name(out, plain)?,
            },
            _ => write!(out, "{ty}")?,
        }
        lengths.iter().rev().try_for_each(|length| write!(out, ", {length}>"))
    }

    fn write_applied(
        &self,
        out: &mut dyn Write,
        template: Template,
        args: &[Type],
        name: WriteName,
    ) -> fmt::Result {
        name(out, self.template(template).map_or("?", |template| &template.name))?;
        for (n, &arg) in args.iter().enumerate() {
            out.write_str(if n == 0 { "<" } else { ", " })?;
            self.write(out, arg, name)?;
        }
        out.write_str(">")
    }

    /// A length, a number of lanes or a space: the bare value.
    fn write_parameter(&self, out: &mut dyn Write, ty: Type, name: WriteName) -> fmt::Result {
        match (self.as_constant(ty), self.as_singleton(ty)) {
            (Some((_, bits)), _) => write!(out, "{bits}"),
            (_, Some(Singleton::Space(space))) => out.write_str(space.name()),
            _ => self.write(out, ty, name),
        }
    }

    fn write_generic(&self, out: &mut dyn Write, generic: &Generic, name: WriteName) -> fmt::Result {
        match generic {
            Generic::Variable(variable) => out.write_str(variable),
            Generic::Abstract(id) => name(out, self.abstract_name(*id)),
            Generic::Vector { lane: inner, lanes: count }
            | Generic::Array { element: inner, length: count } => {
                let is_vector = matches!(generic, Generic::Vector { .. });
                out.write_str(if is_vector { "vec<" } else { "array<" })?;
                self.write(out, *inner, name)?;
                out.write_str(", ")?;
                self.write_parameter(out, *count, name)?;
                out.write_str(">")
            }
            Generic::Pointer(space) => {
                out.write_str("ptr<")?;
                self.write_parameter(out, *space, name)?;
                out.write_str(">")
            }
            Generic::Struct { template, args } => self.write_applied(out, *template, args, name),
            Generic::TypeOf(ty) => {
                out.write_str("type ")?;
                self.write(out, *ty, name)
            }
            Generic::ConstOf(number) => {
                out.write_str("const ")?;
                self.write(out, *number, name)
            }
            Generic::Pack(ty) => {
                self.write(out, *ty, name)?;
                out.write_str("...")
            }
        }
    }

    fn write_singleton(&self, out: &mut dyn Write, singleton: &Singleton, name: WriteName) -> fmt::Result {
        match singleton {
            Singleton::Function(function) => {
                out.write_str("fn ")?;
                name(out, function)
            }
            Singleton::Type(ty) => {
                out.write_str("type ")?;
                self.write(out, *ty, name)
            }
            Singleton::Constant(data) => {
                write!(out, "const {} ", data.ty)?;
                match (data.ty.as_scalar(), data.scalar()) {
                    (Some(scalar), Some(bits)) => crate::text::write_scalar(out, scalar, bits),
                    _ => out.write_str("zero"),
                }
            }
            Singleton::Space(space) => write!(out, "space {}", space.name()),
        }
    }
}
