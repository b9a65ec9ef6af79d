//! Functions that are legal as they are: most are, on targets that have much. They are not built anew.

use super::Legaliser;
use super::emit::{answer, asked_types};
use super::shape::Split;
use crate::target::Action;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Inst;
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;
use smallvec::SmallVec;

impl Legaliser<'_> {
    /// Whether a body keeps all promises already. One pass, and nothing is reported.
    pub(super) fn is_legal(&mut self, body: &Body, signature: &[Type]) -> bool {
        let mut cfg = ControlFlow::new();
        cfg.compute(body);
        if body.blocks().count() != cfg.reverse_post_order().len() {
            return false;
        }
        if !signature.iter().all(|&ty| self.is_held(ty)) {
            return false;
        }
        for block in body.blocks() {
            if !body.block_params(block).iter().all(|&param| self.is_held(body.value_type(param))) {
                return false;
            }
            for inst in body.block_insts(block) {
                if !self.is_legal_inst(body, inst) {
                    return false;
                }
            }
        }
        true
    }

    fn is_held(&mut self, ty: Type) -> bool {
        let shape = self.shape(ty);
        shape.split == Split::Leaf && shape.unsupported.is_none()
    }

    fn is_legal_inst(&mut self, body: &Body, inst: Inst) -> bool {
        let data = body.inst(inst);
        let args: SmallVec<[Type; 4]> = body.args(inst).iter().map(|&arg| body.value_type(arg)).collect();
        let results: SmallVec<[Type; 2]> = body.results(inst).map(|value| body.value_type(value)).collect();
        let mut edges = true;
        for &call in body.targets(inst) {
            edges &= body.target_args(call).iter().all(|&arg| self.is_held(body.value_type(arg)));
        }
        // Vectors are rare where they are legal, and their lane numbers may need work.
        if !edges || !args.iter().chain(&results).all(|&ty| self.is_held(ty) && !ty.is_vector()) {
            return false;
        }
        match data.op {
            Op::Call | Op::FunctionAddress | Op::Slot | Op::Jump | Op::Branch | Op::Switch | Op::Return => {
                return true;
            }
            Op::CallIndirect
            | Op::Throw
            | Op::Unreachable
            | Op::StaticAssert
            | Op::TargetQuery
            | Op::Scratch
            | Op::BoundsCheck
            | Op::Make
            | Op::GetField
            | Op::SetField => return false,
            Op::Index if args.get(1) != Some(&Type::I64) => return false,
            Op::DivS | Op::DivU | Op::RemS | Op::RemU if !data.guarded => return false,
            _ => {}
        }
        let (from, to) = asked_types(data.op, &args, &results);
        let target = self.target;
        let legal = || answer(target, data.op, from, to) == Action::Legal;
        *self.answers.entry((data.op, from, to)).or_insert_with(legal)
    }
}
