//! Arrays, structs and what goes with them: interned, laid out, printed.

use super::generic::GenericRow;
use super::nominal::{AbstractRow, builtin};
use super::{
    Abstract, Generic, Nominal, Singleton, TAG_AGGREGATE, TAG_SHIFT, Template, TemplateData, Type, TypeError,
    TypeKind,
};
use crate::limits::{MAX_FIELDS, MAX_TYPE_BYTES, MAX_TYPE_DEPTH, MAX_TYPES};
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// What an aggregate is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Aggregate {
    /// `array<element, length>`.
    Array {
        /// Type of every element.
        element: Type,
        /// How many.
        length: u64,
    },
    /// A nominal struct.
    Struct {
        /// Its name, unique in the program.
        name: Arc<str>,
        /// Its fields in order, with their names.
        fields: Arc<[(Arc<str>, Type)]>,
    },
    /// A type with one value, of no size.
    Singleton(Singleton),
}

/// The name of a newtype's only field.
pub(super) const NEWTYPE_FIELD: &str = "value";

/// Size and alignment in memory, in bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Size, a multiple of the alignment.
    pub size: u64,
    /// Alignment, a power of two.
    pub align: u32,
}

impl Layout {
    /// That of a scalar, a vector or a pointer, which needs no table; none for everything else.
    #[inline]
    pub fn of(ty: Type) -> Option<Layout> {
        Some(match ty.kind() {
            TypeKind::Scalar(s) => Layout { size: s.bytes(), align: s.bytes() as u32 },
            TypeKind::Vector(lane, lanes) => {
                let size = lane.bytes() * u64::from(lanes);
                Layout { size, align: size.min(16) as u32 }
            }
            TypeKind::Pointer(_) => Layout { size: 8, align: 8 },
            TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => return None,
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) aggregate: Aggregate,
    pub(super) layout: Layout,
    /// Field offsets of a struct; empty for arrays.
    pub(super) offsets: Arc<[u64]>,
    /// The abstract type that it is.
    pub(super) supertype: Abstract,
    /// How deeply it is nested.
    pub(super) depth: u32,
    /// What an instance of a struct with parameters was made of.
    pub(super) applied: Option<(Template, Arc<[Type]>)>,
    /// Whether it is a newtype: a struct with one field, that is held and passed as this is.
    pub(super) is_newtype: bool,
}

impl Row {
    /// A struct laid out as in C.
    pub(super) fn structure(
        types: &Types,
        name: Arc<str>,
        fields: Vec<(Arc<str>, Type)>,
    ) -> Result<Row, TypeError> {
        distinct(&fields)?;
        let mut end = 0u64;
        let mut align = 1;
        let mut depth = 1;
        let mut offsets = Vec::with_capacity(fields.len());
        for &(_, field) in &fields {
            let inner = types.layout(field).ok_or(TypeError::NotStorable(field))?;
            depth = depth.max(types.depth_around(field)?);
            let start = end.next_multiple_of(u64::from(inner.align));
            offsets.push(start);
            end = start + inner.size;
            align = align.max(inner.align);
            if end > MAX_TYPE_BYTES {
                return Err(TypeError::TooLarge);
            }
        }
        let layout = Layout { size: end.next_multiple_of(u64::from(align)), align };
        let aggregate = Aggregate::Struct { name, fields: fields.into() };
        Ok(Row {
            aggregate,
            layout,
            offsets: offsets.into(),
            supertype: Abstract::ANY,
            depth,
            applied: None,
            is_newtype: false,
        })
    }
}

/// Whether no two fields share a name.
pub(super) fn distinct(fields: &[(Arc<str>, Type)]) -> Result<(), TypeError> {
    let mut seen = FxHashSet::default();
    match fields.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(TypeError::RepeatedField(name.clone())),
        None => Ok(()),
    }
}

/// The number of the next entry of a table with so many.
pub(super) fn number(len: usize) -> Result<u32, TypeError> {
    if len < MAX_TYPES { Ok(len as u32) } else { Err(TypeError::TooMany) }
}

const _: () = assert!(MAX_TYPES <= 1 << TAG_SHIFT);

/// The arrays and structs of a program, interned, with their layouts. Copies share what they hold until one of them
/// gets another type: a job has a copy of its program's.
#[derive(Clone, Debug, Default)]
pub struct Types(Arc<Tables>);

impl Deref for Types {
    type Target = Tables;

    #[inline]
    fn deref(&self) -> &Tables {
        &self.0
    }
}

impl DerefMut for Types {
    fn deref_mut(&mut self) -> &mut Tables {
        Arc::make_mut(&mut self.0)
    }
}

/// What [`Types`] holds.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(super) rows: Vec<Row>,
    pub(super) arrays: FxHashMap<(Type, u64), Type>,
    pub(super) names: FxHashMap<Arc<str>, Nominal>,
    pub(super) nominals: Vec<Nominal>,
    pub(super) abstracts: Vec<AbstractRow>,
    pub(super) implementations: FxHashMap<Type, Abstract>,
    pub(super) implementation_order: Vec<Type>,
    pub(super) templates: Vec<TemplateData>,
    pub(super) instances: FxHashMap<(Template, Arc<[Type]>), Type>,
    pub(super) singletons: FxHashMap<Singleton, Type>,
    /// Types with variables.
    pub(super) generics: Vec<GenericRow>,
    pub(super) generic_index: FxHashMap<Generic, Type>,
    /// Whether there ever was a newtype; without, nothing has to look for any.
    pub(super) has_newtypes: bool,
    /// Types without their newtypes.
    pub(super) erasures: FxHashMap<Type, Type>,
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            rows: Vec::new(),
            arrays: FxHashMap::default(),
            names: FxHashMap::default(),
            nominals: Vec::new(),
            abstracts: builtin(),
            implementations: FxHashMap::default(),
            implementation_order: Vec::new(),
            templates: Vec::new(),
            instances: FxHashMap::default(),
            singletons: FxHashMap::default(),
            generics: Vec::new(),
            generic_index: FxHashMap::default(),
            has_newtypes: false,
            erasures: FxHashMap::default(),
        }
    }
}

impl Types {
    /// How many types were made in it, those with variables included: equal for a table and a copy without additions.
    #[allow(clippy::len_without_is_empty)] // it is not asked whether a program makes types
    pub fn len(&self) -> usize {
        self.rows.len() + self.generics.len()
    }

    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// `array<element, length>`.
    ///
    /// # Errors
    /// The array would be too large, or the element is not a known type.
    pub fn array(&mut self, element: Type, length: u64) -> Result<Type, TypeError> {
        if let Some(&ty) = self.arrays.get(&(element, length)) {
            return Ok(ty);
        }
        let inner = self.layout(element).ok_or(TypeError::NotStorable(element))?;
        let size = inner.size.checked_mul(length).filter(|&s| s <= MAX_TYPE_BYTES);
        let layout = Layout { size: size.ok_or(TypeError::TooLarge)?, align: inner.align };
        let depth = self.depth_around(element)?;
        let ty = self.push(Row {
            aggregate: Aggregate::Array { element, length },
            layout,
            offsets: [].into(),
            supertype: Abstract::ANY,
            depth,
            applied: None,
            is_newtype: false,
        })?;
        self.arrays.insert((element, length), ty);
        Ok(ty)
    }

    /// The struct `name` with these fields; asking again with the same fields gives the same type.
    ///
    /// # Errors
    /// Too many fields, too large, a field of no known type, or the name is taken by other fields.
    pub fn structure(&mut self, name: &str, fields: Vec<(Arc<str>, Type)>) -> Result<Type, TypeError> {
        if fields.len() > MAX_FIELDS {
            return Err(TypeError::TooManyFields(fields.len()));
        }
        match self.find(name) {
            Some(Nominal::Struct(ty)) => {
                let same = matches!(self.aggregate(ty), Some(Aggregate::Struct { fields: old, .. }) if **old == *fields);
                return if same { Ok(ty) } else { Err(TypeError::Redefined(name.into())) };
            }
            Some(_) => return Err(TypeError::Taken(name.into())),
            None => {}
        }
        let row = Row::structure(self, name.into(), fields)?;
        let ty = self.push(row)?;
        self.define(name, Nominal::Struct(ty));
        Ok(ty)
    }

    /// The newtype `name` of a type: another type for dispatch, the same for everything that holds values of it.
    ///
    /// # Errors
    /// The name is taken, or it is a newtype of no known type.
    pub fn newtype(&mut self, name: &str, of: Type) -> Result<Type, TypeError> {
        if self.find(name).is_some() {
            return Err(TypeError::Taken(name.into()));
        }
        let ty = self.structure(name, vec![(NEWTYPE_FIELD.into(), of)])?;
        self.mark_newtype(ty);
        Ok(ty)
    }

    pub(super) fn mark_newtype(&mut self, ty: Type) {
        if let TypeKind::Aggregate(index) = ty.kind()
            && let Some(row) = self.rows.get_mut(index)
        {
            row.is_newtype = true;
            self.has_newtypes = true;
        }
    }

    /// The type that a newtype is one of.
    pub fn as_newtype(&self, ty: Type) -> Option<Type> {
        let row = self.row(ty).filter(|row| row.is_newtype)?;
        match &row.aggregate {
            Aggregate::Struct { fields, .. } => fields.first().map(|field| field.1),
            Aggregate::Array { .. } | Aggregate::Singleton(_) => None,
        }
    }

    /// The type with the newtypes around it taken off.
    pub fn underlying(&self, ty: Type) -> Type {
        // Nesting is limited where types are made.
        let mut ty = ty;
        while let Some(inner) = self.as_newtype(ty) {
            ty = inner;
        }
        ty
    }

    /// Whether the table has newtypes.
    pub fn has_newtypes(&self) -> bool {
        self.has_newtypes
    }

    /// The type as it is held: without any newtypes in it, those in elements and fields included.
    ///
    /// # Errors
    /// There are too many types.
    pub fn erased(&mut self, ty: Type) -> Result<Type, TypeError> {
        if !self.has_newtypes {
            return Ok(ty);
        }
        if let Some(&erased) = self.erasures.get(&ty) {
            return Ok(erased);
        }
        // Nesting is limited where types are made.
        let erased = match self.aggregate(self.underlying(ty)).cloned() {
            Some(Aggregate::Array { element, length }) => {
                let element = self.erased(element)?;
                self.array(element, length)?
            }
            Some(Aggregate::Struct { name, fields }) => {
                let mut changed = false;
                let mut plain = Vec::with_capacity(fields.len());
                for (name, field) in fields.iter() {
                    let erased = self.erased(*field)?;
                    changed |= erased != *field;
                    plain.push((name.clone(), erased));
                }
                if changed {
                    let row = Row::structure(self, name, plain)?;
                    self.push(row)?
                } else {
                    self.underlying(ty)
                }
            }
            Some(Aggregate::Singleton(_)) | None => self.underlying(ty),
        };
        self.erasures.insert(ty, erased);
        self.erasures.insert(erased, erased);
        Ok(erased)
    }

    /// How deep a type nests that has this one as a part.
    fn depth_around(&self, part: Type) -> Result<u32, TypeError> {
        let depth = self.depth(part).saturating_add(1);
        if depth as usize <= MAX_TYPE_DEPTH { Ok(depth) } else { Err(TypeError::TooDeep) }
    }

    pub(super) fn push(&mut self, row: Row) -> Result<Type, TypeError> {
        let index = number(self.rows.len())?;
        self.rows.push(row);
        Ok(Type((TAG_AGGREGATE << TAG_SHIFT) | index))
    }

    /// The struct of this name, if it has no parameters.
    pub fn find_struct(&self, name: &str) -> Option<Type> {
        match self.names.get(name) {
            Some(Nominal::Struct(ty)) => Some(*ty),
            _ => None,
        }
    }

    /// All structs without parameters in the order of their definition.
    pub fn structs(&self) -> impl Iterator<Item = Type> + '_ {
        self.nominals.iter().filter_map(|nominal| match nominal {
            Nominal::Struct(ty) => Some(*ty),
            _ => None,
        })
    }

    /// What an array or struct is made of; none for other types and for types of another table.
    pub fn aggregate(&self, ty: Type) -> Option<&Aggregate> {
        self.row(ty).map(|row| &row.aggregate)
    }

    pub(super) fn row(&self, ty: Type) -> Option<&Row> {
        match ty.kind() {
            TypeKind::Aggregate(index) => self.rows.get(index),
            _ => None,
        }
    }

    /// How many fields or elements an aggregate has.
    pub fn field_count(&self, ty: Type) -> Option<u64> {
        Some(match self.aggregate(ty)? {
            Aggregate::Array { length, .. } => *length,
            Aggregate::Struct { fields, .. } => fields.len() as u64,
            Aggregate::Singleton(_) => 0,
        })
    }

    /// Type of field or element `index` of an aggregate.
    pub fn field_type(&self, ty: Type, index: u64) -> Option<Type> {
        match self.aggregate(ty)? {
            Aggregate::Array { element, length } => (index < *length).then_some(*element),
            Aggregate::Struct { fields, .. } => fields.get(usize::try_from(index).ok()?).map(|f| f.1),
            Aggregate::Singleton(_) => None,
        }
    }

    /// Byte offset of field or element `index` of an aggregate.
    pub fn field_offset(&self, ty: Type, index: u64) -> Option<u64> {
        let row = self.row(ty)?;
        match &row.aggregate {
            Aggregate::Array { element, length } if index < *length => {
                Some(self.layout(*element)?.size * index)
            }
            Aggregate::Array { .. } | Aggregate::Singleton(_) => None,
            Aggregate::Struct { .. } => row.offsets.get(usize::try_from(index).ok()?).copied(),
        }
    }

    /// Size and alignment; none for unknown types and types of another table.
    pub fn layout(&self, ty: Type) -> Option<Layout> {
        match ty.kind() {
            TypeKind::Aggregate(index) => Some(self.rows.get(index)?.layout),
            _ => Layout::of(ty),
        }
    }

    /// The type as the text format spells it.
    pub fn display(&self, ty: Type) -> TypeDisplay<'_> {
        TypeDisplay { types: self, ty }
    }
}

/// Prints a type with the names of its table.
pub struct TypeDisplay<'a> {
    types: &'a Types,
    ty: Type,
}

impl fmt::Display for TypeDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.types.write(f, self.ty, |out, name| out.write_str(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_names_of_their_own() {
        let mut types = Types::new();
        let fields = ["a", "b", "a"].map(|name| (name.into(), Type::F32)).to_vec();
        assert_eq!(types.structure("s", fields), Err(TypeError::RepeatedField("a".into())));
        assert!(types.find("s").is_none());
    }

    #[test]
    fn nesting_is_limited_through_names_too() {
        let mut types = Types::new();
        let mut inner = Type::I32;
        for n in 0..MAX_TYPE_DEPTH {
            inner = types.structure(&format!("s{n}"), vec![("x".into(), inner)]).unwrap();
        }
        let fields = vec![("x".into(), Type::I32), ("y".into(), inner)];
        assert_eq!(types.structure("deeper", fields), Err(TypeError::TooDeep));
        assert_eq!(types.array(inner, 2), Err(TypeError::TooDeep));
        assert!(types.structure("flat", vec![("x".into(), Type::I32)]).is_ok());
    }
}
