//! Identities of addresses, aggregates and bounds checks.

use super::addresses::{constant_offset, offset_bits};
use super::simplify::{Change, Rules};
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};

/// How many `set` are looked through for one `get`.
const MAX_SETS: usize = 64;

/// `ptr_add index field_address`: constant moves become one `ptr_add`.
pub(super) fn address(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let op = rules.body.inst(inst).op;
    let Some(&base) = rules.body.args(inst).first() else { return Change::Nothing };
    let moved = constant_offset(rules.body, rules.types, inst).flatten();
    if moved == Some(0) {
        return Change::Value(base);
    }
    if rules.light && op != Op::PtrAdd {
        return Change::Nothing;
    }
    if let Some(moved) = moved {
        if let Some((inner_base, inner)) = rules.binary(base, Op::PtrAdd)
            && let Some(bits) = rules.body.value_bits(inner)
        {
            let sum = rules.body.make_scalar(Type::I64, bits.wrapping_add(offset_bits(moved)));
            return rules.rewrite(inst, Op::PtrAdd, &[inner_base, sum]);
        }
        if op != Op::PtrAdd {
            let moved = rules.body.make_scalar(Type::I64, offset_bits(moved));
            return rules.rewrite(inst, Op::PtrAdd, &[base, moved]);
        }
        return Change::Nothing;
    }
    if rules.light {
        return Change::Nothing;
    }
    constant_part_last(rules, inst, op, base)
}

/// `p[i + c]` becomes `p[i]` moved by a constant, which neighbours share and accesses absorb. Only for 64-bit
/// indices: narrower ones wrap before they are widened.
fn constant_part_last(rules: &mut Rules<'_>, inst: Inst, op: Op, base: Value) -> Change {
    let Some(&index) = rules.body.args(inst).get(1) else { return Change::Nothing };
    if rules.ty(index) != Type::I64 {
        return Change::Nothing;
    }
    let Some((rest, added)) = rules.binary(index, Op::Add) else { return Change::Nothing };
    let Some(added) = rules.body.value_bits(added) else { return Change::Nothing };
    if rules.is_next(rest, index) {
        return Change::Nothing;
    }
    let ty = rules.body.inst(inst).ty;
    let size = match op {
        Op::Index => rules.types.layout(ty).map(|layout| layout.size),
        Op::PtrAdd => Some(1),
        _ => None,
    };
    let Some(size) = size else { return Change::Nothing };
    let pointer = rules.ty(base);
    let varying = rules.body.make_inst(op, ty, &[base, rest], 0);
    rules.body.make_results(varying, &[pointer]);
    rules.body.insert_inst_before(varying, inst);
    rules.body.set_origin(varying, rules.body.origin(inst));
    let Some(varying) = rules.body.first_result(varying) else { return Change::Nothing };
    let moved = rules.body.make_scalar(Type::I64, added.wrapping_mul(u128::from(size)));
    rules.rewrite(inst, Op::PtrAdd, &[varying, moved])
}

/// `get set make`.
pub(super) fn aggregate(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let data = rules.body.inst(inst);
    let (op, field) = (data.op, data.imm);
    match (op, rules.body.args(inst)) {
        (Op::GetField, &[aggregate]) => get(rules, inst, aggregate, field),
        (Op::SetField, &[aggregate, value]) => {
            // A field that is set twice keeps the second value.
            if let Some((Op::SetField, inner)) = rules.def(aggregate)
                && rules.body.inst(inner).imm == field
                && let Some(&rest) = rules.body.args(inner).first()
            {
                rules.body.args_mut(inst)[0] = rest;
                return Change::Again;
            }
            // A field that is set to what it holds.
            match rules.def(value) {
                Some((Op::GetField, get))
                    if rules.body.inst(get).imm == field
                        && rules.body.args(get).first() == Some(&aggregate) =>
                {
                    Change::Value(aggregate)
                }
                _ => Change::Nothing,
            }
        }
        (Op::Make, _) => match remade(rules, inst) {
            Some(aggregate) => Change::Value(aggregate),
            None => Change::Nothing,
        },
        _ => Change::Nothing,
    }
}

fn get(rules: &mut Rules<'_>, inst: Inst, aggregate: Value, field: u32) -> Change {
    let mut from = aggregate;
    for _ in 0..MAX_SETS {
        match rules.def(from) {
            Some((Op::SetField, set)) => {
                let &[rest, value] = rules.body.args(set) else { break };
                if rules.body.inst(set).imm == field {
                    return Change::Value(value);
                }
                from = rest;
            }
            Some((Op::Make, make)) => {
                return match rules.body.args(make).get(field as usize) {
                    Some(&value) => Change::Value(value),
                    None => Change::Nothing,
                };
            }
            _ => break,
        }
    }
    if rules.body.value_const(from).is_some_and(|constant| constant.is_zero()) {
        let Some(result) = rules.body.first_result(inst) else { return Change::Nothing };
        let ty = rules.ty(result);
        return rules.zero(ty);
    }
    if from != aggregate {
        rules.body.args_mut(inst)[0] = from;
        return Change::Again;
    }
    Change::Nothing
}

/// The aggregate that a `make` puts together again, field by field.
fn remade(rules: &Rules<'_>, inst: Inst) -> Option<Value> {
    let args = rules.body.args(inst);
    let source = |(n, &arg): (usize, &Value)| match rules.def(arg)? {
        (Op::GetField, get) if rules.body.inst(get).imm as usize == n => {
            rules.body.args(get).first().copied()
        }
        _ => None,
    };
    let first = source((0, args.first()?))?;
    let same_type = rules.ty(first) == rules.body.inst(inst).ty;
    (same_type && args.iter().enumerate().all(|arg| source(arg) == Some(first))).then_some(first)
}

/// `bounds_check` of an index that is always below the bound.
pub(super) fn bounds_check(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let &[index, bound] = rules.body.args(inst) else { return Change::Nothing };
    // Checked before, against the same bound.
    if rules.binary(index, Op::BoundsCheck).is_some_and(|(_, earlier)| earlier == bound) {
        return Change::Value(index);
    }
    // The remainder by the bound is below it; a bound of 0 has thrown.
    if rules.binary(index, Op::RemU).is_some_and(|(_, divisor)| divisor == bound) {
        return Change::Value(index);
    }
    match (largest(rules, index), rules.body.value_bits(bound)) {
        (Some(largest), Some(bound)) if largest < bound => Change::Value(index),
        _ => Change::Nothing,
    }
}

/// The largest unsigned value that an integer can have, by what computes it.
fn largest(rules: &Rules<'_>, value: Value) -> Option<u128> {
    if let Some(bits) = rules.body.value_bits(value) {
        return Some(bits);
    }
    let (op, inst) = rules.def(value)?;
    let bits = |n: usize| rules.body.args(inst).get(n).and_then(|&arg| rules.body.value_bits(arg));
    match op {
        Op::And | Op::MinU => bits(1),
        Op::RemU => bits(1)?.checked_sub(1),
        Op::Zext => rules.body.args(inst).first().map(|&arg| rules.lane(arg).mask()),
        Op::ShrU => {
            let lane = rules.body.value_type(value).as_scalar()?;
            let count = bits(1)? & u128::from(lane.bits() - 1);
            Some(Scalar::mask(lane) >> count)
        }
        Op::BoundsCheck => bits(1)?.checked_sub(1),
        _ => None,
    }
}
