//! Functions that are legal as they are, or but for narrow indices: most are, on targets that have much. They are
//! not built anew.

use super::Legaliser;
use super::emit::{answer, asked_of};
use super::shape::Split;
use crate::target::Action;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::signature::Signature;
use marquetry_ir::types::Type;

/// What is left to do in a body that is not built anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Indices that are narrower than 64 bits are to be widened ([`indices`](super::indices)).
    NarrowIndices,
}

/// How many scalar and pointer types there are, in the numbers of [`number`].
pub(super) const NUMBERED: usize = 32;

/// A small number for a scalar or pointer type.
fn number(ty: Type) -> usize {
    let low = ty.word() as usize % (NUMBERED / 2);
    if ty.is_pointer() { NUMBERED / 2 + low } else { low }
}

impl Legaliser<'_> {
    /// What a body lacks to keep all promises; none if it has to be built anew. One pass, and nothing is reported.
    /// Leaves control flow computed.
    pub(super) fn nearly_legal(&mut self, body: &Body, signature: &Signature) -> Option<Left> {
        self.cfg.compute(body);
        if body.placed_block_count() != self.cfg.reverse_post_order().len() {
            return None;
        }
        if !signature.params.iter().chain(&signature.results).all(|&ty| self.is_held(ty)) {
            return None;
        }
        let mut left = Left::Nothing;
        for block in body.blocks() {
            if !body.block_params(block).iter().all(|&param| self.is_held(body.value_type(param))) {
                return None;
            }
            for inst in body.block_insts(block) {
                if self.left_of_inst(body, inst)? == Left::NarrowIndices {
                    left = Left::NarrowIndices;
                }
            }
        }
        Some(left)
    }

    pub(super) fn is_held(&mut self, ty: Type) -> bool {
        let place = match ty.is_scalar() || ty.is_pointer() {
            true => number(ty),
            false => {
                let shape = self.shape(ty);
                return shape.split == Split::Leaf && shape.unsupported.is_none();
            }
        };
        match self.held.get(place).copied().flatten() {
            Some(known) => known,
            None => {
                let held = self.is_plain_leaf(ty);
                if let Some(slot) = self.held.get_mut(place) {
                    *slot = Some(held);
                }
                held
            }
        }
    }

    /// Whether the target has an op on these types.
    fn has_op(&self, op: Op, from: Type, to: Type) -> bool {
        answer(self.target, op, from, to) == Action::Legal
    }

    fn left_of_inst(&mut self, body: &Body, inst: Inst) -> Option<Left> {
        let data = body.inst(inst);
        let arg = |n: usize| body.args(inst).get(n).map(|&arg| body.value_type(arg));
        // Parameters and results are looked at where they are defined.
        let mut held = true;
        body.visit_operands(inst, |value| {
            if body.value_const_id(value).is_some() {
                held &= self.is_held(body.value_type(value));
            }
        });
        // Vectors are rare where they are legal, and their lane numbers may need work.
        held &= !body.args(inst).iter().any(|&arg| body.value_type(arg).is_vector());
        for result in body.results(inst) {
            let ty = body.value_type(result);
            held &= self.is_held(ty) && !ty.is_vector();
        }
        if !held {
            return None;
        }
        let mut left = Left::Nothing;
        match data.op {
            Op::Call | Op::FunctionAddress | Op::Slot | Op::Jump | Op::Branch | Op::Switch | Op::Return => {
                return Some(Left::Nothing);
            }
            Op::CallIndirect
            | Op::Unresolved
            | Op::Throw
            | Op::Unreachable
            | Op::StaticAssert
            | Op::TargetQuery
            | Op::Scratch
            | Op::Assert
            | Op::Sentinel
            | Op::Print
            | Op::KernelInput
            | Op::BoundsCheck
            | Op::Make
            | Op::GetField
            | Op::SetField => return None,
            Op::Index => match arg(1)? {
                Type::I64 => {}
                // Where 64 bits are two values, offsets have 32.
                Type::I32 if !self.is_held(Type::I64) => {}
                narrow if self.is_held(Type::I64) && narrow.bits().is_some_and(|bits| bits < 64) => {
                    let constant = body.args(inst).get(1).is_some_and(|&i| body.value_const(i).is_some());
                    if !constant && !self.has_op(Op::Sext, narrow, Type::I64) {
                        return None;
                    }
                    left = Left::NarrowIndices;
                }
                _ => return None,
            },
            Op::DivS | Op::DivU | Op::RemS | Op::RemU if !data.guarded => return None,
            _ => {}
        }
        let result = body.first_result(inst).map(|value| body.value_type(value));
        let (from, to) = asked_of(data.op, arg, result);
        self.has_op(data.op, from, to).then_some(left)
    }
}
