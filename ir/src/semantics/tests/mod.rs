//! Edge cases by table; whole ranges and random operands against formulas written another way.

mod ints;
mod floats;
mod rounding;
mod vectors;

use super::*;
use crate::types::Type;
use Scalar::*;

const INTS: [Scalar; 5] = [I8, I16, I32, I64, I128];
const FLOATS: [Scalar; 4] = [F16, BF16, F32, F64];

/// A small generator of repeatable numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bits of a type: often near zero, near a power of two or near an end of the range.
    fn bits(&mut self, ty: Scalar) -> u128 {
        let raw = u128::from(self.next()) << 64 | u128::from(self.next());
        let small = raw % 5;
        let power = 1u128 << ((raw >> 8) % u128::from(ty.bits()));
        let bits = match self.next() % 6 {
            0 => small,
            1 => small.wrapping_neg(),
            2 => power.wrapping_add(small).wrapping_sub(2),
            3 => power.wrapping_sub(1) << (small * 3),
            _ => raw,
        };
        bits & ty.mask()
    }
}

fn value(op: Op, operand: Scalar, result: Scalar, args: &[u128]) -> u128 {
    match scalar(op, operand, result, args) {
        Some(Outcome::Value(bits)) => bits,
        other => panic!("{op} {operand:?} -> {result:?} {args:x?} gives {other:?}"),
    }
}

fn same(op: Op, ty: Scalar, args: &[u128]) -> u128 {
    value(op, ty, ty, args)
}

fn vec4(lane: Scalar) -> Type {
    Type::vector(lane, 4).unwrap()
}

#[test]
fn nothing_panics_and_results_fit() {
    let mut random = Random(5);
    for &op in Op::ALL {
        for from in Scalar::ALL {
            for to in Scalar::ALL {
                for count in 0..4 {
                    for _ in 0..3 {
                        let args: Vec<u128> = (0..count).map(|_| random.bits(from)).collect();
                        let outcome = scalar(op, from, to, &args);
                        if let (Some(Outcome::Value(bits) | Outcome::Pair(bits, _)), true) =
                            (outcome, from == to)
                        {
                            let pointer = matches!(op, Op::PtrAdd | Op::PtrToInt | Op::IntToPtr);
                            assert!(pointer || bits & !to.mask() == 0, "{op} {from:?} {args:x?} {bits:x}");
                        }
                        let slices: Vec<&[u128]> = args.iter().map(std::slice::from_ref).collect();
                        lanewise(op, Type::scalar(from), Type::scalar(to), &slices);
                        lanewise(op, vec4(from), vec4(to), &slices);
                    }
                }
            }
        }
    }
}

#[test]
fn every_pure_number_op_is_defined_for_every_type_it_takes() {
    use crate::op::Rule;
    for &op in Op::ALL {
        let (numbers, operands): (&[Scalar], usize) = match op.info().rule {
            Rule::SameNumber => (&Scalar::ALL[1..], 0),
            Rule::SameInt | Rule::Overflow | Rule::CompareInt | Rule::BoundsCheck => (&INTS, 0),
            Rule::SameBits | Rule::CompareAny => (&Scalar::ALL[..6], 0),
            Rule::SameFloat | Rule::CompareFloat => (&FLOATS, 0),
            Rule::Select => (&Scalar::ALL, 3),
            _ => continue,
        };
        let operands = match op.info().shape {
            _ if operands != 0 => operands,
            crate::op::Shape::Unary => 1,
            crate::op::Shape::Ternary => 3,
            _ => 2,
        };
        for &ty in numbers {
            assert!(scalar(op, ty, ty, &vec![1; operands]).is_some(), "{op} {ty:?}");
        }
    }
}
