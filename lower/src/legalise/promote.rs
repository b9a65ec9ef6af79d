//! Ops computed in a wider type and converted back.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use super::soft_float::Format;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use smallvec::smallvec;

/// How an integer operand is widened for an op.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Extension {
    Zeros,
    Sign,
}

impl Legaliser<'_> {
    /// An op on legal types, in terms of the same op on `wider`.
    pub(super) fn promote(
        &mut self,
        ask: Ask,
        args: &[Val],
        results: &[Type],
        wider: Scalar,
    ) -> Option<Vals> {
        if args.iter().any(|arg| arg.ty.is_vector()) || results.iter().any(|ty| ty.is_vector()) {
            return self.by_lanes(ask, args, results);
        }
        let float = args.iter().map(|arg| arg.ty).chain(results.iter().copied()).any(Type::is_float);
        if float {
            return self.promote_float(ask, args, results, wider);
        }
        if results.len() != 1 || !wider.is_int() || args.iter().any(|arg| !arg.ty.is_int()) {
            return self.expand_int(ask, args, results);
        }
        self.promote_int(ask, args, results, Type::scalar(wider))
    }

    fn promote_int(&mut self, ask: Ask, args: &[Val], results: &[Type], wider: Type) -> Option<Vals> {
        let (&first, &result) = (args.first()?, results.first()?);
        if let (Op::Select, &[condition, yes, no]) = (ask.op, args) {
            let (yes, no) = (self.zext(wider, yes), self.zext(wider, no));
            let chosen = self.select(condition, yes, no);
            return Some(smallvec![self.trunc(result, chosen)]);
        }
        let (bits, wide_bits) = (first.ty.bits()?, wider.bits()?);
        if first.ty == Type::I1 || wide_bits <= bits {
            return self.expand_int(ask, args, results);
        }
        let extension = match ask.op {
            Op::ShrS
            | Op::DivS
            | Op::RemS
            | Op::MinS
            | Op::MaxS
            | Op::Abs
            | Op::LtS
            | Op::LeS
            | Op::GtS
            | Op::GeS => Extension::Sign,
            Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Neg
            | Op::And
            | Op::Or
            | Op::Xor
            | Op::Not
            | Op::Shl
            | Op::ShrU
            | Op::DivU
            | Op::RemU
            | Op::MinU
            | Op::MaxU
            | Op::Eq
            | Op::Ne
            | Op::LtU
            | Op::LeU
            | Op::GtU
            | Op::GeU
            | Op::Clz
            | Op::Ctz
            | Op::PopCount
            | Op::BitReverse
            | Op::ByteSwap => Extension::Zeros,
            // What has a formula is not worth more cases.
            _ => return self.expand_int(ask, args, results),
        };
        let widen = if extension == Extension::Sign { Op::Sext } else { Op::Zext };
        let mut wide: Vec<Val> = Vec::new();
        for &arg in args {
            wide.push(self.convert(widen, wider, arg));
        }
        if matches!(ask.op, Op::Shl | Op::ShrU | Op::ShrS) {
            // The count is taken modulo the narrow width.
            let mask = self.int(wider, u128::from(bits - 1));
            let count = self.and(*wide.get(1)?, mask);
            *wide.get_mut(1)? = count;
        }
        if ask.op == Op::Ctz {
            // A bit just above the narrow ones ends the search.
            let stop = self.int(wider, 1 << bits);
            let value = self.or(*wide.first()?, stop);
            *wide.first_mut()? = value;
        }
        let val = self.one(Ask { ty: Type::UNKNOWN, ..ask }, &wide);
        let extra = wide_bits - bits;
        let val = match ask.op {
            Op::Clz => {
                let extra = self.int(wider, u128::from(extra));
                self.sub(val, extra)
            }
            Op::BitReverse | Op::ByteSwap => self.shift(Op::ShrU, val, extra),
            _ => val,
        };
        Some(smallvec![if result == Type::I1 { val } else { self.trunc(result, val) }])
    }

    /// Where the wider type has more than twice the precision and two bits, rounding twice is rounding once for
    /// sums, products, quotients and square roots; everything else here is exact. The rest has code of its own.
    fn promote_float(&mut self, ask: Ask, args: &[Val], results: &[Type], wider: Scalar) -> Option<Vals> {
        let wide = Type::scalar(wider);
        let (&first, &result) = (args.first()?, results.first()?);
        let to_int = matches!(ask.op, Op::FToS | Op::FToU);
        if !wider.is_float() || !(promotes(ask.op, result) || to_int) {
            return match ask.op {
                Op::Fma if first.ty == Type::F32 && wider == Scalar::F64 => {
                    Some(smallvec![self.fma_in_double(args)?])
                }
                Op::SToF | Op::UToF if self.rounds_once(first.ty, wide, result) => {
                    let val = self.convert(ask.op, wide, first);
                    Some(smallvec![self.convert(Op::FConvert, result, val)])
                }
                _ => self.expand_float(ask, args, results),
            };
        }
        if first.ty == wide {
            return None;
        }
        let mut operands: Vec<Val> = Vec::new();
        for &arg in args {
            operands.push(self.convert(Op::FConvert, wide, arg));
        }
        let val = self.one(ask, &operands);
        Some(smallvec![if result.is_float() { self.convert(Op::FConvert, result, val) } else { val }])
    }
}

impl Legaliser<'_> {
    /// Whether an integer may become a float by way of a wider one: the first step is exact, or, into binary16,
    /// infinite in the end wherever it is not.
    pub(super) fn rounds_once(&self, from: Type, by_way_of: Type, to: Type) -> bool {
        let (Some(format), Some(bits)) = (Format::of(by_way_of), from.bits()) else { return false };
        by_way_of != to && (bits <= format.precision || to == Type::F16)
    }
}

/// Whether an op on floats may be computed in a wider type: its result is then exact, or rounds the same.
pub(super) fn promotes(op: Op, result: Type) -> bool {
    let simple = matches!(
        op,
        Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Div
            | Op::Rem
            | Op::Sqrt
            | Op::Min
            | Op::Max
            | Op::MinNumber
            | Op::MaxNumber
            | Op::Ceil
            | Op::Floor
            | Op::RoundZero
            | Op::RoundEven
            | Op::RoundAway
    );
    simple || result == Type::I1
}
