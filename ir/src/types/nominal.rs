//! Nominal types: abstract types, the one supertype that each type has, newtypes and structs with type parameters.
//!
//! Abstract types form a tree below `Any`; each is defined after its supertype, so there are no cycles. They have no
//! values: they bound type variables. A struct with parameters is a [`Template`]; applied to concrete types it is an
//! ordinary struct whose name is its spelling, applied to types with variables it is a [`Generic`] pattern.
//!
//! A newtype is a struct with one field that dispatch tells apart from the type of that field and nothing else does:
//! `make` wraps, `get` unwraps, and specialisation takes both away with the type itself ([`Types::erased`]).

use super::table::{Row, number};
use super::{Aggregate, Generic, Type, TypeError, Types};
use crate::limits::{MAX_FIELDS, MAX_NAME_BYTES, MAX_TYPE_DEPTH};
use std::sync::Arc;

/// An abstract type.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Abstract(u32);

impl Abstract {
    /// Every type is one.
    pub const ANY: Abstract = Abstract(0);
    /// The singleton types of functions.
    pub const FUNCTION: Abstract = Abstract(1);

    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// A struct with type parameters.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Template(u32);

impl Template {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// What a name means among types.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Nominal {
    /// A struct without parameters.
    Struct(Type),
    /// A struct with parameters.
    Template(Template),
    /// An abstract type.
    Abstract(Abstract),
}

#[derive(Clone, Debug)]
pub(super) struct AbstractRow {
    name: Arc<str>,
    supertype: Abstract,
    depth: u32,
}

/// The definition of a struct with type parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateData {
    /// Its name.
    pub name: Arc<str>,
    /// Its parameters, as [`Types::variable`] gives them.
    pub params: Arc<[Type]>,
    /// Its fields, in which the parameters may occur.
    pub fields: Arc<[(Arc<str>, Type)]>,
    /// The abstract type that its instances are.
    pub supertype: Abstract,
    /// Whether its instances are newtypes of their only field.
    pub is_newtype: bool,
}

/// The abstract types that exist in every table.
pub(super) fn builtin() -> Vec<AbstractRow> {
    let row = |name: &str, depth| AbstractRow { name: name.into(), supertype: Abstract::ANY, depth };
    vec![row("Any", 0), row("Function", 1)]
}

impl Types {
    /// What a name means.
    pub fn find(&self, name: &str) -> Option<Nominal> {
        if let Some(&nominal) = self.names.get(name) {
            return Some(nominal);
        }
        match name {
            "Any" => Some(Nominal::Abstract(Abstract::ANY)),
            "Function" => Some(Nominal::Abstract(Abstract::FUNCTION)),
            _ => None,
        }
    }

    /// Everything nominal in the order of definition, without what is built in.
    pub fn nominals(&self) -> &[Nominal] {
        &self.nominals
    }

    /// Defines an abstract type.
    ///
    /// # Errors
    /// The name is taken, or the supertypes form a chain that is too long.
    pub fn abstract_type(&mut self, name: &str, supertype: Abstract) -> Result<Abstract, TypeError> {
        if self.find(name).is_some() {
            return Err(TypeError::Taken(name.into()));
        }
        let depth = self.abstract_row(supertype).ok_or(TypeError::Foreign)?.depth + 1;
        if depth as usize > MAX_TYPE_DEPTH {
            return Err(TypeError::TooDeep);
        }
        let id = Abstract(number(self.abstracts.len())?);
        self.abstracts.push(AbstractRow { name: name.into(), supertype, depth });
        self.define(name, Nominal::Abstract(id));
        Ok(id)
    }

    pub(super) fn define(&mut self, name: &str, nominal: Nominal) {
        self.names.insert(name.into(), nominal);
        self.nominals.push(nominal);
    }

    fn abstract_row(&self, id: Abstract) -> Option<&AbstractRow> {
        self.abstracts.get(id.0 as usize)
    }

    /// The name of an abstract type.
    pub fn abstract_name(&self, id: Abstract) -> &str {
        self.abstract_row(id).map_or("?", |row| &row.name)
    }

    /// The supertype of an abstract type; that of `Any` is `Any`.
    pub fn abstract_supertype(&self, id: Abstract) -> Abstract {
        self.abstract_row(id).map_or(Abstract::ANY, |row| row.supertype)
    }

    /// Whether everything that is a `narrow` is a `wide`.
    pub fn is_below(&self, narrow: Abstract, wide: Abstract) -> bool {
        let mut at = narrow;
        let depth = self.abstract_row(wide).map_or(0, |row| row.depth);
        while self.abstract_row(at).is_some_and(|row| row.depth > depth) {
            at = self.abstract_supertype(at);
        }
        at == wide
    }

    /// Declares that a scalar, vector or pointer is an abstract type.
    ///
    /// # Errors
    /// It is another one already, or has its supertype by definition.
    pub fn implement(&mut self, ty: Type, supertype: Abstract) -> Result<(), TypeError> {
        if !ty.is_known() || ty.is_aggregate() {
            return Err(TypeError::NotImplementable(ty));
        }
        match self.implementations.get(&ty) {
            Some(&old) if old != supertype => Err(TypeError::Implemented(ty, self.abstract_name(old).into())),
            Some(_) => Ok(()),
            None => {
                self.implementations.insert(ty, supertype);
                self.implementation_order.push(ty);
                Ok(())
            }
        }
    }

    /// How many types were declared to be of an abstract type.
    pub fn implementation_count(&self) -> usize {
        self.implementation_order.len()
    }

    /// The types that were declared to be of an abstract type directly, in order.
    pub fn implementations(&self, supertype: Abstract) -> impl Iterator<Item = Type> + '_ {
        let order = self.implementation_order.iter().copied();
        order.filter(move |ty| self.implementations.get(ty) == Some(&supertype))
    }

    /// The abstract type that a type is directly.
    pub fn supertype(&self, ty: Type) -> Abstract {
        if let Some(generic) = self.generic(ty) {
            return match generic {
                Generic::Struct { template, .. } => {
                    self.template(*template).map_or(Abstract::ANY, |template| template.supertype)
                }
                Generic::Abstract(bound) => *bound,
                _ => Abstract::ANY,
            };
        }
        match self.row(ty) {
            Some(row) => row.supertype,
            None => self.implementations.get(&ty).copied().unwrap_or(Abstract::ANY),
        }
    }

    /// Whether a type is of an abstract type.
    pub fn is_a(&self, ty: Type, bound: Abstract) -> bool {
        bound == Abstract::ANY || self.is_below(self.supertype(ty), bound)
    }

    /// Makes a struct that was just defined one of an abstract type.
    ///
    /// # Errors
    /// The type is no struct of this table.
    pub fn set_supertype(&mut self, ty: Type, supertype: Abstract) -> Result<(), TypeError> {
        let row = match ty.kind() {
            super::TypeKind::Aggregate(index) => self.rows.get_mut(index),
            _ => None,
        };
        match row {
            Some(row) if matches!(row.aggregate, Aggregate::Struct { .. }) => {
                row.supertype = supertype;
                Ok(())
            }
            _ => Err(TypeError::NotImplementable(ty)),
        }
    }

    /// Defines a struct with type parameters.
    ///
    /// # Errors
    /// The name is taken, or there are too many fields.
    pub fn define_template(&mut self, data: TemplateData) -> Result<Template, TypeError> {
        if self.find(&data.name).is_some() {
            return Err(TypeError::Taken(data.name));
        }
        if data.fields.len() > MAX_FIELDS {
            return Err(TypeError::TooManyFields(data.fields.len()));
        }
        super::table::distinct(&data.fields)?;
        let id = Template(number(self.templates.len())?);
        self.define(&data.name, Nominal::Template(id));
        self.templates.push(data);
        Ok(id)
    }

    /// The definition of a struct with parameters.
    pub fn template(&self, id: Template) -> Option<&TemplateData> {
        self.templates.get(id.0 as usize)
    }

    /// The template and the arguments that a struct, or a pattern of one, was made of.
    pub fn applied(&self, ty: Type) -> Option<(Template, &[Type])> {
        if let Some(Generic::Struct { template, args }) = self.generic(ty) {
            return Some((*template, args));
        }
        let (template, args) = self.row(ty)?.applied.as_ref()?;
        Some((*template, args))
    }

    /// A struct with its parameters given.
    ///
    /// # Errors
    /// Another number of parameters, nested too deeply, too large.
    pub fn apply(&mut self, template: Template, args: &[Type]) -> Result<Type, TypeError> {
        let key: (Template, Arc<[Type]>) = (template, args.into());
        if let Some(&ty) = self.instances.get(&key) {
            return Ok(ty);
        }
        let data = self.template(template).ok_or(TypeError::Foreign)?.clone();
        if data.params.len() != args.len() {
            return Err(TypeError::Arguments { found: args.len(), wanted: data.params.len() });
        }
        if args.iter().any(|ty| ty.is_generic()) {
            return self.make_generic(Generic::Struct { template, args: args.into() });
        }
        let depth = args.iter().map(|&ty| self.depth(ty)).max().unwrap_or(0) + 1;
        if depth as usize > MAX_TYPE_DEPTH {
            return Err(TypeError::TooDeep);
        }
        let mut fields = Vec::with_capacity(data.fields.len());
        for (name, ty) in data.fields.iter() {
            let bind = |variable: Type| {
                data.params.iter().position(|&p| p == variable).and_then(|n| args.get(n).copied())
            };
            fields.push((name.clone(), self.substitute(*ty, &bind)?));
        }
        let mut spelling = format!("{}<", data.name);
        for (n, &arg) in args.iter().enumerate() {
            spelling.push_str(if n == 0 { "" } else { ", " });
            spelling.push_str(&self.display(arg).to_string());
            if spelling.len() > MAX_NAME_BYTES {
                return Err(TypeError::TooLong);
            }
        }
        spelling.push('>');
        let mut row = Row::structure(self, spelling.into(), fields)?;
        row.supertype = data.supertype;
        row.depth = row.depth.max(depth);
        row.applied = Some(key.clone());
        let ty = self.push(row)?;
        if data.is_newtype {
            self.mark_newtype(ty);
        }
        self.instances.insert(key, ty);
        Ok(ty)
    }
}
