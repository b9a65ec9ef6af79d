//! Values of a running program, and how they lie in memory.

use crate::limits::MAX_VALUE_BYTES;
use crate::semantics::vector::lane_scalar;
use crate::types::{Aggregate, Scalar, Type, TypeKind, Types};
use std::sync::Arc;

/// A value: of a scalar or pointer its bits, of a vector the bits of its lanes, of an aggregate the bytes of its
/// layout with all padding zero.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Val {
    /// A scalar or a pointer; bits above the type's width are 0.
    Bits(u128),
    /// A vector.
    Lanes(Box<[u128]>),
    /// An array or struct.
    Bytes(Arc<[u8]>),
}

impl Val {
    /// An `i1`.
    pub fn i1(x: bool) -> Val {
        Val::Bits(x.into())
    }

    /// An `i32`.
    pub fn i32(x: i32) -> Val {
        Val::Bits((x as u32).into())
    }

    /// An `i64`.
    pub fn i64(x: i64) -> Val {
        Val::Bits((x as u64).into())
    }

    /// An `f32`.
    pub fn f32(x: f32) -> Val {
        Val::Bits(x.to_bits().into())
    }

    /// An `f64`.
    pub fn f64(x: f64) -> Val {
        Val::Bits(x.to_bits().into())
    }

    /// A pointer.
    pub fn pointer(address: u64) -> Val {
        Val::Bits(address.into())
    }

    /// The bits of a scalar or pointer.
    pub fn bits(&self) -> Option<u128> {
        match self {
            Val::Bits(bits) => Some(*bits),
            Val::Lanes(_) | Val::Bytes(_) => None,
        }
    }

    /// The lanes of a vector, one for a scalar; none for aggregates.
    pub fn lanes(&self) -> &[u128] {
        match self {
            Val::Bits(bits) => std::slice::from_ref(bits),
            Val::Lanes(lanes) => lanes,
            Val::Bytes(_) => &[],
        }
    }

    /// Whether this is a value of a type.
    pub fn fits(&self, types: &Types, ty: Type) -> bool {
        let clean = |lane: Scalar, bits: &u128| bits & !lane.mask() == 0;
        match (self, ty.kind()) {
            (Val::Bits(bits), TypeKind::Scalar(lane)) => clean(lane, bits),
            (Val::Bits(bits), TypeKind::Pointer(_)) => clean(Scalar::I64, bits),
            (Val::Lanes(lanes), TypeKind::Vector(lane, count)) => {
                lanes.len() == count as usize && lanes.iter().all(|bits| clean(lane, bits))
            }
            (Val::Bytes(bytes), TypeKind::Aggregate(_)) => {
                types.layout(ty).is_some_and(|layout| layout.size == bytes.len() as u64)
            }
            _ => false,
        }
    }

    /// The value of a type whose bytes are all zero; none for types that are unknown or too large for a value.
    pub fn zero(types: &Types, ty: Type) -> Option<Val> {
        Some(match ty.kind() {
            TypeKind::Scalar(_) | TypeKind::Pointer(_) => Val::Bits(0),
            TypeKind::Vector(_, lanes) => Val::Lanes(vec![0; lanes as usize].into()),
            TypeKind::Aggregate(_) => Val::Bytes(vec![0; value_bytes(types, ty)?].into()),
            TypeKind::Unknown | TypeKind::Error => return None,
        })
    }

    /// The value of a type that these bytes, as many as its layout has, stand for.
    pub fn decode(types: &Types, ty: Type, bytes: &[u8]) -> Option<Val> {
        if bytes.len() != value_bytes(types, ty)? {
            return None;
        }
        Some(match ty.kind() {
            TypeKind::Aggregate(_) => Val::Bytes(bytes.into()),
            TypeKind::Vector(lane, _) => {
                let lanes =
                    bytes.chunks_exact(lane.bytes() as usize).map(|part| read_bits(part) & lane.mask());
                Val::Lanes(lanes.collect())
            }
            _ => Val::Bits(read_bits(bytes) & lane_scalar(ty)?.mask()),
        })
    }

    /// Writes the value as bytes, as many as the layout of its type has.
    pub fn encode(&self, ty: Type, bytes: &mut [u8]) -> Option<()> {
        match self {
            Val::Bytes(own) if own.len() == bytes.len() => bytes.copy_from_slice(own),
            Val::Bytes(_) => return None,
            Val::Bits(_) | Val::Lanes(_) => {
                let size = lane_scalar(ty)?.bytes() as usize;
                if bytes.len() != size * self.lanes().len() {
                    return None;
                }
                bytes
                    .chunks_exact_mut(size)
                    .zip(self.lanes())
                    .for_each(|(part, &lane)| write_bits(part, lane));
            }
        }
        Some(())
    }
}

/// A number from at most 16 bytes, lowest first.
#[inline]
pub(super) fn read_bits(bytes: &[u8]) -> u128 {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]).into(),
        _ => bytes.iter().rev().fold(0, |bits, &byte| bits << 8 | u128::from(byte)),
    }
}

/// Writes as many low bytes of a number as there is room for.
#[inline]
pub(super) fn write_bits(bytes: &mut [u8], bits: u128) {
    let all = bits.to_le_bytes();
    let count = bytes.len().min(all.len());
    bytes[..count].copy_from_slice(&all[..count]);
}

/// Size of a type's values in bytes; none for types that are unknown or too large for a value.
pub(super) fn value_bytes(types: &Types, ty: Type) -> Option<usize> {
    let size = types.layout(ty)?.size;
    if size <= MAX_VALUE_BYTES { usize::try_from(size).ok() } else { None }
}

/// The bytes of a type that hold something, as ranges in order: all but the padding.
pub(super) fn filled_ranges(types: &Types, ty: Type) -> Option<Box<[(usize, usize)]>> {
    value_bytes(types, ty)?;
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut fill = |start: u64, size: u64| {
        let (start, end) = (start as usize, (start + size) as usize);
        match ranges.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => ranges.push((start, end)),
        }
    };
    // What is left to visit, last first: a type at an offset.
    let mut rest = vec![(ty, 0u64)];
    while let Some((ty, offset)) = rest.pop() {
        let size = types.layout(ty)?.size;
        match types.aggregate(ty) {
            _ if size == 0 => {}
            None | Some(Aggregate::Singleton(_)) => fill(offset, size),
            Some(Aggregate::Array { element, length }) if !element.is_aggregate() => {
                fill(offset, types.layout(*element)?.size * length);
            }
            Some(Aggregate::Array { element, length }) => {
                let step = types.layout(*element)?.size;
                rest.extend((0..*length).rev().map(|n| (*element, offset + n * step)));
            }
            Some(Aggregate::Struct { fields, .. }) => {
                for (n, field) in fields.iter().enumerate().rev() {
                    rest.push((field.1, offset + types.field_offset(ty, n as u64)?));
                }
            }
        }
    }
    Some(ranges.into())
}
