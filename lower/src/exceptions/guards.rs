//! What divisions and bounds checks throw for, as far as constants do not settle it.

use marquetry_ir::body::Body;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::const_lanes;
use marquetry_ir::types::Scalar;

/// The tests that must come before an op.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Guard {
    /// Whether a divisor may be zero.
    pub zero: bool,
    /// Whether the least value may be divided by -1.
    pub overflow: bool,
    /// Whether an index may be out of bounds.
    pub bounds: bool,
}

impl Guard {
    /// Nothing to test.
    pub(super) const NEVER: Guard = Guard { zero: false, overflow: false, bounds: false };
}

/// Whether a lane of `value` may have the bits `wanted` of its type: it is no constant, or one that has them.
pub(super) fn may_be(body: &Body, value: Value, wanted: impl Fn(Scalar) -> u128) -> bool {
    let lanes = body.value_const(value).and_then(const_lanes);
    match (lanes, body.value_type(value).lane()) {
        (Some(lanes), Some(lane)) => lanes.contains(&wanted(lane)),
        _ => true,
    }
}

/// The bits of the least signed value.
pub(super) fn least(lane: Scalar) -> u128 {
    1 << (lane.bits() - 1)
}

/// What must be tested before an instruction; none if it is neither a division nor a bounds check.
pub(super) fn of(body: &Body, inst: Inst) -> Option<Guard> {
    let data = body.inst(inst);
    let &[left, right] = body.args(inst) else { return None };
    let signed = match data.op {
        Op::DivS => true,
        Op::DivU | Op::RemS | Op::RemU => false,
        Op::BoundsCheck => return Some(Guard { bounds: true, ..Guard::NEVER }),
        _ => return None,
    };
    if data.guarded {
        return Some(Guard::NEVER);
    }
    let zero = may_be(body, right, |_| 0);
    let overflow = signed && may_be(body, right, Scalar::mask) && may_be(body, left, least);
    Some(Guard { zero, overflow, bounds: false })
}
