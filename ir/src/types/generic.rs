//! Types that are not settled before specialisation: patterns with variables, and singleton types.
//!
//! A [`Generic`] type stands in signatures and bodies of methods with type variables; everything that asks for its
//! kind finds it unknown. Variables are bound to concrete types; lengths and address spaces are bound as singleton
//! types, so one variable is one type wherever it stands. A [`Singleton`] type has one value, of no size: the type says
//! all about it.

use super::table::{Row, number};
use super::{Abstract, Aggregate, Layout, Nominal, Scalar, Space, TAG_GENERIC, TAG_SHIFT, Template};
use super::{Type, TypeError, TypeKind, Types};
use crate::constant::{ConstData, ConstValue};
use crate::limits::{MAX_TYPE_DEPTH, MAX_TYPE_PARTS};
use std::sync::Arc;

/// A type that mentions variables.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Generic {
    /// A type variable; those of one name are one type.
    Variable(Arc<str>),
    /// Any one type below an abstract type.
    Abstract(Abstract),
    /// `vec<T, N>`
    Vector {
        /// Type of the lanes.
        lane: Type,
        /// Their number: a variable or a constant's singleton type.
        lanes: Type,
    },
    /// `array<T, N>`
    Array {
        /// Type of the elements.
        element: Type,
        /// Their number: a variable or a constant's singleton type.
        length: Type,
    },
    /// `ptr<S>`: the address space is this variable.
    Pointer(Type),
    /// A struct with parameters.
    Struct {
        /// Which.
        template: Template,
        /// Its arguments, some of them generic.
        args: Arc<[Type]>,
    },
    /// `type T`: the singleton type of a type.
    TypeOf(Type),
    /// `const N`: the singleton type of a constant, which is this variable.
    ConstOf(Type),
    /// `T...`: any number of arguments.
    Pack(Type),
}

/// A type with variables.
#[derive(Clone, Debug)]
pub(super) struct GenericRow {
    generic: Generic,
    /// How deeply it is nested.
    depth: u32,
    /// Parts, shared ones as often as they occur.
    size: u32,
}

/// What the only value of a singleton type stands for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Singleton {
    /// A generic function.
    Function(Arc<str>),
    /// A type.
    Type(Type),
    /// A scalar constant.
    Constant(ConstData),
    /// An address space; what variables in `ptr<S>` are bound to.
    Space(Space),
}

/// What variables are bound to.
pub type Bindings<'a> = &'a dyn Fn(Type) -> Option<Type>;

impl Type {
    /// Whether the type mentions variables.
    pub const fn is_generic(self) -> bool {
        self.0 >> TAG_SHIFT == TAG_GENERIC
    }
}

impl Types {
    /// The type variable of this name.
    ///
    /// # Errors
    /// There are too many types.
    pub fn variable(&mut self, name: &str) -> Result<Type, TypeError> {
        self.make_generic(Generic::Variable(name.into()))
    }

    /// A type that mentions variables.
    ///
    /// # Errors
    /// It is nested too deeply, has too many parts, or one that does not exist in this table.
    pub fn make_generic(&mut self, generic: Generic) -> Result<Type, TypeError> {
        if let Some(&ty) = self.generic_index.get(&generic) {
            return Ok(ty);
        }
        let parts: &[Type] = match &generic {
            Generic::Variable(_) | Generic::Abstract(_) => &[],
            Generic::Vector { lane: a, lanes: b } | Generic::Array { element: a, length: b } => &[*a, *b],
            Generic::Pointer(ty) | Generic::TypeOf(ty) | Generic::ConstOf(ty) | Generic::Pack(ty) => &[*ty],
            Generic::Struct { template, args } => match self.template(*template) {
                Some(_) => args,
                None => return Err(TypeError::Foreign),
            },
        };
        let (mut inner, mut size) = (0, 1u32);
        for &part in parts {
            // A type of another table may have the number that this one gets: it would be a part of itself.
            self.check_exists(part)?;
            inner = inner.max(self.depth(part));
            size = size.saturating_add(self.generic_row(part).map_or(1, |row| row.size));
        }
        if inner as usize >= MAX_TYPE_DEPTH {
            return Err(TypeError::TooDeep);
        }
        // Parts may be shared: their number doubles with each level.
        if size > MAX_TYPE_PARTS {
            return Err(TypeError::TooLarge);
        }
        let ty = Type((TAG_GENERIC << TAG_SHIFT) | number(self.generics.len())?);
        self.generics.push(GenericRow { generic: generic.clone(), depth: inner + 1, size });
        self.generic_index.insert(generic, ty);
        Ok(ty)
    }

    /// What a type with variables is made of; none for other types and for types of another table.
    pub fn generic(&self, ty: Type) -> Option<&Generic> {
        self.generic_row(ty).map(|row| &row.generic)
    }

    fn generic_row(&self, ty: Type) -> Option<&GenericRow> {
        if !ty.is_generic() {
            return None;
        }
        self.generics.get((ty.0 & ((1 << TAG_SHIFT) - 1)) as usize)
    }

    /// Whether this table has the type.
    ///
    /// # Errors
    /// It has not.
    fn check_exists(&self, ty: Type) -> Result<(), TypeError> {
        let missing = (ty.is_generic() && self.generic(ty).is_none())
            || (ty.is_aggregate() && self.aggregate(ty).is_none());
        if missing { Err(TypeError::Foreign) } else { Ok(()) }
    }

    /// How deeply a type is nested.
    pub(super) fn depth(&self, ty: Type) -> u32 {
        match self.generic_row(ty) {
            Some(row) => row.depth,
            None => self.row(ty).map_or(0, |row| row.depth),
        }
    }

    /// The type of the only value that stands for this.
    ///
    /// # Errors
    /// The constant is no scalar, or there are too many types.
    pub fn singleton(&mut self, singleton: Singleton) -> Result<Type, TypeError> {
        if let Some(&ty) = self.singletons.get(&singleton) {
            return Ok(ty);
        }
        let mut supertype = Abstract::ANY;
        let mut depth = 0;
        match &singleton {
            Singleton::Function(_) => supertype = Abstract::FUNCTION,
            Singleton::Type(ty) if ty.is_generic() => return self.make_generic(Generic::TypeOf(*ty)),
            Singleton::Type(ty) => {
                self.check_exists(*ty)?;
                depth = self.depth(*ty) + 1;
            }
            Singleton::Constant(data) if data.scalar().is_none() || data.ty.as_scalar().is_none() => {
                return Err(TypeError::NotStorable(data.ty));
            }
            Singleton::Constant(_) | Singleton::Space(_) => {}
        }
        if depth as usize > MAX_TYPE_DEPTH {
            return Err(TypeError::TooDeep);
        }
        let ty = self.push(Row {
            aggregate: Aggregate::Singleton(singleton.clone()),
            layout: Layout { size: 0, align: 1 },
            offsets: [].into(),
            supertype,
            depth,
            applied: None,
            is_newtype: false,
        })?;
        self.singletons.insert(singleton, ty);
        Ok(ty)
    }

    /// The singleton type of a length or number of lanes.
    ///
    /// # Errors
    /// There are too many types.
    pub fn length(&mut self, length: u64) -> Result<Type, TypeError> {
        let value = ConstValue::Scalar(u128::from(length));
        self.singleton(Singleton::Constant(ConstData { ty: Type::I64, value }))
    }

    /// What a singleton type stands for.
    pub fn as_singleton(&self, ty: Type) -> Option<&Singleton> {
        match self.aggregate(ty) {
            Some(Aggregate::Singleton(singleton)) => Some(singleton),
            _ => None,
        }
    }

    /// The scalar constant that a singleton type stands for.
    pub fn as_constant(&self, ty: Type) -> Option<(Scalar, u128)> {
        match self.as_singleton(ty)? {
            Singleton::Constant(data) => Some((data.ty.as_scalar()?, data.scalar()?)),
            _ => None,
        }
    }

    /// `vec<lane, lanes>`, generic if a part is.
    ///
    /// # Errors
    /// The lane is no scalar, or there cannot be so many.
    pub fn vector_of(&mut self, lane: Type, lanes: Type) -> Result<Type, TypeError> {
        if lane.is_generic() || lanes.is_generic() {
            return self.make_generic(Generic::Vector { lane, lanes });
        }
        let count = self.as_constant(lanes).and_then(|(_, bits)| u32::try_from(bits).ok());
        let vector = lane.as_scalar().zip(count).and_then(|(lane, count)| Type::vector(lane, count));
        vector.ok_or(TypeError::NotStorable(lane))
    }

    /// `array<element, length>`, generic if a part is.
    ///
    /// # Errors
    /// The length is no constant, or the array is too large.
    pub fn array_of(&mut self, element: Type, length: Type) -> Result<Type, TypeError> {
        if element.is_generic() || length.is_generic() {
            return self.make_generic(Generic::Array { element, length });
        }
        let count = self.as_constant(length).and_then(|(_, bits)| u64::try_from(bits).ok());
        self.array(element, count.ok_or(TypeError::NotStorable(length))?)
    }

    /// `ptr<space>`, generic if the space is a variable.
    ///
    /// # Errors
    /// What stands there is no address space.
    pub fn pointer_to(&mut self, space: Type) -> Result<Type, TypeError> {
        if space.is_generic() {
            return self.make_generic(Generic::Pointer(space));
        }
        match self.as_singleton(space) {
            Some(Singleton::Space(space)) => Ok(Type::pointer(*space)),
            _ => Err(TypeError::NotStorable(space)),
        }
    }

    /// `const number`: the type itself unless it is generic.
    ///
    /// # Errors
    /// What stands there is no constant.
    pub fn constant_of(&mut self, number: Type) -> Result<Type, TypeError> {
        if number.is_generic() {
            return self.make_generic(Generic::ConstOf(number));
        }
        self.as_constant(number).map(|_| number).ok_or(TypeError::NoConstant(number))
    }

    /// The type with its variables replaced; those without binding stay.
    ///
    /// # Errors
    /// The result cannot be made: too large, too deep, or lanes that are no scalar.
    pub fn substitute(&mut self, ty: Type, bindings: Bindings<'_>) -> Result<Type, TypeError> {
        // Nesting is limited where generic types are made.
        let Some(generic) = self.generic(ty).cloned() else { return Ok(ty) };
        match generic {
            Generic::Variable(_) | Generic::Abstract(_) => Ok(bindings(ty).unwrap_or(ty)),
            Generic::Vector { lane, lanes } => {
                let (lane, lanes) = (self.substitute(lane, bindings)?, self.substitute(lanes, bindings)?);
                self.vector_of(lane, lanes)
            }
            Generic::Array { element, length } => {
                let element = self.substitute(element, bindings)?;
                let length = self.substitute(length, bindings)?;
                self.array_of(element, length)
            }
            Generic::Pointer(space) => {
                let space = self.substitute(space, bindings)?;
                self.pointer_to(space)
            }
            Generic::Struct { template, args } => {
                let args: Result<Vec<Type>, _> =
                    args.iter().map(|&arg| self.substitute(arg, bindings)).collect();
                self.apply(template, &args?)
            }
            Generic::TypeOf(ty) => {
                let ty = self.substitute(ty, bindings)?;
                self.singleton(Singleton::Type(ty))
            }
            Generic::ConstOf(number) => {
                let number = self.substitute(number, bindings)?;
                self.constant_of(number)
            }
            Generic::Pack(ty) => {
                let ty = self.substitute(ty, bindings)?;
                self.make_generic(Generic::Pack(ty))
            }
        }
    }

    /// Calls `f` on every variable in a type, and on every abstract type that stands for a variable without name.
    pub fn each_variable(&self, ty: Type, f: &mut dyn FnMut(Type)) {
        match self.generic(ty) {
            None => {}
            Some(Generic::Variable(_) | Generic::Abstract(_)) => f(ty),
            Some(Generic::Vector { lane, lanes }) => {
                self.each_variable(*lane, f);
                self.each_variable(*lanes, f);
            }
            Some(Generic::Array { element, length }) => {
                self.each_variable(*element, f);
                self.each_variable(*length, f);
            }
            Some(Generic::Pointer(ty) | Generic::TypeOf(ty) | Generic::ConstOf(ty) | Generic::Pack(ty)) => {
                self.each_variable(*ty, f)
            }
            Some(Generic::Struct { args, .. }) => args.iter().for_each(|&arg| self.each_variable(arg, f)),
        }
    }

    /// Writes a type as words in which variables are numbered in the order of their occurrence.
    pub(crate) fn canonical(&self, ty: Type, order: &mut Vec<Type>, key: &mut Vec<u32>) {
        // Words of types have small tags: what is added here is told apart by larger ones.
        const VARIABLE: u32 = 8 << TAG_SHIFT;
        const SHAPE: u32 = 9 << TAG_SHIFT;
        let Some(generic) = self.generic(ty) else { return key.push(ty.0) };
        match generic {
            Generic::Variable(_) => {
                let known = order.iter().position(|&other| other == ty);
                let number = known.unwrap_or_else(|| {
                    order.push(ty);
                    order.len() - 1
                });
                key.push(VARIABLE | number as u32);
            }
            // A variable without name is one that occurs once.
            Generic::Abstract(_) => {
                key.push(VARIABLE | order.len() as u32);
                order.push(ty);
            }
            Generic::Vector { lane, lanes } => {
                key.push(SHAPE);
                self.canonical(*lane, order, key);
                self.canonical(*lanes, order, key);
            }
            Generic::Array { element, length } => {
                key.push(SHAPE | 1);
                self.canonical(*element, order, key);
                self.canonical(*length, order, key);
            }
            Generic::Pointer(space) => {
                key.push(SHAPE | 2);
                self.canonical(*space, order, key);
            }
            Generic::TypeOf(ty) => {
                key.push(SHAPE | 3);
                self.canonical(*ty, order, key);
            }
            Generic::Pack(ty) => {
                key.push(SHAPE | 4);
                self.canonical(*ty, order, key);
                // Here an abstract type may be another one for each argument, which a variable is not.
                self.each_variable(*ty, &mut |part| {
                    key.push(
                        SHAPE | 7 | u32::from(matches!(self.generic(part), Some(Generic::Abstract(_)))) << 3,
                    );
                });
            }
            Generic::ConstOf(number) => {
                key.push(SHAPE | 6);
                self.canonical(*number, order, key);
            }
            Generic::Struct { template, args } => {
                key.push(SHAPE | 5);
                key.push(template.number());
                args.iter().for_each(|&arg| self.canonical(arg, order, key));
            }
        }
    }

    /// The element of a pack `T...`.
    pub fn as_pack(&self, ty: Type) -> Option<Type> {
        match self.generic(ty) {
            Some(Generic::Pack(element)) => Some(*element),
            _ => None,
        }
    }

    /// The same type in this table, for a type of another table that began as a copy of this one or of which this
    /// one began as a copy.
    ///
    /// # Errors
    /// It cannot be made here: a nominal type has another meaning.
    pub fn import(&mut self, from: &Types, ty: Type) -> Result<Type, TypeError> {
        if self.same_row(from, ty) {
            return Ok(ty);
        }
        match (from.generic(ty), from.aggregate(ty)) {
            (Some(_), _) => Err(TypeError::NotStorable(ty)),
            (_, Some(Aggregate::Array { element, length })) => {
                let element = self.import(from, *element)?;
                self.array(element, *length)
            }
            (_, Some(Aggregate::Singleton(Singleton::Type(inner)))) => {
                let inner = self.import(from, *inner)?;
                self.singleton(Singleton::Type(inner))
            }
            (_, Some(Aggregate::Singleton(singleton))) => self.singleton(singleton.clone()),
            (_, Some(Aggregate::Struct { name, .. })) => match from.applied(ty) {
                Some((template, args)) => {
                    let name = from.template(template).map_or("?", |template| &template.name);
                    let Some(Nominal::Template(template)) = self.find(name) else {
                        return Err(TypeError::Taken(name.into()));
                    };
                    let args: Result<Vec<Type>, _> = args.iter().map(|&arg| self.import(from, arg)).collect();
                    self.apply(template, &args?)
                }
                None => self.find_struct(name).ok_or_else(|| TypeError::Taken(name.clone())),
            },
            (None, None) => Ok(ty),
        }
    }

    fn same_row(&self, from: &Types, ty: Type) -> bool {
        match ty.kind() {
            TypeKind::Aggregate(index) => {
                let (here, there) = (self.rows.get(index), from.rows.get(index));
                let same = |a: &Row, b: &Row| match (&a.aggregate, &b.aggregate) {
                    (Aggregate::Struct { fields: a, .. }, Aggregate::Struct { fields: b, .. }) => {
                        Arc::ptr_eq(a, b)
                    }
                    (
                        Aggregate::Singleton(Singleton::Function(a)),
                        Aggregate::Singleton(Singleton::Function(b)),
                    ) => a == b,
                    _ => false,
                };
                here.zip(there).is_some_and(|(a, b)| same(a, b))
            }
            _ => !ty.is_generic(),
        }
    }
}
