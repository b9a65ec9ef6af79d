//! Identities of conversions and vectors.

use super::simplify::{Change, Rules};
use marquetry_ir::entity::{Const, Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;

/// `trunc zext sext fconvert bitcast`.
pub(super) fn convert(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let data = rules.body.inst(inst);
    let (op, to) = (data.op, data.ty);
    let Some(&a) = rules.body.args(inst).first() else { return Change::Nothing };
    if rules.ty(a) == to {
        return Change::Value(a);
    }
    let Some((inner_op, inner)) = rules.def(a) else { return Change::Nothing };
    let Some(&x) = rules.body.args(inner).first() else { return Change::Nothing };
    let from = rules.ty(x);
    let width = |ty: Type| ty.lane().map_or(0, |lane| lane.bits());
    match (op, inner_op) {
        (Op::Trunc, Op::Zext | Op::Sext) if from == to => Change::Value(x),
        (Op::Trunc, Op::Zext | Op::Sext) if rules.light => Change::Nothing,
        (Op::Trunc, Op::Zext | Op::Sext) if width(to) < width(from) => {
            rules.rewrite_as(inst, Op::Trunc, to, &[x])
        }
        (Op::Trunc, Op::Zext | Op::Sext) => rules.rewrite_as(inst, inner_op, to, &[x]),
        (Op::Bitcast, Op::Bitcast) if from == to => Change::Value(x),
        // f32 to f64 is exact, and so is the way back.
        (Op::FConvert, Op::FConvert) if from == to && width(rules.ty(a)) > width(to) => Change::Value(x),
        _ if rules.light => Change::Nothing,
        (Op::Trunc, Op::Trunc) | (Op::Zext, Op::Zext) | (Op::Sext, Op::Sext) | (Op::Bitcast, Op::Bitcast) => {
            rules.rewrite_as(inst, op, to, &[x])
        }
        // The sign bit of what was widened with zeros is 0.
        (Op::Sext, Op::Zext) => rules.rewrite_as(inst, Op::Zext, to, &[x]),
        (Op::Zext, Op::Trunc) if from == to && width(rules.ty(a)) > 1 => {
            let kept = rules.ty(a).lane().map_or(0, |lane| lane.mask());
            let kept = rules.body.make_scalar(to, kept);
            rules.rewrite(inst, Op::And, &[x, kept])
        }
        _ => Change::Nothing,
    }
}

/// `ptrtoint inttoptr spacecast`.
pub(super) fn pointer(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let data = rules.body.inst(inst);
    let (op, to) = (data.op, data.ty);
    let Some(&a) = rules.body.args(inst).first() else { return Change::Nothing };
    let Some((inner_op, inner)) = rules.def(a) else { return Change::Nothing };
    let Some(&x) = rules.body.args(inner).first() else { return Change::Nothing };
    match (op, inner_op) {
        (Op::PtrToInt, Op::IntToPtr) | (Op::SpaceCast, Op::SpaceCast) if rules.ty(x) == to => {
            Change::Value(x)
        }
        (Op::IntToPtr, Op::PtrToInt) if rules.ty(x) == to => Change::Value(x),
        _ => Change::Nothing,
    }
}

/// `extract`, through what made the vector.
pub(super) fn extract(rules: &mut Rules<'_>, inst: Inst) -> Change {
    let &[vector, index] = rules.body.args(inst) else { return Change::Nothing };
    if let Some(lane) = rules.unary(vector, Op::Splat) {
        return Change::Value(lane);
    }
    let lanes = u128::from(rules.ty(vector).lanes());
    let Some(lane) = rules.body.value_bits(index).and_then(|bits| bits.checked_rem(lanes)) else {
        return Change::Nothing;
    };
    match rules.def(vector) {
        Some((Op::Insert, inner)) => {
            let &[rest, inserted, at] = rules.body.args(inner) else { return Change::Nothing };
            match rules.body.value_bits(at).and_then(|bits| bits.checked_rem(lanes)) {
                Some(at) if at == lane => Change::Value(inserted),
                Some(_) => rules.rewrite(inst, Op::Extract, &[rest, index]),
                None => Change::Nothing,
            }
        }
        Some((Op::Shuffle, inner)) => match shuffled(rules, inner, lane) {
            Some((source, lane)) => {
                let index = rules.body.make_scalar(rules.ty(index), lane);
                rules.rewrite(inst, Op::Extract, &[source, index])
            }
            None => Change::Nothing,
        },
        _ => Change::Nothing,
    }
}

/// Where a lane of a shuffle comes from.
fn shuffled(rules: &Rules<'_>, shuffle: Inst, lane: u128) -> Option<(Value, u128)> {
    let &[a, b] = rules.body.args(shuffle) else { return None };
    let mask = rules.body.constant(Const::from_u32(rules.body.inst(shuffle).imm));
    let lanes = marquetry_ir::semantics::const_lanes(mask)?;
    let from = *lanes.get(usize::try_from(lane).ok()?)?;
    let count = u128::from(rules.ty(a).lanes());
    Some(if from < count { (a, from) } else { (b, from - count) })
}
