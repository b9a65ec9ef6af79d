//! Vector ops: lane by lane, and those that move or combine lanes.
//!
//! A scalar operand is a slice of one lane, so that [`lanewise`] computes scalars and vectors alike.

use super::{Outcome, reduce_op, scalar};
use crate::constant::{ConstData, ConstValue};
use crate::exception::Exception;
use crate::op::Op;
use crate::types::{Scalar, Type, TypeKind};

/// What an op on lanes does. A scalar result is one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LaneOutcome {
    /// It computes these lanes.
    Value(Box<[u128]>),
    /// It computes these lanes, and whether each overflowed (0 or 1).
    Pair(Box<[u128]>, Box<[u128]>),
    /// It throws. Where some lanes divide by zero and others overflow, `DivideError` it is.
    Throws(Exception),
}

/// The scalar that stands in for a type's lanes: pointers count as `i64`.
pub fn lane_scalar(ty: Type) -> Option<Scalar> {
    match ty.kind() {
        TypeKind::Scalar(lane) | TypeKind::Vector(lane, _) => Some(lane),
        TypeKind::Pointer(_) => Some(Scalar::I64),
        TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => None,
    }
}

/// Computes one op on scalars or vectors.
///
/// `operand` is the type of the first operand, for `select` that of the second; `result` that of the first result.
/// `shuffle` takes its mask as a third operand. None for ops that are no computation on lanes and for operands
/// that do not fit.
pub fn lanewise(op: Op, operand: Type, result: Type, args: &[&[u128]]) -> Option<LaneOutcome> {
    let value = |lanes: Vec<u128>| Some(LaneOutcome::Value(lanes.into()));
    match op {
        Op::Splat => match *args {
            [&[lane]] => value(vec![lane; result.lanes() as usize]),
            _ => None,
        },
        Op::Extract => match *args {
            [vector, &[index]] => value(vec![*vector.get(lane_index(vector, index)?)?]),
            _ => None,
        },
        Op::Insert => match *args {
            [vector, &[lane], &[index]] => {
                let mut lanes = vector.to_vec();
                *lanes.get_mut(lane_index(vector, index)?)? = lane;
                value(lanes)
            }
            _ => None,
        },
        Op::Shuffle => match *args {
            [a, b, mask] => {
                let pick = |&lane: &u128| {
                    let lane = usize::try_from(lane).ok()?;
                    a.get(lane).or_else(|| b.get(lane - a.len())).copied()
                };
                value(mask.iter().map(pick).collect::<Option<_>>()?)
            }
            _ => None,
        },
        Op::Bitcast => match *args {
            [lanes] => value(repack(lane_scalar(operand)?, lane_scalar(result)?, lanes)?),
            _ => None,
        },
        _ if operand.is_vector() && reduce_op(op).is_some() => match *args {
            [lanes] => value(vec![reduce(reduce_op(op)?, lane_scalar(operand)?, lanes)?]),
            _ => None,
        },
        _ => each_lane(op, operand, result, args),
    }
}

/// An index of a lane, taken modulo the number of lanes (a power of two).
fn lane_index(vector: &[u128], index: u128) -> Option<usize> {
    index.checked_rem(vector.len() as u128).map(|index| index as usize)
}

/// The lanes combined one after the other, lane 0 first.
pub fn reduce(op: Op, lane: Scalar, lanes: &[u128]) -> Option<u128> {
    let (&first, rest) = lanes.split_first()?;
    rest.iter().try_fold(first, |sum, &next| match scalar(op, lane, lane, &[sum, next])? {
        Outcome::Value(bits) => Some(bits),
        Outcome::Pair(..) | Outcome::Throws(_) => None,
    })
}

fn each_lane(op: Op, operand: Type, result: Type, args: &[&[u128]]) -> Option<LaneOutcome> {
    let (from, to) = (lane_scalar(operand)?, lane_scalar(result)?);
    let count = result.lanes() as usize;
    let mut values = Vec::with_capacity(count);
    let mut flags = Vec::new();
    let mut thrown: Option<Exception> = None;
    for n in 0..count {
        let mut lane_args = [0; 3];
        let lane_args = lane_args.get_mut(..args.len())?;
        for (slot, (k, arg)) in lane_args.iter_mut().zip(args.iter().enumerate()) {
            // One condition may choose between whole vectors.
            let at = if op == Op::Select && k == 0 && arg.len() == 1 { 0 } else { n };
            *slot = *arg.get(at)?;
        }
        match scalar(op, from, to, lane_args)? {
            Outcome::Value(bits) => values.push(bits),
            Outcome::Pair(bits, flag) => {
                values.push(bits);
                flags.push(u128::from(flag));
            }
            // `DivideError` is the least: guards test all lanes for zero before they test for overflow.
            Outcome::Throws(exception) => {
                thrown = Some(thrown.map_or(exception, |other| other.min(exception)));
            }
        }
    }
    Some(match thrown {
        Some(exception) => LaneOutcome::Throws(exception),
        None if flags.is_empty() => LaneOutcome::Value(values.into()),
        None => LaneOutcome::Pair(values.into(), flags.into()),
    })
}

/// The same bits in lanes of another width, lane 0 lowest.
fn repack(from: Scalar, to: Scalar, lanes: &[u128]) -> Option<Vec<u128>> {
    let (from, to) = (from.bits(), to.bits());
    if from == to {
        return Some(lanes.to_vec());
    }
    // Lanes are 8 to 128 bits wide, by powers of two: each is a part of one on the other side.
    if from < 8 || to < 8 {
        return None;
    }
    if from > to {
        let mask = (1 << to) - 1;
        let parts = |&lane: &u128| (0..from / to).map(move |n| lane >> (n * to) & mask).collect::<Vec<_>>();
        return Some(lanes.iter().flat_map(parts).collect());
    }
    let per_lane = (to / from) as usize;
    if !lanes.len().is_multiple_of(per_lane) {
        return None;
    }
    let join = |part: &[u128]| part.iter().rev().fold(0, |sum, &lane| sum << from | lane);
    Some(lanes.chunks_exact(per_lane).map(join).collect())
}

/// The lanes of a scalar, pointer or vector constant; none for aggregates.
pub fn const_lanes(constant: &ConstData) -> Option<Box<[u128]>> {
    lane_scalar(constant.ty)?;
    Some(match &constant.value {
        ConstValue::Scalar(bits) => [*bits].into(),
        ConstValue::Lanes(lanes) => lanes.clone(),
        ConstValue::Zero => vec![0; constant.ty.lanes() as usize].into(),
        ConstValue::Literal(_) | ConstValue::Variable(_) => return None,
    })
}

/// The constant of these lanes; none if the type has another number of them.
pub fn const_from_lanes(ty: Type, lanes: &[u128]) -> Option<ConstData> {
    lane_scalar(ty)?;
    let value = match lanes {
        _ if lanes.len() != ty.lanes() as usize => return None,
        &[bits] if !ty.is_vector() => ConstValue::Scalar(bits),
        _ => ConstValue::Lanes(lanes.into()),
    };
    Some(ConstData { ty, value })
}
