//! Abstract types, type variables, types with parameters and singleton types.

use crate::constant::{ConstData, ConstValue};
use crate::diag::Code;
use crate::entity::Value;
use crate::limits::{MAX_PARAMS, MAX_TYPE_DEPTH};
use crate::program::Variable;
use crate::span::Span;
use crate::text::lexer::{Kind, Token};
use crate::text::parser::{Parse, Parser, is_reserved, shortened};
use crate::types::{Abstract, Generic, Nominal, Singleton, TemplateData, Type, TypeError};
use std::sync::Arc;

/// Most type variables of one method or struct.
const MAX_VARIABLES: usize = MAX_TYPE_DEPTH;

impl<'t> Parser<'_, 't> {
    /// The name of a new type.
    pub(crate) fn type_name(&mut self, wanted: &str) -> Parse<(Arc<str>, Span)> {
        let quoted = self.at(Kind::Quoted);
        let (name, span) = self.symbol(wanted)?;
        if !quoted && is_reserved(&name) {
            let message = format!("found '{name}', expected a name that is no type and no literal");
            return Err(self.error(Code::Reserved, span, message));
        }
        Ok((name, span))
    }

    /// `NAME(TYPE, ...)` and nothing else.
    pub(crate) fn call(&mut self) -> Parse<(Arc<str>, Vec<Type>)> {
        let (name, _) = self.symbol("the name of a method")?;
        let types = self.type_list(MAX_PARAMS, "arguments")?;
        self.expect(Kind::End)?;
        Ok((name, types))
    }

    /// `abstract NAME [: NAME]`
    pub(crate) fn abstract_type(&mut self) -> Parse<()> {
        self.bump();
        let (name, span) = self.type_name("the name of an abstract type")?;
        let supertype = self.supertype()?;
        if let Err(error) = self.program.types.abstract_type(&name, supertype) {
            let code = if matches!(error, TypeError::Taken(_)) { Code::Redefined } else { Code::InvalidType };
            self.error(code, span, error.to_string());
        }
        Ok(())
    }

    /// `impl TYPE, ... : NAME`
    pub(crate) fn implementation(&mut self) -> Parse<()> {
        self.bump();
        let mut types = Vec::new();
        loop {
            let span = self.token.span();
            types.push((self.ty()?, self.span_from(span)));
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        if !self.at(Kind::Colon) {
            return Err(self.expected("',' or ':' and an abstract type"));
        }
        let supertype = self.supertype()?;
        for (ty, span) in types {
            if let Err(error) = self.program.types.implement(ty, supertype) {
                self.error(Code::InvalidType, span, error.to_string());
            }
        }
        Ok(())
    }

    /// `: NAME` or nothing, which is `Any`.
    pub(crate) fn supertype(&mut self) -> Parse<Abstract> {
        if !self.eat(Kind::Colon) {
            return Ok(Abstract::ANY);
        }
        let (name, span) = self.symbol("an abstract type")?;
        match self.program.types.find(&name) {
            Some(Nominal::Abstract(id)) => Ok(id),
            Some(_) => {
                let message = format!("found '{}', expected an abstract type", shortened(&name));
                Err(self.error(Code::UnknownType, span, message))
            }
            None => Err(self.unknown_type(&name, span, "an abstract type")),
        }
    }

    /// `<T, N: Real>` or nothing.
    pub(crate) fn type_variables(&mut self, bounds: bool) -> Parse<()> {
        if !self.eat(Kind::Less) {
            return Ok(());
        }
        loop {
            if self.variables.len() == MAX_VARIABLES {
                let message = format!("there are more than {MAX_VARIABLES} type variables");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            let token = self.expect_as(Kind::Name, "a type variable")?;
            let name = self.text(token);
            self.check_name(token, name)?;
            if self.program.types.find(name).is_some() {
                let message = format!("found '{name}', expected a name that is no type");
                return Err(self.error(Code::Variable, token.span(), message));
            }
            let made = self.program.types.variable(name);
            let ty = self.made(made, token.span())?;
            let bound = if bounds { self.supertype()? } else { Abstract::ANY };
            self.variables.push((name, Variable { ty, bound }));
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        self.expect_as(Kind::Greater, "',' or '>'")?;
        Ok(())
    }

    /// The type of a parameter: abstract types stand for a variable of their own, `...` makes a pack.
    pub(crate) fn parameter_type(&mut self) -> Parse<Type> {
        let start = self.token.span();
        self.abstracts = true;
        let ty = self.ty();
        self.abstracts = false;
        let ty = ty?;
        if !self.eat(Kind::Ellipsis) {
            return Ok(ty);
        }
        if self.at(Kind::Comma) {
            return Err(self.expected("')': a pack is the last parameter"));
        }
        let made = self.program.types.make_generic(Generic::Pack(ty));
        self.made(made, start)
    }

    /// Reports variables that no parameter determines.
    pub(crate) fn determined(&mut self, params: &[(Token, &'t str, Type)]) {
        let mut found: Vec<Type> = Vec::new();
        for param in params {
            self.program.types.each_variable(param.2, &mut |ty| found.push(ty));
        }
        let missing: Vec<&str> =
            self.variables.iter().filter(|(_, v)| !found.contains(&v.ty)).map(|(name, _)| *name).collect();
        for name in missing {
            let span = self.token.span();
            let message = format!("type variable '{name}' is in no parameter, so no call can determine it");
            self.error(Code::Variable, span, message);
        }
    }

    /// `newtype NAME[<T>] [: NAME] = TYPE`
    pub(crate) fn newtype(&mut self) -> Parse<()> {
        self.bump();
        let (name, span) = self.type_name("the name of a newtype")?;
        self.type_variables(false)?;
        let supertype = self.supertype()?;
        self.expect_as(Kind::Equals, "'=' and a type")?;
        let fields = vec![("value".into(), self.ty()?)];
        if let Err(error) = self.define_struct(name, fields, supertype, true) {
            let code = if matches!(error, TypeError::Taken(_)) { Code::Redefined } else { Code::InvalidType };
            self.error(code, span, error.to_string());
        }
        Ok(())
    }

    /// Defines a struct, with parameters if there are type variables.
    pub(crate) fn define_struct(
        &mut self,
        name: Arc<str>,
        fields: Vec<(Arc<str>, Type)>,
        supertype: Abstract,
        is_newtype: bool,
    ) -> Result<(), TypeError> {
        let types = &mut self.program.types;
        if self.variables.is_empty() {
            let ty = match fields.first() {
                Some(field) if is_newtype => types.newtype(&name, field.1)?,
                _ => types.structure(&name, fields)?,
            };
            return types.set_supertype(ty, supertype);
        }
        let params = self.variables.iter().map(|(_, variable)| variable.ty).collect();
        types
            .define_template(TemplateData { name, params, fields: fields.into(), supertype, is_newtype })
            .map(|_| ())
    }

    /// The type of a name that was just read, with its parameters.
    pub(crate) fn named_type(&mut self, name: &str, span: Span, depth: usize) -> Parse<Type> {
        match self.program.types.find(name) {
            Some(Nominal::Struct(ty)) => Ok(ty),
            Some(Nominal::Template(template)) => {
                self.expect_as(Kind::Less, "'<' and the parameters of the struct")?;
                let mut args = Vec::new();
                while !self.at(Kind::Greater) && args.len() <= MAX_VARIABLES {
                    args.push(self.nested_type(depth + 1)?);
                    if !self.eat(Kind::Comma) {
                        break;
                    }
                }
                self.expect_as(Kind::Greater, "',' or '>'")?;
                let made = self.program.types.apply(template, &args);
                self.made(made, span)
            }
            Some(Nominal::Abstract(id)) if self.abstracts => {
                let made = self.program.types.make_generic(Generic::Abstract(id));
                self.made(made, span)
            }
            Some(Nominal::Abstract(_)) => {
                let message = format!("'{name}' is abstract: it can stand for the type of a parameter only");
                Err(self.error(Code::InvalidType, span, message))
            }
            None => Err(self.unknown_type(name, span, "a type")),
        }
    }

    /// `fn NAME`, `type TYPE`, `const TYPE NUMBER` or `const N`.
    pub(crate) fn singleton_type(&mut self, depth: usize) -> Parse<Type> {
        let token = self.token;
        self.bump();
        let made = match self.text(token) {
            "fn" => {
                let (name, _) = self.symbol("the name of a method")?;
                self.program.types.singleton(Singleton::Function(name))
            }
            "type" => {
                let ty = self.nested_type(depth + 1)?;
                self.program.types.singleton(Singleton::Type(ty))
            }
            _ => {
                let variable = if self.at(Kind::Name) { self.variable(self.text(self.token)) } else { None };
                if let Some(variable) = variable {
                    self.bump();
                    self.program.types.constant_of(variable)
                } else {
                    let ty = self.nested_type(depth + 1)?;
                    if ty.as_scalar().is_none() {
                        return Err(self.expected("a scalar type before the constant"));
                    }
                    let data = self.literal(ty)?;
                    self.program.types.singleton(Singleton::Constant(data))
                }
            }
        };
        self.made(made, token.span())
    }

    /// The only value of a singleton type.
    pub(crate) fn singleton_value(&mut self) -> Parse<Value> {
        let ty = self.singleton_type(0)?;
        Ok(self.body.make_const(ConstData { ty, value: ConstValue::Zero }))
    }
}
