//! Functions that are legal as they are, or but for narrow indices: most are, on targets that have much. They are
//! not built anew.

use super::Legaliser;
use super::emit::{answer, asked_types};
use super::shape::Split;
use crate::target::Action;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::signature::Signature;
use marquetry_ir::types::Type;
use smallvec::SmallVec;

/// How many types are looked for one by one before the table of shapes is asked: bodies have few.
const MOST_HELD: usize = 8;

/// What is left to do in a body that is not built anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Indices that are narrower than 64 bits are to be widened ([`indices`](super::indices)).
    NarrowIndices,
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

    fn is_held(&mut self, ty: Type) -> bool {
        if let Some((_, known)) = self.held.iter().find(|(other, _)| *other == ty) {
            return *known;
        }
        let shape = self.shape(ty);
        let held = shape.split == Split::Leaf && shape.unsupported.is_none();
        if self.held.len() < MOST_HELD {
            self.held.push((ty, held));
        }
        held
    }

    /// Whether the target has an op on these types.
    fn has_op(&mut self, op: Op, from: Type, to: Type) -> bool {
        let target = self.target;
        let legal = || answer(target, op, from, to) == Action::Legal;
        *self.answers.entry((op, from, to)).or_insert_with(legal)
    }

    fn left_of_inst(&mut self, body: &Body, inst: Inst) -> Option<Left> {
        let data = body.inst(inst);
        let args: SmallVec<[Type; 4]> = body.args(inst).iter().map(|&arg| body.value_type(arg)).collect();
        let results: SmallVec<[Type; 2]> = body.results(inst).map(|value| body.value_type(value)).collect();
        // Parameters and results are looked at where they are defined.
        let mut held = true;
        body.visit_operands(inst, |value| {
            if body.value_const_id(value).is_some() {
                held &= self.is_held(body.value_type(value));
            }
        });
        // Vectors are rare where they are legal, and their lane numbers may need work.
        held &= !args.iter().any(|ty| ty.is_vector());
        if !held || !results.iter().all(|&ty| self.is_held(ty) && !ty.is_vector()) {
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
            Op::Index => match *args.get(1)? {
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
        let (from, to) = asked_types(data.op, &args, &results);
        self.has_op(data.op, from, to).then_some(left)
    }
}
