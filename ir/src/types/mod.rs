//! Types: one `u32` each.
//!
//! Scalars, vectors and pointers are spelled in the word itself, so passes compare and build them without a
//! table. Arrays and structs are rows of [`Types`], interned: equal types have equal words within one table.
//!
//! Layout does not depend on the target: pointers are 8 bytes everywhere, every scalar is aligned to its size
//! (`i1` is a byte that is 0 or 1), vectors to their size but at most 16, aggregates as in C.

mod error;
mod generic;
mod nominal;
mod scalar;
mod spell;
mod table;

use crate::limits::MAX_LANES;
use std::fmt;

pub use error::TypeError;
pub use generic::{Bindings, Generic, Singleton};
pub use nominal::{Abstract, Nominal, Template, TemplateData};
pub use scalar::{Scalar, Space};
pub use table::{Aggregate, Layout, TypeDisplay, Types};

/// A type. Compare, copy and hash freely; ask a [`Types`] about arrays and structs.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type(u32);

const _: () = assert!(size_of::<Type>() == 4);

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
    #[inline]
    pub const fn scalar(scalar: Scalar) -> Type {
        Type((TAG_SCALAR << TAG_SHIFT) | scalar as u32)
    }

    /// `vec<lane, lanes>`; none unless `lanes` is a power of two from 2 to [`MAX_LANES`].
    #[inline]
    pub const fn vector(lane: Scalar, lanes: u32) -> Option<Type> {
        if lanes < 2 || lanes > MAX_LANES || !lanes.is_power_of_two() {
            return None;
        }
        Some(Type((TAG_VECTOR << TAG_SHIFT) | lane as u32 | (lanes.trailing_zeros() << 4)))
    }

    /// `ptr<space>`.
    #[inline]
    pub const fn pointer(space: Space) -> Type {
        Type((TAG_POINTER << TAG_SHIFT) | space as u32)
    }

    /// What this type is.
    #[inline]
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
    #[inline]
    pub const fn as_scalar(self) -> Option<Scalar> {
        match self.kind() {
            TypeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The scalar of a scalar, the lane of a vector.
    #[inline]
    pub const fn lane(self) -> Option<Scalar> {
        match self.kind() {
            TypeKind::Scalar(scalar) | TypeKind::Vector(scalar, _) => Some(scalar),
            _ => None,
        }
    }

    /// Lanes of a vector, 1 for everything else.
    #[inline]
    pub const fn lanes(self) -> u32 {
        match self.kind() {
            TypeKind::Vector(_, lanes) => lanes,
            _ => 1,
        }
    }

    /// The same shape (scalar or vector of as many lanes) over another scalar.
    #[inline]
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
    #[inline]
    pub const fn mask_type(self) -> Type {
        self.with_lane(Scalar::I1)
    }

    /// The address space, if this is a pointer.
    #[inline]
    pub const fn space(self) -> Option<Space> {
        match self.kind() {
            TypeKind::Pointer(space) => Some(space),
            _ => None,
        }
    }

    /// Whether this is an integer or a vector of integers, `i1` included.
    #[inline]
    pub const fn is_int(self) -> bool {
        matches!(self.lane(), Some(lane) if lane.is_int())
    }

    /// Whether this is a float or a vector of floats.
    #[inline]
    pub const fn is_float(self) -> bool {
        matches!(self.lane(), Some(lane) if lane.is_float())
    }

    /// Whether this is an integer, a float or a truth value.
    #[inline]
    pub const fn is_scalar(self) -> bool {
        self.0 >> TAG_SHIFT == TAG_SCALAR
    }

    /// Whether this is a vector.
    #[inline]
    pub const fn is_vector(self) -> bool {
        self.0 >> TAG_SHIFT == TAG_VECTOR
    }

    /// Whether this is a pointer.
    #[inline]
    pub const fn is_pointer(self) -> bool {
        self.0 >> TAG_SHIFT == TAG_POINTER
    }

    /// Whether this is an array, a struct or a singleton type.
    #[inline]
    pub const fn is_aggregate(self) -> bool {
        self.0 >> TAG_SHIFT == TAG_AGGREGATE
    }

    /// Whether the type is settled: neither unknown nor erroneous.
    #[inline]
    pub const fn is_known(self) -> bool {
        self.0 >> TAG_SHIFT < TAG_SPECIAL
    }

    /// Bits in a register: scalars, vectors (all lanes) and pointers.
    #[inline]
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
