//! Float arithmetic on bit patterns: f32 and f64 by the host's own operations, f16 and bf16 by soft-float.
//!
//! Rust guarantees IEEE 754 results for the basic operations of f32 and f64. `fma` comes from `libm` because the
//! platform's may round twice. What only inspects, orders or moves bits is written once for all four formats.
//!
//! Functions return none if the type is no float.

use crate::types::Scalar;
use rustc_apfloat::Float;
use rustc_apfloat::ieee::{BFloat, Half};
use std::cmp::Ordering;

/// The sign bit; 0 if the type is no float.
#[inline]
pub fn sign_bit(ty: Scalar) -> u128 {
    if ty.is_float() { 1 << (ty.bits() - 1) } else { 0 }
}

/// The bits of positive infinity: the exponent field; 0 if the type is no float.
#[inline]
pub fn infinity(ty: Scalar) -> u128 {
    match ty {
        Scalar::F16 => 0x7c00,
        Scalar::BF16 => 0x7f80,
        Scalar::F32 => 0x7f80_0000,
        Scalar::F64 => 0x7ff0_0000_0000_0000,
        Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => 0,
    }
}

/// The canonical NaN: positive, quiet, no payload; 0 if the type is no float.
#[inline]
pub fn canonical_nan(ty: Scalar) -> u128 {
    match ty {
        Scalar::F16 => 0x7e00,
        Scalar::BF16 => 0x7fc0,
        Scalar::F32 => 0x7fc0_0000,
        Scalar::F64 => 0x7ff8_0000_0000_0000,
        Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => 0,
    }
}

/// The bits without the sign.
#[inline]
fn magnitude(ty: Scalar, bits: u128) -> u128 {
    bits & !sign_bit(ty)
}

/// Whether the bits are a NaN of the type.
#[inline]
pub fn is_nan(ty: Scalar, bits: u128) -> bool {
    magnitude(ty, bits) > infinity(ty)
}

/// A number that orders bit patterns as the values, -0 before +0. Not for NaN.
#[inline]
fn key(ty: Scalar, bits: u128) -> i128 {
    let magnitude = magnitude(ty, bits) as i128;
    if bits & sign_bit(ty) != 0 { !magnitude } else { magnitude }
}

/// How two floats compare; none if one is a NaN. Zeros are equal.
#[inline]
pub fn compare(ty: Scalar, a: u128, b: u128) -> Option<Ordering> {
    if is_nan(ty, a) || is_nan(ty, b) {
        None
    } else if magnitude(ty, a) | magnitude(ty, b) == 0 {
        Some(Ordering::Equal)
    } else {
        Some(key(ty, a).cmp(&key(ty, b)))
    }
}

#[inline]
pub(super) fn f32_bits(x: f32) -> u128 {
    if x.is_nan() { canonical_nan(Scalar::F32) } else { u128::from(x.to_bits()) }
}

#[inline]
pub(super) fn f64_bits(x: f64) -> u128 {
    if x.is_nan() { canonical_nan(Scalar::F64) } else { u128::from(x.to_bits()) }
}

#[inline]
pub(super) fn as_f32(bits: u128) -> f32 {
    f32::from_bits(bits as u32)
}

#[inline]
pub(super) fn as_f64(bits: u128) -> f64 {
    f64::from_bits(bits as u64)
}

/// Bits of a soft float of this type.
pub(super) fn soft_bits<F: Float>(ty: Scalar, x: F) -> u128 {
    if x.is_nan() { canonical_nan(ty) } else { x.to_bits() }
}

/// One binary operation in the format at hand.
#[inline]
fn binary(
    ty: Scalar,
    (a, b): (u128, u128),
    single: impl Fn(f32, f32) -> f32,
    double: impl Fn(f64, f64) -> f64,
    half: impl Fn(Half, Half) -> Half,
    brain: impl Fn(BFloat, BFloat) -> BFloat,
) -> Option<u128> {
    Some(match ty {
        Scalar::F32 => f32_bits(single(as_f32(a), as_f32(b))),
        Scalar::F64 => f64_bits(double(as_f64(a), as_f64(b))),
        Scalar::F16 => soft_bits(ty, half(Half::from_bits(a & 0xffff), Half::from_bits(b & 0xffff))),
        Scalar::BF16 => soft_bits(ty, brain(BFloat::from_bits(a & 0xffff), BFloat::from_bits(b & 0xffff))),
        Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => return None,
    })
}

/// `add`.
#[inline]
pub fn add(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    binary(ty, (a, b), |a, b| a + b, |a, b| a + b, |a, b| (a + b).value, |a, b| (a + b).value)
}

/// `sub`.
#[inline]
pub fn sub(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    binary(ty, (a, b), |a, b| a - b, |a, b| a - b, |a, b| (a - b).value, |a, b| (a - b).value)
}

/// `mul`.
#[inline]
pub fn mul(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    binary(ty, (a, b), |a, b| a * b, |a, b| a * b, |a, b| (a * b).value, |a, b| (a * b).value)
}

/// `div`.
#[inline]
pub fn div(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    binary(ty, (a, b), |a, b| a / b, |a, b| a / b, |a, b| (a / b).value, |a, b| (a / b).value)
}

/// `rem`. The exact result is a number of the operands' format, so that computing it in f64 rounds nothing.
pub fn rem(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    match ty {
        Scalar::F32 => Some(f32_bits(as_f32(a) % as_f32(b))),
        _ => from_f64(ty, to_f64(ty, a)? % to_f64(ty, b)?),
    }
}

/// `fma`: rounded once.
pub fn fma(ty: Scalar, a: u128, b: u128, c: u128) -> Option<u128> {
    // A product of f32, f16 or bf16 is exact in f64, but its sum with a third number need not be.
    Some(match ty {
        Scalar::F32 => f32_bits(libm::fmaf(as_f32(a), as_f32(b), as_f32(c))),
        Scalar::F64 => f64_bits(libm::fma(as_f64(a), as_f64(b), as_f64(c))),
        Scalar::F16 => soft_fma::<Half>(ty, a, b, c),
        Scalar::BF16 => soft_fma::<BFloat>(ty, a, b, c),
        Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => return None,
    })
}

fn soft_fma<F: Float>(ty: Scalar, a: u128, b: u128, c: u128) -> u128 {
    let [a, b, c] = [a, b, c].map(|bits| F::from_bits(bits & 0xffff));
    soft_bits(ty, a.mul_add(b, c).value)
}

/// The value as an f64: exact for all four formats.
#[inline]
pub fn to_f64(ty: Scalar, bits: u128) -> Option<f64> {
    Some(match ty {
        Scalar::F64 => as_f64(bits),
        Scalar::F32 => f64::from(as_f32(bits)),
        Scalar::BF16 => f64::from(f32::from_bits((bits as u32) << 16)),
        Scalar::F16 => f64::from(half_to_f32(bits)),
        Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => return None,
    })
}

/// An f16 as an f32, exactly.
#[inline]
pub(super) fn half_to_f32(bits: u128) -> f32 {
    let bits = bits as u32;
    let sign = (bits & 0x8000) << 16;
    let magnitude = bits & 0x7fff;
    if magnitude >= 0x7c00 {
        // Infinity and NaN: all exponent bits of the wider format.
        return f32::from_bits(sign | 0x7f80_0000 | (magnitude & 0x3ff) << 13);
    }
    // The fields moved into place stand for a number 2^112 times too small (exponent bias 15 against 127),
    // subnormals included; the product is exact.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(scaled.to_bits() | sign)
}

/// An f64 in another format, rounded once.
pub fn from_f64(ty: Scalar, x: f64) -> Option<u128> {
    super::convert::float_to_float(Scalar::F64, ty, u128::from(x.to_bits()))
}

/// One unary operation whose result, computed in f64 and rounded to the type, is the type's correct result.
#[inline]
fn through_f64(
    ty: Scalar,
    a: u128,
    single: impl Fn(f32) -> f32,
    double: impl Fn(f64) -> f64,
) -> Option<u128> {
    match ty {
        Scalar::F32 => Some(f32_bits(single(as_f32(a)))),
        _ => from_f64(ty, double(to_f64(ty, a)?)),
    }
}

/// `sqrt`. For f16 and bf16: f64 has more than twice their precision plus two bits, so rounding twice is harmless.
#[inline]
pub fn sqrt(ty: Scalar, a: u128) -> Option<u128> {
    through_f64(ty, a, f32::sqrt, f64::sqrt)
}

/// `ceil`: integral values up to the size of the operand are exact in its format, here and below.
#[inline]
pub fn ceil(ty: Scalar, a: u128) -> Option<u128> {
    through_f64(ty, a, f32::ceil, f64::ceil)
}

/// `floor`.
#[inline]
pub fn floor(ty: Scalar, a: u128) -> Option<u128> {
    through_f64(ty, a, f32::floor, f64::floor)
}

/// `round_zero`.
#[inline]
pub fn round_zero(ty: Scalar, a: u128) -> Option<u128> {
    through_f64(ty, a, f32::trunc, f64::trunc)
}

/// `round_even`.
#[inline]
pub fn round_even(ty: Scalar, a: u128) -> Option<u128> {
    through_f64(ty, a, f32::round_ties_even, f64::round_ties_even)
}

/// `round_away`.
#[inline]
pub fn round_away(ty: Scalar, a: u128) -> Option<u128> {
    through_f64(ty, a, f32::round, f64::round)
}

/// `min`: IEEE 754-2019, 9.6 minimum.
pub fn min(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    if is_nan(ty, a) || is_nan(ty, b) { nan_of(ty) } else { smaller(ty, a, b) }
}

/// `max`: IEEE 754-2019, 9.6 maximum.
pub fn max(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    if is_nan(ty, a) || is_nan(ty, b) { nan_of(ty) } else { larger(ty, a, b) }
}

/// `min_number`: IEEE 754-2019, 9.6 minimumNumber.
pub fn min_number(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    match (is_nan(ty, a), is_nan(ty, b)) {
        (true, true) => nan_of(ty),
        (true, false) => Some(b),
        (false, true) => Some(a),
        (false, false) => smaller(ty, a, b),
    }
}

/// `max_number`: IEEE 754-2019, 9.6 maximumNumber.
pub fn max_number(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    match (is_nan(ty, a), is_nan(ty, b)) {
        (true, true) => nan_of(ty),
        (true, false) => Some(b),
        (false, true) => Some(a),
        (false, false) => larger(ty, a, b),
    }
}

fn nan_of(ty: Scalar) -> Option<u128> {
    ty.is_float().then(|| canonical_nan(ty))
}

fn smaller(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    ty.is_float().then(|| if key(ty, a) <= key(ty, b) { a } else { b })
}

fn larger(ty: Scalar, a: u128, b: u128) -> Option<u128> {
    ty.is_float().then(|| if key(ty, a) >= key(ty, b) { a } else { b })
}
