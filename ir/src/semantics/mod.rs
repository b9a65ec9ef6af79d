//! What every scalar and vector op computes: the one definition, shared by the interpreter and constant folding.
//!
//! A scalar is a `u128` that holds its bits, the bits above its width being zero; a float is its bit pattern, a
//! truth value 0 or 1, a pointer its address (as an `i64`). Vectors are slices of such lanes.
//!
//! Floats round to nearest, ties to even, exactly once per op. An op that makes a NaN makes the positive quiet NaN
//! with no payload, so that runs repeat; `neg`, `abs`, `copy_sign`, `select` and `bitcast` move bits as they are.
//!
//! [`scalar`] knows all ops that compute one scalar per lane, [`lanewise`] those on vectors too. Both
//! return none for ops that touch memory, control, work-items or aggregates, and for operands that do not fit.

pub mod convert;
pub mod float;
pub mod int;
pub mod vector;

pub use vector::{LaneOutcome, const_from_lanes, const_lanes, lanewise};

use crate::exception::Exception;
use crate::op::Op;
use crate::types::Scalar;
use std::cmp::Ordering;

/// What a scalar op does.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It computes this.
    Value(u128),
    /// It computes this, and whether that overflowed.
    Pair(u128, bool),
    /// It throws.
    Throws(Exception),
}

/// Computes one scalar op.
///
/// `operand` is the type of the first operand, for `select` that of the second; `result` that of the first
/// result. Pointers count as `i64`. None for ops that are no scalar computation (see the module) and for operands
/// that do not fit the op.
#[inline]
pub fn scalar(op: Op, operand: Scalar, result: Scalar, args: &[u128]) -> Option<Outcome> {
    let ty = operand;
    let value = |bits| Some(Outcome::Value(bits));
    let maybe = |bits: Option<u128>| bits.map(Outcome::Value);
    let truth = |holds: bool| Some(Outcome::Value(u128::from(holds)));
    let pair = |(bits, overflowed)| Some(Outcome::Pair(bits, overflowed));
    let one = || if let [a] = *args { Some(a) } else { None };
    let two = || if let [a, b] = *args { Some((a, b)) } else { None };
    let ints = || if ty.is_int() { two() } else { None };
    let int = || if ty.is_int() { one() } else { None };
    // Signed operands, as the integers that they are.
    let signed = || ints().map(|(a, b)| (int::signed(ty, a), int::signed(ty, b)));
    let order = || two().and_then(|(a, b)| ty.is_float().then(|| float::compare(ty, a, b)));

    match op {
        Op::Add if ty.is_float() => maybe(two().and_then(|(a, b)| float::add(ty, a, b))),
        Op::Add => ints().and_then(|(a, b)| value(int::wrap(ty, a.wrapping_add(b)))),
        Op::Sub if ty.is_float() => maybe(two().and_then(|(a, b)| float::sub(ty, a, b))),
        Op::Sub => ints().and_then(|(a, b)| value(int::wrap(ty, a.wrapping_sub(b)))),
        Op::Mul if ty.is_float() => maybe(two().and_then(|(a, b)| float::mul(ty, a, b))),
        Op::Mul => ints().and_then(|(a, b)| value(int::wrap(ty, a.wrapping_mul(b)))),
        Op::Neg if ty.is_float() => value(one()? ^ float::sign_bit(ty)),
        Op::Neg => value(int::wrap(ty, int()?.wrapping_neg())),
        Op::Abs if ty.is_float() => value(one()? & !float::sign_bit(ty)),
        Op::Abs => value(int::wrap(ty, int::signed(ty, int()?).unsigned_abs())),
        Op::Div => maybe(two().and_then(|(a, b)| float::div(ty, a, b))),
        Op::Rem => maybe(two().and_then(|(a, b)| float::rem(ty, a, b))),
        Op::DivS => signed().map(|(a, b)| int::div_s(ty, a, b)),
        Op::DivU => ints().map(|(a, b)| int::checked(a.checked_div(b))),
        Op::RemS => signed().map(|(a, b)| int::rem_s(ty, a, b)),
        Op::RemU => ints().map(|(a, b)| int::checked(a.checked_rem(b))),
        Op::MulHighS => signed().and_then(|(a, b)| value(int::mul_high_s(ty, a, b))),
        Op::MulHighU => ints().and_then(|(a, b)| value(int::mul_high_u(ty, a, b))),
        Op::AddSatS => signed().and_then(|(a, b)| value(int::clamp_s(ty, a.saturating_add(b)))),
        Op::AddSatU => ints().and_then(|(a, b)| value(a.saturating_add(b).min(ty.mask()))),
        Op::SubSatS => signed().and_then(|(a, b)| value(int::clamp_s(ty, a.saturating_sub(b)))),
        Op::SubSatU => ints().and_then(|(a, b)| value(a.saturating_sub(b))),
        Op::AddOverflowS => signed().and_then(|(a, b)| pair(int::fit_s(ty, a.overflowing_add(b)))),
        Op::AddOverflowU => ints().and_then(|(a, b)| pair(int::fit_u(ty, a.overflowing_add(b)))),
        Op::SubOverflowS => signed().and_then(|(a, b)| pair(int::fit_s(ty, a.overflowing_sub(b)))),
        Op::SubOverflowU => ints().and_then(|(a, b)| pair(int::fit_u(ty, a.overflowing_sub(b)))),
        Op::MulOverflowS => signed().and_then(|(a, b)| pair(int::fit_s(ty, a.overflowing_mul(b)))),
        Op::MulOverflowU => ints().and_then(|(a, b)| pair(int::fit_u(ty, a.overflowing_mul(b)))),
        Op::MinS => signed().and_then(|(a, b)| value(int::wrap(ty, a.min(b) as u128))),
        Op::MinU => ints().and_then(|(a, b)| value(a.min(b))),
        Op::MaxS => signed().and_then(|(a, b)| value(int::wrap(ty, a.max(b) as u128))),
        Op::MaxU => ints().and_then(|(a, b)| value(a.max(b))),
        Op::Min => maybe(two().and_then(|(a, b)| float::min(ty, a, b))),
        Op::Max => maybe(two().and_then(|(a, b)| float::max(ty, a, b))),
        Op::MinNumber => maybe(two().and_then(|(a, b)| float::min_number(ty, a, b))),
        Op::MaxNumber => maybe(two().and_then(|(a, b)| float::max_number(ty, a, b))),
        Op::Fma => match *args {
            [a, b, c] => maybe(float::fma(ty, a, b, c)),
            _ => None,
        },
        Op::Sqrt => maybe(float::sqrt(ty, one()?)),
        Op::Ceil => maybe(float::ceil(ty, one()?)),
        Op::Floor => maybe(float::floor(ty, one()?)),
        Op::RoundZero => maybe(float::round_zero(ty, one()?)),
        Op::RoundEven => maybe(float::round_even(ty, one()?)),
        Op::RoundAway => maybe(float::round_away(ty, one()?)),
        Op::CopySign if ty.is_float() => two().and_then(|(a, b)| {
            let sign = float::sign_bit(ty);
            value(a & !sign | b & sign)
        }),
        Op::CopySign => None,

        Op::And => ints().and_then(|(a, b)| value(a & b)),
        Op::Or => ints().and_then(|(a, b)| value(a | b)),
        Op::Xor => ints().and_then(|(a, b)| value(a ^ b)),
        Op::Not => value(int::wrap(ty, !int()?)),
        Op::Shl => ints().and_then(|(a, b)| value(int::wrap(ty, a << int::count(ty, b)))),
        Op::ShrS => {
            ints().and_then(|(a, b)| value(int::wrap(ty, (int::signed(ty, a) >> int::count(ty, b)) as u128)))
        }
        Op::ShrU => ints().and_then(|(a, b)| value(a >> int::count(ty, b))),
        Op::RotL => ints().and_then(|(a, b)| value(int::rotate_left(ty, a, int::count(ty, b)))),
        Op::RotR => ints().and_then(|(a, b)| value(int::rotate_left(ty, a, ty.bits() - int::count(ty, b)))),
        Op::Clz => value(u128::from(int()?.leading_zeros().saturating_sub(128 - ty.bits()))),
        Op::Ctz => value(u128::from(int()?.trailing_zeros().min(ty.bits()))),
        Op::PopCount => value(u128::from(int()?.count_ones())),
        Op::BitReverse => value(int()?.reverse_bits() >> (128 - ty.bits())),
        // An `i1` has no bytes to swap.
        Op::ByteSwap if ty.bits() < 8 => None,
        Op::ByteSwap => value(int()?.swap_bytes() >> (128 - ty.bits())),

        Op::Eq if ty.is_float() => truth(order()? == Some(Ordering::Equal)),
        Op::Eq => ints().and_then(|(a, b)| truth(a == b)),
        Op::Ne if ty.is_float() => truth(order()? != Some(Ordering::Equal)),
        Op::Ne => ints().and_then(|(a, b)| truth(a != b)),
        Op::LtS => signed().and_then(|(a, b)| truth(a < b)),
        Op::LeS => signed().and_then(|(a, b)| truth(a <= b)),
        Op::GtS => signed().and_then(|(a, b)| truth(a > b)),
        Op::GeS => signed().and_then(|(a, b)| truth(a >= b)),
        Op::LtU => ints().and_then(|(a, b)| truth(a < b)),
        Op::LeU => ints().and_then(|(a, b)| truth(a <= b)),
        Op::GtU => ints().and_then(|(a, b)| truth(a > b)),
        Op::GeU => ints().and_then(|(a, b)| truth(a >= b)),
        Op::Lt => truth(order()?.is_some_and(Ordering::is_lt)),
        Op::Le => truth(order()?.is_some_and(Ordering::is_le)),
        Op::Gt => truth(order()?.is_some_and(Ordering::is_gt)),
        Op::Ge => truth(order()?.is_some_and(Ordering::is_ge)),
        Op::One => truth(order()?.is_some_and(Ordering::is_ne)),
        Op::Ueq => truth(order()?.is_none_or(Ordering::is_eq)),
        Op::Ult => truth(order()?.is_none_or(Ordering::is_lt)),
        Op::Ule => truth(order()?.is_none_or(Ordering::is_le)),
        Op::Ugt => truth(order()?.is_none_or(Ordering::is_gt)),
        Op::Uge => truth(order()?.is_none_or(Ordering::is_ge)),
        Op::Ord => truth(order()?.is_some()),
        Op::Uno => truth(order()?.is_none()),
        Op::Select => match *args {
            [condition, yes, no] => value(if condition & 1 != 0 { yes } else { no }),
            _ => None,
        },

        Op::Trunc => value(int::wrap(result, int()?)),
        Op::Zext => value(int()?),
        Op::Sext => value(int::wrap(result, int::signed(ty, int()?) as u128)),
        Op::FConvert => maybe(convert::float_to_float(ty, result, one()?)),
        Op::FToS => maybe(convert::float_to_signed(ty, result, one()?)),
        Op::FToU => maybe(convert::float_to_unsigned(ty, result, one()?)),
        Op::SToF => maybe(convert::signed_to_float(ty, result, one()?)),
        Op::UToF => maybe(convert::unsigned_to_float(ty, result, one()?)),
        Op::Bitcast => (ty.bits() == result.bits()).then_some(Outcome::Value(one()?)),
        Op::PtrToInt | Op::IntToPtr => value(one()?),
        Op::PtrAdd => two().and_then(|(a, b)| value(int::wrap(Scalar::I64, a.wrapping_add(b)))),
        Op::BoundsCheck => ints().map(|(index, bound)| {
            if index < bound { Outcome::Value(index) } else { Outcome::Throws(Exception::BoundsError) }
        }),

        // Whole vectors.
        Op::Splat
        | Op::Extract
        | Op::Insert
        | Op::Shuffle
        | Op::ReduceAdd
        | Op::ReduceMul
        | Op::ReduceAnd
        | Op::ReduceOr
        | Op::ReduceXor
        | Op::ReduceMinS
        | Op::ReduceMinU
        | Op::ReduceMaxS
        | Op::ReduceMaxU
        | Op::ReduceMin
        | Op::ReduceMax => None,

        // Aggregates, addresses whose value the target chooses, memory, work-items, calls, control.
        Op::Make
        | Op::GetField
        | Op::SetField
        | Op::SpaceCast
        | Op::Index
        | Op::FieldAddress
        | Op::GlobalAddress
        | Op::Slot
        | Op::Load
        | Op::Store
        | Op::MemCopy
        | Op::MemSet
        | Op::AtomicLoad
        | Op::AtomicStore
        | Op::RmwExchange
        | Op::RmwAdd
        | Op::RmwSub
        | Op::RmwAnd
        | Op::RmwOr
        | Op::RmwXor
        | Op::RmwMinS
        | Op::RmwMinU
        | Op::RmwMaxS
        | Op::RmwMaxU
        | Op::RmwMin
        | Op::RmwMax
        | Op::CompareExchange
        | Op::Fence
        | Op::LocalId
        | Op::GroupId
        | Op::GroupSize
        | Op::GroupCount
        | Op::SubgroupSize
        | Op::SubgroupLane
        | Op::Barrier
        | Op::SubgroupBarrier
        | Op::SubgroupShuffle
        | Op::SubgroupShuffleXor
        | Op::SubgroupShuffleUp
        | Op::SubgroupShuffleDown
        | Op::SubgroupAny
        | Op::SubgroupAll
        | Op::SubgroupBallot
        | Op::SubgroupReduceAdd
        | Op::SubgroupReduceAnd
        | Op::SubgroupReduceOr
        | Op::SubgroupReduceXor
        | Op::SubgroupReduceMinS
        | Op::SubgroupReduceMinU
        | Op::SubgroupReduceMaxS
        | Op::SubgroupReduceMaxU
        | Op::Clock
        | Op::KernelInput
        | Op::Sentinel
        | Op::Print
        | Op::Call
        | Op::Unresolved
        | Op::CallIndirect
        | Op::FunctionAddress
        | Op::Jump
        | Op::Branch
        | Op::Switch
        | Op::Return
        | Op::Throw
        | Op::Unreachable
        | Op::Assert
        | Op::StaticAssert
        | Op::Trap
        | Op::TargetQuery
        | Op::Scratch => None,
    }
}

/// The op that replaces a memory cell's old value and the operand by the new value: the arithmetic behind an
/// atomic read-modify-write. None for exchanges and for everything else.
pub const fn rmw_op(op: Op) -> Option<Op> {
    Some(match op {
        Op::RmwAdd => Op::Add,
        Op::RmwSub => Op::Sub,
        Op::RmwAnd => Op::And,
        Op::RmwOr => Op::Or,
        Op::RmwXor => Op::Xor,
        Op::RmwMinS => Op::MinS,
        Op::RmwMinU => Op::MinU,
        Op::RmwMaxS => Op::MaxS,
        Op::RmwMaxU => Op::MaxU,
        Op::RmwMin => Op::MinNumber,
        Op::RmwMax => Op::MaxNumber,
        _ => return None,
    })
}

/// The op that a reduction, of a vector or of a sub-group, applies from lane to lane. None for everything else.
pub const fn reduce_op(op: Op) -> Option<Op> {
    Some(match op {
        Op::ReduceAdd | Op::SubgroupReduceAdd => Op::Add,
        Op::ReduceMul => Op::Mul,
        Op::ReduceAnd | Op::SubgroupReduceAnd => Op::And,
        Op::ReduceOr | Op::SubgroupReduceOr => Op::Or,
        Op::ReduceXor | Op::SubgroupReduceXor => Op::Xor,
        Op::ReduceMinS | Op::SubgroupReduceMinS => Op::MinS,
        Op::ReduceMinU | Op::SubgroupReduceMinU => Op::MinU,
        Op::ReduceMaxS | Op::SubgroupReduceMaxS => Op::MaxS,
        Op::ReduceMaxU | Op::SubgroupReduceMaxU => Op::MaxU,
        Op::ReduceMin => Op::Min,
        Op::ReduceMax => Op::Max,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
