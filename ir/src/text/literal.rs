//! Literals: bits to text and back, and escapes of quoted texts.
//!
//! Floats print as the shortest decimal that reads back as the same bits. `f16` and `bf16` go through decimals
//! rounded once by `rustc_apfloat`, never through a wider binary float, which could round twice.

use crate::constant::ConstValue;
use crate::types::{Scalar, Type, TypeKind};
use rustc_apfloat::Float;
use rustc_apfloat::ieee::{BFloat, Half};
use std::fmt::{self, Write};

/// Bits of the canonical quiet NaN: positive, no payload.
pub(crate) fn canonical_nan(scalar: Scalar) -> u128 {
    match scalar {
        Scalar::F16 => 0x7e00,
        Scalar::BF16 => 0x7fc0,
        Scalar::F32 => 0x7fc0_0000,
        _ => 0x7ff8_0000_0000_0000,
    }
}

/// Bits of positive infinity: the exponent, all ones.
pub(crate) fn infinity(scalar: Scalar) -> u128 {
    match scalar {
        Scalar::F16 => 0x7c00,
        Scalar::BF16 => 0x7f80,
        Scalar::F32 => 0x7f80_0000,
        _ => 0x7ff0_0000_0000_0000,
    }
}

/// The sign bit of a scalar.
pub(crate) fn sign_bit(scalar: Scalar) -> u128 {
    1 << (scalar.bits() - 1)
}

/// Whether the bits are those of a NaN.
pub(crate) fn is_nan(scalar: Scalar, bits: u128) -> bool {
    scalar.is_float() && bits & !sign_bit(scalar) > infinity(scalar)
}

/// Sign-extends the bits of an integer.
pub(crate) fn signed(scalar: Scalar, bits: u128) -> i128 {
    let unused = 128 - scalar.bits();
    ((bits << unused) as i128) >> unused
}

/// The value of a hexadecimal number: `0x10`.
pub(crate) fn parse_hex(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { u128::from_str_radix(digits, 16).ok() } else { None }
}

/// The bits of an integer literal, which may be in the signed or in the unsigned range.
pub(crate) fn parse_int(scalar: Scalar, text: &str) -> Option<u128> {
    let mask = scalar.mask();
    if let Some(bits) = parse_hex(text) {
        return (bits <= mask).then_some(bits);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude: u128 = digits.parse().ok()?;
    if digits.len() == text.len() {
        return (magnitude <= mask).then_some(magnitude);
    }
    (magnitude <= sign_bit(scalar)).then(|| magnitude.wrapping_neg() & mask)
}

/// The value that a number stands for in a type that is known now; none if the type cannot hold it.
pub fn settle(ty: Type, text: &str) -> Option<ConstValue> {
    let scalar = |scalar: Scalar| match text {
        "true" | "false" if scalar == Scalar::I1 => Some(u128::from(text == "true")),
        "inf" if scalar.is_float() => Some(infinity(scalar)),
        "-inf" if scalar.is_float() => Some(infinity(scalar) | sign_bit(scalar)),
        "nan" if scalar.is_float() => Some(canonical_nan(scalar)),
        _ if scalar == Scalar::I1 => None,
        _ if scalar.is_int() => parse_int(scalar, text),
        _ => parse_float(scalar, text),
    };
    match ty.kind() {
        TypeKind::Scalar(lane) => scalar(lane).map(ConstValue::Scalar),
        TypeKind::Vector(lane, lanes) => Some(ConstValue::Lanes(vec![scalar(lane)?; lanes as usize].into())),
        _ => None,
    }
}

/// The bits of a finite float literal, rounded to nearest, ties to even.
pub(crate) fn parse_float(scalar: Scalar, text: &str) -> Option<u128> {
    let shaped = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !shaped {
        return None;
    }
    // The platform's parser is the judge of the grammar; it also tells what is too large.
    let wide: f64 = text.parse().ok()?;
    let bits = match scalar {
        Scalar::F16 => parse_small::<Half>(text, wide)?,
        Scalar::BF16 => parse_small::<BFloat>(text, wide)?,
        Scalar::F32 => u128::from(text.parse::<f32>().ok()?.to_bits()),
        Scalar::F64 => u128::from(wide.to_bits()),
        _ => return None,
    };
    (bits & !sign_bit(scalar) < infinity(scalar)).then_some(bits)
}

fn parse_small<F: Float>(text: &str, wide: f64) -> Option<u128> {
    // Far below the smallest `f16` and `bf16` everything is zero, and far above them nothing is finite; what is
    // left has an exponent that no decimal conversion has trouble with.
    if wide.abs() < 1e-50 {
        return Some(if wide.is_sign_negative() { 1 << (F::BITS - 1) } else { 0 });
    }
    if wide.abs() > 1e50 || text.len() > 400 {
        return None;
    }
    F::from_str(text).ok().map(|value| value.to_bits())
}

/// Writes the literal of a scalar without its type.
pub(crate) fn write_scalar(out: &mut dyn Write, scalar: Scalar, bits: u128) -> fmt::Result {
    let bits = bits & scalar.mask();
    match scalar {
        Scalar::I1 => out.write_str(if bits == 0 { "false" } else { "true" }),
        _ if scalar.is_int() => write!(out, "{}", signed(scalar, bits)),
        _ if bits == canonical_nan(scalar) => out.write_str("nan"),
        _ if is_nan(scalar, bits) => write!(out, "nan:{bits:#x}"),
        _ if bits == infinity(scalar) => out.write_str("inf"),
        _ if bits == infinity(scalar) | sign_bit(scalar) => out.write_str("-inf"),
        Scalar::F32 => write!(out, "{:?}", f32::from_bits(bits as u32)),
        Scalar::F64 => write!(out, "{:?}", f64::from_bits(bits as u64)),
        _ => write!(out, "{:?}", shortest_small(scalar, bits)),
    }
}

/// The double whose shortest decimal is the shortest decimal of a finite `f16` or `bf16`.
fn shortest_small(scalar: Scalar, bits: u128) -> f64 {
    let exact = if scalar == Scalar::F16 { half_to_f64(bits) } else { bfloat_to_f64(bits) };
    // Five significant digits tell all `f16` apart, four all `bf16`.
    for digits in 0..5 {
        let text = format!("{exact:.digits$e}");
        if parse_float(scalar, &text) == Some(bits) {
            return text.parse().unwrap_or(exact);
        }
    }
    exact
}

fn half_to_f64(bits: u128) -> f64 {
    let sign = if bits >> 15 & 1 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = ((bits >> 10 & 31) as u32, (bits & 0x3ff) as u32);
    let significand = if exponent == 0 { fraction } else { fraction | 0x400 };
    // 2^-24 is the smallest subnormal of binary16 (IEEE 754-2019, table 3.5); all steps are exact in binary64.
    sign * f64::from(significand) * f64::from(1u32 << (exponent.max(1) - 1)) / f64::from(1u32 << 24)
}

fn bfloat_to_f64(bits: u128) -> f64 {
    f64::from(f32::from_bits((bits as u32) << 16))
}

/// Why a quoted text cannot be read, and where in it.
pub(crate) struct BadEscape {
    pub(crate) at: usize,
}

/// The bytes that a quoted text (with its quotes) stands for.
pub(crate) fn unquote(quoted: &str) -> Result<Vec<u8>, BadEscape> {
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(quoted);
    let bytes = inner.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let bad = BadEscape { at };
        let escape = bytes.get(at).copied();
        at += 1;
        match escape {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'"') => out.push(b'"'),
            Some(b'\\') => out.push(b'\\'),
            Some(b'x') => {
                let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(at), digit(at + 1)) else { return Err(bad) };
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            _ => return Err(bad),
        }
    }
    Ok(out)
}

/// Writes a text in quotes.
pub(crate) fn write_quoted(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            // Control characters are one or two bytes; each is escaped by itself.
            c if c.is_control() => {
                c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|b| write!(out, "\\x{b:02x}"))?;
            }
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// Writes bytes in quotes: printable ASCII as it is.
pub(crate) fn write_bytes(out: &mut dyn Write, bytes: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for &byte in bytes {
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b' '..=b'~' => out.write_char(char::from(byte))?,
            _ => write!(out, "\\x{byte:02x}")?,
        }
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(scalar: Scalar, bits: u128) {
        let mut text = String::new();
        write_scalar(&mut text, scalar, bits).unwrap();
        let negative = text.starts_with('-');
        let back = match text.trim_start_matches('-') {
            "nan" => canonical_nan(scalar),
            "inf" => infinity(scalar) | if negative { sign_bit(scalar) } else { 0 },
            other => match other.strip_prefix("nan:") {
                Some(hex) => parse_hex(hex).unwrap(),
                None => parse_float(scalar, &text).unwrap_or_else(|| panic!("{text} does not read")),
            },
        };
        assert_eq!(back, bits, "{} {text}", scalar.name());
    }

    #[test]
    fn every_half_and_bfloat_round_trips() {
        for bits in 0..=0xffff {
            round_trip(Scalar::F16, bits);
            round_trip(Scalar::BF16, bits);
        }
    }

    #[test]
    fn many_floats_round_trip() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            round_trip(Scalar::F32, u128::from(state as u32));
            round_trip(Scalar::F64, u128::from(state));
        }
        for edge in [0u128, 1, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x8000_0000, 0x7f80_0001, 0xffc0_0000] {
            round_trip(Scalar::F32, edge);
            round_trip(Scalar::F64, edge << 32 | 1);
        }
    }

    #[test]
    fn halves_print_short() {
        let text = |scalar, bits| {
            let mut text = String::new();
            write_scalar(&mut text, scalar, bits).unwrap();
            text
        };
        assert_eq!(text(Scalar::F16, 0x3c00), "1.0");
        assert_eq!(text(Scalar::F16, 0x2e66), "0.1");
        assert_eq!(text(Scalar::F16, 0x8000), "-0.0");
        assert_eq!(text(Scalar::F16, 0x7bff), "65500.0");
        assert_eq!(text(Scalar::BF16, 0x3dcd), "0.1");
        assert_eq!(text(Scalar::F32, 0x3dcc_cccd), "0.1");
        assert_eq!(text(Scalar::F16, 0x7e01), "nan:0x7e01");
    }

    #[test]
    fn halves_are_rounded_once() {
        // Just above the middle of 1 and the next half: through a float this would round down to even.
        assert_eq!(parse_float(Scalar::F16, "1.00048828125000000000000000001"), Some(0x3c01));
        assert_eq!(parse_float(Scalar::F16, "1.00048828125"), Some(0x3c00));
        assert_eq!(parse_float(Scalar::F16, "65520"), None);
        assert_eq!(parse_float(Scalar::F16, "1e999999999"), None);
        assert_eq!(parse_float(Scalar::F16, "-1e-999999999"), Some(0x8000));
        assert_eq!(parse_float(Scalar::F32, "1e39"), None);
        assert_eq!(parse_float(Scalar::F32, "infinity"), None);
    }

    #[test]
    fn integers_have_both_ranges() {
        assert_eq!(parse_int(Scalar::I8, "255"), Some(255));
        assert_eq!(parse_int(Scalar::I8, "256"), None);
        assert_eq!(parse_int(Scalar::I8, "-128"), Some(128));
        assert_eq!(parse_int(Scalar::I8, "-129"), None);
        assert_eq!(parse_int(Scalar::I128, "-170141183460469231731687303715884105728"), Some(1 << 127));
        assert_eq!(parse_int(Scalar::I32, "0xffffffff"), Some(0xffff_ffff));
        assert_eq!(parse_int(Scalar::I32, "1e3"), None);
        assert_eq!(parse_int(Scalar::I32, "0x"), None);
    }

    #[test]
    fn escapes_round_trip() {
        for text in ["", "a b", "\"\\\n\t\r", "\u{7f}\u{80}\0é", "f(i32)"] {
            let mut quoted = String::new();
            write_quoted(&mut quoted, text).unwrap();
            assert_eq!(unquote(&quoted).ok().as_deref(), Some(text.as_bytes()), "{quoted}");
        }
        let all: Vec<u8> = (0..=255).collect();
        let mut quoted = String::new();
        write_bytes(&mut quoted, &all).unwrap();
        assert_eq!(unquote(&quoted).ok(), Some(all));
        assert!(unquote("\"\\x1\"").is_err());
        assert!(unquote("\"\\q\"").is_err());
    }
}
