//! Integer arithmetic of every width, in 128 bits.
//!
//! An unsigned operand is its bits, a signed one is sign-extended by [`signed`]; [`wrap`] brings a result back to
//! its width. For widths below 128 the 128-bit operations are exact, so one formula serves all widths: what does
//! not survive wrapping did not fit.

use super::Outcome;
use crate::exception::Exception;
use crate::types::Scalar;

/// The low bits, as many as the type has.
#[inline]
pub fn wrap(ty: Scalar, bits: u128) -> u128 {
    bits & ty.mask()
}

/// The signed integer that these bits stand for.
#[inline]
pub fn signed(ty: Scalar, bits: u128) -> i128 {
    let unused = 128 - ty.bits();
    ((bits << unused) as i128) >> unused
}

/// A shift count: modulo the width, which is a power of two.
#[inline]
pub(super) fn count(ty: Scalar, bits: u128) -> u32 {
    bits as u32 & (ty.bits() - 1)
}

/// The least signed value.
fn least(ty: Scalar) -> i128 {
    i128::MIN >> (128 - ty.bits())
}

/// Clamps to the signed range.
pub(super) fn clamp_s(ty: Scalar, exact: i128) -> u128 {
    let least = least(ty);
    wrap(ty, exact.clamp(least, !least) as u128)
}

/// Wraps a signed result and says whether it did not fit.
pub(super) fn fit_s(ty: Scalar, (result, overflowed): (i128, bool)) -> (u128, bool) {
    let wrapped = wrap(ty, result as u128);
    (wrapped, overflowed || signed(ty, wrapped) != result)
}

/// Wraps an unsigned result and says whether it did not fit.
pub(super) fn fit_u(ty: Scalar, (result, overflowed): (u128, bool)) -> (u128, bool) {
    let wrapped = wrap(ty, result);
    (wrapped, overflowed || wrapped != result)
}

/// The quotient or remainder, or the exception for a zero divisor.
pub(super) fn checked(result: Option<u128>) -> Outcome {
    result.map_or(Outcome::Throws(Exception::DivideError), Outcome::Value)
}

pub(super) fn div_s(ty: Scalar, a: i128, b: i128) -> Outcome {
    if b == 0 {
        return Outcome::Throws(Exception::DivideError);
    }
    if b == -1 && a == least(ty) {
        return Outcome::Throws(Exception::OverflowError);
    }
    Outcome::Value(wrap(ty, a.wrapping_div(b) as u128))
}

pub(super) fn rem_s(ty: Scalar, a: i128, b: i128) -> Outcome {
    if b == 0 {
        return Outcome::Throws(Exception::DivideError);
    }
    // The remainder of the least value by -1 is 0; `wrapping_rem` says so for 128 bits as well.
    Outcome::Value(wrap(ty, a.wrapping_rem(b) as u128))
}

pub(super) fn mul_high_u(ty: Scalar, a: u128, b: u128) -> u128 {
    match ty.bits() {
        128 => wide_high(a, b),
        bits => wrap(ty, a.wrapping_mul(b) >> bits),
    }
}

pub(super) fn mul_high_s(ty: Scalar, a: i128, b: i128) -> u128 {
    match ty.bits() {
        128 => {
            // A negative factor x stands for x + 2^128: take what that adds to the upper half away again.
            let mut high = wide_high(a as u128, b as u128);
            if a < 0 {
                high = high.wrapping_sub(b as u128);
            }
            if b < 0 {
                high = high.wrapping_sub(a as u128);
            }
            high
        }
        bits => wrap(ty, (a.wrapping_mul(b) >> bits) as u128),
    }
}

/// Upper half of the 256-bit product, by schoolbook multiplication of 64-bit halves.
fn wide_high(a: u128, b: u128) -> u128 {
    let low = |x: u128| x & u128::from(u64::MAX);
    let high = |x: u128| x >> 64;
    let lows = low(a) * low(b);
    let cross = high(a) * low(b) + high(lows);
    let other = low(a) * high(b) + low(cross);
    high(a) * high(b) + high(cross) + high(other)
}

/// Rotates left by 0 up to the width.
pub(super) fn rotate_left(ty: Scalar, a: u128, by: u32) -> u128 {
    let by = by & (ty.bits() - 1);
    match by {
        0 => a,
        by => wrap(ty, a << by | a >> (ty.bits() - by)),
    }
}
