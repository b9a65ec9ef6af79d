//! The ops that expansions are written in, by name; and what constants settle, so that formulas may be written
//! without thinking of special cases.

use super::Legaliser;
use super::emit::Ask;
use super::held::Val;
use marquetry_ir::op::Op;
use marquetry_ir::semantics::vector::lane_scalar;
use marquetry_ir::semantics::{Outcome, scalar};
use marquetry_ir::types::{Scalar, Type};
use smallvec::SmallVec;

macro_rules! formulas {
    ($($name:ident = $op:ident),* $(,)?) => {
        /// The ops that expansions are written in, by name.
        impl Legaliser<'_> {
            $(pub(super) fn $name(&mut self, a: Val, b: Val) -> Val { self.op(Op::$op, &[a, b]) })*
        }
    };
}

formulas! {
    add = Add, sub = Sub, mul = Mul, and = And, or = Or, xor = Xor, shl = Shl, shr_u = ShrU,
    eq = Eq, ne = Ne, lt_s = LtS, gt_s = GtS, ge_s = GeS, lt_u = LtU, gt_u = GtU, ge_u = GeU,
    min_s = MinS, max_s = MaxS, max_u = MaxU,
    lt = Lt, gt = Gt, ge = Ge, one_of = One, uno = Uno,
}

impl Legaliser<'_> {
    pub(super) fn not(&mut self, a: Val) -> Val {
        self.op(Op::Not, &[a])
    }

    pub(super) fn select(&mut self, condition: Val, yes: Val, no: Val) -> Val {
        self.op(Op::Select, &[condition, yes, no])
    }

    pub(super) fn zext(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Zext, ty, a)
    }

    pub(super) fn sext(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Sext, ty, a)
    }

    pub(super) fn trunc(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Trunc, ty, a)
    }

    pub(super) fn bitcast(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Bitcast, ty, a)
    }

    /// An integer in another width: low bits, or filled with zeros.
    pub(super) fn resize(&mut self, ty: Type, a: Val) -> Val {
        let bits = |ty: Type| ty.lane().map_or(64, Scalar::bits);
        if bits(ty) < bits(a.ty) { self.trunc(ty, a) } else { self.zext(ty, a) }
    }

    /// Shifts by a constant.
    pub(super) fn shift(&mut self, op: Op, a: Val, count: u32) -> Val {
        let count = self.int(a.ty, u128::from(count));
        self.op(op, &[a, count])
    }

    /// Whether a signed integer is below zero.
    pub(super) fn negative(&mut self, a: Val) -> Val {
        let zero = self.int(a.ty, 0);
        self.lt_s(a, zero)
    }
}

/// Folding.
impl Legaliser<'_> {
    /// The result of an op, if constants settle it.
    pub(super) fn fold(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Val> {
        let &[result] = results else { return None };
        let (first, second) = (*args.first()?, args.get(1).copied());
        if ask.op == Op::Select {
            let (yes, no) = (second?, *args.get(2)?);
            return match self.const_bits(first) {
                Some(0) => Some(no),
                Some(_) => Some(yes),
                None => (self.leaves(yes) == self.leaves(no)).then_some(yes),
            };
        }
        if ask.op == Op::Bitcast && first.ty == result {
            return Some(first);
        }
        if result.is_vector() || !ask.op.effects().is_pure() && !ask.guarded {
            return None;
        }
        let mut bits: SmallVec<[Option<u128>; 4]> = SmallVec::new();
        for &arg in args {
            bits.push(self.const_bits(arg));
        }
        if let Some(bits) = bits.iter().copied().collect::<Option<SmallVec<[u128; 4]>>>() {
            let (from, to) = (lane_scalar(first.ty)?, lane_scalar(result)?);
            if result.is_pointer() || first.ty.is_pointer() {
                return None;
            }
            return match scalar(ask.op, from, to, &bits)? {
                Outcome::Value(bits) => Some(self.int(result, bits)),
                Outcome::Pair(..) | Outcome::Throws(_) => None,
            };
        }
        if !first.ty.is_int() {
            return None;
        }
        let ones = first.ty.lane().map_or(0, Scalar::mask);
        let width = u128::from(first.ty.bits().unwrap_or(1));
        match (ask.op, bits.first().copied().flatten(), bits.get(1).copied().flatten()) {
            (Op::Add | Op::Or | Op::Xor, Some(0), _) => second,
            (Op::Add | Op::Sub | Op::Or | Op::Xor, _, Some(0)) => Some(first),
            (Op::Shl | Op::ShrU | Op::ShrS, _, Some(count)) if count % width == 0 => Some(first),
            (Op::And | Op::Mul | Op::Shl | Op::ShrU, Some(0), _) => Some(first),
            (Op::And | Op::Mul, _, Some(0)) => second,
            (Op::And, Some(bits), _) if bits == ones => second,
            (Op::And, _, Some(bits)) if bits == ones => Some(first),
            (Op::Mul, Some(1), _) => second,
            (Op::Mul, _, Some(1)) => Some(first),
            _ => None,
        }
    }
}
