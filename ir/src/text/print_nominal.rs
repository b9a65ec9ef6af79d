//! The text of what stands under a name among types: structs, templates of them, newtypes, abstract types.

use super::print::{Printer, write_symbol};
use crate::types::{Abstract, Aggregate, Nominal, Template, Type};
use std::fmt;

impl Printer<'_> {
    fn structure(&mut self, ty: Type) -> fmt::Result {
        let Some(Aggregate::Struct { fields, .. }) = self.types.aggregate(ty) else { return Ok(()) };
        let newtype = self.types.as_newtype(ty);
        self.out.write_str(if newtype.is_some() { "newtype " } else { "struct " })?;
        self.ty(ty)?;
        self.supertype(self.types.supertype(ty))?;
        if let Some(of) = newtype {
            return self.newtype(of);
        }
        self.fields(fields)
    }

    fn template(&mut self, id: Template) -> fmt::Result {
        let Some(data) = self.types.template(id) else { return Ok(()) };
        self.out.write_str(if data.is_newtype { "newtype " } else { "struct " })?;
        self.type_name(&data.name)?;
        for (n, &param) in data.params.iter().enumerate() {
            self.out.write_str(if n == 0 { "<" } else { ", " })?;
            self.ty(param)?;
        }
        self.out.write_str(">")?;
        self.supertype(data.supertype)?;
        match data.fields.first() {
            Some(field) if data.is_newtype => self.newtype(field.1),
            _ => self.fields(&data.fields),
        }
    }

    /// What stands behind a newtype's name.
    fn newtype(&mut self, of: Type) -> fmt::Result {
        self.out.write_str(" = ")?;
        self.ty(of)?;
        self.out.write_str("\n")
    }

    /// What stands under a name among types.
    pub(super) fn nominal(&mut self, nominal: Nominal) -> fmt::Result {
        match nominal {
            Nominal::Struct(ty) => self.structure(ty),
            Nominal::Template(id) => self.template(id),
            Nominal::Abstract(id) => {
                self.out.write_str("abstract ")?;
                self.type_name(self.types.abstract_name(id))?;
                self.supertype(self.types.abstract_supertype(id))?;
                self.out.write_str("\n")
            }
        }
    }

    pub(super) fn implementations(&mut self, id: Abstract) -> fmt::Result {
        let types = self.types;
        for (n, ty) in types.implementations(id).enumerate() {
            self.out.write_str(if n == 0 { "impl " } else { ", " })?;
            self.ty(ty)?;
        }
        if types.implementations(id).next().is_some() {
            self.supertype(id)?;
            self.out.write_str("\n")?;
        }
        Ok(())
    }

    fn supertype(&mut self, supertype: Abstract) -> fmt::Result {
        if supertype == Abstract::ANY {
            return Ok(());
        }
        self.out.write_str(" : ")?;
        self.type_name(self.types.abstract_name(supertype))
    }

    fn fields(&mut self, fields: &[(std::sync::Arc<str>, Type)]) -> fmt::Result {
        self.out.write_str(" {")?;
        for (n, (name, field)) in fields.iter().enumerate() {
            self.out.write_str(if n == 0 { " " } else { ", " })?;
            write_symbol(self.out, name)?;
            self.out.write_str(": ")?;
            self.ty(*field)?;
        }
        self.out.write_str(if fields.is_empty() { "}\n" } else { " }\n" })
    }
}
