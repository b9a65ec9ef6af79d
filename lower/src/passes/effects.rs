//! What may be done to an instruction: removed, merged, moved, repeated.
//!
//! The op table says what an op may do in general; here constant operands and the `guarded` mark are looked at too.

use marquetry_ir::body::Body;
use marquetry_ir::constant::ConstValue;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::{Effects, Op, Shape};
use marquetry_ir::types::Scalar;

/// The bits of a scalar or pointer constant, or of every lane of a vector constant whose lanes are equal.
pub fn splat_bits(body: &Body, value: Value) -> Option<u128> {
    let constant = body.value_const(value)?;
    match &constant.value {
        ConstValue::Scalar(bits) => Some(*bits),
        ConstValue::Lanes(lanes) => {
            let (&first, rest) = lanes.split_first()?;
            rest.iter().all(|&lane| lane == first).then_some(first)
        }
        ConstValue::Zero | ConstValue::Literal(_) | ConstValue::Variable(_) => None,
    }
}

/// Whether a memory access is volatile.
pub fn is_volatile(body: &Body, inst: Inst) -> bool {
    let data = body.inst(inst);
    let has_flags = matches!(data.op.info().shape, Shape::Load | Shape::Store | Shape::Memory);
    has_flags && MemFlags::from_bits(data.imm).is_volatile()
}

/// Whether an integer division or remainder has a constant divisor for which it never throws.
fn has_harmless_divisor(body: &Body, inst: Inst) -> bool {
    let op = body.inst(inst).op;
    let Some(&divisor) = body.args(inst).get(1) else { return false };
    let Some(constant) = body.value_const(divisor) else { return false };
    let mask = constant.ty.lane().map_or(0, Scalar::mask);
    let harmless = |bits: u128| bits != 0 && (op != Op::DivS || bits != mask);
    match &constant.value {
        ConstValue::Scalar(bits) => harmless(*bits),
        ConstValue::Lanes(lanes) => lanes.iter().all(|&bits| harmless(bits)),
        ConstValue::Zero | ConstValue::Literal(_) | ConstValue::Variable(_) => false,
    }
}

fn is_int_division(op: Op) -> bool {
    matches!(op, Op::DivS | Op::DivU | Op::RemS | Op::RemU)
}

/// Whether an instruction may throw.
pub fn may_throw(body: &Body, inst: Inst) -> bool {
    let data = body.inst(inst);
    data.op.effects().has(Effects::THROW)
        && !(is_int_division(data.op) && (data.guarded || has_harmless_divisor(body, inst)))
}

/// Whether nobody notices if an instruction with unused results is gone. Sub-group ops are convergent, but one that
/// nobody uses is no meeting point.
pub fn is_removable(body: &Body, inst: Inst) -> bool {
    const SEEN: Effects =
        Effects::READ.and(Effects::WRITE).and(Effects::THROW).and(Effects::TERMINATOR).and(Effects::CALL);
    let op = body.inst(inst).op;
    match op {
        Op::Load => !is_volatile(body, inst),
        _ if is_int_division(op) => !may_throw(body, inst),
        _ => !op.effects().has(SEEN),
    }
}

/// Whether the second of two equal instructions computes, or throws, what the first did.
pub fn is_repeatable(op: Op) -> bool {
    let effects = op.effects();
    // Every `slot` is memory of its own.
    op != Op::Slot && (effects.is_pure() || effects == Effects::THROW)
}

/// Whether an instruction may run where it would not have run: it has no effect and no operand hurts it.
pub fn is_speculatable(body: &Body, inst: Inst) -> bool {
    let data = body.inst(inst);
    match data.op {
        Op::Slot => false,
        // Guarded divisions are total only behind their guards.
        op if is_int_division(op) => has_harmless_divisor(body, inst),
        op => op.effects().is_pure(),
    }
}

/// Whether an instruction does something besides computing results and reading ordinary memory, so that nothing
/// that might throw or be undefined may be moved across it.
pub fn is_observable(body: &Body, inst: Inst) -> bool {
    let effects = body.inst(inst).op.effects();
    let visible = Effects::WRITE.and(Effects::CALL).and(Effects::CONVERGENT);
    effects.has(visible) || may_throw(body, inst) || is_volatile(body, inst)
}
