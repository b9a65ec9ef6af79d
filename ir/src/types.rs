//! Types: one `u32` each.
//!
//! Scalars, vectors and pointers are spelled in the word itself, so passes compare and build them without a
//! table. Arrays and structs are rows of [`Types`], interned: equal types have equal words within one table.
//!
//! Layout does not depend on the target: pointers are 8 bytes everywhere, every scalar is aligned to its size
//! (`i1` is a byte that is 0 or 1), vectors to their size but at most 16, aggregates as in C.

mod generic;
mod nominal;

use crate::limits::{MAX_FIELDS, MAX_LANES, MAX_TYPE_BYTES};
pub use generic::{Bindings, Generic, Singleton};
pub use nominal::{Abstract, Nominal, Template, TemplateData};
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;

/// The scalar types.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scalar {
    /// A truth value.
    I1,
    /// 8-bit integer.
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 128-bit integer.
    I128,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl Scalar {
    /// All scalars, in the order of their spelling in the documentation.
    pub const ALL: [Scalar; 10] = {
        use Scalar::*;
        [I1, I8, I16, I32, I64, I128, F16, BF16, F32, F64]
    };

    /// The spelling in text.
    pub const fn name(self) -> &'static str {
        match self {
            Scalar::I1 => "i1",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::I128 => "i128",
            Scalar::F16 => "f16",
            Scalar::BF16 => "bf16",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
        }
    }

    /// Width in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Scalar::I1 => 1,
            Scalar::I8 => 8,
            Scalar::I16 | Scalar::F16 | Scalar::BF16 => 16,
            Scalar::I32 | Scalar::F32 => 32,
            Scalar::I64 | Scalar::F64 => 64,
            Scalar::I128 => 128,
        }
    }

    /// Size in memory, in bytes.
    pub const fn bytes(self) -> u64 {
        self.bits().div_ceil(8) as u64
    }

    /// Whether this is an integer, `i1` included.
    pub const fn is_int(self) -> bool {
        matches!(self, Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128)
    }

    /// Whether this is a floating-point type.
    pub const fn is_float(self) -> bool {
        !self.is_int()
    }

    /// The bits that a value of this type may have set.
    pub const fn mask(self) -> u128 {
        match self.bits() {
            128 => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    const fn from_code(code: u32) -> Scalar {
        Scalar::ALL[(code % 10) as usize]
    }
}

/// Address spaces.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    /// Any of the others but `param`; the space is known when running.
    Generic,
    /// Memory that every work-item and the host can see.
    Global,
    /// Memory of one work-group.
    Shared,
    /// Memory that nobody writes while a kernel runs.
    Constant,
    /// Memory of one function activation.
    Local,
    /// Kernel arguments passed in memory.
    Param,
}

impl Space {
    /// All spaces.
    pub const ALL: [Space; 6] =
        [Space::Generic, Space::Global, Space::Shared, Space::Constant, Space::Local, Space::Param];

    /// The spelling in text.
    pub const fn name(self) -> &'static str {
        match self {
            Space::Generic => "generic",
            Space::Global => "global",
            Space::Shared => "shared",
            Space::Constant => "constant",
            Space::Local => "local",
            Space::Param => "param",
        }
    }

    const fn from_code(code: u32) -> Space {
        Space::ALL[(code % 6) as usize]
    }
}

/// A type. Compare, copy and hash freely; ask a [`Types`] about arrays and structs.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type(u32);

impl Type {
    /// The word, to hash or compare; it means something within one table of types only.
    pub const fn word(self) -> u32 {
        self.0
    }
}

const TAG_SHIFT: u32 = 28;
const TAG_SCALAR: u32 = 0;
const TAG_VECTOR: u32 = 1;
const TAG_POINTER: u32 = 2;
const TAG_AGGREGATE: u32 = 3;
const TAG_SPECIAL: u32 = 4;
const TAG_GENERIC: u32 = 5;

/// What a type is, for exhaustive matches.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TypeKind {
    /// One scalar.
    Scalar(Scalar),
    /// `vec<lane, lanes>`.
    Vector(Scalar, u32),
    /// `ptr<space>`.
    Pointer(Space),
    /// An array, struct or singleton type: a row of [`Types`].
    Aggregate(usize),
    /// Not known before dispatch, or mentions type variables.
    Unknown,
    /// Already reported as wrong; matches anything, so that one mistake is one error.
    Error,
}

#[allow(missing_docs)]
impl Type {
    pub const I1: Type = Type::scalar(Scalar::I1);
    pub const I8: Type = Type::scalar(Scalar::I8);
    pub const I16: Type = Type::scalar(Scalar::I16);
    pub const I32: Type = Type::scalar(Scalar::I32);
    pub const I64: Type = Type::scalar(Scalar::I64);
    pub const I128: Type = Type::scalar(Scalar::I128);
    pub const F16: Type = Type::scalar(Scalar::F16);
    pub const BF16: Type = Type::scalar(Scalar::BF16);
    pub const F32: Type = Type::scalar(Scalar::F32);
    pub const F64: Type = Type::scalar(Scalar::F64);
    /// The type of a value whose defining call is not dispatched yet.
    pub const UNKNOWN: Type = Type(TAG_SPECIAL << TAG_SHIFT);
    /// The type of a value that was already reported as wrong.
    pub const ERROR: Type = Type((TAG_SPECIAL << TAG_SHIFT) | 1);
}

impl Type {
    /// The type of one scalar.
    pub const fn scalar(scalar: Scalar) -> Type {
        Type((TAG_SCALAR << TAG_SHIFT) | scalar as u32)
    }

    /// `vec<lane, lanes>`; none unless `lanes` is a power of two from 2 to [`MAX_LANES`].
    pub const fn vector(lane: Scalar, lanes: u32) -> Option<Type> {
        if lanes < 2 || lanes > MAX_LANES || !lanes.is_power_of_two() {
            return None;
        }
        Some(Type((TAG_VECTOR << TAG_SHIFT) | lane as u32 | (lanes.trailing_zeros() << 4)))
    }

    /// `ptr<space>`.
    pub const fn pointer(space: Space) -> Type {
        Type((TAG_POINTER << TAG_SHIFT) | space as u32)
    }

    /// What this type is.
    pub const fn kind(self) -> TypeKind {
        let low = self.0 & ((1 << TAG_SHIFT) - 1);
        match self.0 >> TAG_SHIFT {
            TAG_SCALAR => TypeKind::Scalar(Scalar::from_code(low)),
            TAG_VECTOR => TypeKind::Vector(Scalar::from_code(low & 15), 1 << (low >> 4)),
            TAG_POINTER => TypeKind::Pointer(Space::from_code(low)),
            TAG_AGGREGATE => TypeKind::Aggregate(low as usize),
            TAG_GENERIC => TypeKind::Unknown,
            _ if low == 0 => TypeKind::Unknown,
            _ => TypeKind::Error,
        }
    }

    /// The scalar, if this is one.
    pub const fn as_scalar(self) -> Option<Scalar> {
        match self.kind() {
            TypeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The scalar of a scalar, the lane of a vector.
    pub const fn lane(self) -> Option<Scalar> {
        match self.kind() {
            TypeKind::Scalar(scalar) | TypeKind::Vector(scalar, _) => Some(scalar),
            _ => None,
        }
    }

    /// Lanes of a vector, 1 for everything else.
    pub const fn lanes(self) -> u32 {
        match self.kind() {
            TypeKind::Vector(_, lanes) => lanes,
            _ => 1,
        }
    }

    /// The same shape (scalar or vector of as many lanes) over another scalar.
    pub const fn with_lane(self, lane: Scalar) -> Type {
        match self.kind() {
            TypeKind::Vector(_, lanes) => match Type::vector(lane, lanes) {
                Some(ty) => ty,
                None => Type::ERROR,
            },
            _ => Type::scalar(lane),
        }
    }

    /// The type that a lane-wise comparison of two such values has.
    pub const fn mask_type(self) -> Type {
        self.with_lane(Scalar::I1)
    }

    /// The address space, if this is a pointer.
    pub const fn space(self) -> Option<Space> {
        match self.kind() {
            TypeKind::Pointer(space) => Some(space),
            _ => None,
        }
    }

    /// Whether this is an integer or a vector of integers, `i1` included.
    pub const fn is_int(self) -> bool {
        matches!(self.lane(), Some(lane) if lane.is_int())
    }

    /// Whether this is a float or a vector of floats.
    pub const fn is_float(self) -> bool {
        matches!(self.lane(), Some(lane) if lane.is_float())
    }

    /// Whether this is a vector.
    pub const fn is_vector(self) -> bool {
        matches!(self.kind(), TypeKind::Vector(..))
    }

    /// Whether this is a pointer.
    pub const fn is_pointer(self) -> bool {
        self.space().is_some()
    }

    /// Whether this is an array, a struct or a singleton type.
    pub const fn is_aggregate(self) -> bool {
        matches!(self.kind(), TypeKind::Aggregate(_))
    }

    /// Whether the type is settled: neither unknown nor erroneous.
    pub const fn is_known(self) -> bool {
        self.0 >> TAG_SHIFT < TAG_SPECIAL
    }

    /// Bits in a register: scalars, vectors (all lanes) and pointers.
    pub const fn bits(self) -> Option<u32> {
        match self.kind() {
            TypeKind::Scalar(scalar) => Some(scalar.bits()),
            TypeKind::Vector(lane, lanes) => Some(lane.bits() * lanes),
            TypeKind::Pointer(_) => Some(64),
            _ => None,
        }
    }
}

/// The printed form; arrays and structs need [`Types::display`] for theirs.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            TypeKind::Scalar(scalar) => f.write_str(scalar.name()),
            TypeKind::Vector(lane, lanes) => write!(f, "vec<{}, {lanes}>", lane.name()),
            TypeKind::Pointer(space) => write!(f, "ptr<{}>", space.name()),
            TypeKind::Aggregate(row) => write!(f, "type{row}"),
            TypeKind::Unknown if self.is_generic() => f.write_str("generic"),
            TypeKind::Unknown => f.write_str("unknown"),
            TypeKind::Error => f.write_str("error"),
        }
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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
    /// Field offsets of a struct; empty for arrays.
    offsets: Arc<[u64]>,
    /// The abstract type that it is.
    supertype: Abstract,
    /// How deeply it is nested.
    depth: u32,
    /// What an instance of a struct with parameters was made of.
    applied: Option<(Template, Arc<[Type]>)>,
}

impl Row {
    /// A struct laid out as in C.
    fn structure(types: &Types, name: Arc<str>, fields: Vec<(Arc<str>, Type)>) -> Result<Row, TypeError> {
        let mut end = 0u64;
        let mut align = 1;
        let mut offsets = Vec::with_capacity(fields.len());
        for &(_, field) in &fields {
            let inner = types.layout(field).ok_or(TypeError::NotStorable(field))?;
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
        Ok(Row { aggregate, layout, offsets: offsets.into(), supertype: Abstract::ANY, depth: 0, applied: None })
    }
}

/// Why a type cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeError {
    /// Larger than [`MAX_TYPE_BYTES`].
    TooLarge,
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields(usize),
    /// A struct of this name exists and has other fields.
    Redefined(Arc<str>),
    /// Elements and fields must be known types.
    NotStorable(Type),
    /// A type, or a chain of supertypes, nested more than [`MAX_TYPE_DEPTH`](crate::limits::MAX_TYPE_DEPTH) deep.
    TooDeep,
    /// The name means another type already.
    Taken(Arc<str>),
    /// The type is of another abstract type already.
    Implemented(Type, Arc<str>),
    /// Structs say what they are where they are defined.
    NotImplementable(Type),
    /// A struct has another number of parameters.
    Arguments {
        /// How many are given.
        found: usize,
        /// How many it has.
        wanted: usize,
    },
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeError::TooLarge => write!(f, "type is larger than {MAX_TYPE_BYTES} bytes"),
            TypeError::TooManyFields(n) => write!(f, "struct has {n} fields, the most is {MAX_FIELDS}"),
            TypeError::Redefined(name) => write!(f, "struct '{name}' is defined already, with other fields"),
            TypeError::NotStorable(ty) => write!(f, "type {ty} cannot be stored"),
            TypeError::TooDeep => {
                write!(f, "type is nested more than {} deep", crate::limits::MAX_TYPE_DEPTH)
            }
            TypeError::Taken(name) => write!(f, "type '{name}' is defined already"),
            TypeError::Implemented(ty, old) => write!(f, "type {ty} is a {old} already"),
            TypeError::NotImplementable(_) => {
                f.write_str("only scalars, vectors and pointers are declared; structs say what they are")
            }
            TypeError::Arguments { found, wanted } => {
                write!(f, "{found} type arguments, expected {wanted}")
            }
        }
    }
}

impl std::error::Error for TypeError {}

/// The arrays and structs of a program, interned, with their layouts.
#[derive(Clone, Debug)]
pub struct Types {
    rows: Vec<Row>,
    arrays: FxHashMap<(Type, u64), Type>,
    names: FxHashMap<Arc<str>, Nominal>,
    nominals: Vec<Nominal>,
    abstracts: Vec<nominal::AbstractRow>,
    implementations: FxHashMap<Type, Abstract>,
    implementation_order: Vec<Type>,
    templates: Vec<TemplateData>,
    instances: FxHashMap<(Template, Arc<[Type]>), Type>,
    singletons: FxHashMap<Singleton, Type>,
    /// Types with variables, each with its depth.
    generics: Vec<(Generic, u32)>,
    generic_index: FxHashMap<Generic, Type>,
}

impl Default for Types {
    fn default() -> Self {
        Types {
            rows: Vec::new(),
            arrays: FxHashMap::default(),
            names: FxHashMap::default(),
            nominals: Vec::new(),
            abstracts: nominal::builtin(),
            implementations: FxHashMap::default(),
            implementation_order: Vec::new(),
            templates: Vec::new(),
            instances: FxHashMap::default(),
            singletons: FxHashMap::default(),
            generics: Vec::new(),
            generic_index: FxHashMap::default(),
        }
    }
}

impl Types {
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
        let depth = self.depth(element).saturating_add(1);
        let ty = self.push(Row {
            aggregate: Aggregate::Array { element, length },
            layout,
            offsets: [].into(),
            supertype: Abstract::ANY,
            depth,
            applied: None,
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

    fn push(&mut self, row: Row) -> Result<Type, TypeError> {
        let index = u32::try_from(self.rows.len()).ok().filter(|&i| i < 1 << TAG_SHIFT);
        let index = index.ok_or(TypeError::TooLarge)?;
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
        self.types.write(f, self.ty, |out, name| out.write_str(name))
    }
}

const _: () = assert!(size_of::<Type>() == 4);
