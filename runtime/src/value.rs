//! Values at the border between a host and compiled code: scalars, vectors and buffers, as bits.

use marquetry_ir::semantics::float::is_nan;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use std::fmt;

/// A scalar, vector or pointer by its bits, one word per lane, bits above the lane's width 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostValue {
    ty: Type,
    lanes: Vec<u128>,
}

impl HostValue {
    /// A scalar or pointer; none for other types.
    pub fn scalar(ty: Type, bits: u128) -> Option<Self> {
        let mask = match ty.kind() {
            TypeKind::Scalar(scalar) => scalar.mask(),
            TypeKind::Pointer(_) => Scalar::I64.mask(),
            TypeKind::Vector(..) | TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => {
                return None;
            }
        };
        Some(HostValue { ty, lanes: vec![bits & mask] })
    }

    /// A vector; none unless there are as many lanes as the type has.
    pub fn vector(ty: Type, lanes: &[u128]) -> Option<Self> {
        let TypeKind::Vector(lane, count) = ty.kind() else { return None };
        let lanes: Vec<u128> = lanes.iter().map(|bits| bits & lane.mask()).collect();
        (lanes.len() == count as usize).then_some(HostValue { ty, lanes })
    }

    /// The scalar as a type of Rust; none if it is another one.
    pub fn get<T: HostScalar>(&self) -> Option<T> {
        (self.ty == Type::scalar(T::SCALAR)).then(|| self.lanes.first().map(|&bits| T::from_bits(bits)))?
    }

    /// The type.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The bits of each lane; one for a scalar or pointer.
    pub fn lanes(&self) -> &[u128] {
        &self.lanes
    }

    fn lane_bytes(&self) -> usize {
        self.ty.lane().map_or(8, |lane| lane.bytes() as usize)
    }

    /// The bytes as they stand in memory, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size = self.lane_bytes();
        self.lanes.iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(size)).collect()
    }

    /// From bytes as they stand in memory; none if there are not as many as the type has.
    pub fn from_bytes(ty: Type, bytes: &[u8]) -> Option<Self> {
        let size = ty.lane().map_or(8, |lane| lane.bytes() as usize);
        if bytes.len() != size * ty.lanes() as usize {
            return None;
        }
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0u128, |word, &byte| word << 8 | u128::from(byte));
        let lanes: Vec<u128> = bytes.chunks(size).map(word).collect();
        if ty.is_vector() { Self::vector(ty, &lanes) } else { Self::scalar(ty, *lanes.first()?) }
    }

    /// Whether two values are the same: bit for bit, any NaN like any other.
    pub fn same(&self, other: &HostValue) -> bool {
        let same = |(&a, &b): (&u128, &u128)| same_bits(self.ty.lane(), a, b);
        self.ty == other.ty && self.lanes.iter().zip(&other.lanes).all(same)
    }
}

impl<T: HostScalar> From<T> for HostValue {
    fn from(value: T) -> Self {
        HostValue { ty: Type::scalar(T::SCALAR), lanes: vec![value.to_bits()] }
    }
}

/// A type of Rust that is a scalar of the language. Integers have no sign there: `u32` and `i32` are both an `i32`.
pub trait HostScalar: Copy + sealed::Sealed {
    /// The scalar.
    const SCALAR: Scalar;
    /// Its bits, those above its width 0.
    fn to_bits(self) -> u128;
    /// From its bits.
    fn from_bits(bits: u128) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! host_scalars {
    ($($rust:ident $scalar:ident $to:expr, $from:expr;)*) => {
        $(impl sealed::Sealed for $rust {}

        impl HostScalar for $rust {
            const SCALAR: Scalar = Scalar::$scalar;

            fn to_bits(self) -> u128 {
                $to(self) as u128 & Self::SCALAR.mask()
            }

            fn from_bits(bits: u128) -> Self {
                $from(bits)
            }
        })*
    };
}

host_scalars! {
    bool I1 u8::from, |bits| bits != 0;
    i8 I8 |x| x, |bits| bits as i8;
    u8 I8 |x| x, |bits| bits as u8;
    i16 I16 |x| x, |bits| bits as i16;
    u16 I16 |x| x, |bits| bits as u16;
    i32 I32 |x| x, |bits| bits as i32;
    u32 I32 |x| x, |bits| bits as u32;
    i64 I64 |x| x, |bits| bits as i64;
    u64 I64 |x| x, |bits| bits as u64;
    i128 I128 |x| x, |bits| bits as i128;
    u128 I128 |x| x, |bits| bits;
    f32 F32 f32::to_bits, |bits| f32::from_bits(bits as u32);
    f64 F64 f64::to_bits, |bits| f64::from_bits(bits as u64);
}

/// Whether two lanes are the same: bit for bit, any NaN like any other.
pub fn same_bits(lane: Option<Scalar>, a: u128, b: u128) -> bool {
    a == b || lane.is_some_and(|lane| lane.is_float() && is_nan(lane, a) && is_nan(lane, b))
}

/// The same bytes as values of other types: lowering takes vectors and wide integers apart, in the order of their
/// bytes. None unless there are as many bytes as the types have.
pub fn regroup(values: &[HostValue], types: &[Type]) -> Option<Vec<HostValue>> {
    let bytes: Vec<u8> = values.iter().flat_map(HostValue::to_bytes).collect();
    let mut rest = bytes.as_slice();
    let mut next = |ty: Type| {
        let size = ty.lane().map_or(8, |lane| lane.bytes() as usize) * ty.lanes() as usize;
        let (own, others) = rest.split_at_checked(size)?;
        rest = others;
        HostValue::from_bytes(ty, own)
    };
    let grouped: Vec<HostValue> = types.iter().map(|&ty| next(ty)).collect::<Option<_>>()?;
    rest.is_empty().then_some(grouped)
}

/// The value as the text format spells it.
impl fmt::Display for HostValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.ty)?;
        match (self.ty.kind(), self.lanes.as_slice()) {
            (TypeKind::Vector(lane, _), lanes) => {
                f.write_str("[")?;
                for (n, &bits) in lanes.iter().enumerate() {
                    f.write_str(if n == 0 { "" } else { ", " })?;
                    write_lane(f, lane, bits)?;
                }
                f.write_str("]")
            }
            (TypeKind::Scalar(scalar), &[bits, ..]) => write_lane(f, scalar, bits),
            (_, &[0, ..]) => f.write_str("null"),
            (_, &[bits, ..]) => write!(f, "{bits:#x}"),
            (_, []) => Ok(()),
        }
    }
}

/// Writes the bits of one lane as a literal of its type.
///
/// # Errors
/// Only those of `f`.
pub fn write_lane(f: &mut dyn fmt::Write, lane: Scalar, bits: u128) -> fmt::Result {
    use marquetry_ir::semantics::convert::float_to_float;
    match lane {
        Scalar::I1 => write!(f, "{}", bits != 0),
        _ if lane.is_int() => {
            let shift = 128 - lane.bits();
            write!(f, "{}", (bits << shift) as i128 >> shift)
        }
        _ if is_nan(lane, bits) => f.write_str("nan"),
        Scalar::F32 => write!(f, "{:?}", f32::from_bits(bits as u32)),
        _ => {
            let wide = if lane == Scalar::F64 { Some(bits) } else { float_to_float(lane, Scalar::F64, bits) };
            write!(f, "{:?}", f64::from_bits(wide.unwrap_or(bits) as u64))
        }
    }
}

/// An argument of a call or launch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostArg {
    /// Passed as it is.
    Value(HostValue),
    /// A struct or array, passed by value: its bytes as they stand in memory, padding included.
    Aggregate(Vec<u8>),
    /// Memory of the host: copied to the device before, and back after, the call; its address is passed.
    Buffer {
        /// What it is made of, for messages.
        element: Scalar,
        /// Its contents.
        bytes: Vec<u8>,
    },
}

impl<T: HostScalar> From<T> for HostArg {
    fn from(value: T) -> Self {
        HostArg::Value(value.into())
    }
}

impl From<HostValue> for HostArg {
    fn from(value: HostValue) -> Self {
        HostArg::Value(value)
    }
}

impl HostArg {
    /// Memory that holds these elements.
    ///
    /// ```
    /// use marquetry::value::HostArg;
    ///
    /// let buffer = HostArg::buffer(&[1.5f32, -2.0]);
    /// assert_eq!(buffer.elements::<f32>(), Some(vec![1.5, -2.0]));
    /// assert_eq!(buffer.elements::<u16>(), None);
    /// ```
    pub fn buffer<T: HostScalar>(elements: &[T]) -> Self {
        let size = T::SCALAR.bytes() as usize;
        let bytes = elements.iter().flat_map(|x| x.to_bits().to_le_bytes().into_iter().take(size));
        HostArg::Buffer { element: T::SCALAR, bytes: bytes.collect() }
    }

    /// What a buffer holds, if it is one of such elements.
    pub fn elements<T: HostScalar>(&self) -> Option<Vec<T>> {
        let HostArg::Buffer { element, bytes } = self else { return None };
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0u128, |word, &byte| word << 8 | u128::from(byte));
        let read = |chunk: &[u8]| T::from_bits(word(chunk));
        (*element == T::SCALAR).then(|| bytes.chunks_exact(T::SCALAR.bytes() as usize).map(read).collect())
    }

    /// What it is, for messages.
    pub(crate) fn description(&self) -> String {
        match self {
            HostArg::Value(value) => value.ty().to_string(),
            HostArg::Aggregate(bytes) => format!("a struct or array of {} bytes", bytes.len()),
            HostArg::Buffer { element, bytes } => buffer_description(*element, bytes.len() as u64),
        }
    }
}

/// What a buffer is, for messages.
pub(crate) fn buffer_description(element: Scalar, bytes: u64) -> String {
    format!("a buffer of {} {}", bytes / element.bytes(), element.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_rust_become_those_of_the_language_and_back() {
        assert_eq!(HostValue::from(-1i8), HostValue::scalar(Type::I8, 0xff).unwrap());
        assert_eq!(HostValue::from(true).to_string(), "i1 true");
        assert_eq!(HostValue::from(-1i8).get::<i8>(), Some(-1));
        assert_eq!(HostValue::from(-1i8).get::<u8>(), Some(255));
        assert_eq!(HostValue::from(-1i8).get::<i16>(), None);
        assert_eq!(HostValue::from(-2.5f64).get(), Some(-2.5f64));
        assert_eq!(HostValue::from(i128::MIN).get(), Some(i128::MIN));
        let flags = HostArg::buffer(&[true, false]);
        assert_eq!(flags, HostArg::Buffer { element: Scalar::I1, bytes: vec![1, 0] });
        assert_eq!(flags.elements::<bool>(), Some(vec![true, false]));
        assert_eq!(HostArg::buffer(&[-2i64]).elements::<u64>(), Some(vec![u64::MAX - 1]));
    }

    #[test]
    fn parts_of_vectors_are_put_together() {
        let pair = Type::vector(Scalar::I32, 2).unwrap();
        let whole = HostValue::vector(pair, &[7, 0xffff_fffe]).unwrap();
        let wide = HostValue::scalar(Type::I128, 3 << 64 | 5).unwrap();
        let parts =
            regroup(&[whole.clone(), wide.clone()], &[Type::I32, Type::I32, Type::I64, Type::I64]).unwrap();
        assert_eq!(parts.iter().map(|part| part.lanes()[0]).collect::<Vec<_>>(), [7, 0xffff_fffe, 5, 3]);
        assert_eq!(regroup(&parts, &[pair, Type::I128]), Some(vec![whole, wide]));
        assert_eq!(regroup(&parts, &[pair]), None);
        assert_eq!(regroup(&parts[..1], &[pair]), None);
    }
}
