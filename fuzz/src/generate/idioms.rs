//! Chains that an optimiser has rules for: several ops on one value, with constants, there and back.

use super::body::BodyWriter;
use super::types::{FLOATS, INTS, Ty, constant, literal};
use marquetry_ir::types::{Scalar, Type};

const INT_OPS: [&str; 30] = [
    "add",
    "sub",
    "shl",
    "shr.u",
    "shr.s",
    "and",
    "or",
    "xor",
    "mul",
    "rotl",
    "rotr",
    "min.s",
    "max.s",
    "min.u",
    "max.u",
    "add_sat.s",
    "sub_sat.u",
    "mul_high.u",
    "mul_high.s",
    "div.s",
    "div.u",
    "rem.s",
    "rem.u",
    "add",
    "shl",
    "shr.s",
    "shr.u",
    "and",
    "sub_sat.s",
    "add_sat.u",
];
/// Ops that move or mask bits: rules join them.
const SHIFTS: [&str; 7] = ["shl", "shr.u", "shr.s", "and", "shl", "shr.u", "shr.s"];
const INT_UNARY: [&str; 8] = ["neg", "not", "abs", "byteswap", "bitreverse", "clz", "ctz", "popcnt"];
const FLOAT_OPS: [&str; 12] =
    ["add", "sub", "mul", "div", "min", "max", "min_number", "max_number", "rem", "mul", "add", "sub"];
const FLOAT_UNARY: [&str; 8] =
    ["neg", "abs", "sqrt", "ceil", "floor", "round_zero", "round_even", "round_away"];
const COMPARES: [&str; 10] = ["eq", "ne", "lt.s", "le.s", "gt.s", "ge.s", "lt.u", "le.u", "gt.u", "ge.u"];
const FLOAT_COMPARES: [&str; 14] =
    ["eq", "ne", "lt", "le", "gt", "ge", "one", "ueq", "ult", "ule", "ugt", "uge", "ord", "uno"];

impl BodyWriter<'_, '_, '_, '_> {
    /// A chain of two to four ops, often ended by a comparison and a choice.
    pub fn idiom(&mut self) {
        let is_float = self.choices.chance(1, 3);
        let lanes = if is_float { &FLOATS[..] } else { &INTS[..] };
        let lane = *self.choices.pick(lanes).unwrap_or(&Scalar::I32);
        let ty = super::types::shaped(self.choices, lane);
        let first = self.plain(ty);
        let mut x = first.clone();
        let shifts = !is_float && self.choices.chance(1, 3);
        let list = match () {
            () if is_float => &FLOAT_OPS[..],
            () if shifts => &SHIFTS[..],
            () => &INT_OPS[..],
        };
        // Inverse ops come with the same constant.
        let same = self.simple_constant(ty);
        for _ in 0..self.choices.range(1..4) {
            x = match self.choices.below(8) {
                0..3 if shifts => self.with_constant(&x, &first, ty, list, &same),
                0 => self.there_and_back(&x, ty, lane),
                1 | 2 => {
                    let list = if is_float { &FLOAT_UNARY } else { &INT_UNARY };
                    let op = self.choices.pick(list).copied().unwrap_or("neg");
                    self.value(Ty::Plain(ty), &format!("{op} {x}"))
                }
                _ => self.with_constant(&x, &first, ty, list, &same),
            };
        }
        if self.choices.chance(1, 2) {
            let other = if self.choices.chance(1, 2) { first } else { self.simple_constant(ty) };
            let list = if is_float { &FLOAT_COMPARES[..] } else { &COMPARES[..] };
            let op = self.choices.pick(list).copied().unwrap_or("eq");
            let (a, b) = if self.choices.chance(1, 4) { (&other, &x) } else { (&x, &other) };
            let truth = self.value(Ty::Plain(ty.mask_type()), &format!("{op} {a}, {b}"));
            match self.choices.below(4) {
                0 => {
                    self.value(Ty::Plain(ty), &format!("select {truth}, {x}, {other}"));
                }
                1 => {
                    self.value(Ty::Plain(ty), &format!("select {truth}, {other}, {x}"));
                }
                2 => {
                    self.value(Ty::Plain(ty.mask_type()), &format!("not {truth}"));
                }
                _ => {}
            }
        }
    }

    /// A constant with the same lanes everywhere, small more often than not.
    fn simple_constant(&mut self, ty: Type) -> String {
        let Some(lane) = ty.lane().filter(|lane| lane.is_int()) else {
            return constant(self.choices, &Ty::Plain(ty));
        };
        let bits = match self.choices.chance(2, 3) {
            true => self.choices.below(lane.bits() as usize + 2) as u128,
            false => super::types::bits(self.choices, lane),
        };
        literal(ty, &vec![bits & lane.mask(); ty.lanes() as usize])
    }

    fn with_constant(&mut self, x: &str, first: &str, ty: Type, list: &[&str], same: &str) -> String {
        let op = self.choices.pick(list).copied().unwrap_or("add");
        let divides = ty.is_int() && (op.starts_with("div") || op.starts_with("rem"));
        let mut other = match self.choices.below(6) {
            0 => first.to_string(),
            1 => x.to_string(),
            2 | 3 => same.to_string(),
            _ => self.simple_constant(ty),
        };
        if divides {
            let ones = literal(ty, &vec![1; ty.lanes() as usize]);
            let is_constant = other.contains(' ');
            if !is_constant || other.contains(" 0") || other.contains("[0") {
                other = self.hidden(&format!("or {other}, {ones}"));
            }
        } else if self.choices.chance(1, 5) {
            return self.value(Ty::Plain(ty), &format!("{op} {other}, {x}"));
        }
        self.value(Ty::Plain(ty), &format!("{op} {x}, {other}"))
    }

    /// A conversion and its opposite.
    fn there_and_back(&mut self, x: &str, ty: Type, lane: Scalar) -> String {
        let pool = if lane.is_float() { &FLOATS[..] } else { &INTS[..] };
        let other = *self.choices.pick(pool).unwrap_or(&Scalar::I64);
        let there = ty.with_lane(other);
        let extend =
            |choices: &mut super::choices::Choices| if choices.chance(1, 2) { "zext" } else { "sext" };
        if lane.is_float() {
            if other == lane {
                return x.to_string();
            }
            let middle = self.value(Ty::Plain(there), &format!("fconvert.{there} {x}"));
            return self.value(Ty::Plain(ty), &format!("fconvert.{ty} {middle}"));
        }
        let (forth, back) = match other.bits().cmp(&lane.bits()) {
            std::cmp::Ordering::Less => ("trunc", extend(self.choices)),
            std::cmp::Ordering::Greater => (extend(self.choices), "trunc"),
            std::cmp::Ordering::Equal => {
                let float = *self.choices.pick(&FLOATS).unwrap_or(&Scalar::F32);
                let float = ty.with_lane(float);
                let middle = self.value(Ty::Plain(float), &format!("stof.{float} {x}"));
                return self.value(Ty::Plain(ty), &format!("ftos.{ty} {middle}"));
            }
        };
        let middle = self.value(Ty::Plain(there), &format!("{forth}.{there} {x}"));
        self.value(Ty::Plain(ty), &format!("{back}.{ty} {middle}"))
    }
}
