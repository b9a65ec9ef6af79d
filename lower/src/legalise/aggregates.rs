//! Arrays and structs: they are held as the leaves of their fields, so nothing is computed here.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use marquetry_ir::op::Op;
use smallvec::smallvec;

impl Legaliser<'_> {
    /// An op with an aggregate among its operands and results; loads and stores are elsewhere.
    pub(super) fn aggregate_op(&mut self, ask: Ask, args: &[Val]) -> Option<Vals> {
        let val = match (ask.op, args) {
            (Op::Make, fields) => self.join(ask.ty, fields),
            (Op::GetField, &[aggregate]) => {
                let ty = self.types.field_type(aggregate.ty, u64::from(ask.imm))?;
                let part = self.part(aggregate, ask.imm as usize);
                Val { ty, ..part }
            }
            (Op::SetField, &[aggregate, field]) => {
                let mut leaves = self.leaves(aggregate);
                let start = self.part(aggregate, ask.imm as usize).first - aggregate.first;
                let new = self.leaves(field);
                for (slot, leaf) in leaves.iter_mut().skip(start as usize).zip(new) {
                    *slot = leaf;
                }
                self.hold(aggregate.ty, &leaves)
            }
            (Op::Select, &[condition, yes, no]) => {
                let shape = self.shape(yes.ty);
                let pairs = self.leaves(yes).into_iter().zip(self.leaves(no));
                let mut leaves = Vec::new();
                for ((yes, no), &(ty, _)) in pairs.zip(&shape.leaves) {
                    let (yes, no) = (self.hold(ty, &[yes]), self.hold(ty, &[no]));
                    let chosen = self.select(condition, yes, no);
                    leaves.push(self.leaf(chosen));
                }
                self.hold(yes.ty, &leaves)
            }
            _ => return None,
        };
        Some(smallvec![val])
    }
}
