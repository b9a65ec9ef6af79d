//! Identities of comparisons and `select`.

use super::simplify::{Change, Rules};
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

/// The same comparison with its operands exchanged.
fn swapped(op: Op) -> Op {
    match op {
        Op::LtS => Op::GtS,
        Op::LeS => Op::GeS,
        Op::GtS => Op::LtS,
        Op::GeS => Op::LeS,
        Op::LtU => Op::GtU,
        Op::LeU => Op::GeU,
        Op::GtU => Op::LtU,
        Op::GeU => Op::LeU,
        other => other,
    }
}

/// Comparisons of integers and pointers, and equality of anything.
pub(super) fn compare(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let op = rules.body.inst(inst).op;
    let &[a, b] = rules.body.args(inst) else { return Change::Nothing };
    let lane = rules.lane(a);
    if lane.is_float() {
        return rules.constant_last(inst);
    }
    let Some(result) = rules.body.first_result(inst).map(|value| rules.ty(value)) else {
        return Change::Nothing;
    };
    if a == b {
        let holds = matches!(op, Op::Eq | Op::LeS | Op::GeS | Op::LeU | Op::GeU);
        return rules.constant(result, u128::from(holds));
    }
    let is_const = |value| rules.body.value_const_id(value).is_some();
    if is_const(a) && !is_const(b) && (swapped(op) == op || !rules.light) {
        return rules.rewrite(inst, swapped(op), &[b, a]);
    }
    let Some(bits) = rules.bits(b) else { return Change::Nothing };
    if lane.bits() == 1 {
        return truth(rules, inst, op, a, bits);
    }
    let (most_u, least_s) = (lane.mask(), 1 << (lane.bits() - 1));
    let most_s = most_u ^ least_s;
    // Comparisons with the ends of the range.
    let known = match op {
        Op::LtU if bits == 0 => Some(false),
        Op::GeU if bits == 0 => Some(true),
        Op::GtU if bits == most_u => Some(false),
        Op::LeU if bits == most_u => Some(true),
        Op::LtS if bits == least_s => Some(false),
        Op::GeS if bits == least_s => Some(true),
        Op::GtS if bits == most_s => Some(false),
        Op::LeS if bits == most_s => Some(true),
        _ => None,
    };
    if let Some(holds) = known {
        return rules.constant(result, u128::from(holds));
    }
    if matches!(op, Op::Eq | Op::Ne) {
        return equality(rules, inst, op, a, b, bits);
    }
    Change::Nothing
}

/// `eq` and `ne` of a truth value and a constant.
fn truth(rules: &mut Rules<'_>, inst: Inst, op: Op, a: Value, bits: u128) -> Change {
    match op {
        Op::Eq | Op::Ne if (op == Op::Eq) == (bits == 1) => Change::Value(a),
        Op::Eq | Op::Ne if !rules.light => rules.rewrite(inst, Op::Not, &[a]),
        _ => Change::Nothing,
    }
}

/// `eq` and `ne` of an integer and a constant, looking into the integer.
fn equality(rules: &mut Rules<'_>, inst: Inst, op: Op, a: Value, b: Value, bits: u128) -> Change {
    let Some((inner_op, inner)) = rules.def(a) else { return Change::Nothing };
    let ty = rules.ty(a);
    match (inner_op, rules.body.args(inner)) {
        // Xor and addition are one to one.
        (Op::Xor, &[x, y]) if bits == 0 => rules.rewrite(inst, op, &[x, y]),
        (Op::Sub, &[x, y]) if bits == 0 => rules.rewrite(inst, op, &[x, y]),
        (Op::Add, &[x, y]) => match rules.bits(y) {
            Some(added) => {
                let difference = rules.body.make_scalar(ty, bits.wrapping_sub(added));
                rules.rewrite(inst, op, &[x, difference])
            }
            None => Change::Nothing,
        },
        (Op::Zext, &[x]) if rules.lane(x).bits() == 1 => {
            let holds = match bits {
                0 => op == Op::Ne,
                1 => op == Op::Eq,
                _ => {
                    let result = ty.mask_type();
                    return rules.constant(result, u128::from(op == Op::Ne));
                }
            };
            pick(rules, inst, x, holds)
        }
        (Op::Select, &[condition, yes, no]) if rules.ty(condition).lanes() == ty.mask_type().lanes() => {
            let is_const = |value| rules.bits(value).is_some();
            if !is_const(yes) || !is_const(no) {
                return Change::Nothing;
            }
            let (yes, no) = ((yes == b) == (op == Op::Eq), (no == b) == (op == Op::Eq));
            if yes == no {
                let result = ty.mask_type();
                return rules.constant(result, u128::from(yes));
            }
            pick(rules, inst, condition, yes)
        }
        _ => Change::Nothing,
    }
}

/// The truth value itself, or its complement.
fn pick(rules: &mut Rules<'_>, inst: Inst, value: Value, holds: bool) -> Change {
    match holds {
        true => Change::Value(value),
        false if !rules.light => rules.rewrite(inst, Op::Not, &[value]),
        false => Change::Nothing,
    }
}

/// `select`.
pub(super) fn select(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let &[condition, yes, no] = rules.body.args(inst) else { return Change::Nothing };
    if yes == no {
        return Change::Value(yes);
    }
    match rules.bits(condition) {
        Some(1) => return Change::Value(yes),
        Some(0) => return Change::Value(no),
        _ => {}
    }
    if let Some(inner) = rules.unary(condition, Op::Not) {
        return rules.rewrite(inst, Op::Select, &[inner, no, yes]);
    }
    if let Some((Op::Select, inner)) = rules.def(yes)
        && let &[same, x, _] = rules.body.args(inner)
        && same == condition
    {
        return rules.rewrite(inst, Op::Select, &[condition, x, no]);
    }
    if let Some((Op::Select, inner)) = rules.def(no)
        && let &[same, _, y] = rules.body.args(inner)
        && same == condition
    {
        return rules.rewrite(inst, Op::Select, &[condition, yes, y]);
    }
    truth_select(rules, inst, condition, yes, no)
}

/// `select` between truth values or the integers 0 and 1.
fn truth_select(rules: &mut Rules<'_>, inst: Inst, condition: Value, yes: Value, no: Value) -> Change {
    let ty = rules.ty(yes);
    let (on, off) = (rules.bits(yes), rules.bits(no));
    if ty != rules.ty(condition) {
        let widened = !rules.light && ty.is_int() && ty == Type::scalar(rules.lane(yes)) && on == Some(1);
        let single = rules.ty(condition) == Type::I1;
        return match off {
            Some(0) if widened && single => rules.rewrite_as(inst, Op::Zext, ty, &[condition]),
            _ => Change::Nothing,
        };
    }
    match (on, off) {
        (Some(1), Some(0)) => Change::Value(condition),
        _ if rules.light => Change::Nothing,
        (Some(0), Some(1)) => rules.rewrite(inst, Op::Not, &[condition]),
        (_, Some(0)) => rules.rewrite(inst, Op::And, &[condition, yes]),
        (Some(1), _) => rules.rewrite(inst, Op::Or, &[condition, no]),
        _ => Change::Nothing,
    }
}
