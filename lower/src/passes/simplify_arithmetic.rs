//! Identities of arithmetic, bit operations and shifts.

use super::simplify::{Change, Rules};
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Scalar;

/// The bits of 1.0, and of the sign alone, which is -0.0.
fn float_one(lane: Scalar) -> Option<u128> {
    Some(match lane {
        Scalar::F16 => 0x3c00,
        Scalar::BF16 => 0x3f80,
        Scalar::F32 => 0x3f80_0000,
        Scalar::F64 => 0x3ff0_0000_0000_0000,
        _ => return None,
    })
}

fn sign(lane: Scalar) -> u128 {
    1 << (lane.bits() - 1)
}

/// `add sub mul neg abs div`.
pub(super) fn number(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let op = rules.body.inst(inst).op;
    match (op, rules.body.args(inst)) {
        (Op::Neg, &[a]) => match rules.unary(a, Op::Neg) {
            Some(inner) => Change::Value(inner),
            None => Change::Nothing,
        },
        (Op::Abs, &[a]) => {
            if rules.unary(a, Op::Abs).is_some() {
                return Change::Value(a);
            }
            match rules.unary(a, Op::Neg) {
                Some(inner) => rules.rewrite(inst, Op::Abs, &[inner]),
                None => Change::Nothing,
            }
        }
        (_, &[a, b]) if rules.lane(a).is_float() => float(rules, inst, op, a, b),
        (Op::Add, &[a, b]) => add(rules, inst, a, b),
        (Op::Sub, &[a, b]) => sub(rules, inst, a, b),
        (Op::Mul, &[a, b]) => mul(rules, inst, a, b),
        _ => Change::Nothing,
    }
}

/// Only what holds for every operand: a sum with -0 (with +0 it turns -0 into +0), products with 1 and -1.
fn float(rules: &mut Rules<'_>, inst: Inst, op: Op, a: Value, b: Value) -> Change {
    let lane = rules.lane(a);
    let (Some(one), minus_zero) = (float_one(lane), sign(lane)) else { return Change::Nothing };
    match (op, rules.bits(b)) {
        (Op::Add, Some(bits)) if bits == minus_zero => Change::Value(a),
        (Op::Sub, Some(0)) => Change::Value(a),
        (Op::Mul | Op::Div, Some(bits)) if bits == one => Change::Value(a),
        (Op::Mul | Op::Div, Some(bits)) if bits == one | minus_zero && !rules.light => {
            rules.rewrite(inst, Op::Neg, &[a])
        }
        (Op::Add | Op::Mul, _) => rules.constant_last(inst),
        _ => Change::Nothing,
    }
}

/// `(x op c1) op c2` becomes `x op (c1 op c2)`, for an op that commutes and associates.
fn reassociate(rules: &mut Rules<'_>, inst: Inst, op: Op, a: Value, b: Value) -> Option<Change> {
    let second = rules.bits(b)?;
    let (x, c) = rules.binary(a, op)?;
    let first = rules.bits(c)?;
    if op == Op::Add && rules.is_next(x, a) {
        return None;
    }
    let combined = match op {
        Op::Add => first.wrapping_add(second),
        Op::Mul => first.wrapping_mul(second),
        Op::And => first & second,
        Op::Or => first | second,
        Op::Xor => first ^ second,
        _ => return None,
    };
    let constant = rules.body.make_scalar(rules.ty(a), combined);
    Some(rules.rewrite(inst, op, &[x, constant]))
}

fn add(rules: &mut Rules<'_>, inst: Inst, a: Value, b: Value) -> Change {
    if rules.bits(b) == Some(0) {
        return Change::Value(a);
    }
    // x - y + y
    for (difference, other) in [(a, b), (b, a)] {
        if let Some((x, y)) = rules.binary(difference, Op::Sub)
            && y == other
        {
            return Change::Value(x);
        }
    }
    if let Some(change) = reassociate(rules, inst, Op::Add, a, b) {
        return change;
    }
    if !rules.light {
        if let Some(negated) = rules.unary(b, Op::Neg) {
            return rules.rewrite(inst, Op::Sub, &[a, negated]);
        }
        if let Some(negated) = rules.unary(a, Op::Neg) {
            return rules.rewrite(inst, Op::Sub, &[b, negated]);
        }
    }
    rules.constant_last(inst)
}

fn sub(rules: &mut Rules<'_>, inst: Inst, a: Value, b: Value) -> Change {
    let ty = rules.ty(a);
    if a == b {
        return rules.constant(ty, 0);
    }
    // x + y - y
    if let Some((x, y)) = rules.binary(a, Op::Add) {
        if y == b {
            return Change::Value(x);
        }
        if x == b {
            return Change::Value(y);
        }
    }
    match (rules.bits(a), rules.bits(b)) {
        (_, Some(0)) => Change::Value(a),
        (_, Some(bits)) if !rules.light => {
            let negated = rules.body.make_scalar(ty, bits.wrapping_neg());
            rules.rewrite(inst, Op::Add, &[a, negated])
        }
        (Some(0), _) if !rules.light => rules.rewrite(inst, Op::Neg, &[b]),
        _ => match rules.unary(b, Op::Neg) {
            Some(inner) if !rules.light => rules.rewrite(inst, Op::Add, &[a, inner]),
            _ => Change::Nothing,
        },
    }
}

fn mul(rules: &mut Rules<'_>, inst: Inst, a: Value, b: Value) -> Change {
    let (ty, mask) = (rules.ty(a), rules.lane(a).mask());
    match rules.bits(b) {
        Some(0) => return rules.constant(ty, 0),
        Some(1) => return Change::Value(a),
        Some(bits) if bits == mask && !rules.light => return rules.rewrite(inst, Op::Neg, &[a]),
        Some(bits) if bits.is_power_of_two() && !rules.light => {
            let count = rules.body.make_scalar(ty, u128::from(bits.trailing_zeros()));
            return rules.rewrite(inst, Op::Shl, &[a, count]);
        }
        _ => {}
    }
    reassociate(rules, inst, Op::Mul, a, b).unwrap_or_else(|| rules.constant_last(inst))
}

/// `div.s div.u rem.s rem.u`: only by constants that cannot make them throw.
pub(super) fn division(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let op = rules.body.inst(inst).op;
    let &[a, b] = rules.body.args(inst) else { return Change::Nothing };
    let (ty, mask) = (rules.ty(a), rules.lane(a).mask());
    match (op, rules.bits(b)) {
        (Op::DivS | Op::DivU, Some(1)) => Change::Value(a),
        (Op::RemS | Op::RemU, Some(1)) => rules.constant(ty, 0),
        // The remainder of the least value by -1 is 0, too.
        (Op::RemS, Some(bits)) if bits == mask => rules.constant(ty, 0),
        (Op::DivU, Some(bits)) if bits.is_power_of_two() && !rules.light => {
            let count = rules.body.make_scalar(ty, u128::from(bits.trailing_zeros()));
            rules.rewrite(inst, Op::ShrU, &[a, count])
        }
        (Op::RemU, Some(bits)) if bits.is_power_of_two() && !rules.light => {
            let low = rules.body.make_scalar(ty, bits - 1);
            rules.rewrite(inst, Op::And, &[a, low])
        }
        _ => Change::Nothing,
    }
}

/// `and or xor not`.
pub(super) fn bitwise(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let op = rules.body.inst(inst).op;
    let (a, b) = match *rules.body.args(inst) {
        [a] => return not(rules, inst, a),
        [a, b] => (a, b),
        _ => return Change::Nothing,
    };
    let (ty, mask) = (rules.ty(a), rules.lane(a).mask());
    match (op, rules.bits(b)) {
        (Op::And | Op::Or, _) if a == b => return Change::Value(a),
        (Op::Xor, _) if a == b => return rules.constant(ty, 0),
        (Op::And, Some(0)) => return Change::Value(b),
        (Op::And, Some(bits)) if bits == mask => return Change::Value(a),
        (Op::Or | Op::Xor, Some(0)) => return Change::Value(a),
        (Op::Or, Some(bits)) if bits == mask => return Change::Value(b),
        (Op::Xor, Some(bits)) if bits == mask && !rules.light => return rules.rewrite(inst, Op::Not, &[a]),
        _ => {}
    }
    // x and not x
    if rules.unary(a, Op::Not) == Some(b) || rules.unary(b, Op::Not) == Some(a) {
        return rules.constant(ty, if op == Op::And { 0 } else { mask });
    }
    // Absorption: x & (x | y), x | (x & y); and x & (x & y).
    if op != Op::Xor {
        for (outer, inner) in [(a, b), (b, a)] {
            for inner_op in [Op::And, Op::Or] {
                if let Some((x, y)) = rules.binary(inner, inner_op)
                    && (x == outer || y == outer)
                {
                    return Change::Value(if inner_op == op { inner } else { outer });
                }
            }
        }
    }
    reassociate(rules, inst, op, a, b).unwrap_or_else(|| rules.constant_last(inst))
}

fn not(rules: &mut Rules<'_>, inst: Inst, a: Value) -> Change {
    if let Some(inner) = rules.unary(a, Op::Not) {
        return Change::Value(inner);
    }
    if rules.light {
        return Change::Nothing;
    }
    let Some((op, def)) = rules.def(a) else { return Change::Nothing };
    match (opposite(op, rules, def), rules.body.args(def)) {
        (Some(opposite), &[x, y]) => rules.rewrite(inst, opposite, &[x, y]),
        _ => Change::Nothing,
    }
}

/// The comparison that is true where this one is false.
fn opposite(op: Op, rules: &Rules<'_>, def: Inst) -> Option<Op> {
    let first = *rules.body.args(def).first()?;
    Some(match op {
        Op::Eq if rules.lane(first).is_float() => return None,
        Op::Ne if rules.lane(first).is_float() => return None,
        Op::Eq => Op::Ne,
        Op::Ne => Op::Eq,
        Op::LtS => Op::GeS,
        Op::LeS => Op::GtS,
        Op::GtS => Op::LeS,
        Op::GeS => Op::LtS,
        Op::LtU => Op::GeU,
        Op::LeU => Op::GtU,
        Op::GtU => Op::LeU,
        Op::GeU => Op::LtU,
        Op::Lt => Op::Uge,
        Op::Le => Op::Ugt,
        Op::Gt => Op::Ule,
        Op::Ge => Op::Ult,
        Op::One => Op::Ueq,
        Op::Ueq => Op::One,
        Op::Ult => Op::Ge,
        Op::Ule => Op::Gt,
        Op::Ugt => Op::Le,
        Op::Uge => Op::Lt,
        Op::Ord => Op::Uno,
        Op::Uno => Op::Ord,
        _ => return None,
    })
}

/// `shl shr.s shr.u rotl rotr`, by counts modulo the width.
pub(super) fn shift(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let op = rules.body.inst(inst).op;
    let &[a, b] = rules.body.args(inst) else { return Change::Nothing };
    let (ty, lane) = (rules.ty(a), rules.lane(a));
    if rules.bits(a) == Some(0) {
        return Change::Value(a);
    }
    if rules.bits(a) == Some(lane.mask()) && !matches!(op, Op::Shl | Op::ShrU) {
        return Change::Value(a);
    }
    let width = u128::from(lane.bits());
    let Some(count) = rules.bits(b).map(|bits| bits & (width - 1)) else { return Change::Nothing };
    if count == 0 {
        return Change::Value(a);
    }
    if let Some((x, inner)) = rules.binary(a, op)
        && let Some(inner) = rules.bits(inner).map(|bits| bits & (width - 1))
    {
        let sum = match op {
            Op::RotL | Op::RotR => (inner + count) & (width - 1),
            Op::ShrS => (inner + count).min(width - 1),
            _ if inner + count >= width => return rules.constant(ty, 0),
            _ => inner + count,
        };
        let count = rules.body.make_scalar(ty, sum);
        return rules.rewrite(inst, op, &[x, count]);
    }
    // Up and down again by as much: the upper or the lower bits are cleared.
    let back = match op {
        Op::Shl => Op::ShrU,
        Op::ShrU => Op::Shl,
        _ => return Change::Nothing,
    };
    match rules.binary(a, back) {
        Some((x, inner))
            if rules.bits(inner).map(|bits| bits & (width - 1)) == Some(count) && !rules.light =>
        {
            let kept = if op == Op::Shl { lane.mask() << count } else { lane.mask() >> count };
            let kept = rules.body.make_scalar(ty, kept);
            rules.rewrite(inst, Op::And, &[x, kept])
        }
        _ => Change::Nothing,
    }
}
