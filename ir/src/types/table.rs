//! Arrays and structs: interned, laid out, printed.

use super::{TAG_AGGREGATE, TAG_SHIFT, Type, TypeKind};
use crate::limits::{MAX_FIELDS, MAX_TYPE_BYTES, MAX_TYPE_DEPTH};
use rustc_hash::FxHashMap;
use std::fmt;
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
}

/// Size and alignment in memory, in bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Size, a multiple of the alignment.
    pub size: u64,
    /// Alignment, a power of two.
    pub align: u32,
}

#[derive(Clone, Debug)]
struct Row {
    aggregate: Aggregate,
    layout: Layout,
    /// How deep arrays and structs nest in it, itself included.
    depth: usize,
    /// Field offsets of a struct; empty for arrays.
    offsets: Arc<[u64]>,
}

/// Why a type cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeError {
    /// Larger than [`MAX_TYPE_BYTES`].
    TooLarge,
    /// Arrays and structs nest deeper than [`MAX_TYPE_DEPTH`].
    TooDeep,
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields(usize),
    /// A struct of this name exists and has other fields.
    Redefined(Arc<str>),
    /// Elements and fields must be known types.
    NotStorable(Type),
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeError::TooLarge => write!(f, "type is larger than {MAX_TYPE_BYTES} bytes"),
            TypeError::TooDeep => write!(f, "type is nested more than {MAX_TYPE_DEPTH} deep"),
            TypeError::TooManyFields(n) => write!(f, "struct has {n} fields, the most is {MAX_FIELDS}"),
            TypeError::Redefined(name) => write!(f, "struct '{name}' is defined already, with other fields"),
            TypeError::NotStorable(ty) => write!(f, "type {ty} cannot be stored"),
        }
    }
}

impl std::error::Error for TypeError {}

/// The arrays and structs of a program, interned, with their layouts.
#[derive(Clone, Debug, Default)]
pub struct Types {
    rows: Vec<Row>,
    arrays: FxHashMap<(Type, u64), Type>,
    structs: FxHashMap<Arc<str>, Type>,
}

impl Types {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// `array<element, length>`.
    ///
    /// # Errors
    /// The array would be too large or nested too deep, or the element is not a known type.
    pub fn array(&mut self, element: Type, length: u64) -> Result<Type, TypeError> {
        if let Some(&ty) = self.arrays.get(&(element, length)) {
            return Ok(ty);
        }
        let inner = self.layout(element).ok_or(TypeError::NotStorable(element))?;
        let size = inner.size.checked_mul(length).filter(|&s| s <= MAX_TYPE_BYTES);
        let layout = Layout { size: size.ok_or(TypeError::TooLarge)?, align: inner.align };
        let depth = self.depth_around(element)?;
        let aggregate = Aggregate::Array { element, length };
        let ty = self.push(Row { aggregate, layout, depth, offsets: [].into() })?;
        self.arrays.insert((element, length), ty);
        Ok(ty)
    }

    /// The struct `name` with these fields; asking again with the same fields gives the same type.
    ///
    /// # Errors
    /// Too many fields, too large, nested too deep, a field of no known type, or the name is taken by other fields.
    pub fn structure(&mut self, name: &str, fields: Vec<(Arc<str>, Type)>) -> Result<Type, TypeError> {
        if fields.len() > MAX_FIELDS {
            return Err(TypeError::TooManyFields(fields.len()));
        }
        if let Some(&ty) = self.structs.get(name) {
            let same =
                matches!(self.aggregate(ty), Some(Aggregate::Struct { fields: old, .. }) if **old == *fields);
            return if same { Ok(ty) } else { Err(TypeError::Redefined(name.into())) };
        }
        let mut end = 0u64;
        let mut align = 1;
        let mut depth = 1;
        let mut offsets = Vec::with_capacity(fields.len());
        for &(_, field) in &fields {
            let inner = self.layout(field).ok_or(TypeError::NotStorable(field))?;
            let start = end.next_multiple_of(u64::from(inner.align));
            offsets.push(start);
            end = start + inner.size;
            align = align.max(inner.align);
            depth = depth.max(self.depth_around(field)?);
            if end > MAX_TYPE_BYTES {
                return Err(TypeError::TooLarge);
            }
        }
        let layout = Layout { size: end.next_multiple_of(u64::from(align)), align };
        let aggregate = Aggregate::Struct { name: name.into(), fields: fields.into() };
        let ty = self.push(Row { aggregate, layout, depth, offsets: offsets.into() })?;
        self.structs.insert(name.into(), ty);
        Ok(ty)
    }

    /// How deep a type nests that has this one as a part.
    fn depth_around(&self, part: Type) -> Result<usize, TypeError> {
        let depth = self.row(part).map_or(0, |row| row.depth) + 1;
        if depth <= MAX_TYPE_DEPTH { Ok(depth) } else { Err(TypeError::TooDeep) }
    }

    fn push(&mut self, row: Row) -> Result<Type, TypeError> {
        let index = u32::try_from(self.rows.len()).ok().filter(|&i| i < 1 << TAG_SHIFT);
        let index = index.ok_or(TypeError::TooLarge)?;
        self.rows.push(row);
        Ok(Type((TAG_AGGREGATE << TAG_SHIFT) | index))
    }

    /// The struct of this name.
    pub fn find_struct(&self, name: &str) -> Option<Type> {
        self.structs.get(name).copied()
    }

    /// All structs in the order of their definition.
    pub fn structs(&self) -> impl Iterator<Item = Type> + '_ {
        let is_struct = |row: &Row| matches!(row.aggregate, Aggregate::Struct { .. });
        let rows = self.rows.iter().enumerate().filter(move |(_, row)| is_struct(row));
        rows.map(|(index, _)| Type((TAG_AGGREGATE << TAG_SHIFT) | index as u32))
    }

    /// What an array or struct is made of; none for other types and for types of another table.
    pub fn aggregate(&self, ty: Type) -> Option<&Aggregate> {
        self.row(ty).map(|row| &row.aggregate)
    }

    fn row(&self, ty: Type) -> Option<&Row> {
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
        })
    }

    /// Type of field or element `index` of an aggregate.
    pub fn field_type(&self, ty: Type, index: u64) -> Option<Type> {
        match self.aggregate(ty)? {
            Aggregate::Array { element, length } => (index < *length).then_some(*element),
            Aggregate::Struct { fields, .. } => fields.get(usize::try_from(index).ok()?).map(|f| f.1),
        }
    }

    /// Byte offset of field or element `index` of an aggregate.
    pub fn field_offset(&self, ty: Type, index: u64) -> Option<u64> {
        let row = self.row(ty)?;
        match &row.aggregate {
            Aggregate::Array { element, length } if index < *length => {
                Some(self.layout(*element)?.size * index)
            }
            Aggregate::Array { .. } => None,
            Aggregate::Struct { .. } => row.offsets.get(usize::try_from(index).ok()?).copied(),
        }
    }

    /// Size and alignment; none for unknown types and types of another table.
    pub fn layout(&self, ty: Type) -> Option<Layout> {
        Some(match ty.kind() {
            TypeKind::Scalar(s) => Layout { size: s.bytes(), align: s.bytes() as u32 },
            TypeKind::Vector(lane, lanes) => {
                let size = lane.bytes() * u64::from(lanes);
                Layout { size, align: size.min(16) as u32 }
            }
            TypeKind::Pointer(_) => Layout { size: 8, align: 8 },
            TypeKind::Aggregate(index) => self.rows.get(index)?.layout,
            TypeKind::Unknown | TypeKind::Error => return None,
        })
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
        // Arrays nest; walk inwards once, then close what was opened.
        let mut ty = self.ty;
        let mut lengths = Vec::new();
        while let Some(Aggregate::Array { element, length }) = self.types.aggregate(ty) {
            f.write_str("array<")?;
            lengths.push(*length);
            ty = *element;
        }
        match self.types.aggregate(ty) {
            Some(Aggregate::Struct { name, .. }) => f.write_str(name)?,
            _ => write!(f, "{ty}")?,
        }
        lengths.iter().rev().try_for_each(|length| write!(f, ", {length}>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
