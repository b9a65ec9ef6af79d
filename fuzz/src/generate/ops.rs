//! One instruction without control flow, by the rule that the op table gives.

use super::body::BodyWriter;
use super::types::{FLOATS, INTS, Ty, plain, shaped};
use marquetry_ir::op::{Op, Rule, Shape};
use marquetry_ir::types::{Scalar, Type};

/// The ops that compute values from values.
pub fn is_scalar_op(op: Op) -> bool {
    use Rule::*;
    matches!(
        op.info().rule,
        SameNumber
            | SameInt
            | SameBits
            | SameFloat
            | Overflow
            | CompareAny
            | CompareInt
            | CompareFloat
            | Select
            | Truncate
            | Extend
            | FloatConvert
            | FloatToInt
            | IntToFloat
            | Bitcast
            | Splat
            | Extract
            | Insert
            | Shuffle
            | ReduceNumber
            | ReduceInt
            | ReduceBits
            | ReduceFloat
            | Make
            | GetField
            | SetField
            | BoundsCheck
    )
}

impl BodyWriter<'_, '_, '_, '_> {
    /// One instruction that computes, of any op.
    pub fn compute(&mut self) {
        let mut n = self.choices.below(Op::ALL.len());
        while !is_scalar_op(Op::ALL[n]) {
            n = (n + 1) % Op::ALL.len();
        }
        self.compute_op(Op::ALL[n]);
    }

    /// A lane of these, in a type that values in scope have, if possible.
    fn number(&mut self, fits: impl Fn(Scalar) -> bool, lanes: &[Scalar]) -> Type {
        if self.choices.chance(3, 4) {
            let fitting: Vec<Type> = self
                .scope
                .iter()
                .filter_map(|(_, ty)| ty.plain())
                .filter(|ty| ty.lane().is_some_and(&fits))
                .collect();
            if let Some(&ty) = self.choices.pick(&fitting) {
                return ty;
            }
        }
        let lane = *self.choices.pick(lanes).unwrap_or(&Scalar::I32);
        shaped(self.choices, lane)
    }

    fn int(&mut self) -> Type {
        self.number(|lane| lane.is_int() && lane != Scalar::I1, &INTS)
    }

    fn float(&mut self) -> Type {
        self.number(Scalar::is_float, &FLOATS)
    }

    fn vector(&mut self, class: &[Scalar]) -> Type {
        let scope = self.scope.iter().filter_map(|(_, ty)| ty.plain());
        let fitting: Vec<Type> = scope
            .filter(|ty| ty.is_vector() && ty.lane().is_some_and(|lane| class.contains(&lane)))
            .collect();
        if self.choices.chance(2, 3)
            && let Some(&ty) = self.choices.pick(&fitting)
        {
            return ty;
        }
        let lane = *self.choices.pick(class).unwrap_or(&Scalar::I32);
        Type::vector(lane, [4, 2, 8, 16][self.choices.below(4)]).unwrap_or(Type::I32)
    }

    fn simple(&mut self, op: Op, ty: Type, result: Type) {
        let count = match op.info().shape {
            Shape::Unary | Shape::Convert => 1,
            Shape::Binary => 2,
            _ => 3,
        };
        let mut operands: Vec<String> = (0..count).map(|_| self.plain(ty)).collect();
        // Most divisors are odd, so that most programs do more than throw.
        let divides = matches!(op, Op::DivS | Op::DivU | Op::RemS | Op::RemU);
        if divides && !self.choices.chance(1, 8) {
            let ones = super::types::literal(ty, &vec![1; ty.lanes() as usize]);
            operands[1] = self.hidden(&format!("or {}, {ones}", operands[1]));
        }
        // The sign of a NaN is not defined.
        if op == Op::CopySign {
            operands[1] = self.without_nan(&operands[1], ty);
        }
        let operands = operands.join(", ");
        if op.info().rule == Rule::Overflow {
            let (a, b) = (self.fresh("v"), self.fresh("v"));
            self.line(&format!("{a}, {b} = {op} {operands}"));
            self.scope.push((a, Ty::Plain(ty)));
            self.scope.push((b, Ty::Plain(ty.mask_type())));
            return;
        }
        self.value(Ty::Plain(result), &format!("{op} {operands}"));
    }

    /// The value, 0 where it is NaN.
    fn without_nan(&mut self, operand: &str, ty: Type) -> String {
        let nan = self.hidden(&format!("uno {operand}, {operand}"));
        let zero = super::types::literal(ty, &vec![0; ty.lanes() as usize]);
        self.hidden(&format!("select {nan}, {zero}, {operand}"))
    }

    fn convert(&mut self, op: Op, from: Type, to: Scalar) {
        let operand = self.plain(from);
        let to = from.with_lane(to);
        self.value(Ty::Plain(to), &format!("{op}.{to} {operand}"));
    }

    fn lanes_of(&mut self, class: &[Scalar], fits: impl Fn(&Scalar) -> bool) -> Option<Scalar> {
        let fitting: Vec<Scalar> = class.iter().copied().filter(fits).collect();
        self.choices.pick(&fitting).copied()
    }

    fn compute_op(&mut self, op: Op) {
        const BITS: [Scalar; 6] =
            [Scalar::I32, Scalar::I1, Scalar::I64, Scalar::I8, Scalar::I16, Scalar::I128];
        match op.info().rule {
            Rule::SameNumber => {
                let ty = if self.choices.chance(1, 2) { self.float() } else { self.int() };
                self.simple(op, ty, ty);
            }
            Rule::SameInt | Rule::Overflow => {
                let ty = self.int();
                self.simple(op, ty, ty);
            }
            Rule::SameBits => {
                let ty = self.number(Scalar::is_int, &BITS);
                self.simple(op, ty, ty);
            }
            Rule::SameFloat => {
                let ty = self.float();
                self.simple(op, ty, ty);
            }
            Rule::CompareAny => {
                let ty = self.number(|_| true, &Scalar::ALL);
                self.simple(op, ty, ty.mask_type());
            }
            Rule::CompareInt => {
                let ty = self.int();
                self.simple(op, ty, ty.mask_type());
            }
            Rule::CompareFloat => {
                let ty = self.float();
                self.simple(op, ty, ty.mask_type());
            }
            Rule::Select => {
                let ty = self.any_type();
                let lanewise = ty.plain().filter(|ty| ty.is_vector()).filter(|_| self.choices.chance(1, 2));
                let condition = self.plain(lanewise.map_or(Type::I1, Type::mask_type));
                let (a, b) = (self.operand(&ty), self.operand(&ty));
                self.value(ty, &format!("select {condition}, {a}, {b}"));
            }
            Rule::Truncate => {
                let from = self.int();
                let bits = from.lane().map_or(0, Scalar::bits);
                if let Some(to) = self.lanes_of(&BITS, |lane| lane.bits() < bits) {
                    self.convert(op, from, to);
                }
            }
            Rule::Extend => {
                let from = self.number(Scalar::is_int, &BITS);
                let bits = from.lane().map_or(0, Scalar::bits);
                if let Some(to) = self.lanes_of(&BITS, |lane| lane.bits() > bits) {
                    self.convert(op, from, to);
                }
            }
            Rule::FloatConvert => {
                let from = self.float();
                if let Some(to) = self.lanes_of(&FLOATS, |&lane| Some(lane) != from.lane()) {
                    self.convert(op, from, to);
                }
            }
            Rule::FloatToInt => {
                let from = self.float();
                let to = *self.choices.pick(&INTS).unwrap_or(&Scalar::I32);
                self.convert(op, from, to);
            }
            Rule::IntToFloat => {
                let from = self.int();
                let to = *self.choices.pick(&FLOATS).unwrap_or(&Scalar::F32);
                self.convert(op, from, to);
            }
            Rule::Bitcast => self.bitcast(),
            Rule::Splat => {
                let ty = self.vector(&Scalar::ALL);
                let operand = self.plain(Type::scalar(ty.lane().unwrap_or(Scalar::I32)));
                self.value(Ty::Plain(ty), &format!("splat.{ty} {operand}"));
            }
            Rule::Extract | Rule::Insert => {
                let ty = self.vector(&Scalar::ALL);
                let lane = Type::scalar(ty.lane().unwrap_or(Scalar::I32));
                let operand = self.plain(ty);
                let index_type = Type::scalar(*self.choices.pick(&INTS).unwrap_or(&Scalar::I32));
                let index = self.plain(index_type);
                if op == Op::Extract {
                    self.value(Ty::Plain(lane), &format!("extract {operand}, {index}"));
                } else {
                    let x = self.plain(lane);
                    self.value(Ty::Plain(ty), &format!("insert {operand}, {x}, {index}"));
                }
            }
            Rule::Shuffle => {
                let ty = self.vector(&Scalar::ALL);
                let (a, b) = (self.plain(ty), self.plain(ty));
                let lanes = [4, 2, 8, 16][self.choices.below(4)];
                let mask: Vec<String> =
                    (0..lanes).map(|_| self.choices.below(ty.lanes() as usize * 2).to_string()).collect();
                if let Some(result) = ty.lane().and_then(|lane| Type::vector(lane, lanes)) {
                    self.value(Ty::Plain(result), &format!("shuffle {a}, {b}, [{}]", mask.join(", ")));
                }
            }
            Rule::ReduceNumber => {
                let ty = self.vector(&[&INTS[..], &FLOATS].concat());
                self.simple(op, ty, Type::scalar(ty.lane().unwrap_or(Scalar::I32)));
            }
            Rule::ReduceInt => {
                let ty = self.vector(&INTS);
                self.simple(op, ty, Type::scalar(ty.lane().unwrap_or(Scalar::I32)));
            }
            Rule::ReduceBits => {
                let ty = self.vector(&BITS);
                self.simple(op, ty, Type::scalar(ty.lane().unwrap_or(Scalar::I32)));
            }
            Rule::ReduceFloat => {
                let ty = self.vector(&FLOATS);
                self.simple(op, ty, Type::scalar(ty.lane().unwrap_or(Scalar::F32)));
            }
            Rule::Make | Rule::GetField | Rule::SetField => self.aggregate(op),
            Rule::BoundsCheck => {
                let ty = Type::scalar(*self.choices.pick(&INTS).unwrap_or(&Scalar::I32));
                let index = self.plain(ty);
                let index = match self.choices.chance(1, 8) {
                    true => index,
                    false => self.hidden(&format!("and {index}, {ty} 7")),
                };
                let bound = if self.choices.chance(1, 8) { self.plain(ty) } else { format!("{ty} 8") };
                self.value(Ty::Plain(ty), &format!("bounds_check {index}, {bound}"));
            }
            _ => {}
        }
    }

    fn aggregate(&mut self, op: Op) {
        let Some(ty) = self.choices.pick(&self.world.aggregates).cloned() else { return };
        let field = self.choices.below(ty.fields());
        match op {
            Op::Make => {
                let fields: Vec<String> = (0..ty.fields()).map(|n| self.operand(&ty.field(n))).collect();
                let text = format!("make.{} {}", ty.text(), fields.join(", "));
                self.value(ty, text.trim_end());
            }
            Op::GetField => {
                let operand = self.operand(&ty);
                self.value(ty.field(field), &format!("get {operand}, {field}"));
            }
            _ => {
                let (operand, x) = (self.operand(&ty), self.operand(&ty.field(field)));
                self.value(ty, &format!("set {operand}, {x}, {field}"));
            }
        }
    }

    /// A bitcast; of floats only where no NaN shows its bits.
    fn bitcast(&mut self) {
        let from = match self.choices.below(3) {
            0 => self.int(),
            1 => self.float(),
            _ => plain(self.choices),
        };
        let (Some(lane), Some(bits)) = (from.lane(), from.bits()) else { return };
        if lane == Scalar::I1 {
            return;
        }
        let all: Vec<Type> = Scalar::ALL
            .iter()
            .filter(|&&to| to != Scalar::I1)
            .flat_map(|&to| [1, 2, 4, 8, 16].map(|n| Type::vector(to, n).unwrap_or(Type::scalar(to))))
            .filter(|ty| ty.bits() == Some(bits))
            .collect();
        let Some(&to) = self.choices.pick(&all) else { return };
        let mut operand = self.plain(from);
        if lane.is_float() {
            operand = self.without_nan(&operand, from);
        }
        self.value(Ty::Plain(to), &format!("bitcast.{to} {operand}"));
    }
}
