//! Formats of `print` and of reasons: C's `printf`, with the types of the operands known.
//!
//! The verifier checks a format against its operands, the interpreter keeps records, and whoever reads the print buffer of
//! a launch renders them. Nothing here depends on the host's C library or locale.

use crate::limits::MAX_PRINT_WIDTH;
use crate::op::Op;
use crate::semantics::{Outcome, scalar};
use crate::types::{Scalar, Type, Types};
use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

/// One `print` that ran: its format, and the operands with their types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Printed {
    /// The format, as the program spells it.
    pub format: Arc<str>,
    /// Type and bits of each operand.
    pub values: Vec<(Type, u64)>,
}

impl fmt::Display for Printed {
    /// The text, without a line break behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Format::parse(&self.format) {
            Ok(format) => f.write_str(&format.render(&self.values)),
            // Verification refuses such formats.
            Err(_) => f.write_str(&self.format),
        }
    }
}

/// The reason of an exception with its operands put in. Without operands it is no format.
pub fn reason<'t>(text: &'t str, operands: &[(Type, u64)]) -> Cow<'t, str> {
    match Format::parse(text) {
        Ok(format) if !operands.is_empty() => format.render(operands).into(),
        _ => text.into(),
    }
}

/// What kind of operand a conversion takes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Takes {
    Int,
    Float,
    Pointer,
}

/// How an operand is shown, as in C.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversion {
    /// `-`.
    pub left: bool,
    /// `+`.
    pub plus: bool,
    /// A space.
    pub space: bool,
    /// `#`.
    pub alternate: bool,
    /// `0`.
    pub zero: bool,
    /// The least number of characters.
    pub width: usize,
    /// What comes behind a dot.
    pub precision: Option<usize>,
    /// The letter.
    pub kind: char,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Conversion(Conversion),
}

/// A piece of a format, for those who render it elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// Text as it is.
    Text(&'a str),
    /// An operand, and how it is shown.
    Operand(&'a Conversion),
}

/// A format that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    pieces: Vec<Piece>,
}

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// A conversion that does not exist, or a width that is too large.
    pub fn parse(text: &str) -> Result<Format, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                plain.push(c);
                continue;
            }
            let mut conversion = Conversion::default();
            while let Some(&flag) = chars.peek() {
                match flag {
                    '-' => conversion.left = true,
                    '+' => conversion.plus = true,
                    ' ' => conversion.space = true,
                    '#' => conversion.alternate = true,
                    '0' => conversion.zero = true,
                    _ => break,
                }
                chars.next();
            }
            let mut number = || {
                let mut number = 0usize;
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(digit as usize);
                    chars.next();
                }
                if number <= MAX_PRINT_WIDTH {
                    Ok(number)
                } else {
                    Err(format!("width {number}, the most is {MAX_PRINT_WIDTH}"))
                }
            };
            conversion.width = number()?;
            if chars.peek() == Some(&'.') {
                chars.next();
                let mut number = 0usize;
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(digit as usize);
                    chars.next();
                }
                if number > MAX_PRINT_WIDTH {
                    return Err(format!("precision {number}, the most is {MAX_PRINT_WIDTH}"));
                }
                conversion.precision = Some(number);
            }
            match chars.next() {
                Some('%') => plain.push('%'),
                Some(
                    kind @ ('d' | 'i' | 'u' | 'x' | 'X' | 'o' | 'b' | 'c' | 'f' | 'F' | 'e' | 'E' | 'g' | 'G'
                    | 'p'),
                ) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Conversion(Conversion { kind, ..conversion }));
                }
                Some(other) => {
                    return Err(format!(
                        "found conversion '%{other}', expected one of d i u x X o b c f F e E g G p %"
                    ));
                }
                None => return Err("the format ends inside a conversion".into()),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Format { pieces })
    }

    /// Its pieces, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Conversion(conversion) => Part::Operand(conversion),
        })
    }

    fn conversions(&self) -> impl Iterator<Item = &Conversion> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Conversion(conversion) => Some(conversion),
            Piece::Text(_) => None,
        })
    }

    /// Whether operands of these types are what the conversions take; unknown types fit.
    ///
    /// # Errors
    /// The first operand that does not fit.
    pub fn check(&self, found: &[Type], types: &Types) -> Result<(), String> {
        let wanted = self.conversions().count();
        if wanted != found.len() {
            return Err(format!("the format converts {wanted} operands, {} are given", found.len()));
        }
        for (n, (conversion, &ty)) in self.conversions().zip(found).enumerate() {
            let fits = match conversion.takes() {
                Takes::Int => ty.as_scalar().is_some_and(|s| s.is_int() && s.bits() <= 64),
                Takes::Float => ty.as_scalar().is_some_and(Scalar::is_float),
                Takes::Pointer => ty.is_pointer(),
            };
            if ty.is_known() && !ty.is_generic() && !fits {
                let wanted = match conversion.takes() {
                    Takes::Int => "an integer of at most 64 bits",
                    Takes::Float => "a float",
                    Takes::Pointer => "a pointer",
                };
                let (kind, ty) = (conversion.kind, types.display(ty));
                return Err(format!("operand {} for '%{kind}' has type {ty}, expected {wanted}", n + 1));
            }
        }
        Ok(())
    }

    /// The text for operands: type and bits of each.
    pub fn render(&self, values: &[(Type, u64)]) -> String {
        let mut out = String::new();
        let mut values = values.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Conversion(conversion) => match values.next() {
                    Some(&(ty, bits)) => conversion.render(&mut out, ty, bits),
                    None => out.push('?'),
                },
            }
        }
        out
    }
}

impl Conversion {
    /// Flags, width and precision as C spells them.
    pub fn how(&self) -> String {
        let flags =
            [(self.left, '-'), (self.plus, '+'), (self.space, ' '), (self.alternate, '#'), (self.zero, '0')];
        let mut how: String = flags.iter().filter(|(given, _)| *given).map(|(_, flag)| *flag).collect();
        if self.width > 0 {
            how += &self.width.to_string();
        }
        how.extend(self.precision.map(|precision| format!(".{precision}")));
        how
    }

    fn takes(&self) -> Takes {
        match self.kind {
            'p' => Takes::Pointer,
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' => Takes::Float,
            _ => Takes::Int,
        }
    }

    fn render(&self, out: &mut String, ty: Type, bits: u64) {
        let scalar = ty.as_scalar().unwrap_or(Scalar::I64);
        let bits = bits & scalar.mask() as u64;
        match self.takes() {
            Takes::Int => self.int(out, scalar, bits),
            Takes::Pointer => self.pad(out, "", "0x", &format!("{bits:x}"), false),
            Takes::Float => self.float(out, to_f64(scalar, bits)),
        }
    }

    fn int(&self, out: &mut String, scalar: Scalar, bits: u64) {
        if self.kind == 'c' {
            let c = u32::try_from(bits).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            return self.pad(out, "", "", c.encode_utf8(&mut [0; 4]), false);
        }
        let signed = matches!(self.kind, 'd' | 'i');
        let sign_bit = bits >> (scalar.bits() - 1) & 1 != 0;
        // A truth value is 0 or 1.
        let negative = signed && sign_bit && scalar != Scalar::I1;
        let magnitude = if negative { bits.wrapping_neg() & scalar.mask() as u64 } else { bits };
        let mut digits = match self.kind {
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            'o' => format!("{magnitude:o}"),
            'b' => format!("{magnitude:b}"),
            _ => magnitude.to_string(),
        };
        if let Some(precision) = self.precision {
            if magnitude == 0 && precision == 0 {
                digits.clear();
            }
            digits = format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len())));
        }
        let prefix = match self.kind {
            'x' if self.alternate && magnitude != 0 => "0x",
            'X' if self.alternate && magnitude != 0 => "0X",
            'b' if self.alternate && magnitude != 0 => "0b",
            'o' if self.alternate && !digits.starts_with('0') => "0",
            _ => "",
        };
        let sign = if signed { self.sign(negative) } else { "" };
        self.pad(out, sign, prefix, &digits, self.zero && self.precision.is_none());
    }

    fn sign(&self, negative: bool) -> &'static str {
        match () {
            () if negative => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        }
    }

    fn float(&self, out: &mut String, x: f64) {
        let upper = self.kind.is_ascii_uppercase();
        let case = |text: &str| if upper { text.to_uppercase() } else { text.into() };
        if !x.is_finite() {
            // The sign of a NaN means nothing, but what `+` and space ask for is there (C, 7.21.6.1).
            let sign = self.sign(!x.is_nan() && x.is_sign_negative());
            return self.pad(out, sign, "", &case(if x.is_nan() { "nan" } else { "inf" }), false);
        }
        let (sign, x) = (self.sign(x.is_sign_negative()), x.abs());
        let precision = self.precision.unwrap_or(6);
        let mut digits = match self.kind.to_ascii_lowercase() {
            'e' => exponential(x, precision),
            'g' => self.general(x, precision.max(1)),
            _ => format!("{x:.precision$}"),
        };
        if self.alternate && !digits.contains('.') {
            let end = digits.find('e').unwrap_or(digits.len());
            digits.insert(end, '.');
        }
        self.pad(out, sign, "", &case(&digits), self.zero);
    }

    /// The shorter of the two other forms, trailing zeros removed (C, 7.21.6.1).
    fn general(&self, x: f64, precision: usize) -> String {
        let scientific = exponential(x, precision - 1);
        let exponent: i64 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
        let is_fixed = (-4..precision as i64).contains(&exponent);
        let (digits, tail) = match scientific.split_once('e') {
            _ if is_fixed => {
                (format!("{x:.*}", (precision as i64 - 1 - exponent).max(0) as usize), String::new())
            }
            Some((digits, exponent)) => (digits.into(), format!("e{exponent}")),
            None => (scientific.clone(), String::new()),
        };
        let digits = match digits.contains('.') && !self.alternate {
            true => digits.trim_end_matches('0').trim_end_matches('.'),
            false => &digits,
        };
        format!("{digits}{tail}")
    }

    fn pad(&self, out: &mut String, sign: &str, prefix: &str, digits: &str, zeros: bool) {
        let length = sign.len() + prefix.len() + digits.chars().count();
        let missing = self.width.saturating_sub(length);
        let (before, inside, after) = match () {
            () if self.left => (0, 0, missing),
            () if zeros => (0, missing, 0),
            () => (missing, 0, 0),
        };
        let _ = write!(out, "{:before$}{sign}{prefix}", "");
        out.extend(std::iter::repeat_n('0', inside));
        let _ = write!(out, "{digits}{:after$}", "");
    }
}

/// With at least two digits in the exponent.
fn exponential(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn to_f64(scalar_type: Scalar, bits: u64) -> f64 {
    if scalar_type == Scalar::F64 {
        return f64::from_bits(bits);
    }
    match scalar(Op::FConvert, scalar_type, Scalar::F64, &[bits.into()]) {
        Some(Outcome::Value(bits)) => f64::from_bits(bits as u64),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: &str, values: &[(Type, u64)]) -> String {
        Format::parse(format).unwrap().render(values)
    }

    #[test]
    fn integers_are_written_as_c_does() {
        let int = |format: &str, bits: u64| render(format, &[(Type::I32, bits)]);
        assert_eq!(int("%d", -5i64 as u64), "-5");
        assert_eq!(int("%u", -5i64 as u64), "4294967291");
        assert_eq!(int("%5d|", 42), "   42|");
        assert_eq!(int("%-5d|", 42), "42   |");
        assert_eq!(int("%05d", -42i64 as u64), "-0042");
        assert_eq!(int("%+d", 42), "+42");
        assert_eq!(int("% d", 42), " 42");
        assert_eq!(int("%.4d", 42), "0042");
        assert_eq!(int("%8.4d", 42), "    0042");
        assert_eq!(int("%.0d|", 0), "|");
        assert_eq!(int("%#x", 255), "0xff");
        assert_eq!(int("%#08X", 255), "0X0000FF");
        assert_eq!(int("%#o", 8), "010");
        assert_eq!(int("%b", 5), "101");
        assert_eq!(int("%c%%", 65), "A%");
        assert_eq!(render("%d %d", &[(Type::I64, i64::MIN as u64), (Type::I1, 1)]), "-9223372036854775808 1");
    }

    #[test]
    fn floats_are_written_as_c_does() {
        let float = |format: &str, x: f64| render(format, &[(Type::F64, x.to_bits())]);
        assert_eq!(float("%f", 1.5), "1.500000");
        assert_eq!(float("%.2f", -1.005), "-1.00");
        assert_eq!(float("%08.3f", -1.5), "-001.500");
        assert_eq!(float("%.0f", 2.5), "2");
        assert_eq!(float("%#.0f", 2.5), "2.");
        assert_eq!(float("%#g", 100000.0), "100000.");
        assert_eq!(float("%#g", 1e6), "1.00000e+06");
        assert_eq!(float("%#.1g", 1e6), "1.e+06");
        assert_eq!(float("%#.3g", 0.0), "0.00");
        assert_eq!(float("%+g", 100000.0), "+100000");
        assert_eq!(float("%+f", f64::NAN), "+nan");
        assert_eq!(float("% G", f64::NAN), " NAN");
        assert_eq!(float("%+06f", f64::NAN), "  +nan");
        assert_eq!(float("%f", -f64::NAN), "nan");
        assert_eq!(float("%e", 12345.678), "1.234568e+04");
        assert_eq!(float("%.1E", 1e-100), "1.0E-100");
        assert_eq!(float("%g", 100000.0), "100000");
        assert_eq!(float("%g", 1e6), "1e+06");
        assert_eq!(float("%g", 0.0001), "0.0001");
        assert_eq!(float("%g", 0.00001), "1e-05");
        assert_eq!(float("%.3g", 1234.5), "1.23e+03");
        assert_eq!(float("%#g", 1.0), "1.00000");
        assert_eq!(float("%g", 0.0), "0");
        assert_eq!(float("%F", f64::NEG_INFINITY), "-INF");
        assert_eq!(float("%5f", f64::NAN), "  nan");
        assert_eq!(render("%g", &[(Type::F32, 0.1f32.to_bits().into())]), "0.1");
        assert_eq!(render("%p", &[(Type::pointer(crate::types::Space::Global), 4096)]), "0x1000");
    }

    #[test]
    fn a_reason_is_a_format_if_it_has_operands() {
        assert_eq!(reason("100%", &[]), "100%");
        assert_eq!(reason("%d of %u%%", &[(Type::I32, u64::MAX), (Type::I8, 255)]), "-1 of 255%");
        assert_eq!(reason("%q", &[(Type::I32, 1)]), "%q");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for wrong in ["%", "%q", "%5", "%s", "%5000d", "%.5000f", "%99999999999999999999d"] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
        let format = Format::parse("%d %f").unwrap();
        let types = Types::new();
        assert_eq!(format.check(&[Type::I32, Type::F32], &types), Ok(()));
        assert!(format.check(&[Type::I32], &types).is_err());
        assert!(format.check(&[Type::F32, Type::F32], &types).is_err());
        assert!(format.check(&[Type::I128, Type::F32], &types).is_err());
    }
}
