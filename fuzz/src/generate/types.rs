//! Types of generated programs, and constants of them.

use super::choices::Choices;
use marquetry::value::write_lane;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use std::fmt::Write;
use std::rc::Rc;

/// A type as the generator knows it: it writes text, so arrays and structs have no rows in a table.
#[derive(Clone, PartialEq, Debug)]
pub enum Ty {
    /// A scalar, vector or pointer.
    Plain(Type),
    /// `array<element, length>`.
    Array(Rc<Ty>, u64),
    /// A struct: its name, and the types of its fields.
    Struct(Rc<str>, Rc<[Ty]>),
}

impl Ty {
    /// The spelling.
    pub fn text(&self) -> String {
        match self {
            Ty::Plain(ty) => ty.to_string(),
            Ty::Array(element, length) => format!("array<{}, {length}>", element.text()),
            Ty::Struct(name, _) => name.to_string(),
        }
    }

    /// The scalar or vector type; none for aggregates.
    pub fn plain(&self) -> Option<Type> {
        match self {
            Ty::Plain(ty) => Some(*ty),
            _ => None,
        }
    }

    /// How many fields or elements.
    pub fn fields(&self) -> usize {
        match self {
            Ty::Plain(_) => 0,
            Ty::Array(_, length) => *length as usize,
            Ty::Struct(_, fields) => fields.len(),
        }
    }

    /// The type of a field or element.
    pub fn field(&self, n: usize) -> Ty {
        match self {
            Ty::Plain(_) => self.clone(),
            Ty::Array(element, _) => (**element).clone(),
            Ty::Struct(_, fields) => fields.get(n).cloned().unwrap_or(Ty::Plain(Type::I32)),
        }
    }
}

/// Integers, `i1` excluded.
pub const INTS: [Scalar; 5] = [Scalar::I32, Scalar::I64, Scalar::I8, Scalar::I16, Scalar::I128];
/// Floats.
pub const FLOATS: [Scalar; 4] = [Scalar::F32, Scalar::F64, Scalar::F16, Scalar::BF16];

/// Any scalar; the usual ones more often.
pub fn scalar(choices: &mut Choices) -> Scalar {
    use Scalar::*;
    const WEIGHTED: [Scalar; 16] =
        [I32, I64, I32, F32, F64, I8, I16, I128, I1, F16, BF16, I32, I64, F32, I8, I16];
    *choices.pick(&WEIGHTED).unwrap_or(&I32)
}

/// A vector type now and then, else the scalar.
pub fn shaped(choices: &mut Choices, lane: Scalar) -> Type {
    let lanes = if choices.chance(1, 8) { [4, 2, 8, 16][choices.below(4)] } else { 1 };
    Type::vector(lane, lanes).unwrap_or(Type::scalar(lane))
}

/// Any scalar or vector type.
pub fn plain(choices: &mut Choices) -> Type {
    let lane = scalar(choices);
    shaped(choices, lane)
}

/// Bits of a scalar that are likely to be interesting.
pub fn bits(choices: &mut Choices, scalar: Scalar) -> u128 {
    let width = scalar.bits();
    let top = 1u128 << (width - 1);
    let small = choices.below(20) as u128;
    if scalar == Scalar::I1 {
        return small & 1;
    }
    let bits = if scalar.is_int() {
        match choices.below(10) {
            0..3 => small,
            3 => (small + 1).wrapping_neg(),
            4 => top.wrapping_add(small % 3).wrapping_sub(1),
            5 => (1u128 << (choices.below(width as usize) as u32)).wrapping_sub(small % 3),
            6 => choices.bits() & Scalar::I8.mask(),
            7 => scalar.mask() >> (small % 4),
            _ => choices.bits(),
        }
    } else {
        let fraction = match scalar {
            Scalar::F16 => 10,
            Scalar::BF16 => 7,
            Scalar::F32 => 23,
            _ => 52,
        };
        let infinity = (scalar.mask() >> 1) >> fraction << fraction;
        let one = (infinity >> 1) >> fraction << fraction;
        let sign = if choices.chance(1, 3) { top } else { 0 };
        sign | match choices.below(10) {
            0 => one,
            1 => 0,
            2 => infinity,
            3 => infinity | (1 << (fraction - 1)),
            4 => small,
            // Small whole numbers and halves, and what lies next to them.
            5 | 6 => {
                let exponent = (one >> fraction) + small % 12;
                (exponent << fraction) | ((small * 0x9E37) & 7) << (fraction - 3)
            }
            7 => infinity.wrapping_sub(1 + small % 3),
            8 => (one + ((small % 5) << fraction)).wrapping_sub(small % 2),
            _ => choices.bits() & (top - 1),
        }
    };
    bits & scalar.mask()
}

/// An operand: a constant of a type.
pub fn constant(choices: &mut Choices, ty: &Ty) -> String {
    match ty {
        Ty::Plain(plain) => {
            // Long vectors repeat: they should not use up the input.
            let lane = plain.lane().unwrap_or(Scalar::I64);
            let own: Vec<u128> = (0..plain.lanes().min(3)).map(|_| bits(choices, lane)).collect();
            let lanes: Vec<u128> = own.iter().copied().cycle().take(plain.lanes() as usize).collect();
            literal(*plain, &lanes)
        }
        _ => format!("{} zero", ty.text()),
    }
}

/// The literal of a scalar or vector.
pub fn literal(ty: Type, lanes: &[u128]) -> String {
    let mut text = format!("{ty} ");
    let lane = match ty.kind() {
        TypeKind::Scalar(lane) | TypeKind::Vector(lane, _) => lane,
        _ => return text + "null",
    };
    if ty.is_vector() {
        text.push('[');
    }
    for (n, &bits) in lanes.iter().enumerate() {
        text.push_str(if n == 0 { "" } else { ", " });
        let _ = write_lane(&mut text, lane, bits);
    }
    if ty.is_vector() {
        text.push(']');
    }
    let _ = write!(text, "");
    text
}
