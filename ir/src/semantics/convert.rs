//! Conversions between number formats, each with one rounding.
//!
//! Functions return none if a type is not of the kind that the conversion takes.

use super::float::{
    as_f32, as_f64, canonical_nan, f32_bits, f64_bits, half_to_f32, is_nan, soft_bits, to_f64,
};
use super::int::{signed, wrap};
use crate::types::Scalar;
use rustc_apfloat::ieee::{BFloat, Double, Half, Single};
use rustc_apfloat::{Float, FloatConvert};

/// `fconvert`; also the identity.
#[inline]
pub fn float_to_float(from: Scalar, to: Scalar, bits: u128) -> Option<u128> {
    if !from.is_float() || !to.is_float() {
        return None;
    }
    if is_nan(from, bits) {
        return Some(canonical_nan(to));
    }
    Some(match (from, to) {
        _ if from == to => bits,
        (Scalar::F64, Scalar::F32) => f32_bits(as_f64(bits) as f32),
        (_, Scalar::F64) => f64_bits(to_f64(from, bits)?),
        (Scalar::F16, Scalar::F32) => f32_bits(half_to_f32(bits)),
        (Scalar::BF16, Scalar::F32) => (bits & 0xffff) << 16,
        (Scalar::F32, Scalar::BF16) => f32_to_brain(bits as u32),
        (Scalar::F64, Scalar::F16) => narrow::<Double, Half>(to, bits),
        (Scalar::F64, Scalar::BF16) => narrow::<Double, BFloat>(to, bits),
        // f16 and bf16 fit into f32 exactly.
        (Scalar::F16, Scalar::BF16) => f32_to_brain(half_to_f32(bits).to_bits()),
        (Scalar::BF16, Scalar::F16) => narrow::<Single, Half>(to, (bits & 0xffff) << 16),
        (Scalar::F32, Scalar::F16) => narrow::<Single, Half>(to, bits & 0xffff_ffff),
        _ => return None,
    })
}

/// The upper half of an f32 that is no NaN, rounded to nearest, ties to even. A carry out of the mantissa moves on
/// into the exponent, up to infinity: just what rounding up means.
fn f32_to_brain(bits: u32) -> u128 {
    let odd = bits >> 16 & 1;
    u128::from((u64::from(bits) + 0x7fff + u64::from(odd)) >> 16)
}

fn narrow<F: Float + FloatConvert<T>, T: Float>(to: Scalar, bits: u128) -> u128 {
    let mut loses_info = false;
    soft_bits(to, F::from_bits(bits).convert(&mut loses_info).value)
}

/// `ftos`: Rust's casts round towards zero, saturate, and give 0 for NaN.
#[inline]
pub fn float_to_signed(from: Scalar, to: Scalar, bits: u128) -> Option<u128> {
    let result = match (from, to) {
        (Scalar::F32, Scalar::I32) => as_f32(bits) as i32 as i128,
        _ => {
            let x = to_f64(from, bits)?;
            match to {
                Scalar::I8 => i128::from(x as i8),
                Scalar::I16 => i128::from(x as i16),
                Scalar::I32 => i128::from(x as i32),
                Scalar::I64 => i128::from(x as i64),
                Scalar::I128 => x as i128,
                Scalar::I1 | Scalar::F16 | Scalar::BF16 | Scalar::F32 | Scalar::F64 => return None,
            }
        }
    };
    Some(wrap(to, result as u128))
}

/// `ftou`.
#[inline]
pub fn float_to_unsigned(from: Scalar, to: Scalar, bits: u128) -> Option<u128> {
    let x = to_f64(from, bits)?;
    Some(match to {
        Scalar::I8 => u128::from(x as u8),
        Scalar::I16 => u128::from(x as u16),
        Scalar::I32 => u128::from(x as u32),
        Scalar::I64 => u128::from(x as u64),
        Scalar::I128 => x as u128,
        Scalar::I1 | Scalar::F16 | Scalar::BF16 | Scalar::F32 | Scalar::F64 => return None,
    })
}

/// `stof`: Rust's casts round to nearest, ties to even.
#[inline]
pub fn signed_to_float(from: Scalar, to: Scalar, bits: u128) -> Option<u128> {
    if !from.is_int() {
        return None;
    }
    let x = signed(from, bits);
    Some(match (i64::try_from(x), to) {
        (Ok(x), Scalar::F32) => f32_bits(x as f32),
        (Ok(x), Scalar::F64) => f64_bits(x as f64),
        (Err(_), Scalar::F32) => f32_bits(x as f32),
        (Err(_), Scalar::F64) => f64_bits(x as f64),
        (_, Scalar::F16) => soft_bits(to, Half::from_i128(x).value),
        (_, Scalar::BF16) => soft_bits(to, BFloat::from_i128(x).value),
        (_, Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128) => return None,
    })
}

/// `utof`.
#[inline]
pub fn unsigned_to_float(from: Scalar, to: Scalar, bits: u128) -> Option<u128> {
    if !from.is_int() {
        return None;
    }
    Some(match (u64::try_from(bits), to) {
        (Ok(x), Scalar::F32) => f32_bits(x as f32),
        (Ok(x), Scalar::F64) => f64_bits(x as f64),
        (Err(_), Scalar::F32) => f32_bits(bits as f32),
        (Err(_), Scalar::F64) => f64_bits(bits as f64),
        (_, Scalar::F16) => soft_bits(to, Half::from_u128(bits).value),
        (_, Scalar::BF16) => soft_bits(to, BFloat::from_u128(bits).value),
        (_, Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128) => return None,
    })
}
